/**
 * Waiting for refs: for all of them (get) or for the first k (wait), with a time limit and a signal. One object a wait,
 * whatever the number of refs.
 */
import type { ObjectRef, Waiter } from "../../core/owner/object-ref.ts";

export type WaitEnd = "enough" | "timeout" | "aborted";

export interface WaitLimits {
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Waits until `needed` of the refs have settled, or one has failed where `failFast`. */
export class RefWait implements Waiter {
  readonly #refs: readonly ObjectRef[];
  #needed: number;
  readonly #failFast: boolean;
  readonly #limits: WaitLimits;
  #settled = 0;
  /** Whether refs know of this wait. */
  #listening = false;
  #end: WaitEnd | undefined;
  /** The first ref that failed, in order of time. */
  failed: ObjectRef | undefined;
  /** Called once, when a wait that was not done at once is over. */
  onEnd: (() => void) | undefined;
  #resolve: ((end: WaitEnd) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #onAbort: (() => void) | undefined;

  constructor(refs: readonly ObjectRef[], needed: number, failFast: boolean, limits: WaitLimits) {
    this.#refs = refs;
    this.#needed = needed;
    this.#failFast = failFast;
    this.#limits = limits;
    // Where most are needed they are told at once: passes over a million refs are what a long pause is made of.
    this.#listening = failFast;
    for (const ref of refs) {
      if (ref.state === "pending") {
        // What is there twice settles once.
        if (failFast && !ref.addWaiter(this)) this.#needed--;
        continue;
      }
      this.#settled++;
      if (ref.state === "failed") this.failed ??= ref;
    }
    if (this.#enough) this.#finish("enough");
    limits.onProgress?.(this.#settled);
  }

  /** Whether nothing must be waited for. */
  get done(): boolean {
    return this.#end !== undefined;
  }

  wait(): Promise<WaitEnd> {
    if (this.#end) return Promise.resolve(this.#end);
    const { timeoutMs, signal } = this.#limits;
    if (!this.#listening) {
      this.#listening = true;
      for (const ref of this.#refs) if (ref.state === "pending") ref.addWaiter(this);
    }
    return new Promise((resolve) => {
      this.#resolve = resolve;
      if (timeoutMs !== undefined && Number.isFinite(timeoutMs))
        this.#timer = setTimeout(() => this.#finish("timeout"), Math.min(timeoutMs, 0x7fff_ffff));
      if (signal) {
        this.#onAbort = () => this.#finish("aborted");
        signal.addEventListener("abort", this.#onAbort, { once: true });
      }
    });
  }

  refSettled(ref: ObjectRef): void {
    this.#settled++;
    if (ref.state === "failed") this.failed ??= ref;
    this.#limits.onProgress?.(this.#settled);
    if (this.#end === undefined && this.#enough) this.#finish("enough");
  }

  get #enough(): boolean {
    return this.#settled >= this.#needed || (this.#failFast && this.failed !== undefined);
  }

  #finish(end: WaitEnd): void {
    if (this.#end) return;
    this.#end = end;
    clearTimeout(this.#timer);
    if (this.#onAbort) this.#limits.signal!.removeEventListener("abort", this.#onAbort);
    // What has not settled forgets this wait, else a long-lived ref gathers the waits that gave it up.
    if (this.#listening && this.#settled < this.#refs.length) {
      for (const ref of this.#refs) if (ref.state === "pending") ref.removeWaiter(this);
    }
    this.onEnd?.();
    this.#resolve?.(end);
  }
}
