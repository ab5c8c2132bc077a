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
  #finished = new Mailbox<Job<H>>();
  #takers: Promise<unknown> = Promise.resolve();
  #size: number;
  #submitted = 0;
  #next = 0;
  #lastDeath: unknown;

  constructor(actors: Iterable<H>) {
    this.#idle = [...actors];
    this.#size = this.#idle.length;
    if (this.#size === 0) throw new InvalidOptionError("An ActorPool needs at least one actor handle.", { option: "actors", value: actors });
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
    while (!this.#jobs.has(this.#next) && this.#next < this.#submitted) this.#next++;
    const job = this.#jobs.get(this.#next);
    if (job === undefined) throw nothingLeft();
    await within(job.done, options.timeoutMs);
    this.#jobs.delete(job.index);
    return outcome<R>(job);
  }

  /** The next result that is there, of any `submit`. Rejects as `next` does. */
  async nextUnordered<R = unknown>(options: NextOptions = {}): Promise<R> {
    if (this.#jobs.size === 0) throw nothingLeft();
    // One reader after another, so that two calls at once get two results.
    const turn = this.#takers.then(() => this.#takeFinished(options.timeoutMs));
    this.#takers = turn.catch(() => undefined);
    return outcome<R>(await turn);
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
    for (const job of jobs) job.done.then(() => mail.push(job), () => undefined);
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
        if (!own) this.#finished.push(job);
      },
      result: undefined,
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

  async #takeFinished(timeoutMs: number | undefined): Promise<Job<H>> {
    const { signal, stop } = timer(timeoutMs);
    try {
      for (;;) {
        // Jobs that `next` took meanwhile are passed over.
        if (this.#finished.length === 0 && this.#jobs.size === 0) throw nothingLeft();
        const job = await Promise.race([this.#finished.take(), signal]);
        if (job === undefined) {
          // The reader that gave up must not take what comes later.
          this.#finished = refill(this.#jobs.values());
          throw tooLate(timeoutMs);
        }
        if (this.#jobs.delete(job.index)) return job;
      }
    } finally {
      stop();
    }
  }
}

function refill<H>(jobs: Iterable<Job<H>>): Mailbox<Job<H>> {
  const mail = new Mailbox<Job<H>>();
  for (const job of jobs) if (job.result !== undefined) mail.push(job);
  return mail;
}

function outcome<R>(job: { readonly result: Settled | undefined }): R {
  const { result } = job;
  if (result !== undefined && "value" in result) return result.value as R;
  throw result?.error;
}

function nothingLeft(): InvalidOptionError {
  return new InvalidOptionError("This ActorPool has no result to wait for. Submit first, and take as many results as were submitted.", {
    option: "next", value: undefined,
  });
}

function tooLate(timeoutMs: number | undefined): GetTimeoutError {
  return new GetTimeoutError(`No result of the ActorPool came within ${timeoutMs} ms. The calls go on; ask again.`, { timeoutMs });
}

function timer(timeoutMs: number | undefined): { readonly signal: Promise<undefined>; readonly stop: () => void } {
  let handle: NodeJS.Timeout | undefined;
  const signal = new Promise<undefined>((resolve) => {
    if (timeoutMs !== undefined) handle = setTimeout(() => resolve(undefined), timeoutMs);
  });
  return { signal, stop: () => clearTimeout(handle) };
}

async function within(done: Promise<void>, timeoutMs: number | undefined): Promise<void> {
  if (timeoutMs === undefined) return done;
  const { signal, stop } = timer(timeoutMs);
  try {
    const first = await Promise.race([done.then(() => true), signal]);
    if (first === undefined) throw tooLate(timeoutMs);
  } finally {
    stop();
  }
}
