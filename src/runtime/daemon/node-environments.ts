/**
 * Environments of this node's workers, as its machine asks for them. Loads what makes them when the first is asked for.
 */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MobulaError } from "../../errors/index.ts";
import type { DeathReason, Failure } from "../../protocol/messages.ts";
import { homeFolder } from "../network/home.ts";
import type { Environments, PackageStore, PreparedEnvironment } from "../environments/index.ts";
import { packagesOf } from "./config.ts";
import type { DaemonConfig } from "./config.ts";

/** What a message can hold of a failure. */
const MESSAGE_MAX = 12_000;

export interface EnvironmentEvents {
  made(environment: string): void;
  failed(environment: string, failure: Failure, reason: DeathReason): void;
  /** Where packages come from that other nodes have; undefined where there are none. */
  others(): PackageStore | undefined;
}

export class NodeEnvironments {
  readonly #config: DaemonConfig;
  readonly #events: EnvironmentEvents;
  #loaded: Promise<Environments> | undefined;
  readonly #prepared = new Map<string, PreparedEnvironment>();

  constructor(config: DaemonConfig, events: EnvironmentEvents) {
    this.#config = config;
    this.#events = events;
  }

  prepare(environment: string): void {
    this.#load()
      .then((environments) => environments.prepare(environment))
      .then((prepared) => {
        this.#prepared.set(environment, prepared);
        this.#events.made(environment);
      })
      .catch((error: unknown) => this.#events.failed(environment, ...toldOf(error)));
  }

  /** Made in advance: whoever wants it finds it there. What goes wrong is told to them. */
  warm(environment: string): void {
    this.#load()
      .then((environments) => environments.prepare(environment).then(() => environments.release(environment)))
      .catch(() => undefined);
  }

  get(environment: string): PreparedEnvironment {
    const prepared = this.#prepared.get(environment);
    if (prepared === undefined) throw new Error(`a worker of an environment that is not made: ${environment}`);
    return prepared;
  }

  release(environment: string): void {
    this.#prepared.delete(environment);
    void this.#loaded?.then((environments) => environments.release(environment));
  }

  /** For the entry point of a job, which is no worker. Held until `letGo`. */
  async hold(environment: string): Promise<PreparedEnvironment> {
    return (await this.#load()).prepare(environment);
  }

  letGo(environment: string): void {
    void this.#loaded?.then((environments) => environments.release(environment));
  }

  /** A package that a process here has put into the folder goes to where its users find it. False if it is not there. */
  async publish(hash: string): Promise<boolean> {
    return (await this.#store()).publish(hash);
  }

  /** From another node, if it is not here. */
  async fetch(hash: string): Promise<void> {
    await (await this.#store()).file(hash);
  }

  /** For another node. */
  async readPart(hash: string, offset: number, length: number): Promise<{ bytes: Uint8Array; last: boolean } | undefined> {
    return (await this.#store()).part(hash, offset, length);
  }

  async close(): Promise<void> {
    await (await this.#loaded)?.close();
  }

  #load(): Promise<Environments> {
    this.#loaded ??= this.#open();
    return this.#loaded;
  }

  async #open(): Promise<Environments> {
    const { Environments } = await import("../environments/index.ts");
    const mobula = realpathSync(fileURLToPath(new URL("../../..", import.meta.url)));
    const home = this.#config.environmentsHome ?? join(homeFolder(), "environments");
    return new Environments({ home, packages: await this.#store(), mobula });
  }

  async #store() {
    const { FolderStore } = await import("../environments/index.ts");
    return new FolderStore(packagesOf(this.#config.sessionDir), this.#events.others());
  }
}

function toldOf(error: unknown): [Failure, DeathReason] {
  const message = (error instanceof Error ? error.message : String(error)).slice(0, MESSAGE_MAX);
  const lines = error instanceof MobulaError && "lastLines" in error ? (error.lastLines as string[]) : undefined;
  return [
    { code: "RUNTIME_ENV_FAILED", message },
    { cause: "start-failed", message, lastLines: lines?.map((line) => line.slice(0, 2000)).slice(-50) },
  ];
}
