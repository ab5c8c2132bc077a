/** Stores of control's state: which there are, and the one place where they are made. */
import type { ControlStore } from "./contract.ts";
import { GroupedStore } from "./grouped.ts";
import { MemoryBackend, MemoryPlace } from "./memory.ts";

export type { Change, ControlStore, Entry, Leader, Loaded, OpenOptions } from "./contract.ts";
export { MemoryPlace } from "./memory.ts";

export type ControlStoreSpec = { readonly kind: "memory"; readonly memory?: MemoryPlace };

/** A store that is not open yet; nothing is touched or connected before `open` or `leader`. */
export function createControlStore(spec: ControlStoreSpec): ControlStore {
  return new GroupedStore(new MemoryBackend(spec.memory ?? new MemoryPlace()));
}
