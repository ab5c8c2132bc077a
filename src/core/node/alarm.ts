/** The time of the machine's next own act: the soonest of the times it was set to. A wake too early does no harm. */
export class Alarm {
  #at = Infinity;

  set(at: number): void {
    if (at < this.#at) this.#at = at;
  }

  clear(): void {
    this.#at = Infinity;
  }

  get at(): number | undefined {
    return this.#at === Infinity ? undefined : this.#at;
  }
}
