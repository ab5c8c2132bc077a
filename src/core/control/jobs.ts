/**
 * The jobs of the cluster: drivers, each a job of its own from when it joined to when it is gone, and submitted ones, whose entry point
 * runs on a node (submissions.ts decides where and when). Ended jobs are listed until there are too many, or they are too large.
 */
import type { JobId, NodeId, ProcessId } from "../../protocol/ids.ts";
import type { JobDescription, Submission } from "../../protocol/cluster.ts";
import { Remembered } from "./remembered.ts";
import { saved } from "./tables.ts";
import type { Keep, RecordOf, SavedTables } from "./tables.ts";

export type JobRecord = RecordOf<"job">;
export type JobStatus = JobRecord["status"];
export type { Submission };
/** A record of a submitted job. */
export type SubmittedJob = JobRecord & { readonly submission: Submission };

export interface JobEnd {
  readonly status: "SUCCEEDED" | "FAILED" | "STOPPED";
  readonly message: string;
  readonly exitCode?: number | undefined;
}

const ENDED_MAX = 10_000;
/** Of ended jobs: what their submitters wrote, and how they ended. */
const ENDED_CHARACTERS = 64 * 1024 * 1024;

export class Jobs {
  readonly #keep: Keep;
  readonly #jobs = new Map<JobId, JobRecord>();
  readonly #endedDrivers: Remembered<JobId>;
  readonly #ended: Remembered<JobId>;
  readonly #charactersMax: number;
  /** Submitted and not over, in their order. */
  readonly #open = new Set<JobId>();
  #characters = 0;

