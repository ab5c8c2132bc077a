/** A head for the tests of one file, and its HTTP API as programs call it. */
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import type { TestContext } from "node:test";
import type { Job } from "../../src/protocol/job.ts";
import { nodesHere } from "../../src/runtime/client/nodes-here.ts";
import { Home } from "../cli/home.ts";
import { tarGzip } from "../environments/archives.ts";
import { waitUntil } from "../harness/index.ts";

export interface Answer<T = unknown> {
  readonly status: number;
  readonly value: T;
  readonly headers: Headers;
}

export interface Head {
  readonly address: string;
  readonly nodeId: string;
  readonly pid: number;
  readonly dashboardUrl: string;
  readonly tokenFile: string;
}

export type { Job };
interface Refusal {
  readonly error: { readonly code: string; readonly message: string; readonly field?: string };
}

export class Api {
  readonly home: Home;
  head!: Head;

  constructor(t: { after(fn: () => void): void }) {
    this.home = new Home(t as TestContext);
    this.start();
  }

  /** Starts the head, perhaps again. */
  start(...words: string[]): void {
    const first = this.head === undefined ? ["--port", "0", "--dashboard-port", "0", "--num-cpus", "2"] : [];
    this.head = this.home.json<Head>("start", "--head", ...first, ...words);
  }

  get token(): string {
    return fs.readFileSync(this.head.tokenFile, "utf8").trim();
  }

  async fetch(method: string, route: string, options: { body?: unknown; token?: string | null; headers?: Record<string, string> } = {}) {
    const { body, token = this.token, headers = {} } = options;
    const bytes = body instanceof Uint8Array || body === undefined;
    return await fetch(new URL(route, this.head.dashboardUrl), {
      method,
      headers: {
        // Heads come and go, at one port.
        connection: "close",
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
        ...(bytes ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: bytes ? (body as Uint8Array<ArrayBuffer>) : JSON.stringify(body) }),
      signal: AbortSignal.timeout(60_000),
    });
  }

  async call<T = Refusal>(...request: Parameters<Api["fetch"]>): Promise<Answer<T>> {
    const response = await this.fetch(...request);
    return { status: response.status, value: (await response.json()) as T, headers: response.headers };
  }

  async submit(body: Record<string, unknown>): Promise<string> {
    const { status, value } = await this.call<{ jobId: string; status: string }>("POST", "/api/jobs", { body });
    if (status !== 201) throw new Error(`the job was refused: ${status} ${JSON.stringify(value)}`);
    return value.jobId;
  }

  async job(id: string): Promise<Job> {
    return (await this.call<Job>("GET", `/api/jobs/${id}`)).value;
  }

  /** Until it has ended, or has this status. */
  async until(id: string, status?: Job["status"], timeoutMs = 60_000): Promise<Job> {
    let job: Job | undefined;
    await waitUntil(
      async () => {
        job = await this.job(id);
        return status === undefined ? job.endedAt !== null : job.status === status;
      },
      `job ${id} ${status === undefined ? "has ended" : `is ${status}`}`,
      { timeoutMs, story: () => JSON.stringify(job) },
    );
    return job!;
  }

  async log(id: string, query = ""): Promise<string> {
    const response = await this.fetch("GET", `/api/jobs/${id}/logs${query}`);
    const text = await response.text();
    if (response.status !== 200) throw new Error(`there is no log: ${response.status} ${text}`);
    return text;
  }

  /** Runs it to its end. */
  async run(body: Record<string, unknown>): Promise<Job & { log: string }> {
    const id = await this.submit(body);
    const log = await this.log(id, "?follow=1");
    return { ...(await this.until(id)), log };
  }

  /** Uploads these files as a tar.gz, and gives its hash. */
  async upload(files: Readonly<Record<string, string>>): Promise<string> {
    const bytes = tarGzip(Object.entries(files).map(([name, content]) => ({ path: name, content })));
    const hash = sha256(bytes);
    const { status, value } = await this.call("PUT", `/api/packages/${hash}`, { body: bytes });
    if (status !== 201 && status !== 200) throw new Error(`the package was refused: ${JSON.stringify(value)}`);
    return hash;
  }

  get folder(): string {
    return this.home.dir;
  }

  /** Processes of the head's machine by what their command line says. */
  processes(kind: "control/main" | "dashboard/main" | "jobs/supervisor-main"): number[] {
    const [node] = nodesHere(this.home.dir);
    return fs
      .readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => {
        try {
          const command = fs.readFileSync(`/proc/${name}/cmdline`, "utf8");
          const parent = / (\d+) \d+/.exec(fs.readFileSync(`/proc/${name}/stat`, "utf8").replace(/^.*\) /, ""))?.[1];
          return command.includes(path.join("dist/runtime", `${kind}.js`)) && Number(parent) === node?.pid;
        } catch {
          return false;
        }
      })
      .map(Number);
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
