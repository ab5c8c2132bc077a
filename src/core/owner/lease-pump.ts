/**
 * Moves tasks between queues and leases: pushes while there is room, asks for leases while there is work, takes back
 * what waits behind a long task, and gives back what is idle. The part of the Owner machine that places tasks.
 */
import type { LeaseId, LeaseRequestId, ProcessId } from "../../protocol/ids.ts";
import type { LeaseShape } from "../../protocol/messages.ts";
import { Lease, ShapeQueue, STALL_MS } from "./leases.ts";
import type { Claims } from "./leases.ts";
import type { Grant, OwnerPort } from "./port.ts";
import { SPREAD_LOOK_MS } from "./spread.ts";
import type { Task } from "./task.ts";

/** An idle lease is kept warm for so long, unless the node wants it. */
export const IDLE_LEASE_MS = 200;
/** Lease requests outstanding at a time and queue. */
const REQUESTS_MAX = 16;
const SPREAD_REQUESTS_MAX = 64;
/** A queue that had no backlog for so long takes its requests back. */
const REQUEST_LINGER_MS = 20;
/** Workers of which that is remembered. */
const SILENT_MAX = 1000;
/** Expected work on one lease above which an idle one takes a share of it. */
const SHARE_US = 300;

/** Most requests of a queue at a time. What is to be spread asks for a lease on every node. */
function requestsFor({ leases, spread }: ShapeQueue): number {
  if (spread && leases.length === 0) return REQUESTS_MAX;
  const more = Math.min(REQUESTS_MAX, leases.length + 2);
  return spread ? Math.max(more, Math.min(SPREAD_REQUESTS_MAX, spread.missing)) : more;
}

export class LeasePump {
  readonly #port: OwnerPort;
  readonly #process: ProcessId;
  readonly #claims: Claims;
  readonly #queues = new Map<string, ShapeQueue>();
  readonly #leases = new Map<LeaseId, Lease>();
  readonly #requests = new Map<LeaseRequestId, ShapeQueue>();
  /** How long workers had something to begin, and did not, since they last answered. Few or none. */
  readonly #silent = new Map<ProcessId, number>();
  #requestCount = 0;
  now = 0;

  constructor(port: OwnerPort, process: ProcessId, claims: Claims) {
    this.#port = port;
    this.#process = process;
    this.#claims = claims;
  }

  get queues(): Iterable<ShapeQueue> {
    return this.#queues.values();
  }

  get leases(): Iterable<Lease> {
    return this.#leases.values();
  }

  lease(id: LeaseId): Lease | undefined {
    return this.#leases.get(id);
  }

  /** The queue of a shape; equal keys must mean equal shapes. */
  queue(key: string, shape: LeaseShape, maxCalls: number): ShapeQueue {
    let queue = this.#queues.get(key);
    if (!queue) this.#queues.set(key, (queue = new ShapeQueue(key, shape, maxCalls, this.#claims)));
    return queue;
  }

  enqueue(task: Task): void {
    task.state = "queued";
    const queue = task.queue!;
    queue.tasks.push(task);
    this.pump(queue);
  }

  pump(queue: ShapeQueue): void {
    const { tasks } = queue;
    while (tasks.size > 0) {
      const lease = queue.takeOpen(this.now);
      if (!lease) break;
      this.#push(lease, tasks.shift()!);
      queue.offer(lease);
    }
    if (queue.backlog > 0) this.#ask(queue);
  }

