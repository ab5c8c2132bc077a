/**
 * Options as users give them, to structures as the engine takes them: checked, with defaults, in the protocol's units. All are
 * refused at the call. No state.
 */
import { InvalidOptionError } from "../errors/index.ts";
import type { NodeId, PlacementGroupId } from "../protocol/ids.ts";
import type { ActorOptions as WireActorOptions, CheckpointRule, LeaseShape, ResourceAmounts, Strategy } from "../protocol/messages.ts";
import type { ActorSpec, CallSpec, EngineOptions, GetRequest, GroupSpec, RetryRule, TaskSpec, WaitRequest } from "../runtime/engine.ts";
import {
  abortSignal,
  amount,
  AMOUNT_UNIT,
  bool,
  bytes,
  checkNames,
  choice,
  count,
  finite,
  gpus,
  integer,
  labelQuery,
  record,
  refuse,
  text,
} from "./option-checks.ts";
import type { Raw } from "./option-checks.ts";
import { runtimeEnvOf } from "./runtime-env-options.ts";

const placing = ["numCpus", "numGpus", "memory", "resources", "runtimeEnv", "schedulingStrategy", "labelSelector", "priority"];
const calling = ["name", "numReturns", "retryExceptions", "signal", "streamBuffer"];
const taskNames = [...placing, ...calling, "maxRetries", "maxCalls", "captures"];
const actorNames = [
  ...placing,
  "name",
  "namespace",
  "lifetime",
  "getIfExists",
  "maxRestarts",
  "maxTaskRetries",
  "maxConcurrency",
  "concurrencyGroups",
  "maxPendingCalls",
  "checkpoint",
  "captures",
];
const methodNames = [...calling, "concurrencyGroup", "maxTaskRetries"];

const taskElsewhere: Raw = {
  maxTaskRetries: "That is an option of actors; for tasks it is maxRetries.",
  maxRestarts: "That is an option of actors; for tasks it is maxRetries.",
  maxConcurrency: "That is an option of actors.",
};
const actorElsewhere: Raw = {
  maxRetries: "That is an option of tasks; for actors it is maxTaskRetries, and maxRestarts.",
  numReturns: "That is an option of a method: handle.method.options({ numReturns }).",
  concurrencyGroup: "That is an option of a method: handle.method.options({ concurrencyGroup }).",
  retryExceptions: "That is an option of a method: handle.method.options({ retryExceptions }).",
};
const methodElsewhere: Raw = {
  maxRetries: "That is an option of tasks; for methods it is maxTaskRetries.",
  numCpus: "That is an option of the actor class, not of a method.",
  maxConcurrency: "That is an option of the actor class, not of a method.",
};

/** "-1" where the protocol wants a number. */
const UNBOUNDED_CALLS = 1_000_000;
const MAX_RETURNS = 1_000_000;
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export const checkTaskNames = (options: unknown): Raw => checkNames("a remote function", options, taskNames, taskElsewhere);
export const checkActorNames = (options: unknown): Raw => checkNames("an actor class", options, actorNames, actorElsewhere);
export const checkMethodNames = (options: unknown): Raw => checkNames("an actor method", options, methodNames, methodElsewhere);

/** `captures` belong to the function, so they are given once. */
export function refuseCaptures(given: Raw): void {
  if ("captures" in given) {
    throw new InvalidOptionError("captures cannot be changed by .options(). Give them to remote(fn, { captures }).", {
      option: "captures",
      value: given["captures"],
    });
  }
}

/** The captures named by hand. */
export function captures(given: Raw): Readonly<Record<string, unknown>> | undefined {
  return given["captures"] === undefined ? undefined : record("captures", given["captures"], (_option, value) => value, Infinity);
}

/** Resources that have options of their own. */
const ownOptions = new Map([
  ["cpu", "numCpus"],
  ["gpu", "numGpus"],
  ["memory", "memory"],
]);
/** How these are written in a bundle. */
const bundleNames = new Map([
  ["cpu", "CPU"],
  ["numcpus", "CPU"],
  ["gpu", "GPU"],
  ["numgpus", "GPU"],
  ["memory", "memory"],
]);

