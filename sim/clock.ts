/** Virtual time: a heap of events. Microseconds, whole; events of one instant happen in the order in which they were set. */

interface Entry {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** An event that may be taken back. */
export interface Timer {
  cancel(): void;
}

export class Clock {
  readonly #heap: Entry[] = [];
  #order = 0;
  /** Microseconds since the start. */
  now = 0;
  /** Events that have happened. */
  steps = 0;

  get ms(): number {
    return this.now / 1000;
  }

  after(us: number, run: () => void): Timer {
    const entry: Entry = { at: this.now + Math.max(0, Math.ceil(us)), order: this.#order++, run };
    this.#push(entry);
    return { cancel: () => void (entry.run = undefined) };
  }

  /** Runs the next event, unless it lies beyond `until`. */
  step(until: number): boolean {
    for (let top = this.#heap[0]; top !== undefined && top.at <= until; top = this.#heap[0]) {
      this.#pop();
      const { run } = top;
      if (run === undefined) continue;
      this.now = top.at;
      this.steps++;
      run();
      return true;
    }
    return false;
  }

  #before(a: Entry, b: Entry): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(entry, heap[parent]!)) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#before(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#before(heap[child]!, last)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
  }
}
