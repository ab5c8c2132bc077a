/**
 * The worker processes of this daemon: started, heard, ended. It says that a worker is gone only when its process has
 * exited and its output is read to the end; what became of its socket is the runner's to know.
 */
import type { JobId, ProcessId } from "../../protocol/ids.ts";
import type { DeathReason } from "../../protocol/messages.ts";
import type { PreparedEnvironment } from "../environments/index.ts";
import type { DaemonConfig } from "./config.ts";
import { deathReason, kernelKills } from "./death.ts";
import { LineReader } from "./output.ts";
import { WorkerProcess } from "./worker-process.ts";

export type StreamName = "stdout" | "stderr";

export interface ChildrenEvents {
  printed(worker: Child, stream: StreamName, lines: string[]): void;
  exited(id: ProcessId, pid: number | undefined, reason: DeathReason): void;
}

const LAST_LINES = 20;
const LAST_LINE_MAX = 2000;
/** Of all of them: they are in every error that the death of the process causes. */
const LAST_CHARACTERS = 10_000;
/** Pipes that somebody else has kept open are not waited for any longer. */
const DRAIN_MS = 250;

export class Child {
  readonly process: WorkerProcess;
  /** The task or actor that it runs, as it says. */
  title = "worker";
  registered = false;
  announced: DeathReason | undefined;
  killedFor: DeathReason | undefined;
  readonly lastLines: string[] = [];

  constructor(process: WorkerProcess) {
    this.process = process;
  }
}

export class Children {
  readonly #config: DaemonConfig;
  readonly #events: ChildrenEvents;
  readonly #children = new Map<ProcessId, Child>();
  /** As of when it was last read. Undefined until then: reading takes milliseconds, which the start does not have. */
  #kernelKills: number | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(config: DaemonConfig, events: ChildrenEvents) {
    this.#config = config;
    this.#events = events;
  }

  get(id: ProcessId): Child | undefined {
    return this.#children.get(id);
  }

  ofJob(jobId: JobId): ProcessId[] {
    return [...this.#children.values()].filter(({ process }) => process.job?.jobId === jobId).map(({ process }) => process.id);
  }

  spawn(id: ProcessId, envVars: Readonly<Record<string, string>>, environment?: PreparedEnvironment): void {
    this.adopt(WorkerProcess.start(this.#config, id, envVars, environment));
  }

  adopt(process: WorkerProcess): void {
    const child = new Child(process);
    this.#children.set(process.id, child);
    if (process.started === undefined) return process.whenExited(() => setImmediate(() => this.#gone(child)));
    const { stdout, stderr } = process.started;
    const out = new LineReader(stdout, (lines) => this.#events.printed(child, "stdout", lines));
    const err = new LineReader(stderr, (lines) => {
      for (const line of lines.slice(-LAST_LINES)) child.lastLines.push(line.slice(0, LAST_LINE_MAX));
      child.lastLines.splice(0, child.lastLines.length - LAST_LINES);
      let characters = child.lastLines.reduce((sum, line) => sum + line.length, 0);
      while (characters > LAST_CHARACTERS) characters -= child.lastLines.shift()!.length;
      this.#events.printed(child, "stderr", lines);
    });
    let timer: NodeJS.Timeout | undefined;
    let over = false;
    let open = 2;
    const drained = (): void => {
      if (over || !process.exited) return;
      over = true;
      clearTimeout(timer);
      stdout.destroy();
      stderr.destroy();
      out.end();
      err.end();
      this.#gone(child);
    };
    for (const stream of [stdout, stderr]) stream.on("close", () => --open === 0 && drained());
    process.whenExited(() => (open === 0 ? drained() : (timer = setTimeout(drained, DRAIN_MS))));
  }

  /** Its connection has ended: so may it have. */
  suspect(id: ProcessId): void {
    this.#children.get(id)?.process.started?.suspect?.();
  }

  /** Ends it at once; its death will have this reason. */
  kill(id: ProcessId, reason: DeathReason): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    if (!child.process.exited) child.killedFor ??= reason;
    child.process.kill();
  }

  /** From now on a death by SIGKILL is told from one for lack of memory. */
  countKernelKills(): void {
    this.#kernelKills = kernelKills();
  }

  /** Ends them all; resolves when they are gone, or after `timeoutMs`. */
  killAll(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
      for (const id of [...this.#children.keys()]) this.kill(id, { cause: "node-died", message: "its cluster has ended" });
      setTimeout(resolve, timeoutMs);
      if (this.#children.size === 0) resolve();
    });
  }

  /** Stops or goes on reading what they print. */
  setReading(reading: boolean): void {
    for (const { process } of this.#children.values()) {
      for (const stream of [process.started?.stdout, process.started?.stderr]) {
        if (reading) stream?.resume();
        else stream?.pause();
      }
    }
  }

  #gone(child: Child): void {
    const { process } = child;
    process.whenExited((exit) => {
      this.#children.delete(process.id);
      const before = this.#kernelKills;
      if (exit.signal === "SIGKILL") this.countKernelKills();
      const { killedFor, announced, registered, lastLines } = child;
      const kernelOutOfMemory = before !== undefined && this.#kernelKills! > before;
      this.#events.exited(process.id, process.pid, deathReason({ exit, killedFor, announced, registered, kernelOutOfMemory, lastLines }));
      if (this.#children.size === 0) this.#onEmpty?.();
    });
  }
}