function customResources(value: unknown, option = "resources"): Record<string, number> {
  return record(option, value, (path, item, name) => {
    const own = ownOptions.get(name.toLowerCase());
    if (own !== undefined) {
      throw new InvalidOptionError(`${path} is not a custom resource. Use the option ${own}.`, { option: path, value: item });
    }
    return amount(path, item);
  });
}

/** Resources without those of amount 0. */
function compact(amounts: Record<string, number>): ResourceAmounts {
  const out = Object.create(null) as ResourceAmounts;
  for (const [name, units] of Object.entries(amounts)) if (units > 0) out[name] = units;
  return out;
}

function heldResources(given: Raw, cpuUnits: number): ResourceAmounts {
  const held = given["resources"] === undefined ? (Object.create(null) as Record<string, number>) : customResources(given["resources"]);
  held["CPU"] = given["numCpus"] === undefined ? cpuUnits : amount("numCpus", given["numCpus"]);
  held["GPU"] = given["numGpus"] === undefined ? 0 : gpus("numGpus", given["numGpus"]);
  held["memory"] = given["memory"] === undefined ? 0 : bytes("memory", given["memory"]) * AMOUNT_UNIT;
  return compact(held);
}

function strategyOf(value: unknown): Strategy {
  if (value === undefined || value === "DEFAULT") return { kind: "default" };
  if (value === "SPREAD") return { kind: "spread" };
  const option = "schedulingStrategy";
  if (typeof value !== "object" || value === null) {
    return refuse(option, value, '"DEFAULT", "SPREAD", nodeAffinity(...), nodeLabels(...) or inPlacementGroup(...)');
  }
  const given = value as Raw;
  switch (given["kind"]) {
    case "affinity":
      return {
        kind: "affinity",
        nodeId: text("nodeAffinity.nodeId", given["nodeId"], 64) as NodeId,
        soft: bool("nodeAffinity.soft", given["soft"]),
      };
    case "labels":
      return {
        kind: "labels",
        hard: record("nodeLabels.hard", given["hard"], labelQuery),
        soft: record("nodeLabels.soft", given["soft"], labelQuery),
      };
    case "group":
      return {
        kind: "group",
        groupId: text("inPlacementGroup.group", given["groupId"], 128) as PlacementGroupId,
        bundleIndex: integer("inPlacementGroup.bundleIndex", given["bundleIndex"], -1, 10_000),
        captureChildTasks: bool("inPlacementGroup.captureChildTasks", given["captureChildTasks"]),
      };
    default:
      return refuse(option, value, '"DEFAULT", "SPREAD", nodeAffinity(...), nodeLabels(...) or inPlacementGroup(...)');
  }
}

function shapeOf(given: Raw, resources: ResourceAmounts, name: string): LeaseShape {
  const labelSelector = given["labelSelector"] === undefined ? undefined : record("labelSelector", given["labelSelector"], labelQuery);
  const { envVars } = runtimeEnvOf(given["runtimeEnv"]);
  return {
    resources,
    strategy: strategyOf(given["schedulingStrategy"]),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(envVars === undefined ? {} : { envVars }),
    name,
    priority: given["priority"] === undefined ? 0 : finite("priority", given["priority"]),
  };
}

function retryRule(value: unknown): RetryRule {
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  // A class is a function too; as a predicate it would throw at each failure.
  if (typeof value === "function" && !isClass(value)) return value as (error: unknown) => boolean;
  const classes = Array.isArray(value) ? (value as unknown[]) : [value];
  const known = classes.map((type, i) =>
    typeof type === "function"
      ? type
      : refuse(
          Array.isArray(value) ? `retryExceptions[${i}]` : "retryExceptions",
          type,
          "true, false, a list of error classes, or a predicate",
        ),
  );
  return (error) => known.some((type) => error instanceof type);
}

/** Whether a function was written as a class. */
export function isClass(fn: Function): boolean {
  return /^class\b/.test(Function.prototype.toString.call(fn)) || fn === Error || fn.prototype instanceof Error;
}

function returnsOf(value: unknown, generator: boolean): number | "streaming" {
  if (value === "streaming") return "streaming";
  if (value === undefined) return generator ? "streaming" : 1;
  if (typeof value === "string") refuse("numReturns", value, 'a count, or "streaming"');
  const k = integer("numReturns", value, 0, MAX_RETURNS);
  return generator ? refuse("numReturns", value, 'left out, or "streaming", for a generator: what it yields is a stream') : k;
}

