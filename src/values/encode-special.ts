/**
 * What is written by its kind: everything but primitives, plain objects and plain arrays. Here it is decided how a value crosses,
 * or that it does not; errors have their own file.
 */
import { types } from "node:util";
import { arrowParts } from "./arrow.ts";
import { writeError } from "./encode-errors.ts";
import type { Encoder } from "./encoder.ts";
import { writeFunction } from "./encode-functions.ts";
import * as tag from "./format.ts";
import { globalName } from "./globals.ts";
import { deserialize, serialize } from "./hooks.ts";
import { classOrPrototype } from "./identity.ts";
import {
  DETACHED,
  PROXY,
  SHARED_BUFFER,
  SYMBOL,
  classNameOf,
  globalInstance,
  halfHooked,
  handleRefusal,
  hookThrew,
  opaqueRefusal,
  privateFields,
  subclassRefusal,
  verbatim,
} from "./refusals.ts";

export { writeFunction } from "./encode-functions.ts";

type Writer = (encoder: Encoder, value: never) => void;

/** Objects with content that no property shows, by their prototype, each with the test that it truly has it. */
const builtins = new Map<object | null, readonly [is: (value: unknown) => boolean, write: Writer]>([
  [Map.prototype, [types.isMap, (encoder, value: object) => encoder.writeContainer(tag.KIND_MAP, value)]],
  [Set.prototype, [types.isSet, (encoder, value: object) => encoder.writeContainer(tag.KIND_SET, value)]],
  [Date.prototype, [types.isDate, writeDate]],
  [RegExp.prototype, [types.isRegExp, writeRegExp]],
  [ArrayBuffer.prototype, [types.isArrayBuffer, writeArrayBuffer]],
  [URL.prototype, [isUrl, writeUrl]],
  ...[Number, String, Boolean, BigInt, Symbol].map((type) => [type.prototype, [types.isBoxedPrimitive, writeBoxed]] as const),
  ...[...tag.VIEW_OF_PROTOTYPE.keys()].map((prototype) => [prototype, [ArrayBuffer.isView, writeView]] as const),
]);

/** A handle may be a Proxy; no other one crosses. */
export function writeProxy(encoder: Encoder, value: object): void {
  let text: string | undefined;
  try {
    text = encoder.refCodec.describe(value);
  } catch (error) {
    // Revoked, or with traps that throw.
    encoder.refuse(PROXY, error);
  }
  if (text === undefined) encoder.refuse(PROXY);
  writeRef(encoder, value, text);
}

export function writeSpecial(encoder: Encoder, value: object): void {
  const text = encoder.refCodec.describe(value);
  if (text !== undefined) return writeRef(encoder, value, text);
  const prototype = Object.getPrototypeOf(value) as object | null;
  const builtin = builtins.get(prototype);
  if (builtin !== undefined && builtin[0](value)) return builtin[1](encoder, value as never);
  const name = globalName(value);
  if (name !== undefined) return encoder.writeGlobal(name);
  if (types.isModuleNamespaceObject(value)) {
    if (writeModule(encoder, value)) return;
    encoder.refuse({
      what: "the namespace of a module that other processes cannot import",
      why: "Modules cross by their URL",
      todo: "Send the parts of it that are needed",
    });
  }
  if (prototype === null || isForeignPlain(prototype)) {
    return encoder.writeContainer(prototype === null ? tag.KIND_NULL_OBJECT : tag.KIND_OBJECT, value);
  }
  if (types.isNativeError(value) || value instanceof Error) return writeError(encoder, value as Error);
  const parts = arrowParts(value);
  if (parts !== undefined) return writeMade(encoder, value, parts.owner, tag.ARROW, parts.kind, () => parts.data);
  writeInstance(encoder, value, prototype);
}

export function writeRef(encoder: Encoder, value: object, text: string): void {
  encoder.writeByte(tag.REF);
  encoder.writeString(text);
  encoder.add(value);
  encoder.refs.push(value);
}

/** A module's namespace, or the exports object of one of Node's own modules. */
export function writeModule(encoder: Encoder, value: object): boolean {
  const url = encoder.functions.describeModule?.(value);
  if (url === undefined) return false;
  encoder.writeByte(tag.MODULE);
  encoder.writeString(url);
  encoder.add(value);
  if (!encoder.modules.includes(url)) encoder.modules.push(url);
  return true;
}

