/**
 * The job that a worker serves. On one machine there is one, which the daemon was started with. On a cluster a node serves many: each
 * request for a worker says its job in the environment that the worker is to have, so that workers of jobs are never mixed.
 */
import type { JobId, ProcessId } from "../protocol/ids.ts";
import type { LeaseShape } from "../protocol/messages.ts";

export interface Job {
  readonly jobId: JobId;
  readonly namespace: string;
  /** Its driver: what workers print goes there. */
  readonly driver: ProcessId;
  /** The driver's entry script. */
  readonly entry: string | undefined;
  /** The driver's folder: workers start there, where it exists. */
  readonly folder: string;
  /** Flags of Node that decide how modules are loaded. */
  readonly execArgv: readonly string[];
  readonly envVars: Readonly<Record<string, string>>;
}

const JOB = "MOBULA_JOB";

/** A shape whose workers serve this job. */
export function ofJob(shape: LeaseShape, job: Job | undefined): LeaseShape {
  return job === undefined ? shape : { ...shape, envVars: { ...shape.envVars, [JOB]: JSON.stringify(job) } };
}

/** The job in the variables of a worker, and the variables without it. */
export function jobOf(variables: Readonly<Record<string, string>>): { job: Job | undefined; envVars: Record<string, string> } {
  const { [JOB]: text, ...envVars } = variables;
  return { job: text === undefined ? undefined : (JSON.parse(text) as Job), envVars };
}