function callPart(given: Raw, generator: boolean) {
  return {
    numReturns: returnsOf(given["numReturns"], generator),
    retryExceptions: retryRule(given["retryExceptions"]),
    streamBuffer: given["streamBuffer"] === undefined ? 16 : count("streamBuffer", given["streamBuffer"], 1),
    signal: given["signal"] === undefined ? undefined : abortSignal("signal", given["signal"]),
  };
}

const nameOf = (given: Raw, fallback: string): string =>
  given["name"] === undefined ? fallback.slice(0, 256) : text("name", given["name"]);

/** Options of a task, checked. `given` went through `checkTaskNames`. */
export function taskSettings(given: Raw, fallbackName: string, generator: boolean): Omit<TaskSpec, "target"> {
  return {
    shape: shapeOf(given, heldResources(given, AMOUNT_UNIT), nameOf(given, fallbackName)),
    environment: runtimeEnvOf(given["runtimeEnv"]).environment,
    placed: given["schedulingStrategy"] !== undefined,
    ...callPart(given, generator),
    maxRetries: given["maxRetries"] === undefined ? 3 : count("maxRetries", given["maxRetries"], 0),
    maxCalls: given["maxCalls"] === undefined ? -1 : count("maxCalls", given["maxCalls"], 1),
  };
}

const bounded = (n: number): number => (n === -1 ? UNBOUNDED_CALLS : n);

function wireActorOptions(given: Raw, methods: readonly string[]): WireActorOptions {
  const resources = heldResources(given, 0);
  const { name, lifetime, namespace, getIfExists } = given;
  if (lifetime !== undefined && lifetime !== null) choice("lifetime", lifetime, ["detached"]);
  if (getIfExists === true && name === undefined) refuse("getIfExists", true, "given together with a name");
  const groups = given["concurrencyGroups"];
  return {
    ...(name === undefined ? {} : { name: text("name", name) }),
    // Empty: the job's own, which only the engine knows.
    namespace: namespace === undefined ? "" : text("namespace", namespace),
    detached: lifetime === "detached",
    getIfExists: getIfExists === undefined ? false : bool("getIfExists", getIfExists),
    maxRestarts: given["maxRestarts"] === undefined ? 0 : count("maxRestarts", given["maxRestarts"], 0),
    maxConcurrency: bounded(
      given["maxConcurrency"] === undefined ? 1 : count("maxConcurrency", given["maxConcurrency"], 1, UNBOUNDED_CALLS),
    ),
    ...(groups === undefined
      ? {}
      : {
          concurrencyGroups: record("concurrencyGroups", groups, (option, value) => bounded(count(option, value, 1, UNBOUNDED_CALLS))),
        }),
    resources,
    placementResources: given["numCpus"] === undefined ? { ...resources, CPU: AMOUNT_UNIT } : resources,
    methods: methods.filter((method) => method.length <= 256).slice(0, 10_000),
  };
}

/** `checkpoint: true`. */
const CHECKPOINT: CheckpointRule = { everyCalls: 100, everyMs: 1000 };
const DAY_MS = 86_400_000;

function checkpointRule(value: unknown): CheckpointRule | undefined {
  if (value === undefined || value === false) return undefined;
  if (value === true) return CHECKPOINT;
  if (typeof value !== "object" || value === null) refuse("checkpoint", value, "true, false, or { everyCalls, everyMs }");
  const { everyCalls, everyMs } = checkNames("checkpoint", value, ["everyCalls", "everyMs"]);
  if (everyCalls === undefined && everyMs === undefined) refuse("checkpoint", value, "given everyCalls, everyMs, or both; or true");
  return {
    everyCalls: everyCalls === undefined ? 0 : Math.max(0, count("checkpoint.everyCalls", everyCalls, 1, 1_000_000)),
    everyMs: everyMs === undefined ? 0 : Math.max(0, count("checkpoint.everyMs", everyMs, 1, DAY_MS)),
  };
}

