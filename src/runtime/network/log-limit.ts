/**
 * Lines about strangers, at a bounded rate: who knocks at a port a million times writes no million lines.
 */
const LINES = 10;
const WINDOW_MS = 60_000;

export class LimitedLog {
  readonly #write: (line: string) => void;
  readonly #now: () => number;
  #start = Number.NEGATIVE_INFINITY;
  #written = 0;
  #left = 0;

  constructor(write: (line: string) => void, now: () => number = () => performance.now()) {
    this.#write = write;
    this.#now = now;
  }

  line(text: string): void {
    const now = this.#now();
    if (now - this.#start >= WINDOW_MS) {
      if (this.#left > 0) this.#write(`${this.#left} more connections were refused since`);
      this.#start = now;
      this.#written = 0;
      this.#left = 0;
    }
    if (this.#written < LINES) {
      this.#written++;
      this.#write(text);
    } else this.#left++;
  }
}
