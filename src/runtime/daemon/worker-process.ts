/**
 * One worker process as a child of the daemon: started in a session of its own, its exit kept until somebody asks.
 * Imports next to nothing, because the first ones are started before the rest of the daemon is loaded.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import type { ProcessId } from "../../protocol/ids.ts";
import type { PreparedEnvironment } from "../environments/index.ts";
import { splitPreloads } from "../flags.ts";
import { jobOf } from "../job.ts";
import type { Job } from "../job.ts";
import { nodeSocketOf, WORKER_CONFIG, workerReachOf } from "./config.ts";
import type { DaemonConfig, WorkerConfig } from "./config.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It could not even be started. */
  readonly error: Error | undefined;
}

export class WorkerProcess {
  readonly id: ProcessId;
  /** Undefined where it could not be started. */
  readonly child: ChildProcess | undefined;
  /** What it serves, where a node serves many. */
  readonly job: Job | undefined;
  #exit: Exit | undefined;
  #onExit: ((exit: Exit) => void) | undefined;

  constructor(config: DaemonConfig, id: ProcessId, variables: Readonly<Record<string, string>>, environment?: PreparedEnvironment) {
    this.id = id;
    const { sessionDir, workerMain, workerConfig } = config;
    const { job, envVars } = jobOf(variables);
    this.job = job;
    const workerExecArgv = job?.execArgv ?? config.workerExecArgv;
    const { flags, preloads } = splitPreloads(workerExecArgv);
    // A worker of compiled files loads them itself, one of sources needs them to load at all.
    const execArgv = workerMain.endsWith(".js") ? flags : workerExecArgv;
    const loading = { execArgv: workerExecArgv, preloads: execArgv === flags ? preloads : [] };
    const place = { processId: id, sessionDir, nodeSocket: nodeSocketOf(sessionDir), nodePid: process.pid, nodeFolder: process.cwd() };
    const own: WorkerConfig = {
      ...place,
      ...loading,
      reach: workerReachOf(config),
      envVars,
      ...(environment === undefined ? {} : { environment }),
    };
    const served = job === undefined ? {} : { jobId: job.jobId, namespace: job.namespace, entry: job.entry, job };
    const settings = { [WORKER_CONFIG]: JSON.stringify({ ...workerConfig, ...served, ...own }) };
    const env: NodeJS.ProcessEnv = { ...process.env, ...(job?.envVars ?? config.envVars), ...envVars, ...settings };
    // A process group of its own: no Ctrl-C of the terminal reaches it, and what it starts can be ended with it.
    try {
      const child = spawn(process.execPath, [...execArgv, workerMain], {
        cwd: environment?.workDir,
        env,
        stdio: ["ignore", "pipe", "pipe"],
        detached: true,
      });
      child.on("exit", (code, signal) => this.#exited({ code, signal, error: undefined }));
      child.on("error", (error) => {
        if (child.pid === undefined) this.#exited({ code: null, signal: null, error });
      });
      this.child = child;
    } catch (error) {
      // Some reasons come at once: too long an environment, too little memory.
      this.#exited({ code: null, signal: null, error: error as Error });
    }
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  get exited(): boolean {
    return this.#exit !== undefined;
  }

  /** Called once, also when it has exited before. */
  whenExited(listener: (exit: Exit) => void): void {
    this.#onExit = listener;
    if (this.#exit !== undefined) listener(this.#exit);
  }

  /** At once, with everything in its process group. */
  kill(): void {
    killGroup(this.child?.pid);
  }

  #exited(exit: Exit): void {
    if (this.#exit !== undefined) return;
    this.#exit = exit;
    // What it started and left behind would be an orphan.
    killGroup(this.child?.pid);
    this.#onExit?.(exit);
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}
