/**
 * What control has decided leaves it only when it is durable. Everything that happens in one turn is one batch: its changes are one
 * write, and when that is done its effects go out, in the order of the batches. The store joins writes that come together.
 */
import type { Change, ControlStore } from "../stores/index.ts";

/** A store takes at most so much in one write. */
const WRITE_CHANGES = 50_000;
const WRITE_BYTES = 32 * 1024 * 1024;

interface Batch {
  readonly effects: (() => void)[];
  durable: boolean;
}

export class Output {
  readonly #store: ControlStore;
  readonly #changes: () => Change[];
  readonly #failed: (error: Error) => void;
  #effects: (() => void)[] = [];
  readonly #pending: Batch[] = [];

  /** `changes` gives what has changed since the last call. `failed`: nothing can be written any more. */
  constructor(store: ControlStore, changes: () => Change[], failed: (error: Error) => void) {
    this.#store = store;
    this.#changes = changes;
    this.#failed = failed;
  }

  /** To be done when all that has changed until now is durable. */
  after(effect: () => void): void {
    this.#effects.push(effect);
  }

  /** Ends a batch. */
  commit(): void {
    const changes = this.#changes();
    const effects = this.#effects;
    if (changes.length === 0 && effects.length === 0) return;
    this.#effects = [];
    if (changes.length === 0 && this.#pending.length === 0 && this.#store.leads()) {
      for (const effect of effects) effect();
      return;
    }
    const batch: Batch = { effects, durable: false };
    this.#pending.push(batch);
    // An empty write shows that this is still the leader.
    const writes = split(changes).map((part) => this.#store.write(part));
    Promise.all(writes).then(
      () => {
        batch.durable = true;
        this.#flush();
      },
      (error: Error) => this.#failed(error),
    );
  }

  #flush(): void {
    while (this.#pending[0]?.durable === true) for (const effect of this.#pending.shift()!.effects) effect();
  }
}

function split(changes: readonly Change[]): Change[][] {
  const parts: Change[][] = [[]];
  let bytes = 0;
  for (const change of changes) {
    const size = change.key.length * 3 + (change.value?.byteLength ?? 0) + 64;
    if (parts.at(-1)!.length >= WRITE_CHANGES || (bytes > 0 && bytes + size > WRITE_BYTES)) {
      parts.push([]);
      bytes = 0;
    }
    parts.at(-1)!.push(change);
    bytes += size;
  }
  return parts;
}
