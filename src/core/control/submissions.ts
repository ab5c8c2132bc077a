/**
 * Submitted jobs between their submission and their end: which starts next, on which node, and what becomes of it when that node, or
 * control, is gone. The node makes the environment, runs the entry point and reports (src/runtime/jobs); here is what is decided, and all
 * of it follows from the records of the jobs: a control that goes on finds each where it was.
 *
 * A job that waits has no node. One that is PENDING with a node was ordered there. It is RUNNING when the node says so, and over once:
 * what the node says after that changes nothing.
 */
import type { JobId, NodeId } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import type { Jobs, JobEnd, Submission } from "./jobs.ts";

export interface SubmissionsPort {
  order(to: NodeId, body: Body<"jobOrder">): void;
  /** The node whose daemon runs entry points, if it is there and takes work. */
  head(): NodeView | undefined;
  /** A driver that such a job has started is to end: its node cuts it off. */
  endDriver(driver: Body<"jobStart">["job"]): void;
  event(kind: string, jobId: JobId, message: string): void;
  /** Milliseconds since 1970. */
  clock(): number;
}

/** Entry points that run at a time; what comes after them waits its turn. */
const RUNNING_MAX = 100;
/** Jobs that wait. More are refused: whoever submits in a loop hears of it. */
const WAITING_MAX = 10_000;

const MAKING = "its environment is being made";
const NO_HEAD = "it waits for the head, whose daemon runs the entry points of jobs: there is none now";
const ITS_TURN = "it waits for its turn: as many jobs run as may at a time";

export class Submissions {
  readonly #jobs: Jobs;
  readonly #port: SubmissionsPort;
  readonly #runningMax: number;
  readonly #waitingMax: number;

  constructor(jobs: Jobs, port: SubmissionsPort, { runningMax = RUNNING_MAX, waitingMax = WAITING_MAX } = {}) {
    this.#jobs = jobs;
    this.#port = port;
    this.#runningMax = runningMax;
    this.#waitingMax = waitingMax;
  }

  /** A repeat of what is there already is taken for that. */
  submit(id: JobId, submission: Submission): "taken" | "full" {
    if (this.#jobs.submittedJob(id) !== undefined) return "taken";
    if (this.#jobs.openCount >= this.#waitingMax + this.#runningMax) return "full";
    this.#jobs.submit(id, submission, this.#port.clock());
    this.#port.event("job-submitted", id, `job ${id} was submitted`);
    this.look();
    return "taken";
  }

  /** False for one that is not there. One that is over stays as it is. */
  stop(id: JobId): boolean {
    const job = this.#jobs.submittedJob(id);
    if (job === undefined) return false;
    if (!this.#jobs.isOpen(id)) return true;
    if (job.nodeId === undefined) this.#end(id, { status: "STOPPED", message: "it was stopped before it was started" });
    else {
      this.#jobs.stopping(id);
      this.#port.order(job.nodeId, { jobId: id, order: { kind: "stop" } });
    }
    return true;
  }

  /** Takes one that is over out of the list, and its log with it. */
  remove(id: JobId): "removed" | "not there" | "not over" {
    const job = this.#jobs.submittedJob(id);
    if (job === undefined) return "not there";
    if (!this.#jobs.remove(id)) return "not over";
    this.forgotten(id);
    return "removed";
  }

  /** Nobody will ask for its log: whichever head has it removes it. */
  forgotten(id: JobId): void {
    const head = this.#port.head();
    if (head !== undefined) this.#port.order(head.nodeId, { jobId: id, order: { kind: "forget" } });
  }

  news(from: NodeId, { jobId, news }: Body<"jobNews">): void {
    const job = this.#jobs.submittedJob(jobId);
    // Of a node that was given up, or of a control that had kept nothing.
    if (job?.nodeId !== from || !this.#jobs.isOpen(jobId)) return;
    if (news.kind === "started") {
      this.#jobs.started(jobId, from, this.#port.clock());
      return;
    }
    const { status, message, exitCode } = news;
    this.#end(jobId, { status, message, exitCode });
  }

  /** The node has joined, perhaps again: what it had not heard it is told, and what it has lost is over. */
  rejoined(nodeId: NodeId, entries: readonly JobId[]): void {
    const there = new Set(entries);
    for (const [id, job] of this.#jobs.open) {
      if (job.nodeId !== nodeId) continue;
      if (there.has(id)) {
        if (job.stopping === true) this.#port.order(nodeId, { jobId: id, order: { kind: "stop" } });
      } else if (job.status === "RUNNING") {
        this.#end(id, { status: "FAILED", message: "the node that ran it does not know of it any more" });
      } else if (job.stopping === true) {
        this.#end(id, { status: "STOPPED", message: "it was stopped before it was started" });
      } else this.#run(id, nodeId);
    }
    for (const id of there) {
      const known = this.#jobs.submittedJob(id);
      if (known?.nodeId !== nodeId || !this.#jobs.isOpen(id)) this.#port.order(nodeId, { jobId: id, order: { kind: "stop" } });
    }
    this.look();
  }

  nodeLost(nodeId: NodeId, why: string): void {
    for (const [id, job] of this.#jobs.open) if (job.nodeId === nodeId) this.#lost(id, why);
    this.look();
  }

  /** Nodes of jobs, for those that are gone to be found. */
  nodes(): NodeId[] {
    return [...new Set(this.#jobs.open.flatMap(([, { nodeId }]) => nodeId ?? []))];
  }

  /** Starts what may start. */
  look(): void {
    const waiting = this.#jobs.open.filter(([, { nodeId }]) => nodeId === undefined);
    if (waiting.length === 0) return;
    const head = this.#port.head();
    let room = this.#runningMax - (this.#jobs.openCount - waiting.length);
    // The sort is stable: of equals the first goes first.
    waiting.sort(([, a], [, b]) => b.submission.priority - a.submission.priority);
    for (const [id] of waiting) {
      if (head !== undefined && room-- > 0) this.#run(id, head.nodeId);
      else this.#jobs.assigned(id, undefined, head === undefined ? NO_HEAD : ITS_TURN);
    }
  }

  #run(id: JobId, nodeId: NodeId): void {
    const { submission } = this.#jobs.submittedJob(id)!;
    this.#jobs.assigned(id, nodeId, MAKING);
    this.#port.order(nodeId, { jobId: id, order: { kind: "run", submission } });
  }

  #lost(id: JobId, why: string): void {
    const job = this.#jobs.submittedJob(id)!;
    if (job.status === "RUNNING") this.#end(id, { status: "FAILED", message: `the node that ran it is gone: ${why}` });
    else if (job.stopping === true) this.#end(id, { status: "STOPPED", message: "it was stopped before it was started" });
    else this.#jobs.assigned(id, undefined, NO_HEAD);
  }

  #end(id: JobId, how: JobEnd): void {
    if (!this.#jobs.ended(id, how, this.#port.clock())) return;
    this.#port.event("job-ended", id, `job ${id} has ended: ${how.status}, ${how.message}`.slice(0, 1000));
    for (const driver of this.#jobs.driversOf(id)) this.#port.endDriver(driver);
    this.look();
  }
}
