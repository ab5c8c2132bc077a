/**
 * Every message between processes, defined once. From these definitions come the TypeScript types of senders
 * and handlers, the check at the edge, and the tables that the tests read.
 *
 * Roles: an `owner` is any process that submits work (the driver, and each worker in its part as a client);
 * a `worker` executes; the `node` is the daemon of a machine, which on one machine also holds control; on a cluster `control` is a
 * process of its own.
 * A process that is both owner and worker has one connection to its node and speaks both parts on it.
 *
 * All messages are one way. A message whose loss or repetition must be harmless names its `key`: the receiver
 * treats a second message with an equal key as the first one, and the simulator repeats exactly those.
 * The transport delivers in order and once, or breaks; a broken connection means that the peer is dead.
 */
import type { ActorId, ObjectId } from "./ids.ts";
import { clusterDefinitions } from "./cluster.ts";

import {
  KIB,
  MIB,
  PAYLOAD_MAX,
  SHAPE_MAX,
  actorId,
  actorOptions,
  actorStatus,
  deathReason,
  def,
  failure,
  functionId,
  groupId,
  jobId,
  jobTerms,
  leaseId,
  loggedAnswer,
  loggedCall,
  nodeId,
  nodePrefix,
  objectId,
  payload,
  processId,
  reach,
  requestId,
  resources,
  shape,
  storeGrant,
  storeRefusal,
  strategy,
  workerAddress,
  wayId,
} from "./parts.ts";
import type { Definition, Role } from "./parts.ts";
import { bool, bytes, dict, list, literal, num, obj, oneOf, optional, str, uint } from "./schema.ts";
import type { StaticShape } from "./schema.ts";

export type * from "./parts.ts";

/** float64s of a span in the message `events`. */
export const SPAN_NUMBERS = 5;

