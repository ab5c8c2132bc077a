/**
 * What the api layer needs of a connected client, and the plain structures that it hands over: everything here has been
 * validated and normalised. The engine's side implements `Engine`; this file has no behaviour beyond brand checks.
 *
 * Rules of the interface
 * - Calls are accepted before the engine is connected, and carried out once it is. A connection that fails rejects `connected()`
 *   and every ref.
 * - After `close()` every call still answers: refs it gives are born failed with ConnectionError, promises reject with it.
 * - A ref or actor of another engine is refused with ConnectionError ("belongs to a cluster that was shut down").
 * - What a user gets wrong has been refused before; what cannot cross is thrown by the engine, as SerializationError, at the call.
 */
import { InvalidOptionError } from "../errors/index.ts";
import type { ActorOptions as WireActorOptions, LeaseShape, ResourceAmounts } from "../protocol/messages.ts";
import type { PlacementGroupId } from "../protocol/ids.ts";

declare const refType: unique symbol;

/**
 * A value that is made elsewhere, or will be. Opaque: `get` gives the value, `id` names it. Not thenable, so that an async
 * function can return one. The value is kept as long as any process holds the ref, also inside other values.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const ref = ray.put(new Float64Array(1_000));
 * const values = await ray.get(ref);
 * console.log(values.length); // 1000
 * await ray.shutdown();
 * ```
 */
export interface ObjectRef<out T> {
  /** Unique in the cluster. */
  readonly id: string;
  /** Only in the types: what `get` gives. */
  readonly [refType]: T;
}

/**
 * The refs that a generator task makes, readable as they are made. The producer waits when `streamBuffer` items are unread;
 * breaking out of the loop cancels it. The iterator throws where the producer threw.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const squares = ray.remote(function* (n: number) {
 *   for (let i = 0; i < n; i++) yield i * i;
 * });
 * for await (const ref of squares.remote(3)) console.log(await ray.get(ref)); // 0, 1, 4
 * await ray.shutdown();
 * ```
 */
export interface ObjectRefStream<out T> extends AsyncIterableIterator<ObjectRef<T>, undefined, undefined> {
  /** Unique in the cluster. */
  readonly id: string;
  next(): Promise<IteratorResult<ObjectRef<T>, undefined>>;
  /** Ends the stream and cancels its producer. */
  return(): Promise<IteratorResult<ObjectRef<T>, undefined>>;
  [Symbol.asyncIterator](): ObjectRefStream<T>;
}

/** On the prototype of the class of object refs, so that every layer and every copy of the package knows one. */
export const objectRefBrand: unique symbol = Symbol.for("mobula.ObjectRef") as never;
/** On the prototype of the class of ref streams. */
export const streamBrand: unique symbol = Symbol.for("mobula.ObjectRefStream") as never;
/** On every actor handle: its `ActorCore`. The engine reads it to send handles on. */
export const actorCoreKey: unique symbol = Symbol.for("mobula.ActorHandle") as never;

/**
 * For `instanceof`: whether a value is an object ref. Refs are made by `put` and by remote calls, never with `new`.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * console.log(ray.put(1) instanceof ray.ObjectRef); // true
 * await ray.shutdown();
 * ```
 */
export const ObjectRef: { readonly name: string; [Symbol.hasInstance](value: unknown): value is ObjectRef<unknown> } = class {
  constructor() {
    throw new InvalidOptionError("An ObjectRef cannot be constructed. put(value) makes one, and every remote call does.", {
      option: "ObjectRef",
      value: "new",
    });
  }
  static [Symbol.hasInstance](value: unknown): value is ObjectRef<unknown> {
    return isObjectRef(value);
  }
};

export function isObjectRef(value: unknown): value is ObjectRef<unknown> {
  return typeof value === "object" && value !== null && objectRefBrand in value;
}

export function isStream(value: unknown): value is ObjectRefStream<unknown> {
  return typeof value === "object" && value !== null && streamBrand in value;
}

