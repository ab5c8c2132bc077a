/**
 * The records of the node machine, its settings and its port. Data only: what happens to it is in the files beside.
 */
import type { ActorId, JobId, LeaseId, LeaseRequestId, NodeId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { Body, DeathReason, Failure, MessageName, ResourceAmounts, Strategy, WorkerAddress } from "../../protocol/messages.ts";
import type { Alarm } from "./alarm.ts";
import type { EnvironmentPort, EnvironmentTable } from "./environments.ts";
import type { JobAccount, JobAccounts } from "./jobs.ts";
import type { Allocation, Ledger } from "./ledger.ts";
import type { WorkerPool } from "./pool.ts";
import type { RequestQueue } from "./queue.ts";

export interface NodeConfig {
  readonly nodeId: NodeId;
  readonly total: ResourceAmounts;
  readonly labels: Readonly<Record<string, string>>;
  /** Control divides the limits of jobs over several nodes; else this one has them whole. */
  readonly limitsDivided?: boolean;
  /** Worker processes kept when idle, and the most that start at a time. */
  readonly workers: number;
  readonly idleTimeoutMs?: number;
  readonly registerTimeoutMs?: number;
  /** Processes for tasks beyond which a lease is rather stacked on a worker whose tasks all wait. */
  readonly poolSoftCap?: number;
  /** Processes for tasks beyond which none is started at all. */
  readonly poolHardCap?: number;
}

/** Where an actor was placed. */
export interface ActorPlacement {
  readonly worker: WorkerAddress;
  readonly assigned: ResourceAmounts;
  readonly gpuIds: number[];
}

/** What the machine does to the world. Nothing here may call back into the machine. */
export interface NodePort extends EnvironmentPort {
  send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void;
  /** In an environment that is made, or in the plain one. */
  spawnWorker(id: ProcessId, envVars: Readonly<Record<string, string>>, environment: string | undefined): void;
  /** Ends a process at once; `reason` is what `workerLost` is to say of it. */
  killWorker(id: ProcessId, reason: DeathReason): void;
  /** To control: the actor's incarnation has a worker and resources. */
  actorPlaced(actor: ActorId, epoch: number, placement: ActorPlacement): void;
  /** To control: it never will. */
  actorUnplaced(actor: ActorId, epoch: number, failure: Failure, reason: DeathReason | undefined): void;
  /** To control: the answer to `groupPrepare`. */
  bundlesPrepared(groupId: PlacementGroupId, attempt: number, ok: boolean): void;
}

export interface Worker {
  readonly id: ProcessId;
  /** The environment it serves for life, as a key. */
  readonly env: string;
  state: "starting" | "ready" | "ending";
  /** It has said hello, ever. */
  registered: boolean;
  address: WorkerAddress | undefined;
  /** Starting: until when it must register. Ending: until when it must be gone. Asked whether it is spare: until when it must answer. */
  deadline: number;
  idleSince: number;
  readonly leases: Set<Lease>;
  /** The one whose task runs. */
  active: Lease | undefined;
  /** How many of its leases are not suspended. */
  awake: number;
  actor: ActorHold | undefined;
  /** Takes nothing new, and ends when its last lease goes. */
  retire: boolean;
  /** Its calls have left tasks behind, which end with it. */
  owns: boolean;
  /**
   * Whether an actor may have it. Once it has had a lease only it knows: what it says of tasks that were left behind may come after its
   * owner has given the lease back. So it is asked.
   */
  spare: "yes" | "unknown" | "asked";
  /** Asked: until when an actor counts on it. */
  spareBy: number;
  /** On purpose, by us: not a failure to start. */
  killed: boolean;
}

export interface Lease {
  readonly id: LeaseId;
  readonly requestId: LeaseRequestId;
  readonly owner: ProcessId;
  readonly account: JobAccount;
  readonly classKey: string;
  readonly priority: number;
  readonly grantedAt: number;
  readonly worker: Worker;
  readonly grant: Body<"leaseGrant">;
  readonly ledger: Ledger;
  readonly group: Group | undefined;
  /** Everything but CPU: kept while the task waits for others. */
  readonly kept: Allocation;
  /** The CPUs; undefined while its task waits for others. */
  cpu: Allocation | undefined;
  state: "active" | "suspended" | "resuming";
  /** Of the latest block that the worker told of. */
  turn: number;
  /** When its task last asked to go on. */
  resumingSince: number;
}

export interface ActorHold {
  readonly actorId: ActorId;
  readonly epoch: number;
  readonly worker: Worker;
  readonly ledger: Ledger;
  readonly group: Group | undefined;
  readonly allocation: Allocation;
}

export interface Group {
  readonly id: PlacementGroupId;
  readonly name: string | undefined;
  readonly jobId: JobId;
  readonly strategy: string;
  readonly detached: boolean;
  /** Those that are here: on one machine all. */
  readonly bundles: ResourceAmounts[];
  /** Which bundles of the group they are. */
  readonly indices: number[];
  /** How many the group has in all. */
  readonly count: number;
  /** Of control's tries to place it; 0 where it is placed by the node itself. */
  attempt: number;
  /** prepared: reserved, and not yet of use. */
  state: "pending" | "prepared" | "ready" | "removing" | "removed" | "failed";
  failure: Failure | undefined;
  /** While ready or removing: what it holds of the node, and what of that is free, bundle by bundle. */
  reserved: Allocation[];
  ledgers: Ledger[];
  /** Calls that wait until it is ready or never will be. */
  waiting: { readonly from: ProcessId; readonly call: number }[];
}

/** A request that waits for resources, and most of them for a worker. */
export interface Want {
  readonly kind: "lease" | "actor" | "group";
  /** Unique among the waiting. */
  readonly id: string;
  /** Requests of one class have the same demand, strategy and environment. */
  readonly classKey: string;
  readonly owner: ProcessId;
  readonly account: JobAccount;
  /** Among the requests of its job. */
  readonly priority: number;
  /** What must be free. */
  readonly demand: Readonly<ResourceAmounts>;
  readonly env: string;
  readonly strategy: Strategy;
  readonly labelSelector: Readonly<Record<string, string>> | undefined;
  /** For messages to people: "task foo". */
  readonly what: string;
  readonly since: number;
  readonly lease?: Pick<Body<"leaseRequest">, "requestId" | "shape" | "over" | "near">;
  /** An actor keeps `life` of its demand. */
  readonly actor?: { readonly actorId: ActorId; readonly epoch: number; readonly life: Readonly<ResourceAmounts> };
  readonly group?: Group;
}

/** What a repeated request is answered with, once it is no longer waiting or leased. */
export type Tombstone = Body<"leaseReject"> | "over";

export interface NodeState {
  readonly config: NodeConfig;
  readonly port: NodePort;
  readonly ledger: Ledger;
  readonly jobs: JobAccounts;
  readonly queue: RequestQueue;
  readonly pool: WorkerPool;
  readonly environments: EnvironmentTable;
  readonly alarm: Alarm;
  readonly leases: Map<LeaseId, Lease>;
  /** Those whose tasks run. Of a deep recursion thousands wait, and no more run than there are CPUs. */
  readonly active: Set<Lease>;
  /** Those that their owners were asked to give back. */
  readonly wanted: Set<Lease>;
  readonly byRequest: Map<LeaseRequestId, Lease>;
  readonly tombstones: Map<LeaseRequestId, Tombstone>;
  /** Leases whose tasks have what they waited for, in the order they said so. */
  readonly resuming: Set<Lease>;
  /** Leases whose owner is gone, until their workers have ended what runs on them; and until when they may. */
  readonly orphans: Map<Lease, number>;
  /** By the id of the request that each came from: of an actor one incarnation may end while the next is there. */
  readonly actors: Map<string, ActorHold>;
  readonly groups: Map<PlacementGroupId, Group>;
  /** Those that are over and remembered, the first to end first. */
  readonly groupsOver: Set<PlacementGroupId>;
  /** Bundles that control asked for and has not confirmed. */
  readonly prepared: Map<string, Group>;
  readonly groupNames: Map<string, PlacementGroupId>;
  /** Who may ask: drivers and registered workers, by what job they are known for. */
  readonly owners: Set<ProcessId>;
  /** Processes that are gone: what is still said in their name comes too late. */
  readonly gone: Map<ProcessId, true>;
  readonly drivers: Map<ProcessId, JobId>;
  /** When each class was last warned about. */
  readonly warned: Map<string, number>;
  leaseCount: number;
}

export const TOMBSTONES_MAX = 10_000;
export const GONE_MAX = 100_000;

/** Puts an entry at the end of a map of bounded size; the oldest goes. */
export function remember<K, V>(map: Map<K, V>, key: K, value: V, max: number): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > max) map.delete(map.keys().next().value as K);
}
