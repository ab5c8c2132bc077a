/**
 * Jobs on this node, as control orders them: the environment is made, the folder of the job gets what its run needs, the supervisor runs
 * the entry point, and control hears what became of it. A daemon that is started again finds what an earlier one of this folder left.
 */
import { mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { realpathSync } from "node:fs";
import type { JobEnd, Submission } from "../../core/control/jobs.ts";
import type { JobId } from "../../protocol/ids.ts";
import type { Body, JobTerms } from "../../protocol/messages.ts";
import { isLiving, parseMark } from "../environments/process-marks.ts";
import type { PreparedEnvironment } from "../environments/index.ts";
import { jobToken, readTokenFile } from "../network/index.ts";
import { killJob, signalGroup } from "./ending.ts";
import { removeTraces } from "./entry.ts";
import { isJobId, JOB_FILE, JOB_ID, jobsFolder, placesOf } from "./folders.ts";
import { LogSpace } from "./log-space.ts";
import { cleanEnvironment, Supervisor } from "./supervisor.ts";

export interface JobsHost {
  /** The cluster's folder. */
  readonly home: string;
  readonly tokenFile: string;
  /** Where the cluster is, for drivers. */
  address(): string;
  /** Makes an environment, or waits until it is made, and holds it until `release`. */
  prepare(environment: string): Promise<PreparedEnvironment>;
  release(environment: string): void;
  news(body: Body<"jobNews">): void;
  log(line: string): void;
}

interface RunningJob {
  readonly submission: Submission;
  stopping: boolean;
  /** The supervisor has it. */
  handedOver: boolean;
  held: boolean;
}

const MESSAGE_MAX = 12_000;
/** Jobs that have ended here are remembered for as long as an order to run them may be under way. */
const DONE_MAX = 10_000;

export class JobRunner {
  readonly #host: JobsHost;
  readonly #jobs = new Map<JobId, RunningJob>();
  readonly #done = new Set<JobId>();
  readonly #supervisor: Supervisor;
  readonly #cleared: Promise<void>;
  readonly #logs: LogSpace;
  #over = false;

  constructor(host: JobsHost) {
    this.#host = host;
    this.#logs = new LogSpace(host.home, (jobId) => this.#jobs.has(jobId as JobId));
    this.#supervisor = new Supervisor(host.home, {
      started: (jobId) => this.#news(jobId, { kind: "started" }),
      ended: (jobId, how) => this.#ended(jobId as JobId, how),
      lost: (jobIds, how) => void this.#supervisorLost(jobIds, how),
    });
    this.#cleared = this.#clearUp().catch((error: Error) => host.log(`what earlier jobs left was not cleared up: ${error.message}`));
  }

  /** Jobs that it has begun and not told the end of. */
  get entries(): JobId[] {
    return [...this.#jobs.keys()];
  }

  order({ jobId, order }: Body<"jobOrder">): void {
    if (this.#over || !isJobId(jobId)) return;
    switch (order.kind) {
      case "run":
        return this.#run(jobId, order.submission);
      case "stop":
        return this.#stop(jobId);
      case "forget":
        if (!this.#jobs.has(jobId))
          void rm(placesOf(this.#host.home, jobId).folder, { recursive: true, force: true }).catch(() => undefined);
        return;
      default:
        order satisfies never;
    }
  }

  async close(ms: number): Promise<void> {
    this.#over = true;
    await this.#supervisor.close(ms);
  }

  #run(jobId: JobId, submission: Submission): void {
    // A control that begins orders again what this node does not speak of, and may have heard it before its first order came here.
    if (this.#jobs.has(jobId) || this.#done.has(jobId)) return;
    const job: RunningJob = { submission, stopping: false, handedOver: false, held: false };
    this.#jobs.set(jobId, job);
    this.#prepare(jobId, job).catch((error: Error) => {
      // The environment's own words say which part of it failed.
      this.#ended(jobId, { status: job.stopping ? "STOPPED" : "FAILED", message: error.message.slice(0, MESSAGE_MAX) });
    });
  }

  #stop(jobId: JobId): void {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return;
    job.stopping = true;
    // One whose environment is being made is ended when that is done, or at once: nothing waits for it.
    if (job.handedOver) this.#supervisor.stop(jobId);
    else this.#ended(jobId, { status: "STOPPED", message: "it was stopped before it was started" });
  }

  async #prepare(jobId: JobId, job: RunningJob): Promise<void> {
    const { environment } = job.submission;
    const prepared = environment === undefined ? undefined : await this.#host.prepare(environment);
    if (this.#jobs.get(jobId) !== job || this.#over) return void (prepared !== undefined && this.#host.release(environment!));
    job.held = prepared !== undefined;
    // Of this job too: an earlier daemon may have run it, and not been able to say so.
    await this.#cleared;
    const cwd = await this.#furnish(jobId, job.submission, prepared);
    if (this.#jobs.get(jobId) !== job || this.#over) return await removeTraces(placesOf(this.#host.home, jobId));
    job.handedOver = true;
    const { entrypoint, shell } = job.submission;
    this.#supervisor.run({ jobId, entrypoint, shell, cwd, env: this.#environment(jobId, job.submission) });
  }

  /** Puts into the job's folder what its run needs, and gives where it runs. */
  async #furnish(jobId: JobId, submission: Submission, prepared: PreparedEnvironment | undefined): Promise<string> {
    const { home, tokenFile, address } = this.#host;
    const { envVars, weight, priority, maxCpus, maxMemory, maxStore } = submission;
    const terms = { weight, priority, maxCpus, maxMemory, maxStore };
    const places = placesOf(home, jobId);
    await mkdir(places.folder, { recursive: true, mode: 0o700 });
    await removeTraces(places);
    // Of a run that an earlier daemon had begun and could not tell of.
    await rm(places.log, { recursive: true, force: true });
    const token = jobToken(readTokenFile(tokenFile), jobId).expose();
    await writeFile(places.token, `${token}\n`, { mode: 0o600, flag: "wx" });
    const environment = prepared === undefined ? undefined : asHere(prepared);
    const file: JobFile = { jobId, address: address(), environment, envVars: envVars ?? {}, terms };
    await writeFile(places.file, JSON.stringify(file), { mode: 0o600 });
    if (prepared?.workDir !== undefined) return prepared.workDir;
    // Without a working directory of its own it has an empty one, from which `import "mobula"` works all the same.
    await mkdir(places.work, { mode: 0o700 });
    if (prepared?.packages !== undefined) await symlink(join(prepared.packages, "node_modules"), places.modules);
    else {
      await mkdir(places.modules, { mode: 0o700 });
      await symlink(realpathSync(fileURLToPath(new URL("../../..", import.meta.url))), join(places.modules, "mobula"));
    }
    return places.work;
  }

  #environment(jobId: JobId, { envVars }: Submission): NodeJS.ProcessEnv {
    const { home, address } = this.#host;
    const places = placesOf(home, jobId);
    const own = { MOBULA_ADDRESS: address(), MOBULA_HOME: home, MOBULA_TOKEN_FILE: places.token, [JOB_ID]: jobId, [JOB_FILE]: places.file };
    return { ...cleanEnvironment(), ...envVars, ...own };
  }

  #ended(jobId: JobId, how: JobEnd): void {
    const job = this.#jobs.get(jobId);
    if (job === undefined) return;
    this.#jobs.delete(jobId);
    this.#done.add(jobId);
    if (this.#done.size > DONE_MAX) this.#done.delete(this.#done.values().next().value!);
    if (job.held) this.#host.release(job.submission.environment!);
    this.#news(jobId, { kind: "ended", ...how, message: how.message.slice(0, MESSAGE_MAX) });
    this.#logs.ended(jobId).catch((error: Error) => this.#host.log(`logs of jobs: ${error.message}`));
  }

  async #supervisorLost(jobIds: readonly string[], how: string): Promise<void> {
    this.#host.log(`the supervisor of jobs is gone: ${how}`);
    for (const id of jobIds) {
      await this.#removeRun(id).catch((error: Error) => this.#host.log(`job ${id}: ${error.message}`));
      this.#ended(id as JobId, { status: "FAILED", message: `the process that supervised it is gone: ${how}` });
    }
  }

  /** What an earlier daemon of this folder, and its supervisor, had no time for. */
  async #clearUp(): Promise<void> {
    const { home } = this.#host;
    for (const id of await readdir(jobsFolder(home)).catch(() => [] as string[])) {
      if (!isJobId(id)) continue;
      const { token } = placesOf(home, id);
      if (await stat(token).catch(() => undefined)) await this.#removeRun(id);
    }
  }

  async #removeRun(jobId: string): Promise<void> {
    const places = placesOf(this.#host.home, jobId);
    const mark = parseMark(await readFile(places.mark, "utf8").catch(() => ""));
    if (mark !== undefined && isLiving(mark) === true) signalGroup(mark.pid, "SIGKILL");
    killJob(jobId);
    await removeTraces(places);
  }

  #news(jobId: string, news: Body<"jobNews">["news"]): void {
    if (!this.#over) this.#host.news({ jobId: jobId as JobId, news });
  }
}

/** What drivers of a job find in the file that MOBULA_JOB_FILE names: src/runtime/client/submitted.ts reads it. */
export interface JobFile {
  readonly jobId: string;
  /** The cluster that the job belongs to. */
  readonly address: string;
  /** The description of the environment that its work has. */
  readonly environment: string | undefined;
  readonly envVars: Readonly<Record<string, string>>;
  readonly terms: JobTerms;
}

/** The description, with the place that the job's program calls its files by. */
function asHere({ text, workDir }: PreparedEnvironment): string {
  if (workDir === undefined) return text;
  const description = JSON.parse(text) as { workingDir: object };
  return JSON.stringify({ ...description, workingDir: { ...description.workingDir, origin: `${pathToFileURL(workDir).href}/` } });
}
