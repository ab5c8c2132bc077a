/**
 * The client part of a simulated process, driver or worker: the Owner machine with its port, the refs that the node counts, and
 * values. It does what the client of production does, in virtual time.
 */
import type { ActorClient } from "../src/core/owner/actor-client.ts";
import type { Lease, ShapeQueue } from "../src/core/owner/leases.ts";
import { ObjectRef } from "../src/core/owner/object-ref.ts";
import type { Owner } from "../src/core/owner/owner.ts";
import type { OwnerPort, SystemFailure } from "../src/core/owner/port.ts";
import type { Callable, Task, TaskSpec } from "../src/core/owner/task.ts";
import { WayEnd } from "../src/core/refs/way-end.ts";
import { replyParcel } from "../src/protocol/direct.ts";
import type { Push } from "../src/protocol/direct.ts";
import { wayId } from "../src/protocol/ids.ts";
import type { ActorId, JobId, LeaseId, LeaseRequestId, ObjectId, ProcessId, WayId } from "../src/protocol/ids.ts";
import type { Body, DeathReason, MessageName, Payload, WorkerAddress } from "../src/protocol/messages.ts";
import { ClaimBlocks, takeBack } from "./claims.ts";
import type { Timer } from "./clock.ts";
import { HeldRefs } from "./held.ts";
import type { HeldId } from "./held.ts";
import type { End } from "./network.ts";
import type { SimProcess } from "./process.ts";
import type { Rng } from "./rng.ts";
import { memoryKey } from "./store.ts";
import { ActorCore, decode, encode, SimError } from "./values.ts";
import type { Shared } from "./values.ts";
import { Way } from "./ways.ts";
import type { Lane } from "./ways.ts";
import type { World } from "./world.ts";

const SILENT_US = 2_000_000;
const isActor = (id: HeldId): id is ActorId => id.endsWith("-a");

export class SimClient implements OwnerPort {
  readonly world: World;
  readonly process: SimProcess;
  readonly jobId: JobId;
  readonly owner: Owner;
  readonly held: HeldRefs;
  readonly blocks: ClaimBlocks;
  readonly rng: Rng;
  readonly callables = new Map<string, Callable>();
  /** What actors that wait for their arguments need. */
  readonly starting = new Set<readonly Shared[]>();
  /** Tasks that are not over: their arguments and results are reachable. */
  readonly live = new Set<Task>();
  /** Workers to which a way is being opened, with who waits for it. */
  readonly #reaching = new Map<ProcessId, Set<Lease | ActorClient>>();
  readonly #ways = new Map<ProcessId, Way>();
  readonly #waysOpen = new Set<WayId>();
  #wayCount = 0;
  readonly #fetching = new Map<ObjectId, ObjectRef>();
  readonly #reading = new Map<number, (at: Body<"storePinned">["at"]) => void>();
  readonly #asked = new Map<number, (answer: Body<"answer">) => void>();
  #calls = 0;
  #seals = 0;
  #timer: Timer | undefined;
  node: End | undefined;
  /** What programs, calls and actors of this process can reach. */
  roots: () => Iterable<Shared> = () => [];
  onFinished: () => void = () => {};
  /** Messages that are not for the client. */
  other: (name: MessageName, body: never) => void = (name) => {
    throw new Error(`${this.id} is sent ${name}`);
  };

  constructor(world: World, process: SimProcess, jobId: JobId) {
    this.world = world;
    this.process = process;
    this.jobId = jobId;
    this.rng = world.rng.fork(`client ${process.id}`);
    const { claimBlocks } = world.config;
    this.blocks = new ClaimBlocks(world.claims, world.claimRange(), claimBlocks);
    this.owner = world.plant.owner(this, process.id, { available: claimBlocks > 0 });
    this.held = new HeldRefs((name, body) => this.send(name, body));
    this.held.onDropped = (id) => {
      if (isActor(id)) this.owner.dropActor(id);
    };
    this.#collectLater();
  }

  get id(): ProcessId {
    return this.process.id;
  }

  send<N extends MessageName>(name: N, body: Body<N>): void {
    this.node?.send(name, body);
  }

  /** What still waits for the node. */
  get unanswered(): number {
    return this.#fetching.size + this.#reading.size + this.#asked.size;
  }

