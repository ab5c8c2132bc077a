/**
 * Bytes to one value: identity, plain containers, depth. The mirror of encoder.ts; other kinds are made in decode-special.ts.
 * Trusts nothing: whatever the bytes say, it ends, allocates no more than they can fill, and throws only SerializationError.
 */
import { MobulaError, SerializationError, explain } from "../errors/index.ts";
import { BufferTable } from "./buffers.ts";
import type { FunctionCodec, FunctionRecord, RebuiltFunction, RefCodec } from "./contract.ts";
import { readSpecial } from "./decode-special.ts";
import * as tag from "./format.ts";
import type { IdentityRegistry } from "./identity.ts";
import { ByteReader, malformed } from "./reader.ts";

export type ModuleOf = (url: string) => object;

/** What stands in the table for an object that is not made yet. */
const PENDING = Symbol("pending");

/** A class that could not be rebuilt, with the reason. Only an error may do without its class. */
export class Broken {
  readonly reason: unknown;

  constructor(reason: unknown) {
    this.reason = reason;
  }
}

interface Deferred {
  readonly kind: tag.ContainerKind;
  readonly value: object;
}

export class Decoder extends ByteReader {
  readonly refCodec: RefCodec;
  readonly functions: FunctionCodec;
  readonly registry: IdentityRegistry;
  moduleOf: ModuleOf = noModules;
  /** Made again and not started yet. */
  readonly rebuilt: { readonly made: RebuiltFunction; readonly id: string; readonly record: FunctionRecord }[] = [];
  /** Sources of functions in the order in which they came. */
  readonly codes: string[] = [];

  #objects: unknown[] = [];
  #numbered = false;
  #shapes: string[][] = [];
  #depth = 0;
  #queue: Deferred[] | undefined;
  #buffers: BufferTable | undefined;

  constructor(refCodec: RefCodec, functions: FunctionCodec, registry: IdentityRegistry) {
    super();
    this.refCodec = refCodec;
    this.functions = functions;
    this.registry = registry;
  }

