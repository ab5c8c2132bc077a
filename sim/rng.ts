/**
 * The source of all chance in a simulation: sfc32, seeded by a name. A stream of its own for each part (`fork`), so that a
 * call added in one place does not change the decisions of another.
 */

/** FNV-1a over the characters of a text, 32 bits. */
export function hashOf(text: string, start = 0x811c9dc5): number {
  let hash = start;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export class Rng {
  readonly #name: string;
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  constructor(name: string) {
    this.#name = name;
    this.#a = hashOf(name);
    this.#b = hashOf(name, this.#a);
    this.#c = hashOf(name, this.#b);
    for (let i = 0; i < 12; i++) this.#next();
  }

  fork(name: string): Rng {
    return new Rng(`${this.#name}/${name}`);
  }

  /** In [0, 1). */
  float(): number {
    return this.#next() / 4294967296;
  }

  /** In [low, high], whole. */
  int(low: number, high: number): number {
    return low + Math.floor(this.float() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.float() < probability;
  }

  pick<T>(items: readonly T[]): T {
    if (items.length === 0) throw new Error("nothing to pick from");
    return items[this.int(0, items.length - 1)]!;
  }

  /** Mostly near `typical`, now and then (1 in `rare`) up to `worst`. */
  tailed(typical: number, worst: number, rare: number): number {
    return this.chance(1 / rare) ? this.int(typical, Math.max(typical, worst)) : this.int(Math.ceil(typical / 4), typical);
  }

  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter++) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}