/** With what would make it useless, or its promise impossible, it is not taken. */
function checkpointOf(
  value: unknown,
  { maxRestarts, maxConcurrency, concurrencyGroups }: WireActorOptions,
): { checkpoint?: CheckpointRule } {
  const checkpoint = checkpointRule(value);
  if (checkpoint === undefined) return {};
  if (maxRestarts === 0) refuse("checkpoint", value, "given together with maxRestarts: without it the actor is never started again");
  if (maxConcurrency !== 1 || concurrencyGroups !== undefined) {
    refuse(
      "checkpoint",
      value,
      "left out with maxConcurrency or concurrencyGroups: calls that interleave cannot be run again in their order",
    );
  }
  return { checkpoint };
}

/** Options of an actor class, checked. `given` went through `checkActorNames`. */
export function actorSettings(given: Raw, className: string, methods: readonly string[]): Omit<ActorSpec, "target"> {
  const plain = wireActorOptions(given, methods);
  const options = { ...plain, ...checkpointOf(given["checkpoint"], plain) };
  return {
    options,
    shape: shapeOf(given, options.placementResources, className.slice(0, 256)),
    environment: runtimeEnvOf(given["runtimeEnv"]).environment,
    placed: given["schedulingStrategy"] !== undefined,
    maxTaskRetries: given["maxTaskRetries"] === undefined ? 0 : count("maxTaskRetries", given["maxTaskRetries"], 0),
    maxPendingCalls: given["maxPendingCalls"] === undefined ? -1 : count("maxPendingCalls", given["maxPendingCalls"], 1),
  };
}

/** Options of a method, checked. `given` went through `checkMethodNames`. */
export function callSettings(given: Raw, method: string, generator: boolean): CallSpec {
  const { maxTaskRetries, concurrencyGroup } = given;
  return {
    method,
    name: given["name"] === undefined ? undefined : text("name", given["name"]),
    ...callPart(given, generator),
    maxTaskRetries: maxTaskRetries === undefined ? undefined : count("maxTaskRetries", maxTaskRetries, 0),
    concurrencyGroup: concurrencyGroup === undefined ? undefined : text("concurrencyGroup", concurrencyGroup),
  };
}

const initNames = [
  "address",
  "numCpus",
  "numGpus",
  "resources",
  "objectStoreMemory",
  "namespace",
  "runtimeEnv",
  "token",
  "job",
  "logToDriver",
  "dashboard",
  "ignoreReinitError",
];

function jobOf(value: unknown): EngineOptions["job"] {
  const given = checkNames("job", value, ["weight", "priority", "maxCpus"]);
  const weight = given["weight"] === undefined ? undefined : finite("job.weight", given["weight"], 0);
  return {
    weight: weight === 0 ? refuse("job.weight", weight, "above 0") : weight,
    priority: given["priority"] === undefined ? undefined : finite("job.priority", given["priority"]),
    maxCpus: given["maxCpus"] === undefined ? undefined : amount("job.maxCpus", given["maxCpus"]) / AMOUNT_UNIT,
  };
}

/** Options of `init`, checked. */
export function initSettings(options: unknown): { readonly engine: EngineOptions; readonly ignoreReinitError: boolean } {
  const given = checkNames("init", options, initNames);
  const optional = <T>(name: string, check: (option: string, value: unknown) => T): T | undefined =>
    given[name] === undefined ? undefined : check(name, given[name]);
  return {
    engine: {
      address: optional("address", (option, value) => text(option, value, 4096)),
      numCpus: optional("numCpus", (option, value) => amount(option, value) / AMOUNT_UNIT),
      numGpus: optional("numGpus", (option, value) => integer(option, value, 0, 10_000)),
      resources: naturalAmounts(optional("resources", (_, value) => customResources(value)) ?? {}),
      objectStoreMemory: optional("objectStoreMemory", (option, value) => bytes(option, value, 1)),
      namespace: optional("namespace", text),
      ...runtimeEnvOf(given["runtimeEnv"]),
      token: optional("token", (option, value) => text(option, value, 4096)),
      job: jobOf(given["job"]),
      logToDriver: optional("logToDriver", bool) ?? true,
      dashboard: optional("dashboard", bool) ?? false,
    },
    ignoreReinitError: optional("ignoreReinitError", bool) ?? false,
  };
}

