/**
 * Options: what is allowed, what is refused and how the refusal reads, and what the engine is given.
 */
import assert from "node:assert/strict";
import path from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import * as ray from "../../src/api/index.ts";
import { InvalidOptionError } from "../../src/errors/index.ts";
import type { ActorSpec, TaskSpec } from "../../src/runtime/engine.ts";
import { initSettings } from "../../src/api/options.ts";
import { dropEngines, lastEngine, useFakeEngine } from "./fake-engine.ts";

beforeEach(() => useFakeEngine());
afterEach(dropEngines);

const f = (): number => 1;
class Thing {
  go(): number {
    return 1;
  }
}

/** As a JavaScript user would: without the types. */
const remoteTask = (options: unknown): unknown => ray.remote(f, options as never);
const remoteActor = (options: unknown): unknown => ray.remote(Thing, options as never);

function refused(call: () => unknown, option: string, message?: RegExp): InvalidOptionError {
  let caught: unknown;
  assert.throws(call, (error) => {
    caught = error;
    return true;
  });
  assert.ok(caught instanceof InvalidOptionError, `${String(caught)}`);
  assert.equal(caught.option, option, caught.message);
  if (message !== undefined) assert.match(caught.message, message);
  return caught;
}

function taskSpec(options: unknown): TaskSpec {
  (remoteTask(options) as { remote(): unknown }).remote();
  return lastEngine().tasks.at(-1)!.spec;
}

function actorSpec(options: unknown): ActorSpec {
  const handle = (remoteActor(options) as { remote(): unknown }).remote() as Parameters<typeof ray.kill>[0];
  return (lastEngine().hooks.coreOf(handle) as unknown as { spec: ActorSpec }).spec;
}

const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

test("defaults of a task", () => {
  const { target, shape, ...rest } = taskSpec(undefined);
  assert.equal(target.fn, f);
  assert.deepEqual(plain(shape), { resources: { CPU: 10_000 }, strategy: { kind: "default" }, name: "f", priority: 0 });
  assert.deepEqual(rest, {
    placed: false,
    environment: undefined,
    numReturns: 1,
    maxRetries: 3,
    retryExceptions: false,
    streamBuffer: 16,
    maxCalls: -1,
    signal: undefined,
  });
});

test("defaults of an actor: one CPU to be placed, none while it lives", () => {
  const { options, shape, ...rest } = actorSpec(undefined);
  assert.deepEqual(plain(options), {
    namespace: "",
    detached: false,
    getIfExists: false,
    maxRestarts: 0,
    maxConcurrency: 1,
    resources: {},
    placementResources: { CPU: 10_000 },
    methods: ["go"],
  });
  assert.deepEqual(plain(shape.resources), { CPU: 10_000 });
  assert.deepEqual(
    { ...rest, target: undefined },
    {
      environment: undefined,
      maxTaskRetries: 0,
      maxPendingCalls: -1,
      placed: false,
      target: undefined,
    },
  );
});

test("an actor holds what it was given for life", () => {
  const { options } = actorSpec({ numCpus: 0.5, numGpus: 2, memory: 10, resources: { licence: 0.25 } });
  assert.deepEqual(plain(options.resources), { licence: 2_500, CPU: 5_000, GPU: 20_000, memory: 100_000 });
  assert.deepEqual(options.placementResources, options.resources);
  assert.deepEqual(plain(actorSpec({ numCpus: 0 }).options.placementResources), {});
  assert.deepEqual(plain(actorSpec({ numGpus: 1 }).options.resources), { GPU: 10_000 });
  assert.deepEqual(plain(actorSpec({ numGpus: 1 }).options.placementResources), { CPU: 10_000, GPU: 10_000 });
});

test("amounts are exact down to 0.0001; what is finer is cut off", () => {
  for (const [numCpus, units] of [
    [0.0001, 1],
    [0.0029, 29],
    [0.1 + 0.2, 3_000],
    [1 / 3, 3_333],
    [64, 640_000],
    [1.23456, 12_345],
  ] as const) {
    assert.equal(taskSpec({ numCpus }).shape.resources["CPU"], units, String(numCpus));
  }
  assert.deepEqual(plain(taskSpec({ numCpus: 0 }).shape.resources), {});
  assert.deepEqual(plain(taskSpec({ numGpus: 0.5 }).shape.resources), { CPU: 10_000, GPU: 5_000 });
});

