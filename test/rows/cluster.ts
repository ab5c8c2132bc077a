/** One cluster for all tests of a file. Only for the test files themselves: what workers import is in hold.ts. */
import { after, before } from "node:test";
import * as ray from "mobula";
import { leakChecked } from "../harness/index.ts";

/** Starts a cluster before the tests of this file, ends it after them, and then looks for what is left. */
export function sharedCluster(options: ray.InitOptions = {}): void {
  before(async () => {
    await ray.init({ numCpus: 4, logToDriver: false, ...options });
  });
  after(() => ray.shutdown());
  leakChecked("at the end");
}

/** What a promise rejects with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const [end] = await Promise.allSettled([promise]);
  if (end.status === "fulfilled") throw new Error(`expected a rejection, got ${String(end.value)}`);
  return end.reason;
}
