/**
 * The engine as the api layer calls it: each call validated there is carried out here, on the client of this process.
 */
import { ObjectRef } from "../../core/owner/object-ref.ts";
import type { ActorClient } from "../../core/owner/actor-client.ts";
import type { ShapeQueue } from "../../core/owner/leases.ts";
import type { Task, TaskOptions } from "../../core/owner/task.ts";
import { GetTimeoutError, InvalidOptionError, ObjectStoreFullError, PendingCallsLimitError } from "../../errors/index.ts";
import { functionCodec } from "../../functions/index.ts";
import type { PlacementGroupId } from "../../protocol/ids.ts";
import { putId } from "../../protocol/ids.ts";
import type { LeaseShape } from "../../protocol/messages.ts";
import { checkReadable } from "../../memory/client.ts";
import { packedSize, writePacked } from "../../values/codec.ts";
import { requireState } from "../../values/state.ts";
import type {
  ActorCore,
  ActorSpec,
  CallSpec,
  ClusterInfo,
  Engine,
  GetRequest,
  GroupRecord,
  GroupSpec,
  NodeCounts,
  NodeInfo,
  ObjectRef as PublicRef,
  ObjectRefStream,
  ObjectStoreState,
  RuntimeContext,
  TaskSpec,
  TimelineEvent,
  TypedArray,
  TypedArrayClass,
  WaitRequest,
  WritableBuffer,
} from "../engine.ts";
import { currentContext } from "../worker/context.ts";
import type { CallContext } from "../worker/context.ts";
import type { KnownActor } from "./actor-table.ts";
import { foreign, packArguments } from "./arguments.ts";
import { NOT_NOW } from "./client.ts";
import type { Client } from "./client.ts";
import type { ExportedFunction } from "./exports.ts";
import { RefStream } from "./ref-stream.ts";
import { RefWait } from "./waiting.ts";
import type { WaitEnd } from "./waiting.ts";

/** What the calls of one remote function have in common, worked out at the first. */
interface Prepared {
  readonly callable: ExportedFunction;
  readonly shape: LeaseShape;
  readonly key: string;
  readonly maxCalls: number;
  readonly options: TaskOptions;
}

/** The same of an actor's method, through one handle. */
interface PreparedCall {
  readonly callable: ExportedFunction;
  readonly options: TaskOptions;
  readonly maxTaskRetries: number;
  readonly holds: readonly object[];
}

/** So many values are decoded between two looks at the clock, and for so long before the event loop has its turn. */
const DECODED_AT_ONCE = 1_000;
const DECODE_MS = 10;
/** A list of so many refs is gone through in several turns. */
const MANY = 50_000;

/** What ends with the process: a driver's cluster, or nothing in a worker. */
export interface EngineEnds {
  connected(): Promise<ClusterInfo>;
  close(): Promise<void>;
  /** The process as an actor, and how it ends as one. */
  exitActor(): never;
  readonly isDriver: boolean;
  readonly signal: AbortSignal;
}

type Ref = PublicRef<unknown>;

export class ClientEngine implements Engine {
  readonly client: Client;
  readonly #ends: EngineEnds;
  #open = true;
  readonly #prepared = new WeakMap<TaskSpec, Prepared>();
  readonly #preparedCalls = new WeakMap<CallSpec, PreparedCall>();
  #groups = 0;

  constructor(client: Client, ends: EngineEnds) {
    this.client = client;
    this.#ends = ends;
    client.actors.engine = this;
    client.finished = (task) => finished(task);
  }

  get isOpen(): boolean {
    return this.#open && !this.client.node.closed;
  }

  connected(): Promise<ClusterInfo> {
    return this.#ends.connected();
  }

