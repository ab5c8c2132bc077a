/** A bounded set in order of arrival, whose members have numbers, so that their order can be kept in a store and found again. */
export class Remembered<K extends string> {
  readonly #max: number;
  readonly #numbers = new Map<K, number>();
  readonly #forgotten: (key: K) => void;
  #next = 0;

  /** `forgotten` is told of the oldest, when there are more than `max`. */
  constructor(max: number, forgotten: (key: K) => void) {
    this.#max = max;
    this.#forgotten = forgotten;
  }

  get size(): number {
    return this.#numbers.size;
  }

  has(key: K): boolean {
    return this.#numbers.has(key);
  }

  numberOf(key: K): number | undefined {
    return this.#numbers.get(key);
  }

  add(key: K): void {
    if (this.#numbers.has(key)) return;
    this.#numbers.set(key, this.#next++);
    if (this.#numbers.size > this.#max) this.forgetOldest();
  }

  forgetOldest(): void {
    const oldest = this.#numbers.keys().next().value;
    if (oldest === undefined) return;
    this.#numbers.delete(oldest);
    this.#forgotten(oldest);
  }

  delete(key: K): boolean {
    return this.#numbers.delete(key);
  }

  /** Into an empty one, in any order. */
  restore(members: Iterable<readonly [key: K, number: number]>): void {
    for (const [key, number] of [...members].sort(([, a], [, b]) => a - b)) {
      this.#numbers.set(key, number);
      this.#next = Math.max(this.#next, number + 1);
    }
  }
}
