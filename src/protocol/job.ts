/** A submitted job as control tells it, the HTTP API gives it, and clients know it: one shape for all. Types only. */

export type JobStatus = "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "STOPPED";

/** A submitted job. Times are milliseconds since 1970; null is what there is not, or not yet. */
export interface Job {
  readonly jobId: string;
  readonly status: JobStatus;
  /** What it waits for, or how it has ended. */
  readonly message: string;
  /** Of its entry point; null also for one that a signal has ended. */
  readonly exitCode: number | null;
  readonly entrypoint: string | readonly string[];
  readonly submittedAt: number;
  readonly startedAt: number | null;
  readonly endedAt: number | null;
  readonly name: string | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly weight: number;
  readonly priority: number;
  readonly maxCpus: number | null;
  readonly maxMemory: number | null;
  readonly maxStore: number | null;
  /** Where its entry point runs, or has run. */
  readonly nodeId: string | null;
}
