/**
 * The fixed part of a function that crosses by value: what goes into `code` of a FunctionRecord, as JSON.
 * Not here: how it is made (capture.ts) or run (rebuild.ts).
 */
import type { Wrap } from "./syntax.ts";

/** A name in the text that is bound to a module or to a part of it. */
export interface ImportBinding {
  readonly local: string;
  /** A module key, see modules.ts. */
  readonly module: string;
  /** `*` the namespace, `cjs` what `require` gives, `interop` the namespace that bundlers build around `require`, else an export. */
  readonly name: string;
}

/** Members on `prototype` that the text does not make: assigned later, by a decorator or by hand. */
export interface PrototypeMember {
  readonly key: string;
  readonly enumerable: boolean;
}

export type KeyText = { readonly name: string } | { readonly symbol: string };

export interface SourceCode {
  readonly kind: "function" | "class";
  readonly wrap: Wrap;
  readonly text: string;
  readonly name: string | undefined;
  /** The key of a method or accessor. */
  readonly key?: KeyText;
  readonly strict: boolean;
  /** Where the text stood; the address is empty for code that was never in a file. Line and column are zero-based. */
  readonly url: string;
  readonly line: number;
  readonly column: number;
  readonly inModule: boolean;
  /** Names bound to the captures, in their order. After them come the base and the prototype members. */
  readonly names: readonly string[];
  /** Names bound to the function itself. */
  readonly self: readonly string[];
  readonly imports: readonly ImportBinding[];
  /** Names bound to an `import.meta` of the original file. */
  readonly meta: readonly string[];
  /** Names bound to a `require` of the original file. */
  readonly requires: readonly string[];
  /** Names bound to esbuild's helper that keeps function names. */
  readonly naming: readonly string[];
  /** The base class, or the constructor whose prototype is inherited from, is a capture. */
  readonly base: boolean;
  readonly members: readonly PrototypeMember[];
}

export interface BoundCode {
  readonly kind: "bound";
  readonly name: string | undefined;
  readonly length: number;
}

export type Code = SourceCode | BoundCode;

/** Stands for `import.meta` in rebuilt text. As long as it is, so that columns stay. */
export const metaName = "__mob_meta_";
export const baseName = "__mobulaBase";
export const deferName = "__mobulaDefer";
/** In the scope of every rebuilt function, so that closures made inside it can be traced back. */
export const markName = "__mobulaCode";

export function printCode(code: Code): string {
  return JSON.stringify(code);
}

const parsed = new Map<string, Code>();

export function parseCode(text: string): Code {
  let code = parsed.get(text);
  if (code === undefined) {
    code = JSON.parse(text) as Code;
    if (parsed.size >= 1000) parsed.clear();
    parsed.set(text, code);
  }
  return code;
}

/** Own enumerable data properties that are laid over the rebuilt function; symbols only where they mean the same everywhere. */
export function ownProperties(fn: Function, skip: (value: unknown) => boolean): [PropertyKey, unknown][] {
  const found: [PropertyKey, unknown][] = [];
  for (const key of Reflect.ownKeys(fn)) {
    const property = Object.getOwnPropertyDescriptor(fn, key);
    if (property === undefined || property.enumerable !== true || !("value" in property) || skip(property.value)) continue;
    if (typeof key === "string" || portableSymbol(key) !== undefined) found.push([key, property.value]);
  }
  return found;
}

const wellKnownSymbols = new Map<symbol, string>();
for (const name of Object.getOwnPropertyNames(Symbol)) {
  const value: unknown = Reflect.get(Symbol, name);
  if (typeof value === "symbol") wellKnownSymbols.set(value, `Symbol.${name}`);
}

/** An expression for a symbol that is the same in every process. */
export function portableSymbol(symbol: symbol): string | undefined {
  const registered = Symbol.keyFor(symbol);
  return registered === undefined ? wellKnownSymbols.get(symbol) : `Symbol.for(${JSON.stringify(registered)})`;
}
