/** What messages are made of: how one is defined, and the structures that several of them share. The messages: messages.ts. */
import type {
  ActorId,
  FunctionId,
  JobId,
  LeaseId,
  LeaseRequestId,
  NodeId,
  NodePrefix,
  ObjectId,
  PlacementGroupId,
  ProcessId,
  TaskId,
  WayId,
} from "./ids.ts";
import { bool, bytes, dict, list, literal, num, obj, oneOf, optional, str, uint } from "./schema.ts";
import type { Shape, Static } from "./schema.ts";

export type Role = "owner" | "worker" | "node" | "control";

export interface Definition<S extends Shape = Shape, F extends Role = Role, T extends Role = Role> {
  /** Number on the wire. Never reused. */
  readonly code: number;
  readonly from: F;
  readonly to: T;
  readonly shape: S;
  /** The field whose value makes a repeat harmless, if a repeat must be. */
  readonly key: string | undefined;
  /** Largest encoded size accepted, bytes. */
  readonly limit: number;
}

/** Largest code of a message that is defined by its fields. */
export const LAST_CODE = 223;
export const KIB = 1024;
export const MIB = 1024 * KIB;
/** Of a message with an error of the largest size, or a million refs. */
export const PAYLOAD_MAX = 64 * MIB;
/** Of one with environment variables, methods and names of as many and as long as options may have. */
export const SHAPE_MAX = 32 * MIB;

export function def<const S extends Shape, F extends Role, T extends Role>(
  code: number,
  from: F,
  to: T,
  shape: S,
  options: { key?: keyof S & string; limit?: number } = {},
): Definition<S, F, T> {
  return { code, from, to, shape, key: options.key, limit: options.limit ?? MIB };
}

export const nodeId = str<NodeId>(64);
export const nodePrefix = str<NodePrefix>(6);
export const processId = str<ProcessId>(64);
export const wayId = str<WayId>(80);
export const jobId = str<JobId>(64);
export const taskId = str<TaskId>(128);
export const objectId = str<ObjectId>(128);
export const actorId = str<ActorId>(128);
export const leaseId = str<LeaseId>(128);
export const requestId = str<LeaseRequestId>(128);
export const groupId = str<PlacementGroupId>(128);
export const functionId = str<FunctionId>(128);

/** Amounts in ten-thousandths, so that sums are exact. */
export const resources = dict(uint(), 256);
export type ResourceAmounts = Static<typeof resources>;

/**
 * A value on its way: inline bytes, or an object that lies in the node's store, or a failure.
 * `refs` are the objects and actors that the value contains; whoever holds the payload holds them.
 */
export const payload = oneOf({
  inline: { bytes: bytes(), refs: optional(list(str<ObjectId | ActorId>(128))) },
  stored: { id: objectId, size: uint() },
  error: { bytes: bytes(), refs: optional(list(str<ObjectId | ActorId>(128))) },
});
export type Payload = Static<typeof payload>;

/** What the node refuses, or can no longer give. */
export const failure = obj({ code: str(128), message: str(16 * KIB) });
export type Failure = Static<typeof failure>;

/** Why a process ended, as told to whoever had work there. */
export const deathReason = obj({
  cause: literal(
    "exit",
    "signal",
    "out-of-memory",
    "killed",
    "start-failed",
    "node-died",
    "idle",
    "uncaught-error",
    "max-calls",
    /** It lives, as far as is known, and the owner cannot talk to it. */
    "unreachable",
  ),
  message: str(16 * KIB),
  exitCode: optional(num()),
  signal: optional(str(32)),
  /** The last lines that the process wrote to stderr. */
  lastLines: optional(list(str(2 * KIB), 50)),
  /** The process itself, where one died. */
  nodeId: optional(nodeId),
  processId: optional(processId),
  pid: optional(uint()),
});
export type DeathReason = Static<typeof deathReason>;

/** A range of the node's arena; `slab`: to cut several objects from. */
export const storeGrant = obj({ serial: uint(), offset: uint(), size: uint(), slab: bool });
/** Why there is no space. `detail` is the reason of the disk. */
export const storeRefusal = obj({
  /** job-limit: what its job may have in the store; `capacity` is that limit then. */
  reason: literal("too-large", "full", "spill-failed", "job-limit"),
  capacity: uint(),
  used: uint(),
  pinned: uint(),
  detail: optional(str()),
});

