/**
 * What ran here and when, for the timeline: gathered in a list of bounded length and sent now and then, never on the path of a task.
 */
import type { TaskId } from "../../protocol/ids.ts";
import type { NodeSender } from "../client/held-refs.ts";

const SEND_MS = 500;
/** Spans beyond this between two sendings are left out: a timeline of more shows nothing. */
const GATHERED_MAX = 2_000;

export interface Ran {
  readonly name: string;
  readonly taskId: TaskId;
  readonly startedAt: number;
}

export class Spans {
  readonly #node: NodeSender;
  readonly #category: string;
  #gathered: { name: string; category: string; startUs: number; durationUs: number; taskId: TaskId }[] = [];

  constructor(node: NodeSender, category: string) {
    this.#node = node;
    this.#category = category;
  }

  add(call: Ran, durationUs: number): void {
    if (this.#gathered.length >= GATHERED_MAX) return;
    const startUs = (performance.timeOrigin + call.startedAt) * 1000;
    this.#gathered.push({ name: call.name.slice(0, 256), category: this.#category, startUs, durationUs, taskId: call.taskId });
    if (this.#gathered.length === 1) setTimeout(() => this.#send(), SEND_MS).unref();
  }

  #send(): void {
    this.#node.send("events", { events: this.#gathered });
    this.#gathered = [];
  }
}
