/**
 * The timer of one machine: it wakes when the machine says that it is due, and costs nothing when that moves to later. It does not
 * keep the process alive.
 */
export class Alarm {
  readonly #tick: (now: number) => void;
  readonly #dueAt: () => number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #at = 0;
  #stopped = false;

  constructor(tick: (now: number) => void, dueAt: () => number | undefined) {
    this.#tick = tick;
    this.#dueAt = dueAt;
  }

  /** To be called after each event of the machine. */
  arm(): void {
    const due = this.#dueAt();
    if (due === undefined || this.#stopped) return;
    // A timer that fires too early looks again; only one that would be late is set anew.
    if (this.#timer !== undefined) {
      if (this.#at <= due) return;
      clearTimeout(this.#timer);
    }
    this.#at = due;
    this.#timer = setTimeout(this.#fire, Math.max(0, Math.ceil(due - performance.now()))).unref();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  readonly #fire = (): void => {
    this.#timer = undefined;
    this.#tick(performance.now());
    this.arm();
  };
}
