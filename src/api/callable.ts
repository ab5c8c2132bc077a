/**
 * Functions that stand for objects: a remote function and an actor class are objects with methods, yet calling one must say what
 * to do in its place, so users get a function in front. The object behind it is what crosses processes.
 */

/** On the function: the object that it stands for. The value codec writes that one; see `inFrontOf`. */
export const standInFor: unique symbol = Symbol.for("mobula.standInFor") as never;

/**
 * A function that throws `refusal()` when called or constructed, and is like `object` in every other way: same methods, same class.
 */
export function inFrontOf<T extends object>(object: T, name: string, refusal: () => Error): T {
  const front = function (): never {
    throw refusal();
  };
  Object.defineProperty(front, "name", { value: name, configurable: true });
  Object.defineProperty(front, standInFor, { value: object });
  Object.setPrototypeOf(front, object);
  return front as unknown as T;
}

/** The object behind a front, or the value itself. */
export function behind(value: unknown): unknown {
  return typeof value === "function" && standInFor in value ? value[standInFor] : value;
}
