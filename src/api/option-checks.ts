/**
 * The checks that options are made of: each gives the checked value or throws InvalidOptionError, naming the option, what was
 * given and what is allowed. Which option has which check is in options.ts.
 */
import { inspect } from "node:util";
import { InvalidOptionError, explain, suggest } from "../errors/index.ts";

/** Resource amounts are counted in these. */
export const AMOUNT_UNIT = 10_000;
/** Largest amount, so that units stay exact. */
export const MAX_AMOUNT = Math.floor(Number.MAX_SAFE_INTEGER / AMOUNT_UNIT);

export type Raw = Readonly<Record<string, unknown>>;

export function shown(value: unknown): string {
  return inspect(value, { depth: 0, breakLength: Infinity, maxStringLength: 80, maxArrayLength: 5 });
}

/** Throws: this option was given this, and should be that. */
export function refuse(option: string, value: unknown, allowed: string, todo?: string): never {
  throw new InvalidOptionError(explain(`${option} must be ${allowed}, got ${shown(value)}`, todo), { option, value });
}

/** An options object: plain, or undefined for none. Names that are not allowed are refused with the nearest right one. */
export function checkNames(what: string, options: unknown, names: readonly string[], elsewhere: Raw = {}): Raw {
  if (options === undefined) return {};
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    refuse(`the options of ${what}`, options, `an object of: ${names.join(", ")}`);
  }
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (!names.includes(name)) {
      const place = elsewhere[name];
      const hint = typeof place === "string" ? place : suggest(name, names);
      throw new InvalidOptionError(`${what} has no option "${name}". ${hint}`, { option: name, value });
    }
    if (value !== undefined) given[name] = value;
  }
  return given;
}

/** An integer of at least `min`, or -1 for "without bound". */
export function count(option: string, value: unknown, min: 0 | 1, max = Number.MAX_SAFE_INTEGER): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && (value === -1 || (value >= min && value <= max))) return value;
  return refuse(option, value, `a whole number of at least ${min}, or -1 for no bound`);
}

export function integer(option: string, value: unknown, min: number, max: number): number {
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max) return value;
  return refuse(option, value, `a whole number from ${min} to ${max}`);
}

export function finite(option: string, value: unknown, min = -Number.MAX_SAFE_INTEGER): number {
  if (typeof value === "number" && value >= min && value <= Number.MAX_SAFE_INTEGER) return value;
  return refuse(option, value, min === -Number.MAX_SAFE_INTEGER ? "a finite number" : `a number of at least ${min}`);
}

export function bool(option: string, value: unknown): boolean {
  return typeof value === "boolean" ? value : refuse(option, value, "true or false");
}

export function text(option: string, value: unknown, max = 256): string {
  if (typeof value === "string" && value.length > 0 && value.length <= max) return value;
  return refuse(option, value, `a string of 1 to ${max} characters`);
}

export function choice<const T extends string>(option: string, value: unknown, allowed: readonly T[]): T {
  const found = allowed.find((one) => one === value);
  if (found !== undefined) return found;
  const near = typeof value === "string" && allowed.length > 1 ? suggest(value, allowed) : undefined;
  return refuse(option, value, allowed.map((one) => `"${one}"`).join(" or "), near);
}

/** An AbortSignal, of any realm. */
export function abortSignal(option: string, value: unknown): AbortSignal {
  const fits = typeof value === "object" && value !== null && "aborted" in value && "addEventListener" in value;
  return fits
    ? (value as AbortSignal)
    : refuse(option, value, "an AbortSignal", value instanceof AbortController ? "Pass its signal" : undefined);
}

/** A resource amount in ten-thousandths. What is finer is cut off, so that thirds fit into one; below 0.0001 nothing is left. */
export function amount(option: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 0) || value > MAX_AMOUNT) {
    refuse(option, value, `a number from 0 to ${MAX_AMOUNT}`);
  }
  const exact = value * AMOUNT_UNIT;
  const near = Math.round(exact);
  // 0.0029 * 10000 is 28.999999999999996.
  const units = Math.abs(exact - near) <= 1e-9 * Math.max(1, near) ? near : Math.floor(exact);
  return units === 0 && value > 0 ? refuse(option, value, "0 or at least 0.0001") : units;
}

/** GPUs: shared ones are parts of one, others are whole. */
export function gpus(option: string, value: unknown): number {
  const units = amount(option, value);
  return units > AMOUNT_UNIT && units % AMOUNT_UNIT !== 0 ? refuse(option, value, "a whole number when above 1") : units;
}

/** Bytes as an amount. */
export function bytes(option: string, value: unknown, min = 0): number {
  return integer(option, value, min, MAX_AMOUNT);
}

/** More names than anybody writes, and few enough for messages of bounded length. */
const NAMES_MAX = 200;

/** A record of strings to what `check` gives. Its prototype is null, so that any name is safe. */
export function record<T>(
  option: string,
  value: unknown,
  check: (option: string, value: unknown, name: string) => T,
  most = NAMES_MAX,
): Record<string, T> {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Map) {
    refuse(option, value, "an object of names and values");
  }
  const out = Object.create(null) as Record<string, T>;
  const entries = Object.entries(value);
  if (entries.length > most) refuse(option, `${entries.length} names`, `at most ${most} names`);
  for (const [name, item] of entries) {
    if (item === undefined) continue;
    if (name === "" || name.length > 256) refuse(`a name in ${option}`, name, "1 to 256 characters long");
    out[name] = check(`${option}.${name}`, item, name);
  }
  return out;
}

/** An environment variable; its name has no `=` in it. */
export function envVar(option: string, value: unknown, name: string): string {
  if (name.includes("=") || name.includes("\0")) refuse(`a name in ${option.slice(0, -name.length - 1)}`, name, "free of `=`");
  if (typeof value !== "string" || value.includes("\0")) refuse(option, value, "a string", "Environment variables are text");
  return value.length <= 32 * 1024 ? value : refuse(option, value, "at most 32768 characters");
}

/** A label and what is asked of it: `value`, `!value`, `in(a,b)`, `!in(a,b)`. */
export function labelQuery(option: string, value: unknown): string {
  const query = text(option, value);
  const listed = /^!?in\(/.test(query);
  const good = listed ? /^!?in\([^(),]+(,[^(),]+)*\)$/.test(query) : /^!?[^!(),]+$/.test(query);
  return good ? query : refuse(option, value, "`value`, `!value`, `in(a,b)` or `!in(a,b)`");
}
