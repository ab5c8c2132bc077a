/**
 * Work of one lease shape: the queue of its tasks, the leases that run them, and how many of them are in flight where.
 *
 * How deep: a lease holds tasks worth about WINDOW_US of expected run time, so that a worker never waits for its owner
 * and no more. What was expected to be short and is not is found by `stalled`, and what waits behind it is taken back.
 */
import type { LeaseId, LeaseRequestId, NodePrefix, ProcessId } from "../../protocol/ids.ts";
import type { LeaseShape, ResourceAmounts, WorkerAddress } from "../../protocol/messages.ts";
import { Channel } from "./channel.ts";
import type { Task } from "./task.ts";
import { leaseOn, nearOf } from "./locality.ts";
import { Spread } from "./spread.ts";
import { TaskQueue } from "./task-queue.ts";

/** Expected work in flight to one worker, microseconds. */
export const WINDOW_US = 2000;
/** Assumed of a function that has not ended yet. */
const FIRST_GUESS_US = 125;
const DEPTH_MAX = 512;
/** No answer for so long with tasks waiting behind: they are taken back. */
export const STALL_MS = 5;

/** A worker that begins nothing of what it was given for so long is stopped, or hears nobody: its work goes to another. */
export const SILENT_MS = 3000;

/** Whether pushed calls can be taken back by claim words; known once the node has answered. */
export interface Claims {
  available: boolean;
}

export class Lease {
  readonly kind = "lease";
  readonly id: LeaseId;
  readonly queue: ShapeQueue;
  readonly worker: WorkerAddress;
  readonly assigned: ResourceAmounts;
  readonly gpuIds: readonly number[];
  readonly channel = new Channel();
  /** The runtime's way to its worker. */
  way: unknown = undefined;
  /** Expected run time of what is in flight. */
  loadUs = 0;
  /** Calls pushed so far, for maxCalls. */
  pushed = 0;
  /** When it last answered, or was given its first task. */
  progressAt = 0;
  idleSince = 0;
  /** The node wants it back: nothing more is pushed. */
  wanted = false;
  /** Its task takes longer than expected, or waits for others: nothing more is pushed until it answers. */
  held = false;
  /** The way to its worker is not there yet: nothing is pushed. */
  opening = false;
  /** In the queue's list of leases with room. */
  listed = false;
  lost = false;

  constructor(id: LeaseId, queue: ShapeQueue, worker: WorkerAddress, assigned: ResourceAmounts, gpuIds: readonly number[]) {
    this.id = id;
    this.queue = queue;
    this.worker = worker;
    this.assigned = assigned;
    this.gpuIds = gpuIds;
  }

  get processId(): ProcessId {
    return this.worker.processId;
  }

  /** Whether another task may be pushed. */
  get room(): boolean {
    if (this.wanted || this.held || this.lost || this.opening) return false;
    const { count } = this.channel;
    if (this.queue.maxCalls > 0 && this.pushed >= this.queue.maxCalls) return false;
    // What is pushed behind a call that waits for it, and cannot be taken back, would never run (sim seeds 15 and 31).
    return count === 0 || (this.channel.claims && this.loadUs < WINDOW_US && count < DEPTH_MAX);
  }

  /** Whether its worker has served its calls. */
  get spent(): boolean {
    return this.queue.maxCalls > 0 && this.pushed >= this.queue.maxCalls;
  }
}

export class ShapeQueue {
  readonly kind = "shape";
  readonly key: string;
  readonly shape: LeaseShape;
  readonly maxCalls: number;
  /** Whether tasks can be taken back; else one is in flight until its function is known to be short. */
  readonly claims: Claims;
  readonly tasks = new TaskQueue();
  readonly leases: Lease[] = [];
  /** Outstanding lease requests, oldest first. */
  readonly requests = new Set<LeaseRequestId>();
  /** Tasks pushed and not answered, over all leases. */
  inFlight = 0;
  /** Leases whose way is being opened. */
  opening = 0;
  /** When it last had more work than leases. */
  busyAt = 0;
  /** Workers given up since one has answered. */
  silences = 0;
  /** Which lease is next, where that is not the one that waited longest. */
  readonly spread: Spread | undefined;
  #open: Lease[] = [];

  constructor(key: string, shape: LeaseShape, maxCalls: number, claims: Claims) {
    this.key = key;
    this.shape = shape;
    this.maxCalls = maxCalls;
    this.claims = claims;
    this.spread = shape.strategy.kind === "spread" ? new Spread() : undefined;
  }

  /** Leases without a task wait for their turn: others are to catch up first. */
  get isSpreading(): boolean {
    return this.spread !== undefined && this.tasks.size > 0;
  }

  /** Where the lease is best that is asked for last, of those that are asked for. */
  get near(): NodePrefix | undefined {
    return this.spread ? undefined : nearOf(this.tasks.at(this.requests.size - 1));
  }

  /** Tasks that another lease could begin at once. */
  get backlog(): number {
    return Math.max(0, this.tasks.size - this.opening) + Math.max(0, this.inFlight - this.leases.length);
  }

  /** More and more, as it may be the machine that is slow. */
  get patienceMs(): number {
    return SILENT_MS * 2 ** Math.min(this.silences, 4);
  }

  /** Puts a lease among those with room, if it has. */
  offer(lease: Lease): void {
    if (lease.listed || !lease.room) return;
    lease.listed = true;
    this.#open.push(lease);
  }

  /** A lease with room: on the node where the next task's arguments lie, or the one that waited longest. It is offered again by `offer`. */
  takeOpen(now: number): Lease | undefined {
    if (this.spread) return this.#takeSpread(this.spread, now);
    const near = this.#open.length > 1 ? nearOf(this.tasks.first) : undefined;
    const at = near === undefined ? -1 : leaseOn(this.#open, near);
    if (at >= 0) {
      const [lease] = this.#open.splice(at, 1);
      lease!.listed = false;
      return lease;
    }
    for (;;) {
      const lease = this.#open.length === 1 ? this.#open.pop() : this.#open.shift();
      if (!lease) return undefined;
      lease.listed = false;
      if (lease.room) return lease;
    }
  }

  #takeSpread(spread: Spread, now: number): Lease | undefined {
    this.#open = this.#open.filter((lease) => (lease.listed = lease.room));
    const lease = spread.choose(this.#open, this.leases, now, this.tasks.first?.spec.callable.meanUs);
    if (!lease) return undefined;
    lease.listed = false;
    this.#open.splice(this.#open.indexOf(lease), 1);
    return lease;
  }

  expected(task: Task): number {
    const mean = task.spec.callable.meanUs;
    if (mean !== undefined) return Math.max(4, mean);
    return this.claims.available ? FIRST_GUESS_US : WINDOW_US;
  }

  opened(lease: Lease): void {
    if (!lease.opening) return;
    lease.opening = false;
    this.opening--;
  }

  drop(lease: Lease): void {
    const at = this.leases.indexOf(lease);
    if (at >= 0) this.leases.splice(at, 1);
    this.opened(lease);
    lease.lost = true;
  }
}