function timeoutOf(value: unknown): number | undefined {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return undefined;
  const timeoutMs = finite("timeoutMs", value, 0);
  // Longer than a timer can wait is as good as without end: 24 days.
  return timeoutMs > MAX_TIMEOUT_MS ? undefined : timeoutMs;
}

/** A `timeoutMs` option and nothing else. */
export function timeoutSetting(what: string, options: unknown): number | undefined {
  return timeoutOf(checkNames(what, options, ["timeoutMs"])["timeoutMs"]);
}

/** A `timeoutMs` as an argument. */
export const timeoutArgument = timeoutOf;

export function getSettings(options: unknown): Omit<GetRequest, "onProgress"> & { readonly progress: boolean } {
  const given = checkNames("get", options, ["timeoutMs", "signal", "progress"]);
  return {
    timeoutMs: timeoutOf(given["timeoutMs"]),
    signal: given["signal"] === undefined ? undefined : abortSignal("signal", given["signal"]),
    progress: given["progress"] === undefined ? false : bool("progress", given["progress"]),
  };
}

export function waitSettings(options: unknown, refs: number): WaitRequest {
  const given = checkNames("wait", options, ["numReturns", "timeoutMs", "signal", "fetchLocal"]);
  return {
    numReturns: given["numReturns"] === undefined ? 1 : integer("numReturns", given["numReturns"], 1, refs),
    timeoutMs: timeoutOf(given["timeoutMs"]),
    signal: given["signal"] === undefined ? undefined : abortSignal("signal", given["signal"]),
    fetchLocal: given["fetchLocal"] === undefined ? true : bool("fetchLocal", given["fetchLocal"]),
  };
}

/** Options that are all true or false. */
export function flags<const K extends string>(what: string, options: unknown, defaults: Readonly<Record<K, boolean>>): Record<K, boolean> {
  const names = Object.keys(defaults) as K[];
  const given = checkNames(what, options, names);
  const out = { ...defaults } as Record<K, boolean>;
  for (const name of names) if (given[name] !== undefined) out[name] = bool(name, given[name]);
  return out;
}

export function namespaceSetting(options: unknown): string | undefined {
  const given = checkNames("getActor", options, ["namespace"]);
  return given["namespace"] === undefined ? undefined : text("namespace", given["namespace"]);
}

function bundleOf(option: string, value: unknown): ResourceAmounts {
  const out = compact(
    record(option, value, (path, item, name) => {
      if (name === "memory") return bytes(path, item) * AMOUNT_UNIT;
      if (name === "GPU") return gpus(path, item);
      const right = bundleNames.get(name.toLowerCase());
      if (right !== undefined && name !== right) {
        throw new InvalidOptionError(`${path}: in a bundle, resources go by their names. Write ${right}.`, { option: path, value: item });
      }
      return amount(path, item);
    }),
  );
  return Object.keys(out).length > 0 ? out : refuse(option, value, "a bundle with at least one resource above 0");
}

/** Bundles and options of `placementGroup`, checked. */
export function groupSettings(bundles: unknown, options: unknown): GroupSpec {
  if (!Array.isArray(bundles) || bundles.length === 0 || bundles.length > 10_000) {
    return refuse("bundles", bundles, "an array of 1 to 10000 bundles, such as [{ CPU: 1 }]");
  }
  const given = checkNames("placementGroup", options, ["strategy", "name", "lifetime"]);
  if (given["lifetime"] !== undefined) choice("lifetime", given["lifetime"], ["detached"]);
  return {
    bundles: bundles.map((bundle, i) => bundleOf(`bundles[${i}]`, bundle)),
    strategy:
      given["strategy"] === undefined ? "PACK" : choice("strategy", given["strategy"], ["PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD"]),
    name: given["name"] === undefined ? undefined : text("name", given["name"]),
    detached: given["lifetime"] === "detached",
  };
}

/** Amounts in natural units, as users read them. */
export function naturalAmounts(amounts: ResourceAmounts): Record<string, number> {
  return Object.fromEntries(Object.entries(amounts).map(([name, units]) => [name, units / AMOUNT_UNIT]));
}