/**
 * What a job was given: its share of processors, who goes first, and how much of the whole cluster it may use at a time. In wholes and
 * bytes, as users write them.
 */
export const jobTermsFields = {
  weight: num(0),
  priority: num(),
  maxCpus: optional(num(0)),
  maxMemory: optional(num(0)),
  maxStore: optional(num(0)),
};
export const jobTerms = obj(jobTermsFields);
export type JobTerms = Static<typeof jobTerms>;

/**
 * What a job with limits uses on one node, for control, which divides the limits. `granted` is the most that it may use there as the
 * node knows it, after control's share number `seen`; `life` is used for as long as actors and groups live; `wanted` is what waits for
 * a larger share, `next` the first of that.
 */
export const jobUse = obj({
  jobId,
  limits: resources,
  seen: uint(),
  granted: resources,
  used: resources,
  life: resources,
  wanted: resources,
  next: resources,
});
export type JobUse = Static<typeof jobUse>;

export const strategy = oneOf({
  default: {},
  spread: {},
  affinity: { nodeId, soft: bool },
  labels: { hard: dict(str(256)), soft: dict(str(256)) },
  group: { groupId, bundleIndex: num(-1, 10_000), captureChildTasks: bool },
});
export type Strategy = Static<typeof strategy>;

/** What a worker must be to run a task: work of equal shape can share a lease. */
export const shape = obj({
  resources,
  strategy,
  labelSelector: optional(dict(str(256))),
  /** Environment variables of the worker process; a worker serves one environment for life. */
  envVars: optional(dict(str(32 * KIB))),
  /** What else its environment is: a description, see src/runtime/environments. */
  environment: optional(str(64 * KIB)),
  /** Name of the function, for messages to people. */
  name: str(256),
  priority: num(),
});
export type LeaseShape = Static<typeof shape>;

/**
 * Where owners on other machines reach a worker. Whoever has the ticket may give it work: it goes to owners only, by messages, and into
 * no log, error or listing. With `tls` it is the key of the connection too.
 */
export const reach = obj({ host: str(256), port: uint(0xffff), ticket: str(128), tls: bool });
export type Reach = Static<typeof reach>;

/** Where a worker is: by its Unix socket for owners of its node, by `reach` for those of others. */
export const workerAddress = obj({ processId, pid: uint(), socket: str(512), reach: optional(reach) });
export type WorkerAddress = Static<typeof workerAddress>;

/** When an actor's state is saved; 0 is never. See decision 15. */
const checkpointRule = obj({ everyCalls: uint(), everyMs: uint() });
export type CheckpointRule = Static<typeof checkpointRule>;

/** A call that an actor has run to its end: all that is needed to run it again. */
export const loggedCall = obj({
  owner: processId,
  counter: uint(),
  attempt: uint(),
  method: str(256),
  args: payload,
  payloads: list(obj({ index: uint(), payload })),
});
export type LoggedCall = Static<typeof loggedCall>;

export const loggedAnswer = oneOf({ returned: { results: list(payload) }, threw: { error: payload } });
export type LoggedAnswer = Static<typeof loggedAnswer>;

export const actorOptions = obj({
  name: optional(str(256)),
  namespace: str(256),
  detached: bool,
  getIfExists: bool,
  maxRestarts: num(-1),
  /** For handles that are found by name. */
  maxTaskRetries: optional(num(-1)),
  maxPendingCalls: optional(num(-1)),
  maxConcurrency: uint(1_000_000),
  concurrencyGroups: optional(dict(uint(1_000_000))),
  /** Held for life. */
  resources,
  /** Needed to be placed, then given back. */
  placementResources: resources,
  /** Names of its methods, generator methods with `*` in front: what a handle from `getActor` must know. */
  methods: optional(list(str(256), 10_000)),
  checkpoint: optional(checkpointRule),
});
export type ActorOptions = Static<typeof actorOptions>;

export const actorStatus = oneOf({
  /** Waiting for resources, a worker, or the constructor's end. */
  pending: { epoch: uint() },
  /** `logged`: it saves its state, and its answers come by way of the node that keeps its log. */
  alive: { epoch: uint(), address: workerAddress, logged: optional(bool) },
  restarting: { epoch: uint(), reason: deathReason },
  /** `error`: what its constructor threw. `failure`: why it never came to life, where no process died of it. */
  dead: { epoch: uint(), reason: deathReason, error: optional(bytes()), failure: optional(failure) },
});
export type ActorStatus = Static<typeof actorStatus>;
