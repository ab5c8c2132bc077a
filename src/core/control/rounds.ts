/**
 * Questions whose answer would be "there is none" wait until every node has said all that it had heard before: what a process had
 * declared may be under way by its own node while another, to which it passed the name on, already asks. One round to all nodes serves
 * all questions that came before it began.
 */
import type { NodeId } from "../../protocol/ids.ts";

export interface RoundsPort {
  /** Answered by `heardAll` with the same number, behind everything that the node had heard when this came. */
  ask(node: NodeId, round: number): void;
  alive(): Iterable<NodeId>;
}

/** A node that does not answer is not waited for any longer. */
const WAIT_MS = 1_000;

export class Rounds {
  readonly #port: RoundsPort;
  #waiting: (() => void)[] = [];
  #number = 0;
  #open: { readonly missing: Set<NodeId>; readonly then: readonly (() => void)[]; readonly until: number } | undefined;

  constructor(port: RoundsPort) {
    this.#port = port;
  }

  /** Calls back once all nodes have been heard. */
  wait(then: () => void, now: number): void {
    this.#waiting.push(then);
    if (this.#open === undefined) this.#begin(now);
  }

  heardAll(node: NodeId, round: number, now: number): void {
    if (round === this.#number) this.#without(node, now);
  }

  nodeLost(node: NodeId, now: number): void {
    this.#without(node, now);
  }

  nextDeadline(): number | undefined {
    return this.#open?.until;
  }

  tick(now: number): void {
    if (this.#open !== undefined && now >= this.#open.until) this.#end(now);
  }

  #begin(now: number): void {
    const then = this.#waiting;
    this.#waiting = [];
    this.#open = { missing: new Set(this.#port.alive()), then, until: now + WAIT_MS };
    this.#number++;
    for (const node of this.#open.missing) this.#port.ask(node, this.#number);
    if (this.#open.missing.size === 0) this.#end(now);
  }

  #without(node: NodeId, now: number): void {
    if (this.#open?.missing.delete(node) === true && this.#open.missing.size === 0) this.#end(now);
  }

  #end(now: number): void {
    const { then } = this.#open!;
    this.#open = undefined;
    for (const each of then) each();
    if (this.#waiting.length > 0 && this.#open === undefined) this.#begin(now);
  }
}