  run(inband: Uint8Array, buffer: (index: number) => Uint8Array, moduleOf: ModuleOf = noModules): unknown {
    this.bytes = inband;
    this.pos = 0;
    this.end = inband.byteLength;
    this.moduleOf = moduleOf;
    try {
      if (this.readByte() !== tag.VERSION) throw malformed("they have another format");
      const flags = this.readByte();
      this.#numbered = (flags & tag.HAS_BACKREFS) !== 0;
      if ((flags & tag.HAS_BUFFERS) !== 0) this.#buffers = new BufferTable(this, buffer);
      const value = this.readValue();
      if (this.#queue !== undefined) this.#flush();
      this.startRebuilt();
      if (this.pos !== this.end) throw malformed(`${this.end - this.pos} bytes are left over`);
      return value;
    } catch (error) {
      throw error instanceof MobulaError ? error : failure(error);
    } finally {
      this.#reset();
    }
  }

  /** Functions and classes that are filled become ready: at the end, or when one is needed before. */
  startRebuilt(): void {
    const started = this.rebuilt.splice(0);
    for (const { made } of started) made.start();
    // Only now: one that cannot be started must not be found by the next value.
    for (const { made, id, record } of started) if (id !== "") this.registry.remember(made.fn, id, record);
  }

  #reset(): void {
    this.bytes = nothing;
    this.moduleOf = noModules;
    if (this.#objects.length > 0) this.#objects = [];
    if (this.#shapes.length > 0) this.#shapes = [];
    if (this.codes.length > 0) this.codes.length = 0;
    if (this.rebuilt.length > 0) this.rebuilt.length = 0;
    this.#depth = 0;
    this.#queue = undefined;
    this.#buffers = undefined;
  }

  get buffers(): BufferTable {
    if (this.#buffers === undefined) throw malformed("the table of buffers is missing");
    return this.#buffers;
  }

  // ── values ─────────────────────────────────────────────────────────────────────────────────

  readValue(): unknown {
    const kind = this.readByte();
    if (kind < tag.FIXSTR) return kind;
    if (kind < tag.FIXARRAY) return this.readStringOf(kind);
    if (kind < tag.FIXOBJECT) return this.#fillItems(this.register<unknown[]>([]), kind & 0xf);
    if (kind < tag.UNDEFINED) return this.#fillProperties(this.register({}), this.#readKeys(kind & 0xf));
    if (kind >= 0xf0) return kind - 0x100;
    return this.#readTagged(kind);
  }

  #readTagged(kind: number): unknown {
    switch (kind) {
      case tag.UNDEFINED:
        return undefined;
      case tag.NULL:
        return null;
      case tag.FALSE:
        return false;
      case tag.TRUE:
        return true;
      case tag.INT16:
        return this.readInt16();
      case tag.INT32:
        return this.readUint32() | 0;
      case tag.FLOAT64:
        return this.readRawFloat();
      case tag.BIGINT:
        return this.readBigInt();
      case tag.STR8:
      case tag.STR_LATIN1:
      case tag.STR_UTF8:
      case tag.STR_UTF16:
        return this.readStringOf(kind);
      case tag.BACKREF:
        return this.#readBackref();
      case tag.ARRAY:
      case tag.KEYED_ARRAY:
        return this.#readArrayBody(this.register<unknown[]>([]), kind);
      case tag.OBJECT:
      case tag.SHAPED:
        return this.#readObjectBody(this.register({}), kind);
      case tag.NULL_OBJECT:
        return this.#readBody(tag.KIND_NULL_OBJECT, this.register(Object.create(null) as object));
      case tag.MAP:
        return this.#readBody(tag.KIND_MAP, this.register(new Map()));
      case tag.SET:
        return this.#readBody(tag.KIND_SET, this.register(new Set()));
      case tag.INSTANCE:
      case tag.DEFERRED:
        return this.#readHeaded(kind === tag.DEFERRED);
      default:
        return readSpecial(this, kind);
    }
  }

  /** A container with a head of its own: an instance, or one whose content comes later. */
  #readHeaded(deferred: boolean): object {
    const kind = this.readByte() as tag.ContainerKind;
    if (kind > tag.INSTANCE_SET || (!deferred && kind < tag.INSTANCE_OBJECT)) throw malformed("a container of an unknown kind");
    const prototype = kind >= tag.INSTANCE_OBJECT ? this.readPrototype() : undefined;
    const value = this.register(makeContainer(kind, prototype));
    if (!deferred) return this.#readBody(kind, value);
    (this.#queue ??= []).push({ kind, value });
    return value;
  }

  /** The prototype that a class, or an object in the place of one, gives to instances. */
  readPrototype(): object {
    const owner = this.nested(() => this.readValue());
    const prototype: unknown = typeof owner === "function" ? owner.prototype : owner;
    if (typeof prototype !== "object" || prototype === null) throw malformed("an instance has no class");
    return prototype;
  }

  #flush(): void {
    const queue = this.#queue!;
    for (let i = 0; i < queue.length; i++) this.#readBody(queue[i]!.kind, queue[i]!.value);
  }

  /** Reads values that must be complete, deferred parts included. */
  complete<T>(read: () => T): T {
    const queue = this.#queue;
    this.#queue = undefined;
    const value = this.nested(read);
    if (this.#queue !== undefined) this.#flush();
    this.#queue = queue;
    return value;
  }

  /** One level down. Every way to recursion leads through here or through a container. */
  nested<T>(read: () => T): T {
    const depth = this.#depth;
    this.#enter();
    try {
      return read();
    } finally {
      this.#depth = depth;
    }
  }

  #enter(): void {
    // The encoder stays below: MAX_DEPTH, and one span of containers below it.
    if (++this.#depth > 2 * tag.MAX_DEPTH) throw malformed("values are nested too deeply");
  }

  // ── bodies ─────────────────────────────────────────────────────────────────────────────────

  #readBody(kind: tag.ContainerKind, value: object): object {
    switch (kind) {
      case tag.KIND_ARRAY:
      case tag.INSTANCE_ARRAY:
        return this.#readArrayBody(value as unknown[], this.readByte());
      case tag.KIND_MAP:
        return this.#fillMap(value as Map<unknown, unknown>);
      case tag.KIND_SET:
        return this.#fillSet(value as Set<unknown>);
      case tag.INSTANCE_MAP:
        this.#fillMap(value as Map<unknown, unknown>);
        break;
      case tag.INSTANCE_SET:
        this.#fillSet(value as Set<unknown>);
        break;
      default:
        break;
    }
    return this.#readObjectBody(value, this.readByte());
  }

  #readArrayBody(array: unknown[], kind: number): unknown[] {
    if (kind >= tag.FIXARRAY && kind < tag.FIXOBJECT) return this.#fillItems(array, kind & 0xf);
    if (kind === tag.ARRAY) return this.#fillItems(array, this.readCount(1));
    if (kind === tag.KEYED_ARRAY) return this.#fillKeyed(array);
    throw malformed("the content of an array is expected");
  }

