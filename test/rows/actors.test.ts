/** The rows of docs/api.md about actors and their options. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";
import { hasBegun, hold, newDiary, release } from "./hold.ts";

sharedCluster();

class Counter {
  #n: number;
  constructor(start = 0) {
    this.#n = start;
  }
  increment(by = 1): number {
    return (this.#n += by);
  }
  read(): number {
    return this.#n;
  }
  holds(): unknown {
    return ray.getRuntimeContext().assignedResources;
  }
  pid(): number {
    return process.pid;
  }
  crash(): void {
    process.kill(process.pid, "SIGKILL");
  }
  fail(): never {
    throw new RangeError("no further");
  }
  leave(): never {
    return ray.exitActor();
  }
}
const RemoteCounter = ray.remote(Counter);

test("remote makes a class an actor class; calls of one caller run in order", async () => {
  const counter = RemoteCounter.remote(5);
  const refs = Array.from({ length: 100 }, () => counter.increment.remote());
  assert.deepEqual(
    await ray.get(refs),
    Array.from({ length: 100 }, (_, i) => i + 6),
  );
  assert.notEqual(await ray.get(counter.pid.remote()), process.pid);
  assert.throws(() => (RemoteCounter as unknown as () => void)(), /remote/);
});

test("a method that throws rejects with TaskError, and the actor lives on", async () => {
  const counter = RemoteCounter.remote();
  const error = await rejectionOf(ray.get(counter.fail.remote()));
  assert.ok(error instanceof ray.TaskError && error.cause instanceof RangeError);
  assert.equal(await ray.get(counter.increment.remote()), 1);
});

test("a handle is a value: a task and another actor can take it", async () => {
  const counter = RemoteCounter.remote();
  const visit = ray.remote((c: ray.ActorHandle<Counter>) => ray.get(c.increment.remote(10)));
  assert.equal(await ray.get(visit.remote(counter)), 10);
  assert.equal(await ray.get(counter.read.remote()), 10);
});

test("kill ends an actor for good", async () => {
  const counter = RemoteCounter.options({ maxRestarts: 5 }).remote();
  await ray.get(counter.read.remote());
  await ray.kill(counter);
  await assert.rejects(ray.get(counter.read.remote()), ray.ActorDiedError);
});

test("kill with noRestart false lets it come back: calls made after it go to the new process", async () => {
  const counter = RemoteCounter.options({ maxRestarts: 2 }).remote();
  const before = await ray.get(counter.pid.remote());
  await ray.kill(counter, { noRestart: false });
  const after = await ray.get(counter.pid.remote());
  assert.notEqual(after, before);
  const killing = ray.kill(counter, { noRestart: false });
  const last = ray.get(counter.pid.remote());
  assert.ok(![before, after].includes(await last), "also where nobody has waited for the kill");
  await killing;
  const ending = ray.kill(counter);
  await assert.rejects(ray.get(counter.pid.remote()), ray.ActorDiedError);
  await ending;
});

test("exitActor ends the actor: its call gives undefined, later ones reject", async () => {
  const counter = RemoteCounter.remote();
  assert.equal(await ray.get(counter.leave.remote()), undefined);
  await assert.rejects(ray.get(counter.read.remote()), ray.ActorDiedError);
});

test("exitActor ends the actor also when it is caught, from a generator, and with several results", async () => {
  class Leaver {
    caught(): string {
      try {
        ray.exitActor();
      } catch {
        // What it throws is not for its caller.
      }
      return "went on";
    }
    pair(): [number, number] {
      return ray.exitActor();
    }
    *items(): Generator<number> {
      yield 1;
      ray.exitActor();
    }
  }
  const Remote = ray.remote(Leaver);
  const [caught, pair, items] = [Remote.remote(), Remote.remote(), Remote.remote()];
  assert.equal(await ray.get(caught.caught.remote()), undefined);
  assert.deepEqual(await ray.get(pair.pair.options({ numReturns: 2 }).remote()), [undefined, undefined]);
  const got: number[] = [];
  for await (const ref of items.items.remote()) got.push(await ray.get(ref));
  assert.deepEqual(got, [1]);
  for (const handle of [caught, pair, items]) await assert.rejects(ray.get(handle.caught.remote()), ray.ActorDiedError);
});

test("getActor finds an actor by name; an unknown name and a taken one are refused", async () => {
  const counter = RemoteCounter.options({ name: "the counter" }).remote(7);
  await ray.get(counter.read.remote());
  const found = await ray.getActor<typeof Counter>("the counter");
  assert.equal(await ray.get(found.read.remote()), 7);
  await assert.rejects(ray.getActor("nobody"), ray.ActorNotFoundError);
  await assert.rejects(ray.getActor("the counter", { namespace: "elsewhere" }), ray.ActorNotFoundError);
  const second = RemoteCounter.options({ name: "the counter" }).remote();
  await assert.rejects(
    ray.get(second.read.remote()),
    (e: Error) => e instanceof ray.ActorNameTakenError || e.cause instanceof ray.ActorNameTakenError,
  );
});

test("getIfExists takes the one that exists", async () => {
  const options = { name: "shared", getIfExists: true };
  const first = RemoteCounter.options(options).remote(1);
  await ray.get(first.increment.remote());
  const second = RemoteCounter.options(options).remote(100);
  assert.equal(await ray.get(second.read.remote()), 2);
  // One actor by every name that a handle may have for it.
  assert.equal(await ray.get(second.pid.remote()), await ray.get(first.pid.remote()));
  const visit = ray.remote((c: ray.ActorHandle<Counter>) => ray.get(c.increment.remote()));
  assert.equal(await ray.get(visit.remote(second)), 3);
  await ray.kill(second);
  await assert.rejects(ray.get(first.read.remote()), ray.ActorDiedError);
  await assert.rejects(ray.get(second.read.remote()), ray.ActorDiedError);
});

test("namespace keeps names apart", async () => {
  const here = RemoteCounter.options({ name: "twin", namespace: "left" }).remote(1);
  const there = RemoteCounter.options({ name: "twin", namespace: "right" }).remote(2);
  assert.deepEqual(await ray.get([here.read.remote(), there.read.remote()]), [1, 2]);
  const found = await ray.getActor<typeof Counter>("twin", { namespace: "right" });
  assert.equal(await ray.get(found.read.remote()), 2);
});

test("lifetime detached outlives its handles", async () => {
  const made = await ray.get(
    ray
      .remote(async () => {
        const counter = RemoteCounter.options({ name: "detached one", lifetime: "detached" }).remote(3);
        return ray.get(counter.pid.remote());
      })
      .remote(),
  );
  const found = await ray.getActor<typeof Counter>("detached one");
  assert.equal(await ray.get(found.pid.remote()), made);
  await ray.kill(found);
});

test("maxRestarts brings an actor back after a crash, with a new state; without it, it is dead", async () => {
  const counter = RemoteCounter.options({ maxRestarts: 1 }).remote(1);
  await ray.get(counter.increment.remote());
  const error = await rejectionOf(ray.get(counter.crash.remote()));
  assert.ok(error instanceof ray.ActorUnavailableError, String(error));
  assert.equal(error.outcome, "unknown");
  assert.equal(await ray.get(counter.read.remote()), 1);

  const mortal = RemoteCounter.remote();
  await assert.rejects(ray.get(mortal.crash.remote()), ray.ActorDiedError);
  await assert.rejects(ray.get(mortal.read.remote()), ray.ActorDiedError);
});

test("maxTaskRetries runs a call again after a restart", async (t) => {
  const folder = freshFolder(t);
  class Shaky {
    async work(place: string): Promise<string> {
      const fs = await import("node:fs");
      if (fs.existsSync(`${place}/tried`)) return "done";
      fs.writeFileSync(`${place}/tried`, "");
      process.kill(process.pid, "SIGKILL");
      return "unreachable";
    }
  }
  const shaky = ray.remote(Shaky, { maxRestarts: 1, maxTaskRetries: 1 }).remote();
  assert.equal(await ray.get(shaky.work.remote(folder)), "done");
});

class Gatekeeper {
  async enter(folder: string, name: string): Promise<void> {
    await hold(folder, name);
  }
  async io(folder: string, name: string): Promise<void> {
    await hold(folder, name);
  }
}

test("maxConcurrency 1 awaits each call to its end; above 1 they interleave", async (t) => {
  const [one, many] = [freshFolder(t), freshFolder(t)];
  const RemoteGatekeeper = ray.remote(Gatekeeper);
  const single = RemoteGatekeeper.remote();
  const calls = [single.enter.remote(one, "a"), single.enter.remote(one, "b")];
  const several = RemoteGatekeeper.options({ maxConcurrency: 2 }).remote();
  const others = [several.enter.remote(many, "a"), several.enter.remote(many, "b")];
  await waitUntil(() => hasBegun(many, "a") && hasBegun(many, "b"), "two calls are inside");
  await waitUntil(() => hasBegun(one, "a"), "one call is inside");
  assert.equal(hasBegun(one, "b"), false);
  release(one);
  release(many);
  await ray.get([...calls, ...others]);
});

test("concurrencyGroups bound their methods apart from the rest", async (t) => {
  const folder = freshFolder(t);
  const keeper = ray.remote(Gatekeeper, { concurrencyGroups: { io: 2 } }).remote();
  const inIo = keeper.io.options({ concurrencyGroup: "io" });
  const calls = [keeper.enter.remote(folder, "main"), inIo.remote(folder, "io1"), inIo.remote(folder, "io2"), inIo.remote(folder, "io3")];
  await waitUntil(() => ["main", "io1", "io2"].every((name) => hasBegun(folder, name)), "one and two are inside");
  assert.equal(hasBegun(folder, "io3"), false);
  release(folder);
  await ray.get(calls);
});

test("maxPendingCalls makes remote throw above it", async (t) => {
  const folder = freshFolder(t);
  const keeper = ray.remote(Gatekeeper, { maxPendingCalls: 2 }).remote();
  const calls = [keeper.enter.remote(folder, "a"), keeper.enter.remote(folder, "b")];
  assert.throws(() => keeper.enter.remote(folder, "c"), ray.PendingCallsLimitError);
  release(folder);
  await ray.get(calls);
});

test("an actor holds no processor while it lives, or the number given", async () => {
  const idle = RemoteCounter.remote();
  await ray.get(idle.read.remote());
  await waitUntil(async () => (await ray.availableResources())["CPU"] === 4, "nothing is held");
  const holding = RemoteCounter.options({ numCpus: 1.5 }).remote();
  assert.deepEqual(await ray.get(holding.holds.remote()), { CPU: 1.5 });
  assert.deepEqual(await ray.get(idle.holds.remote()), {});
  assert.equal((await ray.availableResources())["CPU"], 2.5);
  await ray.kill(holding);
  await waitUntil(async () => (await ray.availableResources())["CPU"] === 4, "it is given back");
});

test("methods can be generators, and take numReturns", async () => {
  class Source {
    *count(n: number): Generator<number> {
      for (let i = 0; i < n; i++) yield i;
    }
    pair(): [string, number] {
      return ["a", 1];
    }
  }
  const source = ray.remote(Source).remote();
  const seen: number[] = [];
  for await (const ref of source.count.remote(3)) seen.push(await ray.get(ref));
  assert.deepEqual(seen, [0, 1, 2]);
  const [a, b] = source.pair.options({ numReturns: 2 }).remote();
  assert.deepEqual(await ray.get([a, b]), ["a", 1]);
});

test("an actor whose constructor throws is dead, with the constructor's error", async () => {
  class Broken {
    constructor() {
      throw new TypeError("cannot begin");
    }
    read(): number {
      return 1;
    }
  }
  const error = (await rejectionOf(ray.get(ray.remote(Broken).remote().read.remote()))) as Error;
  assert.ok(error instanceof ray.MobulaError);
  assert.match(`${error.message} ${String(error.cause)}`, /cannot begin/);
});

test("an actor ends when its last handle is gone", async () => {
  const diary = newDiary();
  const pid = await ray.get(
    ray
      .remote(async (d: typeof diary) => {
        const counter = RemoteCounter.remote();
        await ray.get(d.add.remote("made"));
        return ray.get(counter.pid.remote());
      })
      .remote(diary),
  );
  const alive = (): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  // The worker's collector decides when the handle is gone: give it something to collect.
  const churn = ray.remote(() => {
    for (let i = 0; i < 50; i++) Buffer.alloc(1 << 20);
    return Array.from({ length: 100_000 }, (_, i) => ({ i })).length;
  });
  await waitUntil(async () => (await ray.get([1, 2, 3, 4].map(() => churn.remote())), !alive()), "its process has ended", {
    timeoutMs: 30_000,
  });
});
