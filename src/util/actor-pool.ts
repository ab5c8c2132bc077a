/**
 * A pool of actors that share the work: each value goes to an actor that is free.
 */
import { ActorDiedError, get, GetTimeoutError, InvalidOptionError } from "../api/index.ts";
import type { ObjectRef } from "../api/index.ts";
import { Mailbox } from "./mailbox.ts";

type Settled = { readonly value: unknown } | { readonly error: unknown };

interface Job<H> {
  readonly index: number;
  readonly start: (actor: H) => ObjectRef<unknown>;
  readonly done: Promise<void>;
  readonly settle: (result: Settled) => void;
  result: Settled | undefined;
  /** Someone waits for this one in `next`. */
  claimed: boolean;
}

/** Options of `next` and `nextUnordered`. */
export interface NextOptions {
  /** Milliseconds to wait. Default: without end. */
  readonly timeoutMs?: number;
}

/**
 * Shares work between actors. An actor is free when its call is done; one that died is left out, and when none is left the
 * calls that wait fail with ActorDiedError.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 * import { ActorPool } from "mobula/util";
 *
 * class Doubler {
 *   double(x: number) { return 2 * x; }
 * }
 * const RemoteDoubler = ray.remote(Doubler);
 * const pool = new ActorPool([RemoteDoubler.remote(), RemoteDoubler.remote()]);
 * for await (const y of pool.map((actor, x: number) => actor.double.remote(x), [1, 2, 3])) console.log(y); // 2, 4, 6
 * await ray.shutdown();
 * ```
 */
export class ActorPool<H extends object> {
  readonly #idle: H[];
  readonly #waiting: Job<H>[] = [];
  readonly #jobs = new Map<number, Job<H>>();
  /** Done and claimed by nobody, in the order in which they were done. */
  readonly #finished = new Set<Job<H>>();
  /** Who waits in `nextUnordered`. */
  readonly #readers = new Set<(job: Job<H>) => void>();
  #size: number;
  #submitted = 0;
  #claims = 0;
  #lastDeath: unknown;

