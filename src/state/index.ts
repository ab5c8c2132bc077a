/**
 * The package `mobula/state`: what the cluster is doing, for listings.
 */
import type { NodeCounts, ObjectStoreState } from "../runtime/engine.ts";
import { engine } from "../api/session.ts";

export type { NodeCounts, ObjectStoreState } from "../runtime/engine.ts";

/**
 * The object store of each node: bytes it has and uses in memory, how many objects, bytes on disk.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { objectStore } from "mobula/state";
 *
 * await ray.init();
 * const [store] = await objectStore();
 * console.log(store !== undefined && store.used <= store.capacity); // true
 * await ray.shutdown();
 * ```
 */
export async function objectStore(): Promise<ObjectStoreState[]> {
  return [...(await engine().objectStore())];
}

/**
 * How much each node keeps track of: worker processes, actors, leases, requests that wait, references. What is let go of is
 * noticed by garbage collectors: see `collectGarbage`.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { counts } from "mobula/state";
 *
 * await ray.init();
 * const [node] = await counts();
 * console.log(node?.actors, node?.references); // 0 0
 * await ray.shutdown();
 * ```
 */
export async function counts(): Promise<NodeCounts[]> {
  return [...(await engine().counts())];
}

/**
 * Asks every process of the cluster to collect garbage, so that references and views nobody can reach any more are let go
 * of soon. For tests and for finding leaks: it stops each process for a moment.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { collectGarbage, objectStore } from "mobula/state";
 *
 * await ray.init();
 * await ray.get(ray.put(new Float64Array(100_000)));
 * await collectGarbage();
 * console.log((await objectStore()).length); // 1
 * await ray.shutdown();
 * ```
 */
export async function collectGarbage(): Promise<void> {
  await engine().collectGarbage();
}
