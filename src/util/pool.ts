/**
 * A pool of tasks with the calls of a worker pool: map and its kin, in chunks. It owns no processes: the cluster's workers do the work.
 */
import { cancel, clusterResources, get, InvalidOptionError, remote } from "../api/index.ts";
import type { ObjectRef, RemoteFunction, TaskOptions } from "../api/index.ts";
import { ProgressBar } from "../api/progress.ts";
import { runEach, runEachSpread } from "./chunk.ts";
import { Mailbox } from "./mailbox.ts";

/** Options of `map` and `starmap`. */
export interface MapOptions {
  /** Items for each task. Default: so that each worker gets several chunks, and at most 16384. */
  readonly chunkSize?: number;
  /** Shows a progress bar on stderr, if that is a terminal. Default false. */
  readonly progress?: boolean;
}

/** Options of `imap` and `imapUnordered`. */
export interface ImapOptions {
  /** Items for each task. Default 1. */
  readonly chunkSize?: number;
}

/** Options of the tasks of a pool. */
export type PoolTaskOptions = Omit<TaskOptions, "numReturns" | "captures" | "streamBuffer" | "name">;

type ChunkTask = RemoteFunction<(items: ArrayLike<unknown>) => unknown[]>;
type Source<T> = Iterable<T> | AsyncIterable<T>;
interface Chunk {
  readonly index: number;
  readonly items: ArrayLike<unknown>;
}
type Done = { readonly index: number; readonly values: unknown[] } | { readonly index?: number; readonly error: unknown };

const CHUNKS_EACH = 8;
const MAX_CHUNK = 16_384;
/** For each place of the pool, chunks of `imap` that may be done and not read yet. */
const READ_AHEAD = 4;

/**
 * A pool: `map(fn, items)` in place of a loop, over all CPUs of the cluster. `size` is how many tasks run at once, by default as many as
 * there are CPUs. `fn` may be synchronous or not, and use the variables around it, as with `remote`.
 *
 * An error that `fn` throws rejects the call, as TaskError with that error as `cause`; what is under way is cancelled then.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { Pool } from "mobula/util";
 *
 * const pool = new Pool();
 * const roots = await pool.map((x: number) => Math.sqrt(x), [1, 4, 9]);
 * console.log(roots); // [1, 2, 3]
 * await pool.close();
 * await ray.shutdown();
 * ```
 */
export class Pool implements AsyncDisposable {
  readonly #size: number | undefined;
  readonly #options: PoolTaskOptions;
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  constructor(size?: number, options: PoolTaskOptions = {}) {
    if (size !== undefined && !(Number.isSafeInteger(size) && size >= 1)) {
      throw new InvalidOptionError(`size must be a whole number of at least 1, got ${String(size)}.`, { option: "size", value: size });
    }
    this.#size = size;
    this.#options = options;
    // Wrong options show here, not at the first map.
    remote(runEach, options);
  }

  /** The results of `fn` for all items, in their order. `fn` is given the item alone. */
  map<T, R>(fn: (item: T) => R, items: Iterable<T>, options: MapOptions = {}): Promise<Awaited<R>[]> {
    return this.#track(this.#mapAll(fn, runEach, items, options)) as Promise<Awaited<R>[]>;
  }

  /** As `map`, where each item is the list of arguments. */
  starmap<A extends readonly unknown[], R>(
    fn: (...args: A) => R,
    argumentLists: Iterable<A>,
    options: MapOptions = {},
  ): Promise<Awaited<R>[]> {
    return this.#track(this.#mapAll(fn, runEachSpread, argumentLists, options)) as Promise<Awaited<R>[]>;
  }

