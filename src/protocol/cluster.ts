/**
 * Messages between the nodes of a cluster, and between nodes and control: part of the one table in messages.ts. They go over
 * links (src/core/link), which deliver in order and once as long as both ends live.
 *
 * A process speaks with its own node only. What it says to another node, or to control, is relayed with its name.
 */
import type { ActorId, ObjectId } from "./ids.ts";
import {
  actorId,
  deathReason,
  def,
  failure,
  groupId,
  jobId,
  jobTerms,
  jobTermsFields,
  jobUse,
  LAST_CODE,
  MIB,
  PAYLOAD_MAX,
  SHAPE_MAX,
  nodeId,
  nodePrefix,
  objectId,
  payload,
  processId,
  resources,
  shape,
  workerAddress,
} from "./parts.ts";
import { bool, bytes, dict, list, literal, num, obj, oneOf, optional, str, uint } from "./schema.ts";
import type { Static } from "./schema.ts";

const refId = str<ObjectId | ActorId>(128);

/** How a job's workers are started, wherever they are. */
export const jobDescription = obj({
  jobId,
  driver: processId,
  namespace: str(256),
  /** The driver's entry script, and the flags of Node that decide how modules are loaded. */
  entry: optional(str(4096)),
  execArgv: list(str(4096), 100),
  envVars: dict(str(32 * 1024)),
  /** As JSON: `runtimeEnv` of the job. */
  runtimeEnv: optional(str(MIB)),
  name: optional(str(256)),
  ...jobTermsFields,
  metadata: optional(dict(str(4096))),
  /** The submitted job whose entry point has started this driver: they end together, and its limits are this job's. */
  submission: optional(jobId),
});
export type JobDescription = Static<typeof jobDescription>;

/** What a job is submitted with: a command that runs on a node, and is the driver or starts it. */
export const submission = obj({
  /** A shell command line, or words. */
  entrypoint: list(str(64 * 1024), 1000),
  shell: bool,
  name: optional(str(256)),
  /** A description of its environment (src/runtime/environments), whose packages have been uploaded. */
  environment: optional(str(64 * 1024)),
  envVars: optional(dict(str(32 * 1024), 1000)),
  metadata: optional(dict(str(4096), 100)),
  weight: num(0),
  priority: num(),
  /** Processors that its work may use at a time, bytes of memory that this may ask for, and bytes of objects that it may keep. */
  maxCpus: optional(num(0)),
  maxMemory: optional(num(0)),
  maxStore: optional(num(0)),
});
export type Submission = Static<typeof submission>;

/** An actor as its node reports it when it joins again: what control may have lost. */
const livingActor = obj({ actorId, epoch: uint(), worker: workerAddress, assigned: resources, gpuIds: list(uint()) });
export type LivingActor = Static<typeof livingActor>;

/** One node as all others know it. */
export const nodeView = obj({
  nodeId,
  /** Where other nodes reach it. */
  host: str(256),
  port: uint(0xffff),
  hostname: str(256),
  pid: uint(),
  /** Its Unix socket, for drivers of the same user on the same machine. */
  socket: str(512),
  machine: str(128),
  head: bool,
  /** Where the HTTP API is, which the head has. */
  dashboardUrl: optional(str(512)),
  state: literal("alive", "draining", "dead"),
  labels: dict(str(256)),
  total: resources,
  free: resources,
  /** What waits there: sums of the demands of leases and actors that are not served. */
  queued: resources,
  /** Demands that wait, by kind, and why; for listings. */
  pending: list(obj({ resources, count: uint(), reason: str(4096) }), 1000),
  /** Why it is dead. */
  reason: optional(str(4096)),
  /** Counts changes of this entry, at control; an older one is not taken. */
  version: uint(),
});
export type NodeView = Static<typeof nodeView>;

/** A placement group as nodes know it, so that requests find its bundles. */
export const groupView = obj({
  groupId,
  name: optional(str(256)),
  /** rescheduling: some of its bundles were lost, and are placed anew. */
  state: literal("pending", "ready", "rescheduling", "removed", "failed"),
  /** By bundle; empty for one that has no node. */
  nodes: list(str(64), 10_000),
  /** Why it is over. */
  message: optional(str(16 * 1024)),
});
export type GroupView = Static<typeof groupView>;

