/**
 * One worker process of the daemon: in a session of its own, its exit kept until somebody asks. Imports next to nothing, because the
 * first ones are started before the rest of the daemon is loaded, and the very first by the program (first-worker.ts).
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { statSync } from "node:fs";
import type { Readable } from "node:stream";
import type { ProcessId } from "../../protocol/ids.ts";
import type { PreparedEnvironment } from "../environments/index.ts";
import { splitPreloads } from "../flags.ts";
import { jobOf } from "../job.ts";
import type { Job } from "../job.ts";
import { NO_TOKEN } from "../start-process.ts";
import { nodeSocketOf, WORKER_CONFIG, workerReachOf } from "./config.ts";
import type { DaemonConfig, WorkerConfig } from "./config.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** It could not even be started. */
  readonly error: Error | undefined;
}

/** A process that runs, whoever has started it. */
export interface Started {
  readonly pid: number | undefined;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Called once, with how it ended. */
  onExit(listener: (exit: Exit) => void): void;
  /** There is reason to think that it has ended. */
  suspect?(): void;
}

interface Variables {
  readonly [name: string]: string;
}

/**
 * Starts a worker of the node with this configuration: `processId` is its own, `variables` those beyond its job's. `early`: beside its
 * daemon, which may not serve yet.
 */
export function spawnWorker(
  config: DaemonConfig,
  processId: ProcessId,
  variables: Variables,
  environment?: PreparedEnvironment,
  early = false,
): ChildProcess {
  const { sessionDir, workerMain, workerConfig } = config;
  const { job, envVars } = jobOf(variables);
  const workerExecArgv = job?.execArgv ?? config.workerExecArgv;
  const { flags, preloads } = splitPreloads(workerExecArgv);
  // A worker of compiled files loads them itself, one of sources needs them to load at all.
  const execArgv = workerMain.endsWith(".js") ? flags : workerExecArgv;
  const own: WorkerConfig = {
    processId,
    sessionDir,
    nodeSocket: nodeSocketOf(sessionDir),
    nodeFolder: process.cwd(),
    ...(early ? { startedBy: process.pid } : {}),
    execArgv: workerExecArgv,
    preloads: execArgv === flags ? preloads : [],
    reach: workerReachOf(config),
    envVars,
    ...(environment === undefined ? {} : { environment }),
  };
  const served = job === undefined ? {} : { jobId: job.jobId, namespace: job.namespace, entry: job.entry, job };
  const settings = { [WORKER_CONFIG]: JSON.stringify({ ...workerConfig, ...served, ...own }) };
  // A process group of its own: no Ctrl-C of the terminal reaches it, and what it starts can be ended with it.
  return spawn(process.execPath, [...execArgv, workerMain], {
    cwd: environment?.workDir ?? folderHere(job),
    env: { ...process.env, ...NO_TOKEN, ...(job?.envVars ?? config.envVars), ...envVars, ...settings },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
}

/** The folder of a program that may have been started on another machine. */
function folderHere(job: Job | undefined): string | undefined {
  try {
    return job !== undefined && statSync(job.folder).isDirectory() ? job.folder : undefined;
  } catch {
    return undefined;
  }
}

export class WorkerProcess {
  readonly id: ProcessId;
  /** What it serves, where a node serves many. */
  readonly job: Job | undefined;
  /** Undefined where it could not be started. */
  readonly started: Started | undefined;
  #exit: Exit | undefined;
  #onExit: ((exit: Exit) => void) | undefined;

  constructor(id: ProcessId, job: Job | undefined, started: Started | Error) {
    this.id = id;
    this.job = job;
    if (started instanceof Error) this.#exited({ code: null, signal: null, error: started });
    else {
      this.started = started;
      started.onExit((exit) => this.#exited(exit));
    }
  }

  /** Starts it as a child of this process. */
  static start(config: DaemonConfig, id: ProcessId, variables: Variables, environment?: PreparedEnvironment): WorkerProcess {
    const { job } = jobOf(variables);
    try {
      return new WorkerProcess(id, job, startedChild(spawnWorker(config, id, variables, environment)));
    } catch (error) {
      // Some reasons come at once: too long an environment, too little memory.
      return new WorkerProcess(id, job, error as Error);
    }
  }

  get pid(): number | undefined {
    return this.started?.pid;
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
    killGroup(this.pid);
    this.started?.suspect?.();
  }

  #exited(exit: Exit): void {
    if (this.#exit !== undefined) return;
    this.#exit = exit;
    // What it started and left behind would be an orphan.
    killGroup(this.pid);
    this.#onExit?.(exit);
  }
}

function startedChild(child: ChildProcess): Started {
  let exited: (exit: Exit) => void = () => {};
  child.on("exit", (code, signal) => exited({ code, signal, error: undefined }));
  child.on("error", (error) => {
    if (child.pid === undefined) exited({ code: null, signal: null, error });
  });
  return { pid: child.pid, stdout: child.stdout!, stderr: child.stderr!, onExit: (listener) => (exited = listener) };
}

export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody is left in it.
  }
}
