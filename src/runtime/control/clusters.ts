/**
 * Which cluster a token is of, in a Redis that several clusters share: a standby is given the Redis and the token, and no more. The token
 * is not in the name that is looked up, and cannot be found by it: a key is derived from it, as for a proof.
 */
import { formatAddress } from "../network/index.ts";
import type { Secret } from "../network/index.ts";
import { createControlStore, notedIn, noteIn } from "../stores/index.ts";
import type { ControlStoreSpec } from "../stores/index.ts";
import { leaderAddress } from "./standby.ts";

const nameOf = (token: Secret): string => `cluster:${token.derive("the name of a cluster in a shared store").toString("hex").slice(0, 32)}`;

export const noteCluster = (redis: string, token: Secret, clusterId: string): Promise<void> => noteIn(redis, nameOf(token), clusterId);

/** Undefined when no cluster of this token has ever had a leader there. */
export const clusterOf = (redis: string, token: Secret): Promise<string | undefined> => notedIn(redis, nameOf(token));

/** Where its control leads now, `host:port`. */
export async function leaderOf(spec: ControlStoreSpec): Promise<string | undefined> {
  const store = createControlStore(spec);
  try {
    const address = await leaderAddress(store);
    return address && formatAddress(address);
  } finally {
    await store.close();
  }
}
