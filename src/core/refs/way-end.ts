/**
 * A process's end of a way: says to the node what is in the parcels that it sends, and how many have come. Its owner says a
 * parcel before it sends the value, and holds what it keeps of one before the next `tell`.
 */
import type { ProcessId, WayId } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";
import type { RefId } from "./record.ts";

export type SayToNode = <N extends "refSent" | "refCame">(name: N, body: Body<N>) => void;

export class WayEnd {
  readonly id: WayId;
  readonly #opener: boolean;
  readonly #to: ProcessId;
  readonly #say: SayToNode;
  #count = 0;
  #told = 0;

  /** `opener`: this process has opened it. */
  constructor(id: WayId, opener: boolean, to: ProcessId, say: SayToNode) {
    this.id = id;
    this.#opener = opener;
    this.#to = to;
    this.#say = say;
  }

  /** The next value that goes out has these inside. */
  sends(ids: readonly RefId[]): void {
    if (ids.length > 0) this.#say("refSent", { way: this.id, opener: this.#opener, to: this.#to, ids: [...ids] });
  }

  /** A value with these inside came. */
  came(ids: readonly RefId[]): void {
    if (ids.length > 0) this.#count++;
  }

  /** After a batch of values. */
  tell(): void {
    if (this.#told === this.#count) return;
    this.#told = this.#count;
    this.#say("refCame", { way: this.id, opener: this.#opener, to: this.#to, count: this.#count, over: false });
  }

  /** The way has been read to its end. */
  end(): void {
    this.#say("refCame", { way: this.id, opener: this.#opener, to: this.#to, count: this.#count, over: true });
  }
}
