/**
 * A program and its node. It starts the node daemon of this machine, joins it, and ends it: as a cluster of its own, or as a node without
 * processors of the cluster at an address. Where that cluster has a node here already, it joins that.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { ConnectionError, explain, MobulaError, NodeDiedError } from "../../errors/index.ts";
import { prepareCapture } from "../../functions/index.ts";
import { termsOf } from "../../core/node/jobs.ts";
import { defaultCapacity } from "../../memory/capacity.ts";
import { driverId } from "../../protocol/ids.ts";
import type { JobId, NodeId } from "../../protocol/ids.ts";
import type { Body, MessageName } from "../../protocol/messages.ts";
import { DAEMON_CONFIG, packagesOf } from "../daemon/config.ts";
import type { ClusterConfig, DaemonConfig, DaemonReport } from "../daemon/config.ts";
import { daemonFlags, workerFlags } from "../flags.ts";
import { countGpus } from "../gpus.ts";
import type { ApiHooks, ClusterInfo, Engine, EngineOptions } from "../engine.ts";
import { Client } from "./client.ts";
import { ClientEngine, notAnActor } from "./engine.ts";
import { startFirstWorker } from "./first-worker.ts";
import type { FirstWorker } from "./first-worker.ts";
import { LogPrinter } from "./log-printer.ts";
import { newSessionDir, startProcess } from "../start-process.ts";
import { nodeOf } from "./nodes-here.ts";
import type { NodeHere } from "./nodes-here.ts";
import { submittedBy } from "./submitted.ts";
import type { SubmittedBy } from "./submitted.ts";

/** Source or build: the files that are started have the ending of this one. */
const ending = import.meta.url.endsWith(".ts") ? "ts" : "js";
const daemonMain = fileURLToPath(new URL(`../daemon/main.${ending}`, import.meta.url));
const workerMain = fileURLToPath(new URL(`../../worker/main.${ending}`, import.meta.url));

/** The daemon serves within this time, or its start has failed. */
const START_MS = 30_000;
/** What workers have printed is waited for so long at the end. */
const OUTPUT_MS = 5_000;
/** Its exit is known at most so long after its connection broke. */
const EXIT_MS = 500;
/** At the end the daemon is waited for so long. */
const END_MS = 5_000;

export function startLocal(options: EngineOptions, hooks: ApiHooks): Engine {
  return new LocalCluster(options, hooks).engine;
}

class LocalCluster {
  readonly engine: ClientEngine;
  readonly #client: Client;
  readonly #options: EngineOptions;
  /** Of the cluster that it joins; undefined when it is its own. */
  readonly #address: string | undefined;
  readonly #submitted: SubmittedBy;
  /** A node of that cluster which runs here. */
  readonly #here: NodeHere | undefined;
  readonly #nodeId: NodeId;
  readonly #abort = new AbortController();
  readonly #printer = new LogPrinter();
  readonly #connected: Promise<ClusterInfo>;
  #daemon: ChildProcess | undefined;
  /** Started beside it, and its own from then on. */
  #first: FirstWorker | undefined;
  #sessionDir: string | undefined;
  #ending: Promise<void> | undefined;
  readonly #beforeExit = (): void => void this.#end();

