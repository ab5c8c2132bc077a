/** The daemon's end of the supervisor: started when a job is to run and none is there, asked, and heard. */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { JobEnd } from "../../core/control/jobs.ts";
import { lineReader, SUPERVISOR_HOME } from "./supervisor-config.ts";
import type { FromSupervisor, RunOrder, ToSupervisor } from "./supervisor-config.ts";

const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
const supervisorMain = fileURLToPath(new URL(`supervisor-main.${ending}`, import.meta.url));

/** Without a job it is ended after so long. */
const IDLE_MS = 30_000;

export interface SupervisorEvents {
  started(jobId: string): void;
  ended(jobId: string, how: JobEnd): void;
  /** The process is gone, and these jobs were with it. */
  lost(jobIds: string[], how: string): void;
}

export class Supervisor {
  readonly #home: string;
  readonly #events: SupervisorEvents;
  #child: ChildProcess | undefined;
  readonly #running = new Set<string>();
  #over = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(home: string, events: SupervisorEvents) {
    this.#home = home;
    this.#events = events;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  run(order: RunOrder): void {
    clearTimeout(this.#idle);
    this.#running.add(order.jobId);
    this.#say({ run: order });
  }

  stop(jobId: string): void {
    if (this.#running.has(jobId)) this.#say({ stop: jobId });
  }

  /** It ends its jobs and then itself; resolves when it has, or after `ms`: it goes on by itself. */
  async close(ms: number): Promise<void> {
    this.#over = true;
    clearTimeout(this.#idle);
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
    child.stdin?.end();
    let timer: NodeJS.Timeout | undefined;
    await Promise.race([gone, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
    clearTimeout(timer);
  }

  #say(line: ToSupervisor): void {
    if (this.#over) return;
    this.#child ??= this.#start();
    this.#child.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  #ended(jobId: string, how: JobEnd): void {
    if (!this.#running.delete(jobId)) return;
    this.#events.ended(jobId, how);
    if (this.#running.size > 0) return;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      this.#child?.stdin?.end();
      this.#child = undefined;
    }, IDLE_MS).unref();
  }

  #start(): ChildProcess {
    const flags = ending === "ts" ? process.execArgv : [];
    const env = { ...cleanEnvironment(), [SUPERVISOR_HOME]: this.#home };
    const child = spawn(process.execPath, [...flags, supervisorMain], { env, stdio: ["pipe", "pipe", "inherit"], detached: true });
    child.stdin.on("error", () => {});
    child.stdout.setEncoding("utf8").on(
      "data",
      lineReader((text) => {
        if (!text.startsWith("{")) return;
        const line = JSON.parse(text) as FromSupervisor;
        if ("started" in line) this.#events.started(line.started);
        else if ("ended" in line) this.#ended(line.ended, line.how);
      }),
    );
    let gone = false;
    const lost = (how: string): void => {
      if (gone) return;
      gone = true;
      if (this.#child !== child) return;
      this.#child = undefined;
      const jobs = [...this.#running];
      this.#running.clear();
      if (!this.#over && jobs.length > 0) this.#events.lost(jobs, how);
    };
    child.on("error", (error) => lost(`it could not be started: ${error.message}`));
    // Its last lines are read before its end is told.
    child.on("close", (code, signal) => lost(signal === null ? `it ended with exit code ${code}` : `it was killed by ${signal}`));
    return child;
  }
}

/** That of this process, without what only this process is to know. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  const hidden = /^MOBULA_(DAEMON|CONTROL|WORKER|DASHBOARD)_CONFIG$|^MOBULA_TOKEN(_FILE)?$/;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !hidden.test(name)));
}