  #readObjectBody(value: object, kind: number): object {
    if (kind >= tag.FIXOBJECT && kind < tag.UNDEFINED) return this.#fillProperties(value, this.#readKeys(kind & 0xf));
    if (kind === tag.OBJECT) return this.#fillProperties(value, this.#readKeys(this.readCount(2)));
    if (kind !== tag.SHAPED) throw malformed("the content of an object is expected");
    const keys = this.#shapes[this.readByte()];
    if (keys === undefined) throw malformed("an object refers to keys that did not come");
    return this.#fillProperties(value, keys);
  }

  #readKeys(count: number): string[] {
    const keys: string[] = [];
    for (let i = 0; i < count; i++) keys.push(this.readKey());
    if (count > 0 && this.#shapes.length < tag.MAX_SHAPES) this.#shapes.push(keys);
    return keys;
  }

  #fillProperties(value: object, keys: readonly string[]): object {
    this.#enter();
    const target = value as Record<string, unknown>;
    const plain = Object.getPrototypeOf(value) === Object.prototype;
    for (let i = 0; i < keys.length; i++) {
      const key = keys[i]!;
      // An inherited setter, such as `__proto__`, must not run.
      if (plain ? key !== "__proto__" : !(key in target)) target[key] = this.readValue();
      else define(value, key, this.readValue());
    }
    this.#depth -= 1;
    return value;
  }

  #fillItems(array: unknown[], count: number): unknown[] {
    this.#enter();
    for (let i = 0; i < count; i++) array.push(this.readValue());
    this.#depth -= 1;
    return array;
  }

  #fillKeyed(array: unknown[]): unknown[] {
    const length = this.readUint();
    const count = this.readCount(2);
    if (length > 0xffff_ffff) throw malformed("an array is too long");
    setLength(array, length, count);
    this.#enter();
    for (let i = 0; i < count; i++) {
      const key = this.readValue();
      const isIndex = typeof key === "number" && Number.isInteger(key) && key >= 0 && key < length;
      if (!isIndex && (typeof key !== "string" || key === "length")) throw malformed("an array has an impossible key");
      define(array, String(key), this.readValue());
    }
    this.#depth -= 1;
    return array;
  }

  #fillMap(map: Map<unknown, unknown>): Map<unknown, unknown> {
    this.#enter();
    for (let left = this.readCount(2); left > 0; left--) {
      const key = this.readValue();
      // A subclass may have methods of its own that expect what its constructor does.
      Map.prototype.set.call(map, key, this.readValue());
    }
    this.#depth -= 1;
    return map;
  }

  #fillSet(set: Set<unknown>): Set<unknown> {
    this.#enter();
    for (let left = this.readCount(1); left > 0; left--) Set.prototype.add.call(set, this.readValue());
    this.#depth -= 1;
    return set;
  }

  // ── identity ───────────────────────────────────────────────────────────────────────────────

  register<T>(value: T): T {
    if (this.#numbered) this.#objects.push(value);
    return value;
  }

  /** A number for an object that can only be made once other things have been read. */
  reserve(): number {
    if (this.#numbered) this.#objects.push(PENDING);
    return this.#objects.length - 1;
  }

  settle<T>(number: number, value: T): T {
    if (this.#numbered) this.#objects[number] = value;
    return value;
  }

  #readBackref(): unknown {
    const value = this.readNumbered();
    if (value instanceof Broken) throw value.reason;
    return value;
  }

  /** The object of the number that follows; it may be broken. */
  readNumbered(): unknown {
    const number = this.readUint();
    const value = this.#objects[number];
    if (number >= this.#objects.length || value === PENDING) throw malformed("a reference leads to nothing");
    return value;
  }
}

const nothing = new Uint8Array(0);

function noModules(url: string): never {
  throw new SerializationError(explain(`The module ${url}, which a value needs, has not been imported`), { kind: "module" });
}

/** As an own property, whatever is inherited under that name. */
export function define(target: object, key: PropertyKey, value: unknown, enumerable = true): void {
  Object.defineProperty(target, key, { value, enumerable, writable: true, configurable: true });
}

function makeContainer(kind: tag.ContainerKind, prototype: object | undefined): object {
  if (kind === tag.INSTANCE_OBJECT) return Object.create(prototype!) as object;
  const value = emptyOf(kind);
  return prototype === undefined ? value : (Object.setPrototypeOf(value, prototype) as object);
}

function emptyOf(kind: tag.ContainerKind): object {
  switch (kind) {
    case tag.KIND_ARRAY:
    case tag.INSTANCE_ARRAY:
      return [];
    case tag.KIND_MAP:
    case tag.INSTANCE_MAP:
      return new Map();
    case tag.KIND_SET:
    case tag.INSTANCE_SET:
      return new Set();
    case tag.KIND_NULL_OBJECT:
      return Object.create(null) as object;
    default:
      return {};
  }
}

/** Without setting memory aside for holes: an announced length costs nothing to write. */
function setLength(array: unknown[], length: number, items: number): void {
  if (length > items + 1024) {
    // An item far beyond the end makes the array a sparse one.
    array[length - 1] = undefined;
    delete array[length - 1];
  }
  array.length = length;
}

function failure(error: unknown): SerializationError {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new SerializationError(explain("A value could not be made from its bytes", text), { kind: "decode", cause: error });
}
