/** `mobula start`: a node on this machine, as the head of a cluster or as one more of it. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { nodeOf, nodesHere } from "../../runtime/client/nodes-here.ts";
import { ifUnlocked } from "../../runtime/environments/file-lock.ts";
import { homeFolder, tlsFolder } from "../../runtime/network/home.ts";
import { clusterOf, leaderOf } from "../../runtime/control/clusters.ts";
import type { ControlConfig } from "../../runtime/control/config.ts";
import { isJobId, jobsFolder, placesOf } from "../../runtime/jobs/folders.ts";
import type { Secret } from "../../runtime/network/index.ts";
import { checkNamed } from "../../runtime/network/authority.ts";
import { createToken, findToken, privateFolder, readTokenFile, TOKEN_FILE } from "../../runtime/network/token-file.ts";
import { command, CommandError, UsageError } from "../command.ts";
import type { Values } from "../command.ts";
import { startNode } from "../daemons.ts";
import type { StartedNode } from "../daemons.ts";
import type { Output } from "../output.ts";
import { askControl, clusterFileOf, readClusterFile } from "../target.ts";
import type { ClusterFile } from "../target.ts";
import { addresses, amounts, number, pairs, port } from "../values.ts";
import { DIR, TLS_DIR } from "./options.ts";

const PORT = 6380;
const DASHBOARD_PORT = 8265;

const OPTIONS = {
  head: { about: "Make a cluster, with this machine as its head" },
  address: { value: "HOST:PORT", about: "Join the cluster whose control is there; several addresses with commas" },
  standby: { about: "Take over when the head of the cluster in --redis is gone: a second control, on another machine" },
  port: {
    value: "N",
    about: `Of control, with --head (default ${PORT}; 0 picks a free one) or --standby (default 0), else of this node (default 0)`,
  },
  host: { value: "HOST", about: "Where to listen, and how others reach this machine (default 127.0.0.1)" },
  "dashboard-port": { value: "N", about: `Of the HTTP API, with --head (default ${DASHBOARD_PORT}; 0 picks a free one)` },
  "allow-origin": { value: "ORIGIN", many: true, about: "Web pages from there may use the HTTP API, with a token; with --head" },
  "num-cpus": { value: "N", about: "Default: those of this machine; none with --standby" },
  "num-gpus": { value: "N", about: "Default: those of this machine; none with --standby" },
  resources: { value: "JSON", about: "More resources: '{\"disk\":2}'" },
  labels: { value: "A=B,C=D", about: "For placing by label" },
  "object-store-memory": { value: "BYTES", about: "Default: 30 % of what is free" },
  redis: { value: "URL", about: "Control keeps its state there, and not in the folder; with --head or --standby" },
  dir: DIR,
  fresh: { about: "Forget the cluster of this folder; with --head" },
  "tls-dir": TLS_DIR,
  block: { about: "Stay in front, and end with the node" },
  "insecure-no-tls": { about: "Listen for other machines without TLS: whoever can read the network reads everything" },
} as const;

type Options = Values<typeof OPTIONS>;

export const start = command({
  name: "start",
  about: "Start a node on this machine: the head of a new cluster, one more of a cluster, or one that stands by for the head.",
  options: OPTIONS,
  example: "mobula start --head --num-cpus 4",
  async run({ options, output }) {
    const { head, address, standby } = options;
    if ([head === true, address !== undefined, standby === true].filter(Boolean).length !== 1) {
      throw new UsageError("start takes either --head or --address HOST:PORT, or --standby --redis URL. See: mobula start --help");
    }
    const how = address !== undefined ? "address" : standby === true ? "standby" : "head";
    for (const name of NOT_TAKEN[how]) {
      if (options[name] !== undefined) throw new UsageError(`start --${how} takes no --${name}. See: mobula start --help`);
    }
    const dir = options.dir ?? homeFolder();
    // All is checked before anything is made, or forgotten.
    const choice = choiceOf(options);
    checkHost(dir, options);
    if (standby === true) return await startStandby(dir, options, choice, output);
    return head === true ? await startHead(dir, options, choice, output) : await joinCluster(dir, options, choice, output);
  },
});

/** Of all that a wrong call could break, this would show only after a minute. */
function checkHost(dir: string, options: Options): void {
  const before = options.fresh === true ? undefined : readClusterFile(dir);
  const tlsDir = options["tls-dir"] ?? tlsFolder() ?? before?.tlsDir;
  const host = options.host ?? (options.head === true ? before?.host : undefined);
  if (tlsDir !== undefined && host !== undefined) checkNamed(tlsDir, host);
}