  async close(): Promise<void> {
    if (!this.#open) return;
    this.#open = false;
    await this.#ends.close();
  }

  context(): RuntimeContext {
    const { identity, nodeId } = this.client;
    const call = currentContext();
    const assigned: Record<string, number> = {};
    for (const [name, amount] of Object.entries(call?.assigned ?? {})) assigned[name] = amount / 10_000;
    return {
      jobId: identity.jobId,
      nodeId,
      workerId: identity.process,
      taskId: call?.taskId,
      actorId: call?.actorId,
      namespace: identity.namespace,
      attempt: call?.attempt ?? 0,
      assignedResources: assigned,
      isDriver: this.#ends.isDriver,
      signal: call?.signal ?? this.#ends.signal,
    };
  }

  // ── tasks and calls ─────────────────────────────────────────────────────────────────────────

  submit(spec: TaskSpec, args: readonly unknown[]): Ref {
    return this.#submit(spec, args).returns[0] as unknown as Ref;
  }

  submitMany(spec: TaskSpec, args: readonly unknown[]): Ref[] {
    return this.#submit(spec, args).returns as unknown as Ref[];
  }

  submitStream(spec: TaskSpec, args: readonly unknown[]): ObjectRefStream<unknown> {
    return this.#stream(this.#submit(spec, args));
  }

  createActor(spec: ActorSpec, args: readonly unknown[]): ActorCore {
    if (spec.options.checkpoint) requireState(spec.target.fn, functionCodec);
    const definition = this.client.exports.get(spec.target);
    const shape = this.#inherited(this.client.environments.shape(spec.shape, spec.environment), spec.placed);
    return this.client.actors.create({ ...spec, shape }, definition, packArguments(this.client, args));
  }

  call(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): Ref {
    return this.#call(actor, spec, args).returns[0] as unknown as Ref;
  }

  callMany(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): Ref[] {
    return this.#call(actor, spec, args).returns as unknown as Ref[];
  }

  callStream(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRefStream<unknown> {
    return this.#stream(this.#call(actor, spec, args));
  }

  async getActor(name: string, namespace: string | undefined): Promise<ActorCore> {
    const answer = await this.client.node.ask({ kind: "actorByName", name, namespace: namespace ?? this.client.identity.namespace });
    return this.client.actors.found(answer as never);
  }

  async kill(actor: ActorCore, noRestart: boolean): Promise<void> {
    this.client.actors.requireOwn(actor);
    const known = this.client.actors.client(actor as KnownActor);
    known.killing();
    try {
      await this.client.node.ask({ kind: "actorKill", actorId: known.id, noRestart, epoch: known.status?.epoch });
    } finally {
      known.killed();
    }
  }

  exitActor(): never {
    return this.#ends.exitActor();
  }

  // ── objects ─────────────────────────────────────────────────────────────────────────────────

  put(value: unknown): Ref {
    return this.client.put(value) as unknown as Ref;
  }

  async createBuffer<A extends TypedArray>(length: number, type: TypedArrayClass<A>): Promise<WritableBuffer<A>> {
    const { client } = this;
    await this.connected();
    const { process } = client.identity;
    const id = putId(process, client.world.owner.nextCounter());
    const bytes = length * type.BYTES_PER_ELEMENT;
    checkReadable(id, bytes);
    const capacity = Number(client.welcome?.memory["capacity"] ?? Number.POSITIVE_INFINITY);
    if (bytes > capacity) {
      throw new ObjectStoreFullError(
        `createBuffer asked for ${bytes} bytes, more than the whole object store has (${capacity}). Raise objectStoreMemory, or split it.`,
        { size: bytes, capacity },
      );
    }
    // The image of an array of that length, without its content: where the content goes is where its one buffer is.
    const encoded = client.packing.encode(new type(client.store.blank(bytes), 0, length), "buffer");
    const content = encoded.buffers[0];
    const room = await this.#held(() => client.store.createAsync(id, packedSize(encoded)));
    let at = 0;
    writePacked(encoded, (offset, bytes) => {
      if (bytes === content) at = offset;
      else room.write(offset, bytes);
    });
    const array = new type(content ? room.view(at, content.byteLength) : new ArrayBuffer(0), 0, length);
    let sealed = false;
    const seal = (): PublicRef<A> => {
      if (sealed)
        throw new InvalidOptionError("seal() was called twice. A buffer becomes one object; keep the ref that the first call gave.");
      sealed = true;
      room.seal(process, []);
      const ref = client.newRef(id);
      ref.payload = { kind: "stored", id, size: room.size };
      ref.state = "ready";
      client.sealedHere(ref);
      return ref as unknown as PublicRef<A>;
    };
    return { array, seal };
  }

  async get(refs: readonly Ref[], request: GetRequest): Promise<unknown[]> {
    const many = refs.length > MANY;
    if (many) await turn();
    const mine = this.#own(refs);
    if (many) await turn();
    const wait = new RefWait(mine, mine.length, true, request);
    if (!wait.done) {
      const end = await this.#waiting(wait);
      if (end === "aborted") throw request.signal!.reason;
      if (end === "timeout") throw timeoutError(mine, request.timeoutMs!);
    }
    if (wait.failed) return [await this.client.value(wait.failed)];
    const values = new Array<unknown>(mine.length);
    let later: Promise<void>[] | undefined;
    let turnEnd = Number.POSITIVE_INFINITY;
    if (mine.length > DECODED_AT_ONCE) turnEnd = performance.now() + DECODE_MS;
    for (let i = 0; i < mine.length; i++) {
      if (i % DECODED_AT_ONCE === 0 && performance.now() > turnEnd) {
        await turn();
        turnEnd = performance.now() + DECODE_MS;
      }
      const value = this.client.valueNow(mine[i]!);
      if (value !== NOT_NOW) values[i] = value;
      else (later ??= []).push(this.client.value(mine[i]!).then((value) => void (values[i] = value)));
    }
    if (later) await this.#held(() => Promise.all(later));
    return values;
  }

  async wait(refs: readonly Ref[], request: WaitRequest): Promise<readonly number[]> {
    const mine = this.#own(refs);
    const ready = firstSettled(mine, request.numReturns);
    if (ready.length === request.numReturns) return ready;
    const end = await this.#waiting(new RefWait(mine, request.numReturns, false, request));
    if (end === "aborted") throw request.signal!.reason;
    return firstSettled(mine, request.numReturns);
  }

  async cancel(ref: Ref | ObjectRefStream<unknown>, { force, recursive }: { force: boolean; recursive: boolean }): Promise<void> {
    const mine = ref instanceof RefStream ? undefined : this.#mine(ref as Ref);
    const task = ref instanceof RefStream ? ref.task : mine!.task;
    if (force && task?.actor) {
      throw new InvalidOptionError(
        `cancel({ force: true }) was asked for ${task.spec.callable.name}, a call of an actor. ` +
          "Force would end the actor with all that it holds: cancel the call without force, or end the actor with kill(handle).",
        { option: "force", value: true },
      );
    }
    if (task) this.#cancel(task, force, recursive);
    // What makes it is known to the process that made the ref.
    else if (!mine!.owned) this.client.node.send("objectCancel", { id: mine!.id, force, recursive });
  }

  // ── questions ───────────────────────────────────────────────────────────────────────────────

  nodes(): Promise<readonly NodeInfo[]> {
    return this.client.node.ask({ kind: "nodes" }) as Promise<readonly NodeInfo[]>;
  }

  clusterResources(): Promise<Record<string, number>> {
    return this.#amounts("clusterResources");
  }

  availableResources(): Promise<Record<string, number>> {
    return this.#amounts("availableResources");
  }

  timeline(): Promise<readonly TimelineEvent[]> {
    return this.client.node.ask({ kind: "timeline" }) as Promise<readonly TimelineEvent[]>;
  }

  objectStore(): Promise<readonly ObjectStoreState[]> {
    return this.client.node.ask({ kind: "objectStore" }) as Promise<readonly ObjectStoreState[]>;
  }

  counts(): Promise<readonly NodeCounts[]> {
    return this.client.node.ask({ kind: "counts" }) as Promise<readonly NodeCounts[]>;
  }

  async collectGarbage(): Promise<void> {
    await this.client.node.ask({ kind: "collectGarbage" });
  }

  createGroup({ bundles, strategy, name, detached }: GroupSpec): PlacementGroupId {
    const { process, jobId } = this.client.identity;
    const groupId = `${process}-${(this.#groups++).toString(36)}-g` as PlacementGroupId;
    const question = {
      kind: "groupCreate",
      groupId,
      jobId,
      bundles: bundles.map((bundle) => ({ ...bundle })),
      strategy,
      name,
      detached,
    } as const;
    this.client.node.ask(question).catch(() => {}); // `groupReady` says it to whoever waits
    return groupId;
  }

  async groupReady(groupId: PlacementGroupId): Promise<void> {
    await this.client.node.ask({ kind: "groupReady", groupId });
  }

  async groupRemove(groupId: PlacementGroupId): Promise<void> {
    await this.client.node.ask({ kind: "groupRemove", groupId });
  }

  async groupByName(name: string): Promise<GroupRecord> {
    return (await this.client.node.ask({ kind: "groupByName", name })) as GroupRecord;
  }

  // ── how it is done ──────────────────────────────────────────────────────────────────────────

  /** Listings speak in wholes, the interface in ten-thousandths. */
  async #amounts(kind: "clusterResources" | "availableResources"): Promise<Record<string, number>> {
    const wholes = (await this.client.node.ask({ kind })) as Record<string, number>;
    return Object.fromEntries(Object.entries(wholes).map(([name, amount]) => [name, Math.round(amount * 10_000)]));
  }

  #submit(spec: TaskSpec, args: readonly unknown[]): Task {
    const { client } = this;
    const prepared = this.#prepared.get(spec) ?? this.#prepare(spec);
    const { callable, key, maxCalls, options } = prepared;
    const shape = this.#inherited(prepared.shape, spec.placed);
    const queue = client.world.owner.queue(shape === prepared.shape ? key : keyOf(shape, maxCalls, spec.target.name), shape, maxCalls);
    return this.#run(callable, options, args, queue, spec.signal, NO_HOLDS);
  }

