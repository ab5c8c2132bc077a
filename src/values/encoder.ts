/**
 * One value to bytes: identity, plain containers, paths, depth. Everything that is not a primitive, a plain object or an array
 * is written by `writeSpecial` (encode-special.ts). Reused from call to call; not for two calls at once.
 */
import { types } from "node:util";
import { MobulaError } from "../errors/index.ts";
import type { Span } from "./buffers.ts";
import { writeBufferTable } from "./buffers.ts";
import type { Encoded, FunctionCodec, FunctionRecord, RefCodec } from "./contract.ts";
import { writeFunction, writeModule, writeProxy, writeSpecial } from "./encode-special.ts";
import * as tag from "./format.ts";
import { globalName } from "./globals.ts";
import type { IdentityRegistry } from "./identity.ts";
import { classOrPrototype } from "./identity.ts";
import type { EntryStep, Refusal, Step } from "./refusals.ts";
import { SYMBOL, TOO_DEEP, UNDER_CONSTRUCTION, formatStep, readingThrew, refusal } from "./refusals.ts";
import { ByteWriter } from "./writer.ts";

/** Below this many objects a search beats a Map. */
const SEARCHED = 12;
const NONE: readonly never[] = Object.freeze([]);

interface Deferred {
  readonly kind: tag.ContainerKind;
  readonly value: object;
}

/** A state to return to when a part of the value cannot be written. */
export interface Mark {
  readonly pos: number;
  readonly objects: number;
  readonly shapes: number;
  readonly spans: number;
  readonly refs: number;
  readonly modules: number;
  readonly codes: number;
  readonly captured: number;
  readonly depth: number;
  readonly enclosing: number;
  readonly base: number;
  readonly prefix: string;
  readonly deferAt: number;
  readonly queue: Deferred[] | undefined;
  readonly queued: number;
}

export class Encoder extends ByteWriter {
  readonly refCodec: RefCodec;
  readonly functions: FunctionCodec;
  readonly registry: IdentityRegistry;
  readonly spans: Span[] = [];
  readonly refs: object[] = [];
  readonly modules: string[] = [];
  /** Sources of functions already written. */
  readonly codes: string[] = [];
  /** Records of classes captured for this value: kept if all of it can be written. */
  readonly captured: [fn: Function, record: FunctionRecord][] = [];
  /** Instances whose hook has given data that is being written. */
  readonly constructing = new Set<object>();
  depth = 0;
  /** Functions by value around what is written now. */
  enclosing = 0;

  /** Objects in the order of their numbers. */
  #objects: (object | undefined)[] = [];
  #count = 0;
  #index: Map<object, number> | undefined;
  #hasBackrefs = false;
  readonly #shapes: string[][] = [];
  #shapeCount = 0;
  #lastShape = 0;
  /** Steps of the path: the one at `depth - 1` leads to the value that is written now. */
  readonly #trail: Step[] = [];
  #base = 0;
  #prefix = "";
  #deferAt = tag.DEFER_SPAN;
  #queue: Deferred[] | undefined;

  constructor(refCodec: RefCodec, functions: FunctionCodec, registry: IdentityRegistry) {
    super();
    this.refCodec = refCodec;
    this.functions = functions;
    this.registry = registry;
  }

  run(value: unknown, path: string): Encoded {
    this.ensure(16);
    this.start = this.pos;
    this.#prefix = path;
    this.bytes[this.pos++] = tag.VERSION;
    this.bytes[this.pos++] = 0;
    let done = false;
    try {
      this.writeValue(value);
      if (this.#queue !== undefined) this.#flush();
      const encoded = this.#finish();
      for (const [fn, record] of this.captured) this.registry.keepRecord(fn, record);
      done = true;
      return encoded;
    } catch (error) {
      if (error instanceof MobulaError) throw error;
      throw isStackOverflow(error) ? refusal(path, TOO_DEEP, error) : refusal(this.path(), readingThrew(error), error);
    } finally {
      this.#reset(done);
    }
  }

  #finish(): Encoded {
    let buffers: Uint8Array[] | readonly never[] = NONE;
    let flags = this.#hasBackrefs ? tag.HAS_BACKREFS : 0;
    if (this.spans.length > 0) {
      buffers = writeBufferTable(this.spans, this);
      flags |= tag.HAS_BUFFERS;
    }
    this.bytes[this.start + 1] = flags;
    return {
      inband: new Uint8Array(this.bytes.buffer, this.bytes.byteOffset + this.start, this.pos - this.start),
      buffers,
      refs: this.refs.length === 0 ? NONE : this.refs.slice(),
      modules: this.modules.length === 0 ? NONE : this.modules.slice(),
    };
  }

