/**
 * One call that a worker was given: its context while it runs, and its way to an answer.
 */
import type { Deque } from "../../core/owner/deque.ts";
import { TaskCancelledError } from "../../errors/index.ts";
import type { ActorId, LeaseId, TaskId } from "../../protocol/ids.ts";
import { taskId } from "../../protocol/ids.ts";
import type { Push } from "../../protocol/direct.ts";
import type { ResourceAmounts, Strategy } from "../../protocol/messages.ts";
import type { CallContext, ChildTask } from "./context.ts";
import type { OwnerLink } from "./owner-link.ts";
import type { SharedAnswers } from "./shared-answers.ts";

/** A numbered way from one owner to one lease, or to this worker's actor. */
export interface Channel {
  readonly index: number;
  readonly link: OwnerLink;
  readonly leaseId: LeaseId | undefined;
  readonly actorId: ActorId | undefined;
  readonly words: Int32Array | undefined;
  readonly assigned: ResourceAmounts;
  readonly gpuIds: readonly number[];
  /** Where what its calls submit is placed. */
  readonly children: Strategy | undefined;
  /** Pushed and not begun. */
  readonly queue: Deque<Push>;
  /** Of an actor: queued with those of other channels, and without claim words. */
  readonly unclaimed: Set<number>;
  /** Cancelled before they began, where there are no claim words to take them back by. */
  readonly skip: Set<number>;
  /** Those that went on after their first turn: while a call runs without awaiting, no message is read that could ask for it. */
  readonly running: Map<number, RunningCall>;
  readonly answers: SharedAnswers;
  /** Blocks of its lease so far; a late answer to an earlier one is told by it. */
  turn: number;
  /** The lease's task waits for others: nothing more of it begins. */
  suspended: boolean;
  closed: boolean;
}

/** What a call that waits needs from its executor. */
export interface Blocking {
  /** The call waits: another may run. */
  suspend(call: RunningCall): void;
  /** Settles when the call has its resources and the worker again. */
  resume(call: RunningCall): Promise<void>;
}

export class RunningCall implements CallContext {
  readonly channel: Channel;
  readonly push: Push;
  readonly name: string;
  startedAt = 0;
  /** When its answer was written. */
  endedAt = 0;
  /** Time spent waiting for others, which is not run time. */
  waitedMs = 0;
  cancelled = false;
  /** It called exitActor(). */
  exits = false;
  /** Its code has been entered: only then may it have changed anything. */
  entered = false;
  /** Items of its stream that the reader has taken, as far as known. */
  read = 0;
  onRead: (() => void) | undefined;
  #blocks = 0;
  #blockedAt = 0;
  #abort: AbortController | undefined;
  #children: Set<ChildTask> | undefined;
  readonly #blocking: Blocking;

  constructor(channel: Channel, push: Push, name: string, blocking: Blocking) {
    this.channel = channel;
    this.push = push;
    this.name = name;
    this.#blocking = blocking;
  }

  get taskId(): TaskId {
    return taskId(this.channel.link.owner, this.push.taskCounter);
  }

  get actorId(): ActorId | undefined {
    return this.channel.actorId;
  }

  get attempt(): number {
    return this.push.attempt;
  }

  get assigned(): ResourceAmounts {
    return this.channel.assigned;
  }

  get gpuIds(): readonly number[] {
    return this.channel.gpuIds;
  }

  get childStrategy(): Strategy | undefined {
    return this.channel.children;
  }

  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.cancelled && !this.#abort.signal.aborted) this.#abort.abort(this.cancelError());
    return this.#abort.signal;
  }

  get children(): Set<ChildTask> {
    return (this.#children ??= new Set());
  }

  get blocked(): boolean {
    return this.#blocks > 0;
  }

  block(): void {
    if (this.#blocks++ > 0 || !this.channel.leaseId) return;
    this.#blockedAt = performance.now();
    this.#blocking.suspend(this);
  }

  async unblock(): Promise<void> {
    if (--this.#blocks > 0 || !this.channel.leaseId) return;
    await this.#blocking.resume(this);
    this.waitedMs += performance.now() - this.#blockedAt;
  }

  cancel(recursive: boolean): void {
    this.cancelled = true;
    this.#abort?.abort(this.cancelError());
    this.onRead?.();
    if (recursive) for (const child of [...(this.#children ?? [])]) child.cancel();
  }

  /** Microseconds that it ran. */
  ranUs(now: number): number {
    return Math.max(0, (now - this.startedAt - this.waitedMs) * 1000);
  }

  cancelError(): TaskCancelledError {
    return new TaskCancelledError(`${this.name} was cancelled: its caller wants no result of it. End it soon.`, {
      taskId: this.taskId,
      functionName: this.name,
    });
  }
}
