/**
 * A progress bar for long work: one line on stderr, redrawn in place, with elapsed time, rate and time left. Draws nothing when the
 * stream is not a terminal. Not a general drawing kit.
 */

/** What a bar needs of a stream; `process.stderr` fits. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Options of a progress bar. */
export interface ProgressOptions {
  /** How many steps there are; undefined if not known: then a count is shown. */
  readonly total?: number;
  /** Text in front. Default none. */
  readonly label?: string;
  /** Default `process.stderr`. */
  readonly stream?: ProgressStream;
  /** Milliseconds since any fixed time. Default: a monotonic clock. */
  readonly now?: () => number;
}

const REDRAW_MS = 80;

/**
 * A progress bar on stderr. `step` or `set` tell it how far the work is; `stop` leaves the last state on its line.
 *
 * @example
 * ```ts
 * import { ProgressBar } from "mobula/util";
 *
 * const bar = new ProgressBar({ total: 3, label: "files" });
 * for (let i = 0; i < 3; i++) bar.step();
 * bar.stop();
 * ```
 */
export class ProgressBar {
  readonly #stream: ProgressStream;
  readonly #now: () => number;
  readonly #label: string;
  readonly #startedAt: number;
  readonly #visible: boolean;
  #total: number | undefined;
  #done = 0;
  #drawnAt = Number.NEGATIVE_INFINITY;
  #stopped = false;

  constructor(options: ProgressOptions = {}) {
    this.#stream = options.stream ?? process.stderr;
    this.#now = options.now ?? (() => performance.now());
    this.#label = options.label ?? "";
    this.#total = options.total;
    this.#startedAt = this.#now();
    this.#visible = this.#stream.isTTY === true;
    this.#draw();
  }

  /** Steps done. */
  get done(): number {
    return this.#done;
  }

  /** `count` more steps are done. */
  step(count = 1): void {
    this.set(this.#done + count);
  }

  /** So many steps are done, of so many. */
  set(done: number, total = this.#total): void {
    this.#done = done;
    this.#total = total;
    if (this.#visible && this.#now() - this.#drawnAt >= REDRAW_MS) this.#draw();
  }

  /** Draws the last state and ends the line. Idempotent. */
  stop(): void {
    if (this.#stopped) return;
    this.#draw();
    if (this.#visible) this.#stream.write("\n");
    this.#stopped = true;
  }

  #draw(): void {
    if (!this.#visible || this.#stopped) return;
    this.#drawnAt = this.#now();
    const seconds = (this.#drawnAt - this.#startedAt) / 1000;
    const line = progressLine({ label: this.#label, done: this.#done, total: this.#total, seconds, width: this.#stream.columns || 80 });
    this.#stream.write(`\r${line}\u001b[K`);
  }
}

/** What a bar shows at one time. */
export interface ProgressState {
  readonly label: string;
  readonly done: number;
  readonly total: number | undefined;
  readonly seconds: number;
  /** Columns of the terminal. */
  readonly width: number;
}

/** The line of a bar: at most `width - 1` columns, so that no terminal wraps it. */
export function progressLine(state: ProgressState): string {
  const { label, done, total, seconds, width } = state;
  const rate = seconds > 0 ? done / seconds : 0;
  const head = label === "" ? "" : `${label} `;
  const speed = rate === 0 ? "" : ` ${shortNumber(rate)}/s`;
  if (total === undefined) return `${head}${done} ${duration(seconds)}${speed}`.slice(0, width - 1);
  const share = total === 0 ? 1 : Math.min(1, done / total);
  const left = done >= total ? "" : rate === 0 ? " left ?" : ` left ${duration((total - done) / rate)}`;
  const tail = ` ${Math.floor(share * 100)}% ${done}/${total} ${duration(seconds)}${speed}${left}`;
  const room = Math.min(40, width - 1 - head.length - tail.length - 2);
  if (room < 4) return `${head}${tail.trimStart()}`.slice(0, width - 1);
  const full = Math.round(share * room);
  return `${head}[${"#".repeat(full)}${"-".repeat(room - full)}]${tail}`;
}

function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)}s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole}s`;
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours > 0 ? `${hours}h${String(minutes).padStart(2, "0")}m` : `${minutes}m${String(whole % 60).padStart(2, "0")}s`;
}

function shortNumber(n: number): string {
  if (n >= 1e6) return `${(n / 1e6).toFixed(1)}M`;
  if (n >= 1e3) return `${(n / 1e3).toFixed(1)}k`;
  return n >= 10 ? String(Math.round(n)) : n.toFixed(1);
}
