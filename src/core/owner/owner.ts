/**
 * The Owner machine: every task that this process submitted, from its making to its results, and beyond where a result
 * can be lost and made again. Driver and workers run the same one.
 */
import { counterOf, prefixOf } from "../../protocol/ids.ts";
import type { ActorId, LeaseId, LeaseRequestId, NodePrefix, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { ActorStatus, DeathReason, Failure, LeaseShape, Payload } from "../../protocol/messages.ts";
import { ActorClient } from "./actor-client.ts";
import { LeasePump } from "./lease-pump.ts";
import type { Claims, Lease, ShapeQueue } from "./leases.ts";
import { ObjectRef } from "./object-ref.ts";
import type { Grant, OwnerPort, SystemFailure } from "./port.ts";
import { Task } from "./task.ts";
import type { TaskSpec } from "./task.ts";

/** What a worker answers to a call. */
export type Reply =
  | { readonly kind: "returned"; readonly results: readonly Payload[] }
  /**
   * User code threw; `retry` says that its options want it run again. Or it never ran, because the bytes of an argument were `lost`:
   * the id of that object.
   */
  | { readonly kind: "threw"; readonly error: Payload; readonly retry: boolean; readonly lost?: ObjectId }
  | { readonly kind: "stream-ended"; readonly length: number; readonly error: Payload | undefined };

export class Owner {
  readonly process: ProcessId;
  readonly #port: OwnerPort;
  readonly #pump: LeasePump;
  /** Actors that nobody here holds, with calls under way. */
  readonly #dropped = new Set<ActorClient>();
  readonly #actors = new Map<ActorId, ActorClient>();
  /** Tasks that were run again because an argument was lost. */
  readonly #rerun = new WeakSet<Task>();
  /** Open tasks, by counter, that other processes hold refs to and so may cancel. */
  readonly #shared = new Map<number, Task>();
  readonly #readyTask = (task: Task, failed: ObjectRef | undefined): void => this.#argumentReady(task, failed);
  #counter = 0;
  #closed: SystemFailure | undefined;
  /** Tasks submitted and not settled. */
  open = 0;

  constructor(port: OwnerPort, process: ProcessId, claims: Claims) {
    this.#port = port;
    this.process = process;
    this.#pump = new LeasePump(port, process, claims);
  }

  /** The time, milliseconds; to be set before events are given. */
  set now(ms: number) {
    this.#pump.now = ms;
  }

  queue(key: string, shape: LeaseShape, maxCalls: number): ShapeQueue {
    return this.#pump.queue(key, shape, maxCalls);
  }

  actor(id: ActorId, ordered: boolean): ActorClient {
    let actor = this.#actors.get(id);
    if (!actor) this.#actors.set(id, (actor = new ActorClient(id, ordered, this.#port, (task, failure) => this.#fail(task, failure))));
    actor.ids.add(id);
    return actor;
  }

  /** `id` was declared with `getIfExists` and means `actual`: calls by either go one way, in their order. Said before any news of it. */
  actorIs(id: ActorId, actual: ActorId): void {
    const actor = this.#actors.get(id);
    const other = this.#actors.get(actual);
    if (!actor || actor === other) return;
    (other ?? actor).actual = actual;
    if (!other) return void this.#actors.set(actual, actor);
    this.#actors.set(id, other);
    other.adopt(actor);
  }

  /** An actor that nobody here will call again, by this id. */
  dropActor(id: ActorId): void {
    const actor = this.#actors.get(id);
    if (!actor) return;
    // Also with calls under way, which may be by another id: this one is not heard of again (sim seed 41).
    actor.ids.delete(id);
    if (actor.ids.size > 0) {
      // By its own id it may be found again, and is then to be this one.
      if (id !== actor.actual) this.#actors.delete(id);
      return;
    }
    this.#dropped.add(actor);
    this.#closeDropped();
  }

  /** Nobody here calls them by any id, and nothing is under way to them. */
  #closeDropped(): void {
    for (const actor of this.#dropped) {
      if (actor.ids.size === 0 && actor.pending > 0) continue;
      this.#dropped.delete(actor);
      if (actor.ids.size > 0) continue;
      actor.close();
      for (const [id, each] of this.#actors) if (each === actor) this.#actors.delete(id);
    }
  }

  lease(id: LeaseId): Lease | undefined {
    return this.#pump.lease(id);
  }

  nextCounter(): number {
    return this.#counter++;
  }

  submit(spec: TaskSpec, place: ShapeQueue | ActorClient): Task {
    const task = new Task(this.process, this.#counter++, spec, place, this.#readyTask);
    const { numReturns, streamBuffer } = spec.options;
    if (streamBuffer !== undefined) task.stream = { items: [], read: 0, length: undefined, error: undefined, changed: nothing };
    else for (let i = 0; i < numReturns; i++) task.returns.push(new ObjectRef(undefined, task, i));
    this.open++;
    if (task.actor) task.actor.open++;
    if (this.#closed) {
      this.#fail(task, this.#closed);
      return task;
    }
    const failed = spec.refArgs ? this.#awaitArguments(task, spec.refArgs) : undefined;
    if (failed) this.#failWith(task, failed.payload!);
    else this.#place(task);
    return task;
  }

  granted(grant: Grant): void {
    this.#pump.granted(grant);
  }

  /** The way to a lease or an actor is there, which was not when the port was asked for it. */
  opened(target: Lease | ActorClient): void {
    if (target.kind === "lease") this.#pump.opened(target);
    else target.opened();
  }

  /** A worker lives, as far as is known, and no way to it comes about. */
  unreachable(processId: ProcessId, reason: DeathReason): void {
    this.#lost(this.#pump.unreachable(processId), reason);
    for (const actor of this.#actors.values()) if (actor.worker?.processId === processId) actor.unreachable(reason);
  }

  /** The way to a worker broke, and the worker lives: its actor is called again by another way. */
  disconnected(processId: ProcessId, reason: DeathReason): void {
    for (const actor of this.#actors.values()) if (actor.worker?.processId === processId) actor.disconnected(reason);
  }

  /** Of calls on a way that broke: all that had been begun are answered by now. */
  callsSettled(id: ActorId, epoch: number): void {
    this.#actors.get(id)?.callsSettled(epoch);
  }

  rejected(requestId: LeaseRequestId, failure: Failure, reason: DeathReason | undefined): void {
    for (const task of this.#pump.rejected(requestId)) this.#fail(task, { kind: "rejected", failure, reason });
  }

  wanted(leaseId: LeaseId): void {
    this.#pump.wanted(leaseId);
  }

  /** A worker's answer. Batches end with `refill` of the leases they touched. */
  replied(from: Lease | ActorClient, seq: number, runUs: number, reply: Reply): void {
    const task = from.kind === "lease" ? this.#pump.answered(from, seq, runUs) : from.answered(seq);
    if (this.#dropped.size > 0) this.#closeDropped();
    // Or it was cancelled meanwhile.
    if (!task || task.state === "done") return;
    switch (reply.kind) {
      case "returned":
        return this.#returned(task, reply.results, from.worker?.processId);
      case "threw":
        if (reply.lost !== undefined && this.#argumentLost(task, reply.lost)) return;
        if (reply.retry && task.retriesLeft > 0 && !task.cancelled) return this.#again(task);
        return this.#failWith(task, reply.error);
      case "stream-ended":
        return this.#streamEnded(task, reply.length, reply.error);
      default:
        reply satisfies never;
    }
  }

  /**
   * The call of an actor that is in flight as number `seq`, if it is this one: what the node says of a call may come when its way is
   * gone, and another has its number.
   */
  callInFlight(id: ActorId, seq: number, counter: number, attempt: number): Task | undefined {
    const task = this.#actors.get(id)?.channel.get(seq);
    return task?.counter === counter && task.attempt === attempt ? task : undefined;
  }

  refill(lease: Lease): void {
    this.#pump.refill(lease);
  }

  streamItem(from: Lease | ActorClient, seq: number, index: number, payload: Payload): void {
    const task = from.channel.get(seq);
    const stream = task?.stream;
    if (!task || !stream || task.state === "done") return;
    if (from.kind === "lease") from.progressAt = this.#pump.now;
    // A producer that runs again repeats what is known already; it is told how far the reader is.
    if (index !== stream.read + stream.items.length) return this.#port.streamRead(from, task, stream.read);
    const ref = new ObjectRef(undefined, task, index);
    stream.items.push(ref);
    this.#settle(ref, payload, from.worker?.processId);
    stream.changed();
  }

  /** The reader took the next item of a stream. */
  readStream(task: Task): ObjectRef | undefined {
    const stream = task.stream!;
    const ref = stream.items.shift();
    if (!ref) return undefined;
    stream.read++;
    const at = task.lease ?? task.actor;
    if (task.state === "pushed" && at) this.#port.streamRead(at, task, stream.read);
    return ref;
  }

  blocked(lease: Lease): void {
    this.#pump.blocked(lease);
  }

  /** A ref leaves this process: others may ask for what it becomes, and cancel what makes it. */
  share(ref: ObjectRef): void {
    ref.shared = true;
    const { task } = ref;
    if (!task || task.state === "done" || task.shared) return;
    task.shared = true;
    this.#shared.set(task.counter, task);
    const at = task.lease ?? task.actor;
    if (task.state === "pushed" && at && !task.stream) this.#port.callShared(at, task);
  }

  /** As `cancel`, for another process that holds a ref. Of what is over, or was never made here, nothing is left to cancel. */
  cancelShared(id: ObjectId, force: boolean, recursive: boolean): void {
    const task = this.#shared.get(counterOf(id));
    // Only tasks of leases are ended by force.
    if (task) this.cancel(task, force && task.actor === undefined, recursive);
  }

  /**
   * Cancels what makes a ref. What has not begun never will; what runs is told, with what it submitted if `recursive`, and with
   * `force` killed.
   */
  cancel(task: Task, force: boolean, recursive: boolean): void {
    if (task.state === "done") return;
    task.cancelled = true;
    const at = task.lease ?? task.actor;
    const waits = task.state === "queued" ? task.queue?.tasks : undefined;
    let begun = task.attempt > 0;
    if (task.state === "pushed" && at) {
      const answer = at.kind === "lease" ? this.#pump.withdraw(at, task) : this.#port.takeBack(at, task);
      if (answer === "taken" && at.kind === "actor") at.channel.remove(task);
      if (answer !== "taken") {
        begun = true;
        this.#port.cancelPushed(at, task, recursive);
        if (force && at.kind === "lease") this.#port.kill(at.processId, at.id, `task ${task.spec.callable.name} was cancelled with force`);
      }
    }
    this.#fail(task, { kind: "cancelled", outcome: begun ? "unknown" : "not-executed" });
    waits?.left();
    // What waited behind it goes on.
    task.actor?.passOver(task);
    this.#closeDropped();
  }

  processLost(processId: ProcessId, reason: DeathReason): void {
    this.#lost(this.#pump.lost(processId), reason);
  }

  /** Another node is gone, with all its processes. What becomes of its actors control will say. */
  nodeLost(prefix: NodePrefix, reason: DeathReason): void {
    const gone = new Set<ProcessId>();
    for (const { processId } of this.#pump.leases) if (prefixOf(processId) === prefix) gone.add(processId);
    for (const processId of gone) this.processLost(processId, { ...reason, processId });
  }

  actorChanged(id: ActorId, status: ActorStatus): void {
    this.#actors.get(id)?.changed(status);
  }

  /** Settles a ref that no task here makes: a put, or one that came from elsewhere. */
  settle(ref: ObjectRef, payload: Payload): void {
    if (ref.state === "pending") this.#settle(ref, payload);
  }

  /** The bytes of a stored object are gone: it is made again if its task is known and may run again. */
  lost(ref: ObjectRef, why: string): void {
    const { task } = ref;
    if (ref.state !== "ready" || ref.payload?.kind !== "stored") return;
    if (!task || !task.queue || task.cancelled || task.retriesLeft <= 0) {
      ref.state = "failed";
      const failure: SystemFailure = { kind: "lost", objectId: ref.id, why };
      ref.payload = this.#port.failure(task, failure);
      return;
    }
    for (const each of task.returns) {
      if (each.payload?.kind !== "stored") continue;
      each.state = "pending";
      each.payload = undefined;
    }
    this.open++;
    if (task.shared) this.#shared.set(task.counter, task);
    task.retriesLeft--;
    task.attempt++;
    task.state = "waiting";
    const failed = task.spec.refArgs ? this.#awaitArguments(task, task.spec.refArgs) : undefined;
    if (failed) this.#failWith(task, failed.payload!);
    else this.#place(task);
  }

  /** The worker found the bytes of an argument gone: the task runs again once they are remade. False: they cannot be. */
  #argumentLost(task: Task, id: ObjectId): boolean {
    const args = task.spec.refArgs ?? [];
    const ref = args.find((each) => each.ref.id === id)?.ref;
    // A call of an actor would lose its place; the object is there for the next one.
    if (!ref) return false;
    // Others that took it may have said so already, and it was remade before this task's word came: then once more is enough.
    const remade = ref.task !== undefined && ref.task.attempt > 0 && !task.actor && !this.#rerun.has(task);
    if (!remade) this.lost(ref, "its bytes are gone");
    if (ref.state === "failed" || task.actor || task.cancelled) return false;
    this.#rerun.add(task);
    task.state = "waiting";
    const failed = this.#awaitArguments(task, args);
    if (failed) this.#failWith(task, failed.payload!);
    else this.#place(task);
    return true;
  }

  tick(): void {
    if (this.#dropped.size > 0) this.#closeDropped();
    this.#pump.tick();
  }

  dueIn(): number | undefined {
    return this.#pump.dueIn();
  }

  /** Everything that is open fails with `failure`, and everything that comes later. */
  close(failure: SystemFailure): void {
    this.#closed = failure;
    for (const task of this.#pump.close()) if (task.state !== "done") this.#fail(task, failure);
    for (const actor of this.#actors.values()) {
      for (const task of actor.calls()) if (task.state !== "done") this.#fail(task, failure);
    }
    this.#actors.clear();
  }

  check(): void {
    this.#pump.check();
    for (const actor of this.#actors.values()) actor.check();
    for (const task of this.#shared.values()) if (task.state === "done") throw new Error(`task ${task.id} is over and listed as open`);
  }

  /** These tasks were lost with their worker: they run again, or fail. */
  #lost(tasks: readonly Task[], reason: DeathReason): void {
    for (const task of tasks) {
      if (task.state === "done") continue;
      if (task.retriesLeft > 0) this.#again(task);
      else this.#fail(task, { kind: "worker-crashed", reason, attempts: task.attempt + 1 });
    }
  }

  #awaitArguments(task: Task, args: NonNullable<TaskSpec["refArgs"]>): ObjectRef | undefined {
    for (const { ref } of args) {
      if (ref.state === "failed") return ref;
      // A ref that is there twice is waited for once.
      if (ref.state === "pending" && ref.addWaiter(task)) task.unready++;
    }
    return undefined;
  }

  #place(task: Task): void {
    if (task.actor) task.actor.enqueue(task);
    else if (task.unready > 0) task.state = "waiting";
    else this.#pump.enqueue(task);
  }

  #argumentReady(task: Task, failed: ObjectRef | undefined): void {
    if (task.state === "done") return;
    if (failed) {
      this.#failWith(task, failed.payload!);
      task.actor?.passOver(task);
    } else if (task.unready === 0) {
      if (task.actor) task.actor.argumentsReady(task);
      else this.#pump.enqueue(task);
    }
  }

  #returned(task: Task, results: readonly Payload[], by: ProcessId | undefined): void {
    const { returns } = task;
    if (results.length !== returns.length) {
      return this.#fail(task, { kind: "num-returns", expected: returns.length, got: results.length });
    }
    this.#done(task);
    let stored = false;
    for (let i = 0; i < returns.length; i++) {
      const payload = results[i]!;
      stored ||= payload.kind === "stored";
      this.#settle(returns[i]!, payload, by);
    }
    // Lineage: what is needed to make a stored result again is kept with it.
    if (!stored) task.release();
  }

  #streamEnded(task: Task, length: number, error: Payload | undefined): void {
    const stream = task.stream!;
    this.#done(task);
    stream.length = length;
    stream.error = error;
    task.release();
    stream.changed();
  }

  #again(task: Task): void {
    task.retriesLeft--;
    task.attempt++;
    if (task.actor) task.actor.enqueue(task);
    else this.#pump.enqueue(task);
  }

  #fail(task: Task, failure: SystemFailure): void {
    this.#failWith(task, this.#port.failure(task, failure));
  }

  #failWith(task: Task, error: Payload): void {
    if (task.state === "done") return;
    this.#done(task);
    for (const ref of task.returns) if (ref.state === "pending") this.#settle(ref, error);
    const { stream } = task;
    if (stream) {
      stream.length = stream.read + stream.items.length;
      stream.error = error;
      stream.changed();
    }
    task.release();
  }

  #done(task: Task): void {
    task.state = "done";
    this.open--;
    if (task.actor) task.actor.open--;
    if (task.shared) this.#shared.delete(task.counter);
    this.#port.finished?.(task);
  }

  #settle(ref: ObjectRef, payload: Payload, by?: ProcessId): void {
    ref.payload = payload;
    ref.state = payload.kind === "error" ? "failed" : "ready";
    if (payload.kind === "stored" && by !== undefined) ref.at = prefixOf(by);
    if (ref.shared || payload.kind === "stored" || payload.refs !== undefined) this.#port.sharedSettled(ref, by);
    const { waiters } = ref;
    if (!waiters) return;
    ref.waiters = undefined;
    if (!(waiters instanceof Set)) return waiters.refSettled(ref);
    for (const waiter of waiters) waiter.refSettled(ref);
  }
}

function nothing(): void {}

export type { ObjectId };
