/**
 * What the code that runs now is part of: a task, an actor's call, or the driver's own. Follows awaits by
 * AsyncLocalStorage where a function is asynchronous; a synchronous one is covered by a plain variable, which is cheaper.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { ActorId, TaskId } from "../../protocol/ids.ts";
import type { ResourceAmounts, Strategy } from "../../protocol/messages.ts";

/** What a call submitted. */
export interface ChildTask {
  /** With everything that it submitted itself. */
  cancel(): void;
}

export interface CallContext {
  readonly taskId: TaskId | undefined;
  readonly actorId: ActorId | undefined;
  readonly attempt: number;
  readonly assigned: ResourceAmounts;
  readonly gpuIds: readonly number[];
  /** Aborted when the call is cancelled. */
  readonly signal: AbortSignal;
  /** Where its children are placed unless they say otherwise. */
  readonly childStrategy: Strategy | undefined;
  /** The call waits for others (`blocked`), and goes on when its resources are there again (`resumed` settles). */
  block(): void;
  unblock(): Promise<void>;
  /** It called exitActor(): its actor ends with it, also when it catches what that threw. */
  exits?: boolean;
  /** What it submitted, so that cancelling it cancels them. */
  readonly children: Set<ChildTask>;
}

const storage = new AsyncLocalStorage<CallContext>();
let current: CallContext | undefined;
let used = false;

export function currentContext(): CallContext | undefined {
  return (used ? storage.getStore() : undefined) ?? current;
}

/** Runs a function that is known to end at once. */
export function runPlain(context: CallContext, fn: (...args: unknown[]) => unknown, self: unknown, args: unknown[]): unknown {
  const before = current;
  current = context;
  try {
    return fn.apply(self, args);
  } finally {
    current = before;
  }
}

/** Runs a function whose awaits belong to the context too. */
export function runFollowed<T>(context: CallContext, fn: () => T): T {
  used = true;
  return storage.run(context, fn);
}

/** For a call that turned out to be asynchronous: the fallback until it ends, where no other runs beside it. */
export function setFallback(context: CallContext | undefined): void {
  current = context;
}

/** Thrown by exitActor(): ends the call and, after its answer, the actor. */
export class ActorExit extends Error {
  constructor() {
    super("exitActor() ends this actor. It must not be caught: let it pass.");
    this.name = "ActorExit";
  }
}
