/**
 * What is in messages from this node to another, held until that has said that they have come and it holds what it keeps of them: the
 * same as ways do between processes (ways.ts), where it is a node that a message is for or goes on by.
 */
import type { NodePrefix } from "../../protocol/ids.ts";
import type { RefId } from "./record.ts";

export interface ParcelPort {
  hold(ids: readonly RefId[]): void;
  release(ids: readonly RefId[]): void;
}

export class Parcels {
  readonly #port: ParcelPort;
  readonly #under = new Map<NodePrefix, Map<number, readonly RefId[]>>();
  #next = 0;

  constructor(port: ParcelPort) {
    this.#port = port;
  }

  /** Before the message is sent, which says the number. */
  sent(to: NodePrefix, ids: readonly RefId[]): number {
    this.#port.hold(ids);
    const number = this.#next++;
    const all = this.#under.get(to);
    if (all === undefined) this.#under.set(to, new Map([[number, ids]]));
    else all.set(number, ids);
    return number;
  }

  came(from: NodePrefix, number: number): void {
    const all = this.#under.get(from);
    const ids = all?.get(number);
    if (all === undefined || ids === undefined) return;
    all.delete(number);
    if (all.size === 0) this.#under.delete(from);
    this.#port.release(ids);
  }

  /** Some seconds after its end: what it had been sent it may have passed on. */
  nodeForgotten(node: NodePrefix): void {
    for (const number of [...(this.#under.get(node)?.keys() ?? [])]) this.came(node, number);
  }
}
