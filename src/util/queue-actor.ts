/**
 * The actor behind a Queue: a bounded list with waiters on both ends, each served in the order in which it came. Self-contained.
 */
interface Waiter<T> {
  /** Tries; gives whether it is served. */
  readonly attempt: () => boolean;
  readonly answer: (result: T | undefined) => void;
  timer: NodeJS.Timeout | undefined;
}

export class QueueActor {
  readonly #maxSize: number;
  #items: unknown[] = [];
  /** Where the first item is: those before it have been taken. */
  #head = 0;
  readonly #putters: Waiter<unknown>[] = [];
  readonly #getters: Waiter<unknown>[] = [];

  /** -1: no bound. */
  constructor(maxSize: number) {
    this.#maxSize = maxSize;
  }

  size(): number {
    return this.#items.length - this.#head;
  }

  /** Puts all, once there is room for all. false: not in time, and none was put. */
  async put(items: readonly unknown[], timeoutMs: number | undefined): Promise<boolean> {
    const attempt = (): boolean => {
      if (this.#maxSize !== -1 && this.size() + items.length > this.#maxSize) return false;
      for (const item of items) this.#items.push(item);
      return true;
    };
    return (await this.#serve(this.#putters, attempt, () => true, timeoutMs)) ?? false;
  }

  /** At least one and at most `count` items, once there are. undefined: not in time. */
  async get(count: number, timeoutMs: number | undefined): Promise<unknown[] | undefined> {
    let taken: unknown[] = [];
    const attempt = (): boolean => {
      taken = this.#take(count);
      return taken.length > 0;
    };
    return this.#serve(this.#getters, attempt, () => taken, timeoutMs);
  }

  /** Items are let go of in large steps: cutting one off a long array each time would copy the rest each time. */
  #take(count: number): unknown[] {
    const taken = this.#items.slice(this.#head, this.#head + count);
    this.#items.fill(undefined, this.#head, this.#head + taken.length);
    this.#head += taken.length;
    if (this.#head * 2 >= this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  #serve<T>(line: Waiter<unknown>[], attempt: () => boolean, result: () => T, timeoutMs: number | undefined): Promise<T | undefined> {
    return new Promise((resolve) => {
      const waiter: Waiter<unknown> = { attempt, answer: (given) => resolve(given === undefined ? undefined : result()), timer: undefined };
      line.push(waiter);
      this.#settle();
      // Still in line: not served.
      if (timeoutMs === undefined || !line.includes(waiter)) return;
      const leave = (): void => {
        line.splice(line.indexOf(waiter), 1);
        waiter.answer(undefined);
        // Who stood behind may fit.
        this.#settle();
      };
      if (timeoutMs <= 0) leave();
      else waiter.timer = setTimeout(leave, timeoutMs);
    });
  }

  /** Serves the heads of both lines until neither can go on. Each may make way for the other. */
  #settle(): void {
    while (this.#serveHead(this.#putters) || this.#serveHead(this.#getters));
  }

  #serveHead(line: Waiter<unknown>[]): boolean {
    const head = line[0];
    if (head === undefined || !head.attempt()) return false;
    line.shift();
    clearTimeout(head.timer);
    head.answer(true);
    return true;
  }
}
