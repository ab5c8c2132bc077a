/**
 * The daemon's first file. Time to the first result is mostly the start of processes, so it opens the socket and starts
 * the first workers before it loads anything else; the rest of the daemon takes both over.
 */
import { once } from "node:events";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { availableParallelism } from "node:os";
import { workerId } from "../../protocol/ids.ts";
import { isCompiled, keepCompiled, loadAtOnce } from "../loading.ts";
import { DAEMON_CONFIG, nodeSocketOf, prestartedFor } from "./config.ts";
import type { ClusterConfig, DaemonConfig, DaemonReport } from "./config.ts";
import { inherited } from "./first-worker.ts";
import { WorkerProcess } from "./worker-process.ts";

function report(error: unknown): void {
  const line: DaemonReport = { error: messageOf(error) };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** What is wrong with the call says so in one line; anything else is a fault of ours, and shows where. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "code" in error ? error.message : (error.stack ?? error.message);
}

async function withToken(cluster: ClusterConfig | undefined): Promise<ClusterConfig | undefined> {
  if (cluster === undefined || cluster.tokenFile !== undefined) return cluster;
  const { readTokenFromStdin } = await import("../network/token-file.ts");
  return { ...cluster, token: await readTokenFromStdin() };
}

async function main(): Promise<void> {
  const config = JSON.parse(process.env[DAEMON_CONFIG] ?? "") as DaemonConfig;
  // Children inherit variables.
  delete process.env[DAEMON_CONFIG];
  const sockets: Socket[] = [];
  const server = createServer({ pauseOnConnect: true }, (socket) => void sockets.push(socket));
  const workers: WorkerProcess[] = [];
  let made = false;
  try {
    mkdirSync(config.sessionDir, { mode: 0o700 });
    made = true;
    const listening = once(server, "listening");
    const socket = nodeSocketOf(config.sessionDir);
    server.listen(`${socket}.new`);
    // One core loads the daemon itself: more at once than there are others would only delay the first.
    const early = Math.min(prestartedFor(config), Math.max(1, availableParallelism() - 1));
    for (let i = 0; i < early; i++) {
      const id = workerId(config.nodeId, i);
      const first = i === 0 ? config.firstWorker : undefined;
      workers.push(first === undefined ? WorkerProcess.start(config, id, {}) : new WorkerProcess(id, undefined, inherited(first)));
    }
    await listening;
    // Under its name it is there once it can be connected to: the first worker waits for that.
    renameSync(`${socket}.new`, socket);
    const cluster = await withToken(config.cluster);
    keepCompiled();
    const { Daemon } = isCompiled
      ? (loadAtOnce(new URL("daemon.js", import.meta.url)) as typeof import("./daemon.ts"))
      : await import("./daemon.ts");
    await Daemon.start({ ...config, cluster }, { server, early: sockets, workers });
  } catch (error) {
    report(error);
    for (const worker of workers) worker.kill();
    if (made) rmSync(config.sessionDir, { recursive: true, force: true });
    process.exitCode = 1;
    setImmediate(() => process.exit());
  }
}

await main();
