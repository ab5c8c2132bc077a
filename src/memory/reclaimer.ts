/**
 * Cleans up after objects that became unreachable: a FinalizationRegistry that can also be asked at once. The engine runs
 * finalizers between turns only, which never come for a process that blocks because its own garbage fills the store.
 */
interface Entry {
  readonly target: WeakRef<object>;
  readonly cleanUp: () => void;
}

export class Reclaimer {
  readonly #entries = new Set<Entry>();
  readonly #registry = new FinalizationRegistry<Entry>((entry) => this.#run(entry));

  /** Calls `cleanUp`, which must not hold `target`, once after it is unreachable. */
  watch(target: object, cleanUp: () => void): void {
    const entry: Entry = { target: new WeakRef(target), cleanUp };
    this.#entries.add(entry);
    this.#registry.register(target, entry, entry);
  }

  /** Cleans up now what the last garbage collection found. */
  sweep(): void {
    for (const entry of this.#entries) if (entry.target.deref() === undefined) this.#run(entry);
  }

  #run(entry: Entry): void {
    if (!this.#entries.delete(entry)) return;
    this.#registry.unregister(entry);
    entry.cleanUp();
  }
}
