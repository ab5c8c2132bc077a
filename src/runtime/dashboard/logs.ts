/** The log of a job as a stream to whoever asked: what is there, and with `follow` what comes, until the job has ended. */
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { ServerResponse } from "node:http";
import type { JobAnswer, JobInfo } from "../control/job-questions.ts";
import { placesOf } from "../jobs/folders.ts";
import { readLog } from "../jobs/log-parts.ts";
import type { ControlClient } from "./control-client.ts";
import { busy, HttpError } from "./refusal.ts";

const FOLLOWERS_MAX = 256;
/** A reader who takes nothing for so long is let go. */
const STALL_MS = 60_000;
const LOOK_MIN_MS = 50;
const LOOK_MAX_MS = 500;

export class LogStreams {
  readonly #home: string;
  readonly #nodeId: string;
  readonly #control: ControlClient;
  /** By job: fulfilled when it has ended, or is not there any more. Of all its followers together. */
  readonly #ends = new Map<string, Promise<void>>();
  #followers = 0;

  constructor(home: string, nodeId: string, control: ControlClient) {
    this.#home = home;
    this.#nodeId = nodeId;
    this.#control = control;
  }

  async send(response: ServerResponse, { jobId, status, nodeId }: JobInfo, at: number, follow: boolean): Promise<void> {
    // A head that was started again in the same folder is another node, and has the logs of before.
    if (nodeId !== null && nodeId !== this.#nodeId && !existsSync(placesOf(this.#home, jobId).log)) {
      throw new HttpError(404, "LOG_ELSEWHERE", `The log of job ${jobId} lies with node ${nodeId}, which ran it, and not with this one.`);
    }
    if (this.#followers >= FOLLOWERS_MAX) throw busy(`${FOLLOWERS_MAX} logs are being read.`);
    this.#followers++;
    try {
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
      response.flushHeaders();
      await this.#copy(response, jobId, at, follow ? status : undefined);
      response.end();
    } finally {
      this.#followers--;
    }
  }

  /** `status`: of a job that is followed. */
  async #copy(response: ServerResponse, jobId: string, from: number, status: JobInfo["status"] | undefined): Promise<void> {
    const { log } = placesOf(this.#home, jobId);
    const state = { over: status === undefined };
    const ended = status === undefined ? undefined : this.#endOf(jobId, status).then(() => (state.over = true));
    ended?.catch(() => undefined); // it is awaited below
    let pause = LOOK_MIN_MS;
    for (let at = from; !response.destroyed;) {
      const { over } = state;
      const { bytes, next, missing } = await readLog(log, at);
      if (missing > 0) await write(response, Buffer.from(`[mobula: ${missing} bytes of the log are not kept]\n`));
      if (bytes.byteLength > 0) {
        await write(response, bytes);
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

  #endOf(jobId: string, status: JobInfo["status"]): Promise<void> {
    const known = this.#ends.get(jobId);
    if (known !== undefined) return known;
    const end = this.#awaitEnd(jobId, status).finally(() => this.#ends.delete(jobId));
    this.#ends.set(jobId, end);
    return end;
  }

  async #awaitEnd(jobId: string, status: JobInfo["status"]): Promise<void> {
    for (let known = status; known === "PENDING" || known === "RUNNING";) {
      const answer = await this.#control.ask<JobAnswer>({ kind: "job", jobId, known });
      if (answer.kind !== "job") return;
      known = answer.job.status;
    }
  }
}

async function write(response: ServerResponse, bytes: Uint8Array): Promise<void> {
  if (response.destroyed || response.write(bytes)) return;
  const stalled = setTimeout(() => response.destroy(), STALL_MS);
  try {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    await once(response, "drain", { signal: gone.signal }).catch(() => undefined); // it is gone
  } finally {
    clearTimeout(stalled);
  }
}
