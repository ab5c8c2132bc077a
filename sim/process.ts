/**
 * One simulated process: an event loop that takes one event after the other, can be busy (it computes), paused (it was
 * stopped) and dead. What its events do is said by its owner.
 */
import type { ProcessId } from "../src/protocol/ids.ts";
import type { Clock, Timer } from "./clock.ts";

export class SimProcess {
  readonly id: ProcessId;
  readonly #clock: Clock;
  readonly #inbox: (() => void)[] = [];
  #running = false;
  #busy = false;
  #paused = false;
  alive = true;
  /** Called once, when it dies: connections break. */
  onDeath: (abrupt: boolean) => void = () => {};

  constructor(id: ProcessId, clock: Clock) {
    this.id = id;
    this.#clock = clock;
  }

  /** It computes: nothing else can happen in it. */
  get computing(): boolean {
    return this.#busy;
  }

  /** Puts an event at the end of the event loop's queue. */
  post(event: () => void): void {
    if (!this.alive) return;
    this.#inbox.push(event);
    this.#pump();
  }

  /** A timer of this process: late while it is busy or paused, never after its death. */
  after(us: number, event: () => void): Timer {
    let cancelled = false;
    const timer = this.#clock.after(us, () =>
      this.post(() => {
        if (!cancelled) event();
      }),
    );
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  /** Computes for so long: no event is taken meanwhile. Then goes on with `then`, before anything else. */
  compute(us: number, then: () => void): void {
    if (this.#busy) throw new Error(`process ${this.id} computes two things at once`);
    this.#busy = true;
    this.#clock.after(us, () => this.#computed(then));
  }

  pause(us: number): void {
    if (this.#paused || !this.alive) return;
    this.#paused = true;
    this.#clock.after(us, () => {
      this.#paused = false;
      this.#pump();
    });
  }

  die(abrupt: boolean): void {
    if (!this.alive) return;
    this.alive = false;
    this.#inbox.length = 0;
    this.onDeath(abrupt);
  }

  #computed(then: () => void): void {
    if (!this.alive) return;
    // While stopped it makes no progress: what it computed is there when it goes on.
    if (this.#paused) return void this.#clock.after(1000, () => this.#computed(then));
    this.#busy = false;
    this.#run(then);
    this.#pump();
  }

  #run(event: () => void): void {
    this.#running = true;
    try {
      event();
    } finally {
      this.#running = false;
    }
  }

  #pump(): void {
    if (this.#running) return;
    while (this.alive && !this.#busy && !this.#paused && this.#inbox.length > 0) this.#run(this.#inbox.shift()!);
  }
}
