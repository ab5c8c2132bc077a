/**
 * The world of the Owner machine: carries out what it asks, by the connections to workers and to the node, and gives it
 * the clock.
 */
import { connect } from "node:net";
import type { Socket } from "node:net";
import type { ActorClient } from "../../core/owner/actor-client.ts";
import type { Claims, Lease, ShapeQueue } from "../../core/owner/leases.ts";
import type { ObjectRef } from "../../core/owner/object-ref.ts";
import { Owner } from "../../core/owner/owner.ts";
import type { OwnerPort, SystemFailure } from "../../core/owner/port.ts";
import type { Task } from "../../core/owner/task.ts";
import type { WayEnd } from "../../core/refs/way-end.ts";
import type { RuntimeEnvError } from "../../errors/index.ts";
import type { Push } from "../../protocol/direct.ts";
import { prefixOf } from "../../protocol/ids.ts";
import type { JobId, LeaseId, LeaseRequestId, NodePrefix, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { DeathReason, Payload, WorkerAddress } from "../../protocol/messages.ts";
import { takeBack } from "./claim-blocks.ts";
import type { ClaimBlocks } from "./claim-blocks.ts";
import type { NodeSender } from "./held-refs.ts";
import { ofJob } from "../job.ts";
import type { Job } from "../job.ts";
import { Reaching } from "./reaching.ts";
import { isForeign, WorkerWay } from "./worker-way.ts";
import type { Lane, WayHost } from "./worker-way.ts";

/** A worker whose connection broke and of whom the node says nothing is not left as it is. */
const SILENT_MS = 2_000;
/** What a dead worker of another node had sent comes within this time, or not at all. */
const LATE_MS = 10_000;
/** A way without lanes is kept so long for the next lease on the same worker. */
const IDLE_WAYS_MAX = 256;

export interface WorldHost {
  readonly node: NodeSender;
  readonly process: ProcessId;
  readonly identity: { readonly jobId: JobId; readonly namespace: string };
  /** What workers of its tasks serve, on a cluster. */
  job(): Job | undefined;
  blocks(): ClaimBlocks | undefined;
  openWay(to: ProcessId): WayEnd;
  flushNode(): void;
  failurePayload(task: Task | undefined, failure: SystemFailure): Payload;
  sharedSettled(ref: ObjectRef, by: ProcessId | undefined): void;
  finished(task: Task): void;
  shouldRetry(task: Task, error: Payload): boolean;
  /** What an environment of a shape stands for. Rejects with RuntimeEnvError. */
  environment(environment: string | undefined): Promise<string | undefined> | string | undefined;
  lostArgument(task: Task, error: Payload): ObjectId | undefined;
}

export class OwnerWorld implements OwnerPort, WayHost {
  readonly owner: Owner;
  readonly #host: WorldHost;
  readonly #ways = new Map<ProcessId, WorkerWay>();
  /** Lease requests that wait for an upload. */
  readonly #uploading = new Set<LeaseRequestId>();
  /** Workers of other nodes that are being reached. */
  readonly #reaching = new Map<ProcessId, Reaching>();
  #timer: NodeJS.Timeout | undefined;

  constructor(host: WorldHost, claims: Claims) {
    this.#host = host;
    this.owner = new Owner(this, host.process, claims);
  }

  get blocks(): ClaimBlocks | undefined {
    return this.#host.blocks();
  }

  get process(): ProcessId {
    return this.#host.process;
  }

  get jobId(): JobId {
    return this.#host.identity.jobId;
  }

  get namespace(): string {
    return this.#host.identity.namespace;
  }

  // ── what ways report ──────────────────────────────────────────────────────────────────────────

  openWay(to: ProcessId): WayEnd {
    return this.#host.openWay(to);
  }

  flushNode(): void {
    this.#host.flushNode();
  }

  shouldRetry(task: Task, error: Payload): boolean {
    return this.#host.shouldRetry(task, error);
  }

  lostArgument(task: Task, error: Payload): ObjectId | undefined {
    return this.#host.lostArgument(task, error);
  }

  tick(): void {
    this.owner.now = performance.now();
  }

  /** To be called after events were given to the owner. */
  batchEnd(): void {
    if (this.#timer) return;
    const dueIn = this.owner.dueIn();
    if (dueIn === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.tick();
      this.owner.tick();
      this.batchEnd();
    }, dueIn);
    this.#timer.unref();
  }

  wayClosed(way: WorkerWay, error: Error | undefined): void {
    const { processId } = way.address;
    if (this.#ways.get(processId) !== way) return;
    if (way.idle) {
      this.#ways.delete(processId);
      return;
    }
    setTimeout(() => {
      if (this.#ways.get(processId) !== way) return;
      // Between machines a connection breaks while both ends live. An actor serves others too; what runs on a lease runs for nobody now.
      if (way.foreign && way.toActor) this.#disconnected(way, error);
      else this.#host.node.send("killProcess", { processId, message: "its connection broke" });
    }, SILENT_MS).unref();
  }

  // ── what the node reports ────────────────────────────────────────────────────────────────────

  processLost(processId: ProcessId, reason: DeathReason): void {
    this.tick();
    this.owner.processLost(processId, reason);
    // Its connection is read to its end: answers that come late hold refs that are to be given back.
    const way = this.#ways.get(processId);
    if (way?.foreign) setTimeout(() => way.destroy(), LATE_MS).unref();
    this.#forget(processId);
    this.batchEnd();
  }

  /** Another node is gone: nothing comes from its processes any more. */
  nodeLost(prefix: NodePrefix, reason: DeathReason): void {
    this.tick();
    this.owner.nodeLost(prefix, reason);
    for (const [processId, way] of [...this.#ways]) {
      if (prefixOf(processId) !== prefix) continue;
      this.#forget(processId);
      way.destroy();
    }
    for (const processId of [...this.#reaching.keys()]) if (prefixOf(processId) === prefix) this.#forget(processId);
    this.batchEnd();
  }

  // ── OwnerPort ────────────────────────────────────────────────────────────────────────────────

  requestLease(requestId: LeaseRequestId, queue: ShapeQueue): void {
    const environment = this.#host.environment(queue.shape.environment);
    if (!(environment instanceof Promise)) return this.#sendRequest(requestId, queue, environment);
    // Its environment is on its way to the node: until then nobody there could do anything for it.
    this.#uploading.add(requestId);
    environment.then(
      (known) => {
        if (this.#uploading.delete(requestId)) this.#sendRequest(requestId, queue, known);
      },
      (error: RuntimeEnvError) => {
        if (!this.#uploading.delete(requestId)) return;
        this.tick();
        this.owner.rejected(requestId, { code: "RUNTIME_ENV_FAILED", message: error.message }, undefined);
        this.batchEnd();
      },
    );
  }

  #sendRequest(requestId: LeaseRequestId, { shape, backlog, near }: ShapeQueue, environment: string | undefined): void {
    const known = ofJob(environment === shape.environment ? shape : { ...shape, environment }, this.#host.job());
    this.#host.node.send("leaseRequest", { requestId, jobId: this.jobId, shape: known, backlog, near });
  }

  cancelLeaseRequest(requestId: LeaseRequestId): void {
    if (this.#uploading.delete(requestId)) return;
    this.#host.node.send("leaseCancel", { requestId });
  }

  openLease(lease: Lease): boolean {
    return this.#open(lease, lease.worker);
  }

  closeLease(lease: Lease): void {
    this.#closeLane(lease, lease.processId);
  }

  returnLease(lease: Lease, retire: boolean): void {
    this.#closeLane(lease, lease.processId);
    this.#host.node.send("leaseReturn", { leaseId: lease.id, retire });
  }

  openActor(actor: ActorClient, worker: WorkerAddress): boolean {
    return this.#open(actor, worker);
  }

  closeActor(actor: ActorClient): void {
    this.#closeLane(actor, actor.worker!.processId);
    actor.way = undefined;
  }

  push(to: Lease | ActorClient, task: Task): void {
    const lane = to.way as Lane;
    const { refArgs, options } = task.spec;
    const payloads: Push["payloads"] = refArgs ? refArgs.map(({ index, ref }) => ({ index, payload: ref.payload! })) : NO_PAYLOADS;
    lane.way.push(lane, task, payloads, options.concurrencyGroup ?? "");
  }

  takeBack(from: Lease | ActorClient, task: Task): "taken" | "claimed" | "unknown" {
    const lane = from.way as Lane | undefined;
    if (!lane?.block || !from.channel.claimable(task)) return "unknown";
    return takeBack(lane.block.words, task.seq) ? "taken" : "claimed";
  }

  cancelPushed(at: Lease | ActorClient, task: Task, recursive: boolean): void {
    const lane = at.way as Lane;
    lane.way.cancel(lane, task, recursive);
  }

  callShared(at: Lease | ActorClient, task: Task): void {
    const lane = at.way as Lane;
    lane.way.shared(lane, task);
  }

  kill(processId: ProcessId, leaseId: LeaseId, message: string): void {
    this.#host.node.send("killProcess", { processId, leaseId, message });
  }

  streamRead(at: Lease | ActorClient, task: Task, read: number): void {
    const lane = at.way as Lane | undefined;
    lane?.way.streamRead(lane, task, read);
  }

  askCalls(actor: ActorClient, epoch: number): void {
    this.#host.node.send("callsLost", { actorId: actor.actual ?? actor.id, epoch });
  }

  failure(task: Task | undefined, failure: SystemFailure): Payload {
    return this.#host.failurePayload(task, failure);
  }

  sharedSettled(ref: ObjectRef, by: ProcessId | undefined): void {
    this.#host.sharedSettled(ref, by);
  }

  finished(task: Task): void {
    this.#host.finished(task);
  }

  close(failure: SystemFailure): void {
    clearTimeout(this.#timer);
    this.owner.close(failure);
    for (const way of this.#ways.values()) way.destroy();
    this.#ways.clear();
    for (const reaching of this.#reaching.values()) reaching.giveUp();
    this.#reaching.clear();
  }

  /** Returns whether it is open: a worker of another node has to be reached first. */
  #open(target: Lease | ActorClient, worker: WorkerAddress): boolean {
    const way =
      this.#ways.get(worker.processId) ?? (isForeign(worker, this.process) ? undefined : this.#add(worker, connect(worker.socket)));
    if (way) target.way = way.open(target);
    else this.#reach(worker).waiting.add(target);
    return way !== undefined;
  }

  #add(worker: WorkerAddress, socket: Socket): WorkerWay {
    if (this.#ways.size >= IDLE_WAYS_MAX) this.#dropIdleWay();
    const way = new WorkerWay(worker, socket, this);
    this.#ways.set(worker.processId, way);
    return way;
  }

  #reach(worker: WorkerAddress): Reaching {
    const { processId } = worker;
    let reaching = this.#reaching.get(processId);
    if (reaching) return reaching;
    reaching = new Reaching(worker, this.process, {
      reached: (socket) => {
        const targets = [...reaching!.waiting];
        this.#forget(processId);
        const way = this.#add(worker, socket);
        this.tick();
        for (const target of targets) {
          target.way = way.open(target);
          this.owner.opened(target);
        }
        this.batchEnd();
      },
      failed: (reason) => {
        this.#reaching.delete(processId);
        this.tick();
        this.owner.unreachable(processId, reason);
        this.batchEnd();
      },
    });
    this.#reaching.set(processId, reaching);
    return reaching;
  }

  /** The way to an actor of another node broke, and its node says nothing of its end. */
  #disconnected(way: WorkerWay, error: Error | undefined): void {
    const { processId, pid } = way.address;
    this.#ways.delete(processId);
    this.tick();
    const message = `the connection to it broke: ${error?.message ?? "it was closed"}`;
    this.owner.disconnected(processId, { cause: "unreachable", message, processId, pid });
    this.batchEnd();
  }

  #forget(processId: ProcessId): void {
    this.#ways.delete(processId);
    this.#reaching.get(processId)?.giveUp();
    this.#reaching.delete(processId);
  }

  #dropIdleWay(): void {
    for (const [processId, way] of this.#ways) {
      if (!way.idle) continue;
      this.#ways.delete(processId);
      way.end();
      return;
    }
  }

  #closeLane(target: Lease | ActorClient, processId: ProcessId): void {
    this.#reaching.get(processId)?.waiting.delete(target);
    const lane = target.way as Lane | undefined;
    lane?.way.close(lane);
  }
}

const NO_PAYLOADS: Push["payloads"] = [];
