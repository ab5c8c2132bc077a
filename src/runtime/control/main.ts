/**
 * The process that is control: it opens its store, which makes it the leader or ends it, and serves until it is told to end or does
 * not lead any more. Whoever started it starts it again.
 */
import { loadTls, readTokenFile, tokenCredential } from "../network/index.ts";
import { createControlStore } from "../stores/index.ts";
import { noteCluster } from "./clusters.ts";
import { CONTROL_CONFIG } from "./config.ts";
import type { ControlConfig, ControlReport } from "./config.ts";
import { ControlServer } from "./server.ts";
import { Standby } from "./standby.ts";

const say = (report: ControlReport): void => void process.stdout.write(`${JSON.stringify(report)}\n`);
const log = (line: string): void => void process.stderr.write(`mobula control: ${line}\n`);

async function main(): Promise<void> {
  const config = JSON.parse(process.env[CONTROL_CONFIG] ?? "") as ControlConfig;
  const ended = new AbortController();
  const running: { server?: ControlServer } = {};
  const end = (why: string, code: number): void => {
    if (ended.signal.aborted) return;
    ended.abort(new Error(why));
    if (code !== 0) log(`it ends: ${why}`);
    void (running.server?.close() ?? Promise.resolve()).then(
      () => process.exit(code),
      () => process.exit(1),
    );
    // A store that does not answer must not keep it.
    setTimeout(() => process.exit(code), 2000).unref();
  };
  process.on("SIGTERM", () => end("it was told to end", 0));
  process.on("SIGINT", () => {});
  process.on("SIGHUP", () => {});
  process.stdout.on("error", () => {});
  process.on("uncaughtException", (error) => {
    log(error.stack ?? error.message);
    end("it failed", 1);
  });
  if (config.bound === true) {
    process.stdin.on("end", () => end("who started it is gone", 0));
    process.stdin.on("error", () => end("who started it is gone", 0));
    process.stdin.resume();
  }
  const { clusterId, store, host, tlsDir, insecure, keptBy } = config;
  const token = readTokenFile(config.tokenFile);
  const credentials = tokenCredential(token);
  const secure = tlsDir === undefined ? {} : { tls: loadTls(tlsDir) };
  let { port } = config;
  let standby: Standby | undefined;
  if (config.standby === true) {
    standby = await Standby.wait({ store: createControlStore(store), host, port, clusterId, credentials, ...secure });
    port = standby.address.port;
    say({ standby: true, pid: process.pid, host, port });
  }
  const server = await ControlServer.start({
    store: createControlStore(store),
    clusterId,
    credentials,
    host,
    port,
    ...secure,
    ...(insecure === undefined ? {} : { insecure }),
    ...(keptBy === undefined ? {} : { keptBy }),
    storeOfHead: store.kind === "durable",
    ...(standby === undefined ? {} : { waitMs: Infinity, beforeListening: () => standby.end() }),
    signal: ended.signal,
    log,
    // No farewell to the store: another may lead.
    onLost: (error) => {
      log(`it ends: ${error.message}`);
      process.exit(1);
    },
  });
  running.server = server;
  // Those that are to stand by find the cluster by its token.
  if (store.kind === "redis") noteCluster(store.url, token, clusterId).catch((error: Error) => log(error.message));
  say({ ready: true, pid: process.pid, ...server.address, epoch: server.epoch });
}

main().catch((error: Error & { code?: string; reason?: string }) => {
  const { message, code, reason } = error;
  say({ error: message, ...(code === undefined ? {} : { code }), ...(reason === undefined ? {} : { reason }) });
  process.exitCode = 1;
  setImmediate(() => process.exit());
});
