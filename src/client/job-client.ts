/** The client of submitted jobs: one method for each thing that the HTTP API does. */
import { explain, JobError } from "../errors/index.ts";
import { followLog } from "./follow.ts";
import { ask, baseOf, send } from "./http.ts";
import type { Body, HttpOptions } from "./http.ts";
import { pause } from "./pause.ts";
import type { ClusterState, Job, JobOptions, SubmittedJob, UploadedPackage } from "./types.ts";

export interface JobClientOptions {
  /** Of the cluster's HTTP API, such as `http://127.0.0.1:8265`. */
  readonly address: string;
  /** The cluster's, as in the file named token; or a job's own. */
  readonly token?: string;
  /** In place of the global one, for example one that knows a certificate authority. */
  readonly fetch?: typeof fetch;
  /** An answer has begun within this time. Default 30,000. */
  readonly timeoutMs?: number;
}

export interface RequestOptions {
  readonly signal?: AbortSignal;
}
export interface LogOptions extends RequestOptions {
  readonly follow?: false;
}
export interface FollowOptions extends RequestOptions {
  readonly follow: true;
}
export interface UploadOptions extends RequestOptions {
  /** Of the bytes, where that is known already; needed for a stream. */
  readonly sha256?: string;
}
export interface WaitOptions extends RequestOptions {
  /** Gives up after so long, with a `JobError` whose reason is "TIMEOUT". Default: never. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 30_000;
const LOOK_MIN_MS = 100;
const LOOK_MAX_MS = 2_000;

/**
 * Submits jobs to a cluster over HTTP, and looks after them; from Node and from web pages. Every failure is a `JobError`.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { JobClient, JobError } from "mobula/client";
 *
 * const token = (await readFile("token", "utf8")).trim();
 * const client = new JobClient({ address: "http://127.0.0.1:8265", token });
 *
 * const { jobId } = await client.submit({ entrypoint: "echo hello", name: "greeting" });
 * for await (const text of client.logs(jobId, { follow: true })) console.log(text.trim()); // hello
 * console.log((await client.status(jobId)).status); // SUCCEEDED
 *
 * const failed = await client.submit({ entrypoint: "exit 3" });
 * console.log((await client.wait(failed.jobId)).exitCode); // 3
 *
 * const wrong = new JobClient({ address: "http://127.0.0.1:8265", token: "guessed" });
 * await wrong.list().catch((error) => console.log(error instanceof JobError, error.status)); // true 403
 * ```
 */
export class JobClient {
  readonly #http: HttpOptions;
  readonly #timeoutMs: number;

  constructor({ address, token, fetch: own, timeoutMs = TIMEOUT_MS }: JobClientOptions) {
    // A browser's must be called as its window's.
    this.#http = { base: baseOf(address), token, fetch: own ?? ((...request) => fetch(...request)) };
    this.#timeoutMs = timeoutMs;
  }

  /** Resolves once the job is in the cluster's state: it runs even if its submitter and the head end now. */
  submit(job: JobOptions, { signal }: RequestOptions = {}): Promise<SubmittedJob> {
    return this.#ask({ method: "POST", path: "api/jobs", json: job, signal });
  }

  /** Submitted jobs, the latest first: at most `limit`, 1000 unless told otherwise. */
  list({ limit, signal }: RequestOptions & { readonly limit?: number } = {}): Promise<Job[]> {
    return this.#ask({ method: "GET", path: limit === undefined ? "api/jobs" : `api/jobs?limit=${limit}`, signal });
  }

  status(jobId: string, { signal }: RequestOptions = {}): Promise<Job> {
    return this.#ask({ method: "GET", path: pathOf(jobId), jobId, signal });
  }

