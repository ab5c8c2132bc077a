/**
 * What happened, twice: as a hash over every delivery and effect, to tell whether two runs are the same, and as the last
 * lines in words, to tell the story of a failure.
 */

const STORY_MAX = 60_000;

export class Trace {
  #hash = 0x811c9dc5;
  #count = 0;
  readonly #lines: string[] = [];
  readonly #keep: boolean;

  constructor(keep: boolean) {
    this.#keep = keep;
  }

  get hash(): string {
    return `${this.#hash.toString(16).padStart(8, "0")}-${this.#count}`;
  }

  number(value: number): void {
    this.#hash = Math.imul(this.#hash ^ (value & 0xff), 0x01000193);
    this.#hash = Math.imul(this.#hash ^ ((value >>> 8) & 0xff), 0x01000193);
    this.#hash = Math.imul(this.#hash ^ (value >>> 16), 0x01000193) >>> 0;
    this.#count++;
  }

  bytes(bytes: Uint8Array): void {
    let hash = this.#hash;
    for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ bytes[i]!, 0x01000193);
    this.#hash = hash >>> 0;
    this.#count++;
  }

  text(text: string): void {
    let hash = this.#hash;
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
    this.#hash = hash >>> 0;
    this.#count++;
  }

  /** A line of the story; made only where stories are kept. */
  tell(now: number, line: () => string): void {
    if (!this.#keep) return;
    this.#lines.push(`${(now / 1000).toFixed(3).padStart(10)} ms  ${line()}`);
    if (this.#lines.length > 2 * STORY_MAX) this.#lines.splice(0, STORY_MAX);
  }

  /** The last lines that name one of these, or simply the last ones. */
  story(names: readonly string[], count: number): string[] {
    const found = names.length === 0 ? this.#lines : this.#lines.filter((line) => names.some((name) => line.includes(name)));
    return found.slice(-count);
  }
}
