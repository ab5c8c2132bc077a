/**
 * Pool, ActorPool, Queue, asCompleted and metrics, against an engine in memory.
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import * as ray from "../../src/api/index.ts";
import { ActorDiedError, GetTimeoutError, InvalidOptionError, QueueEmptyError, QueueFullError, TaskError } from "../../src/errors/index.ts";
import { ActorPool, asCompleted, Counter, Gauge, Histogram, metrics, metricsText, Pool, Queue } from "../../src/util/index.ts";
import { Mailbox } from "../../src/util/mailbox.ts";
import { QueueActor } from "../../src/util/queue-actor.ts";
import { dropEngines, lastEngine, useFakeEngine } from "./fake-engine.ts";

beforeEach(() => useFakeEngine());
afterEach(dropEngines);

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const out: T[] = [];
  for await (const item of items) out.push(item);
  return out;
}

/** A promise and what settles it. */
function gate<T = void>(): { readonly promise: Promise<T>; readonly open: (value: T) => void } {
  let open: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => {
    open = resolve;
  });
  return { promise, open };
}

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

// ── Pool ───────────────────────────────────────────────────────────────────────────────────────
test("Pool.map gives the results in order, sync or async, of any iterable", async () => {
  const pool = new Pool(3);
  assert.deepEqual(
    await pool.map((x: number) => 2 * x, range(100)),
    range(100).map((x) => 2 * x),
  );
  assert.deepEqual(await pool.map(async (x: number) => 2 * x, new Set([1, 2])), [2, 4]);
  assert.deepEqual(
    await pool.map((x: number) => (x % 2 === 0 ? x : Promise.resolve(-x)), range(9), { chunkSize: 4 }),
    [0, -1, 2, -3, 4, -5, 6, -7, 8],
  );
  assert.deepEqual(await pool.map((x: number) => [x], new Float64Array([1, 2, 3])), [[1], [2], [3]]);
  assert.deepEqual(await pool.map((c: string) => c.length, "añ"), [1, 1]);
  assert.deepEqual(await pool.map((x: number) => x, []), []);
  assert.deepEqual(await pool.map((x?: number) => x, [undefined, 1]), [undefined, 1]);
});

test("Pool.map sends chunks, at most `size` at once, and a million tiny items in few tasks", async () => {
  const pool = new Pool(2);
  await pool.map(
    async (x: number) => {
      await turn();
      return x;
    },
    range(100),
    { chunkSize: 30 },
  );
  assert.deepEqual(
    lastEngine().tasks.map(({ args }) => (args[0] as unknown[]).length),
    [30, 30, 30, 10],
  );
  assert.equal(lastEngine().mostRunning, 2);
  lastEngine().tasks.length = 0;
  const many = await pool.map((x: number) => x + 1, range(1_000_000));
  assert.equal(many.length, 1_000_000);
  assert.equal(many[999_999], 1_000_000);
  assert.ok(lastEngine().tasks.length <= 62, `${lastEngine().tasks.length} tasks`);
  const targets = new Set(lastEngine().tasks.map(({ spec }) => spec.target));
  assert.equal(targets.size, 1, "the function is exported once");
});

test("Pool.map rejects with the user's error, and starts no more", async () => {
  const pool = new Pool(1);
  const fail = (x: number): number => {
    if (x === 3) throw new RangeError("three");
    return x;
  };
  await assert.rejects(
    pool.map(fail, range(100), { chunkSize: 1 }),
    (error) => error instanceof TaskError && error.cause instanceof RangeError && error.functionName === "fail",
  );
  assert.equal(lastEngine().tasks.length, 4);
});

test("Pool.map cancels what is under way when one fails", async () => {
  const pool = new Pool(2);
  const work = (x: number): Promise<number> => (x === 0 ? new Promise(() => undefined) : Promise.reject(new Error("no")));
  await assert.rejects(pool.map(work, [0, 1], { chunkSize: 1 }), TaskError);
  assert.equal(lastEngine().cancelled.length, 1);
});

