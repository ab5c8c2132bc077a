/**
 * The calls in flight to one worker, by sequence number. A call whose number has a free slot has a claim word in
 * shared memory: the worker claims it before it runs it, the owner can take it back before that.
 */
import type { Task } from "./task.ts";

/** Claim words of a channel; a power of two. */
export const SLOTS = 1024;

export class Channel {
  readonly #slots: (Task | undefined)[] = new Array<Task | undefined>(SLOTS);
  /** Calls without a slot: more were in flight than there are slots. */
  #overflow: Map<number, Task> | undefined;
  #next = 0;
  #oldest = 0;
  #count = 0;

  /** Whether there are claim words for its calls: without, what is pushed cannot be taken back. */
  claims = false;

  /** It has claim words. Numbers go on from `first`, so that a block that is used again never sees a number twice. */
  startAt(first: number): void {
    this.claims = true;
    this.#next = first;
  }

  get next(): number {
    return this.#next;
  }

  get count(): number {
    return this.#count;
  }

  /** Whether a pushed call has a claim word. */
  claimable(task: Task): boolean {
    return this.#slots[task.seq % SLOTS] === task;
  }

  add(task: Task): void {
    const seq = this.#next;
    this.#next = (seq + 1) >>> 0;
    task.seq = seq;
    if (this.#count === 0) this.#oldest = seq;
    this.#count++;
    const slot = seq % SLOTS;
    if (this.#slots[slot] === undefined) this.#slots[slot] = task;
    else (this.#overflow ??= new Map()).set(seq, task);
  }

  /** The call of that number, if it is in flight. */
  get(seq: number): Task | undefined {
    const task = this.#slots[seq % SLOTS];
    return task?.seq === seq ? task : this.#overflow?.get(seq);
  }

  remove(task: Task): boolean {
    const slot = task.seq % SLOTS;
    if (this.#slots[slot] === task) this.#slots[slot] = undefined;
    else if (!this.#overflow?.delete(task.seq)) return false;
    this.#count--;
    return true;
  }

  /** In flight, in order of push. */
  list(): Task[] {
    const found: Task[] = [];
    if (this.#count === 0) return found;
    for (const task of this.#slots) if (task) found.push(task);
    if (this.#overflow) found.push(...this.#overflow.values());
    const oldest = this.#oldest;
    return found.sort((a, b) => ((a.seq - oldest) >>> 0) - ((b.seq - oldest) >>> 0));
  }
}