  constructor(options: EngineOptions, hooks: ApiHooks) {
    this.#options = options;
    this.#address = addressOf(options.address);
    const submitted = (this.#submitted = submittedBy(this.#address));
    this.#here = this.#address === undefined ? undefined : nodeOf(this.#address);
    const nodeId = (this.#nodeId = this.#here?.nodeId ?? (randomBytes(6).toString("hex") as NodeId));
    const process_ = driverId(nodeId, randomBytes(3).toString("hex"));
    const jobId = `job-${randomBytes(4).toString("hex")}` as JobId;
    const namespace = options.namespace ?? randomBytes(8).toString("hex");
    this.#client = new Client(
      { process: process_, jobId, namespace },
      hooks,
      (name, body) => this.#message(name, body),
      (error) => this.#lost(error),
      {
        packages: async () => (await this.#made.promise, packagesOf(this.#here?.sessionDir ?? this.#sessionDir!)),
        environment: submitted.environment,
      },
    );
    if (this.#address !== undefined) {
      const execArgv = workerFlags(process.execArgv);
      const envVars = { ...submitted.envVars, ...options.envVars };
      this.#client.job = { jobId, namespace, driver: process_, entry: process.argv[1], folder: process.cwd(), execArgv, envVars };
    }
    if (options.environment) this.#client.environments.setJob(options.environment);
    this.engine = new ClientEngine(this.#client, {
      connected: () => this.#connected,
      close: () => this.#end(),
      exitActor: notAnActor,
      isDriver: true,
      signal: this.#abort.signal,
    });
    this.#connected = this.#start();
    this.#connected.catch(() => {});
    process.on("beforeExit", this.#beforeExit);
  }

  async #start(): Promise<ClusterInfo> {
    try {
      if (this.#here !== undefined) await this.#checkHere(this.#here);
      const socket = this.#here?.socket ?? (await this.#startDaemon());
      this.#made.resolve();
      this.#client.node.story = () => this.#whyItEnded();
      const { identity } = this.#client;
      await this.#client.node.connect(
        socket,
        (send) => {
          const { process: processId, jobId, namespace } = identity;
          const { logToDriver, job } = this.#options;
          const hello = { processId, jobId, pid: process.pid, namespace, logToDriver };
          send("driverHello", { ...hello, submission: this.#submitted.jobId, terms: termsOf(this.#submitted.terms, job) });
        },
        () => {},
      );
      this.#client.node.hold();
      await this.#welcome.promise;
      await this.#makeEnvironment();
      this.#client.node.letGo();
      return { address: this.#address ?? socket, nodeId: this.#client.nodeId, jobId: identity.jobId, namespace: identity.namespace };
    } catch (error) {
      const failed =
        error instanceof MobulaError ? error : new ConnectionError(`The cluster did not start: ${String(error)}`, { cause: error });
      this.#client.node.fail(failed);
      this.#made.reject(failed);
      this.#daemon?.kill();
      this.#first?.kill();
      this.#removeSession();
      throw failed;
    }
  }

  async #checkHere(here: NodeHere): Promise<void> {
    const { checkHere } = await import("./joining-here.ts");
    checkHere(here, this.#address!, this.#options, this.#submitted.jobId);
  }

  /** What `init` was given for all workers is uploaded before it is done, and the node begins to make it. */
  async #makeEnvironment(): Promise<void> {
    if (!this.#options.environment) return;
    const environment = await this.#client.environments.makeJob();
    if (environment !== undefined) await this.#client.node.ask({ kind: "environmentWarm", environment });
  }

  /** Of the node; rejects when that hangs up instead. */
  readonly #welcome = settlable();
  /** The node's folder, by the node itself: one that is there before, it takes for somebody else's. */
  readonly #made = settlable();

  async #startDaemon(): Promise<string> {
    const { cluster, token } =
      this.#address === undefined ? {} : await (await import("./joining.ts")).joining(this.#address, this.#options.token);
    const sessionDir = (this.#sessionDir = newSessionDir());
    const settings = this.#daemonConfig(sessionDir, cluster);
    const first = (this.#first = startFirstWorker(settings));
    const config: DaemonConfig = first === undefined ? settings : { ...settings, firstWorker: first.pid };
    // From sources it needs what loads TypeScript.
    const flags = ending === "ts" ? workerFlags(process.execArgv) : daemonFlags(process.execArgv);
    const { child: daemon, report } = startProcess<Exclude<DaemonReport, { readonly error: string }>>({
      file: daemonMain,
      flags,
      env: { ...process.env, [DAEMON_CONFIG]: JSON.stringify(config) },
      stdin: "pipe",
      stderr: "inherit",
      inherits: first?.output,
      startMs: START_MS,
    });
    this.#daemon = daemon;
    first?.handOver(daemon);
    if (token !== undefined) daemon.stdin!.write(`${token}\n`);
    daemon.on("exit", (code, signal) => {
      this.#ended?.(nodeDied(daemon.pid, code, signal));
      first?.kill();
      this.#client.node.destroy();
      this.#removeSession();
    });
    // While the daemon loads this process would only wait.
    setImmediate(prepareCapture);
    try {
      return (await report).socket;
    } catch (error) {
      throw new Error((error as Error).message.replace(/^it /, "the node daemon "), { cause: error });
    } finally {
      // What holds the program open from now on is what it waits for.
      daemon.unref();
      (daemon.stdin as unknown as { unref(): void }).unref();
    }
  }

  #ended: ((why: Error) => void) | undefined;

  /** A daemon that ends breaks its connection a moment before its exit is known. */
  #whyItEnded(): Promise<Error | undefined> {
    const daemon = this.#daemon;
    if (daemon === undefined) return Promise.resolve(undefined);
    if (daemon.exitCode !== null || daemon.signalCode !== null) {
      return Promise.resolve(nodeDied(daemon.pid, daemon.exitCode, daemon.signalCode));
    }
    return within(EXIT_MS, new Promise<Error>((resolve) => (this.#ended = resolve)));
  }

  #daemonConfig(sessionDir: string, cluster: ClusterConfig | undefined): DaemonConfig {
    const { numCpus, numGpus, resources, objectStoreMemory, envVars, environment } = this.#options;
    const { jobId, namespace } = this.#client.identity;
    return {
      sessionDir,
      nodeId: this.#nodeId,
      jobId,
      namespace,
      ...(cluster === undefined ? {} : { cluster }),
      // What joins a cluster brings no processors unless it says so: the program itself needs some.
      numCpus: numCpus ?? (cluster === undefined ? availableParallelism() : 0),
      numGpus: numGpus ?? (cluster === undefined ? countGpus() : 0),
      resources,
      objectStoreMemory: objectStoreMemory ?? defaultCapacity(),
      labels: {},
      memoryThreshold: memoryThreshold(),
      workerMain,
      workerExecArgv: workerFlags(process.execArgv),
      workerConfig: { jobId, namespace, entry: process.argv[1] },
      envVars: envVars ?? {},
      prestart: environment === undefined,
    };
  }

  #message(name: MessageName, body: never): boolean {
    switch (name) {
      case "welcome":
        this.#client.ready(body);
        this.#welcome.resolve();
        return true;
      case "log":
        this.#printer.print(body);
        return true;
      case "warning":
        this.#printer.warn((body as Body<"warning">).message);
        return true;
      default:
        return false;
    }
  }

  #lost(error: Error): void {
    this.#welcome.reject(error);
    this.#abort.abort(new ConnectionError("The cluster is gone."));
  }

  #end(): Promise<void> {
    process.off("beforeExit", this.#beforeExit);
    return (this.#ending ??= this.#doEnd());
  }

  async #doEnd(): Promise<void> {
    await this.#connected.catch(() => undefined);
    const { node } = this.#client;
    // What workers have printed until now is on the terminal before the program goes on.
    const drained = node.closed ? undefined : node.ask({ kind: "outputDrained" }).catch(() => undefined);
    await within(OUTPUT_MS, Promise.resolve(drained));
    this.#printer.flush();
    const closed = new ConnectionError(
      explain("There is no cluster any more", "shutdown() was called", "Call init() again and make refs and handles anew"),
    );
    node.fail(closed);
    const daemon = this.#daemon;
    if (daemon && daemon.exitCode === null && daemon.signalCode === null) {
      const gone = new Promise<void>((resolve) => daemon.once("exit", () => resolve()));
      daemon.ref();
      daemon.stdin!.end();
      await within(END_MS, gone);
      if (daemon.exitCode === null && daemon.signalCode === null) daemon.kill("SIGKILL");
    }
    node.destroy();
    this.#removeSession();
  }

  #removeSession(): void {
    if (this.#sessionDir) rmSync(this.#sessionDir, { recursive: true, force: true });
  }
}

/** The address of the cluster to join, if there is one. */
function addressOf(given: string | undefined): string | undefined {
  const address = given ?? process.env["MOBULA_ADDRESS"] ?? "";
  return address === "" || address === "local" ? undefined : address;
}

/** From the environment, as it belongs to the machine and not to the program. */
function memoryThreshold(): number | undefined {
  const given = process.env["MOBULA_MEMORY_THRESHOLD"] ?? "";
  if (given === "") return undefined;
  const part = Number(given);
  if (part >= 0 && part <= 1) return part;
  throw new ConnectionError(
    explain(
      "The cluster did not start",
      `MOBULA_MEMORY_THRESHOLD is ${JSON.stringify(given)}, and has to be a part of the machine's memory, from 0 to 1`,
      "Leave it out for 0.95; 0 never ends a worker for lack of memory",
    ),
  );
}

function nodeDied(pid: number | undefined, code: number | null, signal: NodeJS.Signals | null): NodeDiedError {
  const how = signal === null ? `it exited with code ${code}` : `it was killed by signal ${signal}`;
  return new NodeDiedError(
    explain(
      `The node daemon of this machine (pid ${pid}) is gone`,
      `${how}, and with it its workers, actors and objects`,
      "Call init() again",
    ),
  );
}

/** A promise that is settled from outside; nobody need look whether it was rejected. */
function settlable(): { readonly promise: Promise<void>; readonly resolve: () => void; readonly reject: (error: Error) => void } {
  let resolve!: () => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<void>((yes, no) => ([resolve, reject] = [yes, no]));
  promise.catch(() => {});
  return { promise, resolve, reject };
}

/** The value of a promise, or undefined after `ms`. It holds the program open until then, and not a moment longer. */
async function within<T>(ms: number, value: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => (timer = setTimeout(() => resolve(undefined), ms)));
  try {
    return await Promise.race([value, late]);
  } finally {
    clearTimeout(timer);
  }
}