test("wrong amounts are refused, with option and value", () => {
  for (const value of [-1, Number.NaN, Infinity, -Infinity, "1", null, true, 0.00001, 1n, {}, 1e15]) {
    const error = refused(() => remoteTask({ numCpus: value }), "numCpus", /^numCpus must be /);
    assert.ok(Object.is(error.value, value));
    refused(() => remoteActor({ numCpus: value }), "numCpus");
  }
  refused(() => remoteTask({ numGpus: 1.5 }), "numGpus", /whole number when above 1/);
  refused(() => remoteTask({ memory: 1.5 }), "memory");
  refused(() => remoteTask({ memory: -1 }), "memory");
  refused(() => remoteTask({ resources: { licence: -1 } }), "resources.licence");
  refused(() => remoteTask({ resources: { CPU: 1 } }), "resources.CPU", /Use the option numCpus/);
  refused(() => remoteTask({ resources: { gpu: 1 } }), "resources.gpu", /Use the option numGpus/);
  refused(() => remoteTask({ resources: { memory: 1 } }), "resources.memory");
  refused(() => remoteTask({ resources: { "": 1 } }), "a name in resources");
  refused(() => remoteTask({ resources: [1] }), "resources");
});

test("a resource may have any name, also one that objects have", () => {
  const { resources } = taskSpec({ resources: JSON.parse('{"__proto__": 1, "constructor": 2}') }).shape;
  assert.deepEqual(
    Object.entries(resources).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    [
      ["CPU", 10_000],
      ["__proto__", 10_000],
      ["constructor", 20_000],
    ],
  );
});

test("unknown names are refused with the nearest right one", () => {
  refused(() => remoteTask({ numCpu: 1 }), "numCpu", /Did you mean "numCpus"\?/);
  refused(() => remoteTask({ num_cpus: 1 }), "num_cpus", /Did you mean "numCpus"\?/);
  refused(() => remoteTask({ maxRestarts: 1 }), "maxRestarts", /option of actors; for tasks it is maxRetries/);
  refused(() => remoteActor({ maxRetries: 1 }), "maxRetries", /maxTaskRetries/);
  refused(() => remoteActor({ numReturns: 1 }), "numReturns", /method/);
  refused(() => remoteTask({ zzz: 1 }), "zzz", /There are: numCpus, /);
  refused(() => remoteTask({ constructor: 1 }), "constructor");
  refused(() => remoteTask(5), "the options of a remote function");
  refused(() => remoteTask([]), "the options of a remote function");
  refused(() => remoteTask(null), "the options of a remote function");
  refused(() => ray.remote(f).options({ numCpu: 1 } as never), "numCpu");
  refused(
    () =>
      ray
        .remote(Thing)
        .remote()
        .go.options({ maxRetries: 1 } as never),
    "maxRetries",
    /maxTaskRetries/,
  );
  assert.equal(taskSpec({ numCpus: undefined, maxRetries: undefined }).maxRetries, 3);
});

test("counts: -1 is without bound, others are whole", () => {
  assert.equal(taskSpec({ maxRetries: -1 }).maxRetries, -1);
  assert.equal(taskSpec({ maxRetries: 0 }).maxRetries, 0);
  assert.equal(taskSpec({ streamBuffer: -1 }).streamBuffer, -1);
  assert.equal(taskSpec({ maxCalls: 5 }).maxCalls, 5);
  for (const option of ["maxRetries", "streamBuffer", "maxCalls"]) {
    for (const value of [-2, 1.5, Number.NaN, "3", Infinity, null]) refused(() => remoteTask({ [option]: value }), option);
  }
  for (const option of ["maxRestarts", "maxTaskRetries", "maxConcurrency", "maxPendingCalls"]) {
    for (const value of [-2, 1.5, "3"]) refused(() => remoteActor({ [option]: value }), option);
  }
  for (const option of ["streamBuffer", "maxCalls"]) refused(() => remoteTask({ [option]: 0 }), option);
  for (const option of ["maxConcurrency", "maxPendingCalls"]) refused(() => remoteActor({ [option]: 0 }), option);
  assert.equal(actorSpec({ maxConcurrency: -1 }).options.maxConcurrency, 1_000_000);
  assert.deepEqual(plain(actorSpec({ concurrencyGroups: { io: 2, all: -1 } }).options.concurrencyGroups), { io: 2, all: 1_000_000 });
  refused(() => remoteActor({ concurrencyGroups: { io: 0 } }), "concurrencyGroups.io");
});