  #call(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): Task {
    const known = actor as KnownActor;
    const target = this.client.actors.client(known);
    if (known.maxPendingCalls >= 0 && target.open >= known.maxPendingCalls) {
      throw new PendingCallsLimitError(
        `${known.className}.${spec.method} was not called: ${target.open} are pending, maxPendingCalls is ${known.maxPendingCalls}. ` +
          "Wait for some of them first, or raise the limit.",
        { actorId: known.actorId, className: known.className, method: spec.method, maxPendingCalls: known.maxPendingCalls },
      );
    }
    let prepared = this.#preparedCalls.get(spec);
    if (prepared?.maxTaskRetries !== known.maxTaskRetries || prepared.holds[0] !== known) prepared = this.#prepareCall(known, spec);
    return this.#run(prepared.callable, prepared.options, args, target, spec.signal, prepared.holds);
  }

  #run(
    callable: ExportedFunction,
    options: TaskOptions,
    args: readonly unknown[],
    place: ShapeQueue | ActorClient,
    signal: AbortSignal | undefined,
    kept: readonly object[],
  ): Task {
    const { client } = this;
    const { payload, refArgs, holds } = packArguments(client, args);
    if (refArgs) for (const { ref } of refArgs) client.fetch(ref);
    client.world.tick();
    const held = holds ? [...kept, ...holds] : kept;
    const task = client.world.owner.submit({ callable, args: payload, refArgs, holds: held, options }, place);
    const { returns } = task;
    for (let i = 0; i < returns.length; i++) returns[i]!.home = client;
    this.#tie(task, signal);
    client.world.batchEnd();
    return task;
  }

  /** Ties a task to the call that made it, and to the signal that cancels it. */
  #tie(task: Task, signal: AbortSignal | undefined): void {
    const parent = currentContext();
    if (!parent && !signal) return;
    const child = { cancel: () => this.#cancel(task, false, true) };
    const onAbort = (): void => child.cancel();
    task.parent = { end: () => (parent?.children.delete(child), signal?.removeEventListener("abort", onAbort)) };
    parent?.children.add(child);
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  }

  #cancel(task: Task, force: boolean, recursive: boolean): void {
    this.client.world.tick();
    this.client.world.owner.cancel(task, force, recursive);
    this.client.world.batchEnd();
  }

  #stream(task: Task): ObjectRefStream<unknown> {
    const { client } = this;
    return new RefStream(task, {
      owner: client.world.owner,
      openError: (payload) => client.openError(payload as never),
      cancelTask: (each) => this.#cancel(each, false, true),
      pause: () => {
        const call = currentContext();
        call?.block();
        client.node.hold();
        return async () => {
          client.node.letGo();
          await call?.unblock();
        };
      },
      adopt: (ref) => void (ref.home = client),
    });
  }

  #prepare(spec: TaskSpec): Prepared {
    const callable = this.client.exports.get(spec.target, spec.shape.name);
    const { numReturns, maxRetries, retryExceptions, streamBuffer } = spec;
    const maxCalls = Math.max(0, spec.maxCalls);
    const options: TaskOptions = {
      numReturns: numReturns === "streaming" ? 0 : numReturns,
      maxRetries,
      retryExceptions: retryExceptions !== false,
      retryRule: retryExceptions,
      streamBuffer: numReturns === "streaming" ? unbounded(streamBuffer) : undefined,
      maxCalls,
      concurrencyGroup: undefined,
    };
    const shape = this.client.environments.shape(spec.shape, spec.environment);
    const prepared = { callable, shape, key: keyOf(shape, maxCalls, spec.target.name), maxCalls, options };
    this.#prepared.set(spec, prepared);
    return prepared;
  }

  #prepareCall(known: KnownActor, spec: CallSpec): PreparedCall {
    const { maxTaskRetries } = known;
    const callable = this.client.exports.method(spec.method) as ExportedFunction;
    const prepared = { callable, options: callOptions(spec, maxTaskRetries), maxTaskRetries, holds: [known] };
    this.#preparedCalls.set(spec, prepared);
    return prepared;
  }

  /** In a placement group that captures children, they are placed in it too. */
  #inherited(shape: LeaseShape, placed: boolean): LeaseShape {
    const strategy = placed ? undefined : currentContext()?.childStrategy;
    return strategy ? { ...shape, strategy } : shape;
  }

  #own(refs: readonly Ref[]): ObjectRef[] {
    for (let i = 0; i < refs.length; i++) {
      const ref = this.#mine(refs[i]!);
      if (!ref.owned) this.client.fetch(ref);
    }
    return refs as unknown as ObjectRef[];
  }

  #mine(ref: Ref): ObjectRef {
    if (ref instanceof ObjectRef && ref.home === this.client) return ref;
    throw foreign(`the object ${ref.id}`);
  }

  /** Waits with the caller's resources free, and the process kept alive. One promise, where no task waits. */
  #waiting(wait: RefWait): Promise<WaitEnd> {
    const call: CallContext | undefined = currentContext();
    const { node } = this.client;
    node.hold();
    wait.onEnd = () => node.letGo();
    if (!call) return wait.wait();
    call.block();
    return wait.wait().finally(() => call.unblock());
  }

  async #held<T>(wait: () => Promise<T>): Promise<T> {
    this.client.node.hold();
    try {
      return await wait();
    } finally {
      this.client.node.letGo();
    }
  }
}

