/** The control store that keeps nothing: entries live as long as this process. For tests, and where nothing has to survive. */
import { ControlStoreError, explain } from "../../errors/index.ts";
import type { Backend, Change, Entry, Leader, Loaded } from "./contract.ts";

/** What several memory stores write to, one at a time: the folder or Redis of the others. */
export class MemoryPlace {
  readonly entries = new Map<string, Entry>();
  epoch = 0;
  leader: Leader | undefined;
}

export class MemoryBackend implements Backend {
  readonly place = "memory";
  readonly #memory: MemoryPlace;
  #mine: Leader | undefined;

  constructor(memory: MemoryPlace) {
    this.#memory = memory;
  }

  open(holder: string): Promise<Loaded> {
    const other = this.#memory.leader;
    if (other !== undefined) return Promise.reject(inUse(this.place, other.holder));
    this.#mine = { epoch: ++this.#memory.epoch, holder };
    this.#memory.leader = this.#mine;
    return Promise.resolve({ epoch: this.#mine.epoch, entries: [...this.#memory.entries.values()], warnings: [] });
  }

  commit(changes: readonly Change[]): Promise<void> {
    for (const { table, key, value } of changes) {
      const name = `${table}:${key}`;
      if (value === undefined) this.#memory.entries.delete(name);
      else this.#memory.entries.set(name, { table, key, value });
    }
    return Promise.resolve();
  }

  leads(): boolean {
    return this.#mine !== undefined && this.#memory.leader === this.#mine;
  }

  leader(): Promise<Leader | undefined> {
    return Promise.resolve(this.#memory.leader);
  }

  close(): Promise<void> {
    if (this.leads()) this.#memory.leader = undefined;
    return Promise.resolve();
  }
}

/** Another leader is alive. */
export function inUse(place: string, holder: string): ControlStoreError {
  const message = explain(
    `The control store at ${place} is in use by ${holder}`,
    undefined,
    "Stop that one first, or take another place for this cluster.",
  );
  return new ControlStoreError(message, { reason: "in-use", place, holder });
}