test("numReturns", () => {
  assert.equal(taskSpec({ numReturns: 3 }).numReturns, 3);
  for (const value of [-1, 1.5, "2", Number.NaN]) refused(() => remoteTask({ numReturns: value }), "numReturns");
  const generator = ray.remote(function* () {
    yield 1;
  });
  generator.remote();
  assert.equal(lastEngine().tasks.at(-1)!.spec.numReturns, "streaming");
  refused(() => generator.options({ numReturns: 2 } as never), "numReturns", /stream/);
});

test("retryExceptions: true, classes, or a predicate", () => {
  assert.equal(taskSpec({ retryExceptions: true }).retryExceptions, true);
  const byClass = taskSpec({ retryExceptions: [RangeError, ray.GetTimeoutError] }).retryExceptions;
  assert.ok(typeof byClass === "function" && byClass(new RangeError("x")) && !byClass(new TypeError("x")));
  const one = taskSpec({ retryExceptions: RangeError }).retryExceptions;
  assert.ok(typeof one === "function" && one(new RangeError("x")) && !one(new TypeError("x")));
  const predicate = (error: unknown): boolean => error === 1;
  assert.equal(taskSpec({ retryExceptions: predicate }).retryExceptions, predicate);
  refused(() => remoteTask({ retryExceptions: [RangeError, 1] }), "retryExceptions[1]");
  refused(() => remoteTask({ retryExceptions: "yes" }), "retryExceptions");
});

test("strategies, labels and environment", () => {
  const strategy = (schedulingStrategy: unknown): unknown => plain(taskSpec({ schedulingStrategy }).shape.strategy);
  assert.deepEqual(strategy("SPREAD"), { kind: "spread" });
  assert.deepEqual(strategy(ray.nodeAffinity("n")), { kind: "affinity", nodeId: "n", soft: false });
  assert.deepEqual(strategy(ray.nodeLabels({ hard: { zone: "in(a,b)" } })), { kind: "labels", hard: { zone: "in(a,b)" }, soft: {} });
  const group = ray.placementGroup([{ CPU: 1 }]);
  assert.deepEqual(strategy(ray.inPlacementGroup(group)), { kind: "group", groupId: group.id, bundleIndex: -1, captureChildTasks: false });
  refused(() => remoteTask({ schedulingStrategy: "spread" }), "schedulingStrategy");
  refused(() => (ray.nodeLabels as (labels?: unknown) => unknown)(), "nodeLabels");
  refused(() => ray.nodeLabels({}), "nodeLabels");
  refused(() => ray.nodeLabels({ hart: {} } as never), "hart", /Did you mean "hard"/);
  refused(() => ray.nodeAffinity("n", { sotf: true } as never), "sotf", /Did you mean "soft"/);
  refused(() => ray.inPlacementGroup(group, { index: 1 } as never), "index");
  refused(() => remoteTask({ schedulingStrategy: { kind: "else" } }), "schedulingStrategy");
  refused(() => remoteTask({ schedulingStrategy: ray.nodeAffinity("") }), "nodeAffinity.nodeId");
  refused(() => remoteTask({ schedulingStrategy: ray.inPlacementGroup(group, { bundleIndex: -2 }) }), "inPlacementGroup.bundleIndex");
  for (const query of ["a", "!a", "in(a,b)", "!in(a)"])
    assert.equal(taskSpec({ labelSelector: { k: query } }).shape.labelSelector?.["k"], query);
  for (const query of ["", "in()", "in(a", "!", "a,b", 1]) refused(() => remoteTask({ labelSelector: { k: query } }), "labelSelector.k");
  assert.deepEqual(plain(taskSpec({ runtimeEnv: { envVars: { A: "1" } } }).shape.envVars), { A: "1" });
  refused(() => remoteTask({ runtimeEnv: { envVars: { A: 1 } } }), "runtimeEnv.envVars.A");
  refused(() => remoteTask({ runtimeEnv: { envVars: { "A=B": "1" } } }), "a name in runtimeEnv.envVars");
  refused(() => remoteTask({ runtimeEnv: { env_vars: {} } }), "env_vars", /Did you mean "envVars"/);
});

