/**
 * Refs in the order in which they get ready.
 */
import { wait } from "../api/index.ts";
import type { ObjectRef } from "../api/index.ts";
import { Mailbox } from "./mailbox.ts";

/**
 * The refs, each as soon as it is ready (has a value or an error). Leaving the loop early ends the waiting, not the tasks.
 *
 * Throws as `wait` does; a failed task throws only at its `get`.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { asCompleted } from "mobula/util";
 *
 * const work = ray.remote((x: number) => x);
 * let sum = 0;
 * for await (const ref of asCompleted([1, 2, 3].map((x) => work.remote(x)))) sum += await ray.get(ref);
 * console.log(sum); // 6
 * await ray.shutdown();
 * ```
 */
export async function* asCompleted<T>(refs: Iterable<ObjectRef<T>>): AsyncGenerator<ObjectRef<T>, void, undefined> {
  const left = new AbortController();
  const arrived = new Mailbox<{ readonly ref: ObjectRef<T> } | { readonly error: unknown }>();
  let pending = 0;
  for (const ref of refs) {
    pending++;
    // One wait for each: a wait for the next of all would look at all of them each time.
    wait([ref], { signal: left.signal }).then(
      () => arrived.push({ ref }),
      (error: unknown) => arrived.push({ error }),
    );
  }
  try {
    for (; pending > 0; pending--) {
      const next = await arrived.take();
      if ("error" in next) throw next.error;
      yield next.ref;
    }
  } finally {
    if (pending > 0) left.abort();
  }
}
