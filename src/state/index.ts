/**
 * The package `mobula/state`: what the cluster is doing, for listings.
 */
import type { ObjectStoreState } from "../runtime/engine.ts";
import { engine } from "../api/session.ts";

export type { ObjectStoreState } from "../runtime/engine.ts";

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
