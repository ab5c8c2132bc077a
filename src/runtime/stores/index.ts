/** Stores of control's state: which there are, and the one place where they are made. */
import type { Backend, ControlStore } from "./contract.ts";
import { DurableBackend } from "./durable.ts";
import type { DurableOptions } from "./durable.ts";
import { GroupedStore } from "./grouped.ts";
import { MemoryBackend, MemoryPlace } from "./memory.ts";
import { RedisBackend } from "./redis.ts";
import type { RedisOptions } from "./redis.ts";

export { notedIn, noteIn } from "./redis-notes.ts";

export type { Change, ControlStore, Entry, Leader, Loaded, OpenOptions } from "./contract.ts";
export { MemoryPlace } from "./memory.ts";

export type ControlStoreSpec =
  | { readonly kind: "memory"; readonly memory?: MemoryPlace }
  | ({ readonly kind: "durable" } & DurableOptions)
  | ({ readonly kind: "redis" } & RedisOptions);

/** A store that is not open yet; nothing is touched or connected before `open` or `leader`. */
export function createControlStore(spec: ControlStoreSpec): ControlStore {
  return new GroupedStore(backendOf(spec));
}

function backendOf(spec: ControlStoreSpec): Backend {
  switch (spec.kind) {
    case "memory":
      return new MemoryBackend(spec.memory ?? new MemoryPlace());
    case "durable":
      return new DurableBackend(spec);
    case "redis":
      return new RedisBackend(spec);
  }
}