  /** The node's messages. */
  message(name: MessageName, body: never): void {
    this.tick();
    const { owner } = this;
    switch (name) {
      case "welcome":
      case "warning":
        return;
      case "leaseGrant":
        return owner.granted(body);
      case "leaseReject": {
        const { requestId, failure, reason } = body as Body<"leaseReject">;
        return owner.rejected(requestId, failure, reason);
      }
      case "leaseWanted":
        return owner.wanted((body as Body<"leaseWanted">).leaseId);
      case "processLost":
        return this.#processLost(body);
      case "actorState": {
        const { actorId, status, actualId } = body as Body<"actorState">;
        if (actualId !== undefined) owner.actorIs(actorId, actualId);
        return owner.actorChanged(actorId, status);
      }
      case "actorAnswer":
        return this.#answered(body);
      case "refLost": {
        const { way, opener, from } = body as Body<"refLost">;
        if (!this.#waysOpen.has(way)) this.openWay(way, opener, from).end();
        return;
      }
      case "objectState":
        return this.#fetched(body);
      case "taskCancel": {
        const { id, force, recursive } = body as Body<"taskCancel">;
        return owner.cancelShared(id, force, recursive);
      }
      case "storePinned": {
        const { call, at } = body as Body<"storePinned">;
        const read = this.#reading.get(call);
        this.#reading.delete(call);
        return read?.(at);
      }
      case "answer": {
        const { call } = body as Body<"answer">;
        const asked = this.#asked.get(call);
        this.#asked.delete(call);
        return asked?.(body);
      }
      default:
        return this.other(name, body);
    }
  }

  // ── values ──────────────────────────────────────────────────────────────────────────────────

  /** A payload; a large value is stored under `id`, held by this process once. */
  pack(value: unknown, id: () => ObjectId): Payload {
    const { bytes, refs: inside } = encode(value);
    const refs = this.#escapeAll(inside);
    if (bytes.byteLength <= this.world.config.inlineMax) return { kind: "inline", bytes, refs };
    const name = id();
    const seq = this.#seals++;
    const size = bytes.byteLength;
    this.world.memory.write(memoryKey(this.id, seq), bytes);
    const body = { seq, id: name, serial: seq, offset: 0, size, pin: false, holder: this.id, contains: refs ?? [] };
    this.world.memory.seal(this.id, body);
    this.send("storeSealed", body);
    return { kind: "stored", id: name, size };
  }

  inline(value: unknown): Payload & { kind: "inline" } {
    const { bytes, refs } = encode(value);
    return { kind: "inline", bytes, refs: this.#escapeAll(refs) };
  }

  errorPayload(error: SimError): Payload & { kind: "error" } {
    return { kind: "error", bytes: encode(error).bytes, refs: undefined };
  }

  open(payload: Payload & { kind: "inline" | "error" }): unknown {
    return decode(payload.bytes, (text) => this.#revive(text));
  }

  /** Reads a stored object; gives a SimError when it is lost. */
  read(id: ObjectId, done: (value: unknown) => void): void {
    const call = this.#calls++;
    this.#reading.set(call, (at) => {
      if (at.kind !== "memory") return done(new SimError("OBJECT_LOST", at.kind === "lost" ? at.reason : "on disk"));
      this.send("storeUnpin", { seq: this.#seals++, key: at.key });
      done(decode(this.world.memory.read(at.key), (text) => this.#revive(text)));
    });
    this.send("storePin", { call, id });
  }

  /** The value of a settled ref, or its error. */
  value(ref: ObjectRef, done: (value: unknown) => void): void {
    const payload = ref.payload!;
    if (payload.kind !== "stored") return done(this.open(payload));
    this.read(payload.id, (value) => {
      if (!(value instanceof SimError)) return done(value);
      this.tick();
      this.owner.lost(ref, value.message);
      this.batchEnd();
      if ((ref.state as string) === "failed") return done(value);
      ref.addWaiter({ refSettled: () => this.process.post(() => this.value(ref, done)) });
    });
  }

  newRef(id: ObjectId): ObjectRef {
    return new ObjectRef(id, undefined, 0);
  }

  /** An object of ours was sealed in the store: its record names this process as its holder. */
  sealedHere(ref: ObjectRef): void {
    ref.shared = true;
    this.held.hold(ref.id, ref, 1);
  }

  openWay(id: WayId, opener: boolean, to: ProcessId): WayEnd {
    this.#waysOpen.add(id);
    return new WayEnd(id, opener, to, (name, body) => {
      if (name === "refCame" && (body as Body<"refCame">).over) this.#waysOpen.delete(id);
      this.send(name, body);
    });
  }

  newWay(to: ProcessId): WayEnd {
    return this.openWay(wayId(this.id, this.#wayCount++), true, to);
  }

  /** Takes over refs that the node has given this process. */
  receive(ids: readonly HeldId[]): Shared[] {
    return ids.map((id) => this.held.take(id, 1, () => this.#make(id)));
  }

  /** Holds refs inside a value that came on a way. */
  keep(ids: readonly HeldId[]): Shared[] {
    return ids.map((id) => this.held.take(id, 0, () => this.#make(id)));
  }

  fetch(ref: ObjectRef): void {
    if (ref.owned || ref.state !== "pending" || this.#fetching.has(ref.id)) return;
    this.#fetching.set(ref.id, ref);
    this.send("objectFetch", { id: ref.id });
  }

  ask(question: Body<"ask">["question"], done: (answer: Body<"answer">) => void): void {
    const call = this.#calls++;
    this.#asked.set(call, done);
    this.send("ask", { call, question });
  }

  submit(spec: TaskSpec, place: ShapeQueue | ActorClient): Task {
    this.tick();
    for (const { ref } of spec.refArgs ?? []) this.fetch(ref);
    const task = this.owner.submit(spec, place);
    if (task.state !== "done") this.live.add(task);
    this.batchEnd();
    return task;
  }

  actor(core: ActorCore): ActorClient {
    const actor = this.owner.actor(core.actorId, core.ordered);
    actor.className = core.className;
    if (!core.watched) {
      core.watched = true;
      this.send("actorWatch", { actorId: core.actorId });
    }
    return actor;
  }

  /** Whether an error of user code is to be retried. */
  shouldRetry(error: Payload): boolean {
    return error.kind === "error" && (this.open(error) as SimError).code === "USER";
  }

  /** Objects that are known to the node and can be reached from here, for stories. */
  collectNow(): void {
    const finalizers = this.held.collect(this.#allRoots());
    for (const finalize of finalizers) this.process.after(this.rng.int(0, 20_000), finalize);
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────

  tick(): void {
    this.owner.now = this.world.clock.ms;
  }

  /** To be called after events were given to the owner. */
  batchEnd(): void {
    this.owner.check();
    if (this.#timer) return;
    const dueIn = this.owner.dueIn();
    if (dueIn === undefined) return;
    this.#timer = this.process.after(dueIn * 1000, () => {
      this.#timer = undefined;
      this.tick();
      this.owner.tick();
      this.batchEnd();
    });
  }

  wayClosed(way: Way): void {
    const { processId } = way.address;
    if (this.#ways.get(processId) !== way) return;
    if (way.idle) return void this.#ways.delete(processId);
    this.process.after(SILENT_US, () => {
      if (this.#ways.get(processId) === way) this.send("killProcess", { processId, message: "its connection broke" });
    });
  }

  // ── OwnerPort ───────────────────────────────────────────────────────────────────────────────

  requestLease(requestId: LeaseRequestId, queue: ShapeQueue): void {
    this.send("leaseRequest", { requestId, jobId: this.jobId, shape: queue.shape, backlog: queue.backlog });
  }

  cancelLeaseRequest(requestId: LeaseRequestId): void {
    this.send("leaseCancel", { requestId });
  }

  openLease(lease: Lease): boolean {
    return this.#open(lease, lease.worker);
  }

  closeLease(lease: Lease): void {
    this.#closeLane(lease);
  }

  returnLease(lease: Lease, retire: boolean): void {
    this.#closeLane(lease);
    this.send("leaseReturn", { leaseId: lease.id, retire });
  }

  openActor(actor: ActorClient, worker: WorkerAddress): boolean {
    return this.#open(actor, worker);
  }

  closeActor(actor: ActorClient): void {
    this.#closeLane(actor);
    actor.way = undefined;
  }

  push(to: Lease | ActorClient, task: Task): void {
    const lane = to.way as Lane;
    const payloads: Push["payloads"] = (task.spec.refArgs ?? []).map(({ index, ref }) => ({ index, payload: ref.payload! }));
    lane.way.push(lane, task, payloads);
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

  askCalls(): never {
    throw new Error("on one machine a way breaks with its worker");
  }

  callShared(at: Lease | ActorClient, task: Task): void {
    const lane = at.way as Lane;
    lane.way.shared(lane, task);
  }

  kill(processId: ProcessId, leaseId: LeaseId, message: string): void {
    this.send("killProcess", { processId, leaseId, message });
  }

  streamRead(at: Lease | ActorClient, task: Task, read: number): void {
    const lane = at.way as Lane | undefined;
    lane?.way.streamRead(lane, task, read);
  }

  failure(task: Task | undefined, failure: SystemFailure): Payload {
    this.world.history.failed(task, failure);
    return this.errorPayload(systemError(failure));
  }

  sharedSettled(ref: ObjectRef): void {
    const payload = ref.payload!;
    if (!ref.owned) return;
    if (payload.kind === "stored") {
      ref.shared = true;
      return this.held.hold(ref.id, ref, 0);
    }
    if (payload.refs) ref.inner = this.keep(payload.refs);
    if (ref.shared) this.send("objectSettle", { id: ref.id, payload });
  }

  finished(task: Task): void {
    this.live.delete(task);
    (task.parent as { delete(task: Task): void } | undefined)?.delete(task);
    this.world.history.finished(task);
    this.onFinished();
  }

  // ── how it is done ──────────────────────────────────────────────────────────────────────────

  #processLost({ processId, reason }: { processId: ProcessId; reason: DeathReason }): void {
    this.owner.processLost(processId, reason);
    // What it had answered may still be under way: it is read to its end.
    this.#ways.delete(processId);
    this.#reaching.delete(processId);
    this.batchEnd();
  }

  #answered({ actorId, seq, counter, attempt, answer }: Body<"actorAnswer">): void {
    this.receive(replyParcel(answer));
    const task = this.owner.callInFlight(actorId, seq, counter, attempt);
    if (!task?.actor) return;
    if (answer.kind === "returned") return this.owner.replied(task.actor, seq, 0, answer);
    const retry = task.spec.options.retryExceptions && this.shouldRetry(answer.error);
    this.owner.replied(task.actor, seq, 0, { kind: "threw", error: answer.error, retry });
  }

  #fetched({ id, payload, failure }: Body<"objectState">): void {
    const ref = this.#fetching.get(id);
    this.#fetching.delete(id);
    if (payload && payload.kind !== "stored" && payload.refs) {
      const inner = this.receive(payload.refs);
      if (ref) ref.inner = inner;
    }
    if (!ref) return;
    this.owner.settle(ref, payload ?? this.errorPayload(new SimError(failure?.code ?? "OBJECT_LOST", failure?.message ?? "lost")));
  }

  /** As if the worker were on another node, now and then: the way comes later, or not. */
  #open(target: Lease | ActorClient, worker: WorkerAddress): boolean {
    const { processId } = worker;
    const { openLate } = this.world.config;
    if (!this.#reaching.has(processId) && (this.#ways.has(processId) || openLate === 0 || !this.rng.chance(openLate))) {
      target.way = this.#way(worker).open(target);
      return true;
    }
    const waiting = this.#reaching.get(processId);
    if (waiting) waiting.add(target);
    else {
      const targets = new Set([target]);
      this.#reaching.set(processId, targets);
      this.process.after(this.rng.tailed(100, 50_000, 10), () => this.#reached(worker, targets));
    }
    return false;
  }

  #reached(worker: WorkerAddress, targets: Set<Lease | ActorClient>): void {
    const { processId, pid } = worker;
    if (this.#reaching.get(processId) !== targets) return;
    this.#reaching.delete(processId);
    this.tick();
    if (this.rng.chance(this.world.config.unreachable)) {
      this.owner.unreachable(processId, { cause: "unreachable", message: "a fault", processId, pid });
    } else {
      for (const target of targets) {
        target.way = this.#way(worker).open(target);
        this.owner.opened(target);
      }
    }
    this.batchEnd();
  }

  #way(worker: WorkerAddress): Way {
    let way = this.#ways.get(worker.processId);
    if (!way) this.#ways.set(worker.processId, (way = new Way(worker, this)));
    return way;
  }

  #closeLane(target: Lease | ActorClient): void {
    for (const waiting of this.#reaching.values()) waiting.delete(target);
    const lane = target.way as Lane | undefined;
    lane?.way.close(lane);
  }

  #make(id: HeldId): Shared {
    if (isActor(id)) return new ActorCore(id, "", true, 0);
    const ref = this.newRef(id);
    ref.owned = false;
    ref.shared = true;
    return ref;
  }

  #revive(text: string): Shared {
    if (!text.startsWith("{")) return this.held.take(text as ObjectId, 0, () => this.#make(text as ObjectId));
    const data = JSON.parse(text) as { actorId: ActorId; className: string; ordered: boolean; maxTaskRetries: number };
    const core = this.held.take(data.actorId, 0, () => this.#make(data.actorId)) as ActorCore;
    core.learn(data);
    return core;
  }

  #escapeAll(shared: readonly Shared[]): HeldId[] | undefined {
    if (shared.length === 0) return undefined;
    return shared.map((each) => {
      if (each instanceof ActorCore) return each.actorId;
      if (!each.shared) {
        this.owner.share(each);
        this.world.history.escaped.add(each.id);
        this.send("objectEscape", { id: each.id, payload: each.payload });
        this.held.hold(each.id, each, 1);
      }
      return each.id;
    });
  }

  #allRoots(): (Shared | Task)[] {
    return [...this.roots(), ...this.live, ...this.#fetching.values(), ...[...this.starting].flat()];
  }

  #collectLater(): void {
    const { collectMs } = this.world.config;
    this.process.after(this.rng.int(collectMs * 500, collectMs * 1500), () => {
      this.collectNow();
      this.#collectLater();
    });
  }
}

function systemError(failure: SystemFailure): SimError {
  switch (failure.kind) {
    case "actor-died":
    case "actor-unavailable":
      return new SimError(failure.kind, failure.reason.message, failure.outcome);
    case "worker-crashed":
      return new SimError(failure.kind, failure.reason.message);
    case "rejected":
      return new SimError(failure.failure.code, failure.failure.message);
    default:
      return new SimError(failure.kind, JSON.stringify(failure));
  }
}
