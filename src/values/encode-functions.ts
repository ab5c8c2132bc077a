/**
 * Functions and classes: by name, as a handle, by reference to a module, or by value with what they capture. How a function is
 * taken apart is not known here: the FunctionCodec does it.
 */
import { types } from "node:util";
import type { FunctionRecord } from "./contract.ts";
import type { Encoder } from "./encoder.ts";
import { writeHooked, writeProxy, writeRef } from "./encode-special.ts";
import * as tag from "./format.ts";
import { globalName } from "./globals.ts";
import { isClass } from "./identity.ts";
import { serialize } from "./hooks.ts";
import { nativeRefusal, verbatim } from "./refusals.ts";

type ByValue = FunctionRecord & { kind: "value" };

/** `asClass`: an instance of it is part of the value. */
export function writeFunction(encoder: Encoder, fn: Function, asClass = false): void {
  // A function that stands in front of an object, such as a remote function: the object is what crosses.
  const inner: unknown = types.isProxy(fn) ? undefined : Reflect.get(fn, Symbol.for("mobula.standInFor"));
  if (typeof inner === "object" && inner !== null) return encoder.writeObject(inner);
  if (encoder.writeIfKnown(fn)) return;
  if (types.isProxy(fn)) return writeProxy(encoder, fn);
  const text = encoder.refCodec.describe(fn);
  if (text !== undefined) return writeRef(encoder, fn, text);
  const name = globalName(fn);
  if (name !== undefined) {
    if (encoder.enclosing === 0) refuseNative(encoder, fn, name);
    return encoder.writeGlobal(name);
  }
  // A callable object with a class of its own, such as a remote function.
  const owner: unknown = fn.constructor;
  if (typeof owner === "function" && owner !== Function && serialize in owner && writeHooked(encoder, fn, owner)) return;
  writeRecord(encoder, fn, asClass || encoder.registry.has(fn) || isClass(fn));
}

function writeRecord(encoder: Encoder, fn: Function, identified: boolean): void {
  const { registry } = encoder;
  let record = registry.recordOf(fn);
  if (record === undefined) {
    record = encoder.functions.capture(fn, encoder.path());
    if (record.kind === "reference") registry.keepReference(fn, record);
    else if (identified) encoder.captured.push([fn, record]);
  }
  if (record.kind === "reference") {
    if (encoder.enclosing === 0 && record.url === "global:") refuseNative(encoder, fn, record.path.join("."));
    return writeReference(encoder, fn, record);
  }
  const stateless = record.captures.length === 0 && record.properties.length === 0;
  writeByValue(encoder, fn, record, identified || stateless ? registry.idOf(fn) : "");
}

const nativeText = /\{\s*\[native code\]\s*\}\s*$/;

/**
 * Native functions that are handed over as such are refused; classes of the language are not. Those that functions use inside, such as
 * `Object.defineProperty` in the helpers of bundlers, cross by name.
 */
function refuseNative(encoder: Encoder, fn: Function, name: string): void {
  if (Object.hasOwn(fn, "prototype") || !nativeText.test(Function.prototype.toString.call(fn))) return;
  encoder.refuse(nativeRefusal(name));
}

function writeReference(encoder: Encoder, fn: Function, record: FunctionRecord & { kind: "reference" }): void {
  encoder.writeByte(tag.FUNCTION_REFERENCE);
  encoder.writeString(record.url);
  encoder.writeUint(record.path.length);
  for (const step of record.path) encoder.writeString(step);
  encoder.add(fn);
  addModule(encoder, record.url);
}

function addModule(encoder: Encoder, url: string): void {
  if (!encoder.modules.includes(url)) encoder.modules.push(url);
}

function writeByValue(encoder: Encoder, fn: Function, record: ByValue, id: string): void {
  encoder.writeByte(tag.FUNCTION);
  encoder.writeString(id);
  const known = encoder.codes.indexOf(record.code);
  encoder.writeUint(known + 1);
  if (known < 0) {
    encoder.writeString(record.code);
    encoder.codes.push(record.code);
  }
  encoder.add(fn);
  encoder.writeUint(record.modules.length);
  for (const url of record.modules) {
    encoder.writeString(url);
    addModule(encoder, url);
  }
  const outermost = encoder.enclosing++ === 0;
  // What is evaluated while the function is completed must find its captures complete.
  encoder.complete(() => {
    encoder.writeUint(record.captures.length);
    record.captures.forEach((value, i) => {
      encoder.within(verbatim(`.(captured ${record.captureNames?.[i] ?? i})`), () => writeCapture(encoder, value, outermost));
    });
  });
  encoder.complete(() => writeProperties(encoder, record.properties));
  encoder.enclosing--;
}

function writeCapture(encoder: Encoder, value: unknown, outermost: boolean): void {
  if (outermost && typeof value === "function" && !types.isProxy(value)) {
    const name = globalName(value);
    if (name !== undefined) refuseNative(encoder, value, name);
  }
  encoder.writeValue(value);
}

function writeProperties(encoder: Encoder, properties: ByValue["properties"]): void {
  const written = properties.flatMap(([key, value]) => {
    const form = keyForm(key);
    return form === undefined ? [] : [{ ...form, value }];
  });
  encoder.writeUint(written.length);
  for (const { kind, name, value } of written) {
    encoder.writeByte(kind);
    encoder.writeString(name);
    encoder.within(name, () => encoder.writeValue(value));
  }
}

const wellKnown = new Map<symbol, string>(
  Object.getOwnPropertyNames(Symbol).flatMap((name) => {
    const value: unknown = Reflect.get(Symbol, name);
    return typeof value === "symbol" ? [[value, name] as const] : [];
  }),
);

/** A key as text. A symbol that only this process has names nothing elsewhere. */
function keyForm(key: PropertyKey): { kind: number; name: string } | undefined {
  if (typeof key !== "symbol") return { kind: tag.KEY_STRING, name: String(key) };
  const registered = Symbol.keyFor(key);
  if (registered !== undefined) return { kind: tag.KEY_REGISTERED_SYMBOL, name: registered };
  const name = wellKnown.get(key);
  return name === undefined ? undefined : { kind: tag.KEY_WELL_KNOWN_SYMBOL, name };
}