/** What is run: one for each `remote()`, the same object for all of its `.options()`, so that exports can be cached by it. */
export interface Target<F extends Function = Function> {
  readonly fn: F;
  readonly name: string;
  /** Captures named by hand; they win over the lexical ones. */
  readonly captures: Readonly<Record<string, unknown>> | undefined;
}

/** Whether an error of user code is retried: never, always, or if the user's own error passes. A class list is a predicate here. */
export type RetryRule = boolean | ((error: unknown) => boolean);

/** What of `runtimeEnv` must be made; paths are absolute. Environment variables go with the shape. */
export interface EnvironmentSpec {
  readonly workingDir?: string;
  readonly excludes?: readonly string[];
  readonly npm?: readonly string[] | "lock";
  readonly npmScripts?: boolean;
  /** A module, or a function. */
  readonly setup?: string | Target;
}

/** A task, but for its arguments. The same object for every call of one RemoteFunction; the engine may cache by it. */
export interface TaskSpec {
  readonly target: Target;
  /** Without its environment, but for variables. */
  readonly shape: LeaseShape;
  /** undefined: that of the program. */
  readonly environment: EnvironmentSpec | undefined;
  /** A strategy was given; else it is placed where what submits it says. */
  readonly placed: boolean;
  /** How many results: 1 is the value itself, another count an array of that length, "streaming" a generator. */
  readonly numReturns: number | "streaming";
  /** -1: without bound. */
  readonly maxRetries: number;
  readonly retryExceptions: RetryRule;
  /** Items that may be unread before the producer waits; -1: without bound. */
  readonly streamBuffer: number;
  /** After how many calls the worker is replaced; -1: never. */
  readonly maxCalls: number;
  /** Cancels the task when it aborts; if it has aborted already, the ref is born cancelled. */
  readonly signal: AbortSignal | undefined;
}

/** An actor, but for its arguments. */
export interface ActorSpec {
  readonly target: Target;
  /** `methods` among them, as in `ActorCore`. `namespace` is "" for the job's own: the engine puts it in. */
  readonly options: WireActorOptions;
  /** What a worker must be to hold it: placement resources, strategy. */
  readonly shape: LeaseShape;
  readonly environment: EnvironmentSpec | undefined;
  /** As of a task. */
  readonly placed: boolean;
  /** Default of its calls; -1: without bound. */
  readonly maxTaskRetries: number;
  /** -1: without bound. Counted by the engine, for each handle's process. */
  readonly maxPendingCalls: number;
}

/**
 * The engine's object for an actor. All handles of it in this process share it; when it is collected the process holds the actor
 * no more. The api layer only reads these fields and hands it back.
 */
export interface ActorCore {
  readonly engine: Engine;
  readonly actorId: string;
  readonly className: string;
  /**
   * Names of its methods, generator methods with a `*` in front; undefined if not known here. They travel with the handle, because
   * whether a call gives a ref or a stream must be known at once.
   */
  readonly methods: readonly string[] | undefined;
}

/** A call of an actor's method, but for its arguments. */
export interface CallSpec {
  readonly method: string;
  /** Name for listings, logs and errors; undefined: Class.method. */
  readonly name: string | undefined;
  readonly numReturns: number | "streaming";
  /** undefined: the actor's own `maxTaskRetries`. */
  readonly maxTaskRetries: number | undefined;
  readonly retryExceptions: RetryRule;
  readonly concurrencyGroup: string | undefined;
  readonly streamBuffer: number;
  readonly signal: AbortSignal | undefined;
}

export interface GetRequest {
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** Told now and then, and at the end, how many of the refs are there. */
  readonly onProgress: ((done: number) => void) | undefined;
}

export interface WaitRequest {
  readonly numReturns: number;
  readonly timeoutMs: number | undefined;
  readonly signal: AbortSignal | undefined;
  readonly fetchLocal: boolean;
}

