/**
 * The jobs of the cluster: drivers, each a job of its own from when it joined to when it is gone, and submitted ones, whose entry point
 * somebody else starts and reports on. Ended jobs are listed until there are too many.
 */
import type { JobId, NodeId, ProcessId } from "../../protocol/ids.ts";
import type { JobDescription } from "../../protocol/cluster.ts";
import { Remembered } from "./remembered.ts";
import { saved } from "./tables.ts";
import type { Keep, RecordOf, SavedTables } from "./tables.ts";

export type JobRecord = RecordOf<"job">;
export type JobStatus = JobRecord["status"];
/** What a job is submitted with. */
export type Submission = NonNullable<JobRecord["submission"]>;

const ENDED_MAX = 10_000;

export class Jobs {
  readonly #keep: Keep;
  readonly #jobs = new Map<JobId, JobRecord>();
  readonly #ended: Remembered<JobId>;

  constructor(keep: Keep, endedMax = ENDED_MAX) {
    this.#keep = keep;
    this.#ended = new Remembered<JobId>(endedMax, (id) => {
      this.#jobs.delete(id);
      keep("job", id);
    });
  }

  /** Drivers that are there. */
  get drivers(): JobDescription[] {
    return [...this.#jobs.values()].flatMap(({ driver, status }) => (driver !== undefined && status === "RUNNING" ? [driver] : []));
  }

  get all(): ReadonlyMap<JobId, JobRecord> {
    return this.#jobs;
  }

  isRunning(id: JobId): boolean {
    return this.#jobs.get(id)?.status === "RUNNING";
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

  /** False when that id is taken. */
  submit(id: JobId, submission: Submission, at: number): boolean {
    if (this.#jobs.has(id)) return false;
    this.#set(id, { submission, status: "PENDING", message: "it waits to be started", submittedAt: at, over: 0 });
    return true;
  }

  /** Its entry point runs, on this node. */
  started(id: JobId, nodeId: NodeId | undefined, at: number): boolean {
    const job = this.#jobs.get(id);
    if (job?.status !== "PENDING") return false;
    this.#set(id, { ...job, status: "RUNNING", message: "", nodeId, startedAt: at });
    return true;
  }

  ended(id: JobId, how: { status: "SUCCEEDED" | "FAILED" | "STOPPED"; message: string; exitCode?: number }, at: number): boolean {
    return this.#end(id, how, at);
  }

  /** Takes an ended job out of the list; false for one that is not there or has not ended. */
  remove(id: JobId): boolean {
    if (!this.#ended.delete(id)) return false;
    this.#jobs.delete(id);
    this.#keep("job", id);
    return true;
  }

  /** Submitted jobs whose entry point ran on this node. */
  runningOn(nodeId: NodeId): JobId[] {
    return [...this.#jobs].flatMap(([id, job]) => (job.status === "RUNNING" && job.nodeId === nodeId ? [id] : []));
  }

  saved(id: JobId): Uint8Array | undefined {
    const job = this.#jobs.get(id);
    return job && saved("job", { ...job, over: this.#ended.numberOf(id) ?? 0 });
  }

  restore(tables: SavedTables): void {
    const ended: [JobId, number][] = [];
    for (const [key, job] of tables.read("job")) {
      this.#jobs.set(key as JobId, job);
      if (isOver(job.status)) ended.push([key as JobId, job.over]);
    }
    this.#ended.restore(ended);
  }

  check(): void {
    for (const [id, { status, driver, submission }] of this.#jobs) {
      if (isOver(status) !== this.#ended.has(id)) throw new Error(`job ${id} is ${status} and listed otherwise`);
      if ((driver === undefined) === (submission === undefined)) throw new Error(`job ${id} is neither a driver nor submitted, or both`);
    }
  }

  #end(id: JobId, how: { status: JobStatus; message: string; exitCode?: number | undefined }, at: number): boolean {
    const job = this.#jobs.get(id);
    if (job === undefined || isOver(job.status)) return false;
    this.#set(id, { ...job, ...how, endedAt: at });
    this.#ended.add(id);
    return true;
  }

  #set(id: JobId, job: JobRecord): void {
    this.#jobs.set(id, job);
    this.#keep("job", id);
  }
}

const isOver = (status: JobStatus): boolean => status !== "PENDING" && status !== "RUNNING";

/** Of a job that is a driver. */
export const driverOf = (job: JobRecord): ProcessId | undefined => job.driver?.driver;
