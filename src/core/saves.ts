/** When an actor that saves its state is to save it: by its rule, and before its log grows long. The worker asks between two calls. */
import type { CheckpointRule } from "../protocol/messages.ts";

/** A log of so many bytes is cut short by a checkpoint, whatever the rule says. */
export const LOG_BYTES_MAX = 4 * 1024 * 1024;
/** A log of so many bytes that no checkpoint could cut short ends its actor. */
export const LOG_BYTES_WORST = 16 * LOG_BYTES_MAX;
/** Of a call in the log, beside its bytes. */
export const CALL_BYTES = 200;

export class Saves {
  readonly #rule: CheckpointRule;
  /** Since the last checkpoint. */
  #calls = 0;
  #wanted = false;
  #firstAt = 0;
  bytes = 0;

  constructor(rule: CheckpointRule) {
    this.#rule = rule;
  }

  /** A call has ended, and is in the log with so many bytes. */
  ended(bytes: number, now: number): void {
    if (this.#calls++ === 0) this.#firstAt = now;
    this.bytes += bytes;
  }

  /** Whether the state is to be saved now, if no call is running. */
  due(now: number): boolean {
    const { everyCalls, everyMs } = this.#rule;
    if (this.#wanted) return true;
    if (this.#calls === 0) return false;
    if (everyCalls > 0 && this.#calls >= everyCalls) return true;
    return this.bytes >= LOG_BYTES_MAX || (everyMs > 0 && now - this.#firstAt >= everyMs);
  }

  /** When it becomes due by time alone; undefined where it does not. */
  get dueAt(): number | undefined {
    return this.#calls > 0 && this.#rule.everyMs > 0 ? this.#firstAt + this.#rule.everyMs : undefined;
  }

  /** Where the log is kept it cannot be cut short otherwise. */
  want(): void {
    this.#wanted = true;
  }

  saved(): void {
    this.#wanted = false;
    this.#calls = 0;
    this.bytes = 0;
  }
}