/** A plain object of another realm, such as a vm context. */
function isForeignPlain(prototype: object): boolean {
  if (Object.getPrototypeOf(prototype) !== null || !Object.hasOwn(prototype, "__proto__")) return false;
  const own: unknown = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value;
  return typeof own === "function" && own.name === "Object";
}

// ── instances of classes ─────────────────────────────────────────────────────────────────────

function writeInstance(encoder: Encoder, value: object, prototype: object): void {
  const owner = classOrPrototype(prototype);
  if (typeof owner !== "function") return writeOfPrototype(encoder, value, owner);
  if (writeHooked(encoder, value, owner)) return;
  const refused = opaqueRefusal(value) ?? handleRefusal(value);
  if (refused !== undefined) encoder.refuse(refused);
  if (!(owner instanceof Function) && writeForeign(encoder, value, owner)) return;
  const name = globalName(owner);
  if (name !== undefined) encoder.refuse(globalInstance(name));
  const kind = kindOf(encoder, value, owner);
  refusePrivate(encoder, owner);
  writeClassFirst(encoder, owner);
  if (!encoder.writeIfKnown(value)) encoder.writeContainer(kind, value);
}

/** A built-in object of another realm, such as a vm context, crosses as the same of this one. */
function writeForeign(encoder: Encoder, value: object, owner: Function): boolean {
  if (Array.isArray(value) && owner.name === "Array") {
    encoder.writeContainer(tag.KIND_ARRAY, value);
    return true;
  }
  for (const [prototype, [is, write]] of builtins) {
    if (prototype?.constructor.name !== owner.name || !is(value)) continue;
    write(encoder, value as never);
    return true;
  }
  return false;
}

/** An object made from another one that no class owns: `Object.create(base)`. */
function writeOfPrototype(encoder: Encoder, value: object, prototype: object): void {
  const refused = opaqueRefusal(value) ?? handleRefusal(value) ?? foreignRefusal(value);
  if (refused !== undefined) encoder.refuse(refused);
  const kind = kindOf(encoder, value, undefined);
  writeClassFirst(encoder, prototype);
  if (!encoder.writeIfKnown(value)) encoder.writeContainer(kind, value);
}

function foreignRefusal(value: object): ReturnType<typeof opaqueRefusal> {
  return types.isPromise(value) ? globalInstance("Promise") : undefined;
}

/** The class, or prototype, must be there before the instance, which may be among its own statics. */
export function writeClassFirst(encoder: Encoder, owner: object): void {
  if (encoder.isKnown(owner) || globalName(owner) !== undefined) return;
  encoder.writeByte(tag.PRELUDE);
  // What a class uses inside is no more handed over than what a function's helpers do.
  encoder.enclosing++;
  if (typeof owner === "function") writeFunction(encoder, owner, true);
  else encoder.within("__proto__", () => encoder.writeObject(owner));
  encoder.enclosing--;
}

/** Through `static [serialize]`. False if the class has no hooks. */
export function writeHooked(encoder: Encoder, value: object, owner: Function): boolean {
  const write: unknown = Reflect.get(owner, serialize);
  const read: unknown = Reflect.get(owner, deserialize);
  if (typeof write !== "function" && typeof read !== "function") return false;
  if (typeof write !== "function" || typeof read !== "function") {
    encoder.refuse(halfHooked(owner.name, typeof write === "function" ? "deserialize" : "serialize"));
  }
  writeMade(encoder, value, owner, tag.HOOKED, undefined, () => {
    try {
      const data: unknown = Reflect.apply(write, owner, [value]);
      return data;
    } catch (error) {
      encoder.refuse(hookThrew(owner.name, error), error);
    }
  });
  return true;
}

/** An object that is made again by its class from data that must be complete before. */
function writeMade(encoder: Encoder, value: object, owner: Function, head: number, kind: number | undefined, parts: () => unknown): void {
  writeClassFirst(encoder, owner);
  if (encoder.writeIfKnown(value)) return;
  encoder.writeByte(head);
  if (kind !== undefined) encoder.writeByte(kind);
  encoder.add(value);
  encoder.writeValue(owner);
  encoder.constructing.add(value);
  const data = parts();
  const step = verbatim(head === tag.HOOKED ? ".[serialize]" : "");
  encoder.complete(() => encoder.within(step, () => encoder.writeValue(data)));
  encoder.constructing.delete(value);
}

function kindOf(encoder: Encoder, value: object, owner: Function | undefined): tag.ContainerKind {
  if (Array.isArray(value)) return tag.INSTANCE_ARRAY;
  if (types.isMap(value)) return tag.INSTANCE_MAP;
  if (types.isSet(value)) return tag.INSTANCE_SET;
  const className = owner?.name ?? classNameOf(value);
  const base = baseWithContent(value);
  if (base !== undefined) encoder.refuse(subclassRefusal(base, className));
  return tag.INSTANCE_OBJECT;
}

