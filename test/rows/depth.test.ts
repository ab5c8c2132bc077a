/** Many calls at a time: what is promised of one holds for each of them, and the caller's event loop and memory bear it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";
import { hasBegun, hold, release } from "./hold.ts";

sharedCluster({ numCpus: 2 });

const nothing = ray.remote(() => 0);

test("a thousand tiny calls are done while a long one of the same function, made before them, still runs", async (t) => {
  const folder = freshFolder(t);
  const work = ray.remote((where: string | undefined) => (where === undefined ? undefined : hold(where)));
  // So many that the function is known as a short one: then hundreds are pushed to a worker ahead.
  await ray.get(Array.from({ length: 2_000 }, () => work.remote(undefined)));
  const long = work.remote(folder);
  const tiny = Array.from({ length: 1_000 }, () => work.remote(undefined));
  await ray.get(tiny);
  await waitUntil(() => hasBegun(folder), "the long one runs");
  const [ready] = await ray.wait([long], { timeoutMs: 0 });
  assert.deepEqual(ready, []);
  release(folder);
  await ray.get(long);
});

test("a queue longer than any window runs to its end, more than once, and each call has its own result", async () => {
  const same = ray.remote((i: number) => i);
  for (let round = 0; round < 2; round++) {
    const refs = Array.from({ length: 10_000 }, (_, i) => same.remote(i));
    assert.deepEqual(
      await ray.get(refs),
      refs.map((_, i) => i),
    );
  }
});

test("ten thousand calls to each of two actors, one synchronous and one not, keep their order", async () => {
  class Counter {
    #n = 0;
    next(): number {
      return this.#n++;
    }
    async nextLater(): Promise<number> {
      return this.#n++;
    }
  }
  const [plain, later] = [0, 1].map(() => ray.remote(Counter, { numCpus: 0 }).remote());
  const expected = Array.from({ length: 10_000 }, (_, i) => i);
  const results = await Promise.all([
    ray.get(expected.map(() => plain!.next.remote())),
    ray.get(expected.map(() => later!.nextLater.remote())),
  ]);
  assert.deepEqual(results, [expected, expected]);
});

test("calls above the limit of a concurrent actor begin as others end, never more than the limit at once", async () => {
  class Crowd {
    #inside = 0;
    #most = 0;
    async visit(): Promise<void> {
      this.#most = Math.max(this.#most, ++this.#inside);
      await new Promise((resolve) => setImmediate(resolve));
      this.#inside--;
    }
    async pass(): Promise<void> {
      this.#most = Math.max(this.#most, ++this.#inside);
      this.#inside--;
    }
    most(): number {
      return this.#most;
    }
  }
  const crowd = ray.remote(Crowd, { numCpus: 0, maxConcurrency: 16 }).remote();
  await ray.get(Array.from({ length: 2_000 }, (_, i) => (i % 2 === 0 ? crowd.visit.remote() : crowd.pass.remote())));
  assert.equal(await ray.get(crowd.most.remote()), 16);
});

test("get of very many results gives the event loop its turns", async () => {
  const make = ray.remote(() => ({ a: 1, b: ["x", "y"] }));
  const refs = Array.from({ length: 2_000 }, () => make.remote());
  await ray.get(refs);
  const many = Array.from({ length: 200_000 }, (_, i) => refs[i % refs.length]!);
  let turns = 0;
  const count = setInterval(() => turns++, 1);
  const values = await ray.get(many);
  clearInterval(count);
  assert.equal(values.length, many.length);
  assert.ok(turns >= 2, `${turns} turns`);
});

test("a queued call takes less than 1 KB, however many there are", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  await ray.get(nothing.remote());
  for (const count of [10_000, 100_000]) {
    collect();
    const before = process.memoryUsage();
    const refs = Array.from({ length: count }, () => nothing.remote());
    collect();
    const after = process.memoryUsage();
    const each = (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / count;
    assert.ok(each < 1024, `${Math.round(each)} bytes for each of ${count}`);
    await ray.get(refs);
  }
});
