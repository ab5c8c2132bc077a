/**
 * The bytes of a value: tags and limits, shared by both directions. A description only: it writes and reads nothing.
 *
 * In band:  version, flags, value, then, if a flag says so, the table of buffers and its length in 4 bytes.
 * A value begins with a tag. Objects are numbered in the order in which their tags come; `BACKREF` names one by its number.
 * Small integers, short strings, and small arrays and objects have their size in the tag.
 */

/** First byte of the in-band part. A new, incompatible layout takes the next number. */
export const VERSION = 1;
/** First byte of a packed image that has more than an in-band part. */
export const PACKED = 0x50;

/** Flags, second byte. */
export const HAS_BACKREFS = 1;
export const HAS_BUFFERS = 2;

/** 0x00-0x7f: the integers 0 to 127. 0xf0-0xff: -16 to -1. */
export const FIXSTR = 0x80; // 0x80-0x9f: latin-1 string of 0 to 31 characters
export const FIXARRAY = 0xa0; // 0xa0-0xaf: dense array of 0 to 15 items
export const FIXOBJECT = 0xb0; // 0xb0-0xbf: plain object of 0 to 15 keys: the keys, then the values
export const UNDEFINED = 0xc0;
export const NULL = 0xc1;
export const FALSE = 0xc2;
export const TRUE = 0xc3;
export const INT16 = 0xc4;
export const INT32 = 0xc5;
export const FLOAT64 = 0xc6;
export const BIGINT = 0xc7; // sign, then hexadecimal digits as a string
export const STR8 = 0xc8; // latin-1, length in a byte
export const STR_LATIN1 = 0xc9; // length in 4 bytes, as the next two
export const STR_UTF8 = 0xca;
export const STR_UTF16 = 0xcb; // for strings with lone surrogates
export const BACKREF = 0xcc;
export const ARRAY = 0xcd;
export const OBJECT = 0xce;
export const SHAPED = 0xcf; // a plain object with the keys of an earlier one
export const KEYED_ARRAY = 0xd0; // holes or named properties: length, then pairs
export const NULL_OBJECT = 0xd1; // a plain object without a prototype
export const MAP = 0xd2;
export const SET = 0xd3;
export const DATE = 0xd4;
export const REGEXP = 0xd5;
export const BOXED = 0xd6;
export const ARRAY_BUFFER = 0xd7;
export const VIEW = 0xd8; // typed array or DataView: its kind; where it lies is in the table of buffers
export const REF = 0xd9;
export const GLOBAL = 0xda; // Math, Array.prototype.map, ...: by name
export const URL_TAG = 0xdb;
export const ERROR = 0xdc;
export const DOM_EXCEPTION = 0xdd;
export const INSTANCE = 0xde;
export const HOOKED = 0xdf;
export const FUNCTION = 0xe0;
export const FUNCTION_REFERENCE = 0xe1;
export const MODULE = 0xe2;
/** A value that must be known before the one that follows: the class of an instance. Stands for the one that follows. */
export const PRELUDE = 0xe3;
/** A container whose content comes later, so that no depth of nesting exhausts the stack: its kind and, for an instance, class. */
export const DEFERRED = 0xe4;
export const ARROW = 0xe5; // kind, class, and the parts that its constructor takes

/** Kinds of containers: what a body holds. From INSTANCE_OBJECT on they belong to an instance of a class. */
export const KIND_OBJECT = 0;
export const KIND_NULL_OBJECT = 1;
export const KIND_ARRAY = 2;
export const KIND_MAP = 3;
export const KIND_SET = 4;
export const INSTANCE_OBJECT = 5;
export const INSTANCE_ARRAY = 6;
export const INSTANCE_MAP = 7;
export const INSTANCE_SET = 8;
export type ContainerKind = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** Objects whose keys later ones of the same value may share. */
export const MAX_SHAPES = 32;
/** A container that lies this deep is deferred. */
export const DEFER_SPAN = 100;
/** What cannot be deferred (closures in closures, hooks in hooks, causes of causes) may not lie deeper. */
export const MAX_DEPTH = 700;

/** Error classes with a number; ERROR_OF_CLASS says that the class follows. */
export const ERRORS = [
  Error,
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
  AggregateError,
] as unknown as readonly ErrorConstructor[];
export const ERROR_OF_CLASS = 255;

/** How the key of a function's property is written. */
export const KEY_STRING = 0;
export const KEY_REGISTERED_SYMBOL = 1;
export const KEY_WELL_KNOWN_SYMBOL = 2;

/** Views by their number. A name that this version of Node does not have is undefined there. */
const viewNames = [
  "Int8Array",
  "Uint8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
  "DataView",
  "Buffer",
  "Float16Array",
] as const;

export interface ViewType {
  readonly name: string;
  /** Bytes of an element; 1 for DataView. */
  readonly width: number;
  readonly make: (buffer: ArrayBuffer, offset: number, byteLength: number) => ArrayBufferView;
  readonly prototype: object;
}

interface ViewConstructor {
  new (buffer: ArrayBuffer, offset: number, length: number): ArrayBufferView;
  readonly BYTES_PER_ELEMENT?: number;
  readonly prototype: object;
}

function viewType(name: string): ViewType | undefined {
  if (name === "Buffer") {
    return { name, width: 1, make: (buffer, offset, length) => Buffer.from(buffer, offset, length), prototype: Buffer.prototype };
  }
  const type = Reflect.get(globalThis, name) as ViewConstructor | undefined;
  if (type === undefined) return undefined;
  const width = type.BYTES_PER_ELEMENT ?? 1;
  return { name, width, make: (buffer, offset, length) => new type(buffer, offset, length / width), prototype: type.prototype };
}

export const VIEWS: readonly (ViewType | undefined)[] = viewNames.map(viewType);
export const VIEW_OF_PROTOTYPE: ReadonlyMap<object, number> = new Map(
  VIEWS.flatMap((type, kind) => (type === undefined ? [] : [[type.prototype, kind] as const])),
);