test("Pool.starmap and apply spread their arguments", async () => {
  const pool = new Pool();
  assert.deepEqual(
    await pool.starmap(
      (a: number, b: string) => `${a}${b}`,
      [
        [1, "a"],
        [2, "b"],
      ],
    ),
    ["1a", "2b"],
  );
  assert.equal(await pool.apply((a: number, b: number) => a + b, [1, 2]), 3);
  assert.equal(await pool.apply(async () => "x"), "x");
  await assert.rejects(
    pool.apply(() => {
      throw new TypeError("t");
    }),
    (error) => error instanceof TaskError && error.cause instanceof TypeError,
  );
});

test("Pool.imap keeps the order, imapUnordered does not", async () => {
  const gates = range(4).map(() => gate<number>());
  const work = (i: number): Promise<number> => gates[i]!.promise;
  const pool = new Pool(4);
  const unordered = pool.imapUnordered(work, range(4));
  const first = unordered.next();
  gates[2]!.open(2);
  assert.deepEqual(await first, { done: false, value: 2 });
  const ordered = pool.imap(work, range(4));
  const second = ordered.next();
  gates[3]!.open(3);
  gates[1]!.open(1);
  gates[0]!.open(0);
  assert.deepEqual(await second, { done: false, value: 0 });
  assert.deepEqual(await all(ordered), [1, 2, 3]);
  assert.deepEqual(
    (await all(unordered)).toSorted((a, b) => a - b),
    [0, 1, 3],
  );
});

test("Pool.imap reads its source as it goes, also an endless or slow one", async () => {
  let read = 0;
  function* endless(): Generator<number> {
    for (;;) yield read++;
  }
  const pool = new Pool(2);
  const seen: number[] = [];
  for await (const x of pool.imap((n: number) => n, endless())) {
    if (seen.push(x) === 20) break;
  }
  assert.deepEqual(seen, range(20));
  assert.ok(read < 40, `${read} read`);
  const late = gate();
  async function* slow(): AsyncGenerator<number> {
    yield 1;
    await late.promise;
    yield 2;
  }
  const results = pool.imap((n: number) => n, slow());
  assert.deepEqual(await results.next(), { done: false, value: 1 }, "a result does not wait for the source");
  late.open();
  assert.deepEqual(await all(results), [2]);
});

test("Pool.imap throws where the source or the function throws", async () => {
  const pool = new Pool(1);
  function* broken(): Generator<number> {
    yield 1;
    throw new RangeError("source");
  }
  const results = pool.imap((n: number) => n, broken());
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const x of results) seen.push(x);
  }, RangeError);
  assert.deepEqual(seen, [1]);
  await assert.rejects(
    all(
      pool.imap(() => {
        throw new Error("f");
      }, [1]),
    ),
    TaskError,
  );
});

test("Pool refuses wrong sizes, options, functions; closed, it waits for what is under way and takes no more", async () => {
  for (const size of [0, -1, 1.5, Number.NaN, "2"]) assert.throws(() => new Pool(size as never), InvalidOptionError);
  assert.throws(() => new Pool(1, { numCpus: -1 }), InvalidOptionError);
  const pool = new Pool(1, { numCpus: 0.5 });
  const same = (x: number): number => x;
  await assert.rejects(pool.map(same, [1], { chunkSize: 0 }), InvalidOptionError);
  await assert.rejects(pool.map(1 as never, [1]), InvalidOptionError);
  await assert.rejects(pool.map(same, 5 as never), InvalidOptionError);
  const items = [1, 2];
  const taken = pool.map(same, items);
  items[0] = 9;
  assert.deepEqual(await taken, [1, 2], "later changes do not show");
  lastEngine().tasks.length = 0;
  const open = gate<number>();
  const work = pool.map(() => open.promise, [1]);
  let isClosed = false;
  const closing = pool.close().then(() => {
    isClosed = true;
  });
  await turn();
  assert.equal(isClosed, false);
  open.open(7);
  assert.deepEqual(await work, [7]);
  await closing;
  await assert.rejects(pool.map(same, [1]), /closed/);
  await pool[Symbol.asyncDispose]();
  assert.equal(lastEngine().tasks[0]!.spec.shape.resources["CPU"], 5_000);
});

