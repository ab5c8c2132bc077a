/**
 * The refs and handles of this process that the node counts: those that left their maker, those that came inside values,
 * those whose bytes are stored. One object an id and process; when the collector takes it, the node is told.
 *
 * `credits` is what the node believes that this process holds: what it has said itself, and what the node has given it.
 */
import type { ActorId, ObjectId } from "../../protocol/ids.ts";
import type { Body, MessageName } from "../../protocol/messages.ts";

export type HeldId = ObjectId | ActorId;

interface Entry {
  readonly id: HeldId;
  target: WeakRef<object>;
  credits: number;
}

export interface NodeSender {
  send<N extends MessageName>(name: N, body: Body<N>): void;
}

export class HeldRefs {
  readonly #entries = new Map<HeldId, Entry>();
  readonly #collected = new FinalizationRegistry<Entry>((entry) => this.#drop(entry));
  readonly #node: NodeSender;
  /** Tells observers that an id is not held here any more. */
  onDropped: (id: HeldId) => void = () => {};

  constructor(node: NodeSender) {
    this.#node = node;
  }

  get size(): number {
    return this.#entries.size;
  }

  find(id: HeldId): object | undefined {
    return this.#entries.get(id)?.target.deref();
  }

  /** From now on `target` stands for `id`, of which the node has credited this process `credits` times. */
  hold(id: HeldId, target: object, credits: number): void {
    const entry = this.#entries.get(id);
    if (entry) {
      entry.credits += credits;
      if (entry.target.deref() === target) return;
      entry.target = new WeakRef(target);
      this.#collected.register(target, entry);
      return;
    }
    const fresh = { id, target: new WeakRef(target), credits };
    if (credits === 0) {
      fresh.credits = 1;
      this.#node.send("refAdd", { id });
    }
    this.#entries.set(id, fresh);
    this.#collected.register(target, fresh);
  }

  /** The object that stands for `id`, made by `make` if there is none. */
  take(id: HeldId, credits: number, make: () => object): object {
    const known = this.find(id);
    if (known) {
      if (credits > 0) this.#entries.get(id)!.credits += credits;
      return known;
    }
    const made = make();
    this.hold(id, made, credits);
    return made;
  }

  /** Gives an id up at once, without waiting for the collector. */
  release(id: HeldId): void {
    const entry = this.#entries.get(id);
    if (!entry) return;
    this.#entries.delete(id);
    this.#node.send("refDrop", { id, count: entry.credits });
    this.onDropped(id);
  }

  /** Gives up at once what the last garbage collection found, and says how many. */
  sweep(): number {
    let found = 0;
    for (const { id, target } of this.#entries.values()) {
      if (target.deref() !== undefined) continue;
      this.release(id);
      found++;
    }
    return found;
  }

  #drop(entry: Entry): void {
    // Another object may stand for the id by now.
    if (this.#entries.get(entry.id) !== entry || entry.target.deref() !== undefined) return;
    this.release(entry.id);
  }
}
