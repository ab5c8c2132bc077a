/**
 * What bodies, paths and queries of requests consist of: each field says what it is in JSON Schema, for the description of the API, and
 * checks a value, so that the two cannot differ. A checked object is built anew from its known fields, as messages are.
 */
import { nearest } from "../../errors/index.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

export interface Field<T> {
  readonly schema: JsonSchema;
  /** Throws BadField. */
  check(value: unknown, at: string): T;
}
export type Checked<F> = F extends Field<infer T> ? T : never;

/** `at`: the path to what is wrong, such as `runtimeEnv.npm[2]`. */
export class BadField extends Error {
  readonly at: string;

  constructor(at: string, message: string) {
    super(message);
    this.at = at;
  }
}

/** `expected` says what it must be. */
export const badField = (at: string, expected: string, got: unknown): BadField =>
  new BadField(at, `${at} must be ${expected}, and is ${shown(got)}.`);

function shown(value: unknown): string {
  if (value === undefined) return "missing";
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value === "object" && value !== null) return "an object";
  const text = typeof value === "string" ? JSON.stringify(value) : String(value);
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

export function text(options: { least?: number; most: number; pattern?: RegExp; expected?: string; about?: string }): Field<string> {
  const { least = 0, most, pattern, about } = options;
  const expected = options.expected ?? `a string of ${least} to ${most} characters`;
  return {
    schema: { type: "string", minLength: least, maxLength: most, ...(pattern && { pattern: pattern.source }), ...described(about) },
    check: (value, at) => {
      const fits = typeof value === "string" && value.length >= least && value.length <= most && !value.includes("\0");
      if (fits && (pattern === undefined || pattern.test(value))) return value;
      throw badField(at, expected, value);
    },
  };
}

/** `least` itself is allowed, unless `above`. */
export function number(options: { least?: number; most?: number; above?: boolean; integer?: boolean; about?: string }): Field<number> {
  const { least = -Number.MAX_SAFE_INTEGER, most = Number.MAX_SAFE_INTEGER, above = false, integer = false, about } = options;
  const bound = options.least === undefined ? "" : above ? ` above ${least}` : ` of at least ${least}`;
  const expected = `${integer ? "a whole number" : "a number"}${bound}${options.most === undefined ? "" : `, at most ${most}`}`;
  return {
    schema: {
      type: integer ? "integer" : "number",
      ...(options.least === undefined ? {} : { [above ? "exclusiveMinimum" : "minimum"]: least }),
      ...(options.most === undefined ? {} : { maximum: most }),
      ...described(about),
    },
    check: (value, at) => {
      const fits = typeof value === "number" && value <= most && (above ? value > least : value >= least);
      if (fits && (!integer || Number.isInteger(value))) return value;
      throw badField(at, expected, value);
    },
  };
}

export const bool = (about?: string): Field<boolean> => ({
  schema: { type: "boolean", ...described(about) },
  check: (value, at) => {
    if (typeof value === "boolean") return value;
    throw badField(at, "true or false", value);
  },
});

export function constant<const T extends string>(value: T, about?: string): Field<T> {
  return {
    schema: { const: value, ...described(about) },
    check: (given, at) => {
      if (given === value) return value;
      throw badField(at, JSON.stringify(value), given);
    },
  };
}

export function list<T>(item: Field<T>, options: { least?: number; most: number; about?: string }): Field<T[]> {
  const { least = 0, most, about } = options;
  return {
    schema: { type: "array", items: item.schema, minItems: least, maxItems: most, ...described(about) },
    check: (value, at) => {
      if (!Array.isArray(value) || value.length < least || value.length > most) {
        throw badField(at, `an array of ${least} to ${most}`, value);
      }
      return value.map((one, i) => item.check(one, `${at}[${i}]`));
    },
  };
}

/** Free keys; the result has no prototype. */
export function dict<T>(item: Field<T>, options: { most: number; key?: RegExp; about?: string }): Field<Record<string, T>> {
  const { most, key = /^[^\0]{1,256}$/, about } = options;
  return {
    schema: {
      type: "object",
      additionalProperties: item.schema,
      maxProperties: most,
      propertyNames: { pattern: key.source },
      ...described(about),
    },
    check: (value, at) => {
      if (!isObject(value)) throw badField(at, "an object", value);
      const names = Object.keys(value);
      if (names.length > most) throw badField(at, `an object with at most ${most} fields`, value);
      const out = Object.create(null) as Record<string, T>;
      for (const name of names) {
        if (!key.test(name) || name === "__proto__") throw new BadField(at, `${at} may not have the name ${shown(name)}.`);
        out[name] = item.check(value[name], `${at}.${name}`);
      }
      return out;
    },
  };
}

/** The first that takes it; `expected` says what all together are. */
export function either<A, B>(a: Field<A>, b: Field<B>, pick: (value: unknown) => "a" | "b", about?: string): Field<A | B> {
  return {
    schema: { anyOf: [a.schema, b.schema], ...described(about) },
    check: (value, at) => (pick(value) === "a" ? a.check(value, at) : b.check(value, at)),
  };
}

export interface Optional<T> extends Field<T | undefined> {
  readonly optional: true;
}

/** Null is the same as absent. */
export function optional<T>(field: Field<T>): Optional<T> {
  return {
    schema: field.schema,
    optional: true,
    check: (value, at) => (value === undefined || value === null ? undefined : field.check(value, at)),
  };
}

type Fields = Readonly<Record<string, Field<unknown>>>;
type OptionalNames<F extends Fields> = { [K in keyof F]: F[K] extends Optional<unknown> ? K : never }[keyof F];
export type CheckedFields<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalNames<F>>]: Checked<F[K]>;
} & { readonly [K in OptionalNames<F>]?: Exclude<Checked<F[K]>, undefined> };

/** Fields that it does not know are refused by name: a wrong name would else be a wish that nobody heard. */
export function object<const F extends Fields>(fields: F, about?: string): Field<CheckedFields<F>> {
  const names = Object.keys(fields);
  const required = names.filter((name) => !("optional" in fields[name]!));
  return {
    schema: {
      type: "object",
      properties: Object.fromEntries(names.map((name) => [name, fields[name]!.schema])),
      required,
      additionalProperties: false,
      ...described(about),
    },
    check: (value, at) => {
      if (!isObject(value)) throw badField(at === "" ? "body" : at, "an object", value);
      const inside = (name: string): string => (at === "" ? name : `${at}.${name}`);
      for (const name of Object.keys(value)) {
        if (!names.includes(name)) throw new BadField(inside(name.slice(0, 100)), notKnown(inside(name), name, names));
      }
      const out: Record<string, unknown> = {};
      for (const name of names) {
        const checked = fields[name]!.check(Object.hasOwn(value, name) ? value[name] : undefined, inside(name));
        if (checked !== undefined) out[name] = checked;
      }
      return out as CheckedFields<F>;
    },
  };
}

function notKnown(at: string, name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  return `There is no field ${shown(at)}. ${near === undefined ? `Fields: ${names.join(", ")}.` : `Did you mean ${near}?`}`;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const described = (about: string | undefined): { description?: string } => (about === undefined ? {} : { description: about });