// ── ActorPool ──────────────────────────────────────────────────────────────────────────────────
class Worker {
  readonly #gates: Map<number, Promise<number>>;
  constructor(gates: Map<number, Promise<number>> = new Map()) {
    this.#gates = gates;
  }
  double(x: number): number {
    return 2 * x;
  }
  held(x: number): Promise<number> {
    return this.#gates.get(x) ?? Promise.resolve(x);
  }
  fail(x: number): number {
    throw new RangeError(String(x));
  }
}
const RemoteWorker = ray.remote(Worker);

test("ActorPool.map in order, mapUnordered as they come", async () => {
  const zero = gate<number>();
  const gates = new Map([[0, zero.promise]]);
  const pool = new ActorPool([RemoteWorker.remote(gates), RemoteWorker.remote(gates)]);
  assert.deepEqual(await all(pool.map((actor, x: number) => actor.double.remote(x), range(5))), [0, 2, 4, 6, 8]);
  const unordered = pool.mapUnordered((actor, x: number) => actor.held.remote(x), range(4));
  const seen: number[] = [];
  for await (const x of unordered) {
    seen.push(x);
    if (seen.length === 3) zero.open(0);
  }
  assert.deepEqual(seen, [1, 2, 3, 0]);
});

test("ActorPool.submit, next, nextUnordered", async () => {
  const zero = gate<number>();
  const pool = new ActorPool([RemoteWorker.remote(new Map([[0, zero.promise]])), RemoteWorker.remote(new Map([[0, zero.promise]]))]);
  assert.equal(pool.hasNext, false);
  await assert.rejects(pool.next(), InvalidOptionError);
  await assert.rejects(pool.nextUnordered(), InvalidOptionError);
  for (const x of range(3)) pool.submit((actor, value: number) => actor.held.remote(value), x);
  assert.equal(pool.hasNext, true);
  assert.equal(await pool.nextUnordered(), 1);
  await assert.rejects(pool.next({ timeoutMs: 1 }), GetTimeoutError);
  assert.equal(await pool.nextUnordered(), 2);
  await assert.rejects(pool.nextUnordered({ timeoutMs: 1 }), GetTimeoutError);
  zero.open(0);
  assert.equal(await pool.nextUnordered(), 0, "a reader that gave up takes nothing");
  for (const x of range(4)) pool.submit((actor, value: number) => actor.double.remote(value), x);
  const taken = await Promise.all([pool.next(), pool.nextUnordered(), pool.next(), pool.nextUnordered()]);
  assert.deepEqual(
    taken.map(Number).toSorted((a, b) => a - b),
    [0, 2, 4, 6],
    "each result goes to one reader",
  );
  assert.equal(pool.hasNext, false);
  pool.submit((actor, value: number) => actor.fail.remote(value), 5);
  await assert.rejects(pool.next(), TaskError);
  pool.submit((actor, value: number) => actor.double.remote(value), 5);
  assert.equal(await pool.next(), 10, "an actor whose call failed is free again");
});

test("ActorPool leaves dead actors out, and fails what waits when none is left", async () => {
  const [one, two] = [RemoteWorker.remote(), RemoteWorker.remote()];
  const pool = new ActorPool([one, two]);
  await ray.kill(one);
  const results = await Promise.allSettled(
    range(6).map(async (x) => {
      pool.submit((actor, value: number) => actor.double.remote(value), x);
      return pool.next<number>();
    }),
  );
  assert.equal(results.filter(({ status }) => status === "rejected").length, 1, "one call found it dead");
  await ray.kill(two);
  for (const x of range(3)) pool.submit((actor, value: number) => actor.double.remote(value), x);
  for (let i = 0; i < 3; i++) await assert.rejects(pool.next(), ActorDiedError);
  pool.push(RemoteWorker.remote());
  pool.submit((actor, value: number) => actor.double.remote(value), 4);
  assert.equal(await pool.next(), 8);
});

