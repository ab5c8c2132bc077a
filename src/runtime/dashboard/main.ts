/**
 * The dashboard's process: the HTTP API of the cluster, beside the head's daemon, which starts it again when it dies. It keeps nothing:
 * jobs are control's, logs and packages lie in folders, so its end costs no more than the requests that were under way.
 */
import { readFileSync } from "node:fs";
import { hostname, networkInterfaces } from "node:os";
import { explain, InvalidOptionError } from "../../errors/index.ts";
import { formatAddress, isLoopbackHost, loadTls, readTokenFile } from "../network/index.ts";
import { lineReader } from "../jobs/supervisor-config.ts";
import { DASHBOARD_CONFIG } from "./config.ts";
import type { DashboardConfig, DashboardReport, ToDashboard } from "./config.ts";
import { ControlClient } from "./control-client.ts";
import { LogStreams } from "./logs.ts";
import { Packages } from "./packages.ts";
import { ApiServer } from "./server.ts";
import type { ApiServerOptions } from "./server.ts";

/** Ports after the one that was asked for, where any will do. */
const NEXT_PORTS = 50;
/** One of before this may have the port for a moment still. */
const TAKEN_MS = 3_000;
const LOOK_AGAIN_MS = 100;

const say = (report: DashboardReport | { readonly error: string }): void => void process.stdout.write(`${JSON.stringify(report)}\n`);
const log = (line: string): void => void process.stderr.write(`mobula dashboard: ${line}\n`);

async function main(): Promise<void> {
  const config = JSON.parse(process.env[DASHBOARD_CONFIG] ?? "") as DashboardConfig;
  delete process.env[DASHBOARD_CONFIG];
  const { host, tlsDir, insecure } = config;
  if (tlsDir === undefined && !insecure && !(await isLoopbackHost(host))) throw refusedHost(host);
  const token = readTokenFile(config.tokenFile);
  const secure = tlsDir === undefined ? {} : { tls: loadTls(tlsDir) };
  const control = new ControlClient({ addresses: config.control, token, clusterId: config.clusterId, ...secure });
  const { version } = JSON.parse(readFileSync(new URL("../../../package.json", import.meta.url), "utf8")) as { version: string };
  const needed = async (): Promise<ReadonlySet<string>> => new Set(await control.ask<string[]>({ kind: "jobPackages" }));
  const options = {
    host,
    token,
    hosts: namesOf(host),
    origins: config.allowOrigins ?? [],
    ...secure,
    parts: { control, packages: new Packages(config.packages, needed), logs: new LogStreams(config.home, config.nodeId, control), version },
    log,
  };
  const server = await listen(options, config);
  const name = isWildcard(host) ? hostname() : host;
  const url = `${tlsDir === undefined ? "http" : "https"}://${formatAddress({ host: name, port: server.port })}`;
  endWithStarter(server);
  process.stdin.setEncoding("utf8").on(
    "data",
    lineReader((line) => control.controlAt((JSON.parse(line) as ToDashboard).control)),
  );
  say({ ready: true, pid: process.pid, port: server.port, url });
}

async function listen(options: Omit<ApiServerOptions, "port">, { port, exact, host }: DashboardConfig): Promise<ApiServer> {
  const last = exact || port === 0 ? port : Math.min(65_535, port + NEXT_PORTS);
  let failed: NodeJS.ErrnoException | undefined;
  for (let at = port; at <= last; at++) {
    for (const until = Date.now() + (exact ? TAKEN_MS : 0); ;) {
      try {
        return await ApiServer.start({ ...options, port: at });
      } catch (error) {
        failed = error as NodeJS.ErrnoException;
        if (failed.code !== "EADDRINUSE" || Date.now() >= until) break;
        await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
      }
    }
    if (failed.code !== "EADDRINUSE") break;
  }
  const why = failed?.code === "EADDRINUSE" ? "the port is in use" : String(failed?.message);
  const what = `The HTTP API cannot listen on ${formatAddress({ host, port })}: ${why}`;
  const todo = "Choose another by --dashboard-port, or 0 to have one picked";
  throw new InvalidOptionError(explain(what, undefined, todo), { option: "dashboard-port", value: port });
}

/** Whoever holds the other end of stdin has started it. */
function endWithStarter(server: ApiServer): void {
  const end = (): void => {
    server.close();
    process.exit(0);
  };
  process.stdin.on("end", end);
  process.stdin.on("error", end);
  process.stdin.resume();
  process.on("SIGTERM", end);
  for (const signal of ["SIGINT", "SIGHUP"] as const) process.on(signal, () => {});
  process.stdout.on("error", () => {});
  process.on("uncaughtException", (error) => {
    log(error.stack ?? error.message);
    process.exit(1);
  });
}

const isWildcard = (host: string): boolean => ["0.0.0.0", "::"].includes(host);

/** What clients may call this machine by, beside loopback names. */
function namesOf(host: string): string[] {
  if (!isWildcard(host)) return [host];
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  return [hostname(), ...addresses.map(({ address }) => address)];
}

function refusedHost(host: string): InvalidOptionError {
  const what = `Serving HTTP on ${host} without TLS is refused: other machines can reach it, and could read the token`;
  const todo =
    "Make certificates by mobula ca create and name their folder by --tls-dir; or, on a network that you trust, --insecure-no-tls";
  return new InvalidOptionError(explain(what, undefined, todo), { option: "host", value: host });
}

main().catch((error: Error) => {
  say({ error: error.message });
  process.exitCode = 1;
  setImmediate(() => process.exit());
});
