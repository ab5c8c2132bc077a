/** The life of actors at its edges: restarts and order, names that are free again, limits that are exact; and of workers that own tasks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";
import { aborted, hasBegun, hold, release } from "./hold.ts";

sharedCluster({ numCpus: 2 });

class Log {
  readonly #lines: string[] = [];
  /** Waits for the release of the folder; ends its process in its first try, if asked to. */
  async write(folder: string, line: string, crash: boolean): Promise<string[]> {
    const fs = await import("node:fs");
    await hold(folder, line);
    if (crash && !fs.existsSync(`${folder}/crashed`)) {
      fs.writeFileSync(`${folder}/crashed`, "");
      process.kill(process.pid, "SIGKILL");
    }
    this.#lines.push(line);
    return this.#lines;
  }
  pid(): number {
    return process.pid;
  }
  async stay(folder: string, name: string): Promise<void> {
    await Promise.race([hold(folder, name), aborted()]);
  }
}
const RemoteLog = ray.remote(Log, { numCpus: 0 });

test("calls that are repeated after a restart keep their order, before those that were made since", async (t) => {
  const folder = freshFolder(t);
  const log = RemoteLog.options({ maxRestarts: 1, maxTaskRetries: 1 }).remote();
  const calls = ["a", "b", "c"].map((line) => log.write.remote(folder, line, line === "a"));
  await waitUntil(() => hasBegun(folder, "a"), "the first runs");
  release(folder);
  const last = log.write.remote(folder, "d", false);
  assert.deepEqual(await ray.get(last), ["a", "b", "c", "d"]);
  assert.deepEqual(await ray.get(calls[2]!), ["a", "b", "c"]);
});

test("a handle that is found by name repeats calls and limits them as the one of its maker", async (t) => {
  const folder = freshFolder(t);
  const options = { name: "found with options", maxRestarts: 1, maxTaskRetries: 1, maxPendingCalls: 2 };
  const made = RemoteLog.options(options).remote();
  await ray.get(made.pid.remote());
  const askByName = ray.remote(
    async (place: string): Promise<string[]> => {
      const log = await ray.getActor<typeof Log>("found with options");
      const call = log.write.remote(place, "by name", true);
      const second = log.pid.remote();
      const third = ((): string => {
        try {
          return log.pid.remote().id;
        } catch (error) {
          return (error as ray.MobulaError).code;
        }
      })();
      assert.equal(third, "PENDING_CALLS_LIMIT");
      await ray.get(second);
      return ray.get(call);
    },
    { numCpus: 0 },
  );
  release(folder);
  assert.deepEqual(await ray.get(askByName.remote(folder)), ["by name"]);
});

test("maxRestarts -1 brings an actor back as often as it dies", async () => {
  const log = RemoteLog.options({ maxRestarts: -1, maxTaskRetries: -1 }).remote();
  const seen = new Set<number>();
  for (let i = 0; i < 4; i++) {
    const pid = await ray.get(log.pid.remote());
    seen.add(pid);
    await ray.kill(log, { noRestart: false });
    await waitUntil(async () => (await ray.get(log.pid.remote())) !== pid, "it lives in another process");
  }
  assert.equal(seen.size, 4);
});

test("exitActor in a constructor ends the actor for good: its calls reject, and it does not restart", async () => {
  class Leaving {
    constructor() {
      ray.exitActor();
    }
    read(): number {
      return 1;
    }
  }
  const leaving = ray.remote(Leaving, { numCpus: 0, maxRestarts: 3 }).remote();
  await assert.rejects(ray.get(leaving.read.remote()), ray.ActorDiedError);
});

test("a name is free again once its actor is dead", async () => {
  const options = { name: "used again" };
  const first = RemoteLog.options(options).remote();
  const before = await ray.get(first.pid.remote());
  await ray.kill(first);
  await assert.rejects(ray.getActor("used again"), ray.ActorNotFoundError);
  const second = RemoteLog.options({ ...options, getIfExists: true }).remote();
  const after = await ray.get(second.pid.remote());
  assert.notEqual(after, before);
  const found = await ray.getActor<typeof Log>("used again");
  assert.equal(await ray.get(found.pid.remote()), after);
  await assert.rejects(ray.get(first.pid.remote()), ray.ActorDiedError);
});

