/**
 * When a process collects garbage for the sake of the object store. A ref that nobody holds keeps its object until the collector finds it,
 * and V8 sees a few dozen bytes there, not the gigabyte behind them. So what is stored is counted here.
 */
const MIB = 2 ** 20;
/** So much may be garbage before anyone looks. */
const LEAST = 256 * MIB;
/** For each millisecond of a collection so much may be stored first: then collecting costs a twentieth of what copying does. */
const PER_MS = 256 * MIB;

export class GarbagePressure {
  readonly #least: number;
  readonly #most: number;
  #limit: number;
  #since = 0;

  constructor(capacity: number) {
    this.#least = Math.min(LEAST, capacity / 4);
    this.#most = capacity / 2;
    this.#limit = this.#least;
  }

  stored(bytes: number): void {
    this.#since += bytes;
  }

  /** Whether to look for garbage before more is asked for. */
  get due(): boolean {
    return this.#since > this.#limit;
  }

  /** A process that keeps what it stores is left alone for longer each time, and so is one whose collections take long. */
  collected(tookMs: number, found: boolean): void {
    this.#since = 0;
    const next = found ? this.#least : 2 * this.#limit;
    this.#limit = Math.min(this.#most, Math.max(next, tookMs * PER_MS));
  }
}