export const definitions = {
  ...clusterDefinitions,
  // ── joining ────────────────────────────────────────────────────────────────────────────────
  driverHello: def(1, "owner", "node", {
    processId,
    jobId,
    pid: uint(),
    namespace: str(256),
    logToDriver: bool,
    /** The submitted job that has started it. */
    submission: optional(jobId),
    terms: optional(jobTerms),
  }),
  workerHello: def(2, "worker", "node", { processId, pid: uint(), socket: str(512), reach: optional(reach) }),
  welcome: def(3, "node", "owner", {
    nodeId,
    jobId,
    namespace: str(256),
    /** Shared memory of this node: see src/memory. */
    memory: dict(str(1024)),
    total: resources,
  }),
  warning: def(4, "node", "owner", { code: str(64), message: str(16 * KIB) }),
  log: def(
    5,
    "node",
    "owner",
    { name: str(256), pid: uint(), stream: literal("stdout", "stderr"), lines: list(str(64 * KIB), 10_000) },
    { limit: 16 * MIB },
  ),

  // ── leases: the right to run tasks on one worker, with resources ──────────────────────────────
  leaseRequest: def(
    10,
    "owner",
    "node",
    {
      requestId,
      jobId,
      shape,
      /** tasks waiting for it, for listings */ backlog: uint(),
      /** The node that has most of the arguments of the task that it is for. */ near: optional(nodePrefix),
      /** Of SPREAD, by the owner's node: how many nodes have room for work like this. */ over: optional(uint()),
    },
    { key: "requestId", limit: SHAPE_MAX },
  ),
  leaseCancel: def(11, "owner", "node", { requestId }, { key: "requestId" }),
  leaseGrant: def(
    12,
    "node",
    "owner",
    {
      requestId,
      leaseId,
      worker: workerAddress,
      /** Index of the worker's block of claim words in shared memory, -1 where there is none. */
      claims: num(-1),
      assigned: resources,
      gpuIds: list(uint()),
      /** As in the request. */
      over: optional(uint()),
    },
    { key: "leaseId" },
  ),
  leaseReject: def(13, "node", "owner", { requestId, failure, reason: optional(deathReason) }, { key: "requestId" }),
  /** Others wait: give the lease back once its tasks in flight are done, and push nothing more on it. */
  leaseWanted: def(14, "node", "owner", { leaseId }),
  leaseReturn: def(15, "owner", "node", { leaseId, /** the worker must not be used again */ retire: bool }, { key: "leaseId" }),
  /** A process is gone, and nothing that it sent is still under way. */
  processLost: def(16, "node", "owner", { processId, reason: deathReason }, { key: "processId" }),
  /** As `processLost`, for every process with that prefix: their node is gone. */
  nodeLost: def(27, "node", "owner", { prefix: nodePrefix, reason: deathReason }, { key: "prefix" }),
  /** The task on this lease waits for others: its resources are free meanwhile. */
  taskBlocked: def(17, "worker", "node", { leaseId, /** counts the blocks of this lease */ turn: uint() }),
  /** What it waited for is there: it asks for its resources back. */
  taskUnblocked: def(18, "worker", "node", { leaseId, turn: uint() }),
  taskResumed: def(19, "node", "worker", { leaseId, turn: uint() }),
  /** Ask a worker to end itself once idle; the node kills it if it does not. */
  exitRequest: def(20, "node", "worker", { reason: str(1024), /** only if no task of its own is open, else it declines */ ifIdle: bool }),
  exitDeclined: def(24, "worker", "node", {}),
  /** May an actor have this process? It would end with the actor, and what its tasks have left behind with it. */
  spareRequest: def(6, "node", "worker", {}),
  spareAnswer: def(7, "worker", "node", { spare: bool }),
  /** The owner of a lease on it is gone. Answered by `leaseOver` as soon as no call of that lease runs any more, and none will. */
  leaseOrphaned: def(128, "node", "worker", { leaseId }),
  leaseOver: def(129, "worker", "node", { leaseId }),
  /** A call of this worker has ended and left tasks of its own behind (true), or the last of those is over (false). */
  workerOwns: def(25, "worker", "node", { open: bool }),
  killProcess: def(21, "owner", "node", {
    processId,
    /** only if it still holds this lease */ leaseId: optional(leaseId),
    message: str(1024),
  }),
  workerExiting: def(22, "worker", "node", { reason: deathReason }),
  /** What it runs, for the prefix of its output: the name of a task or actor. */
  workerTitle: def(23, "worker", "node", { title: str(256) }),

  // ── objects ──────────────────────────────────────────────────────────────────────────────────
  /** The record of an object goes to the node, because its ref left its process. The sender holds it once. */
  objectEscape: def(30, "owner", "node", { id: objectId, payload: optional(payload) }, { key: "id", limit: PAYLOAD_MAX }),
  /** As `objectSettle`, from the worker that made it: its owner may be computing. Makes it known as well, if its owner has not yet. */
  objectResult: def(29, "worker", "node", { id: objectId, payload }, { key: "id", limit: PAYLOAD_MAX }),
  /** `by`: the process of another node that has stored it. */
  objectSettle: def(31, "owner", "node", { id: objectId, payload, by: optional(processId) }, { key: "id", limit: PAYLOAD_MAX }),
  /** The sender holds it once more. */
  refAdd: def(32, "owner", "node", { id: str<ObjectId | ActorId>(128) }),
  /** The sender gives up `count` of its own holds. */
  refDrop: def(33, "owner", "node", { id: str<ObjectId | ActorId>(128), count: uint() }),
  /**
   * These ids are in the next value that the sender sends to `to` on the way: a parcel. Until it has come, the way holds
   * them. `opener`: the sender has opened the way, and the other end may be the same process.
   */
  refSent: def(
    34,
    "owner",
    "node",
    { way: wayId, opener: bool, to: processId, ids: list(str<ObjectId | ActorId>(128)) },
    { limit: 64 * MIB },
  ),
  /**
   * So many parcels have come on the way from `to`, and the sender holds what it keeps of them. `over`: it has read the way to its
   * end, and sends nothing more on it.
   */
  refCame: def(50, "owner", "node", { way: wayId, opener: bool, to: processId, count: uint(), over: bool }),
  /** The other end of the way is gone: how much has come? Answered by `refCame`, at the end of the way. */
  refLost: def(51, "node", "owner", { way: wayId, opener: bool, from: processId }),
  objectFetch: def(35, "owner", "node", { id: objectId }, { key: "id" }),
  /** Either the payload, whose refs are credited to the receiver, or why there will be none. */
  objectState: def(36, "node", "owner", { id: objectId, payload: optional(payload), failure: optional(failure) }, { limit: PAYLOAD_MAX }),
  objectFetchCancel: def(37, "owner", "node", { id: objectId }),
  /** Cancels the task that makes an object of another process. The node passes it on to that process, as `taskCancel`. */
  objectCancel: def(38, "owner", "node", { id: objectId, force: bool, recursive: bool }, { key: "id" }),
  taskCancel: def(39, "node", "owner", { id: objectId, force: bool, recursive: bool }, { key: "id" }),

  // ── actors ───────────────────────────────────────────────────────────────────────────────────
  /** Made known at `.remote()`; its creation starts when the arguments are there (`actorCreate`). The sender holds it once. */
  actorDeclare: def(
    40,
    "owner",
    "node",
    { actorId, jobId, className: str(256), options: actorOptions, shape },
    { key: "actorId", limit: SHAPE_MAX },
  ),
  actorCreate: def(
    41,
    "owner",
    "node",
    {
      actorId,
      functionId,
      definition: bytes(),
      args: bytes(),
      argPayloads: list(obj({ index: uint(), payload })),
      /** Of its shape: known only once what it needs is uploaded. */
      environment: optional(str(64 * KIB)),
      /** Inside `args`. The node holds these and those of the payloads while the actor may start again. */
      argRefs: optional(list(str<ObjectId | ActorId>(128))),
    },
    { key: "actorId", limit: 240 * MIB },
  ),
  /** Creation will not come: an argument failed. */
  actorAbandon: def(
    42,
    "owner",
    "node",
    { actorId, error: bytes(), /** no argument failed, but this */ failure: optional(failure) },
    { key: "actorId", limit: PAYLOAD_MAX },
  ),
  actorWatch: def(43, "owner", "node", { actorId }, { key: "actorId" }),
  actorState: def(
    44,
    "node",
    "owner",
    {
      actorId,
      status: actorStatus,
      className: str(256),
      /** Declared with `getIfExists`, and this one exists: calls go to it. A hold on `actorId` is a hold on it. */
      actualId: optional(actorId),
    },
    { limit: PAYLOAD_MAX },
  ),
  /** The refs inside are credited to the worker. */
  actorStart: def(
    45,
    "node",
    "worker",
    {
      actorId,
      epoch: uint(),
      className: str(256),
      functionId,
      definition: bytes(),
      args: bytes(),
      argPayloads: list(obj({ index: uint(), payload })),
      argRefs: optional(list(str<ObjectId | ActorId>(128))),
      options: actorOptions,
      jobId,
      assigned: resources,
      gpuIds: list(uint()),
      /** Where what it submits is placed, unless that says otherwise. */
      children: optional(strategy),
      /** It begins with this state instead of its constructor, and runs these calls, in this order. */
      restore: optional(obj({ state: payload, calls: list(loggedCall) })),
    },
    { limit: 512 * MIB },
  ),
  actorStarted: def(46, "worker", "node", { actorId, epoch: uint() }),
  /** Its constructor threw, or the state of one that lives cannot be saved: it is over. */
  actorStartFailed: def(47, "worker", "node", { actorId, epoch: uint(), error: bytes() }, { limit: PAYLOAD_MAX }),
  /** exitActor(): the actor ends for good, by its own will. */
  actorExit: def(49, "worker", "node", { actorId }),

  /** Only this worker holds its actor. Answered by `actorIdle` once nothing is under way in it; if that still is so then, it is over. */
  actorAlone: def(56, "node", "worker", { actorId }),
  actorIdle: def(57, "worker", "node", { actorId }),

  // ── the log of an actor that saves its state ────────────────────────────────────────────────────
  /** A call has ended. The node has it in the log before it sends the answer on: `actorAnswer`. `to`: the call as its owner pushed it. */
  actorLog: def(
    53,
    "worker",
    "node",
    { actorId, epoch: uint(), to: obj({ actorId, seq: uint() }), call: loggedCall, answer: loggedAnswer },
    { limit: 512 * MIB },
  ),
  /** The actor's state after the last call of the log: what came before is not needed any more. */
  actorCheckpoint: def(54, "worker", "node", { actorId, epoch: uint(), state: payload }, { limit: 4 * MIB }),
  /** What the actor answers to a call of the receiver. The refs inside are credited to the receiver. */
  actorAnswer: def(
    55,
    "node",
    "owner",
    { actorId, seq: uint(), counter: uint(), attempt: uint(), answer: loggedAnswer },
    { limit: 512 * MIB },
  ),
  /** Its state is to be saved now: the log cannot be cut short else. `failure`: nor can this, and the actor is over. */
  actorSave: def(130, "node", "worker", { actorId, epoch: uint(), failure: optional(failure) }),
  /** A checkpoint that lay on another node lies with the log, or there is one before it: an actor that has waited for that may live. */
  actorSaved: def(135, "node", "worker", { actorId, epoch: uint() }),
  /** The way to the actor broke, and its answers come by another: which calls has it begun? */
  callsLost: def(131, "owner", "node", { actorId, epoch: uint() }),
  /** What that owner has pushed and what has not begun is void. Answered by `callsOver`, behind the answers of what has. */
  callsCut: def(132, "node", "worker", { actorId, epoch: uint(), owner: processId }),
  callsOver: def(133, "worker", "node", { actorId, epoch: uint(), owner: processId }),
  /** Every call of the receiver that was begun by then is answered; those without an answer never were. */
  callsSettled: def(134, "node", "owner", { actorId, epoch: uint() }),

  // ── questions to control; each answered by `answer` with the same `call` ─────────────────────────
  ask: def(
    60,
    "owner",
    "node",
    {
      call: uint(),
      question: oneOf({
        actorByName: { name: str(256), namespace: str(256) },
        /** Answered once it is over; with a restart, once that incarnation is, or another than `epoch`, if one is named, is there. */
        actorKill: { actorId, noRestart: bool, epoch: optional(uint()) },
        nodes: {},
        clusterResources: {},
        availableResources: {},
        timeline: {},
        objectStore: {},
        counts: {},
        /** Every process of the node is asked to collect garbage. */
        collectGarbage: {},
        /** Answered once everything that workers had printed before is sent as `log`. */
        outputDrained: {},
        /** A package of an environment lies in the node's folder: answered once whoever needs it can have it. */
        packagePublish: { hash: str(64) },
        /** Work will come that needs this environment. */
        environmentWarm: { environment: str(64 * KIB) },
        groupCreate: {
          groupId,
          jobId,
          bundles: list(resources, 10_000),
          strategy: literal("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"),
          name: optional(str(256)),
          detached: bool,
        },
        groupReady: { groupId },
        groupRemove: { groupId },
        groupByName: { name: str(256) },
      }),
    },
    { limit: 16 * MIB },
  ),
  answer: def(
    61,
    "node",
    "owner",
    { call: uint(), failure: optional(failure), /** JSON */ body: optional(str(256 * MIB)) },
    { limit: 256 * MIB },
  ),
  /**
   * Spans for the timeline, in batches; never on the path of a task. Each is five float64: the indexes of its name and of its task's word,
   * the number that with this word is the task's id (NaN: the word is it), start and duration in microseconds.
   */
  events: def(62, "owner", "node", { category: str(64), words: list(str(256), 10_000), spans: bytes(MIB) }, { limit: 4 * MIB }),

  // ── owner and worker, on a connection of their own; calls and replies themselves are in direct.ts ─────
  directHello: def(100, "owner", "worker", { processId, way: wayId, jobId, namespace: str(256) }),
  /** A numbered way to a lease on this connection. `claims` is the owner's block of claim words, -1 for none. */
  leaseOpen: def(101, "owner", "worker", {
    channel: uint(0xffff),
    leaseId,
    claims: num(-1),
    assigned: resources,
    gpuIds: list(uint()),
    /** where what its tasks submit is placed, unless that says otherwise */ children: optional(strategy),
  }),
  actorOpen: def(102, "owner", "worker", { channel: uint(0xffff), actorId, claims: num(-1) }),
  channelClose: def(103, "owner", "worker", { channel: uint(0xffff) }),
  /** A number for a function on this connection, before its first call. Actor methods have a name only. */
  define: def(
    104,
    "owner",
    "worker",
    {
      index: uint(0xffff_ffff),
      functionId,
      name: str(256),
      definition: bytes(),
      /** a parcel */ refs: optional(list(str<ObjectId | ActorId>(128))),
    },
    { limit: 256 * MIB },
  ),
  callCancel: def(105, "owner", "worker", { channel: uint(0xffff), seq: uint(0xffff_ffff), recursive: bool }),
  /** Refs to the results of a pushed call left its owner: the node is told of them too. */
  callShared: def(119, "owner", "worker", { channel: uint(0xffff), seq: uint(0xffff_ffff) }),
  streamRead: def(106, "owner", "worker", { channel: uint(0xffff), seq: uint(0xffff_ffff), read: uint() }),
  /** The task waits for others: what was pushed behind it does not begin. */
  callBlocked: def(107, "worker", "owner", { channel: uint(0xffff), seq: uint(0xffff_ffff) }),

  // ── the object store: space, and who reads what ─────────────────────────────────────────────────
  /** Space without blocking; `slab`: the size of a slab that would be welcome instead. Answered by `storeAllocated`. */
  storeAllocate: def(70, "owner", "node", { call: uint(), size: uint(), slab: uint(), /** how long it may wait */ timeoutMs: uint() }),
  storeAllocated: def(71, "node", "owner", { call: uint(), grant: optional(storeGrant), refusal: optional(storeRefusal) }),
  /** `seq` numbers what a process says of its space (sealed, released, unpinned): the store may have heard it by a faster way. */
  storeSealed: def(
    72,
    "owner",
    "node",
    {
      seq: uint(),
      id: objectId,
      serial: uint(),
      offset: uint(),
      size: uint(),
      /** the sender goes on reading it */ pin: bool,
      holder: processId,
      contains: list(str<ObjectId | ActorId>(128)),
    },
    { key: "seq", limit: 64 * MIB },
  ),
  /** What is left of a grant goes back. */
  storeReleased: def(73, "owner", "node", { seq: uint(), serial: uint() }, { key: "seq" }),
  /** To read an object. Answered by `storePinned`; until `storeUnpin` its bytes stay where they are. */
  storePin: def(74, "owner", "node", { call: uint(), id: objectId }),
  storePinned: def(75, "node", "owner", {
    call: uint(),
    at: oneOf({
      memory: { key: str(64), serial: uint(), offset: uint(), size: uint() },
      disk: { key: str(64), file: str(), size: uint() },
      lost: { reason: str() },
    }),
  }),
  storeUnpin: def(76, "owner", "node", { seq: uint(), key: str(64) }, { key: "seq" }),
  /** The store is short of space: collect garbage, and give idle slabs back. */
  collectGarbage: def(77, "node", "owner", {}),
  /** Every report up to this `seq` has been heard. Sent now and then. */
  storeHeard: def(78, "node", "owner", { seq: uint() }),
} as const satisfies Record<string, Definition>;

export type Definitions = typeof definitions;
export type MessageName = keyof Definitions;
export type Body<N extends MessageName> = StaticShape<Definitions[N]["shape"]>;
export type Message<N extends MessageName = MessageName> = { [K in N]: { readonly name: K } & Body<K> }[N];

/** The names of the messages that go from one role to another. */
export type Between<F extends Role, T extends Role> = {
  [N in MessageName]: Definitions[N]["from"] extends F ? (Definitions[N]["to"] extends T ? N : never) : never;
}[MessageName];

/** Whether it is one that a node says to a process, which is all that may be passed on to one. */
export function isToProcess(name: MessageName): boolean {
  const { from, to } = definitions[name];
  return from === "node" && (to === "owner" || to === "worker");
}

/** One handler a message: a message without a handler does not compile. */
export type Handlers<N extends MessageName, Context> = { readonly [K in N]: (body: Body<K>, from: Context) => void };