const NO_HOLDS: readonly object[] = [];

/** Places of the first refs that have settled, at most `most`. */
function firstSettled(refs: readonly ObjectRef[], most: number): number[] {
  const places: number[] = [];
  for (let i = 0; i < refs.length && places.length < most; i++) if (refs[i]!.state !== "pending") places.push(i);
  return places;
}

/** The event loop's turn. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const unbounded = (count: number): number => (count < 0 ? 0xffff_ffff : count);

function callOptions(spec: CallSpec, maxTaskRetries: number): TaskOptions {
  const { numReturns, retryExceptions, streamBuffer, concurrencyGroup } = spec;
  return {
    numReturns: numReturns === "streaming" ? 0 : numReturns,
    maxRetries: spec.maxTaskRetries ?? maxTaskRetries,
    retryExceptions: retryExceptions !== false,
    retryRule: retryExceptions,
    streamBuffer: numReturns === "streaming" ? unbounded(streamBuffer) : undefined,
    maxCalls: 0,
    concurrencyGroup,
  };
}

/** Equal for tasks that can share a lease. */
function keyOf(shape: LeaseShape, maxCalls: number, name: string): string {
  const { resources, strategy, labelSelector, envVars, environment, priority } = shape;
  return JSON.stringify([resources, strategy, labelSelector, envVars, environment, priority, maxCalls > 0 ? [maxCalls, name] : 0]);
}

function finished(task: Task): void {
  (task.parent as { end(): void } | undefined)?.end();
  task.parent = undefined;
}

function timeoutError(refs: readonly ObjectRef[], timeoutMs: number): GetTimeoutError {
  const pending = refs.filter((ref) => ref.state === "pending").map((ref) => ref.id as string);
  return new GetTimeoutError(
    `get() waited ${timeoutMs} ms and ${pending.length} of ${refs.length} results are missing. The tasks go on: get them again, or cancel.`,
    { timeoutMs, pending: pending.slice(0, 10), total: refs.length },
  );
}

export function notAnActor(): never {
  throw new InvalidOptionError(
    "exitActor() was called outside an actor. Only a method of an actor can end it; use kill(handle) elsewhere.",
  );
}