test("handles of one actor by getIfExists and by getActor have one order of calls", async (t) => {
  const folder = freshFolder(t);
  release(folder);
  const options = { name: "by two names", getIfExists: true };
  // One that the program does not hold by the actor's own id.
  const made = RemoteLog.options(options).remote();
  await ray.get(made.pid.remote());
  const again = RemoteLog.options(options).remote();
  const found = await ray.getActor<typeof Log>("by two names");
  const handles = [again, found, made];
  const lines = Array.from({ length: 60 }, (_, i) => String(i));
  // Those behind a call whose argument is late wait for it, whichever handle they are made by.
  const late = ray.remote(
    async (place: string, line: string) => {
      await hold(place, "late");
      return line;
    },
    { numCpus: 0 },
  );
  const second = freshFolder(t);
  const calls = lines.map((line, i) => handles[i % 3]!.write.remote(folder, i % 20 === 0 ? late.remote(second, line) : line, false));
  release(second);
  await ray.get(calls);
  const written = await ray.get(again.write.remote(folder, "last", false));
  assert.deepEqual(written, [...lines, "last"]);
  await ray.kill(again);
  for (const handle of handles) await assert.rejects(ray.get(handle.pid.remote()), ray.ActorDiedError);
});

test("maxPendingCalls counts calls that are not settled: those that ended or were cancelled make room", async (t) => {
  const folder = freshFolder(t);
  const log = RemoteLog.options({ maxPendingCalls: 2 }).remote();
  const first = log.stay.remote(folder, "first");
  const second = log.stay.remote(folder, "second");
  await waitUntil(() => hasBegun(folder, "first"), "the first runs");
  assert.throws(() => log.pid.remote(), ray.PendingCallsLimitError);
  await ray.cancel(second);
  const third = log.pid.remote();
  assert.throws(() => log.pid.remote(), ray.PendingCallsLimitError);
  release(folder);
  await ray.get([first, third]);
  assert.equal(typeof (await ray.get(log.pid.remote())), "number");
});

test("a worker that looks idle stays while tasks that it left behind wait", async (t) => {
  const folder = freshFolder(t);
  const slow = ray.remote(
    async (place: string) => {
      await hold(place, "slow");
      return 1;
    },
    { numCpus: 0 },
  );
  const plus = ray.remote((x: number, y: number) => x + y, { numCpus: 0 });
  const leaves = ray.remote(
    (box: { inside: ray.ObjectRef<number> }, i: number) => {
      return { pid: process.pid, inside: plus.remote(box.inside, i) };
    },
    { numCpus: 0 },
  );
  const late = slow.remote(folder);
  await waitUntil(() => hasBegun(folder, "slow"), "it holds");
  const boxes = await ray.get([1, 2, 3, 4, 5, 6].map((i) => leaves.remote({ inside: late }, i)));
  // Others come, so that there are more workers than the pool keeps, and are idle, and some of all the idle ones are ended.
  const second = freshFolder(t);
  const busy = ray.remote(
    async (place: string, i: number) => {
      await hold(place, `busy ${i}`);
      return process.pid;
    },
    { numCpus: 0 },
  );
  const others = [1, 2, 3, 4, 5, 6].map((i) => busy.remote(second, i));
  await waitUntil(() => [1, 2, 3, 4, 5, 6].every((i) => hasBegun(second, `busy ${i}`)), "others run", { timeoutMs: 30_000 });
  release(second);
  const pids = await ray.get(others);
  const alive = (pid: number): boolean => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  await waitUntil(() => pids.filter((pid) => !alive(pid)).length >= 2, "idle ones are ended", { timeoutMs: 20_000 });
  for (const { pid } of boxes) assert.ok(alive(pid), "a worker that owns open tasks lives");
  release(folder);
  assert.deepEqual(await ray.get(boxes.map(({ inside }) => inside)), [2, 3, 4, 5, 6, 7]);
});
