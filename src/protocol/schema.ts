/**
 * The vocabulary in which messages are defined: a schema is a value that knows its TypeScript type and
 * checks a decoded value at the edge. Decoded objects are rebuilt field by field, so that unknown fields,
 * `__proto__` included, never get in.
 */
export interface Schema<T> {
  readonly type?: T;
  /** Returns the checked value, or throws `MalformedMessage` with the path to what is wrong. */
  readonly check: (value: unknown, path: string) => T;
}
export type Static<S> = S extends Schema<infer T> ? T : never;

/** What arrived is not what the protocol says; the peer is not trusted further. */
export class MalformedMessage extends Error {
  constructor(path: string, expected: string, got: unknown) {
    super(`malformed message: ${path} should be ${expected}, got ${describe(got)}`);
    this.name = "MalformedMessage";
  }
}

function describe(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string") return `a string of ${value.length}`;
  if (typeof value === "number") return String(value);
  return Array.isArray(value) ? `an array of ${value.length}` : typeof value;
}

/** A string; the type parameter brands it. Default limit 4096 characters. */
export function str<T extends string = string>(max = 4096): Schema<T> {
  return {
    check: (v, path) => {
      if (typeof v === "string" && v.length <= max) return v as T;
      throw new MalformedMessage(path, `a string of at most ${max}`, v);
    },
  };
}

/** A finite number within [min, max]. */
export function num(min = -Number.MAX_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER): Schema<number> {
  return {
    check: (v, path) => {
      if (typeof v === "number" && v >= min && v <= max) return v;
      throw new MalformedMessage(path, `a number in [${min}, ${max}]`, v);
    },
  };
}

/** An integer within [0, max]. */
export function uint(max = Number.MAX_SAFE_INTEGER): Schema<number> {
  return {
    check: (v, path) => {
      if (Number.isInteger(v) && (v as number) >= 0 && (v as number) <= max) return v as number;
      throw new MalformedMessage(path, `an integer in [0, ${max}]`, v);
    },
  };
}

export const bool: Schema<boolean> = {
  check: (v, path) => {
    if (typeof v === "boolean") return v;
    throw new MalformedMessage(path, "a boolean", v);
  },
};

export function bytes(max = 0xffff_ffff): Schema<Uint8Array> {
  return {
    check: (v, path) => {
      if (v instanceof Uint8Array && v.byteLength <= max) return v;
      throw new MalformedMessage(path, `at most ${max} bytes`, v);
    },
  };
}

export function literal<const T extends string>(...options: readonly T[]): Schema<T> {
  return {
    check: (v, path) => {
      if (typeof v === "string" && (options as readonly string[]).includes(v)) return v as T;
      throw new MalformedMessage(path, `one of ${options.join(", ")}`, v);
    },
  };
}

export function list<T>(item: Schema<T>, max = 1_000_000): Schema<T[]> {
  return {
    check: (v, path) => {
      if (!Array.isArray(v) || v.length > max) throw new MalformedMessage(path, `at most ${max} items`, v);
      return v.map((x, i) => item.check(x, `${path}[${i}]`));
    },
  };
}

/** A record with free keys; its prototype is null. */
export function dict<T>(item: Schema<T>, max = 10_000): Schema<Record<string, T>> {
  return {
    check: (v, path) => {
      if (typeof v !== "object" || v === null || Array.isArray(v)) throw new MalformedMessage(path, "a record", v);
      const keys = Object.keys(v);
      if (keys.length > max) throw new MalformedMessage(path, `at most ${max} keys`, v);
      const out = Object.create(null) as Record<string, T>;
      for (const key of keys) out[key] = item.check((v as Record<string, unknown>)[key], `${path}.${key}`);
      return out;
    },
  };
}

export function optional<T>(inner: Schema<T>): Schema<T | undefined> {
  return { check: (v, path) => (v === undefined || v === null ? undefined : inner.check(v, path)) };
}

export type Shape = Readonly<Record<string, Schema<unknown>>>;
type OptionalKeys<S extends Shape> = { [K in keyof S]: undefined extends Static<S[K]> ? K : never }[keyof S];
export type StaticShape<S extends Shape> = {
  [K in Exclude<keyof S, OptionalKeys<S>>]: Static<S[K]>;
} & { [K in OptionalKeys<S>]?: Static<S[K]> };

export function obj<const S extends Shape>(shape: S): Schema<StaticShape<S>> {
  const fields = Object.entries(shape);
  return {
    check: (v, path) => {
      if (typeof v !== "object" || v === null) throw new MalformedMessage(path, "an object", v);
      const out: Record<string, unknown> = {};
      for (const [name, schema] of fields) {
        out[name] = schema.check((v as Record<string, unknown>)[name], `${path}.${name}`);
      }
      return out as StaticShape<S>;
    },
  };
}

/** A union told apart by the field `kind`. */
export function oneOf<const V extends Readonly<Record<string, Shape>>>(
  variants: V,
): Schema<{ [K in keyof V & string]: { kind: K } & StaticShape<V[K]> }[keyof V & string]> {
  const table = new Map(Object.entries(variants).map(([kind, shape]) => [kind, obj(shape)]));
  return {
    check: (v, path) => {
      const kind = typeof v === "object" && v !== null ? (v as { kind?: unknown }).kind : undefined;
      const schema = typeof kind === "string" ? table.get(kind) : undefined;
      if (!schema) throw new MalformedMessage(`${path}.kind`, `one of ${[...table.keys()].join(", ")}`, kind);
      return Object.assign(schema.check(v, path), { kind }) as never;
    },
  };
}
