/**
 * What a pool's tasks run, on the worker. Self-contained: these functions cross by reference, or by value from a bundle.
 */

/** Calls `fn` with each item, one after another. Awaits only what is a promise: a tiny synchronous function stays tiny. */
export function runEach(fn: (item: unknown) => unknown, items: ArrayLike<unknown>): unknown[] | Promise<unknown[]> {
  const out: unknown[] = [];
  const rest = async (first: PromiseLike<unknown>): Promise<unknown[]> => {
    out.push(await first);
    for (let i = out.length; i < items.length; i++) out.push(await fn(items[i]));
    return out;
  };
  for (let i = 0; i < items.length; i++) {
    const result = fn(items[i]);
    if (typeof result === "object" && result !== null && "then" in result && typeof result.then === "function") {
      return rest(result as PromiseLike<unknown>);
    }
    out.push(result);
  }
  return out;
}

/** As `runEach`, with each item as the list of arguments. */
export function runEachSpread(fn: (...args: unknown[]) => unknown, items: ArrayLike<readonly unknown[]>): Promise<unknown[]> {
  const all = async (): Promise<unknown[]> => {
    const out: unknown[] = [];
    for (let i = 0; i < items.length; i++) out.push(await fn(...(items[i] ?? [])));
    return out;
  };
  return all();
}
