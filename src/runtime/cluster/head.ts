/**
 * What a node has beside control where it keeps that running: submitted jobs, whose entry points it runs when control orders them here,
 * and, from when its control leads, the HTTP API.
 */
import type { DashboardChoice } from "../dashboard/config.ts";
import { DashboardKeeper } from "../daemon/dashboard-keeper.ts";
import { ControlClient } from "../dashboard/control-client.ts";
import { loadTls, readTokenFile } from "../network/index.ts";
import { JobRunner } from "../jobs/runner.ts";
import type { JobsHost } from "../jobs/runner.ts";
import type { ControlConfig } from "../control/config.ts";
import type { NodeId } from "../../protocol/ids.ts";
import { keepPackages, PackagesAhead } from "./kept-packages.ts";

export interface HeadHost extends Pick<JobsHost, "prepare" | "release" | "news" | "log"> {
  readonly nodeId: NodeId;
  readonly home: string;
  readonly sessionDir: string;
  readonly keeps: ControlConfig;
  /** Absent: there is no HTTP API. */
  readonly dashboard: DashboardChoice | undefined;
  /** Where control is or may be. */
  control(): readonly string[];
  /** Its control leads. */
  leads(): boolean;
  /** Into this node's folder, from whoever has it. */
  fetchPackage(hash: string): Promise<void>;
  /** The HTTP API serves. */
  serves(): void;
}

export class Head {
  readonly jobs: JobRunner;
  readonly #host: HeadHost;
  readonly #packages: string;
  readonly #asking: ControlClient;
  readonly #ahead: PackagesAhead;
  #dashboard: DashboardKeeper | undefined;
  #url: string | undefined;
  #closed = false;

  constructor(host: HeadHost) {
    this.#host = host;
    const { home, keeps, prepare, release, news, log } = host;
    const address = (): string => host.control().join(",");
    this.jobs = new JobRunner({ home, tokenFile: keeps.tokenFile, address, prepare, release, news, log });
    this.#packages = keepPackages(home, host.sessionDir);
    const secure = keeps.tlsDir === undefined ? {} : { tls: loadTls(keeps.tlsDir) };
    const { clusterId, tokenFile } = keeps;
    this.#asking = new ControlClient({ addresses: host.control(), token: readTokenFile(tokenFile), clusterId, ...secure });
    this.#ahead = new PackagesAhead(this.#packages, {
      leads: () => host.leads(),
      needed: () => this.#asking.ask<string[]>({ kind: "jobPackages" }),
      fetch: (hash) => host.fetchPackage(hash),
    });
  }

  /** Of the HTTP API, once it serves. */
  get url(): string | undefined {
    return this.#url;
  }

  /** Its control leads. Rejects when the HTTP API cannot serve. */
  async lead(): Promise<void> {
    const { nodeId, home, keeps, dashboard, control, log, serves } = this.#host;
    if (dashboard === undefined || this.#dashboard !== undefined || this.#closed) return;
    const { clusterId, tokenFile, host, tlsDir, insecure = false } = keeps;
    const secure = tlsDir === undefined ? {} : { tlsDir };
    const place = { nodeId, home, packages: this.#packages, clusterId, control: control(), tokenFile, host, insecure, ...secure };
    this.#dashboard = new DashboardKeeper({ ...dashboard, ...place }, log);
    this.#url = await this.#dashboard.start();
    serves();
  }

  controlAt(addresses: readonly string[]): void {
    this.#dashboard?.controlAt(addresses);
    this.#asking.controlAt(addresses);
  }

  /** Submitted jobs end with the daemon of the node that runs them. */
  async end(ms: number): Promise<void> {
    await this.jobs.close(ms);
  }

  close(): void {
    this.#closed = true;
    this.#ahead.stop();
    this.#dashboard?.stop();
  }
}
