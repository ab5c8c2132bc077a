/** A daemon in a process of its own, and this process as its driver. What it leaves behind can be asked. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { JobId, LeaseRequestId, NodeId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, MessageName } from "../../src/protocol/messages.ts";
import type { DaemonConfig, DaemonReport } from "../../src/runtime/daemon/config.ts";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { shape } from "./node-harness.ts";

const DEADLINE_MS = 20_000;
const JOB = "job1" as JobId;
const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

interface Waiting {
  readonly name: MessageName;
  readonly test: (body: never) => boolean;
  readonly resolve: (body: never) => void;
}

export class DaemonHarness {
  readonly sessionDir: string;
  readonly nodeId: NodeId;
  readonly child: ChildProcess;
  readonly driver = randomBytes(6).toString("hex") as ProcessId;
  readonly exited: Promise<number | null>;
  connection!: Connection;
  readonly #received: { name: MessageName; body: never }[] = [];
  readonly #waiting: Waiting[] = [];
  #requests = 0;
  #calls = 0;

  /** Its session folder is made in `parent`, unless `more` names another. */
  static async start(more: Partial<DaemonConfig> = {}, parent = tmpdir()): Promise<DaemonHarness> {
    const daemon = new DaemonHarness(more, parent);
    try {
      await daemon.#join();
      return daemon;
    } catch (error) {
      await daemon.cleanUp();
      throw error;
    }
  }

  async #join(): Promise<void> {
    const report = await this.#report();
    if ("error" in report) throw new Error(report.error);
    this.connection = new Connection(connect(report.socket), {
      message: (name, body) => this.#message(name, body),
      closed: () => {},
    });
    this.connection.send("driverHello", { processId: this.driver, jobId: JOB, pid: process.pid, namespace: "n", logToDriver: true });
    await this.next("welcome");
  }

  private constructor(more: Partial<DaemonConfig>, parent: string) {
    this.sessionDir = join(parent, `mobulatest-${randomBytes(4).toString("hex")}`);
    this.nodeId = more.nodeId ?? (randomBytes(6).toString("hex") as NodeId);
    const config: DaemonConfig = {
      sessionDir: this.sessionDir,
      nodeId: this.nodeId,
      jobId: JOB,
      namespace: "n",
      numCpus: 1,
      numGpus: 0,
      resources: {},
      objectStoreMemory: 16 << 20,
      labels: {},
      workerMain: path("./fixtures/fake-worker.ts"),
      workerExecArgv: ["--import", "tsx"],
      memoryThreshold: 0,
      ...more,
    };
    const main = path("../../src/runtime/daemon/main.ts");
    this.child = spawn(process.execPath, ["--import", "tsx", main], {
      env: { ...process.env, MOBULA_DAEMON_CONFIG: JSON.stringify(config) },
      stdio: ["pipe", "pipe", "inherit"],
      detached: true,
    });
    this.exited = new Promise((resolve) => this.child.on("exit", (code) => resolve(code)));
  }

  /** The next message of a name, received already or to come; it is taken. */
  next<N extends MessageName>(name: N, test: (body: Body<N>) => boolean = () => true): Promise<Body<N>> {
    const at = this.#received.findIndex((each) => each.name === name && test(each.body));
    if (at >= 0) return Promise.resolve(this.#received.splice(at, 1)[0]!.body as Body<N>);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no ${name} within ${DEADLINE_MS} ms`)), DEADLINE_MS);
      this.#waiting.push({
        name,
        test: test as (body: never) => boolean,
        resolve: (body) => {
          clearTimeout(timer);
          resolve(body);
        },
      });
    });
  }

  request(fake = ""): LeaseRequestId {
    const requestId = `r${this.#requests++}` as LeaseRequestId;
    const envVars = fake === "" ? undefined : { FAKE_WORKER: fake };
    this.connection.send("leaseRequest", { requestId, jobId: JOB, backlog: 1, shape: shape({ CPU: 1 }, { envVars, name: fake }) });
    return requestId;
  }

  /** A lease on a worker that does as it is told. */
  async lease(fake = ""): Promise<Body<"leaseGrant">> {
    const requestId = this.request(fake);
    return this.next("leaseGrant", (grant) => grant.requestId === requestId);
  }

  async ask(question: Body<"ask">["question"]): Promise<unknown> {
    const call = this.#calls++;
    this.connection.send("ask", { call, question });
    const { failure, body } = await this.next("answer", (answer) => answer.call === call);
    if (failure !== undefined) throw new Error(`${failure.code}: ${failure.message}`);
    return JSON.parse(body!);
  }

  /** Ends the daemon if it runs, for the end of a test. */
  async cleanUp(): Promise<void> {
    (this.connection as Connection | undefined)?.destroy();
    this.child.stdin!.destroy();
    if (this.child.exitCode === null && this.child.signalCode === null) {
      const timer = setTimeout(() => this.child.kill("SIGKILL"), DEADLINE_MS);
      await this.exited;
      clearTimeout(timer);
    }
    for (const pid of processesOf(this.sessionDir)) process.kill(pid, "SIGKILL");
    rmSync(this.sessionDir, { recursive: true, force: true });
  }

  /** What is left of it: its folder, and every process that was started with it. */
  leftovers(): string[] {
    return [...(existsSync(this.sessionDir) ? [this.sessionDir] : []), ...processesOf(this.sessionDir).map((pid) => `process ${pid}`)];
  }

  #report(): Promise<DaemonReport> {
    return new Promise((resolve, reject) => {
      let text = "";
      this.child.stdout!.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (text.includes("\n")) resolve(JSON.parse(text.slice(0, text.indexOf("\n"))) as DaemonReport);
      });
      this.child.on("exit", (code) => reject(new Error(`the daemon exited with code ${code} before it was ready`)));
    });
  }

  #message(name: MessageName, body: never): void {
    const at = this.#waiting.findIndex((each) => each.name === name && each.test(body));
    if (at >= 0) this.#waiting.splice(at, 1)[0]!.resolve(body);
    else this.#received.push({ name, body });
  }
}

/** Processes, but this one, whose environment names the session. */
export function processesOf(sessionDir: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      if (pid === process.pid) return false;
      try {
        const state = readFileSync(`/proc/${pid}/stat`, "latin1");
        return !/\) Z /.test(state) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(sessionDir);
      } catch {
        return false;
      }
    });
}