  /** What the job has printed, stdout and stderr; with `follow` in parts as they come, until the job has ended. */
  logs(jobId: string, options: FollowOptions): AsyncGenerator<string, void, undefined>;
  logs(jobId: string, options?: LogOptions): Promise<string>;
  logs(jobId: string, { follow, signal }: LogOptions | FollowOptions = {}): AsyncGenerator<string, void, undefined> | Promise<string> {
    if (follow === true) return followLog(this.#http, jobId, `${pathOf(jobId)}/logs`, this.#timeoutMs, signal);
    return this.#text(jobId, signal);
  }

  /** Ends a job. Resolves when it has ended, or is about to; a job that has ended stays as it is. */
  stop(jobId: string, { signal }: RequestOptions = {}): Promise<Job> {
    return this.#ask({ method: "POST", path: `${pathOf(jobId)}/stop`, jobId, signal });
  }

  /** Takes a job that has ended out of the list, with its log. */
  delete(jobId: string, { signal }: RequestOptions = {}): Promise<Job> {
    return this.#ask({ method: "DELETE", path: pathOf(jobId), jobId, signal });
  }

  /** Resolves with the job when it has ended, however it did. */
  async wait(jobId: string, { signal, timeoutMs = Infinity }: WaitOptions = {}): Promise<Job> {
    const until = Date.now() + timeoutMs;
    for (let pauseMs = LOOK_MIN_MS; ; pauseMs = Math.min(LOOK_MAX_MS, pauseMs * 1.5)) {
      const job = await this.status(jobId, signal === undefined ? {} : { signal });
      if (job.endedAt !== null) return job;
      const left = until - Date.now();
      if (left <= 0) {
        const what = `Job ${jobId} is ${job.status} after ${timeoutMs} ms`;
        throw new JobError(explain(what, "", "Wait longer, or stop it"), { address: this.#http.base.origin, reason: "TIMEOUT", jobId });
      }
      await pause(Math.min(pauseMs, left), signal);
    }
  }

  /**
   * Uploads a package, a zip or tar.gz, for `runtimeEnv.workingDir` of jobs; what is there already is not sent again.
   */
  async upload(bytes: Body, options: UploadOptions = {}): Promise<UploadedPackage> {
    const { signal } = options;
    const sha256 = options.sha256 ?? (await hashOf(bytes));
    const path = `api/packages/${encodeURIComponent(sha256)}`;
    try {
      return await this.#ask({ method: "GET", path, signal });
    } catch (error) {
      if (!(error instanceof JobError) || error.status !== 404) throw error;
    }
    // It takes as long as it takes.
    return await ask(this.#http, { method: "PUT", path, bytes, signal });
  }

  /** Nodes, resources, and what waits for what. */
  cluster({ signal }: RequestOptions = {}): Promise<ClusterState> {
    return this.#ask({ method: "GET", path: "api/cluster", signal });
  }

  #ask<T>(asked: Parameters<typeof ask>[1]): Promise<T> {
    return ask<T>(this.#http, { ...asked, timeoutMs: this.#timeoutMs });
  }

  async #text(jobId: string, signal: AbortSignal | undefined): Promise<string> {
    const response = await send(this.#http, { method: "GET", path: `${pathOf(jobId)}/logs`, jobId, signal, timeoutMs: this.#timeoutMs });
    return await response.text();
  }
}

const pathOf = (jobId: string): string => `api/jobs/${encodeURIComponent(jobId)}`;

async function hashOf(bytes: Body): Promise<string> {
  const refuse = (why: string): never => {
    throw new JobError(explain("The package cannot be uploaded", why, "Pass its hash as the option `sha256`"), { reason: "NO_HASH" });
  };
  if (typeof ReadableStream === "function" && bytes instanceof ReadableStream) return refuse("it is a stream, whose hash is not known");
  // Web pages that did not come by https have none.
  const subtle = (globalThis as { crypto?: { subtle?: { digest(name: string, bytes: ArrayBuffer | Uint8Array): Promise<ArrayBuffer> } } })
    .crypto?.subtle;
  if (subtle === undefined) return refuse("this page is no secure context, and cannot make its hash");
  const whole = bytes instanceof Blob ? await bytes.arrayBuffer() : (bytes as Uint8Array | ArrayBuffer);
  const digest = new Uint8Array(await subtle.digest("SHA-256", whole));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