  constructor(actors: Iterable<H>) {
    this.#idle = [...actors];
    this.#size = this.#idle.length;
    if (this.#size === 0)
      throw new InvalidOptionError("An ActorPool needs at least one actor handle.", { option: "actors", value: actors });
  }

  /** Whether a result of `submit` has not been taken yet. */
  get hasNext(): boolean {
    return this.#jobs.size > 0;
  }

  /** Whether an actor is free. */
  get hasFree(): boolean {
    return this.#idle.length > 0;
  }

  /** Adds an actor. */
  push(actor: H): void {
    this.#size++;
    this.#release(actor);
  }

  /** Takes a free actor out, if there is one. */
  popIdle(): H | undefined {
    const actor = this.#idle.pop();
    if (actor !== undefined) this.#size--;
    return actor;
  }

  /** Starts `fn(actor, value)` on the next actor that is free. The result comes from `next` or `nextUnordered`. */
  submit<V, R>(fn: (actor: H, value: V) => ObjectRef<R>, value: V): void {
    this.#submit(fn, value);
  }

  /**
   * The result of the earliest `submit` that has not been taken. Rejects with what the call failed with; with GetTimeoutError when it
   * does not come in time, and it can be asked for again; with InvalidOptionError when nothing is left.
   */
  async next<R = unknown>(options: NextOptions = {}): Promise<R> {
    this.#requireLeft();
    let job: Job<H> | undefined;
    for (job of this.#jobs.values()) if (!job.claimed) break;
    if (job === undefined) throw nothingLeft();
    this.#claim(job, true);
    this.#finished.delete(job);
    if (!(await within(job.done, options.timeoutMs))) {
      this.#claim(job, false);
      if (job.result !== undefined) this.#offer(job);
      throw tooLate(options.timeoutMs);
    }
    this.#claim(job, false);
    this.#jobs.delete(job.index);
    return outcome<R>(job);
  }

  /** The next result that is there, of any `submit`. Rejects as `next` does. */
  async nextUnordered<R = unknown>(options: NextOptions = {}): Promise<R> {
    this.#requireLeft();
    for (const job of this.#finished) return outcome<R>(this.#take(job));
    let reader: (job: Job<H>) => void = () => undefined;
    let taken: Job<H> | undefined;
    const offered = new Promise<void>((resolve) => {
      reader = (job) => {
        taken = this.#take(job);
        resolve();
      };
    });
    this.#readers.add(reader);
    await within(offered, options.timeoutMs);
    this.#readers.delete(reader);
    if (taken === undefined) throw tooLate(options.timeoutMs);
    return outcome<R>(taken);
  }

  /** Results of `fn` for all values, in their order. Leaving the loop early leaves what has started to its end. */
  async *map<V, R>(fn: (actor: H, value: V) => ObjectRef<R>, values: Iterable<V>): AsyncGenerator<R, void, undefined> {
    const jobs = [...values].map((value) => this.#submit(fn, value, true));
    try {
      for (const job of jobs) {
        await job.done;
        yield outcome<R>(job);
      }
    } finally {
      this.#drop(jobs);
    }
  }

  /** Results of `fn` for all values, as they come. */
  async *mapUnordered<V, R>(fn: (actor: H, value: V) => ObjectRef<R>, values: Iterable<V>): AsyncGenerator<R, void, undefined> {
    const mail = new Mailbox<Job<H>>();
    const jobs = [...values].map((value) => this.#submit(fn, value, true));
    for (const job of jobs)
      job.done.then(
        () => mail.push(job),
        () => undefined,
      );
    try {
      for (let left = jobs.length; left > 0; left--) yield outcome<R>(await mail.take());
    } finally {
      this.#drop(jobs);
    }
  }

  #drop(jobs: readonly Job<H>[]): void {
    const dropped = new Set(jobs);
    const kept = this.#waiting.filter((job) => !dropped.has(job));
    this.#waiting.splice(0, this.#waiting.length, ...kept);
  }

  #submit<V, R>(fn: (actor: H, value: V) => ObjectRef<R>, value: V, own = false): Job<H> {
    let wake: () => void = () => undefined;
    const done = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const job: Job<H> = {
      index: own ? -1 : this.#submitted++,
      start: (actor) => fn(actor, value),
      done,
      settle: (result) => {
        job.result = result;
        wake();
        if (!own && !job.claimed) this.#offer(job);
      },
      result: undefined,
      claimed: false,
    };
    if (!own) this.#jobs.set(job.index, job);
    this.#waiting.push(job);
    this.#dispatch();
    return job;
  }

  #dispatch(): void {
    while (this.#waiting.length > 0) {
      // With all of them taken out by `popIdle`, work waits for a `push`; with all dead it fails.
      if (this.#size === 0 && this.#lastDeath !== undefined) {
        const error = this.#lastDeath;
        for (const job of this.#waiting.splice(0)) job.settle({ error });
        return;
      }
      const actor = this.#idle.shift();
      if (actor === undefined) return;
      const job = this.#waiting.shift();
      if (job !== undefined) this.#run(job, actor);
    }
  }

  #run(job: Job<H>, actor: H): void {
    const call = async (): Promise<unknown> => get(job.start(actor));
    call().then(
      (value) => {
        job.settle({ value });
        this.#release(actor);
      },
      (error: unknown) => {
        job.settle({ error });
        if (error instanceof ActorDiedError) this.#bury(error);
        else this.#release(actor);
      },
    );
  }

  #release(actor: H): void {
    this.#idle.push(actor);
    this.#dispatch();
  }

  /** A dead actor answers at once: given back, it would swallow all the work. */
  #bury(error: ActorDiedError): void {
    this.#size--;
    this.#lastDeath = error;
    this.#dispatch();
  }

  #requireLeft(): void {
    if (this.#jobs.size - this.#claims - this.#readers.size <= 0) throw nothingLeft();
  }

  #claim(job: Job<H>, claimed: boolean): void {
    job.claimed = claimed;
    this.#claims += claimed ? 1 : -1;
  }

  #take(job: Job<H>): Job<H> {
    this.#finished.delete(job);
    this.#jobs.delete(job.index);
    return job;
  }

  /** To the reader who waits longest, or kept for the next one. */
  #offer(job: Job<H>): void {
    for (const reader of this.#readers) {
      this.#readers.delete(reader);
      return reader(job);
    }
    this.#finished.add(job);
  }
}

function outcome<R>(job: { readonly result: Settled | undefined }): R {
  const { result } = job;
  if (result !== undefined && "value" in result) return result.value as R;
  throw result?.error;
}

function nothingLeft(): InvalidOptionError {
  return new InvalidOptionError("This ActorPool has no result to wait for. Submit first, and take as many results as were submitted.", {
    option: "next",
    value: undefined,
  });
}

function tooLate(timeoutMs: number | undefined): GetTimeoutError {
  return new GetTimeoutError(`No result of the ActorPool came within ${timeoutMs} ms. The calls go on; ask again.`, { timeoutMs });
}

/** Whether it is done within that time. */
async function within(done: Promise<void>, timeoutMs: number | undefined): Promise<boolean> {
  const came = done.then(() => true);
  if (timeoutMs === undefined) return came;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, false);
  });
  try {
    return await Promise.race([came, late]);
  } finally {
    clearTimeout(timer);
  }
}
