/** Spans that processes report, kept for `timeline()`: the newest of them, in Chrome's trace event format. */
import type { ProcessId } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";

const EVENTS_MAX = 100_000;

interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: "X";
  readonly ts: number;
  readonly dur: number;
  readonly pid: string;
  readonly tid: string;
  readonly args: { readonly taskId?: string };
}

export class Timeline {
  readonly #events: TraceEvent[] = [];
  #next = 0;

  add(from: ProcessId, node: string, { events }: Body<"events">): void {
    for (const { name, category, startUs, durationUs, taskId } of events) {
      const event: TraceEvent = { name, cat: category, ph: "X", ts: startUs, dur: durationUs, pid: node, tid: from, args: { taskId } };
      this.#events[this.#next] = event;
      this.#next = (this.#next + 1) % EVENTS_MAX;
    }
  }

  /** Oldest first. */
  get events(): TraceEvent[] {
    return [...this.#events.slice(this.#next), ...this.#events.slice(0, this.#next)];
  }
}
