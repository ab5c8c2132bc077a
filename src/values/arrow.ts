/**
 * The few objects of Arrow libraries that cannot be made from their properties: they keep closures, or take their prototype from a
 * table of their library, so they are made again by their constructor. Recognised by their shape, for no Arrow library is imported
 * here. Their other classes (tables of apache-arrow, batches, schemas, types) cross as any instance of a class of a module does.
 */

/** A vector of apache-arrow: `new Vector(data)`. */
const VECTOR = 0;
/** A table of flechette: `new Table(schema, children)`. */
const TABLE = 1;

export interface ArrowParts {
  readonly kind: number;
  /** The class whose constructor takes the parts. */
  readonly owner: Function;
  readonly data: unknown;
}

export function arrowParts(value: object): ArrowParts | undefined {
  if ("memoize" in value && "getChildAt" in value) {
    const data: unknown = Reflect.get(value, "data");
    const owner = rootClass(value);
    if (owner?.name !== "Vector" || !Array.isArray(data)) return undefined;
    return { kind: VECTOR, owner, data: { data: data as unknown[], memoized: "unmemoize" in value } };
  }
  if ("names" in value && "children" in value && "schema" in value) {
    const { children, schema } = value as { children: unknown; schema: { fields?: unknown } | null };
    const owner = rootClass(value);
    const closures = Object.values(value).some((own) => typeof own === "function");
    if (owner?.name !== "Table" || !closures || !Array.isArray(children) || !Array.isArray(schema?.fields)) return undefined;
    return { kind: TABLE, owner, data: { schema, children: children as unknown[] } };
  }
  return undefined;
}

/** The base class of all: a vector's own prototype is one of its library's, or of a subclass that the library does not export. */
function rootClass(value: object): Function | undefined {
  let last: unknown;
  for (let at: object | null = Object.getPrototypeOf(value); at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    last = Object.getOwnPropertyDescriptor(at, "constructor")?.value ?? last;
  }
  return typeof last === "function" ? last : undefined;
}

/** Throws whatever the constructor throws; undefined if the parts are not those of a known kind. */
export function fromArrowParts(kind: number, owner: unknown, data: unknown): object | undefined {
  if (typeof owner !== "function" || typeof data !== "object" || data === null) return undefined;
  if (kind === VECTOR) {
    const vector = Reflect.construct(owner, [Reflect.get(data, "data")]) as { memoize?: unknown };
    return Reflect.get(data, "memoized") === true && typeof vector.memoize === "function" ? (vector.memoize() as object) : vector;
  }
  return kind === TABLE ? (Reflect.construct(owner, [Reflect.get(data, "schema"), Reflect.get(data, "children")]) as object) : undefined;
}
