/** Ids by the process that holds, fetches or will make them; empty sets are dropped. */
import type { ProcessId } from "../../protocol/ids.ts";
import type { RefId } from "./record.ts";

export class Holdings {
  readonly #sets = new Map<ProcessId, Set<RefId>>();

  add(process: ProcessId, id: RefId): void {
    const set = this.#sets.get(process);
    if (set === undefined) this.#sets.set(process, new Set([id]));
    else set.add(id);
  }

  delete(process: ProcessId, id: RefId): void {
    const set = this.#sets.get(process);
    if (set?.delete(id) && set.size === 0) this.#sets.delete(process);
  }

  has(process: ProcessId, id: RefId): boolean {
    return this.#sets.get(process)?.has(id) ?? false;
  }

  take(process: ProcessId): RefId[] {
    const set = this.#sets.get(process);
    this.#sets.delete(process);
    return set === undefined ? [] : [...set];
  }

  get size(): number {
    let size = 0;
    for (const set of this.#sets.values()) size += set.size;
    return size;
  }
}
