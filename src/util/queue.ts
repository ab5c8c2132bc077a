/**
 * A first-in, first-out queue between processes: an actor, and this object in front of it, which may be passed to tasks.
 */
import { deserialize, get, InvalidOptionError, kill, remote, serialize } from "../api/index.ts";
import type { ActorHandle } from "../api/index.ts";
import { timeoutArgument } from "../api/options.ts";
import { QueueEmptyError, QueueFullError } from "../errors/index.ts";
import { QueueActor } from "./queue-actor.ts";

/** Options of a queue. */
export interface QueueOptions {
  /** Most items at a time; -1 or 0 for no bound. Default -1. */
  readonly maxSize?: number;
}

/** Options of a put or get. */
export interface QueueWaitOptions {
  /** Milliseconds to wait; 0 tries once. Default: without end. */
  readonly timeoutMs?: number;
}

interface QueueData {
  readonly actor: ActorHandle<QueueActor>;
  readonly maxSize: number;
}

const adopted = Symbol("mobula.queue");

/**
 * A queue that tasks and actors share. Values go through it as they are: an ObjectRef stays a ref. It lives as long as any process
 * holds it. Who waits is served in the order of waiting.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { Queue } from "mobula/util";
 *
 * const queue = new Queue<number>({ maxSize: 10 });
 * const produce = ray.remote(async (q: Queue<number>) => {
 *   for (let i = 0; i < 3; i++) await q.put(i);
 * });
 * produce.remote(queue);
 * console.log(await queue.get(), await queue.get(), await queue.get()); // 0 1 2
 * await ray.shutdown();
 * ```
 */
export class Queue<T = unknown> {
  readonly #actor: ActorHandle<QueueActor>;
  readonly #maxSize: number;

  constructor(options: QueueOptions = {}) {
    const data = (options as { [adopted]?: QueueData })[adopted];
    if (data !== undefined) {
      this.#actor = data.actor;
      this.#maxSize = data.maxSize;
      return;
    }
    const maxSize = options.maxSize ?? -1;
    if (!Number.isSafeInteger(maxSize) || maxSize < -1) {
      throw new InvalidOptionError(`maxSize must be a whole number, or -1 for no bound, got ${String(maxSize)}.`, {
        option: "maxSize",
        value: maxSize,
      });
    }
    this.#maxSize = maxSize === 0 ? -1 : maxSize;
    this.#actor = remote(QueueActor, { numCpus: 0, maxConcurrency: -1 }).remote(this.#maxSize);
  }

  static [serialize](queue: Queue): QueueData {
    return { actor: queue.#actor, maxSize: queue.#maxSize };
  }

  static [deserialize](data: QueueData): Queue {
    return new Queue({ [adopted]: data } as QueueOptions);
  }

  /** Adds an item; waits for room. Rejects with QueueFullError when there is none in time. */
  put(item: T, options: QueueWaitOptions = {}): Promise<void> {
    return this.putMany([item], options);
  }

  /** Adds all items in their order, once there is room for all, or none. Rejects with QueueFullError. */
  async putMany(items: readonly T[], options: QueueWaitOptions = {}): Promise<void> {
    const timeoutMs = timeoutArgument(options.timeoutMs);
    if (this.#maxSize !== -1 && items.length > this.#maxSize) {
      throw new InvalidOptionError(`putMany() was given ${items.length} items, but the queue never holds more than ${this.#maxSize}.`, {
        option: "items",
        value: items,
      });
    }
    if (items.length === 0 || (await get(this.#actor.put.remote(items, timeoutMs)))) return;
    throw new QueueFullError(`The queue (at most ${this.#maxSize} items) had no room within ${timeoutMs} ms. Nothing was put.`, {
      timeoutMs,
    });
  }

  /** Takes the item that was put first; waits for one. Rejects with QueueEmptyError when none comes in time. */
  async get(options: QueueWaitOptions = {}): Promise<T> {
    const [item] = await this.getMany(1, options);
    return item as T;
  }

  /** Takes what is there, at least one item (waiting for it) and at most `count` (default all). Rejects with QueueEmptyError. */
  async getMany(count: number = Number.MAX_SAFE_INTEGER, options: QueueWaitOptions = {}): Promise<T[]> {
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new InvalidOptionError(`count must be a whole number of at least 1, got ${String(count)}.`, { option: "count", value: count });
    }
    const timeoutMs = timeoutArgument(options.timeoutMs);
    const items = await get(this.#actor.get.remote(count, timeoutMs));
    if (items !== undefined) return items as T[];
    throw new QueueEmptyError(`The queue had no item within ${timeoutMs} ms.`, { timeoutMs });
  }

  /** How many items there are now. */
  size(): Promise<number> {
    return get(this.#actor.size.remote());
  }

  /** Whether there is no item now. */
  async empty(): Promise<boolean> {
    return (await this.size()) === 0;
  }

  /** Whether there is no room now. */
  async full(): Promise<boolean> {
    return this.#maxSize !== -1 && (await this.size()) >= this.#maxSize;
  }

  /** Ends the queue: what waits for it, and later calls, reject with ActorDiedError. */
  async shutdown(): Promise<void> {
    await kill(this.#actor);
  }
}
