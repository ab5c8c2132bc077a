/**
 * The dashboard as a child of the head's daemon: started, and started again at the same port when it dies, as long as the daemon lives.
 * It ends with the daemon, which holds the other end of its stdin.
 */
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ConnectionError } from "../../errors/index.ts";
import { DASHBOARD_CONFIG } from "../dashboard/config.ts";
import type { DashboardConfig, DashboardReport, ToDashboard } from "../dashboard/config.ts";
import { cleanEnvironment } from "../jobs/supervisor.ts";
import { startProcess } from "../start-process.ts";

const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
const dashboardMain = fileURLToPath(new URL(`../dashboard/main.${ending}`, import.meta.url));

const START_MS = 30_000;
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 10_000;
/** One that has lived so long did not die of its start. */
const STEADY_MS = 10_000;

export class DashboardKeeper {
  #config: DashboardConfig;
  readonly #log: (line: string) => void;
  #child: ChildProcess | undefined;
  #started = false;
  #pause = PAUSE_MIN_MS;
  #ending = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: DashboardConfig, log: (line: string) => void) {
    this.#config = config;
    this.#log = log;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Its URL. Rejects with what it says when it cannot serve. */
  async start(): Promise<string> {
    const { port, url } = await this.#run();
    this.#config = { ...this.#config, port, exact: true };
    this.#started = true;
    return url;
  }

  controlAt(control: readonly string[]): void {
    this.#config = { ...this.#config, control };
    const line: ToDashboard = { control };
    this.#child?.stdin?.write(`${JSON.stringify(line)}\n`);
  }

  stop(): void {
    this.#ending = true;
    clearTimeout(this.#timer);
    this.#child?.stdin?.end();
    this.#child?.kill("SIGTERM");
  }

  async #run(): Promise<DashboardReport> {
    const startedAt = performance.now();
    const { child, report } = startProcess<DashboardReport>({
      file: dashboardMain,
      flags: ending === "ts" ? process.execArgv : [],
      env: { ...cleanEnvironment(), [DASHBOARD_CONFIG]: JSON.stringify(this.#config) },
      stdin: "pipe",
      stderr: "inherit",
      startMs: START_MS,
    });
    this.#child = child;
    child.on("exit", (code, signal) => {
      // A first start that failed is its caller's to answer.
      if (this.#started) this.#again(performance.now() - startedAt, signal ?? `code ${code}`);
    });
    try {
      return await report;
    } catch (error) {
      throw new ConnectionError((error as Error).message, { cause: error });
    }
  }

  #again(livedMs: number, how: string): void {
    if (this.#ending) return;
    this.#pause = livedMs < STEADY_MS ? Math.min(PAUSE_MAX_MS, this.#pause * 2) : PAUSE_MIN_MS;
    this.#log(`the dashboard ended with ${how} and is started again in ${this.#pause} ms`);
    this.#timer = setTimeout(() => void this.#run().catch((error: Error) => this.#log(error.message)), this.#pause);
  }
}
