/** The log of a job as a stream to whoever asked: what is there, and with `follow` what comes, until the job has ended. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { ServerResponse } from "node:http";
import type { Job } from "../../protocol/job.ts";
import type { JobAnswer } from "../control/job-questions.ts";
import { placesOf } from "../jobs/folders.ts";
import { readLog } from "../jobs/log-parts.ts";
import type { ControlClient } from "./control-client.ts";
import { defaultLimits } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { busy, HttpError } from "./refusal.ts";

const LOOK_MIN_MS = 50;
const LOOK_MAX_MS = 500;

interface Followed {
  followers: number;
  /** Fulfilled when the job has ended, or is not there any more. */
  ended: Promise<void>;
}

export class LogStreams {
  readonly #home: string;
  readonly #nodeId: string;
  readonly #control: Pick<ControlClient, "ask">;
  /** By job: all its followers ask together. */
  readonly #followed = new Map<string, Followed>();
  readonly #limits: Limits;
  #readers = 0;

  constructor(home: string, nodeId: string, control: Pick<ControlClient, "ask">, limits: Limits = defaultLimits) {
    this.#limits = limits;
    this.#home = home;
    this.#nodeId = nodeId;
    this.#control = control;
  }

  async send(response: ServerResponse, { jobId, status, nodeId }: Job, at: number, follow: boolean): Promise<void> {
    // A head that was started again in the same folder is another node, and has the logs of before.
    if (nodeId !== null && nodeId !== this.#nodeId && !existsSync(placesOf(this.#home, jobId).log)) {
      throw new HttpError(404, "LOG_ELSEWHERE", `The log of job ${jobId} lies with node ${nodeId}, which ran it, and not with this one.`);
    }
    if (this.#readers >= this.#limits.readers) throw busy(`${this.#limits.readers} logs are being read.`);
    this.#readers++;
    try {
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
      response.flushHeaders();
      if (response.req.method !== "HEAD") await this.#copy(response, jobId, at, follow ? status : undefined);
      response.end();
    } finally {
      this.#readers--;
    }
  }

  /** `status`: of a job that is followed. */
  async #copy(response: ServerResponse, jobId: string, from: number, status: Job["status"] | undefined): Promise<void> {
    const { log } = placesOf(this.#home, jobId);
    const followed = status === undefined ? undefined : this.#follow(jobId, status);
    try {
      await this.#copyUntil(response, log, from, followed?.ended);
    } finally {
      followed?.leave();
    }
  }

  /** `ended`: of a job that is followed. */
  async #copyUntil(response: ServerResponse, log: string, from: number, ended: Promise<void> | undefined): Promise<void> {
    const { stallMs } = this.#limits;
    const state = { over: ended === undefined };
    ended?.then(
      () => (state.over = true),
      () => undefined, // it is awaited below
    );
    let pause = LOOK_MIN_MS;
    for (let at = from; !response.destroyed;) {
      const { over } = state;
      const { bytes, next, missing } = await readLog(log, at);
      if (missing > 0) await write(response, Buffer.from(`[mobula: ${missing} bytes of the log are not kept]\n`), stallMs);
      if (bytes.byteLength > 0) {
        await write(response, bytes, stallMs);
        at = next;
        pause = LOOK_MIN_MS;
        continue;
      }
      // Nothing more was there after its end was known.
      if (over) return;
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, pause))]);
      pause = Math.min(LOOK_MAX_MS, pause * 1.5);
    }
  }

  /** Fulfilled when the job has ended. `leave` says that this follower waits no more. */
  #follow(jobId: string, status: Job["status"]): { readonly ended: Promise<void>; leave(): void } {
    let followed = this.#followed.get(jobId);
    if (followed === undefined) {
      const made = (followed = { followers: 0, ended: Promise.resolve() });
      this.#followed.set(jobId, made);
      made.ended = this.#awaitEnd(jobId, status, made).finally(() => {
        if (this.#followed.get(jobId) === made) this.#followed.delete(jobId);
      });
      made.ended.catch(() => undefined); // its followers hear of it
    }
    const mine = followed;
    mine.followers++;
    return { ended: mine.ended, leave: () => void mine.followers-- };
  }

  async #awaitEnd(jobId: string, status: Job["status"], followed: Followed): Promise<void> {
    for (let known = status; known === "PENDING" || known === "RUNNING";) {
      const answer = await this.#control.ask<JobAnswer>({ kind: "job", jobId, known });
      if (answer.kind !== "job") return;
      // A control of whom too many ask does not wait with its answer.
      if (answer.job.status === known) await new Promise((resolve) => setTimeout(resolve, LOOK_MIN_MS));
      known = answer.job.status;
      if (followed.followers > 0) continue;
      this.#followed.delete(jobId);
      return;
    }
  }
}

/** Whoever takes nothing for so long is let go. */
async function write(response: ServerResponse, bytes: Uint8Array, stallMs: number): Promise<void> {
  if (response.destroyed || response.write(bytes)) return;
  const stalled = setTimeout(() => response.destroy(), stallMs);
  try {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    await once(response, "drain", { signal: gone.signal }).catch(() => undefined); // it is gone
  } finally {
    clearTimeout(stalled);
  }
}