  /** Forgets the value. After a failure the space is used again. */
  #reset(done: boolean): void {
    if (!done) this.pos = this.start;
    if (this.#count > 1024) this.#objects = [];
    else for (let i = 0; i < this.#count; i++) this.#objects[i] = undefined;
    this.#count = 0;
    this.#index = undefined;
    this.#hasBackrefs = false;
    this.#shapeCount = 0;
    this.#lastShape = 0;
    this.depth = 0;
    this.enclosing = 0;
    this.#base = 0;
    this.#deferAt = tag.DEFER_SPAN;
    this.#queue = undefined;
    if (this.spans.length > 0) this.spans.length = 0;
    if (this.refs.length > 0) this.refs.length = 0;
    if (this.modules.length > 0) this.modules.length = 0;
    if (this.codes.length > 0) this.codes.length = 0;
    if (this.captured.length > 0) this.captured.length = 0;
    if (this.constructing.size > 0) this.constructing.clear();
  }

  // ── values ─────────────────────────────────────────────────────────────────────────────────

  writeValue(value: unknown): void {
    switch (typeof value) {
      case "number":
        return this.writeNumber(value);
      case "string":
        return this.writeString(value);
      case "boolean":
        return this.writeByte(value ? tag.TRUE : tag.FALSE);
      case "undefined":
        return this.writeByte(tag.UNDEFINED);
      case "object":
        return value === null ? this.writeByte(tag.NULL) : this.writeObject(value);
      case "function":
        return writeFunction(this, value);
      case "bigint":
        return this.writeBigInt(value);
      default:
        return this.refuse(SYMBOL);
    }
  }

  writeObject(value: object): void {
    if (this.#count > 0 && this.writeIfKnown(value)) return;
    if (types.isProxy(value)) return writeProxy(this, value);
    if (Array.isArray(value)) {
      if (Object.getPrototypeOf(value) === Array.prototype) return this.writeContainer(tag.KIND_ARRAY, value);
    } else if (Object.getPrototypeOf(value) === Object.prototype) {
      return this.#writePlain(value);
    }
    writeSpecial(this, value);
  }

  #writePlain(value: object): void {
    // An object that is not empty cannot be Math, JSON or the like; one that begins with a function may be a module's exports.
    const keys = Object.keys(value);
    if (keys.length === 0) {
      const name = globalName(value);
      if (name !== undefined) return this.writeGlobal(name);
    } else {
      const first: unknown = (value as Record<string, unknown>)[keys[0]!];
      if (typeof first === "function" && writeModule(this, value)) return;
    }
    if (this.depth >= this.#deferAt) return this.#defer(tag.KIND_OBJECT, value);
    this.add(value);
    this.#writeProperties(value as Record<string, unknown>, keys);
  }

  /** A container other than a plain object: in place, or later if it lies deep. */
  writeContainer(kind: tag.ContainerKind, value: object): void {
    if (this.depth >= this.#deferAt) return this.#defer(kind, value);
    if (kind === tag.KIND_NULL_OBJECT) this.writeByte(tag.NULL_OBJECT);
    else if (kind === tag.KIND_MAP) this.writeByte(tag.MAP);
    else if (kind === tag.KIND_SET) this.writeByte(tag.SET);
    else if (kind >= tag.INSTANCE_OBJECT) this.#writeInstanceHead(tag.INSTANCE, kind, value);
    this.add(value);
    this.#writeBody(kind, value);
  }

  #writeInstanceHead(head: number, kind: tag.ContainerKind, value: object): void {
    this.writeByte(head);
    this.writeByte(kind);
    if (kind < tag.INSTANCE_OBJECT) return;
    // Known already: `writeSpecial` wrote the class, or the object that is the prototype, before.
    const prototype = Object.getPrototypeOf(value) as object;
    this.writeValue(classOrPrototype(prototype));
  }

  #defer(kind: tag.ContainerKind, value: object): void {
    this.#writeInstanceHead(tag.DEFERRED, kind, value);
    this.add(value);
    (this.#queue ??= []).push({ kind, value });
  }

  #flush(): void {
    const { depth } = this;
    const base = this.#base;
    const prefix = this.#prefix;
    // A path of more than a hundred steps helps nobody.
    this.#prefix = `${this.path()}...`;
    this.#base = depth;
    const queue = this.#queue!;
    for (let i = 0; i < queue.length; i++) this.#writeBody(queue[i]!.kind, queue[i]!.value);
    this.#prefix = prefix;
    this.#base = base;
  }

  /** Values that must be complete when what follows them is read: deferred parts come right after them. */
  complete(write: () => void): void {
    if (this.depth > tag.MAX_DEPTH) this.refuse(TOO_DEEP);
    const queue = this.#queue;
    const deferAt = this.#deferAt;
    this.#queue = undefined;
    this.#deferAt = this.depth + tag.DEFER_SPAN;
    write();
    if (this.#queue !== undefined) this.#flush();
    this.#queue = queue;
    this.#deferAt = deferAt;
  }

  // ── bodies ─────────────────────────────────────────────────────────────────────────────────

  #writeBody(kind: tag.ContainerKind, value: object): void {
    switch (kind) {
      case tag.KIND_ARRAY:
      case tag.INSTANCE_ARRAY:
        return this.#writeItems(value as unknown[]);
      case tag.KIND_MAP:
      case tag.INSTANCE_MAP:
        this.#writeMap(value as Map<unknown, unknown>);
        break;
      case tag.KIND_SET:
      case tag.INSTANCE_SET:
        this.#writeSet(value as Set<unknown>);
        break;
      default:
        break;
    }
    if (kind !== tag.KIND_MAP && kind !== tag.KIND_SET) this.#writeProperties(value as Record<string, unknown>, Object.keys(value));
  }

  #writeProperties(value: Record<string, unknown>, keys: string[]): void {
    const count = keys.length;
    const shape = count === 0 ? -1 : this.#findShape(keys);
    if (shape >= 0) {
      this.writeByte(tag.SHAPED);
      this.writeByte(shape);
    } else {
      if (count < 16) {
        this.writeByte(tag.FIXOBJECT | count);
      } else {
        this.writeByte(tag.OBJECT);
        this.writeUint(count);
      }
      for (let i = 0; i < count; i++) this.writeString(keys[i]!);
      if (count > 0 && this.#shapeCount < tag.MAX_SHAPES) this.#shapes[this.#shapeCount++] = keys;
    }
    const trail = this.#trail;
    const level = this.depth++;
    for (let i = 0; i < count; i++) {
      const key = keys[i]!;
      trail[level] = key;
      this.writeValue(value[key]);
    }
    this.depth = level;
  }

  #findShape(keys: string[]): number {
    const last = this.#lastShape;
    for (let i = -1; i < this.#shapeCount; i++) {
      const at = i < 0 ? last : i;
      if (at < this.#shapeCount && sameKeys(this.#shapes[at]!, keys)) {
        this.#lastShape = at;
        return at;
      }
    }
    return -1;
  }

