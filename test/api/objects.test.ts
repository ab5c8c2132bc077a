/**
 * put, get, wait, cancel, buffers, placement groups, init and shutdown, against an engine in memory.
 */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import * as ray from "../../src/api/index.ts";
import { ProgressBar, progressLine } from "../../src/api/progress.ts";
import { adoptEngine, engineOf } from "../../src/api/session.ts";
import { ConnectionError, GetTimeoutError, InvalidOptionError } from "../../src/errors/index.ts";
import { collectGarbage, counts, objectStore } from "../../src/state/index.ts";
import { dropEngines, engines, lastEngine, useFakeEngine } from "./fake-engine.ts";

beforeEach(() => useFakeEngine());
afterEach(dropEngines);

const never = ray.remote(() => new Promise<number>(() => undefined));
const invalid = (option: string) => (error: unknown) => error instanceof InvalidOptionError && error.option === option;

test("get takes one ref, a tuple, an array, or none", async () => {
  const a = ray.put(1);
  assert.equal(await ray.get(a), 1);
  assert.deepEqual(await ray.get([a, ray.put("x")]), [1, "x"]);
  assert.deepEqual(await ray.get([]), []);
});

test("get refuses what is no ref, and says why", async () => {
  ray.put(0);
  await assert.rejects(ray.get(3 as never), invalid("ref"));
  await assert.rejects(ray.get([ray.put(1), 3] as never), invalid("refs[1]"));
  await assert.rejects(ray.get(Promise.resolve(1) as never), /promise: await it first/);
  await assert.rejects(ray.get([[ray.put(1)]] as never), /flatten/);
  await assert.rejects(ray.get({ id: "x" } as never), invalid("ref"));
  await assert.rejects(ray.get(undefined as never), invalid("ref"));
});

