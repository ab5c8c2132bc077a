/**
 * Tasks that wait for a lease, in order. One that is cancelled stays where it is and is passed over when its turn comes: taking it out
 * would cost a walk through all that wait, and whoever cancels many would pay for it each time.
 */
import { Deque } from "./deque.ts";
import type { Task } from "./task.ts";

/** Up to so many that are over are left lying, whatever the length. */
const FEW = 64;

export class TaskQueue {
  readonly #tasks = new Deque<Task>();
  /** Of them, those that are over. */
  #over = 0;

  /** Tasks that still wait. */
  get size(): number {
    return this.#tasks.size - this.#over;
  }

  /** The next one, which may be over. */
  get first(): Task | undefined {
    return this.#tasks.peek();
  }

  /** The one at that place; it may be over. */
  at(index: number): Task | undefined {
    return this.#tasks.at(Math.max(0, index));
  }

  push(task: Task): void {
    this.#tasks.push(task);
  }

  unshift(task: Task): void {
    this.#tasks.unshift(task);
  }

  shift(): Task | undefined {
    for (;;) {
      const task = this.#tasks.shift();
      if (task?.state !== "done") return task;
      this.#over--;
    }
  }

  /** One of them is over. They are swept out once they are the most: each is then moved once for each that was cancelled. */
  left(): void {
    this.#over++;
    if (this.#over <= FEW || this.#over * 2 <= this.#tasks.size) return;
    this.#tasks.keep((task) => task.state !== "done");
    this.#over = 0;
  }

  /** Takes all out. */
  clear(): Task[] {
    const all = [...this];
    this.#tasks.keep(() => false);
    this.#over = 0;
    return all;
  }

  *[Symbol.iterator](): Generator<Task> {
    for (const task of this.#tasks) if (task.state !== "done") yield task;
  }
}
