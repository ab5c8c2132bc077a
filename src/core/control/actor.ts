/** One actor as control knows it: its record, and what others are told of it. */
import type { ActorId, JobId, ProcessId } from "../../protocol/ids.ts";
import type {
  ActorOptions,
  ActorStatus,
  Body,
  DeathReason,
  Failure,
  LeaseShape,
  ResourceAmounts,
  WorkerAddress,
} from "../../protocol/messages.ts";
import type { ActorRequest } from "../node/admission.ts";
import type { RecordOf } from "./tables.ts";

/**
 * declared: its arguments are not there yet. placing: waits for resources and a worker. starting: its constructor runs.
 * pausing: it died soon after its start and is started again a little later.
 */
export type Phase = "declared" | "placing" | "starting" | "alive" | "pausing" | "dead";

export type KillQuestion = Extract<Body<"ask">["question"], { kind: "actorKill" }>;

export interface ActorRecord {
  readonly id: ActorId;
  readonly jobId: JobId;
  readonly creator: ProcessId;
  readonly className: string;
  readonly options: ActorOptions;
  /** Its environment comes with its creation. */
  shape: LeaseShape;
  phase: Phase;
  /** Counts incarnations; what an old one says is refused. */
  epoch: number;
  restarts: number;
  /** Deaths in a row soon after a start. */
  quickDeaths: number;
  startedAt: number;
  /** Pausing: when it is placed again. */
  resumeAt: number;
  creation: Body<"actorCreate"> | undefined;
  worker: WorkerAddress | undefined;
  /** What its worker was given; of meaning while it has one. */
  assigned: ResourceAmounts;
  gpuIds: readonly number[];
  /** Of the last death. */
  reason: DeathReason | undefined;
  error: Uint8Array | undefined;
  failure: Failure | undefined;
  /** How often it was given to somebody who asked for it: its home says of which of these it knew. */
  given: number;
  readonly watchers: Set<ProcessId>;
  /** Who waits for the end of its incarnation. */
  readonly killers: { readonly from: ProcessId; readonly call: number }[];
  /** Declared under another id with `getIfExists`, and means this one. */
  readonly aliases: Map<ActorId, Set<ProcessId>>;
}

export function newActor(creator: ProcessId, body: Body<"actorDeclare">): ActorRecord {
  const { actorId, jobId, className, options, shape } = body;
  return {
    id: actorId,
    jobId,
    creator,
    className,
    options,
    shape,
    phase: "declared",
    epoch: 1,
    restarts: 0,
    quickDeaths: 0,
    startedAt: 0,
    resumeAt: 0,
    creation: undefined,
    worker: undefined,
    assigned: {},
    gpuIds: [],
    reason: undefined,
    error: undefined,
    failure: undefined,
    given: 0,
    watchers: new Set([creator]),
    killers: [],
    aliases: new Map(),
  };
}

/** What of it is kept in a store. `over`: its number among the dead. */
export function recordOf(actor: ActorRecord, over: number): RecordOf<"actor"> {
  const { jobId, creator, className, options, shape, phase, epoch, restarts, quickDeaths, worker, assigned } = actor;
  const { reason, error, failure, given } = actor;
  return {
    jobId,
    creator,
    className,
    options,
    shape,
    phase,
    epoch,
    restarts,
    quickDeaths,
    worker,
    assigned,
    gpuIds: [...actor.gpuIds],
    reason,
    error,
    failure,
    given,
    over,
  };
}

/** As it was kept; nobody watches it yet. Times begin anew. */
export function fromRecord(
  id: ActorId,
  { over: _over, ...record }: RecordOf<"actor">,
  creation: Body<"actorCreate"> | undefined,
  now: number,
): ActorRecord {
  const { worker, reason, error, failure, ...rest } = record;
  const times = { startedAt: now, resumeAt: now };
  return { id, ...rest, ...times, worker, reason, error, failure, creation, watchers: new Set(), killers: [], aliases: new Map() };
}

/** Of an actor that nobody knows of, and nobody can come to know of. */
export function unknownState(actorId: ActorId): Body<"actorState"> {
  const message = `actor ${actorId} is not known: it ended long ago, or was never made`;
  const failure: Failure = { code: "ACTOR_NOT_FOUND", message };
  return { actorId, className: "", status: { kind: "dead", epoch: 0, reason: { cause: "exit", message }, failure } };
}

/** What a node is asked for. */
export function requestOf({ id: actorId, epoch, jobId, creator: owner, className, shape, options }: ActorRecord): ActorRequest {
  const { resources, placementResources } = options;
  return { actorId, epoch, jobId, owner, className, shape, resources, placementResources };
}

export function statusOf(actor: ActorRecord): ActorStatus {
  const { epoch, reason } = actor;
  switch (actor.phase) {
    case "dead":
      return { kind: "dead", epoch, reason: reason!, error: actor.error, failure: actor.failure };
    case "alive":
      return { kind: "alive", epoch, address: actor.worker!, logged: actor.options.checkpoint === undefined ? undefined : true };
    default:
      return reason === undefined ? { kind: "pending", epoch } : { kind: "restarting", epoch, reason };
  }
}

export type ListedActor = Pick<ActorRecord, "id" | "className" | "phase" | "epoch"> & {
  readonly name: string | undefined;
  readonly worker: ProcessId | undefined;
};

/** For listings. */
export function listed({ id, className, phase, epoch, options, worker }: ActorRecord): ListedActor {
  return { id, className, phase, epoch, name: options.name, worker: worker?.processId };
}

export const nameKey = (name: string, namespace: string): string => `${namespace}\0${name}`;

/** The number in an actor's id; those of one process are declared in order. NaN, which comes after nothing, for what is no such id. */
export const numberOf = (id: ActorId): number => Number.parseInt(/^[0-9a-f]{12}-([0-9a-z]+)-a$/.exec(id)?.[1] ?? "", 36);