/** A bundle as its node reports it when it joins again. */
const reservedBundle = obj({ groupId, attempt: uint(), index: uint(), ready: bool });
export type ReservedBundle = Static<typeof reservedBundle>;

export const clusterDefinitions = {
  // ── between nodes ────────────────────────────────────────────────────────────────────────────
  /** What a process of the sending node says to the receiving one (`to` absent), or the sending node to a process of the other. */
  relay: def(
    80,
    "node",
    "node",
    {
      from: processId,
      to: optional(processId),
      code: uint(LAST_CODE),
      body: bytes(),
      /** An actor that the sender has counted as held by the receiver, for `to`. */
      gives: optional(actorId),
      /** The sender holds what is in it until the receiver has said `parcelCame`, with this number. */
      parcel: optional(uint()),
    },
    { limit: 257 * MIB },
  ),
  /** What was relayed has come, and the sender of this holds what it keeps of it. */
  parcelCame: def(136, "node", "node", { parcel: uint() }),
  /** A request for a lease that the sender does not serve itself. */
  leaseForward: def(
    81,
    "node",
    "node",
    { from: processId, hops: uint(16), terms: optional(jobTerms), code: uint(LAST_CODE), body: bytes() },
    { limit: SHAPE_MAX + MIB },
  ),
  /** A process of the sender is gone, and everything that it said to this node came before. */
  processGone: def(82, "node", "node", { processId, reason: deathReason }, { key: "processId" }),

  /** The receiver's process: the sender is to be told of its end by `processGone`. */
  processWatch: def(125, "node", "node", { processId }),

  /** A question that each node answers for itself. Answered by `nodeAnswer` with the same `call`. */
  nodeAsk: def(126, "node", "node", {
    call: uint(),
    question: literal("timeline", "objectStore", "counts", "collectGarbage", "outputDrained"),
  }),
  nodeAnswer: def(127, "node", "node", { call: uint(), /** JSON */ body: str(64 * MIB) }, { limit: 64 * MIB }),

  /** A part of a package of environments, from `offset` on. Answered by `packagePart` with the same `call`. */
  packageWant: def(79, "node", "node", { call: uint(), hash: str(64), offset: uint() }),
  /** To the head: it is to have this package as well, so that that outlives the node which it was uploaded to. */
  packageKeep: def(9, "node", "node", { hash: str(64) }),
  packagePart: def(63, "node", "node", { call: uint(), there: bool, last: bool, bytes: bytes(2 * MIB) }, { limit: 3 * MIB }),

  // References: the receiver is the home of these ids, and the sender is one holder of them, whatever its processes do.
  /** Holds each once more. Answered by `refsHeld`. `seq` counts these messages on the link. */
  refsHold: def(83, "node", "node", { seq: uint(), ids: list(refId) }, { limit: 4 * MIB }),
  /** Every `refsHold` up to this one has been heard. */
  refsHeld: def(84, "node", "node", { seq: uint() }),
  /** Gives up so many of its holds of each. */
  refsDrop: def(85, "node", "node", { refs: list(obj({ id: refId, count: uint() })) }, { limit: 4 * MIB }),
  /** It wants to know what the object is. Answered by `refState`, once it is known. */
  refFetch: def(86, "node", "node", { id: objectId }, { key: "id" }),
  refState: def(87, "node", "node", { id: objectId, payload: optional(payload), failure: optional(failure) }, { limit: PAYLOAD_MAX }),
  /** This actor id of the receiver's means that actor of the sender's, which is counted as held by the receiver. */
  refAlias: def(124, "node", "node", { alias: actorId, actorId }),
  /** The object was sealed in the sender's store. */
  objectSealed: def(88, "node", "node", { id: objectId, size: uint(), contains: list(refId) }, { key: "id", limit: 64 * MIB }),
  /** The sender has a copy of its bytes, or no longer any. */
  objectCopy: def(89, "node", "node", { id: objectId, there: bool, reason: optional(str(4096)) }),
  /** From an object's home: whoever had its primary is gone, and the receiver's copy is the primary from now on. */
  objectPromote: def(26, "node", "node", { id: objectId }),
  /** From an object's home: nobody holds it any more. */
  objectFree: def(120, "node", "node", { ids: list(objectId) }, { limit: 4 * MIB }),
  /** To an object's home: where are its bytes? Answered once they are somewhere, or never will be. */
  objectLocate: def(121, "node", "node", { id: objectId }),
  objectLocated: def(
    122,
    "node",
    "node",
    { id: objectId, size: uint(), nodes: list(nodePrefix, 10_000), failure: optional(failure) },
    { limit: MIB },
  ),

  // ── from nodes to control ────────────────────────────────────────────────────────────────────
  /** First to every new incarnation of control: everything that it must know of this node. */
  nodeJoin: def(
    90,
    "node",
    "control",
    {
      view: nodeView,
      /** The control that it is said to; undefined: to the first that this node reaches. To any other it is old. */
      to: optional(uint()),
      jobs: list(jobDescription, 100_000),
      processes: list(processId, 100_000),
      actors: list(livingActor, 100_000),
      /** Which actors its processes want news of. */
      watches: list(obj({ from: processId, actorId }), 1_000_000),
      bundles: list(reservedBundle, 100_000),
      /** Submitted jobs that it has begun and not said the end of. */
      entries: optional(list(jobId, 10_000)),
      uses: list(jobUse, 10_000),
      /** Actors whose log it keeps. */
      journals: optional(list(actorId, 100_000)),
    },
    { limit: 64 * MIB },
  ),
  nodeStatus: def(
    91,
    "node",
    "control",
    {
      free: resources,
      queued: resources,
      pending: list(obj({ resources, count: uint(), reason: str(4096) }), 1000),
      /** Of the head. */
      dashboardUrl: optional(str(512)),
      /** Of jobs with limits. */
      uses: list(jobUse, 10_000),
    },
    { limit: 16 * MIB },
  ),
  /** It leaves by its own will, with everything on it. */
  nodeLeave: def(92, "node", "control", { reason: str(1024) }),
  jobStart: def(93, "node", "control", { job: jobDescription }, { limit: 4 * MIB }),
  /** A process is gone: a driver with its job, a worker with its actor. */
  processEnd: def(94, "node", "control", { processId, reason: deathReason }, { key: "processId" }),
  /** What a process says to control. */
  toControl: def(95, "node", "control", { from: processId, code: uint(LAST_CODE), body: bytes() }, { limit: 257 * MIB }),
  actorPlaced: def(96, "node", "control", { actorId, epoch: uint(), worker: workerAddress, assigned: resources, gpuIds: list(uint()) }),
  actorUnplaced: def(97, "node", "control", { actorId, epoch: uint(), failure, reason: optional(deathReason) }),
  /** From the actor's home: nobody holds it, after so many times that control gave it to somebody (`actorGive`, `actorAlias`). */
  actorUnheld: def(98, "node", "control", { actorId, given: uint() }),

  /** Of the entry point of a submitted job that runs there. */
  jobNews: def(99, "node", "control", {
    jobId,
    news: oneOf({
      started: {},
      ended: { status: literal("SUCCEEDED", "FAILED", "STOPPED"), message: str(16 * 1024), exitCode: optional(num()) },
    }),
  }),

  /** The answer to `hearAll`, behind all that its processes had said when that came. */
  heardAll: def(58, "node", "control", { round: uint() }),
  /** The answer to `groupPrepare`: whether these bundles are reserved now. */
  groupPrepared: def(65, "node", "control", { groupId, attempt: uint(), ok: bool }),

  // ── from control to nodes ────────────────────────────────────────────────────────────────────
  joined: def(
    108,
    "control",
    "node",
    { epoch: uint(), nodes: list(nodeView, 10_000), groups: list(groupView, 100_000), refused: optional(failure) },
    { limit: 64 * MIB },
  ),
  /** Where control may be found when it is not here any more, besides where it is. */
  controlsKnown: def(110, "control", "node", { addresses: list(obj({ host: str(256), port: uint(0xffff) }), 16) }),
  /** Somebody asks for what nobody has declared, as far as control knows: is it on its way? */
  hearAll: def(52, "control", "node", { round: uint() }),
  nodesChanged: def(109, "control", "node", { nodes: list(nodeView, 10_000) }, { limit: 64 * MIB }),
  fromControl: def(112, "control", "node", { to: processId, code: uint(LAST_CODE), body: bytes() }, { limit: 257 * MIB }),
  actorPlace: def(
    113,
    "control",
    "node",
    {
      actorId,
      epoch: uint(),
      jobId,
      terms: optional(jobTerms),
      owner: processId,
      className: str(256),
      shape,
      resources,
      placementResources: resources,
    },
    { limit: MIB },
  ),
  actorUnplace: def(114, "control", "node", {
    actorId,
    epoch: uint(),
    end: oneOf({ kill: { reason: deathReason }, gently: { why: str(1024) } }),
  }),
  /**
   * To an actor's home: a process gets it, by this message, which the home passes on once it has counted the hold. `given` numbers these
   * and `actorAlias`, by actor; what comes again changes nothing.
   */
  actorGive: def(115, "control", "node", { actorId, given: uint(), to: processId, code: uint(LAST_CODE), body: bytes() }, { limit: MIB }),
  /** To an actor's home: `alias` was declared, and means it. */
  actorAlias: def(123, "control", "node", { actorId, given: uint(), alias: actorId }),
  /** To the home of these actors, from a new control: what the one before had counted and may not have said. */
  actorsGiven: def(
    28,
    "control",
    "node",
    { actors: list(obj({ actorId, given: uint(), aliases: list(obj({ alias: actorId, given: uint() })) }), 1_000_000) },
    { limit: 64 * MIB },
  ),
  /**
   * To the home of an actor that saves its state: what a process is to hear of it, behind the answers that the home has sent. From now on
   * nothing is logged of incarnations before `epoch`. `after`: what this process, which is gone, had said comes first.
   */
  actorNews: def(
    137,
    "control",
    "node",
    { actorId, epoch: uint(), after: optional(processId), to: processId, code: uint(LAST_CODE), body: bytes() },
    { limit: 241 * MIB },
  ),
  jobEnded: def(116, "control", "node", { jobId }),
  /** To the node that runs the entry point of a submitted job. `forget`: nobody will ask for its log any more. */
  jobOrder: def(111, "control", "node", { jobId, order: oneOf({ run: { submission }, stop: {}, forget: {} }) }, { limit: 4 * MIB }),
  /**
   * The share of this node in what the job may use over the whole cluster, of each limited resource. It counts at once where it is more
   * than before; where it is less, as soon as what runs here has ended. `life`: what actors and groups hold of the limits everywhere.
   */
  jobShare: def(59, "control", "node", { jobId, number: uint(), share: resources, life: resources }),
  /** Reserve these bundles of a group, all or none; `patient`: also if they have to wait for it. */
  groupPrepare: def(
    64,
    "control",
    "node",
    {
      groupId,
      jobId,
      terms: optional(jobTerms),
      name: optional(str(256)),
      attempt: uint(),
      /** How many bundles the group has in all. */
      count: uint(),
      bundles: list(obj({ index: uint(), resources }), 10_000),
      patient: bool,
    },
    { limit: 16 * MIB },
  ),
  /** All nodes have reserved their part: it is there. */
  groupCommit: def(66, "control", "node", { groupId, attempt: uint() }),
  /** Give back what this attempt has reserved, or waits for. */
  groupCancel: def(67, "control", "node", { groupId, attempt: uint() }),
  /** End what runs in it, and give everything back. */
  groupRemove: def(68, "control", "node", { groupId, message: str(1024) }),
  groupsChanged: def(69, "control", "node", { groups: list(groupView, 10_000) }, { limit: 64 * MIB }),
  /** Finish what runs, take nothing new, and leave. */
  drain: def(117, "control", "node", { timeoutMs: uint() }),
  /** To an actor's home: it will not start again, so what it was made from is not needed any more. */
  actorOver: def(118, "control", "node", { actorId }),
} as const;
