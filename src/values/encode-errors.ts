/**
 * Errors. They never fail to cross: a class that cannot is replaced by Error under the same name, and a field that cannot
 * by its text, for an error that is lost on its way hides what went wrong.
 */
import type { Encoder } from "./encoder.ts";
import { classWithPrivate, writeClassFirst, writeHooked } from "./encode-special.ts";
import * as tag from "./format.ts";
import { classOrPrototype } from "./identity.ts";
import { inspectText } from "./refusals.ts";

export function writeError(encoder: Encoder, error: Error): void {
  const prototype = Object.getPrototypeOf(error) as object;
  if (error instanceof DOMException) return writeDomException(encoder, error);
  // Those of another realm, such as a vm context, go by their names.
  const foreign = !(error instanceof Object);
  const builtin = tag.ERRORS.findIndex((type) => type.prototype === prototype || (foreign && type.name === prototype.constructor.name));
  if (builtin >= 0) return writePlain(encoder, error, builtin, undefined);
  const owner = classOrPrototype(prototype);
  const mark = encoder.mark();
  if (typeof owner === "function") {
    try {
      if (writeHooked(encoder, error, owner)) return;
      if (classWithPrivate(encoder, owner) === undefined) return writeOfClass(encoder, error, owner);
    } catch {
      encoder.rollback(mark);
    }
  }
  const name = effectiveName(error, owner);
  // By the nearest class that every process has.
  const base = tag.ERRORS.findIndex((type, i) => i > 0 && Object.prototype.isPrototypeOf.call(type.prototype, error));
  writePlain(encoder, error, Math.max(base, 0), name);
}

function writeOfClass(encoder: Encoder, error: Error, owner: Function): void {
  writeClassFirst(encoder, owner);
  if (encoder.writeIfKnown(error)) return;
  encoder.writeByte(tag.ERROR);
  encoder.writeByte(tag.ERROR_OF_CLASS);
  encoder.add(error);
  encoder.writeString(effectiveName(error, owner));
  encoder.writeValue(owner);
  writeFields(encoder, error, undefined);
}

function writePlain(encoder: Encoder, error: Error, builtin: number, name: string | undefined): void {
  encoder.writeByte(tag.ERROR);
  encoder.writeByte(builtin);
  encoder.add(error);
  writeFields(encoder, error, name);
}

/** The name that people know it by: its own, or that of its class where it only has its base's. */
function effectiveName(error: Error, owner: object): string {
  const own = attempt(() => error.name);
  const className = typeof owner === "function" ? owner.name : "";
  const generic = typeof own !== "string" || own === "" || tag.ERRORS.some((type) => type.name === own);
  if (generic && className !== "") return className;
  return typeof own === "string" ? own : "Error";
}

/** Own properties in their order, each with whether it is enumerable. */
function writeFields(encoder: Encoder, error: Error, name: string | undefined): void {
  const keys = Object.getOwnPropertyNames(error);
  const addName = name !== undefined && !keys.includes("name");
  encoder.writeUint(keys.length + (addName ? 1 : 0));
  for (const key of keys) {
    encoder.writeString(key);
    encoder.writeByte(Object.prototype.propertyIsEnumerable.call(error, key) ? 1 : 0);
    writeGuarded(encoder, error, key);
  }
  if (!addName) return;
  encoder.writeString("name");
  encoder.writeByte(0);
  encoder.writeString(name);
}

function writeGuarded(encoder: Encoder, error: Error, key: string): void {
  const value = attempt(() => Reflect.get(error, key));
  const mark = encoder.mark();
  try {
    encoder.complete(() => encoder.within(key, () => encoder.writeValue(value)));
  } catch {
    encoder.rollback(mark);
    encoder.writeString(inspectText(value));
  }
}

/** A getter of the error may throw. */
function attempt(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    return `[reading it threw: ${inspectText(error)}]`;
  }
}

/** What an aborted signal gives as its reason. It has no properties of its own but a stack. */
function writeDomException(encoder: Encoder, error: DOMException): void {
  encoder.writeByte(tag.DOM_EXCEPTION);
  encoder.writeString(error.message);
  encoder.writeString(error.name);
  encoder.add(error);
  encoder.writeString(String(error.stack ?? ""));
}
