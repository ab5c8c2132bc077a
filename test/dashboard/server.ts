/** The HTTP server in this process, with a control that answers what a test wants, for whatever needs no cluster. */
import net from "node:net";
import type { TestContext } from "node:test";
import type { Job } from "../../src/protocol/job.ts";
import { LogStreams } from "../../src/runtime/dashboard/logs.ts";
import { defaultLimits } from "../../src/runtime/dashboard/limits.ts";
import type { Limits } from "../../src/runtime/dashboard/limits.ts";
import { Packages } from "../../src/runtime/dashboard/packages.ts";
import { ApiServer } from "../../src/runtime/dashboard/server.ts";
import type { Question } from "../../src/runtime/network/index.ts";
import { Secret } from "../../src/runtime/network/index.ts";
import { freshFolder } from "../harness/index.ts";

export const TOKEN = "the-token-of-this-cluster";
export const JOB_ID = "job-0123456789abcdef";

export const aJob = (more: Partial<Job> = {}): Job => ({
  jobId: JOB_ID,
  status: "RUNNING",
  message: "",
  exitCode: null,
  entrypoint: "true",
  submittedAt: 1,
  startedAt: 2,
  endedAt: null,
  name: null,
  metadata: {},
  weight: 1,
  priority: 0,
  maxCpus: null,
  maxMemory: null,
  maxStore: null,
  nodeId: "n1",
  ...more,
});

export interface TestServer {
  readonly port: number;
  readonly url: string;
  readonly folder: string;
  readonly asked: Question[];
  readonly logged: string[];
  /** One request as bytes; everything that comes back until the server closes. */
  raw(bytes: string | Uint8Array): Promise<string>;
}

export async function serve(
  t: TestContext,
  options: { answer?: (question: Question) => unknown; limits?: Partial<Limits>; origins?: readonly string[] } = {},
): Promise<TestServer> {
  const asked: Question[] = [];
  const logged: string[] = [];
  const folder = freshFolder(t);
  const limits = { ...defaultLimits, ...options.limits };
  const control = {
    ask: <T>(question: Question): Promise<T> => {
      asked.push(question);
      return Promise.resolve().then(() => (options.answer?.(question) ?? { kind: "job", job: aJob() }) as T);
    },
  };
  const server = await ApiServer.start({
    host: "127.0.0.1",
    port: 0,
    token: new Secret(TOKEN),
    hosts: ["head.example"],
    origins: options.origins ?? [],
    parts: {
      control,
      packages: new Packages(`${folder}/packages`, () => Promise.resolve(new Set()), limits),
      logs: new LogStreams(folder, "n1", control, limits),
      version: "1.2.3",
    },
    limits,
    log: (line) => void logged.push(line),
  });
  t.after(() => server.close());
  const { port } = server;
  return { port, url: `http://127.0.0.1:${port}`, folder, asked, logged, raw: (bytes) => raw(port, bytes) };
}

function raw(port: number, bytes: string | Uint8Array): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = net.connect(port, "127.0.0.1", () => void socket.write(bytes));
    socket.setEncoding("latin1").on("data", (chunk: string) => (text += chunk));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ECONNRESET" || error.code === "EPIPE" ? undefined : reject(error),
    );
    socket.on("close", () => resolve(text));
  });
}

export const statusOf = (text: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1]);