/** The built-in class whose hidden content an instance of a subclass has. */
function baseWithContent(value: object): string | undefined {
  if (types.isPromise(value)) return "Promise";
  if (types.isDate(value)) return "Date";
  if (types.isRegExp(value)) return "RegExp";
  if (ArrayBuffer.isView(value)) return (Reflect.get(value, Symbol.toStringTag) as string | undefined) ?? "DataView";
  if (types.isAnyArrayBuffer(value)) return types.isSharedArrayBuffer(value) ? "SharedArrayBuffer" : "ArrayBuffer";
  if (types.isWeakMap(value)) return "WeakMap";
  if (types.isWeakSet(value)) return "WeakSet";
  if (types.isBoxedPrimitive(value)) return "boxed primitive";
  if (value instanceof URL) return "URL";
  return value instanceof EventTarget ? "EventTarget" : undefined;
}

/** Refuses an instance of a class that, itself or in a base, has private fields. */
function refusePrivate(encoder: Encoder, owner: Function): void {
  const hidden = classWithPrivate(encoder, owner);
  if (hidden !== undefined) encoder.refuse(privateFields(owner.name, hidden.name));
}

export function classWithPrivate(encoder: Encoder, owner: Function): Function | undefined {
  if (encoder.functions.hasPrivateFields === undefined) return undefined;
  for (let at: unknown = owner; typeof at === "function" && at !== Function.prototype; at = Object.getPrototypeOf(at)) {
    if (globalName(at) !== undefined) return undefined;
    if (encoder.functions.hasPrivateFields(at)) return at;
  }
  return undefined;
}

// ── built-in objects ─────────────────────────────────────────────────────────────────────────

function writeDate(encoder: Encoder, value: Date): void {
  encoder.writeByte(tag.DATE);
  encoder.writeRawFloat(Date.prototype.getTime.call(value));
  encoder.add(value);
}

function writeRegExp(encoder: Encoder, value: RegExp): void {
  encoder.writeByte(tag.REGEXP);
  encoder.writeString(value.source);
  encoder.writeString(value.flags);
  encoder.add(value);
}

function isUrl(value: unknown): boolean {
  try {
    return typeof value === "object" && value instanceof URL && typeof value.href === "string";
  } catch {
    // Made with `Object.create(URL.prototype)`.
    return false;
  }
}

function writeUrl(encoder: Encoder, value: URL): void {
  encoder.writeByte(tag.URL_TAG);
  encoder.writeString(value.href);
  encoder.add(value);
}

function writeBoxed(encoder: Encoder, value: object): void {
  if (types.isSymbolObject(value)) encoder.refuse(SYMBOL);
  encoder.writeByte(tag.BOXED);
  encoder.writeValue(value.valueOf());
  encoder.add(value);
}

/** Not all supported versions of Node have the property `detached`. */
function refuseDetached(encoder: Encoder, buffer: ArrayBuffer): void {
  try {
    void new Uint8Array(buffer);
  } catch (error) {
    encoder.refuse(DETACHED, error);
  }
}

function writeArrayBuffer(encoder: Encoder, value: ArrayBuffer): void {
  if (value.byteLength === 0) refuseDetached(encoder, value);
  encoder.writeByte(tag.ARRAY_BUFFER);
  encoder.add(value);
  encoder.spans.push({ buffer: value, offset: 0, length: value.byteLength, width: 1, whole: true });
}

function writeView(encoder: Encoder, value: ArrayBufferView): void {
  const { buffer } = value;
  if (types.isSharedArrayBuffer(buffer)) encoder.refuse(SHARED_BUFFER);
  if (buffer.byteLength === 0) refuseDetached(encoder, buffer as ArrayBuffer);
  // A view of another realm is found by its name.
  const prototype = Object.getPrototypeOf(value) as object;
  const kind = tag.VIEW_OF_PROTOTYPE.get(prototype) ?? tag.VIEWS.findIndex((type) => type?.name === classNameOf(value));
  encoder.writeByte(tag.VIEW);
  encoder.writeByte(kind);
  encoder.add(value);
  const width = tag.VIEWS[kind]!.width;
  encoder.spans.push({ buffer: buffer as ArrayBuffer, offset: value.byteOffset, length: value.byteLength, width, whole: false });
}