test("runtimeEnv: paths are made absolute, and what is not one of its parts is refused", () => {
  const setup = (): number => 1;
  const given = { workingDir: "lib", excludes: ["*.log"], npm: ["a@^1", "./b.tgz", "@c/d"], npmScripts: true, setup };
  const { environment } = taskSpec({ runtimeEnv: given });
  assert.deepEqual(
    { ...environment, setup: undefined },
    {
      workingDir: path.resolve("lib"),
      excludes: ["*.log"],
      npm: ["a@^1", path.resolve("b.tgz"), "@c/d"],
      npmScripts: true,
      setup: undefined,
    },
  );
  assert.equal((environment!.setup as { fn: unknown }).fn, setup);
  assert.deepEqual(actorSpec({ runtimeEnv: { npm: "lock", setup: "./s.mjs" } }).environment, { npm: "lock", setup: "./s.mjs" });
  assert.equal(taskSpec({ runtimeEnv: {} }).environment, undefined);
  const wrong = (runtimeEnv: unknown, option: string, message?: RegExp): unknown =>
    refused(() => remoteTask({ runtimeEnv }), option, message);
  wrong("lib", "the options of runtimeEnv");
  wrong({ workingdir: "." }, "workingdir", /Did you mean "workingDir"/);
  wrong({ pip: ["x"] }, "pip", /packages of npm go into npm/);
  wrong({ workingDir: "" }, "runtimeEnv.workingDir");
  wrong({ workingDir: "https://example.org/x.zip" }, "runtimeEnv.workingDir", /of this machine/);
  wrong({ excludes: ["x"] }, "runtimeEnv.excludes", /together with workingDir/);
  wrong({ workingDir: ".", excludes: "x" }, "runtimeEnv.excludes");
  wrong({ workingDir: ".", excludes: [1] }, "runtimeEnv.excludes[0]");
  wrong({ npm: "locked" }, "runtimeEnv.npm", /or "lock"/);
  wrong({ npm: ["a", "--global"] }, "runtimeEnv.npm[1]");
  wrong({ npmScripts: true }, "runtimeEnv.npmScripts", /together with npm/);
  wrong({ npm: ["a"], npmScripts: 1 }, "runtimeEnv.npmScripts");
  wrong({ setup: 1 }, "runtimeEnv.setup");
});

test("names, signal, priority, lifetime", () => {
  assert.equal(taskSpec({ name: "n", priority: -3 }).shape.name, "n");
  refused(() => remoteTask({ name: "" }), "name");
  refused(() => remoteTask({ name: "x".repeat(257) }), "name");
  refused(() => remoteTask({ priority: Number.NaN }), "priority");
  refused(() => remoteTask({ signal: new AbortController() }), "signal", /Pass its signal/);
  assert.equal(actorSpec({ lifetime: "detached", name: "a", getIfExists: true }).options.detached, true);
  refused(() => remoteActor({ lifetime: "forever" }), "lifetime");
  refused(() => remoteActor({ getIfExists: true }), "getIfExists", /together with a name/);
  refused(() => remoteActor({ checkpoint: 1, maxRestarts: 1 }), "checkpoint");
});

test("checkpoint: a rule, and only where it can be kept", () => {
  const rule = (checkpoint: unknown): unknown => actorSpec({ checkpoint, maxRestarts: -1 }).options.checkpoint;
  assert.equal(rule(false), undefined);
  assert.deepEqual(rule(true), { everyCalls: 100, everyMs: 1000 });
  assert.deepEqual(rule({ everyCalls: 5 }), { everyCalls: 5, everyMs: 0 });
  assert.deepEqual(rule({ everyCalls: -1, everyMs: 250 }), { everyCalls: 0, everyMs: 250 });
  refused(() => remoteActor({ checkpoint: true }), "checkpoint", /together with maxRestarts/);
  const often = { checkpoint: true, maxRestarts: 1 };
  refused(() => remoteActor({ ...often, maxConcurrency: 2 }), "checkpoint", /interleave/);
  refused(() => remoteActor({ ...often, concurrencyGroups: { io: 1 } }), "checkpoint", /interleave/);
  refused(() => remoteActor({ ...often, checkpoint: {} }), "checkpoint", /everyCalls/);
  refused(() => remoteActor({ ...often, checkpoint: { everyCalls: 0 } }), "checkpoint.everyCalls");
  refused(() => remoteActor({ ...often, checkpoint: { everyMs: 1.5 } }), "checkpoint.everyMs");
  refused(() => remoteActor({ ...often, checkpoint: { everyCall: 1 } }), "everyCall", /Did you mean "everyCalls"/);
});

