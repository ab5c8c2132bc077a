/** What a daemon is started with: JSON in the environment variable MOBULA_DAEMON_CONFIG. Workers load it: it imports types only. */
import type { ControlConfig } from "../control/config.ts";
import type { DashboardChoice } from "../dashboard/config.ts";
import type { Preload } from "../flags.ts";
import type { Job } from "../job.ts";
import type { Secret } from "../network/secret.ts";
import type { JobId, NodeId, ProcessId } from "../../protocol/ids.ts";
import type { PreparedEnvironment } from "../environments/index.ts";

export const DAEMON_CONFIG = "MOBULA_DAEMON_CONFIG";
export const WORKER_CONFIG = "MOBULA_WORKER_CONFIG";

/** The cluster that a node is part of. */
export interface ClusterConfig {
  /** Undefined: whatever cluster control is of. */
  readonly clusterId?: string;
  /** A file with its token, closed to other users. */
  readonly tokenFile?: string;
  /** Without such a file the token is the first line of the daemon's stdin, from where it comes here. */
  readonly token?: Secret;
  /** Where control is or may be, `host:port`. */
  readonly control: readonly string[];
  /** Where this node listens for others; port 0 picks a free one. */
  readonly host: string;
  readonly port: number;
  /** The host that others reach it by, where that is another. */
  readonly advertise?: string;
  /** A folder with certificates. */
  readonly tlsDir?: string;
  /** Allows a host that others reach without TLS. */
  readonly insecure?: boolean;
  /** This node is the head: it keeps control running, which `control` then need not name. */
  readonly keeps?: ControlConfig;
  /** Of the head: the HTTP API. */
  readonly dashboard?: DashboardChoice;
}

export interface DaemonConfig {
  /** Absent: this node is the whole cluster. */
  readonly cluster?: ClusterConfig;
  /** It does not end with its last driver, or with whoever has started it; and it can be found, by a file in this folder. */
  readonly home?: string;
  /** It ends with whoever holds the other end of its stdin, all the same. */
  readonly tied?: boolean;
  /** Made by the daemon, mode 0700, and removed at its end: whoever starts it may die at any moment and leave nothing. */
  readonly sessionDir: string;
  readonly jobId: JobId;
  readonly namespace: string;
  readonly nodeId: NodeId;
  /** May be a fraction; as many workers as whole CPUs, at least one, are kept. */
  readonly numCpus: number;
  readonly numGpus: number;
  /** In wholes, as users write them; `memory` in bytes. */
  readonly resources: Readonly<Record<string, number>>;
  /** Bytes. */
  readonly objectStoreMemory: number;
  readonly labels: Readonly<Record<string, string>>;
  /** The worker's main module, and the flags of Node that it runs with. */
  readonly workerMain: string;
  readonly workerExecArgv: readonly string[];
  /** Of every worker of the job, below those of its own. */
  readonly envVars?: Readonly<Record<string, string>>;
  /** Whether workers are started before work asks for them. Default true; they would be of no use to a job whose work all wants more. */
  readonly prestart?: boolean;
  /** The process of the first worker, where the driver has started it: its pipes are inherited. */
  readonly firstWorker?: number;
  /** Where environments are made. Default: below MOBULA_HOME, or in the home folder. */
  readonly environmentsHome?: string;
  /** More fields for the worker's own configuration. */
  readonly workerConfig?: Readonly<Record<string, unknown>>;
  readonly spillDir?: string;
  /** Part of the machine's memory in use at which tasks are ended; 0 for never. Default 0.95. */
  readonly memoryThreshold?: number;
  /** Where the workers of this node are reached from other machines, where that does not follow from `cluster`. */
  readonly reach?: WorkerReach;
  readonly idleTimeoutMs?: number;
  readonly registerTimeoutMs?: number;
}

/** Where a worker listens for owners on other machines, on a port that it picks itself. */
export interface WorkerReach {
  /** As others know this machine. */
  readonly host: string;
  /** Of this machine, where that is another than `host`; `0.0.0.0` for all. */
  readonly bind?: string;
  readonly clusterId?: string;
  /** TLS, with the worker's ticket as its key. Without it the network must be one that is trusted: the daemon has seen to that. */
  readonly tls: boolean;
}

/** What a worker finds in MOBULA_WORKER_CONFIG, besides `workerConfig` of the daemon's configuration. */
export interface WorkerConfig {
  /** What it serves, where a node serves many: its tasks' tasks are of the same. */
  readonly job?: Job;
  readonly processId: ProcessId;
  readonly sessionDir: string;
  readonly nodeSocket: string;
  /** The process that has started it beside its node, which may not serve yet. */
  readonly startedBy?: number;
  /** The working folder of the daemon, which is that of the driver. */
  readonly nodeFolder: string;
  /** Flags that it would have been started with, had it not to load these modules itself. */
  readonly execArgv: readonly string[];
  readonly preloads: readonly Preload[];
  /** What it was started with beyond the job's variables: its tasks' tasks inherit it. */
  readonly envVars?: Readonly<Record<string, string>>;
  readonly environment?: PreparedEnvironment;
  readonly reach?: WorkerReach;
}

/** Where packages of environments lie that processes of this machine hand to their node. */
export const packagesOf = (sessionDir: string): string => `${sessionDir}/packages`;

/** The one line that the daemon prints: it serves, or why it cannot. */
export type DaemonReport =
  | { readonly ready: true; readonly nodeId: NodeId; readonly pid: number; readonly socket: string }
  | { readonly error: string };

/** Undefined on one machine. */
export function workerReachOf({ reach, cluster }: DaemonConfig): WorkerReach | undefined {
  if (reach !== undefined || cluster === undefined) return reach;
  const { host, advertise = host, clusterId, tlsDir } = cluster;
  return { host: advertise, bind: host, clusterId, tls: tlsDir !== undefined };
}

export const workersFor = (config: DaemonConfig): number => Math.max(1, Math.floor(config.numCpus));
/** Workers that are started before work asks for them. Those of a cluster serve one of its jobs each, and none is known yet. */
export const prestartedFor = (config: DaemonConfig): number =>
  config.prestart === false || config.cluster !== undefined ? 0 : workersFor(config);
export const nodeSocketOf = (sessionDir: string): string => `${sessionDir}/node.sock`;