  /** One call. */
  apply<A extends readonly unknown[], R>(fn: (...args: A) => R, args?: A): Promise<Awaited<R>> {
    const one = async (): Promise<unknown> => {
      const values = await get(this.#chunkTask(fn, runEachSpread).remote([args ?? []]));
      return values[0];
    };
    return this.#track(one()) as Promise<Awaited<R>>;
  }

  /** Results in the order of the items, each as soon as it and those before it are there. Reads `items` as it goes. */
  imap<T, R>(fn: (item: T) => R, items: Source<T>, options: ImapOptions = {}): AsyncGenerator<Awaited<R>, void, undefined> {
    return this.#stream(fn, items, options, true) as AsyncGenerator<Awaited<R>, void, undefined>;
  }

  /** Results as they come, in any order. Reads `items` as it goes. */
  imapUnordered<T, R>(fn: (item: T) => R, items: Source<T>, options: ImapOptions = {}): AsyncGenerator<Awaited<R>, void, undefined> {
    return this.#stream(fn, items, options, false) as AsyncGenerator<Awaited<R>, void, undefined>;
  }

  /** Takes no more work, and waits for what is under way. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#underWay);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #chunkTask(fn: Function, run: Function): ChunkTask {
    if (this.#closed)
      throw new InvalidOptionError("This pool is closed. Make a new one, or close it later.", { option: "pool", value: "closed" });
    if (typeof fn !== "function") throw new InvalidOptionError(`fn must be a function, got ${typeof fn}.`, { option: "fn", value: fn });
    // Bound, so that `fn` is exported once with what it captures, and not with each chunk.
    return remote(run.bind(undefined, fn) as () => unknown, {
      ...this.#options,
      name: fn.name === "" ? "Pool" : fn.name,
    }) as unknown as ChunkTask;
  }

  async #places(): Promise<number> {
    // Without a size, the next chunk already waits at the worker when one is done.
    return this.#size ?? 2 * Math.max(1, Math.floor((await clusterResources())["CPU"] ?? 1));
  }

  async #mapAll(fn: Function, run: Function, items: Iterable<unknown>, options: MapOptions): Promise<unknown[]> {
    const task = this.#chunkTask(fn, run);
    const given = chunkSizeOf(options.chunkSize);
    const all = indexable(items);
    const places = await this.#places();
    const size = given ?? Math.min(MAX_CHUNK, Math.max(1, Math.ceil(all.length / (places * CHUNKS_EACH))));
    const parts: unknown[][] = [];
    const bar = options.progress === true ? new ProgressBar({ total: all.length, label: fn.name }) : undefined;
    try {
      for await (const { index, values } of runChunks(task, slices(all, size), places, false)) {
        parts[index] = values;
        bar?.step(values.length);
      }
    } finally {
      bar?.stop();
    }
    return parts.flat();
  }

  async *#stream(fn: Function, items: Source<unknown>, options: ImapOptions, ordered: boolean): AsyncGenerator<unknown, void, undefined> {
    const size = chunkSizeOf(options.chunkSize) ?? 1;
    const task = this.#chunkTask(fn, runEach);
    for await (const { values } of runChunks(task, gather(items, size), await this.#places(), ordered)) yield* values;
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    const done = (): void => void this.#underWay.delete(work);
    work.then(done, done);
    return work;
  }
}

function chunkSizeOf(value: number | undefined): number | undefined {
  if (value === undefined || (Number.isSafeInteger(value) && value >= 1)) return value;
  throw new InvalidOptionError(`chunkSize must be a whole number of at least 1, got ${String(value)}.`, { option: "chunkSize", value });
}

type Indexable = ArrayLike<unknown> & { slice(from: number, to: number): ArrayLike<unknown> };

/** A copy, because what the caller changes after the call must not show. Typed arrays are sent as such; a DataView has no items. */
function indexable(items: Iterable<unknown>): Indexable {
  if (ArrayBuffer.isView(items) && "length" in items) return (items as unknown as Uint8Array).slice() as unknown as Indexable;
  if (typeof items === "string" || (typeof items === "object" && items !== null && Symbol.iterator in items)) return [...items];
  throw new InvalidOptionError("items must be iterable, such as an array.", { option: "items", value: items });
}

function* slices(items: Indexable, size: number): Generator<Chunk, void, undefined> {
  for (let index = 0; index * size < items.length; index++) {
    yield { index, items: items.slice(index * size, (index + 1) * size) };
  }
}

async function* gather(items: Source<unknown>, size: number): AsyncGenerator<Chunk, void, undefined> {
  let index = 0;
  let chunk: unknown[] = [];
  for await (const item of items) {
    if (chunk.push(item) < size) continue;
    yield { index: index++, items: chunk };
    chunk = [];
  }
  if (chunk.length > 0) yield { index, items: chunk };
}

/** Runs at most `places` chunks at once; gives their results as they come or, if `ordered`, in order. Leaving it early cancels. */
async function* runChunks(
  task: ChunkTask,
  chunks: Source<Chunk>,
  places: number,
  ordered: boolean,
): AsyncGenerator<{ readonly index: number; readonly values: unknown[] }, void, undefined> {
  const source = Symbol.asyncIterator in chunks ? chunks[Symbol.asyncIterator]() : chunks[Symbol.iterator]();
  const mail = new Mailbox<Done | { readonly chunk: Chunk | undefined }>();
  const running = new Map<number, ObjectRef<unknown[]>>();
  const early = new Map<number, unknown[]>();
  let next = 0;
  let reading = false;
  let ended = false;
  const read = (): void => {
    reading = true;
    Promise.resolve(source.next()).then(
      (step) => mail.push({ chunk: step.done === true ? undefined : step.value }),
      (error: unknown) => mail.push({ error }),
    );
  };
  const start = ({ index, items }: Chunk): void => {
    const ref = task.remote(items);
    running.set(index, ref);
    get(ref).then(
      (values) => mail.push({ index, values }),
      (error: unknown) => mail.push({ index, error }),
    );
  };
  try {
    for (;;) {
      if (!ended && !reading && running.size < places && early.size < places * READ_AHEAD) read();
      if (ended && running.size === 0 && mail.length === 0) return;
      const message = await mail.take();
      if ("error" in message) {
        if (message.index !== undefined) running.delete(message.index);
        throw message.error;
      }
      if ("chunk" in message) {
        reading = false;
        if (message.chunk === undefined) ended = true;
        else start(message.chunk);
        continue;
      }
      running.delete(message.index);
      if (!ordered) {
        yield message;
        continue;
      }
      early.set(message.index, message.values);
      for (let values = early.get(next); values !== undefined; values = early.get(next)) {
        early.delete(next);
        yield { index: next++, values };
      }
    }
  } finally {
    // Not waited for: a source that is in the middle of a wait of its own would hold this up.
    Promise.resolve(ended ? undefined : source.return?.()).catch(() => undefined);
    await Promise.allSettled([...running.values()].map((ref) => cancel(ref)));
  }
}