/** What `getRuntimeContext()` gives. Read at the time of access; empty strings where there is nothing yet. */
export interface RuntimeContext {
  readonly jobId: string;
  /** Empty in a driver that is not connected yet. */
  readonly nodeId: string;
  /** The process. A driver has one too. */
  readonly workerId: string;
  /** The task or actor call that runs, else undefined. */
  readonly taskId: string | undefined;
  /** The actor that this process is, else undefined. */
  readonly actorId: string | undefined;
  readonly namespace: string;
  /** 0 for the first execution of the task, 1 for the first retry. */
  readonly attempt: number;
  /** By name: `CPU`, `GPU`, `memory` (bytes) and custom ones. */
  readonly assignedResources: Readonly<Record<string, number>>;
  readonly isDriver: boolean;
  /** Aborts when the task is cancelled. In a driver it aborts at shutdown. */
  readonly signal: AbortSignal;
}

/** Options of `init`, validated. Amounts in natural units. */
export interface EngineOptions {
  readonly address: string | undefined;
  readonly numCpus: number | undefined;
  readonly numGpus: number | undefined;
  readonly resources: Readonly<Record<string, number>>;
  /** Bytes. */
  readonly objectStoreMemory: number | undefined;
  readonly namespace: string | undefined;
  readonly envVars: Readonly<Record<string, string>> | undefined;
  readonly environment: EnvironmentSpec | undefined;
  readonly token: string | undefined;
  /** What the program says of its job itself; undefined where it does not. */
  readonly job: { readonly weight: number | undefined; readonly priority: number | undefined; readonly maxCpus: number | undefined };
  readonly logToDriver: boolean;
  readonly dashboard: boolean;
}

/** What `init()` can say about what it is connected to. */
export interface ClusterInfo {
  readonly address: string;
  readonly nodeId: string;
  readonly jobId: string;
  readonly namespace: string;
}

/** A node, as `nodes()` lists it. */
export interface NodeInfo {
  readonly nodeId: string;
  readonly alive: boolean;
  readonly hostname: string;
  /** By name: `CPU`, `GPU`, `memory` (bytes) and custom ones. */
  readonly resources: Readonly<Record<string, number>>;
  readonly labels: Readonly<Record<string, string>>;
}

/** A span of the timeline, in the trace event format that browsers and Perfetto open. Times in microseconds. */
export interface TimelineEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: string;
  readonly ts: number;
  readonly dur?: number;
  readonly pid: number | string;
  readonly tid: number | string;
  readonly args?: Readonly<Record<string, unknown>>;
}

/** The object store of one node. */
export interface ObjectStoreState {
  readonly nodeId: string;
  /** Bytes. */
  readonly capacity: number;
  /** Bytes in use in memory. */
  readonly used: number;
  /** Objects in memory or on disk. */
  readonly objects: number;
  /** Bytes that lie on disk. */
  readonly spilled: number;
}

/** How much of what one node keeps track of. */
export interface NodeCounts {
  readonly nodeId: string;
  /** Worker processes: starting, at work or idle. */
  readonly workers: number;
  /** Those of them that do nothing. */
  readonly idle: number;
  /** Actors that are not over. */
  readonly actors: number;
  /** Rights to run tasks on a worker that are given out. */
  readonly leases: number;
  /** Requests for a worker, by tasks, actors and placement groups, that wait for resources or a process. */
  readonly waiting: number;
  /** Objects and actors that some process holds by a reference that has left its maker, or that are stored. */
  readonly references: number;
}

export type PlacementStrategy = "PACK" | "SPREAD" | "STRICT_PACK" | "STRICT_SPREAD";

export interface GroupSpec {
  readonly bundles: readonly ResourceAmounts[];
  readonly strategy: PlacementStrategy;
  readonly name: string | undefined;
  readonly detached: boolean;
}

/** A placement group by name. */
export interface GroupRecord {
  readonly groupId: PlacementGroupId;
  readonly bundles: readonly ResourceAmounts[];
  readonly strategy: PlacementStrategy;
}

export type TypedArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** A class of typed arrays. */
export interface TypedArrayClass<A extends TypedArray = TypedArray> {
  new (buffer: ArrayBuffer, byteOffset?: number, length?: number): A;
  readonly BYTES_PER_ELEMENT: number;
  readonly name: string;
}

