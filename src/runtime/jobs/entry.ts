/**
 * The entry point of one job as a process group: started, its output written to the job's log, stopped, and its end told in words. What it
 * has started ends with it.
 */
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { Socket } from "node:net";
import { constants as systemConstants } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { JobEnd } from "../../core/control/jobs.ts";
import { kernelKills } from "../daemon/death.ts";
import { printMark, ownMark, startOf } from "../environments/process-marks.ts";
import { anyLeft, killJob, signalGroup, signalJob } from "./ending.ts";
import { watchedCommand } from "./entry-shell.ts";
import type { JobPlaces } from "./folders.ts";
import { LogWriter } from "./log-parts.ts";
import type { RunOrder } from "./supervisor-config.ts";

/** What a stopped job may take to end by itself. */
export const GRACE_MS = 5_000;
/** Output of one that has ended is read so long: somebody may hold the pipe who is not the job's any more. */
const DRAIN_MS = 1_000;
const LOOK_MS = 50;
const TAIL_CHARACTERS = 4_000;
const LAST_LINES = 10;

interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Entry {
  readonly #order: RunOrder;
  readonly #places: JobPlaces;
  readonly #log: LogWriter;
  readonly #kills = kernelKills();
  #child: ChildProcess | undefined;
  #stopped = false;
  #graceOver = false;
  #timer: NodeJS.Timeout | undefined;
  #tail = "";
  #logFailure: string | undefined;
  #output: Promise<void> = Promise.resolve();

  constructor(order: RunOrder, places: JobPlaces) {
    this.#order = order;
    this.#places = places;
    this.#log = new LogWriter(places.log);
  }

  /** Runs it to its end. `started` is called once it runs. */
  async run(started: (pid: number) => void): Promise<JobEnd> {
    let how: JobEnd;
    try {
      how = this.#told(await this.#start(started));
    } catch (error) {
      how = { status: "FAILED", message: `its entry point could not be started: ${(error as Error).message}` };
    }
    clearTimeout(this.#timer);
    await this.#log.close().catch((error: Error) => (this.#logFailure ??= error.message));
    const { folder, log } = this.#places;
    await removeTraces(this.#places).catch((error: Error) => process.stderr.write(`mobula jobs: ${folder}: ${error.message}\n`));
    const note = this.#logFailure === undefined ? "" : `\nIts log in ${log} is not whole: ${this.#logFailure}`;
    return { ...how, message: how.message + note };
  }

  /** Asks it to end, and sees to it that it does. */
  stop(graceMs = GRACE_MS): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#signalled(graceMs);
  }

  #signalled(graceMs: number): void {
    const pid = this.#child?.pid;
    if (pid === undefined) return;
    // Also what has left the group.
    signalGroup(pid, "SIGTERM");
    signalJob(this.#order.jobId, "SIGTERM");
    this.#timer = setTimeout(() => {
      this.#graceOver = true;
      signalGroup(pid, "SIGKILL");
    }, graceMs);
  }

  async #start(started: (pid: number) => void): Promise<Exit> {
    const pipe = await this.#pipe();
    const { entrypoint, shell, cwd, env } = this.#order;
    const [command, ...args] = watchedCommand(entrypoint, shell);
    let child: ChildProcess;
    try {
      // The last is the watcher's: it ends with this process.
      child = spawn(command!, args, { cwd, env, stdio: ["ignore", pipe.write, pipe.write, "pipe"], detached: true });
    } finally {
      closeSync(pipe.write);
    }
    child.stdio[3]?.on("error", () => {});
    this.#child = child;
    const exit = await new Promise<Exit>((resolve, reject) => {
      child.once("error", (error) => (child.pid === undefined ? reject(error) : undefined));
      child.once("exit", (code, signal) => resolve({ code, signal }));
      child.once("spawn", () => {
        void writeFile(this.#places.mark, printMark({ ...ownMark(), pid: child.pid!, started: startOf(child.pid!) })).catch(
          () => undefined,
        );
        started(child.pid!);
        if (this.#stopped) this.#signalled(GRACE_MS);
      });
    });
    // A shell ends at once; what it had started has its time still.
    while (this.#stopped && !this.#graceOver && anyLeft(child.pid!, this.#order.jobId)) await sleep(LOOK_MS);
    signalGroup(child.pid!, "SIGKILL");
    killJob(this.#order.jobId);
    const late = setTimeout(() => pipe.read.destroy(), DRAIN_MS);
    await this.#output;
    clearTimeout(late);
    return exit;
  }

  /**
   * A pipe as shells make one, for both streams, so that lines keep their order. What Node makes is a socket, which /dev/stderr cannot
   * open.
   */
  async #pipe(): Promise<{ read: Socket; write: number }> {
    const { folder } = this.#places;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, "output");
    await rm(path, { force: true });
    await promisify(execFile)("mkfifo", ["-m", "600", path]);
    try {
      const { O_RDONLY, O_NONBLOCK, O_WRONLY } = constants;
      // Neither waits: the first is told not to, and then the second finds a reader.
      const read = new Socket({ fd: openSync(path, O_RDONLY | O_NONBLOCK), readable: true, writable: false });
      this.#output = this.#read(read);
      return { read, write: openSync(path, O_WRONLY) };
    } finally {
      await rm(path, { force: true });
    }
  }

  #read(socket: Socket): Promise<void> {
    return new Promise((resolve) => {
      let writing: Promise<void> = Promise.resolve();
      socket.on("error", () => {});
      socket.on("close", () => void writing.then(resolve));
      socket.on("data", (bytes: Buffer) => {
        this.#tail = (this.#tail + bytes.toString("utf8")).slice(-TAIL_CHARACTERS);
        socket.pause();
        writing = this.#write(bytes).then(() => void socket.resume());
      });
    });
  }

  /** A log that cannot be written does not end the job: it is read on, and the job's message says so. */
  async #write(bytes: Buffer): Promise<void> {
    if (this.#logFailure !== undefined) return;
    await this.#log.write(bytes).catch((error: Error) => (this.#logFailure = error.message));
  }

  #told({ code, signal }: Exit): JobEnd {
    const exitCode = code ?? undefined;
    if (this.#stopped) return { status: "STOPPED", message: "it was stopped", exitCode };
    if (code === 0) return { status: "SUCCEEDED", message: "it has ended with exit code 0", exitCode };
    return { status: "FAILED", message: `${howItEnded(code, signal, this.#kills)}${lastLines(this.#tail)}`, exitCode };
  }
}

