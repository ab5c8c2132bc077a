/**
 * Control as a child of a daemon: started, and started again when it dies, at the same port, for as long as the daemon lives. It
 * ends with the daemon, however that ends: it holds the other end of a pipe.
 *
 * Where the store is one that others reach, another machine may lead meanwhile: then a control that is started again waits to lead.
 */
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ConnectionError } from "../../errors/index.ts";
import { formatAddress } from "../network/address.ts";
import { CONTROL_CONFIG } from "../control/config.ts";
import type { ControlConfig, ControlReport } from "../control/config.ts";
import { startProcess } from "../start-process.ts";

const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
const controlMain = fileURLToPath(new URL(`../control/main.${ending}`, import.meta.url));

/** It serves, or waits to, within this time, or its start has failed. */
const START_MS = 30_000;
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 5_000;
/** A control that has lived so long did not die of its start. */
const STEADY_MS = 10_000;

type Said = Exclude<ControlReport, { readonly error: string }>;

export interface KeeperEvents {
  /** It leads now, or does not lead any more. */
  leads(leads: boolean): void;
  log(line: string): void;
}

export class ControlKeeper {
  readonly #events: KeeperEvents;
  #config: ControlConfig;
  #child: ChildProcess | undefined;
  #started = false;
  #leads = false;
  #quickDeaths = 0;
  #ending = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: ControlConfig, events: KeeperEvents) {
    this.#config = { ...config, bound: true };
    this.#events = events;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  get leads(): boolean {
    return this.#leads;
  }

  /** Where it serves, or will. Rejects with what it says when it cannot. */
  async start(): Promise<string> {
    const { host, port } = await this.#run();
    this.#config = { ...this.#config, port, standby: this.#config.store.kind === "redis" };
    this.#started = true;
    return formatAddress({ host, port });
  }

  stop(): void {
    this.#ending = true;
    clearTimeout(this.#timer);
    this.#child?.stdin?.end();
    this.#child?.kill("SIGTERM");
  }

  async #run(): Promise<Said> {
    const startedAt = performance.now();
    const env: NodeJS.ProcessEnv = { ...process.env, [CONTROL_CONFIG]: JSON.stringify(this.#config) };
    const { child, report } = startProcess<Said>({
      file: controlMain,
      flags: ending === "ts" ? process.execArgv : [],
      env,
      stdin: "pipe",
      stderr: "inherit",
      startMs: START_MS,
      onMore: (said) => ("error" in said ? this.#events.log(said.error) : this.#lead("ready" in said)),
    });
    this.#child = child;
    child.on("exit", (code, signal) => {
      this.#lead(false);
      // A first start that failed is its caller's to answer.
      if (this.#started) this.#again(performance.now() - startedAt, signal ?? `code ${code}`);
    });
    try {
      const said = await report;
      this.#lead("ready" in said);
      return said;
    } catch (error) {
      throw new ConnectionError(`control did not start: ${(error as Error).message}`, { cause: error });
    }
  }

  #lead(leads: boolean): void {
    if (this.#leads === leads) return;
    this.#leads = leads;
    this.#events.leads(leads);
  }

  #again(livedMs: number, how: string): void {
    if (this.#ending) return;
    this.#quickDeaths = livedMs < STEADY_MS ? this.#quickDeaths + 1 : 0;
    const pause = this.#quickDeaths <= 1 ? PAUSE_MIN_MS : Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#quickDeaths);
    this.#events.log(`control ended with ${how} and is started again in ${pause} ms`);
    this.#timer = setTimeout(() => void this.#run().catch((error: Error) => this.#events.log(error.message)), pause);
  }
}
