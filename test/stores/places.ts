/** The kinds of control stores as the behaviour suite sees them: a place where stores can be made, one after the other. */
import path from "node:path";
import type { TestContext } from "node:test";
import { createControlStore, MemoryPlace } from "../../src/runtime/stores/index.ts";
import type { ControlStore, Entry } from "../../src/runtime/stores/index.ts";
import { freshFolder } from "../harness/index.ts";
import { noRedis, RedisServer } from "./redis-server.ts";

export interface Place {
  /** Another store object over the same place, as another process would make it. */
  store(): ControlStore;
}

/** How each kind makes a fresh place for a test. A kind that cannot run here says why. */
export const kinds: Readonly<Record<string, { readonly missing?: string; place(t: TestContext): Place | Promise<Place> }>> = {
  memory: {
    place: () => {
      const memory = new MemoryPlace();
      return { store: () => createControlStore({ kind: "memory", memory }) };
    },
  },
  durable: {
    place: (t) => {
      const folder = path.join(freshFolder(t), "state");
      return { store: () => createControlStore({ kind: "durable", folder }) };
    },
  },
  redis: {
    missing: noRedis,
    place: async (t) => {
      const server = await RedisServer.start(t);
      return { store: () => createControlStore({ kind: "redis", url: server.url(), clusterId: "c1" }) };
    },
  },
};

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Entries as an object that can be compared: "table/key" to text. */
export function shown(entries: Iterable<Entry>): Record<string, string> {
  const pairs = [...entries].map(({ table, key, value }) => [`${table}/${key}`, Buffer.from(value).toString("utf8")] as const);
  return Object.fromEntries(pairs.toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