function howItEnded(code: number | null, signal: NodeJS.Signals | null, killsBefore: number): string {
  const outOfMemory = kernelKills() > killsBefore ? ": the machine was out of memory" : "";
  if (signal !== null) return `it was killed by signal ${signal}${signal === "SIGKILL" ? outOfMemory : ""}`;
  const said = `it ended with exit code ${code}`;
  if (code === 126) return `${said}: its command may not be executed`;
  if (code === 127) return `${said}: its command, or one in it, was not found`;
  const number = (code ?? 0) - 128;
  const name = Object.entries(systemConstants.signals).find(([, value]) => value === number)?.[0];
  if (name === undefined) return said;
  return `${said}, by which shells tell that ${name} has killed a command${name === "SIGKILL" ? outOfMemory : ""}`;
}

function lastLines(tail: string): string {
  const lines = tail
    .split("\n")
    .map((line) => line.trimEnd())
    .filter((line) => line !== "")
    .slice(-LAST_LINES);
  return lines.length === 0 ? "" : `\nIts last lines:\n${lines.join("\n")}`;
}

/** All that was there for its run: the token first. */
export async function removeTraces({ token, file, work, modules, mark }: JobPlaces): Promise<void> {
  for (const place of [token, file, work, modules, mark]) await rm(place, { recursive: true, force: true });
}