  granted(grant: Grant): void {
    const queue = this.#requests.get(grant.requestId);
    if (!queue) {
      // The request was taken back while the grant was under way, or this is a repeat.
      if (!this.#leases.has(grant.leaseId)) this.#port.returnLease(this.#unusable(grant), false);
      return;
    }
    this.#forgetRequest(grant.requestId, queue);
    const lease = new Lease(grant.leaseId, queue, grant.worker, grant.assigned, grant.gpuIds);
    lease.idleSince = this.now;
    lease.progressAt = this.now;
    queue.spread?.granted(grant.over ?? 1, this.now);
    this.#leases.set(lease.id, lease);
    queue.leases.push(lease);
    if (this.#port.openLease(lease)) return this.#fill(lease);
    lease.opening = true;
    queue.opening++;
    this.pump(queue);
  }

  /** The way to a lease's worker is there now. */
  opened(lease: Lease): void {
    if (!lease.opening) return;
    lease.queue.opened(lease);
    lease.idleSince = this.now;
    this.#fill(lease);
  }

  /**
   * A worker cannot be reached: its leases are given back. Returns the tasks that this costs a retry: one for each lease whose queue has no
   * other, since that might go on so for good.
   */
  unreachable(processId: ProcessId): Task[] {
    const suffered: Task[] = [];
    for (const lease of [...this.#leases.values()]) {
      if (lease.processId !== processId || !lease.opening) continue;
      const { queue } = lease;
      const alone = queue.leases.every((each) => each.opening);
      const task = alone ? queue.tasks.shift() : undefined;
      if (task) suffered.push(task);
      this.#return(lease, false);
    }
    return suffered;
  }

  /** Returns the tasks that can no longer be placed. */
  rejected(requestId: LeaseRequestId): Task[] {
    const queue = this.#requests.get(requestId);
    if (!queue) return [];
    this.#forgetRequest(requestId, queue);
    if (queue.leases.length > 0) return [];
    return queue.tasks.clear();
  }

  wanted(leaseId: LeaseId): void {
    const lease = this.#leases.get(leaseId);
    if (!lease) return;
    lease.wanted = true;
    this.#takeBack(lease, 0);
    this.#returnIfDone(lease);
    if (lease.queue.backlog > 0) this.#ask(lease.queue);
  }

  /** A call of this lease was answered; `runUs` is how long it ran. Returns it, once. */
  answered(lease: Lease, seq: number, runUs: number): Task | undefined {
    const task = lease.channel.get(seq);
    if (!task) return undefined;
    this.#remove(lease, task);
    const { callable } = task.spec;
    callable.meanUs = callable.meanUs === undefined ? runUs : callable.meanUs * 0.8 + runUs * 0.2;
    lease.progressAt = this.now;
    lease.held = false;
    lease.queue.silences = 0;
    if (this.#silent.size > 0) this.#silent.delete(lease.processId);
    if (lease.channel.count === 0) {
      lease.loadUs = 0;
      lease.idleSince = this.now;
    }
    return task;
  }

  /** After answers: gives the lease more, or back. */
  refill(lease: Lease): void {
    if (lease.lost) return;
    if (lease.wanted || lease.spent) return this.#returnIfDone(lease);
    const { queue } = lease;
    queue.offer(lease);
    if (queue.tasks.size > 0) this.pump(queue);
    else if (lease.channel.count === 0 && queue.inFlight > 1) this.#share(queue, lease);
  }

  /** The running task of a lease waits for others: what is behind it goes elsewhere. */
  blocked(lease: Lease): void {
    lease.held = true;
    this.#takeBack(lease, 0);
    this.pump(lease.queue);
  }

  /** Removes a pushed task if it had not begun. */
  withdraw(lease: Lease, task: Task): "taken" | "claimed" | "unknown" {
    const answer = this.#port.takeBack(lease, task);
    if (answer === "taken") {
      this.#remove(lease, task);
      this.refill(lease);
    }
    return answer;
  }

  /** A worker is gone. Returns what it had begun or may have; the rest is queued again, in front and in order. */
  lost(processId: ProcessId): Task[] {
    const begun: Task[] = [];
    this.#silent.delete(processId);
    for (const lease of [...this.#leases.values()]) {
      if (lease.processId !== processId) continue;
      const { queue } = lease;
      queue.drop(lease);
      this.#leases.delete(lease.id);
      const back: Task[] = [];
      this.#port.closeLease(lease);
      for (const task of lease.channel.list()) {
        const fresh = this.#port.takeBack(lease, task) === "taken";
        this.#remove(lease, task);
        if (fresh) back.push(task);
        else begun.push(task);
      }
      this.#requeue(queue, back);
      this.pump(queue);
    }
    return begun;
  }

  /** Leases that waited too long behind one task are emptied; idle ones are given back. */
  tick(): void {
    for (const lease of this.#leases.values()) {
      const { count } = lease.channel;
      if (count === 0) {
        // One that waits for its turn is not idle.
        const waits = lease.queue.isSpreading && !lease.held;
        if (!lease.opening && !waits && this.now - lease.idleSince > IDLE_LEASE_MS) this.#return(lease, false);
      } else if (!lease.held && this.now - lease.progressAt > (count > 1 ? STALL_MS : lease.queue.patienceMs)) this.#stalled(lease);
    }
    for (const queue of this.#queues.values()) {
      if (queue.spread && queue.tasks.size > 0) this.pump(queue);
      if (queue.backlog > 0) queue.busyAt = this.now;
      else if (queue.requests.size > 0 && this.now - queue.busyAt > REQUEST_LINGER_MS) this.#cancelRequests(queue);
      else if (queue.leases.length === 0 && queue.requests.size === 0 && this.now - queue.busyAt > 60_000) this.#queues.delete(queue.key);
    }
  }

  /** Milliseconds until `tick` is due, or undefined when nothing is under way. */
  dueIn(): number | undefined {
    let due: number | undefined;
    for (const lease of this.#leases.values()) {
      const { count } = lease.channel;
      if (count > 1 && !lease.held) return STALL_MS;
      if (count === 0 ? !lease.opening : !lease.held) due = IDLE_LEASE_MS / 4;
    }
    for (const queue of this.#queues.values()) {
      if (queue.spread && queue.tasks.size > 0 && queue.leases.length > 0) return SPREAD_LOOK_MS;
      if (queue.requests.size > 0 && queue.backlog === 0) return REQUEST_LINGER_MS;
    }
    return due;
  }

  /** Gives every lease back and every request up, for the end. Returns what was in flight. */
  close(): Task[] {
    const open: Task[] = [];
    for (const queue of this.#queues.values()) {
      open.push(...queue.tasks);
      for (const lease of queue.leases) open.push(...lease.channel.list());
    }
    this.#queues.clear();
    this.#leases.clear();
    this.#requests.clear();
    return open;
  }

  check(): void {
    for (const queue of this.#queues.values()) {
      let inFlight = 0;
      for (const lease of queue.leases) {
        inFlight += lease.channel.count;
        if (this.#leases.get(lease.id) !== lease) throw new Error(`lease ${lease.id} of queue ${queue.key} is not in the table`);
        for (const task of lease.channel.list()) {
          if (task.state === "queued") throw new Error(`task ${task.id} is in flight and queued`);
        }
      }
      const opening = queue.leases.filter((lease) => lease.opening).length;
      if (opening !== queue.opening) throw new Error(`queue ${queue.key}: ${queue.opening} leases counted as opening, ${opening} are`);
      if (inFlight !== queue.inFlight) throw new Error(`queue ${queue.key}: ${queue.inFlight} in flight counted, ${inFlight} found`);
      for (const task of queue.tasks) if (task.state === "pushed") throw new Error(`task ${task.id} is queued and pushed`);
      if (queue.backlog > 0 && queue.requests.size === 0 && queue.leases.every((l) => l.lost)) {
        throw new Error(`queue ${queue.key} has work, no lease and no request`);
      }
    }
  }

  #fill(lease: Lease): void {
    const { queue } = lease;
    queue.offer(lease);
    this.pump(queue);
    if (lease.channel.count === 0) this.#share(queue, lease);
  }

  #push(lease: Lease, task: Task): void {
    if (lease.channel.count === 0) lease.progressAt = this.now;
    task.expectedUs = lease.queue.expected(task);
    task.state = "pushed";
    task.lease = lease;
    lease.loadUs += task.expectedUs;
    lease.pushed++;
    lease.queue.inFlight++;
    lease.queue.spread?.given(lease, 1, this.now);
    lease.channel.add(task);
    this.#port.push(lease, task);
  }

  #remove(lease: Lease, task: Task): void {
    lease.channel.remove(task);
    lease.loadUs -= task.expectedUs;
    lease.queue.inFlight--;
    task.lease = undefined;
  }

  /** Takes back what has not begun, newest first, until `keep` are left in flight. Returns how many. */
  #takeBack(lease: Lease, keep: number): number {
    const back: Task[] = [];
    const all = lease.channel.list();
    for (let i = all.length - 1; i >= 0 && lease.channel.count > keep; i--) {
      const task = all[i]!;
      if (this.#port.takeBack(lease, task) !== "taken") continue;
      this.#remove(lease, task);
      lease.pushed--;
      lease.queue.spread?.given(lease, -1, this.now);
      back.push(task);
    }
    this.#requeue(lease.queue, back.reverse());
    return back.length;
  }

  #requeue(queue: ShapeQueue, tasks: Task[]): void {
    for (let i = tasks.length - 1; i >= 0; i--) {
      const task = tasks[i]!;
      if (task.state === "done") continue;
      task.state = "queued";
      task.lease = undefined;
      queue.tasks.unshift(task);
    }
  }

  /** It has not answered for too long: what it has not begun goes elsewhere. If that is all, and again, its worker is not used any more. */
  #stalled(lease: Lease): void {
    const { queue, processId } = lease;
    lease.held = true;
    const taken = this.#takeBack(lease, 0);
    if (lease.channel.count === 0) {
      const silentMs = (this.#silent.get(processId) ?? 0) + this.now - lease.progressAt;
      if (silentMs < queue.patienceMs) {
        if (this.#silent.size < SILENT_MAX) this.#silent.set(processId, silentMs);
      } else {
        this.#silent.delete(processId);
        queue.silences++;
        this.#return(lease, true);
      }
    }
    if (taken > 0) this.pump(queue);
  }

  /** An idle lease takes half of what waits at the one with most. */
  #share(queue: ShapeQueue, idle: Lease): void {
    // What is to be spread stays where its turn has put it, unless that stalls.
    if (!idle.room || queue.spread) return;
    let most: Lease | undefined;
    for (const lease of queue.leases) {
      if (lease !== idle && lease.channel.count > 1 && lease.loadUs > (most?.loadUs ?? SHARE_US)) most = lease;
    }
    if (!most) return;
    if (this.#takeBack(most, Math.ceil(most.channel.count / 2)) > 0) {
      while (queue.tasks.size > 0 && idle.room) this.#push(idle, queue.tasks.shift()!);
      queue.offer(idle);
      this.pump(queue);
    }
  }

  #ask(queue: ShapeQueue): void {
    queue.busyAt = this.now;
    const most = Math.min(queue.backlog, requestsFor(queue));
    while (queue.requests.size < most) {
      const id = `${this.#process}-r${(this.#requestCount++).toString(36)}` as LeaseRequestId;
      queue.requests.add(id);
      this.#requests.set(id, queue);
      this.#port.requestLease(id, queue);
    }
  }

  #cancelRequests(queue: ShapeQueue): void {
    for (const id of [...queue.requests]) {
      this.#forgetRequest(id, queue);
      this.#port.cancelLeaseRequest(id);
    }
  }

  #forgetRequest(id: LeaseRequestId, queue: ShapeQueue): void {
    queue.requests.delete(id);
    this.#requests.delete(id);
  }

  #returnIfDone(lease: Lease): void {
    if (lease.channel.count === 0) this.#return(lease, lease.spent);
  }

  #return(lease: Lease, retire: boolean): void {
    const { queue } = lease;
    queue.drop(lease);
    this.#leases.delete(lease.id);
    this.#port.returnLease(lease, retire);
    if (queue.backlog > 0) this.#ask(queue);
  }

  #unusable(grant: Grant): Lease {
    const queue = new ShapeQueue("", { resources: {}, strategy: { kind: "default" }, name: "", priority: 0 }, 0, this.#claims);
    return new Lease(grant.leaseId, queue, grant.worker, grant.assigned, grant.gpuIds);
  }
}
