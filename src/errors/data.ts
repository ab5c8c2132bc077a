/**
 * Errors as plain data and back, for the way between processes. Pure; what `cause` is is left to the value
 * codec: it stays a live value here. Errors of user code are not handled here.
 */
import { MobulaError } from "./base.ts";
import { errorEntry } from "./registry.ts";

/** A MobulaError as plain data. Its fields are plain, except `cause`, which may be any value. */
export interface ErrorData {
  readonly code: string;
  readonly message: string;
  readonly stack?: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** One entry if there is a cause, which may itself be undefined. */
  readonly cause?: readonly [unknown];
}

/** The data of an error. Fields that a user hung on the instance are not among them. */
export function toData(error: MobulaError): ErrorData {
  const fields: Record<string, unknown> = {};
  for (const name of errorEntry(error.code)?.fields ?? []) {
    const value: unknown = Reflect.get(error, name);
    if (value !== undefined) fields[name] = name === "value" ? portable(value) : value;
  }
  const cause = Object.hasOwn(error, "cause") ? { cause: [error.cause] as const } : {};
  const stack = typeof error.stack === "string" ? { stack: error.stack } : {};
  return { code: error.code, message: error.message, fields, ...stack, ...cause };
}

/**
 * The error again, of the class that the code names. Only fields of that class are taken over, whatever the data holds. A code
 * that this version does not know gives a plain MobulaError with that code.
 */
export function fromData(data: ErrorData): MobulaError {
  const entry = errorEntry(data.code);
  const details: Record<string, unknown> = {};
  for (const name of entry?.fields ?? []) {
    if (Object.hasOwn(data.fields, name)) details[name] = data.fields[name];
  }
  if (data.cause !== undefined) details["cause"] = data.cause[0];
  const error = entry === undefined ? new MobulaError(data.code, data.message, details) : new entry.type(data.message, details as never);
  if (data.stack !== undefined) {
    Object.defineProperty(error, "stack", { value: data.stack, enumerable: false, configurable: true, writable: true });
  }
  return error;
}

/** A wrong option may be anything, also what cannot cross; then its text goes in its place, so that the error itself arrives. */
function portable(value: unknown): unknown {
  if (typeof value === "function" || typeof value === "symbol") return String(value).slice(0, 200);
  if (typeof value !== "object" || value === null) return value;
  return Array.isArray(value) ? `an array of ${value.length}` : Object.prototype.toString.call(value);
}
