/**
 * Makes what is neither a primitive nor a plain container. The mirror of encode-special.ts, encode-functions.ts and
 * encode-errors.ts.
 */
import { fromArrowParts } from "./arrow.ts";
import type { RebuiltFunction } from "./contract.ts";
import type { Decoder } from "./decoder.ts";
import { Broken, define } from "./decoder.ts";
import * as tag from "./format.ts";
import { globalValue } from "./globals.ts";
import { deserialize } from "./hooks.ts";
import { malformed } from "./reader.ts";

export function readSpecial(decoder: Decoder, kind: number): unknown {
  switch (kind) {
    case tag.DATE:
      return decoder.register(new Date(decoder.readRawFloat()));
    case tag.REGEXP:
      return decoder.register(new RegExp(decoder.readString(), decoder.readString()));
    case tag.BOXED:
      return readBoxed(decoder);
    case tag.ARRAY_BUFFER:
      return decoder.register(decoder.buffers.nextWhole());
    case tag.VIEW:
      return readView(decoder);
    case tag.REF:
      return decoder.register(decoder.refCodec.revive(decoder.readString()));
    case tag.GLOBAL:
      return readGlobal(decoder);
    case tag.URL_TAG:
      return decoder.register(new URL(decoder.readString()));
    case tag.ERROR:
      return readError(decoder);
    case tag.DOM_EXCEPTION:
      return readDomException(decoder);
    case tag.ARROW:
      return readArrow(decoder);
    case tag.HOOKED:
      return readHooked(decoder);
    case tag.FUNCTION:
    case tag.FUNCTION_REFERENCE:
      return unbroken(readFunction(decoder, kind));
    case tag.MODULE:
      return decoder.register(decoder.moduleOf(decoder.readString()));
    case tag.PRELUDE:
      return readAfterPrelude(decoder);
    default:
      throw malformed(`the tag ${kind} is unknown`);
  }
}

function readGlobal(decoder: Decoder): object {
  const name = decoder.readString();
  const value = globalValue(name);
  if (value === undefined) throw malformed(`this version of Node has no ${name}`);
  return value;
}

const boxable: ReadonlySet<string> = new Set(["number", "string", "boolean", "bigint"]);

function readBoxed(decoder: Decoder): object {
  const primitive = decoder.nested(() => decoder.readValue());
  if (!boxable.has(typeof primitive)) throw malformed("a boxed primitive is none");
  return decoder.register(Object(primitive) as object);
}

function readView(decoder: Decoder): ArrayBufferView {
  const kind = decoder.readByte();
  const type = tag.VIEWS[kind];
  if (type === undefined) throw malformed(`this version of Node has no typed array of kind ${kind}`);
  const { buffer, offset, length } = decoder.buffers.next(type.width);
  return decoder.register(type.make(buffer, offset, length));
}

// ── functions and classes ────────────────────────────────────────────────────────────────────

/** The class of an instance comes first, then the instance. */
function readAfterPrelude(decoder: Decoder): unknown {
  // Kept if it is broken: an error can do without.
  decoder.nested(() => readTolerant(decoder));
  return decoder.nested(() => decoder.readValue());
}

/** As `readValue`, but gives a broken function as such. */
function readTolerant(decoder: Decoder): unknown {
  const kind = decoder.readByte();
  if (kind === tag.FUNCTION || kind === tag.FUNCTION_REFERENCE) return readFunction(decoder, kind);
  if (kind === tag.BACKREF) return decoder.readNumbered();
  decoder.pos -= 1;
  return decoder.readValue();
}

function unbroken(value: Function | Broken): Function {
  if (value instanceof Broken) throw value.reason;
  return value;
}

function readFunction(decoder: Decoder, kind: number): Function | Broken {
  return kind === tag.FUNCTION ? readByValue(decoder) : readReference(decoder);
}

function attempt<T>(make: () => T): T | Broken {
  try {
    return make();
  } catch (error) {
    return new Broken(error);
  }
}

function readReference(decoder: Decoder): Function | Broken {
  const url = decoder.readString();
  const path: string[] = [];
  for (let left = decoder.readCount(1); left > 0; left--) path.push(decoder.readString());
  const { registry } = decoder;
  const known = registry.findReference(url, path);
  if (known !== undefined) return decoder.register(known);
  const { functions } = decoder;
  const found = attempt(() => functions.resolve?.({ url, path }, decoder.moduleOf) ?? follow(decoder.moduleOf(url), url, path));
  if (!(found instanceof Broken)) registry.keepReference(found, { kind: "reference", url, path });
  return decoder.register(found);
}

function follow(namespace: object, url: string, path: readonly string[]): Function {
  let at: unknown = namespace;
  for (const step of path) {
    at = (typeof at === "object" && at !== null) || typeof at === "function" ? Reflect.get(at, step) : undefined;
  }
  if (typeof at !== "function") throw malformed(`the module ${url} has no function or class ${path.join(".") || "default"}`);
  return at;
}

