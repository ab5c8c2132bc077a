/**
 * The submitted job that has started this program, if one has: its file says what the program's work is to have. Loaded by every program:
 * it imports next to nothing.
 */
import { readFileSync } from "node:fs";
import type { JobId } from "../../protocol/ids.ts";
import type { JobTerms } from "../../protocol/messages.ts";
import type { JobFile } from "../jobs/runner.ts";

export interface SubmittedBy {
  readonly jobId: JobId | undefined;
  /** The description of the environment that its work has. */
  readonly environment: string | undefined;
  readonly envVars: Readonly<Record<string, string>>;
  /** What the job was given. */
  readonly terms: JobTerms | undefined;
}

const NOBODY: SubmittedBy = { jobId: undefined, environment: undefined, envVars: {}, terms: undefined };

/** `address`: the cluster that the program joins; one that joins another is no part of the job there. */
export function submittedBy(address: string | undefined, env: NodeJS.ProcessEnv = process.env): SubmittedBy {
  const file = env["MOBULA_JOB_FILE"];
  if (address === undefined || file === undefined || file === "") return NOBODY;
  try {
    const job = JSON.parse(readFileSync(file, "utf8")) as JobFile;
    if (job.address !== address) return NOBODY;
    return { jobId: job.jobId as JobId, environment: job.environment, envVars: job.envVars, terms: job.terms };
  } catch {
    // The job has ended, and its file with it: whoever is left of it joins as anybody does.
    return NOBODY;
  }
}