/** Space in the object store that is being written. */
export interface WritableBuffer<A extends TypedArray> {
  /** Writes go straight into the store. Not to be used after `seal`. */
  readonly array: A;
  /** Makes it an object. Once only. Dropped without it, the space is freed. */
  seal(): ObjectRef<A>;
}

/** A connected client, or one that is about to be. */
export interface Engine {
  /** Resolves when connected; rejects, with ConnectionError or what went wrong, if that fails. */
  connected(): Promise<ClusterInfo>;
  /** False after `close`, or after the connection broke. */
  readonly isOpen: boolean;
  /** Idempotent. */
  close(): Promise<void>;
  context(): RuntimeContext;

  /** `spec.numReturns` is 1. */
  submit(spec: TaskSpec, args: readonly unknown[]): ObjectRef<unknown>;
  /** `spec.numReturns` is another count. */
  submitMany(spec: TaskSpec, args: readonly unknown[]): ObjectRef<unknown>[];
  /** `spec.numReturns` is "streaming". */
  submitStream(spec: TaskSpec, args: readonly unknown[]): ObjectRefStream<unknown>;

  createActor(spec: ActorSpec, args: readonly unknown[]): ActorCore;
  /** As `submit`. Throws PendingCallsLimitError. */
  call(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRef<unknown>;
  callMany(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRef<unknown>[];
  callStream(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRefStream<unknown>;
  /** Rejects with ActorNotFoundError. `namespace` undefined: the job's own. */
  getActor(name: string, namespace: string | undefined): Promise<ActorCore>;
  kill(actor: ActorCore, noRestart: boolean): Promise<void>;
  /** Throws InvalidOptionError outside an actor. */
  exitActor(): never;

  put(value: unknown): ObjectRef<unknown>;
  createBuffer<A extends TypedArray>(length: number, type: TypedArrayClass<A>): Promise<WritableBuffer<A>>;
  /** In the order of `refs`. Rejects with the first error, in order of time. The signal is not aborted yet. */
  get(refs: readonly ObjectRef<unknown>[], request: GetRequest): Promise<unknown[]>;
  /** Indices of `refs` that are ready, ascending, at most numReturns; refs are distinct. A timeout is no error here. */
  wait(refs: readonly ObjectRef<unknown>[], request: WaitRequest): Promise<readonly number[]>;
  cancel(
    ref: ObjectRef<unknown> | ObjectRefStream<unknown>,
    options: { readonly force: boolean; readonly recursive: boolean },
  ): Promise<void>;

  nodes(): Promise<readonly NodeInfo[]>;
  clusterResources(): Promise<ResourceAmounts>;
  availableResources(): Promise<ResourceAmounts>;
  timeline(): Promise<readonly TimelineEvent[]>;
  objectStore(): Promise<readonly ObjectStoreState[]>;
  counts(): Promise<readonly NodeCounts[]>;
  /** Resolves once every process has been asked. */
  collectGarbage(): Promise<void>;

  /** At once; the group is placed when its bundles are. */
  createGroup(spec: GroupSpec): PlacementGroupId;
  /** Resolves when all bundles are placed. Rejects with PlacementError when that can never be, or the group was removed. */
  groupReady(id: PlacementGroupId): Promise<void>;
  groupRemove(id: PlacementGroupId): Promise<void>;
  /** Rejects with PlacementError when there is none of this name. */
  groupByName(name: string): Promise<GroupRecord>;
}

/** What an engine asks of the api layer: handed over when it is made, because layers below do not import this one. */
export interface ApiHooks {
  /** A handle for an actor whose core the engine made from what arrived. */
  handleOf(core: ActorCore): object;
  /** The core in a handle, or undefined for any other object. Cheap. */
  coreOf(value: object): ActorCore | undefined;
}

/** Starts an engine. Gives it at once, before it is connected. */
export type EngineFactory = (options: EngineOptions, hooks: ApiHooks) => Engine;