function readByValue(decoder: Decoder): Function | Broken {
  const { registry } = decoder;
  const id = decoder.readString();
  const code = readCode(decoder);
  const known = id === "" ? undefined : registry.find(id);
  const made = known === undefined ? attempt(() => decoder.functions.rebuild({ kind: "value", code }, decoder.moduleOf)) : undefined;
  const number = decoder.reserve();
  // There at once, so that what it captures can refer to it.
  const fn = known ?? (made instanceof Broken ? made : made!.fn);
  decoder.settle(number, fn);
  const modules: string[] = [];
  for (let left = decoder.readCount(1); left > 0; left--) modules.push(decoder.readString());
  const captures = decoder.complete(() => readList(decoder, () => readTolerant(decoder)));
  const filled = made === undefined || made instanceof Broken ? undefined : attempt(() => fill(made, captures, []));
  if (filled instanceof Broken) decoder.settle(number, filled);
  const properties = decoder.complete(() => readList(decoder, () => [readPropertyKey(decoder), decoder.readValue()] as const));
  // What this process knows already stays as it is.
  if (filled instanceof Broken) return filled;
  if (made === undefined || fn instanceof Broken) return fn;
  fill(made as RebuiltFunction, captures, properties);
  decoder.rebuilt.push({ made: made as RebuiltFunction, id, record: { kind: "value", code, captures, properties, modules } });
  return fn;
}

/** Without a part that is broken, such as its base class, a function is broken too. */
function fill(made: RebuiltFunction, captures: unknown[], properties: ReadonlyArray<readonly [PropertyKey, unknown]>): void {
  for (const capture of captures) if (capture instanceof Broken) throw capture.reason;
  made.fill(captures, properties);
}

function readCode(decoder: Decoder): string {
  const known = decoder.readUint();
  if (known === 0) {
    const code = decoder.readString();
    decoder.codes.push(code);
    return code;
  }
  const code = decoder.codes[known - 1];
  if (code === undefined) throw malformed("a function refers to a source that did not come");
  return code;
}

function readList<T>(decoder: Decoder, read: () => T): T[] {
  const list: T[] = [];
  for (let left = decoder.readCount(1); left > 0; left--) list.push(read());
  return list;
}

function readPropertyKey(decoder: Decoder): PropertyKey {
  const kind = decoder.readByte();
  const name = decoder.readString();
  if (kind === tag.KEY_STRING) return name;
  if (kind === tag.KEY_REGISTERED_SYMBOL) return Symbol.for(name);
  const known: unknown = kind === tag.KEY_WELL_KNOWN_SYMBOL ? Reflect.get(Symbol, name) : undefined;
  if (typeof known !== "symbol") throw malformed(`the symbol ${name} is unknown`);
  return known;
}

function readHooked(decoder: Decoder): object {
  const number = decoder.reserve();
  const owner = decoder.nested(() => decoder.readValue());
  const data = decoder.complete(() => decoder.readValue());
  decoder.startRebuilt();
  const read: unknown = typeof owner === "function" ? Reflect.get(owner, deserialize) : undefined;
  if (typeof read !== "function") throw malformed("a class has no `static [deserialize]` here");
  const value: unknown = Reflect.apply(read, owner, [data]);
  if ((typeof value !== "object" && typeof value !== "function") || value === null) {
    throw malformed(`\`static [deserialize]\` of ${(owner as Function).name} gave no object`);
  }
  return decoder.settle(number, value);
}

function readArrow(decoder: Decoder): object {
  const kind = decoder.readByte();
  const number = decoder.reserve();
  const owner = decoder.nested(() => decoder.readValue());
  const data = decoder.complete(() => decoder.readValue());
  const value = fromArrowParts(kind, owner, data);
  if (value === undefined) throw malformed("an Arrow object of an unknown kind");
  return decoder.settle(number, value);
}

// ── errors ───────────────────────────────────────────────────────────────────────────────────

function readError(decoder: Decoder): Error {
  const kind = decoder.readByte();
  if (kind !== tag.ERROR_OF_CLASS) {
    const type = tag.ERRORS[kind];
    if (type === undefined) throw malformed("an error of an unknown kind");
    return readFields(decoder, decoder.register(makeError(type.prototype)));
  }
  const number = decoder.reserve();
  const name = decoder.readString();
  const prototype = attempt(() => decoder.readPrototype());
  if (!(prototype instanceof Broken)) return readFields(decoder, decoder.settle(number, makeError(prototype)));
  const error = decoder.settle(number, makeError(Error.prototype));
  readFields(decoder, error);
  if (!Object.hasOwn(error, "name")) define(error, "name", name, false);
  return error;
}

/** A true error, without the cost of a stack of its own. */
function makeError(prototype: object): Error {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  const error = new Error();
  Error.stackTraceLimit = limit;
  delete error.stack;
  return Object.setPrototypeOf(error, prototype) as Error;
}

function readFields(decoder: Decoder, error: Error): Error {
  for (let left = decoder.readCount(3); left > 0; left--) {
    const key = decoder.readString();
    const enumerable = decoder.readByte() === 1;
    define(
      error,
      key,
      decoder.complete(() => decoder.readValue()),
      enumerable,
    );
  }
  return error;
}

function readDomException(decoder: Decoder): DOMException {
  const error = new DOMException(decoder.readString(), decoder.readString());
  decoder.register(error);
  define(error, "stack", decoder.readString(), false);
  return error;
}