test("options() adds to the options before it, and leaves the original alone", () => {
  const base = ray.remote(f, { numCpus: 2, captures: { a: 1 } });
  base.options({ maxRetries: 1 }).options({ numCpus: 4 }).remote();
  const { shape, maxRetries, target } = lastEngine().tasks.at(-1)!.spec;
  assert.deepEqual([shape.resources["CPU"], maxRetries, target.captures?.["a"]], [40_000, 1, 1]);
  base.remote();
  assert.equal(lastEngine().tasks.at(-1)!.spec.maxRetries, 3);
  assert.equal(lastEngine().tasks.at(-1)!.spec.target, target);
  refused(() => base.options({ captures: {} } as never), "captures");
});

test("options of init", () => {
  const { engine, ignoreReinitError } = initSettings({
    address: "auto",
    numCpus: 2,
    numGpus: 1,
    resources: { a: 0.5 },
    objectStoreMemory: 1_000,
    namespace: "n",
    token: "t",
    logToDriver: false,
    runtimeEnv: { envVars: { A: "1" } },
    job: { weight: 2, priority: 1, maxCpus: 1.5 },
    dashboard: true,
    ignoreReinitError: true,
  });
  assert.deepEqual(plain(engine), {
    address: "auto",
    numCpus: 2,
    numGpus: 1,
    resources: { a: 0.5 },
    objectStoreMemory: 1_000,
    namespace: "n",
    envVars: { A: "1" },
    token: "t",
    job: { weight: 2, priority: 1, maxCpus: 1.5 },
    logToDriver: false,
    dashboard: true,
  });
  assert.equal(ignoreReinitError, true);
  for (const [option, value] of Object.entries({
    numCpus: -1,
    numGpus: 0.5,
    resources: 1,
    objectStoreMemory: 0,
    namespace: "",
    token: 1,
    logToDriver: "no",
    dashboard: 1,
    address: "",
  })) {
    refused(() => initSettings({ [option]: value }), option);
  }
  refused(() => initSettings({ job: { weight: 0 } }), "job.weight");
  refused(() => initSettings({ job: { wieght: 1 } }), "wieght", /Did you mean "weight"/);
  refused(() => initSettings({ resources: { CPU: 1 } }), "resources.CPU");
});

test("options of get, wait, cancel, kill, placementGroup are refused as rejections or throws", async () => {
  const ref = ray.put(1);
  const rejects = (work: Promise<unknown>, option: string): Promise<void> =>
    assert.rejects(work, (error) => error instanceof InvalidOptionError && error.option === option);
  await rejects(ray.get(ref, { timeout: 1 } as never), "timeout");
  await rejects(ray.get(ref, { timeoutMs: -1 }), "timeoutMs");
  await rejects(ray.get(ref, { timeoutMs: Number.NaN }), "timeoutMs");
  await rejects(ray.wait([ref], { numReturns: 2 }), "numReturns");
  await rejects(ray.wait([ref], { numReturns: 0 }), "numReturns");
  await rejects(ray.cancel(ref, { force: 1 } as never), "force");
  await rejects(ray.kill(ray.remote(Thing).remote(), { noRestarts: true } as never), "noRestarts");
  refused(() => ray.placementGroup([]), "bundles");
  refused(() => ray.placementGroup([{}]), "bundles[0]");
  refused(() => ray.placementGroup([{ CPU: 1 }, { CPU: -1 }]), "bundles[1].CPU");
  refused(() => ray.placementGroup([{ numCpus: 1 }]), "bundles[0].numCpus", /Write CPU/);
  refused(() => ray.placementGroup([{ GPU: 1.5 }]), "bundles[0].GPU");
  refused(() => ray.placementGroup([{ CPU: 1 }], { strategy: "pack" as never }), "strategy", /Did you mean "PACK"/);
});