test("get times out, and a wait that is aborted rejects with the signal's reason", async () => {
  const ref = never.remote();
  await assert.rejects(ray.get(ref, { timeoutMs: 0 }), GetTimeoutError);
  const reason = new Error("enough");
  await assert.rejects(ray.get(ref, { signal: AbortSignal.abort(reason) }), reason);
  const controller = new AbortController();
  const waiting = ray.get(ref, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(waiting, reason);
});

test("put takes any value but a ref", () => {
  assert.throws(() => ray.put(ray.put(1)), invalid("value"));
  assert.throws(() => Reflect.construct(ray.ObjectRef as never, []), InvalidOptionError);
  assert.ok(!(({ id: "x" } as unknown) instanceof ray.ObjectRef));
});

test("wait keeps the order of the input, with at most numReturns ready", async () => {
  const slow = never.remote();
  const refs = [slow, ray.put(1), ray.put(2), ray.put(3)];
  const [ready, pending] = await ray.wait(refs, { numReturns: 2 });
  assert.deepEqual(ready, [refs[1], refs[2]]);
  assert.deepEqual(pending, [slow, refs[3]]);
  const [none, all] = await ray.wait([slow], { timeoutMs: 0 });
  assert.deepEqual([none, all], [[], [slow]]);
  const done = ray.put(1);
  assert.deepEqual(await ray.wait([done]), [[done], []]);
});

test("wait refuses none, twice the same, and what is no ref", async () => {
  const ref = ray.put(1);
  await assert.rejects(ray.wait([]), invalid("refs"));
  await assert.rejects(ray.wait(ref as never), invalid("refs"));
  await assert.rejects(ray.wait([ref, ref]), invalid("refs[1]"));
  await assert.rejects(ray.wait([ref, 1] as never), invalid("refs[1]"));
});

test("cancel reaches the engine, for refs and streams", async () => {
  const ref = never.remote();
  await ray.cancel(ref);
  await assert.rejects(ray.get(ref), { code: "TASK_CANCELLED" });
  const stream = ray
    .remote(function* () {
      yield 1;
    })
    .remote();
  await ray.cancel(stream);
  assert.deepEqual(lastEngine().cancelled, [ref.id, stream.id]);
  await assert.rejects(ray.cancel(1 as never), InvalidOptionError);
});

test("createBuffer gives the array type it was asked for", async () => {
  const { array, seal } = await ray.createBuffer(3, Float64Array);
  array.set([1, 2, 3]);
  assert.deepEqual(await ray.get(seal()), new Float64Array([1, 2, 3]));
  assert.ok((await ray.createBuffer(2)).array instanceof Uint8Array);
  for (const length of [-1, 1.5, Number.NaN, "3"]) await assert.rejects(ray.createBuffer(length as never), invalid("length"));
  await assert.rejects(ray.createBuffer(1, Array as never), invalid("ArrayType"));
});

test("init, twice, shutdown, again", async () => {
  assert.equal(ray.isInitialized(), false);
  const cluster = await ray.init({ namespace: "n" });
  assert.deepEqual([cluster.nodeId, cluster.namespace], ["node", "n"]);
  assert.equal(ray.isInitialized(), true);
  await assert.rejects(ray.init(), invalid("ignoreReinitError"));
  assert.equal((await ray.init({ ignoreReinitError: true })).address, cluster.address);
  assert.equal(engines.length, 1);
  await cluster[Symbol.asyncDispose]();
  assert.equal(ray.isInitialized(), false);
  await ray.shutdown();
  await ray.init();
  assert.equal(engines.length, 2);
  await cluster.shutdown();
  assert.equal(ray.isInitialized(), true, "an old cluster object leaves the new one alone");
});

test("an init that fails leaves nothing behind", async () => {
  useFakeEngine((engine) => {
    engine.connectError = new ConnectionError("no daemon");
  });
  await assert.rejects(ray.init(), ConnectionError);
  assert.equal(ray.isInitialized(), false);
  useFakeEngine();
  await ray.init();
});

test("after a shutdown, old refs and handles reject with ConnectionError; new calls start afresh", async () => {
  class Counter {
    read(): number {
      return 1;
    }
  }
  const ref = ray.put(1);
  const counter = ray.remote(Counter).remote();
  await ray.shutdown();
  await assert.rejects(ray.get(ref), ConnectionError);
  await assert.rejects(ray.wait([ref]), ConnectionError);
  await assert.rejects(ray.cancel(ref), ConnectionError);
  await assert.rejects(ray.kill(counter), ConnectionError);
  const late = counter.read.remote();
  await assert.rejects(ray.get(late), ConnectionError);
  assert.equal(engines.length, 1, "asking for old things starts no cluster");
  assert.equal(await ray.get(ray.put(2)), 2);
  assert.equal(engines.length, 2);
  await assert.rejects(ray.get(ref), ConnectionError);
  await assert.rejects(ray.get(counter.read.remote()), ConnectionError);
});

test("a worker adopts its engine", async () => {
  await ray.init();
  const engine = lastEngine();
  adoptEngine(undefined);
  assert.throws(() => engineOf("get()"), ConnectionError);
  adoptEngine(engine);
  assert.equal(engineOf("get()"), engine);
});

test("nodes, resources, timeline, state, context", async () => {
  assert.equal((await ray.nodes())[0]?.nodeId, "node");
  assert.deepEqual(await ray.clusterResources(), { CPU: 2, licence: 0.5 });
  assert.deepEqual(await ray.availableResources(), { CPU: 0.5 });
  assert.deepEqual(await objectStore(), [{ nodeId: "node", capacity: 100, used: 10, objects: 1, spilled: 0 }]);
  assert.deepEqual(await counts(), [{ nodeId: "node", workers: 2, idle: 1, actors: 0, leases: 1, waiting: 0, references: 3 }]);
  await collectGarbage();
  assert.equal(lastEngine().collections, 1);
  assert.equal(ray.getRuntimeContext().isDriver, true);
  const folder = mkdtempSync(join(tmpdir(), "mobula-"));
  try {
    const events = await ray.timeline(join(folder, "trace.json"));
    assert.deepEqual(JSON.parse(readFileSync(join(folder, "trace.json"), "utf8")), events);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("placement groups", async () => {
  const group = ray.placementGroup([{ CPU: 1, memory: 5, licence: 0.5 }], { strategy: "SPREAD", name: "g" });
  assert.deepEqual({ ...lastEngine().groups.get(group.id)!.bundles[0] }, { CPU: 10_000, memory: 50_000, licence: 5_000 });
  assert.deepEqual(group.bundles, [{ CPU: 1, memory: 5, licence: 0.5 }]);
  assert.equal(await group.ready(), group);
  assert.equal(await group.wait(1_000), true);
  assert.equal((await ray.getPlacementGroup("g")).id, group.id);
  assert.equal(await ray.placementGroup([{ CPU: 1 }], { name: "never" }).wait(1), false);
  await group.remove();
  assert.deepEqual(lastEngine().removedGroups, [group.id]);
  assert.deepEqual(Object.keys(group), ["id", "bundles", "strategy"], "plain fields, so that it crosses");
});

test("a progress bar draws on terminals only, within the width, and ends its line", () => {
  let text = "";
  let time = 0;
  const terminal = { isTTY: true, columns: 60, write: (part: string) => (text += part) };
  const bar = new ProgressBar({ total: 200, label: "files", stream: terminal, now: () => time });
  for (let i = 0; i < 100; i++) {
    time += 10;
    bar.step();
  }
  bar.stop();
  bar.stop();
  assert.ok(text.endsWith("\n") && text.split("\n").length === 2);
  const last = text.slice(text.lastIndexOf("\r") + 1).replace("\u001b[K\n", "");
  assert.equal(
    last,
    "files [#########---------] 50% 100/200 1.0s 100/s left 1.0s".replace("[#########---------]", last.slice(6, last.indexOf("]") + 1)),
  );
  assert.match(last, /\[#+-+\] 50%/);
  assert.ok(text.split("\r").length < 20, "not redrawn at each step");
  const quiet: string[] = [];
  const silent = new ProgressBar({ total: 1, stream: { write: (part: string) => quiet.push(part) } });
  silent.step();
  silent.stop();
  assert.deepEqual(quiet, []);
  // Some terminals do not say how wide they are.
  let drawn = "";
  new ProgressBar({ total: 4, stream: { isTTY: true, columns: 0, write: (part: string) => (drawn += part) } }).stop();
  assert.match(drawn, /\[-{40}\] 0% 0\/4 /);
  for (const width of [5, 20, 40, 80, 200]) {
    for (const total of [undefined, 0, 10]) {
      const line = progressLine({ label: "a label", done: 3, total, seconds: 3_700, width });
      assert.ok(line.length < width, `${line.length} columns of ${width}`);
    }
  }
});

test("get with progress tells the bar, and is quiet without a terminal", async () => {
  const seen: number[] = [];
  const ref = ray.put(1);
  const engine = lastEngine();
  const inner = engine.get.bind(engine);
  engine.get = (refs, request) => {
    const { onProgress } = request;
    return inner(refs, {
      ...request,
      onProgress:
        onProgress &&
        ((done) => {
          seen.push(done);
          onProgress(done);
        }),
    });
  };
  assert.deepEqual(await ray.get([ref, ray.put(2)], { progress: true }), [1, 2]);
  assert.deepEqual(seen, [1, 2]);
});