  #writeItems(array: unknown[]): void {
    const count = array.length;
    // The list of arguments is made by the engine itself.
    const ours = this.depth === 0 && this.#prefix === "args";
    if (hasHoles(array) || (!ours && hasNamedProperties(array))) return this.#writeKeyed(array);
    if (count < 16) {
      this.writeByte(tag.FIXARRAY | count);
    } else {
      this.writeByte(tag.ARRAY);
      this.writeUint(count);
    }
    const trail = this.#trail;
    const level = this.depth++;
    for (let i = 0; i < count; i++) {
      trail[level] = i;
      this.writeValue(array[i]);
    }
    this.depth = level;
  }

  #writeKeyed(array: unknown[]): void {
    const keys = Object.keys(array);
    this.writeByte(tag.KEYED_ARRAY);
    this.writeUint(array.length);
    this.writeUint(keys.length);
    const level = this.depth++;
    for (const key of keys) {
      const index = Number(key);
      const isIndex = index < array.length && String(index) === key;
      this.#trail[level] = isIndex ? index : key;
      if (isIndex) this.writeNumber(index);
      else this.writeString(key);
      this.writeValue(array[key as unknown as number]);
    }
    this.depth = level;
  }

  #writeMap(map: Map<unknown, unknown>): void {
    // A copy, because a getter may change the map while it is written.
    const entries = [...Map.prototype.entries.call(map)];
    this.writeUint(entries.length);
    const step: EntryStep = { index: 0, key: undefined, isKey: true };
    const level = this.depth++;
    this.#trail[level] = step;
    for (let i = 0; i < entries.length; i++) {
      const [key, value] = entries[i]!;
      step.index = i;
      step.isKey = true;
      this.writeValue(key);
      step.key = key;
      step.isKey = false;
      this.writeValue(value);
    }
    this.depth = level;
  }

  #writeSet(set: Set<unknown>): void {
    const values = [...Set.prototype.values.call(set)];
    this.writeUint(values.length);
    const step: EntryStep = { index: 0, key: undefined, isKey: false };
    const level = this.depth++;
    this.#trail[level] = step;
    for (let i = 0; i < values.length; i++) {
      step.index = i;
      this.writeValue(values[i]);
    }
    this.depth = level;
  }

  // ── identity ───────────────────────────────────────────────────────────────────────────────

  /** The next number is this object's. Called where its tag is written. */
  add(value: object): void {
    const number = this.#count++;
    this.#objects[number] = value;
    if (this.#index !== undefined) {
      this.#index.set(value, number);
    } else if (number === SEARCHED) {
      this.#index = new Map();
      for (let i = 0; i <= number; i++) this.#index.set(this.#objects[i]!, i);
    }
  }

  isKnown(value: object): boolean {
    return this.#numberOf(value) >= 0;
  }

  #numberOf(value: object): number {
    if (this.#index !== undefined) return this.#index.get(value) ?? -1;
    const objects = this.#objects;
    for (let i = 0; i < this.#count; i++) if (objects[i] === value) return i;
    return -1;
  }

  /** Names an object that has been written before. */
  writeIfKnown(value: object): boolean {
    const number = this.#numberOf(value);
    if (number < 0) return false;
    if (this.constructing.size > 0 && this.constructing.has(value)) this.refuse(UNDER_CONSTRUCTION);
    this.#hasBackrefs = true;
    this.writeByte(tag.BACKREF);
    this.writeUint(number);
    return true;
  }

  writeGlobal(name: string): void {
    this.writeByte(tag.GLOBAL);
    this.writeString(name);
  }

  // ── paths and failures ─────────────────────────────────────────────────────────────────────

  /** Writes with one more step in the path. */
  within(step: Step, write: () => void): void {
    const level = this.depth++;
    this.#trail[level] = step;
    write();
    this.depth = level;
  }

  path(): string {
    let text = this.#prefix;
    for (let i = this.#base; i < this.depth; i++) text += formatStep(this.#trail[i]!);
    return text;
  }

  refuse(why: Refusal, cause?: unknown): never {
    throw refusal(this.path(), why, cause);
  }

  mark(): Mark {
    return {
      pos: this.pos - this.start,
      objects: this.#count,
      shapes: this.#shapeCount,
      spans: this.spans.length,
      refs: this.refs.length,
      modules: this.modules.length,
      codes: this.codes.length,
      captured: this.captured.length,
      depth: this.depth,
      enclosing: this.enclosing,
      base: this.#base,
      prefix: this.#prefix,
      deferAt: this.#deferAt,
      queue: this.#queue,
      queued: this.#queue?.length ?? 0,
    };
  }

  /** As if nothing had been written since the mark. */
  rollback(mark: Mark): void {
    this.pos = this.start + mark.pos;
    for (let i = mark.objects; i < this.#count; i++) {
      const value = this.#objects[i]!;
      this.#index?.delete(value);
      this.constructing.delete(value);
      this.#objects[i] = undefined;
    }
    this.#count = mark.objects;
    this.#shapeCount = mark.shapes;
    this.spans.length = mark.spans;
    this.refs.length = mark.refs;
    this.modules.length = mark.modules;
    this.codes.length = mark.codes;
    this.captured.length = mark.captured;
    this.depth = mark.depth;
    this.enclosing = mark.enclosing;
    this.#base = mark.base;
    this.#prefix = mark.prefix;
    this.#deferAt = mark.deferAt;
    this.#queue = mark.queue;
    if (mark.queue !== undefined) mark.queue.length = mark.queued;
  }
}

function sameKeys(a: readonly string[], b: readonly string[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/**
 * Whether an array without holes has properties besides its items, as the result of a regular expression has. Listing values is
 * several times quicker than listing keys, which makes a string for every index.
 */
function hasNamedProperties(array: readonly unknown[]): boolean {
  return (array.length < 3 ? Object.keys(array) : Object.values(array)).length !== array.length;
}

function hasHoles(array: readonly unknown[]): boolean {
  for (let i = 0; i < array.length; i++) if (array[i] === undefined && !Object.hasOwn(array, i)) return true;
  return false;
}

export function isStackOverflow(error: unknown): boolean {
  return error instanceof RangeError && error.message.includes("call stack");
}