/** What only a control uses. */
const NOT_TAKEN = { head: [], standby: ["fresh"], address: ["redis", "fresh", "dashboard-port", "allow-origin"] } as const;

type Choice = ReturnType<typeof choiceOf>;

/** Options whose values may be wrong. */
function choiceOf(options: Options) {
  return {
    control: options.address === undefined ? [] : addresses("--address", options.address),
    port: port("port", options.port),
    dashboardPort: port("dashboard-port", options["dashboard-port"]),
    allowOrigins: origins(options["allow-origin"]),
    node: nodeOptions(options),
  };
}

interface StartedHead {
  readonly address: string;
  readonly nodeId: string;
  readonly pid: number;
  readonly dashboardUrl: string | null;
  readonly tokenFile: string;
  readonly dir: string;
}

/** One at a time in a folder: the second must find what the first has made. */
async function startHead(dir: string, options: Options, choice: Choice, output: Output): Promise<number> {
  refuseSecond(dir);
  privateFolder(dir);
  const started = await ifUnlocked(join(dir, "starting"), () => serveHead(dir, options, choice));
  if (started === undefined) throw new CommandError(`a head of ${dir} is being started by another command. Look at it by: mobula status`);
  const { node, result, redis } = started;
  output.result(result, () => told(result, redis));
  return await stay(node, options);
}

function refuseSecond(dir: string): void {
  const running = nodesHere(dir).find(({ head }) => head);
  if (running === undefined) return;
  throw new CommandError(
    `a head of ${dir} runs already: process ${running.pid}, control at ${running.control.join(", ")}. ` +
      `Stop it by: mobula stop --dir ${dir}; or name another folder by --dir`,
  );
}

const OF_CLUSTER = ["cluster.json", "control", "token", "packages", "packages-uploaded"];

/** What nobody can ask for any more goes, logs too. What still runs of a job is ended by the node, which finds it by the job's folder. */
function forget(dir: string): void {
  for (const name of OF_CLUSTER) rmSync(join(dir, name), { recursive: true, force: true });
  for (const jobId of namesIn(jobsFolder(dir)).filter(isJobId)) {
    const { folder, log, mark } = placesOf(dir, jobId);
    rmSync(existsSync(mark) ? log : folder, { recursive: true, force: true });
  }
  const living = new Set(nodesHere(dir).map(({ nodeId }) => `node-${nodeId}.log`));
  for (const name of namesIn(join(dir, "logs"))) if (!living.has(name)) rmSync(join(dir, "logs", name), { force: true });
}

const namesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

async function serveHead(
  dir: string,
  options: Options,
  choice: Choice,
): Promise<{ readonly node: StartedNode; readonly result: StartedHead; readonly redis: boolean }> {
  refuseSecond(dir);
  if (options.fresh === true) forget(dir);
  const before = readClusterFile(dir);
  const { from: tokenFile } = createToken(dir);
  const file: ClusterFile = {
    clusterId: before?.clusterId ?? randomBytes(8).toString("hex"),
    host: options.host ?? before?.host ?? "127.0.0.1",
    port: choice.port ?? before?.port ?? PORT,
    dashboardPort: choice.dashboardPort ?? before?.dashboardPort ?? DASHBOARD_PORT,
    ...given("allowOrigins", choice.allowOrigins ?? before?.allowOrigins),
    ...given("redis", options.redis ?? before?.redis),
    ...given("tlsDir", options["tls-dir"] ?? tlsFolder() ?? before?.tlsDir),
  };
  const insecure = options["insecure-no-tls"] === true;
  const keeps: ControlConfig = {
    clusterId: file.clusterId,
    store:
      file.redis === undefined
        ? { kind: "durable", folder: join(dir, "control") }
        : { kind: "redis", url: file.redis, clusterId: file.clusterId },
    tokenFile,
    host: file.host,
    port: file.port,
    ...given("tlsDir", file.tlsDir),
    insecure,
  };
  const cluster = {
    clusterId: file.clusterId,
    tokenFile,
    control: [],
    host: file.host,
    port: 0,
    insecure,
    keeps,
    dashboard: {
      port: file.dashboardPort,
      // One that was asked for, or has been told to somebody before, is that one or none.
      exact: options["dashboard-port"] !== undefined || before !== undefined,
      ...given("allowOrigins", file.allowOrigins),
    },
    ...given("tlsDir", file.tlsDir),
  };
  // A command that is killed while the node starts leaves a head that can be started again, and found.
  if (before === undefined) writeClusterFile(dir, file);
  const node = await startNode({ home: dir, cluster, ...choice.node }).catch((error: Error) => {
    if (before === undefined) rmSync(clusterFileOf(dir), { force: true });
    if (file.redis === undefined || !error.message.includes(" is in use by ")) throw error;
    throw new CommandError(`${error.message} To stand by for it: mobula start --standby --redis URL`);
  });
  const { control, dashboardUrl } = nodesHere(dir).find(({ nodeId }) => nodeId === node.nodeId)!;
  const address = control[0]!;
  const dashboardPort = dashboardUrl === undefined ? file.dashboardPort : portOf(dashboardUrl);
  writeClusterFile(dir, { ...file, port: Number(address.slice(address.lastIndexOf(":") + 1)), dashboardPort });
  const result: StartedHead = { address, nodeId: node.nodeId, pid: node.pid, dashboardUrl: dashboardUrl ?? null, tokenFile, dir };
  return { node, result, redis: file.redis !== undefined };
}