test("ActorPool.popIdle takes actors out; work waits for a push", async () => {
  const pool = new ActorPool([RemoteWorker.remote()]);
  const actor = pool.popIdle();
  assert.ok(actor !== undefined && pool.popIdle() === undefined && !pool.hasFree);
  pool.submit((one, value: number) => one.double.remote(value), 1);
  await assert.rejects(pool.next({ timeoutMs: 1 }), GetTimeoutError);
  pool.push(actor);
  assert.equal(await pool.next(), 2);
  assert.throws(() => new ActorPool([]), InvalidOptionError);
});

// ── Queue ──────────────────────────────────────────────────────────────────────────────────────
test("Queue: first in, first out, with bounds and times", async () => {
  const queue = new Queue<number>({ maxSize: 2 });
  assert.deepEqual([await queue.size(), await queue.empty(), await queue.full()], [0, true, false]);
  await queue.put(1);
  await queue.put(2);
  assert.deepEqual([await queue.size(), await queue.empty(), await queue.full()], [2, false, true]);
  await assert.rejects(queue.put(3, { timeoutMs: 0 }), QueueFullError);
  await assert.rejects(queue.put(3, { timeoutMs: 1 }), GetTimeoutError);
  const waiting = queue.put(3);
  assert.equal(await queue.get(), 1);
  await waiting;
  assert.deepEqual(await queue.getMany(), [2, 3]);
  await assert.rejects(queue.get({ timeoutMs: 0 }), QueueEmptyError);
  await assert.rejects(queue.get({ timeoutMs: 1 }), QueueEmptyError);
  const item = queue.get();
  await queue.put(4);
  assert.equal(await item, 4);
});

test("Queue.putMany puts all or none; getMany takes what is there", async () => {
  const queue = new Queue<number>({ maxSize: 3 });
  await queue.putMany([1, 2]);
  await assert.rejects(queue.putMany([3, 4], { timeoutMs: 0 }), QueueFullError);
  assert.equal(await queue.size(), 2);
  await assert.rejects(queue.putMany([1, 2, 3, 4]), InvalidOptionError);
  await queue.putMany([]);
  assert.deepEqual(await queue.getMany(1), [1]);
  assert.deepEqual(await queue.getMany(9), [2]);
  await assert.rejects(queue.getMany(0), InvalidOptionError);
  await assert.rejects(queue.getMany(1, { timeoutMs: 0 }), QueueEmptyError);
});

test("Queue without bound, and refs go through as refs", async () => {
  const queue = new Queue<ray.ObjectRef<string>>();
  const ref = ray.put("x");
  await queue.put(ref);
  assert.equal(await queue.full(), false);
  assert.equal(await queue.get(), ref);
  assert.equal(await new Queue({ maxSize: 0 }).full(), false);
  for (const maxSize of [-2, 1.5, Number.NaN, "3"]) assert.throws(() => new Queue({ maxSize: maxSize as never }), InvalidOptionError);
});

test("Queue crosses by its hooks, and is the same queue then", async () => {
  const queue = new Queue<number>({ maxSize: 1 });
  await queue.put(1);
  const copy = Queue[ray.deserialize](Queue[ray.serialize](queue as Queue)) as Queue<number>;
  assert.ok(copy instanceof Queue && copy !== queue);
  assert.equal(await copy.full(), true);
  assert.equal(await copy.get(), 1);
  await queue.shutdown();
  await assert.rejects(copy.get(), ActorDiedError);
});

test("the queue's actor serves in the order of waiting, and a waiter that leaves makes way", async () => {
  const actor = new QueueActor(2);
  const gets = range(3).map(() => actor.get(1, undefined));
  await actor.put(["a", "b"], undefined);
  await actor.put(["c"], undefined);
  assert.deepEqual(await Promise.all(gets), [["a"], ["b"], ["c"]]);
  assert.equal(await actor.put(["d"], 0), true);
  const big = actor.put(["e", "f"], 5);
  const small = actor.put(["g"], undefined);
  assert.equal(await big, false, "no room for both in time");
  assert.equal(await small, true);
  assert.deepEqual(await actor.get(9, 0), ["d", "g"]);
  assert.equal(await actor.get(1, 0), undefined);
});

