/** Starts and ends node daemons for the command line. A daemon that is started here outlives the command; its output goes to a file. */
import { closeSync, mkdirSync, openSync, rmSync } from "node:fs";
import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { defaultCapacity } from "../memory/capacity.ts";
import type { JobId, NodeId } from "../protocol/ids.ts";
import { homeFolder, tlsFolder } from "../runtime/network/home.ts";
import { startOf } from "../runtime/environments/process-marks.ts";
import type { NodeHere } from "../runtime/client/nodes-here.ts";
import { DAEMON_CONFIG } from "../runtime/daemon/config.ts";
import type { ClusterConfig, DaemonConfig, DaemonReport } from "../runtime/daemon/config.ts";
import { countGpus } from "../runtime/gpus.ts";
import { newSessionDir, startProcess } from "../runtime/start-process.ts";
import { CommandError } from "./command.ts";

const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
const daemonMain = fileURLToPath(new URL(`../runtime/daemon/main.${ending}`, import.meta.url));
const workerMain = fileURLToPath(new URL(`../worker/main.${ending}`, import.meta.url));

const START_MS = 90_000;
/** For one that could not start, or was not to. */
const END_MS = 10_000;
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export interface NodeOptions {
  readonly home: string;
  readonly cluster: ClusterConfig;
  /** It ends with this process, which stays for as long as it lives. */
  readonly tied?: boolean;
  readonly numCpus?: number;
  readonly numGpus?: number;
  readonly resources?: Readonly<Record<string, number>>;
  readonly labels?: Readonly<Record<string, string>>;
  readonly objectStoreMemory?: number;
}

export interface StartedNode {
  readonly nodeId: NodeId;
  readonly pid: number;
  readonly log: string;
  /** Resolves when it has ended. */
  readonly ended: Promise<number>;
}

/** Resolves when it serves. Rejects with what it says when it cannot, and then nothing of it is left. */
export async function startNode(options: NodeOptions): Promise<StartedNode> {
  const { home } = options;
  const interrupted = new AbortController();
  const interrupt = (signal: NodeJS.Signals): void => interrupted.abort(signal);
  for (const signal of SIGNALS) process.on(signal, interrupt);
  const sessionDir = newSessionDir();
  const nodeId = randomBytes(6).toString("hex") as NodeId;
  const logs = join(home, "logs");
  mkdirSync(logs, { recursive: true, mode: 0o700 });
  const log = join(logs, `node-${nodeId}.log`);
  const file = openSync(log, "a", 0o600);
  try {
    const config = daemonConfig(options, nodeId, sessionDir);
    const flags = ending === "ts" ? process.execArgv : [];
    const { child, report } = startProcess<Exclude<DaemonReport, { readonly error: string }>>({
      file: daemonMain,
      flags,
      env: { ...process.env, ...absoluteFolders(), [DAEMON_CONFIG]: JSON.stringify(config) },
      stdin: options.tied === true ? "pipe" : "ignore",
      stderr: file,
      startMs: START_MS,
      cwd: home,
    });
    interrupted.signal.addEventListener("abort", () => child.kill());
    if (interrupted.signal.aborted) child.kill();
    const ended = new Promise<number>((resolve) => child.on("exit", (code) => resolve(code ?? 1)));
    const { pid } = await report.catch(async (error: Error) => {
      child.kill();
      // What it has started ends before it does.
      await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, END_MS).unref())]);
      rmSync(sessionDir, { recursive: true, force: true });
      const { aborted, reason } = interrupted.signal;
      if (aborted) throw new CommandError(`the node did not start: ${String(reason)} ended its start, and nothing of it runs`);
      const unsaid = error.message.startsWith("it ");
      throw new CommandError(`the node did not start: ${error.message}${unsaid ? `; see ${log}` : ""}`);
    });
    if (options.tied !== true) child.unref();
    return { nodeId, pid, log, ended };
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt);
    closeSync(file);
  }
}

/** What the environment names in the folder of the command, for a daemon that runs in another. */
function absoluteFolders(): NodeJS.ProcessEnv {
  const tlsDir = tlsFolder();
  return {
    ...(process.env["MOBULA_HOME"] ? { MOBULA_HOME: homeFolder() } : {}),
    ...(tlsDir === undefined ? {} : { MOBULA_TLS_DIR: tlsDir }),
  };
}

function daemonConfig(options: NodeOptions, nodeId: NodeId, sessionDir: string): DaemonConfig {
  const { home, tied = false, cluster, numCpus, numGpus, resources, labels, objectStoreMemory } = options;
  return {
    sessionDir,
    nodeId,
    home,
    tied,
    cluster,
    // No job is here yet: each says itself what its workers are.
    jobId: "none" as JobId,
    namespace: "",
    numCpus: numCpus ?? availableParallelism(),
    numGpus: numGpus ?? countGpus(),
    resources: resources ?? {},
    objectStoreMemory: objectStoreMemory ?? defaultCapacity(),
    labels: labels ?? {},
    workerMain,
    workerExecArgv: ending === "ts" ? process.execArgv : [],
    workerConfig: { jobId: "none", namespace: "", envVars: {} },
  };
}

/** Ends a node and what it has started: first it is asked to, after `graceMs` it is made to. */
export async function stopNode({ pid, started, sessionDir }: NodeHere, graceMs: number): Promise<"ended" | "killed"> {
  const lives = (): boolean => startOf(pid) === started;
  const wait = async (ms: number): Promise<boolean> => {
    for (const until = Date.now() + ms; Date.now() < until && lives();) await new Promise((resolve) => setTimeout(resolve, 20));
    return !lives();
  };
  if (lives()) process.kill(pid, "SIGTERM");
  if (await wait(graceMs)) return "ended";
  process.kill(pid, "SIGKILL");
  await wait(2_000);
  // What it had no time for.
  rmSync(sessionDir, { recursive: true, force: true });
  return "killed";
}