function writeClusterFile(dir: string, file: ClusterFile): void {
  writeFileSync(clusterFileOf(dir), `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600 });
}

function told({ address, nodeId, pid, tokenFile, dashboardUrl }: StartedHead, redis: boolean): string {
  return [
    `The head serves: control at ${address}, node ${nodeId}, process ${pid}.`,
    `  programs on this machine:  MOBULA_ADDRESS=${address} node program.mjs`,
    `  one more node:             mobula start --address ${address}   (elsewhere with the token of ${tokenFile})`,
    ...(redis ? [`  one that takes over:       mobula start --standby --redis URL   (on another machine, with the token)`] : []),
    `  jobs over HTTP:            ${dashboardUrl}`,
    `  what it has and does:      mobula status`,
    `  its end:                   mobula stop`,
  ].join("\n");
}

/** A node without processors of its own, which keeps a control that waits to lead. */
async function startStandby(dir: string, options: Options, choice: Choice, output: Output): Promise<number> {
  const file = readClusterFile(dir);
  const url = options.redis ?? file?.redis;
  if (url === undefined) throw new UsageError("start --standby needs --redis URL, the one that the head was started with");
  privateFolder(dir);
  const { token, tokenFile } = keptToken(dir);
  const clusterId = (await clusterOf(url, token)) ?? (file?.redis === url ? file.clusterId : undefined);
  if (clusterId === undefined) {
    throw new CommandError(
      `no cluster of the token in ${tokenFile} keeps its state in that Redis. Start its head first: mobula start --head --redis URL`,
    );
  }
  const host = options.host ?? "127.0.0.1";
  const insecure = options["insecure-no-tls"] === true;
  const common = { clusterId, tokenFile, host, insecure, ...given("tlsDir", options["tls-dir"] ?? tlsFolder() ?? file?.tlsDir) };
  const keeps: ControlConfig = {
    ...common,
    store: { kind: "redis", url, clusterId },
    port: choice.port ?? 0,
    standby: true,
  };
  const leader = await leaderOf(keeps.store);
  // Where it leads one day, it serves the HTTP API as well.
  const dashboard = {
    port: choice.dashboardPort ?? DASHBOARD_PORT,
    exact: options["dashboard-port"] !== undefined,
    ...given("allowOrigins", choice.allowOrigins),
  };
  const cluster = { ...common, control: leader === undefined ? [] : [leader], port: 0, keeps, dashboard };
  const node = await startNode({ home: dir, cluster, numCpus: 0, numGpus: 0, ...choice.node });
  const address = nodesHere(dir).find(({ nodeId }) => nodeId === node.nodeId)!.keeps!;
  output.result({ address, nodeId: node.nodeId, pid: node.pid }, () =>
    [
      `A control stands by at ${address}, kept by node ${node.nodeId}, process ${node.pid}.`,
      leader === undefined
        ? `  nobody led: it takes over now`
        : `  it takes over when the one at ${leader} is gone; nodes and programs know of it already`,
    ].join("\n"),
  );
  return await stay(node, options);
}

/** The token in a file that stays: control reads it at each start. */
function keptToken(dir: string): { token: Secret; tokenFile: string } {
  const found = findToken({ dir });
  const path = join(dir, TOKEN_FILE);
  if (found === undefined) {
    throw new CommandError(
      `there is no token for the cluster. Copy the head's token file to ${path} (mode 0600), or set MOBULA_TOKEN or MOBULA_TOKEN_FILE`,
    );
  }
  if (found.from !== "MOBULA_TOKEN") return { token: found.token, tokenFile: resolve(found.from) };
  if (!existsSync(path)) writeFileSync(path, `${found.token.expose()}\n`, { mode: 0o600, flag: "wx" });
  if (readTokenFile(path).equals(found.token)) return { token: found.token, tokenFile: resolve(path) };
  throw new CommandError(`${path} holds another token than MOBULA_TOKEN: it is the folder of another cluster. Name another by --dir`);
}

