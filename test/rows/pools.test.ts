/** The rows "mobula/util" of docs/api.md. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import {
  ActorPool,
  asCompleted,
  Counter,
  Gauge,
  Histogram,
  metrics,
  metricsText,
  Pool,
  ProgressBar,
  Queue,
  QueueEmptyError,
  QueueFullError,
} from "mobula/util";
import { freshFolder } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";
import { hold, release } from "./hold.ts";

sharedCluster();

test("Pool maps over items, in order, with every form of call", async () => {
  const pool = new Pool(2);
  const factor = 3;
  const times = (x: number): number => x * factor;
  const items = Array.from({ length: 50 }, (_, i) => i);
  const expected = items.map(times);
  assert.deepEqual(await pool.map(times, items, { chunkSize: 7 }), expected);
  assert.deepEqual(
    await pool.starmap((a: number, b: number) => a - b, [
      [5, 2],
      [9, 1],
    ] as Array<[number, number]>),
    [3, 8],
  );
  assert.equal(await pool.apply((a: number, b: number) => a * b, [6, 7]), 42);
  const inOrder: number[] = [];
  for await (const y of pool.imap(times, items)) inOrder.push(y);
  assert.deepEqual(inOrder, expected);
  const any: number[] = [];
  for await (const y of pool.imapUnordered(times, items)) any.push(y);
  assert.deepEqual(
    any.sort((a, b) => a - b),
    expected,
  );
  await pool.close();
  await assert.rejects(async () => pool.map(times, items), ray.InvalidOptionError);
});

test("Pool rejects with what the function threw", async () => {
  const pool = new Pool();
  const fail = (x: number): number => {
    if (x === 3) throw new RangeError("three");
    return x;
  };
  await assert.rejects(pool.map(fail, [1, 2, 3, 4]), (e: unknown) => e instanceof ray.TaskError && e.cause instanceof RangeError);
  await pool.close();
});

test("ActorPool shares work between actors", async () => {
  class Doubler {
    double(x: number): number {
      return 2 * x;
    }
  }
  const RemoteDoubler = ray.remote(Doubler);
  const pool = new ActorPool([RemoteDoubler.remote(), RemoteDoubler.remote()]);
  const ordered: number[] = [];
  for await (const y of pool.map((actor, x: number) => actor.double.remote(x), [1, 2, 3, 4])) ordered.push(y);
  assert.deepEqual(ordered, [2, 4, 6, 8]);
  const any: number[] = [];
  for await (const y of pool.mapUnordered((actor, x: number) => actor.double.remote(x), [1, 2, 3])) any.push(y);
  assert.deepEqual(
    any.sort((a, b) => a - b),
    [2, 4, 6],
  );
  pool.submit((actor, x: number) => actor.double.remote(x), 10);
  pool.submit((actor, x: number) => actor.double.remote(x), 20);
  assert.equal(await pool.next(), 20);
  assert.equal(await pool.nextUnordered(), 40);
});

test("Queue passes items between tasks, waits and times out", async () => {
  const queue = new Queue<number>({ maxSize: 2 });
  await queue.put(1);
  await queue.put(2);
  assert.deepEqual([await queue.size(), await queue.full(), await queue.empty()], [2, true, false]);
  await assert.rejects(queue.put(3, { timeoutMs: 20 }), QueueFullError);
  const drain = ray.remote(async (q: Queue<number>) => [await q.get(), await q.get()]);
  assert.deepEqual(await ray.get(drain.remote(queue)), [1, 2]);
  await assert.rejects(queue.get({ timeoutMs: 20 }), QueueEmptyError);
  await queue.putMany([4, 5]);
  assert.deepEqual(await queue.getMany(2), [4, 5]);
});

test("asCompleted gives references as they become ready", async (t) => {
  const folder = freshFolder(t);
  const slow = ray.remote(hold).remote(folder);
  const quick = ray.remote(() => undefined).remote();
  const order: string[] = [];
  for await (const ref of asCompleted([slow, quick])) {
    order.push(ref.id === slow.id ? "slow" : "quick");
    release(folder);
  }
  assert.deepEqual(order, ["quick", "slow"]);
});

test("Counter, Gauge and Histogram count, and metrics and metricsText show them", () => {
  new Counter("rows_requests_total", { tagKeys: ["route"] }).inc(2, { route: "/" });
  new Gauge("rows_depth").set(3);
  new Histogram("rows_seconds", { boundaries: [0.1, 1] }).observe(0.5);
  const byName = new Map(metrics().map((metric) => [metric.name, metric]));
  assert.equal(byName.get("rows_requests_total")!.samples[0]!.value, 2);
  assert.equal(byName.get("rows_depth")!.samples[0]!.value, 3);
  assert.equal(byName.get("rows_seconds")!.samples[0]!.count, 1);
  assert.match(metricsText(), /^rows_requests_total\{route="\/"\} 2$/m);
});

test("ProgressBar draws on a terminal and nowhere else", () => {
  const draw = (isTTY: boolean): string => {
    let text = "";
    const bar = new ProgressBar({ total: 4, label: "work", stream: { isTTY, columns: 80, write: (part) => (text += part) } });
    bar.step(4);
    bar.stop();
    return text;
  };
  assert.match(draw(true), /work[^]*4/);
  assert.equal(draw(false), "");
});
