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
  readonly #byTarget = new WeakMap<object, Entry>();
  readonly #registry = new FinalizationRegistry<Entry>((entry) => this.#run(entry));

  /** Calls `cleanUp`, which must not hold `target`, once after it is unreachable. */
  watch(target: object, cleanUp: () => void): void {
    const entry: Entry = { target: new WeakRef(target), cleanUp };
    this.#entries.add(entry);
    this.#registry.register(target, entry, entry);
    this.#byTarget.set(target, entry);
  }

  /** What was watched needs no cleaning up any more. */
  forget(target: object): void {
    const entry = this.#byTarget.get(target);
    if (entry && this.#entries.delete(entry)) this.#registry.unregister(entry);
  }

  /** Cleans up now what the last garbage collection found, and says how many there were. */
  sweep(): number {
    const before = this.#entries.size;
    for (const entry of this.#entries) if (entry.target.deref() === undefined) this.#run(entry);
    return before - this.#entries.size;
  }

  #run(entry: Entry): void {
    if (!this.#entries.delete(entry)) return;
    this.#registry.unregister(entry);
    entry.cleanUp();
  }
}