async function joinCluster(dir: string, options: Options, choice: Choice, output: Output): Promise<number> {
  privateFolder(dir);
  const token = findToken({ dir });
  if (token === undefined) {
    throw new CommandError(
      `there is no token for ${options.address}. Copy the head's token file to ${join(dir, "token")} (mode 0600), or set MOBULA_TOKEN_FILE`,
    );
  }
  const tlsDir = options["tls-dir"] ?? tlsFolder() ?? readClusterFile(dir)?.tlsDir;
  const named = choice.control.join(",");
  // Where a node of the cluster runs here, a control that is away comes back, and is waited for.
  if (nodeOf(named, dir) !== undefined) await askControl({ address: named, token: token.token, tlsDir, dir }, { kind: "status" });
  // A daemon reads it from a file: no token is in an environment.
  const tokenFile = token.from === "MOBULA_TOKEN" ? join(dir, "token-of-environment") : token.from;
  if (token.from === "MOBULA_TOKEN") writeFileSync(tokenFile, `${token.token.expose()}\n`, { mode: 0o600 });
  const cluster = {
    tokenFile,
    control: choice.control,
    host: options.host ?? "127.0.0.1",
    port: choice.port ?? 0,
    insecure: options["insecure-no-tls"] === true,
    ...given("tlsDir", tlsDir),
  };
  let node: StartedNode;
  try {
    node = await startNode({ home: dir, cluster, ...choice.node });
  } finally {
    // It is read once, at the start.
    if (tokenFile !== token.from) rmSync(tokenFile, { force: true });
  }
  const { address } = nodesHere(dir).find(({ nodeId }) => nodeId === node.nodeId)!;
  output.result({ address, nodeId: node.nodeId, pid: node.pid }, () => `Node ${node.nodeId} serves at ${address}, process ${node.pid}.`);
  return await stay(node, options);
}

/** As browsers write them: scheme, host, and a port where it is not the scheme's own. */
function origins(given: readonly string[] | undefined): string[] | undefined {
  return given?.map((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url !== undefined && /^https?:$/.test(url.protocol) && (url.href === `${url.origin}/` || url.href === url.origin))
      return url.origin;
    throw new UsageError(`--allow-origin must be the origin of a page, such as https://example.org:8080, and is ${JSON.stringify(text)}`);
  });
}

/** Of a URL; the scheme's own where it names none. */
function portOf(text: string): number {
  const { port: named, protocol } = new URL(text);
  return named === "" ? (protocol === "https:" ? 443 : 80) : Number(named);
}

function nodeOptions(options: Options) {
  return {
    ...given("tied", options.block),
    ...given("numCpus", number("num-cpus", options["num-cpus"])),
    ...given("numGpus", number("num-gpus", options["num-gpus"])),
    ...given("resources", amounts("resources", options.resources)),
    ...given("labels", pairs("labels", options.labels)),
    ...given("objectStoreMemory", number("object-store-memory", options["object-store-memory"])),
  };
}

/** With `--block` the command lives as long as the node, and the node as long as the command. */
async function stay(node: StartedNode, { block }: Options): Promise<number> {
  if (block !== true) return 0;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.kill(node.pid, "SIGTERM"));
  return await node.ended;
}

function given<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}
