/**
 * The base of every error that mobula throws, and the two rules all of them follow: `instanceof` goes by a brand,
 * so that it holds across two copies of the package, and a message says what happened, to what, why, and what to do.
 * Not here: the single classes (classes.ts), or how an error crosses a process (data.ts).
 */

/** On the prototype of each class: its name. Shared between copies of the package through the symbol registry. */
export const errorBrand: unique symbol = Symbol.for("mobula.error") as never;

/** Fields that any error may carry. Single classes narrow and document them. */
export interface ErrorDetails {
  /** The error behind this one. */
  readonly cause?: unknown;
}

/**
 * Base class of all errors of mobula.
 *
 * `code` is stable and the thing to switch on; `name` is the name of the class; every other field depends on the class.
 * `instanceof` works for errors of another copy of mobula in the same process too.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * try {
 *   await ray.get(ray.remote(() => { throw new RangeError("no"); }).remote());
 * } catch (error) {
 *   if (error instanceof ray.MobulaError) console.log(error.code); // TASK_FAILED
 * }
 * await ray.shutdown();
 * ```
 */
export class MobulaError extends Error {
  /** Stable identifier of the kind of error, as in docs/errors.md. */
  readonly code: string;
  /** The class an error belongs to, on the prototype. */
  declare readonly [errorBrand]: string;

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, "cause" in details && details.cause !== undefined ? { cause: details.cause } : undefined);
    this.code = code;
    for (const [key, value] of Object.entries(details)) {
      if (key !== "cause" && value !== undefined) {
        Object.defineProperty(this, key, { value, enumerable: true, configurable: true, writable: true });
      }
    }
  }

  static override [Symbol.hasInstance](this: { prototype: object }, value: unknown): boolean {
    const wanted: unknown = Object.hasOwn(this.prototype, errorBrand) ? Reflect.get(this.prototype, errorBrand) : undefined;
    // A user's own subclass has no brand: the ordinary rule holds for it.
    if (wanted === undefined) return Function.prototype[Symbol.hasInstance].call(this, value);
    if (typeof value !== "object" || value === null) return false;
    for (let at: object | null = Object.getPrototypeOf(value); at !== null; at = Object.getPrototypeOf(at)) {
      if (Object.hasOwn(at, errorBrand) && Reflect.get(at, errorBrand) === wanted) return true;
    }
    return false;
  }
}

/** Gives a class its name and brand. Called once for each, beside its definition. */
export function brand(name: string, type: { readonly prototype: object }): void {
  const fixed = { enumerable: false, configurable: true, writable: true };
  Object.defineProperty(type.prototype, "name", { ...fixed, value: name });
  Object.defineProperty(type.prototype, errorBrand, { ...fixed, value: name });
}

brand("MobulaError", MobulaError);

/** Joins the parts of a message: what happened and to what; why; what to do. Each is a sentence; empty ones are left out. */
export function explain(what: string, why?: string, todo?: string): string {
  return [what, why, todo]
    .filter((part): part is string => part !== undefined && part !== "")
    .map((part) => (/[.!?:]$/.test(part) ? part : `${part}.`))
    .join(" ");
}
