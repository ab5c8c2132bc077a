/**
 * The folder of a submitted job, in the folder of its cluster: `<home>/jobs/<jobId>`, with the parts of its log, its token, what its
 * drivers must know of it, and, while it runs and has no copy of a working directory, an empty one to run in.
 */
import { join } from "node:path";

export const jobsFolder = (home: string): string => join(home, "jobs");

/** Ids come over HTTP: one that is no id names no folder. */
export const isJobId = (text: string): boolean => /^job-[0-9a-f]{8,32}$/.test(text);

export interface JobPlaces {
  readonly folder: string;
  /** A folder with the parts of the log. */
  readonly log: string;
  readonly token: string;
  /** See `JobFile` (src/runtime/client/submitted.ts). */
  readonly file: string;
  readonly work: string;
  /** Above `work`: Node finds packages in it. */
  readonly modules: string;
  /** Who runs it: a mark of the leader of its process group. */
  readonly mark: string;
}

export function placesOf(home: string, jobId: string): JobPlaces {
  if (!isJobId(jobId)) throw new Error(`${JSON.stringify(jobId.slice(0, 100))} is no id of a job`);
  const folder = join(jobsFolder(home), jobId);
  return {
    folder,
    log: join(folder, "log"),
    token: join(folder, "token"),
    file: join(folder, "job.json"),
    work: join(folder, "work"),
    modules: join(folder, "node_modules"),
    mark: join(folder, "process.json"),
  };
}

/** Every process that a job has started has this variable, whatever group it is in. */
export const JOB_ID = "MOBULA_JOB_ID";
/** Names the job's file, for drivers. */
export const JOB_FILE = "MOBULA_JOB_FILE";
