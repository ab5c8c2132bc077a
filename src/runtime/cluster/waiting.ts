/** Things that wait for a key to become known: they are taken when it does, or given up together some time after the first. */
export class Waiting<K, V> {
  readonly #ms: number;
  readonly #givenUp: (key: K) => void;
  readonly #waiting = new Map<K, { readonly things: V[]; readonly timer: NodeJS.Timeout }>();

  constructor(ms: number, givenUp: (key: K) => void) {
    this.#ms = ms;
    this.#givenUp = givenUp;
  }

  keys(): K[] {
    return [...this.#waiting.keys()];
  }

  add(key: K, thing: V): void {
    const known = this.#waiting.get(key);
    if (known !== undefined) return void known.things.push(thing);
    const timer = setTimeout(() => {
      this.#waiting.delete(key);
      this.#givenUp(key);
    }, this.#ms);
    this.#waiting.set(key, { things: [thing], timer });
  }

  take(key: K, each: (thing: V) => void): void {
    const known = this.#waiting.get(key);
    if (known === undefined) return;
    clearTimeout(known.timer);
    this.#waiting.delete(key);
    for (const thing of known.things) each(thing);
  }

  stop(): void {
    for (const { timer } of this.#waiting.values()) clearTimeout(timer);
    this.#waiting.clear();
  }
}
