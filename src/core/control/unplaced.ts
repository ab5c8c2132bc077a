/**
 * Actors and placement groups that no node can ever serve, as the cluster is: told to the programs that wait for them, as nodes do of tasks
 * (src/core/node/warnings.ts), after a second and then every minute.
 */
import type { JobId } from "../../protocol/ids.ts";

export interface Unplaced {
  /** Unique among all. */
  readonly key: string;
  readonly jobId: JobId;
  readonly message: string;
}

const AFTER_MS = 1000;
const REPEAT_MS = 60_000;
/** Looked at, and remembered. */
const MOST = 1000;

export class UnplacedWarnings {
  readonly #warn: (jobId: JobId, message: string) => void;
  /** When each is to be told next. */
  readonly #due = new Map<string, number>();

  #lookAt: number | undefined;

  constructor(warn: (jobId: JobId, message: string) => void) {
    this.#warn = warn;
  }

  nextDeadline(): number | undefined {
    let at = this.#lookAt;
    for (const due of this.#due.values()) if (due < (at ?? Infinity)) at = due;
    return at;
  }

  /** There may be one more. */
  wake(now: number): void {
    this.#lookAt ??= now + AFTER_MS;
  }

  /** All that there are now. */
  look(unplaced: Iterable<Unplaced>, now: number): void {
    if (now < (this.nextDeadline() ?? Infinity)) return;
    this.#lookAt = undefined;
    const there = new Map<string, Unplaced>();
    for (const each of unplaced) {
      there.set(each.key, each);
      if (there.size >= MOST) break;
    }
    for (const key of this.#due.keys()) if (!there.has(key)) this.#due.delete(key);
    for (const [key, { jobId, message }] of there) {
      const due = this.#due.get(key);
      if (due !== undefined && now < due) continue;
      this.#due.set(key, now + (due === undefined ? AFTER_MS : REPEAT_MS));
      if (due !== undefined) this.#warn(jobId, message);
    }
  }
}
