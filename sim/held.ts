/**
 * The refs and actors of a process that the node counts, and its collector: what is reachable is found by marking, what is not
 * is collected, and finalizers run some time later, as in a JavaScript engine.
 */
import { ObjectRef } from "../src/core/owner/object-ref.ts";
import type { Task } from "../src/core/owner/task.ts";
import type { ActorId, ObjectId } from "../src/protocol/ids.ts";
import type { Body, MessageName } from "../src/protocol/messages.ts";
import { ActorCore } from "./values.ts";
import type { Shared } from "./values.ts";

export type HeldId = ObjectId | ActorId;

interface Entry {
  readonly id: HeldId;
  target: Shared | undefined;
  credits: number;
}

export type Send = <N extends MessageName>(name: N, body: Body<N>) => void;

export class HeldRefs {
  readonly #entries = new Map<HeldId, Entry>();
  readonly #send: Send;
  onDropped: (id: HeldId) => void = () => {};

  constructor(send: Send) {
    this.#send = send;
  }

  get ids(): HeldId[] {
    return [...this.#entries.keys()];
  }

  find(id: HeldId): Shared | undefined {
    return this.#entries.get(id)?.target;
  }

  hold(id: HeldId, target: Shared, credits: number): void {
    const entry = this.#entries.get(id);
    if (entry) {
      entry.credits += credits;
      entry.target = target;
      return;
    }
    const fresh: Entry = { id, target, credits };
    if (credits === 0) {
      fresh.credits = 1;
      this.#send("refAdd", { id });
    }
    this.#entries.set(id, fresh);
  }

  take(id: HeldId, credits: number, make: () => Shared): Shared {
    const known = this.find(id);
    if (known) {
      this.#entries.get(id)!.credits += credits;
      return known;
    }
    const made = make();
    this.hold(id, made, credits);
    return made;
  }

  /** Collects what is not reachable from the roots. Returns the finalizers to be run later. */
  collect(roots: Iterable<Shared | Task>): (() => void)[] {
    const live = reachable(roots);
    const finalizers: (() => void)[] = [];
    for (const entry of this.#entries.values()) {
      if (entry.target === undefined || live.has(entry.target)) continue;
      entry.target = undefined;
      finalizers.push(() => this.#finalize(entry));
    }
    return finalizers;
  }

  #finalize(entry: Entry): void {
    // Another object may stand for the id by now.
    if (this.#entries.get(entry.id) !== entry || entry.target !== undefined) return;
    this.#entries.delete(entry.id);
    this.#send("refDrop", { id: entry.id, count: entry.credits });
    this.onDropped(entry.id);
  }
}

function reachable(roots: Iterable<Shared | Task>): Set<object> {
  const live = new Set<object>();
  const open: object[] = [...roots];
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if (live.has(next)) continue;
    live.add(next);
    if (next instanceof ObjectRef) {
      if (next.inner) open.push(...next.inner);
      if (next.task) open.push(next.task);
    } else if (!(next instanceof ActorCore)) {
      const { returns, spec, stream } = next as Task;
      open.push(...returns);
      for (const { ref } of spec.refArgs ?? []) open.push(ref);
      open.push(...(spec.holds ?? []));
      if (stream) open.push(...stream.items);
    }
  }
  return live;
}
