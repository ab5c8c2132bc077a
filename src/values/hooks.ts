/**
 * The two symbols by which a class says itself how its instances cross a process. The public API exports them. Being in the
 * symbol registry, they are the same in every process and in every copy of the package.
 */

/**
 * `static [serialize](instance)` gives the data that stands for an instance: any value that can cross.
 *
 * @example
 * ```ts
 * import { deserialize, serialize } from "mobula";
 *
 * class Money {
 *   #cents: number;
 *   constructor(cents: number) { this.#cents = cents; }
 *   static [serialize](money: Money) { return money.#cents; }
 *   static [deserialize](cents: number) { return new Money(cents); }
 * }
 * ```
 */
export const serialize: unique symbol = Symbol.for("mobula.serialize") as never;

/** `static [deserialize](data)` makes the instance again from what `serialize` gave. */
export const deserialize: unique symbol = Symbol.for("mobula.deserialize") as never;
