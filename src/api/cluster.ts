/**
 * The cluster as a whole: connect, leave, and what it has.
 */
import { writeFile } from "node:fs/promises";
import type { ClusterInfo, Engine, NodeInfo, RuntimeContext, TimelineEvent } from "../runtime/engine.ts";
import { initSettings, naturalAmounts } from "./options.ts";
import { text } from "./option-checks.ts";
import type { InitOptions } from "./option-types.ts";
import { alreadyInitialised, closing, closeEngine, engine, openEngine, startEngine } from "./session.ts";

/** What `init` gives: where the program is connected to. `await using cluster = await init()` shuts down at the end of the block. */
export interface Cluster extends ClusterInfo, AsyncDisposable {
  /** As the function `shutdown`; does nothing if the program is connected to another cluster by now. */
  shutdown(): Promise<void>;
}

function clusterOf(current: Engine, info: ClusterInfo): Cluster {
  const leave = async (): Promise<void> => {
    if (openEngine() === current) await shutdown();
  };
  return { ...info, shutdown: leave, [Symbol.asyncDispose]: leave };
}

/**
 * Connects this program to a cluster: the one at `address` or in MOBULA_ADDRESS, else a new one on this machine. Optional: the first remote
 * call does it with the defaults.
 *
 * Rejects with InvalidOptionError for a wrong option, for one of a new node where there is a node to join, and when the program is
 * connected already, unless `ignoreReinitError`; with ConnectionError when the cluster cannot be reached or started, or refuses the token.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const cluster = await ray.init({ numCpus: 2 });
 * console.log((await ray.clusterResources())["CPU"]); // 2
 * await cluster.shutdown();
 * ```
 */
export async function init(options?: InitOptions): Promise<Cluster> {
  const settings = initSettings(options);
  // At once where it can: a remote call right after an init() that is not awaited goes to this cluster, not to one of its own.
  const ending = closing();
  if (ending !== undefined) await ending;
  const open = openEngine();
  if (open !== undefined && !settings.ignoreReinitError) throw alreadyInitialised();
  const current = open ?? startEngine(settings.engine);
  try {
    return clusterOf(current, await current.connected());
  } catch (error) {
    if (openEngine() === current || open === undefined) await closeEngine().catch(() => undefined);
    throw error;
  }
}

/**
 * Leaves the cluster; one that `init` started ends. Refs and handles of before reject with ConnectionError from now on. Idempotent, and
 * fine when nothing is connected.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * await ray.init();
 * await ray.shutdown();
 * console.log(ray.isInitialized()); // false
 * ```
 */
export async function shutdown(): Promise<void> {
  await closeEngine();
}

/**
 * Whether this program is connected to a cluster, or about to be.
 *
 * @example
 * ```ts
 * import { isInitialized } from "mobula";
 *
 * console.log(isInitialized()); // false
 * ```
 */
export function isInitialized(): boolean {
  return openEngine() !== undefined;
}

/**
 * The nodes of the cluster, dead ones too.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * console.log((await ray.nodes()).filter((node) => node.alive).length); // 1
 * await ray.shutdown();
 * ```
 */
export async function nodes(): Promise<NodeInfo[]> {
  return [...(await engine().nodes())];
}

/**
 * What all living nodes have, by resource: `CPU`, `GPU`, `memory` and `objectStoreMemory` in bytes, and custom ones.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * await ray.init({ numCpus: 2, resources: { licence: 3 } });
 * console.log((await ray.clusterResources())["licence"]); // 3
 * await ray.shutdown();
 * ```
 */
export async function clusterResources(): Promise<Record<string, number>> {
  return naturalAmounts(await engine().clusterResources());
}

/**
 * What of `clusterResources` is free now. What is used up is there with 0.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * await ray.init({ numCpus: 2 });
 * console.log((await ray.availableResources())["CPU"]); // 2
 * await ray.shutdown();
 * ```
 */
export async function availableResources(): Promise<Record<string, number>> {
  return naturalAmounts(await engine().availableResources());
}

/**
 * What ran where and when, as trace events; written to `file` too, if one is given. Open it in Perfetto or chrome://tracing.
 *
 * Rejects with the file system's error when `file` cannot be written.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * await ray.get(ray.remote(() => 1).remote());
 * console.log(Array.isArray(await ray.timeline())); // true
 * await ray.shutdown();
 * ```
 */
export async function timeline(file?: string): Promise<TimelineEvent[]> {
  if (file !== undefined) text("file", file, 4096);
  const events = [...(await engine().timeline())];
  if (file !== undefined) await writeFile(file, JSON.stringify(events));
  return events;
}

/**
 * Where this code runs: job, node, worker, task, actor, and the signal that aborts when the task is cancelled. At once; in a program that
 * is not connected it connects, and ids that only the cluster gives are empty until then.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const attempt = ray.remote(() => ray.getRuntimeContext().attempt);
 * console.log(await ray.get(attempt.remote())); // 0
 * await ray.shutdown();
 * ```
 */
export function getRuntimeContext(): RuntimeContext {
  return engine().context();
}
