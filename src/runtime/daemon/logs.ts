/**
 * What workers print, on its way to the drivers: gathered for a moment, sent in batches, and held back at the source
 * when a driver does not keep up, so that a worker that prints without end fills no memory but waits.
 */
import type { Body } from "../../protocol/messages.ts";
import type { ProcessId } from "../../protocol/ids.ts";
import type { Child, StreamName } from "./children.ts";

const GATHER_MS = 5;
const BATCH_LINES = 1000;
const BATCH_BYTES = 1 << 20;
/** Unsent bytes at which workers' pipes are not read, and below which they are again. */
const HIGH_BYTES = 16 << 20;
const LOW_BYTES = 4 << 20;
const LOOK_AGAIN_MS = 20;

export interface LogPort {
  /** To the driver of the job, or without one to every driver that wants it. Returns the most bytes that are unsent to one of them. */
  sendLog(body: Body<"log">, driver: ProcessId | undefined): number;
  queuedBytes(): number;
  setReading(reading: boolean): void;
}

interface Batch {
  readonly body: { name: string; pid: number; stream: StreamName; lines: string[] };
  bytes: number;
  readonly driver: ProcessId | undefined;
}

export class LogForwarder {
  readonly #port: LogPort;
  #batches: Batch[] = [];
  #timer: NodeJS.Timeout | undefined;
  #held = false;

  constructor(port: LogPort) {
    this.#port = port;
  }

  printed(child: Child, stream: StreamName, lines: readonly string[]): void {
    for (const line of lines) {
      let batch = this.#batches.at(-1);
      const { pid } = child.process;
      const same = batch?.body.pid === pid && batch?.body.stream === stream && batch?.body.name === child.title;
      if (!batch || !same || batch.body.lines.length >= BATCH_LINES || batch.bytes + line.length > BATCH_BYTES) {
        batch = { body: { name: child.title, pid: pid ?? 0, stream, lines: [] }, bytes: 0, driver: child.process.job?.driver };
        this.#batches.push(batch);
      }
      batch.body.lines.push(line);
      batch.bytes += line.length;
    }
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  /** Calls back when nothing is held back any more. */
  whenReading(then: () => void): void {
    if (this.#held) setTimeout(() => this.whenReading(then), LOOK_AGAIN_MS);
    else then();
  }

  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batches = this.#batches;
    this.#batches = [];
    let queued = 0;
    for (const { body, driver } of batches) queued = Math.max(queued, this.#port.sendLog(body, driver));
    if (queued > HIGH_BYTES && !this.#held) this.#hold();
  }

  #hold(): void {
    this.#held = true;
    this.#port.setReading(false);
    const look = setInterval(() => {
      if (this.#port.queuedBytes() > LOW_BYTES) return;
      clearInterval(look);
      this.#held = false;
      this.#port.setReading(true);
    }, LOOK_AGAIN_MS);
  }
}