test("the queue's actor takes large batches, and stays right over many", async () => {
  const actor = new QueueActor(-1);
  await actor.put(range(300_000), undefined);
  let next = 0;
  for (let i = 0; i < 1_000; i++) for (const item of (await actor.get((i % 7) + 1, 0)) ?? []) assert.equal(item, next++);
  assert.equal(actor.size(), 300_000 - next);
  assert.equal((await actor.get(Number.MAX_SAFE_INTEGER, 0))?.length, 300_000 - next);
  assert.equal(actor.size(), 0);
});

// ── asCompleted, Mailbox ───────────────────────────────────────────────────────────────────────
test("asCompleted gives refs as they get ready, failed ones too, and may be left", async () => {
  const gates = range(3).map(() => gate<number>());
  const work = ray.remote((i: number) => gates[i]!.promise);
  const refs = range(3).map((i) => work.remote(i));
  const fail = ray
    .remote((): number => {
      throw new Error("x");
    })
    .remote();
  const completed = asCompleted([...refs, fail]);
  assert.equal((await completed.next()).value, fail);
  gates[1]!.open(1);
  assert.equal((await completed.next()).value, refs[1]);
  await completed.return(undefined);
  assert.deepEqual(await all(asCompleted([])), []);
  await assert.rejects(all(asCompleted([1 as never])), InvalidOptionError);
});

test("a mailbox keeps the order, whoever waits", async () => {
  const mail = new Mailbox<number>();
  const early = mail.take();
  mail.push(0);
  assert.equal(await early, 0);
  for (const x of range(5_000)) mail.push(x);
  assert.equal(mail.length, 5_000);
  for (const x of range(5_000)) assert.equal(await mail.take(), x);
  assert.equal(mail.length, 0);
});

// ── metrics ────────────────────────────────────────────────────────────────────────────────────
test("metrics: counters, gauges, histograms, and their text", () => {
  const requests = new Counter("requests_total", { description: "Requests\nserved", tagKeys: ["route"] });
  requests.inc();
  requests.inc(2, { route: 'a"b\\' });
  new Counter("requests_total", { tagKeys: ["route"] }).inc(1, { route: "" });
  new Gauge("depth").set(-3);
  const latency = new Histogram("latency_seconds", { boundaries: [0.1, 1] });
  for (const value of [0.05, 0.1, 0.5, 7]) latency.observe(value);
  assert.deepEqual(metrics().find(({ name }) => name === "requests_total")?.samples, [
    { tags: { route: "" }, value: 2 },
    { tags: { route: 'a"b\\' }, value: 2 },
  ]);
  assert.equal(
    metricsText(),
    [
      "# HELP requests_total Requests\\nserved",
      "# TYPE requests_total counter",
      'requests_total{route=""} 2',
      'requests_total{route="a\\"b\\\\"} 2',
      "# TYPE depth gauge",
      "depth -3",
      "# TYPE latency_seconds histogram",
      'latency_seconds_bucket{le="0.1"} 2',
      'latency_seconds_bucket{le="1"} 3',
      'latency_seconds_bucket{le="+Inf"} 4',
      "latency_seconds_sum 7.65",
      "latency_seconds_count 4",
      "",
    ].join("\n"),
  );
  assert.throws(() => requests.inc(-1), InvalidOptionError);
  assert.throws(() => requests.inc(1, { rout: "x" }), /Did you mean "route"/);
  assert.throws(() => new Gauge("requests_total"), InvalidOptionError);
  assert.throws(() => new Gauge("1x"), InvalidOptionError);
  assert.throws(() => new Histogram("h", { boundaries: [2, 1] }), InvalidOptionError);
  assert.throws(() => new Gauge("depth").set(Number.NaN), InvalidOptionError);
});
