/**
 * The logs of all jobs of a head together: bounded, so that a year of jobs does not fill its disk. Those of jobs that ended first go first;
 * a line in its place says so. Logs of jobs that run are theirs, each within its own bound (log-parts.ts).
 */
import { readdir, rm, stat } from "node:fs/promises";
import { isJobId, jobsFolder, placesOf } from "./folders.ts";
import { logSize, replaceLog } from "./log-parts.ts";

export interface SpaceLimits {
  /** Of logs of jobs that have ended. */
  readonly bytes: number;
  /** Folders of jobs; control forgets jobs before that, and has them removed, where it still knows of them. */
  readonly folders: number;
}

const GIB = 2 ** 30;
export const spaceLimits: SpaceLimits = { bytes: 8 * GIB, folders: 20_000 };
/** So much less is left when something has to go, so that not each job pays for it. */
const SLACK = 0.1;
/** To remove it would win nothing. */
const SMALL = 4096;

interface Kept {
  readonly jobId: string;
  readonly size: number;
  readonly at: number;
}

export class LogSpace {
  readonly #home: string;
  readonly #limits: SpaceLimits;
  readonly #runs: (jobId: string) => boolean;
  #work: Promise<void> = Promise.resolve();
  /** What is known to be there; more than there is, once control had some removed. Undefined: not looked at yet. */
  #known: { bytes: number; folders: number } | undefined;

  constructor(home: string, runs: (jobId: string) => boolean, limits: SpaceLimits = spaceLimits) {
    this.#home = home;
    this.#runs = runs;
    this.#limits = limits;
  }

  /** The log of a job is done. Rejects when something could not be removed. */
  ended(jobId: string): Promise<void> {
    const done = this.#work.then(() => this.#ended(jobId));
    this.#work = done.catch(() => undefined);
    return done;
  }

  async #ended(jobId: string): Promise<void> {
    if (this.#known === undefined) return await this.#makeRoom();
    this.#known.bytes += await logSize(placesOf(this.#home, jobId).log);
    this.#known.folders++;
    if (this.#known.bytes > this.#limits.bytes || this.#known.folders > this.#limits.folders) await this.#makeRoom();
  }

  async #makeRoom(): Promise<void> {
    const kept = await this.#look();
    const known = { bytes: kept.reduce((sum, { size }) => sum + size, 0), folders: kept.length };
    this.#known = known;
    const { bytes, folders } = this.#limits;
    const most = known.bytes > bytes ? bytes * (1 - SLACK) : bytes;
    const mostFolders = known.folders > folders ? folders * (1 - SLACK) : folders;
    for (const { jobId, size } of kept) {
      const { folder, log } = placesOf(this.#home, jobId);
      if (known.folders > mostFolders) {
        await rm(folder, { recursive: true, force: true });
        known.folders--;
        known.bytes -= size;
      } else if (known.bytes > most && size > SMALL) {
        await replaceLog(log, `[mobula: removed, as the logs of all jobs may have ${Math.round(bytes / GIB)} GiB together]\n`);
        known.bytes -= size;
      }
    }
  }

  /** Jobs that have ended, those that ended first first. */
  async #look(): Promise<Kept[]> {
    const kept: Kept[] = [];
    for (const jobId of await readdir(jobsFolder(this.#home)).catch(() => [] as string[])) {
      if (!isJobId(jobId) || this.#runs(jobId)) continue;
      const { folder, log } = placesOf(this.#home, jobId);
      const at = await stat(folder).catch(() => undefined);
      if (at !== undefined) kept.push({ jobId, size: await logSize(log), at: at.mtimeMs });
    }
    return kept.sort((a, b) => a.at - b.at);
  }
}
