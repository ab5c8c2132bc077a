/**
 * Control as a child of the head's daemon: started, and started again when it dies, at the same port, for as long as the daemon lives. It
 * ends with the daemon, however that ends: it holds the other end of a pipe.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { ConnectionError } from "../../errors/index.ts";
import { formatAddress } from "../network/address.ts";
import type { Address } from "../network/address.ts";
import { CONTROL_CONFIG } from "../control/config.ts";
import type { ControlConfig, ControlReport } from "../control/config.ts";

const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
const controlMain = fileURLToPath(new URL(`../control/main.${ending}`, import.meta.url));

/** It serves within this time, or its start has failed. */
const START_MS = 30_000;
const PAUSE_MIN_MS = 50;
const PAUSE_MAX_MS = 5_000;
/** A control that has lived so long did not die of its start. */
const STEADY_MS = 10_000;

export class ControlKeeper {
  readonly #config: ControlConfig;
  readonly #log: (line: string) => void;
  #child: ChildProcess | undefined;
  #port: number;
  #quickDeaths = 0;
  #ending = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: ControlConfig, log: (line: string) => void) {
    this.#config = { ...config, bound: true };
    this.#log = log;
    this.#port = config.port;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Where it serves. Rejects with what it says when it cannot. */
  async start(): Promise<string> {
    const address = await this.#run();
    this.#port = address.port;
    return formatAddress(address);
  }

  stop(): void {
    this.#ending = true;
    clearTimeout(this.#timer);
    this.#child?.stdin?.end();
    this.#child?.kill("SIGTERM");
  }

  #run(): Promise<Address> {
    const startedAt = performance.now();
    const env: NodeJS.ProcessEnv = { ...process.env, [CONTROL_CONFIG]: JSON.stringify({ ...this.#config, port: this.#port }) };
    const flags = ending === "ts" ? process.execArgv : [];
    const child = spawn(process.execPath, [...flags, controlMain], { env, stdio: ["pipe", "pipe", "inherit"], detached: true });
    this.#child = child;
    child.stdin.on("error", () => {});
    return new Promise<Address>((resolve, reject) => {
      let text = "";
      let ready = false;
      const timer = setTimeout(() => child.kill("SIGKILL"), START_MS);
      const failed = (message: string): void => {
        clearTimeout(timer);
        reject(new ConnectionError(message));
      };
      child.stdout.setEncoding("utf8");
      child.stdout.on("data", (chunk: string) => {
        text += chunk;
        const lines = text.split("\n");
        text = lines.pop()!;
        for (const line of lines.filter((each) => each.startsWith("{"))) {
          const report = JSON.parse(line) as ControlReport;
          if ("error" in report) failed(report.error);
          else if ("ready" in report) {
            ready = true;
            clearTimeout(timer);
            resolve({ host: report.host, port: report.port });
          }
        }
      });
      child.on("error", (error) => failed(`control could not be started: ${error.message}`));
      child.on("exit", (code, signal) => {
        failed(`control ended with ${signal ?? `code ${code}`} before it served`);
        if (ready || this.#port !== 0) this.#again(performance.now() - startedAt, signal ?? `code ${code}`);
      });
    });
  }

  #again(livedMs: number, how: string): void {
    if (this.#ending) return;
    this.#quickDeaths = livedMs < STEADY_MS ? this.#quickDeaths + 1 : 0;
    const pause = this.#quickDeaths <= 1 ? PAUSE_MIN_MS : Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** this.#quickDeaths);
    this.#log(`control ended with ${how} and is started again in ${pause} ms`);
    this.#timer = setTimeout(() => void this.#run().catch((error: Error) => this.#log(error.message)), pause);
  }
}
