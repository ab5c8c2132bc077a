/**
 * An object as its process knows it. The ref is the entry: a small result lies in it, so that the garbage collector
 * frees it without a table or a message. Users see it as an opaque value with an `id`.
 */
import type { NodePrefix, ObjectId } from "../../protocol/ids.ts";
import type { Payload } from "../../protocol/messages.ts";
import type { Task } from "./task.ts";

export type RefState = "pending" | "ready" | "failed";

/** Who waits for a ref. Called once, when it settles; must not throw nor call the machine. */
export interface Waiter {
  refSettled(ref: ObjectRef): void;
}

export class ObjectRef {
  /** @internal */ state: RefState = "pending";
  /** @internal What it is once settled; `error` when failed. */
  payload: Payload | undefined = undefined;
  /** @internal Most refs have one waiter, or none: a set is made for the second. */
  waiters: Waiter | Set<Waiter> | undefined = undefined;
  /** @internal The task that makes it: while pending, and afterwards for as long as it can be lost (lineage). */
  task: Task | undefined;
  /** @internal */ index: number;
  /** @internal Set when the node has a record of it: its ref left this process, or its bytes lie in the store. */
  shared = false;
  /** @internal Whether this process made it; else it came inside a value. */
  owned = true;
  /** @internal The node where its bytes were made, where that is known and they lie in a store. */
  at: NodePrefix | undefined = undefined;
  /** @internal Refs and handles that its value contains, held with it. */
  inner: readonly object[] | undefined = undefined;
  /** @internal The engine that it belongs to; set by the runtime. */
  home: object | undefined = undefined;
  /** @internal Of the last list of refs that it was found in: tells what is there twice without a table. */
  listMark: object | undefined = undefined;
  #id: ObjectId | undefined;

  constructor(id: ObjectId | undefined, task: Task | undefined, index: number) {
    this.#id = id;
    this.task = task;
    this.index = index;
  }

  /** @internal False: it waits already, and is told once. */
  addWaiter(waiter: Waiter): boolean {
    const { waiters } = this;
    if (waiters === undefined) this.waiters = waiter;
    else if (waiters === waiter) return false;
    else if (waiters instanceof Set) {
      if (waiters.has(waiter)) return false;
      waiters.add(waiter);
    } else this.waiters = new Set([waiters, waiter]);
    return true;
  }

  /** @internal */
  removeWaiter(waiter: Waiter): void {
    if (this.waiters === waiter) this.waiters = undefined;
    else if (this.waiters instanceof Set) this.waiters.delete(waiter);
  }

  /** Opaque; equal for every copy of this ref, in every process. */
  get id(): ObjectId {
    return (this.#id ??= this.task!.returnId(this.index));
  }

  /** Marks the class for every layer and every copy of the package. */
  get [Symbol.for("mobula.ObjectRef") as never](): true {
    return true;
  }

  /** In JSON, for logs: nothing makes a ref of it again. */
  toJSON(): { id: ObjectId } {
    return { id: this.id };
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `ObjectRef(${this.id})`;
  }
}
