/**
 * Questions that every node of a cluster answers for itself: asked of all that live, and put together. One that does not answer in time is
 * left out.
 */
import type { NodePrefix } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";

export type SurveyQuestion = Body<"nodeAsk">["question"];

export interface SurveyPort {
  ask(node: NodePrefix, body: Body<"nodeAsk">): void;
  /** The living nodes, this one not among them. */
  others(): NodePrefix[];
}

interface Open {
  readonly missing: Set<NodePrefix>;
  readonly answers: string[];
  readonly timer: NodeJS.Timeout;
  readonly done: (answers: string[]) => void;
}

const WAIT_MS = 5_000;

export class Survey {
  readonly #port: SurveyPort;
  readonly #open = new Map<number, Open>();
  #calls = 0;

  constructor(port: SurveyPort) {
    this.#port = port;
  }

  /** Calls back with what the others answered, as JSON. */
  ask(question: SurveyQuestion, done: (answers: string[]) => void): void {
    const others = this.#port.others();
    if (others.length === 0) return done([]);
    const call = this.#calls++;
    const open: Open = { missing: new Set(others), answers: [], timer: setTimeout(() => this.#end(call), WAIT_MS), done };
    this.#open.set(call, open);
    for (const node of others) this.#port.ask(node, { call, question });
  }

  answered(node: NodePrefix, { call, body }: Body<"nodeAnswer">): void {
    const open = this.#open.get(call);
    if (open?.missing.delete(node) !== true) return;
    open.answers.push(body);
    if (open.missing.size === 0) this.#end(call);
  }

  nodeLost(node: NodePrefix): void {
    for (const [call, { missing }] of [...this.#open]) if (missing.delete(node) && missing.size === 0) this.#end(call);
  }

  stop(): void {
    for (const { timer } of this.#open.values()) clearTimeout(timer);
    this.#open.clear();
  }

  #end(call: number): void {
    const open = this.#open.get(call)!;
    this.#open.delete(call);
    clearTimeout(open.timer);
    open.done(open.answers);
  }
}
