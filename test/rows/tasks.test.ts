/** The rows of docs/api.md about tasks and their options. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";
import { hasBegun, hold, newDiary, release, spin } from "./hold.ts";

sharedCluster({ resources: { token: 1 } });

test("remote makes a function a task; arguments are values or references", async () => {
  const offset = 10;
  const add = ray.remote((a: number, b: number) => a + b + offset);
  assert.equal(await ray.get(add.remote(1, add.remote(2, 3))), 26);
  assert.throws(() => (add as unknown as () => void)(), /remote/);
});

test("options gives the same function with others, and leaves the first as it was", async () => {
  const pair = ray.remote(() => [1, 2]);
  const [a, b] = pair.options({ numReturns: 2 }).remote();
  assert.deepEqual(await ray.get([a!, b!]), [1, 2]);
  assert.deepEqual(await ray.get(pair.remote()), [1, 2]);
});

test("bind describes a graph, and execute runs each node once", async () => {
  const make = ray.remote(() => Math.random());
  const both = ray.remote((a: number, b: number) => [a, b]);
  const node = make.bind();
  const [a, b] = await ray.get(both.bind(node, node).execute());
  assert.equal(a, b);
});

test("a task that throws rejects with TaskError, whose cause is the error with class, fields and message", async () => {
  const fail = ray.remote(() => {
    throw Object.assign(new RangeError("too far"), { code: "E_FAR", distance: 3 });
  });
  const take = ray.remote((x: unknown) => x);
  for (const ref of [fail.remote(), take.remote(fail.remote())]) {
    const error = await rejectionOf(ray.get(ref));
    assert.ok(error instanceof ray.TaskError && error instanceof ray.MobulaError);
    assert.equal(error.code, "TASK_FAILED");
    const cause = error.cause as RangeError & { code: string; distance: number };
    assert.ok(cause instanceof RangeError);
    assert.deepEqual([cause.message, cause.code, cause.distance], ["too far", "E_FAR", 3]);
  }
});

test("numReturns gives that many references; another length is an error", async () => {
  const three = ray.remote(() => ["a", "b", "c"], { numReturns: 3 });
  assert.deepEqual(await ray.get(three.remote()), ["a", "b", "c"]);
  const wrong = ray.remote((): number[] => [1, 2, 3], { numReturns: 2 });
  await assert.rejects(ray.get(wrong.remote()), ray.MobulaError);
});

test("a generator gives a stream of references, in order, and throws where the producer threw", async () => {
  const count = ray.remote(function* (n: number) {
    for (let i = 0; i < n; i++) yield i;
    throw new Error("the end");
  });
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const ref of count.remote(5)) seen.push(await ray.get(ref));
  }, ray.TaskError);
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
});

test("streamBuffer bounds how far a producer runs ahead", async () => {
  class Tally {
    #n = 0;
    add(): number {
      return ++this.#n;
    }
    read(): number {
      return this.#n;
    }
  }
  const tally = ray.remote(Tally).remote();
  const produce = ray.remote(
    async function* (counter: ray.ActorHandle<Tally>) {
      for (let i = 0; i < 100; i++) {
        await ray.get(counter.add.remote());
        yield i;
      }
    },
    { streamBuffer: 4 },
  );
  const stream = produce.remote(tally);
  await waitUntil(async () => (await ray.get(tally.read.remote())) >= 4, "the producer has begun");
  const ahead: number[] = [];
  let read = 0;
  for await (const ref of stream) {
    assert.equal(await ray.get(ref), read++);
    ahead.push((await ray.get(tally.read.remote())) - read);
  }
  assert.equal(read, 100);
  assert.ok(Math.max(...ahead) <= 6, `ran ahead by ${Math.max(...ahead)}`);
});

test("cancel of a task that has not begun keeps it from ever starting", async (t) => {
  const folder = freshFolder(t);
  const holder = ray.remote(hold, { resources: { token: 1 }, numCpus: 0 });
  const first = holder.remote(folder, "first");
  await waitUntil(() => hasBegun(folder, "first"), "the first holds the token");
  const second = holder.remote(folder, "second");
  await ray.cancel(second);
  await assert.rejects(ray.get(second), ray.TaskCancelledError);
  release(folder);
  await ray.get(first);
  // The token goes from hand to hand in order, so whoever came before would have run before this one.
  await ray.get(holder.remote(folder, "third"));
  assert.equal(hasBegun(folder, "second"), false);
});

test("cancel of a running task aborts its signal; force ends its worker", async (t) => {
  const folder = freshFolder(t);
  const polite = ray.remote(async (place: string) => {
    const { signal } = ray.getRuntimeContext();
    const aborted = new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
    await Promise.race([aborted, hold(place, "polite")]);
  });
  const running = polite.remote(folder);
  await waitUntil(() => hasBegun(folder, "polite"), "it runs");
  await ray.cancel(running);
  await assert.rejects(ray.get(running), ray.TaskCancelledError);

  const stuck = ray.remote(spin).remote(folder);
  await waitUntil(() => hasBegun(folder), "it computes");
  await ray.cancel(stuck, { force: true });
  await assert.rejects(ray.get(stuck), ray.TaskCancelledError);
  release(folder);
});

test("signal cancels the call when it aborts", async () => {
  const controller = new AbortController();
  const wait = ray.remote(() => new Promise(() => {}), { signal: controller.signal });
  const ref = wait.remote();
  controller.abort();
  await assert.rejects(ray.get(ref), ray.TaskCancelledError);
});

test("getRuntimeContext says who and where, in the driver and in a task", async () => {
  const here = ray.getRuntimeContext();
  assert.equal(here.isDriver, true);
  assert.equal(here.taskId, undefined);
  const there = await ray.get(
    ray
      .remote(
        () => {
          const { jobId, nodeId, workerId, taskId, actorId, namespace, attempt, assignedResources, isDriver, signal } =
            ray.getRuntimeContext();
          return { jobId, nodeId, workerId, taskId, actorId, namespace, attempt, assignedResources, isDriver, aborted: signal.aborted };
        },
        { numCpus: 0.5 },
      )
      .remote(),
  );
  assert.equal(there.jobId, here.jobId);
  assert.equal(there.nodeId, here.nodeId);
  assert.equal(there.namespace, here.namespace);
  assert.notEqual(there.workerId, here.workerId);
  assert.ok(there.taskId);
  assert.deepEqual([there.actorId, there.attempt, there.isDriver, there.aborted], [undefined, 0, false, false]);
  assert.equal(there.assignedResources["CPU"], 0.5);
});

test("serialize and deserialize let an instance with private fields cross", async () => {
  class Money {
    readonly #cents: number;
    constructor(cents: number) {
      this.#cents = cents;
    }
    get cents(): number {
      return this.#cents;
    }
    static [ray.serialize](money: Money): number {
      return money.#cents;
    }
    static [ray.deserialize](cents: number): Money {
      return new Money(cents);
    }
  }
  const double = ray.remote((money: Money) => new Money(money.cents * 2));
  const doubled = await ray.get(double.remote(new Money(21)));
  assert.ok(doubled instanceof Money);
  assert.equal(doubled.cents, 42);
});

test("numCpus, memory and resources are held while a task runs, and never over-committed", async (t) => {
  const folder = freshFolder(t);
  const holder = ray.remote(
    async (place: string, name: string) => {
      await hold(place, name);
      return ray.getRuntimeContext().assignedResources;
    },
    { numCpus: 0.25, memory: 1_000_000, resources: { token: 0.5 } },
  );
  const refs = ["a", "b", "c"].map((name) => holder.remote(folder, name));
  const begun = (): number => ["a", "b", "c"].filter((name) => hasBegun(folder, name)).length;
  await waitUntil(() => begun() === 2, "two halves of a token are held");
  // Leases of the tests before are kept for a moment.
  await waitUntil(async () => (await ray.availableResources())["CPU"] === 3.5, "two quarters of a processor are held");
  assert.equal((await ray.availableResources())["token"], 0);
  assert.equal(begun(), 2);
  release(folder);
  for (const assigned of await ray.get(refs)) {
    assert.deepEqual([assigned["CPU"], assigned["memory"], assigned["token"]], [0.25, 1_000_000, 0.5]);
  }
  await waitUntil(async () => (await ray.availableResources())["token"] === 1, "the token is free again");
});

test("a task that asks for a GPU waits where there is none", async () => {
  // This cluster has none: the demand waits.
  const ref = ray.remote(() => 1, { numGpus: 1 }).remote();
  const [ready] = await ray.wait([ref], { timeoutMs: 200 });
  assert.equal(ready.length, 0);
  await ray.cancel(ref);
});

test("maxRetries runs a task again when its worker died, and 0 does not", async (t) => {
  const marker = path.join(freshFolder(t), "tried");
  const crashOnce = async (file: string): Promise<string> => {
    const fs = await import("node:fs");
    if (fs.existsSync(file)) return `attempt ${ray.getRuntimeContext().attempt}`;
    fs.writeFileSync(file, "");
    process.kill(process.pid, "SIGKILL");
    return "unreachable";
  };
  assert.equal(await ray.get(ray.remote(crashOnce).remote(marker)), "attempt 1");
  const error = await rejectionOf(ray.get(ray.remote(crashOnce, { maxRetries: 0 }).remote(`${marker}2`)));
  assert.ok(error instanceof ray.WorkerCrashedError);
  assert.equal(error.signal, "SIGKILL");
});

test("retryExceptions runs a task again when it throws: all, by class, or by a predicate", async () => {
  const flaky = (): number => {
    if (ray.getRuntimeContext().attempt < 2) throw new RangeError("not yet");
    return ray.getRuntimeContext().attempt;
  };
  assert.equal(await ray.get(ray.remote(flaky, { retryExceptions: true }).remote()), 2);
  assert.equal(await ray.get(ray.remote(flaky, { retryExceptions: [RangeError] }).remote()), 2);
  assert.equal(await ray.get(ray.remote(flaky, { retryExceptions: (e) => (e as Error).message === "not yet" }).remote()), 2);
  await assert.rejects(ray.get(ray.remote(flaky, { retryExceptions: [TypeError] }).remote()), ray.TaskError);
  await assert.rejects(ray.get(ray.remote(flaky, { retryExceptions: true, maxRetries: 1 }).remote()), ray.TaskError);
});

test("priority: what is higher goes first", async (t) => {
  const folder = freshFolder(t);
  const diary = newDiary();
  const options = { resources: { token: 1 }, numCpus: 0 };
  const holder = ray.remote(hold, options).remote(folder);
  const note = ray.remote((o: typeof diary, name: string) => ray.get(o.add.remote(name)), options);
  await waitUntil(() => hasBegun(folder), "the token is held");
  const low = note.options({ priority: -1 }).remote(diary, "low");
  const high = note.options({ priority: 5 }).remote(diary, "high");
  // Both demands have reached the node once its answer to a later question is there.
  await ray.availableResources();
  release(folder);
  await ray.get([holder, low, high]);
  assert.deepEqual(await ray.get(diary.read.remote()), ["high", "low"]);
});

test("maxCalls replaces the worker after so many calls", async () => {
  const pid = ray.remote(() => process.pid, { maxCalls: 1 });
  const pids = [await ray.get(pid.remote()), await ray.get(pid.remote()), await ray.get(pid.remote())];
  assert.equal(new Set(pids).size, 3);
});

test("runtimeEnv gives the worker environment variables", async () => {
  const read = ray.remote(() => process.env["ROW_TEST"], { runtimeEnv: { envVars: { ROW_TEST: "yes" } } });
  assert.equal(await ray.get(read.remote()), "yes");
  assert.equal(await ray.get(ray.remote(() => process.env["ROW_TEST"] ?? "none").remote()), "none");
});

test("captures names captured variables by hand, and they win", async () => {
  const factor = 2;
  const scale = ray.remote((x: number) => x * factor, { captures: { factor: 10 } });
  assert.equal(await ray.get(scale.remote(4)), 40);
});

test("name is what errors call the function", async () => {
  const fail = ray.remote(
    () => {
      throw new Error("no");
    },
    { name: "the failing one" },
  );
  await assert.rejects(ray.get(fail.remote()), /the failing one/);
});

test("labelSelector keeps a task from nodes without the label", async () => {
  const ref = ray.remote(() => 1, { labelSelector: { zone: "moon" } }).remote();
  const [ready] = await ray.wait([ref], { timeoutMs: 200 });
  assert.equal(ready.length, 0);
  await ray.cancel(ref);
  assert.equal(await ray.get(ray.remote(() => 1, { labelSelector: { zone: "!moon" } }).remote()), 1);
});

test("schedulingStrategy takes SPREAD, and refuses what it does not know", async () => {
  assert.equal(await ray.get(ray.remote(() => 1, { schedulingStrategy: "SPREAD" }).remote()), 1);
  assert.throws(() => ray.remote(() => 1, { schedulingStrategy: "SPRED" as never }), ray.InvalidOptionError);
});

test("a wrong option is refused at the call, with the nearest right name", () => {
  assert.throws(
    () => ray.remote(() => 1, { numCpu: 1 } as never),
    (e: Error) => e instanceof ray.InvalidOptionError && /numCpus/.test(e.message),
  );
  for (const numCpus of [-1, Number.NaN, Number.POSITIVE_INFINITY])
    assert.throws(() => ray.remote(() => 1, { numCpus }), ray.InvalidOptionError);
});
