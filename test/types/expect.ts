/**
 * What type tests are written with. Nothing here runs: `tsc` is the test.
 */

/** True only for the very same type; `any` is equal to `any` alone. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Does not compile unless given `true`. */
export type Expect<T extends true> = T;

/** Does not compile unless the value has exactly this type: `exactly<number>()(value)`. */
export declare function exactly<Wanted>(): <Given>(value: Given & (Equal<Given, Wanted> extends true ? unknown : never)) => void;
