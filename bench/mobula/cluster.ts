/** The cluster that the loops of this project run on: one for the whole driver, started when the first loop needs it. */
import * as ray from "mobula";

/** What every contender gets. */
export const WORKERS = 2;
/** Large enough for two objects of 1 GiB. */
export const STORE_BYTES = 3 * 2 ** 30;

export async function cluster(): Promise<void> {
  if (ray.isInitialized()) return;
  await ray.init({ numCpus: WORKERS, objectStoreMemory: STORE_BYTES, resources: { custom: 100 } });
}
