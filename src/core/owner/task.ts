/** A task or an actor call as its owner knows it: what to run, with what, and how far it has come. */
import type { ObjectId, ProcessId, TaskId } from "../../protocol/ids.ts";
import { returnId, taskId } from "../../protocol/ids.ts";
import type { Payload } from "../../protocol/messages.ts";
import type { ActorClient } from "./actor-client.ts";
import type { Lease, ShapeQueue } from "./leases.ts";
import type { ObjectRef, Waiter } from "./object-ref.ts";

/**
 * waiting   for arguments that are refs
 * queued    for a lease, or for its actor
 * pushed    sent to a worker, which may or may not have begun
 * done      settled, one way or the other; a late reply finds nothing to do
 */
export type TaskState = "waiting" | "queued" | "pushed" | "done";

/** Never looked into by the machine: the function to run, as the runtime knows it. */
export interface Callable {
  readonly name: string;
  /** Moving average of its run time, microseconds; undefined before the first end. */
  meanUs: number | undefined;
}

export interface TaskOptions {
  readonly numReturns: number;
  /** -1 is without bound. */
  readonly maxRetries: number;
  /** Whether an error thrown by user code may be retried; which one is decided by the runtime. */
  readonly retryExceptions: boolean;
  /** The rule itself, for the runtime. */
  readonly retryRule: unknown;
  /** A generator: results come one by one; the number of unread items at which the producer waits. */
  readonly streamBuffer: number | undefined;
  /** The worker ends after so many calls of this function; 0 is never. */
  readonly maxCalls: number;
  readonly concurrencyGroup: string | undefined;
}

export interface TaskSpec {
  readonly callable: Callable;
  /** Encoded arguments; places of refs hold undefined. */
  readonly args: Payload & { readonly kind: "inline" };
  /** Arguments that are refs themselves: the task runs with their values. Pairs of place and ref. */
  readonly refArgs: readonly { readonly index: number; readonly ref: ObjectRef }[] | undefined;
  /** Refs and handles inside arguments, held while the task may still run. */
  readonly holds: readonly object[] | undefined;
  readonly options: TaskOptions;
}

/** Items of a generator, by index. */
export interface Stream {
  /** Made known so far; a producer that runs again starts over and what is known is not taken twice. */
  items: ObjectRef[];
  /** Items before this were read and are not kept. */
  read: number;
  /** No item beyond this will come, or undefined while it runs. */
  length: number | undefined;
  error: Payload | undefined;
  /** Called on every change. */
  changed: () => void;
}

/** Arguments of so few bytes may as well be kept. */
const SMALL = 64;
const NOTHING = { kind: "inline", bytes: new Uint8Array(0), refs: undefined } as const;

export class Task implements Waiter {
  readonly owner: ProcessId;
  readonly counter: number;
  spec: TaskSpec;
  state: TaskState = "queued";
  /** Counts from 0; each start of it on a worker that may have begun to run it has its own. */
  attempt = 0;
  retriesLeft: number;
  /** Refs among its arguments that are still pending. */
  unready = 0;
  cancelled = false;
  /** Other processes may hold refs to what it makes. */
  shared = false;
  readonly returns: ObjectRef[];
  stream: Stream | undefined;
  /** Where it runs: one of the two. */
  readonly queue: ShapeQueue | undefined;
  actor: ActorClient | undefined;
  lease: Lease | undefined;
  /** Number on its channel while pushed. */
  seq = -1;
  /** Microseconds that it was expected to take when it was pushed. */
  expectedUs = 0;
  /** What the runtime ties to it. */
  parent: unknown = undefined;
  readonly #ready: (task: Task, failed: ObjectRef | undefined) => void;

  constructor(
    owner: ProcessId,
    counter: number,
    spec: TaskSpec,
    place: ShapeQueue | ActorClient,
    ready: (task: Task, failed: ObjectRef | undefined) => void,
  ) {
    this.owner = owner;
    this.counter = counter;
    this.spec = spec;
    this.retriesLeft = spec.options.maxRetries < 0 ? Number.POSITIVE_INFINITY : spec.options.maxRetries;
    this.returns = [];
    this.queue = place.kind === "shape" ? place : undefined;
    this.actor = place.kind === "actor" ? place : undefined;
    this.#ready = ready;
  }

  /** What user code throws is its result, since it will not run again for that. */
  get errorsFinal(): boolean {
    return !this.spec.options.retryExceptions || this.retriesLeft <= 0;
  }

  get id(): TaskId {
    return taskId(this.owner, this.counter);
  }

  /** Lets go of arguments: it will not run again. */
  release(): void {
    const { callable, options, args, refArgs, holds } = this.spec;
    if (args.bytes.length <= SMALL && !args.refs && !refArgs && !holds?.length) return;
    this.spec = { callable, options, args: NOTHING, refArgs: undefined, holds: undefined };
  }

  returnId(index: number): ObjectId {
    return returnId(taskId(this.owner, this.counter), index);
  }

  refSettled(ref: ObjectRef): void {
    this.unready--;
    this.#ready(this, ref.state === "failed" ? ref : undefined);
  }
}
