/** Who waits for news of a job: each is told once, when the job changes or their time is over. */
import type { JobId } from "../../protocol/ids.ts";

/** More than these are answered at once, and ask again. */
const WAITING_MAX = 2_000;

export class JobNews {
  readonly #waiting = new Map<JobId, Set<() => void>>();
  #count = 0;

  isAwaited(id: JobId): boolean {
    return this.#waiting.has(id);
  }

  wait(id: JobId, ms: number): Promise<void> {
    if (this.#count >= WAITING_MAX) return Promise.resolve();
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set();
      this.#waiting.set(id, waiting);
      this.#count++;
      const done = (): void => {
        clearTimeout(timer);
        if (!waiting.delete(done)) return;
        this.#count--;
        if (waiting.size === 0 && this.#waiting.get(id) === waiting) this.#waiting.delete(id);
        resolve();
      };
      const timer = setTimeout(done, ms);
      waiting.add(done);
    });
  }

  changed(id: JobId): void {
    for (const done of [...(this.#waiting.get(id) ?? [])]) done();
  }

  end(): void {
    for (const id of [...this.#waiting.keys()]) this.changed(id);
  }
}
