/** What the HTTP API takes and gives, as /openapi.json of the head describes it. Types only. */
import type { Job, JobStatus } from "../protocol/job.ts";

export type { Job, JobStatus };

export interface SubmittedJob {
  readonly jobId: string;
  readonly status: JobStatus;
}

/** What a job and its work find where they run. */
export interface JobRuntimeEnv {
  /** The sha256 of a package that was uploaded: it is unpacked, and the entry point runs in it. */
  readonly workingDir?: string;
  readonly excludes?: readonly string[];
  readonly envVars?: Readonly<Record<string, string>>;
  /** Packages of npm, `"name@range"` or uploaded ones; or `"lock"`, those of the working directory's package-lock.json. */
  readonly npm?: "lock" | readonly (string | { readonly file: string; readonly hash: string })[];
  /** Whether install scripts of these packages are run. Default false. */
  readonly npmScripts?: boolean;
  /** A module of the working directory that each worker imports first. */
  readonly setup?: string;
}

export interface JobOptions {
  /** A command line of the shell; or a command and its arguments, without a shell. */
  readonly entrypoint: string | readonly string[];
  readonly runtimeEnv?: JobRuntimeEnv;
  /** For people. */
  readonly name?: string;
  /** Kept with the job. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Its share of processors beside other jobs that want them. Default 1. */
  readonly weight?: number;
  /** A job with a higher one goes first. Default 0. */
  readonly priority?: number;
  /** Processors that its work may have at a time. */
  readonly maxCpus?: number;
  /** Bytes of memory that its work may ask for at a time. */
  readonly maxMemory?: number;
  /** Bytes of objects that it may keep. */
  readonly maxStore?: number;
}

export interface UploadedPackage {
  readonly sha256: string;
  /** Bytes. */
  readonly size: number;
}

export interface ClusterStateNode {
  readonly nodeId: string;
  readonly address: string;
  readonly alive: boolean;
  readonly head: boolean;
  readonly pid: number;
  readonly resources: { readonly total: Readonly<Record<string, number>>; readonly available: Readonly<Record<string, number>> };
  readonly labels: Readonly<Record<string, string>>;
}

/** What `mobula status --json` prints. */
export interface ClusterState {
  readonly control: { readonly pid: number; readonly address: string; readonly role: string };
  readonly nodes: readonly ClusterStateNode[];
  readonly resources: { readonly total: Readonly<Record<string, number>>; readonly available: Readonly<Record<string, number>> };
  readonly pending: readonly { readonly resources: Readonly<Record<string, number>>; readonly count: number; readonly reason: string }[];
}
