/**
 * What a caller of a generator holds: its items as refs, in order, as they are made.
 */
import type { Owner } from "../../core/owner/owner.ts";
import type { Task } from "../../core/owner/task.ts";
import type { ObjectRef as CoreRef } from "../../core/owner/object-ref.ts";
import type { ObjectRef, ObjectRefStream } from "../engine.ts";
import type { Payload } from "../../protocol/messages.ts";

export interface StreamHost {
  readonly owner: Owner;
  /** The error in a payload, as users see it. */
  openError(payload: Payload): Promise<unknown>;
  /** The caller waits: its resources are free until the returned function has settled. */
  pause(): () => Promise<void>;
  cancelTask(task: Task): void;
  /** Makes an item a ref of this engine. */
  adopt(ref: CoreRef): void;
}

export class RefStream implements ObjectRefStream<unknown> {
  readonly task: Task;
  readonly #host: StreamHost;
  #wake: (() => void) | undefined;
  #ended = false;

  constructor(task: Task, host: StreamHost) {
    this.task = task;
    this.#host = host;
    task.stream!.changed = () => {
      this.#wake?.();
      this.#wake = undefined;
    };
  }

  get id(): string {
    return this.task.id;
  }

  get [Symbol.for("mobula.ObjectRefStream") as never](): true {
    return true;
  }

  async next(): Promise<IteratorResult<ObjectRef<unknown>, undefined>> {
    const stream = this.task.stream!;
    while (!this.#ended) {
      const ref = this.#host.owner.readStream(this.task);
      if (ref) this.#host.adopt(ref);
      if (ref) return { done: false, value: ref as unknown as ObjectRef<unknown> };
      if (stream.length !== undefined && stream.read >= stream.length) {
        this.#ended = true;
        if (stream.error) throw await this.#host.openError(stream.error);
        break;
      }
      const resume = this.#host.pause();
      await new Promise<void>((resolve) => {
        const before = this.#wake;
        this.#wake = () => {
          before?.();
          resolve();
        };
      });
      await resume();
    }
    return { done: true, value: undefined };
  }

  return(): Promise<IteratorResult<ObjectRef<unknown>, undefined>> {
    this.#ended = true;
    this.#host.cancelTask(this.task);
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return `ObjectRefStream(${this.id})`;
  }
}
