/**
 * Messages between the nodes of a cluster, and between nodes and control: part of the one table in messages.ts. They go over
 * links (src/core/link), which deliver in order and once as long as both ends live.
 *
 * A process speaks with its own node only. What it says to another node, or to control, is relayed with its name.
 */
import type { ActorId, ObjectId } from "./ids.ts";
import { actorId, deathReason, def, failure, jobId, MIB, nodeId, objectId, processId, resources, shape, workerAddress } from "./parts.ts";
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
  weight: num(0),
  priority: num(),
  maxCpus: optional(num(0)),
  metadata: optional(dict(str(4096))),
});
export type JobDescription = Static<typeof jobDescription>;

/** An actor as its node reports it when it joins again: what control may have lost. */
const livingActor = obj({ actorId, epoch: uint(), worker: workerAddress, started: bool });

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
  state: literal("alive", "draining", "dead"),
  labels: dict(str(256)),
  total: resources,
  free: resources,
  /** What waits there: sums of the demands of leases and actors that are not served. */
  queued: resources,
  /** Demands that wait, by kind, and why; for listings. */
  pending: list(obj({ resources, count: uint(), reason: str(4096) }), 1000),
  /** Counts changes of this entry, at control; an older one is not taken. */
  version: uint(),
});
export type NodeView = Static<typeof nodeView>;

export const clusterDefinitions = {
  // ── between nodes ────────────────────────────────────────────────────────────────────────────
  /** What a process of the sending node says to the receiving one (`to` absent), or the sending node to a process of the other. */
  relay: def(80, "node", "node", { from: processId, to: optional(processId), code: uint(127), body: bytes() }, { limit: 257 * MIB }),
  /** A request for a lease that the sender does not serve itself. */
  leaseForward: def(81, "node", "node", { from: processId, hops: uint(16), code: uint(127), body: bytes() }),
  /** A process of the sender is gone, and everything that it said to this node came before. */
  processGone: def(82, "node", "node", { processId, reason: deathReason }, { key: "processId" }),
  /** An object of which the receiver is the home was sealed in the sender's store. */
  objectSealed: def(83, "node", "node", { id: objectId, holder: processId, size: uint(), contains: list(refId) }, { limit: 64 * MIB }),
  /** The sender has a copy, or no longer. */
  objectCopy: def(84, "node", "node", { id: objectId, there: bool }),
  /** The bytes that the sender had are gone though they were not freed. */
  objectGone: def(85, "node", "node", { id: objectId, reason: str(4096) }),
  /** From an object's home: nobody holds it any more. */
  objectFree: def(86, "node", "node", { id: objectId }),
  /** To an object's home: where are its bytes? Answered once they are somewhere, or never will be. */
  objectLocate: def(87, "node", "node", { id: objectId, call: uint() }),
  objectLocated: def(88, "node", "node", {
    call: uint(),
    id: objectId,
    size: uint(),
    nodes: list(nodeId, 10_000),
    failure: optional(failure),
  }),
  /** Credits (or takes back) holds on what the receiver is the home of. */
  refCount: def(89, "node", "node", { id: refId, holder: processId, count: num() }),

  // ── from nodes to control ────────────────────────────────────────────────────────────────────
  /** First on every connection to a new incarnation of control: everything that it must know of this node. */
  nodeJoin: def(
    90,
    "node",
    "control",
    {
      view: nodeView,
      jobs: list(jobDescription, 100_000),
      processes: list(processId, 100_000),
      actors: list(livingActor, 100_000),
      /** Which actors its processes want news of. */
      watches: list(obj({ from: processId, actorId }), 1_000_000),
    },
    { limit: 64 * MIB },
  ),
  nodeStatus: def(91, "node", "control", {
    free: resources,
    queued: resources,
    pending: list(obj({ resources, count: uint(), reason: str(4096) }), 1000),
  }),
  /** It leaves by its own will, with everything on it. */
  nodeLeave: def(92, "node", "control", { reason: str(1024) }),
  jobStart: def(93, "node", "control", { job: jobDescription }, { limit: 4 * MIB }),
  /** `told`: nodes that were told directly, after everything that the process had said to them. */
  processEnd: def(94, "node", "control", { processId, reason: deathReason, told: list(nodeId, 10_000) }, { key: "processId" }),
  toControl: def(95, "node", "control", { from: processId, code: uint(127), body: bytes() }, { limit: 257 * MIB }),
  actorPlaced: def(96, "node", "control", { actorId, epoch: uint(), worker: workerAddress, assigned: resources, gpuIds: list(uint()) }),
  actorUnplaced: def(97, "node", "control", { actorId, epoch: uint(), failure, reason: optional(deathReason) }),
  actorUnheld: def(98, "node", "control", { actorId }),
  /** Where is this driver? Answered by `driverAt`. */
  driverLocate: def(99, "node", "control", { processId }),

  // ── from control to nodes ────────────────────────────────────────────────────────────────────
  joined: def(108, "control", "node", { epoch: uint(), nodes: list(nodeView, 10_000), refused: optional(failure) }, { limit: 64 * MIB }),
  nodesChanged: def(109, "control", "node", { nodes: list(nodeView, 10_000) }, { limit: 64 * MIB }),
  driverAt: def(110, "control", "node", { processId, nodeId: optional(nodeId) }),
  /** A process of another node is gone. */
  processEnded: def(111, "control", "node", { processId, reason: deathReason }),
  fromControl: def(112, "control", "node", { to: processId, code: uint(127), body: bytes() }, { limit: 257 * MIB }),
  actorPlace: def(113, "control", "node", {
    actorId,
    epoch: uint(),
    jobId,
    owner: processId,
    className: str(256),
    shape,
    resources,
    placementResources: resources,
  }),
  actorUnplace: def(114, "control", "node", {
    actorId,
    epoch: uint(),
    end: oneOf({ kill: { reason: deathReason }, gently: { why: str(1024) } }),
  }),
  refsHeld: def(115, "control", "node", { ids: list(refId), holder: processId, count: num() }),
  jobEnded: def(116, "control", "node", { jobId }),
  /** Finish what runs, take nothing new, and leave. */
  drain: def(117, "control", "node", { timeoutMs: uint() }),
} as const;