  /** `forgotten` is told of submitted jobs that are listed no more. */
  constructor(
    keep: Keep,
    endedMax = ENDED_MAX,
    forgotten: (id: JobId, job: JobRecord) => void = () => {},
    charactersMax = ENDED_CHARACTERS,
  ) {
    this.#keep = keep;
    this.#charactersMax = charactersMax;
    this.#endedDrivers = new Remembered<JobId>(endedMax, (id) => this.#drop(id));
    this.#ended = new Remembered<JobId>(endedMax, (id) => {
      const job = this.#drop(id);
      if (job !== undefined) forgotten(id, job);
    });
  }

  /** Drivers that are there. */
  get drivers(): JobDescription[] {
    return [...this.#jobs.values()].flatMap(({ driver, status }) => (driver !== undefined && status === "RUNNING" ? [driver] : []));
  }

  get all(): ReadonlyMap<JobId, JobRecord> {
    return this.#jobs;
  }

  /** Submitted jobs that wait or run, in the order of their submission. */
  get open(): [id: JobId, job: SubmittedJob][] {
    return [...this.#open].map((id) => [id, this.#jobs.get(id) as SubmittedJob]);
  }

  get openCount(): number {
    return this.#open.size;
  }

  /** Submitted jobs, the latest first. */
  *submitted(): Generator<[id: JobId, job: SubmittedJob]> {
    for (const [id, job] of [...this.#jobs].reverse()) if (job.submission !== undefined) yield [id, job as SubmittedJob];
  }

  submittedJob(id: JobId): SubmittedJob | undefined {
    const job = this.#jobs.get(id);
    return job?.submission === undefined ? undefined : (job as SubmittedJob);
  }

  isRunning(id: JobId): boolean {
    return this.#jobs.get(id)?.status === "RUNNING";
  }

  /** A submitted job that waits or runs. */
  isOpen(id: JobId): boolean {
    return this.#open.has(id);
  }

  /** A driver has joined. False for one that is known already, or over. */
  driverJoined(driver: JobDescription, at: number): boolean {
    if (this.#jobs.has(driver.jobId)) return false;
    this.#set(driver.jobId, { driver, status: "RUNNING", message: "", submittedAt: at, startedAt: at, over: 0 });
    return true;
  }

  /** A driver is gone, however it ended: who submitted it has its exit code. */
  driverGone(id: JobId, at: number): void {
    this.#end(id, { status: "SUCCEEDED", message: "its driver has ended" }, at);
  }

  /** Drivers that are there and were started by a submitted job. */
  driversOf(submission: JobId): JobDescription[] {
    return this.drivers.filter((driver) => driver.submission === submission);
  }

  /** False when that id is taken. */
  submit(id: JobId, submission: Submission, at: number): boolean {
    if (this.#jobs.has(id)) return false;
    this.#open.add(id);
    this.#set(id, { submission, status: "PENDING", message: "it waits to be started", submittedAt: at, over: 0 });
    return true;
  }

  /** It is to run on this node, or on none yet. */
  assigned(id: JobId, nodeId: NodeId | undefined, message: string): void {
    const job = this.#jobs.get(id);
    if (job?.status !== "PENDING" || (job.nodeId === nodeId && job.message === message)) return;
    this.#set(id, { ...job, nodeId, message });
  }

  /** Its entry point runs, on this node. */
  started(id: JobId, nodeId: NodeId | undefined, at: number): boolean {
    const job = this.#jobs.get(id);
    if (job?.status !== "PENDING") return false;
    this.#set(id, { ...job, status: "RUNNING", message: job.stopping === true ? job.message : "", nodeId, startedAt: at });
    return true;
  }

  /** Its end was asked for. */
  stopping(id: JobId): void {
    const job = this.#jobs.get(id);
    if (job === undefined || isOver(job.status) || job.stopping === true) return;
    this.#set(id, { ...job, stopping: true, message: "it is being stopped" });
  }

  ended(id: JobId, how: JobEnd, at: number): boolean {
    return this.#end(id, how, at);
  }

  /** Takes an ended job out of the list; false for one that is not there or has not ended. */
  remove(id: JobId): boolean {
    if (!this.#ended.delete(id) && !this.#endedDrivers.delete(id)) return false;
    this.#drop(id);
    return true;
  }

  saved(id: JobId): Uint8Array | undefined {
    const job = this.#jobs.get(id);
    return job && saved("job", { ...job, over: this.#endedOf(job).numberOf(id) ?? 0 });
  }

  restore(tables: SavedTables): void {
    const ended: [JobId, number][] = [];
    const drivers: [JobId, number][] = [];
    const jobs = [...tables.read("job")].sort(([, a], [, b]) => a.submittedAt - b.submittedAt);
    for (const [key, job] of jobs) {
      const id = key as JobId;
      this.#jobs.set(id, job);
      if (isOver(job.status)) (job.submission === undefined ? drivers : ended).push([id, job.over]);
      else if (job.submission !== undefined) this.#open.add(id);
      if (job.submission !== undefined && isOver(job.status)) this.#characters += charactersOf(job);
    }
    this.#ended.restore(ended);
    this.#endedDrivers.restore(drivers);
  }

  check(): void {
    let characters = 0;
    for (const [id, job] of this.#jobs) {
      const { status, driver, submission } = job;
      if (isOver(status) !== this.#endedOf(job).has(id)) throw new Error(`job ${id} is ${status} and listed otherwise`);
      if ((driver === undefined) === (submission === undefined)) throw new Error(`job ${id} is neither a driver nor submitted, or both`);
      if ((submission !== undefined && !isOver(status)) !== this.#open.has(id))
        throw new Error(`job ${id} is ${status}, and open is otherwise`);
      if (submission !== undefined && isOver(status)) characters += charactersOf(job);
    }
    if (characters !== this.#characters) throw new Error(`ended jobs have ${characters} characters, counted are ${this.#characters}`);
  }

  #endedOf({ submission }: JobRecord): Remembered<JobId> {
    return submission === undefined ? this.#endedDrivers : this.#ended;
  }

  #end(id: JobId, how: JobEnd, at: number): boolean {
    const job = this.#jobs.get(id);
    if (job === undefined || isOver(job.status)) return false;
    const { submission } = job;
    // What only its run needed is not kept; among it may be secrets.
    const rest = submission === undefined ? {} : { submission: { ...submission, environment: undefined, envVars: undefined } };
    const over: JobRecord = { ...job, ...rest, ...how, stopping: undefined, endedAt: at };
    this.#set(id, over);
    this.#open.delete(id);
    if (submission === undefined) {
      this.#endedDrivers.add(id);
      return true;
    }
    this.#characters += charactersOf(over);
    this.#ended.add(id);
    while (this.#characters > this.#charactersMax && this.#ended.size > 1) this.#ended.forgetOldest();
    return true;
  }

  #drop(id: JobId): JobRecord | undefined {
    const job = this.#jobs.get(id);
    if (job?.submission !== undefined) this.#characters -= charactersOf(job);
    this.#jobs.delete(id);
    this.#keep("job", id);
    return job;
  }

  #set(id: JobId, job: JobRecord): void {
    this.#jobs.set(id, job);
    this.#keep("job", id);
  }
}

export const isOver = (status: JobStatus): boolean => status !== "PENDING" && status !== "RUNNING";

function charactersOf({ submission, message }: JobRecord): number {
  const { entrypoint = [], metadata = {}, name = "" } = submission ?? {};
  const words = [...entrypoint, ...Object.entries(metadata).flat(), name, message];
  return words.reduce((sum, word) => sum + word.length, 200);
}

/** Of a job that is a driver. */
export const driverOf = (job: JobRecord): ProcessId | undefined => job.driver?.driver;
