/** The rows "Objects and waiting" of docs/api.md. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { collectGarbage, counts, objectStore } from "mobula/state";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";
import { hasBegun, hold, release } from "./hold.ts";

sharedCluster();

test("put stores a value as it is at the call, get gives it back", async () => {
  const value = { list: [1, -0, Number.NaN], map: new Map([["a", new Set([1n])]]), when: new Date(0), nothing: undefined };
  const ref = ray.put(value);
  value.list.push(99);
  assert.ok(ref instanceof ray.ObjectRef && ref.id !== "");
  assert.deepEqual(await ray.get(ref), {
    list: [1, -0, Number.NaN],
    map: new Map([["a", new Set([1n])]]),
    when: new Date(0),
    nothing: undefined,
  });
  assert.equal((ref as { then?: unknown }).then, undefined);
});

test("a large array is read in place, and what one reader writes no other sees", async () => {
  const ref = ray.put(new Float64Array(1 << 18).fill(1));
  const write = ray.remote((a: Float64Array) => {
    a[0] = 7;
    return a[0];
  });
  assert.deepEqual(await ray.get([write.remote(ref), write.remote(ref)]), [7, 7]);
  const [mine, other] = await ray.get([ref, ref]);
  mine[0] = 9;
  assert.deepEqual([mine[0], other[0], (await ray.get(ref))[0]], [9, 1, 1]);
});

test("a large argument is stored, and read in place: what a task writes to it nobody else sees", async () => {
  const stored = async () => (await objectStore())[0]!.objects;
  await waitUntil(async () => (await collectGarbage(), (await stored()) === 0), "the store is empty");
  const array = new Float64Array(1 << 18).fill(1);
  const inStore = ray.remote(
    async (a: Float64Array, box: { b: Float64Array }, small: number) => {
      a[0] = 7;
      return [a.length, a[0], box.b[0], small, (await objectStore())[0]!.objects];
    },
    { maxRetries: 0 },
  );
  assert.deepEqual(await ray.get(inStore.remote(array, { b: array }, 3)), [1 << 18, 7, 1, 3, 2]);
  await waitUntil(async () => (await collectGarbage(), (await stored()) === 0), "arguments go with their calls");
  const actor = ray
    .remote(
      class {
        readonly #first: Float64Array;
        constructor(first: Float64Array) {
          this.#first = first;
        }
        async sum(second: Float64Array) {
          return [this.#first.length + second.length, (await objectStore())[0]!.objects];
        }
      },
    )
    .remote(array);
  assert.deepEqual(await ray.get(actor.sum.remote(array)), [1 << 19, 2]);
  assert.equal(array[0], 1);
  await ray.kill(actor);
  await waitUntil(async () => (await collectGarbage(), (await stored()) === 0), "those of an actor too");
});

test("createBuffer gives space to write into, and seal its reference", async () => {
  const { array, seal } = await ray.createBuffer(1 << 18, Float64Array);
  array.fill(2.5);
  const ref = seal();
  const got = await ray.get(ref);
  assert.ok(got instanceof Float64Array);
  assert.deepEqual([got.length, got[0], got.at(-1)], [1 << 18, 2.5, 2.5]);
  const bytes = await ray.createBuffer(10);
  assert.ok(bytes.array instanceof Uint8Array);
});

test("a buffer that is dropped unsealed is freed, one of which a view is held is not", async () => {
  const used = async () => (await objectStore())[0]!.used;
  await waitUntil(async () => (await collectGarbage(), (await used()) === 0), "the store is empty");
  const size = 8 << 20;
  const part = async () => (await ray.createBuffer(size)).array.subarray(10, 20);
  let view: Uint8Array | undefined = await part();
  await ray.createBuffer(size);
  const large = async () => (await used()) >= size && (await used()) < 2 * size;
  await waitUntil(async () => (await collectGarbage(), large()), "one of the two is freed");
  await collectGarbage();
  view.fill(1);
  assert.ok(await large());
  view = undefined;
  await waitUntil(async () => (await collectGarbage(), (await used()) === 0), "the other is freed too");
});

test("get takes a reference or a list, and keeps the order", async () => {
  const echo = ray.remote((x: number) => x);
  assert.equal(await ray.get(echo.remote(1)), 1);
  assert.deepEqual(await ray.get([3, 1, 2].map((x) => echo.remote(x))), [3, 1, 2]);
  assert.deepEqual(await ray.get([]), []);
  await assert.rejects(async () => ray.get({} as never), ray.InvalidOptionError);
});

test("get with timeoutMs rejects with GetTimeoutError, and the task goes on", async (t) => {
  const folder = freshFolder(t);
  const ref = ray.remote(hold).remote(folder);
  const error = await rejectionOf(ray.get(ref, { timeoutMs: 50 }));
  assert.ok(error instanceof ray.GetTimeoutError);
  release(folder);
  await ray.get(ref);
});

test("get and wait with a signal reject with its reason, and the task goes on", async (t) => {
  const folder = freshFolder(t);
  const ref = ray.remote(hold).remote(folder);
  for (const start of [(signal: AbortSignal) => ray.get(ref, { signal }), (signal: AbortSignal) => ray.wait([ref], { signal })]) {
    const controller = new AbortController();
    const waiting = start(controller.signal);
    controller.abort(new Error("no longer wanted"));
    await assert.rejects(waiting, /no longer wanted/);
  }
  release(folder);
  await ray.get(ref);
});

test("wait gives ready and pending in the order of the input, at most numReturns ready", async (t) => {
  const folder = freshFolder(t);
  const slow = ray.remote(hold).remote(folder);
  const echo = ray.remote((x: number) => x);
  const quick = [echo.remote(1), echo.remote(2), echo.remote(3)];
  await ray.get(quick);
  const refs = [slow, ...quick];
  const [ready, pending] = await ray.wait(refs, { numReturns: 2 });
  assert.deepEqual(ready, [refs[1], refs[2]]);
  assert.deepEqual(pending, [refs[0], refs[3]]);
  const [, still] = await ray.wait(refs, { numReturns: 4, timeoutMs: 50 });
  assert.deepEqual(still, [slow]);
  await assert.rejects(async () => ray.wait(refs, { numReturns: 5 }), ray.InvalidOptionError);
  release(folder);
  await ray.get(slow);
});

test("a reference inside a value stays a reference, and keeps its object", async () => {
  const inner = ray.put(new Float64Array(1 << 17).fill(4));
  const open = ray.remote(async ({ ref }: { ref: ray.ObjectRef<Float64Array> }) => (await ray.get(ref))[0]);
  assert.equal(await ray.get(open.remote({ ref: inner })), 4);
  const wrap = ray.remote(() => ({ ref: ray.put(new Float64Array(1 << 17).fill(5)) }));
  const { ref } = await ray.get(wrap.remote());
  assert.equal((await ray.get(ref))[0], 5);
});

test("objectStore says what is stored, and goes back when the last reference is gone", async () => {
  const used = async (): Promise<number> => (await objectStore()).reduce((sum, node) => sum + node.used, 0);
  const [node] = await objectStore();
  assert.ok(node !== undefined && node.capacity > 0 && node.spilled >= 0 && node.objects >= 0);
  const before = await used();
  const bytes = 8 << 20;
  const make = async (): Promise<void> => {
    const ref = ray.put(new Uint8Array(bytes));
    await waitUntil(async () => (await used()) >= before + bytes, "the object is in the store");
    assert.equal((await ray.get(ref)).length, bytes);
  };
  await make();
  await waitUntil(
    async () => {
      for (let i = 0; i < 20; i++) Buffer.alloc(4 << 20);
      return (await used()) < before + bytes;
    },
    "it has been freed",
    { timeoutMs: 30_000 },
  );
});

test("counts says what a node keeps track of, and collectGarbage lets go of what nobody can reach", async () => {
  const state = async () => (await counts())[0]!;
  const start = await state();
  assert.ok(start.workers > 0 && start.idle <= start.workers && start.waiting === 0);
  const make = async (): Promise<void> => {
    const refs = Array.from({ length: 20 }, (_, i) => ray.put(i));
    assert.equal(await ray.get(ray.remote((inside: ray.ObjectRef<number>[]) => inside.length).remote(refs)), 20);
    assert.ok((await state()).references >= start.references + 20);
    const actor = ray
      .remote(
        class {
          where = () => 1;
        },
      )
      .remote();
    assert.equal(await ray.get(actor.where.remote()), 1);
    assert.equal((await state()).actors, start.actors + 1);
  };
  await make();
  await waitUntil(async () => {
    await collectGarbage();
    const now = await state();
    return now.references <= start.references && now.actors === start.actors && now.leases === 0;
  }, "what was made is let go of");
});

test("ObjectStoreFullError when nothing can be freed", async () => {
  const [node] = await objectStore();
  const tooMuch = node!.capacity + (64 << 20);
  await assert.rejects(ray.createBuffer(tooMuch), ray.ObjectStoreFullError);
});

test("what cannot cross is refused at the call, with the path to it", async () => {
  const take = ray.remote((x: unknown) => typeof x);
  assert.throws(
    () => take.remote({ db: { pending: Promise.resolve(1) } }),
    (error: unknown) => error instanceof ray.SerializationError && error.path === "args[0].db.pending",
  );
  assert.throws(() => ray.put({ s: Symbol("x") }), ray.SerializationError);
});

test("a task that waits gives its processor back: recursion deeper than the machine", async () => {
  const depth = ray.remote(async (n: number): Promise<number> => (n === 0 ? 0 : 1 + (await ray.get(depth.remote(n - 1)))));
  assert.equal(await ray.get(depth.remote(50)), 50);
});

test("no task waits behind a long one while a worker is idle", async (t) => {
  const folder = freshFolder(t);
  const maybe = ray.remote(async (place: string, i: number) => {
    if (i === 0) await hold(place);
    return i;
  });
  const refs = Array.from({ length: 200 }, (_, i) => maybe.remote(folder, i));
  await waitUntil(() => hasBegun(folder), "the long one runs");
  assert.deepEqual(
    await ray.get(refs.slice(1)),
    Array.from({ length: 199 }, (_, i) => i + 1),
  );
  release(folder);
  await ray.get(refs[0]!);
});
