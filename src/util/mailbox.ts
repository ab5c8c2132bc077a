/**
 * Things that arrive in any order, taken one at a time by one reader. Not for several processes: that is queue.ts.
 */
export class Mailbox<T> {
  #items: T[] = [];
  #next = 0;
  #wake: ((item: T) => void) | undefined;

  /** Items that nobody has taken yet. */
  get length(): number {
    return this.#items.length - this.#next;
  }

  push(item: T): void {
    const wake = this.#wake;
    if (wake !== undefined) {
      this.#wake = undefined;
      wake(item);
    } else {
      this.#items.push(item);
    }
  }

  /** The next item; waits for it. One reader at a time. */
  take(): Promise<T> {
    if (this.#next === this.#items.length) {
      return new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    const item = this.#items[this.#next] as T;
    this.#next++;
    // Taken items are let go of in large steps, so that taking stays cheap.
    if (this.#next === this.#items.length || this.#next >= 1_024) {
      this.#items = this.#items.slice(this.#next);
      this.#next = 0;
    }
    return Promise.resolve(item);
  }
}
