/** What a process submitted and gave away is there for others while it computes, and after its death. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";
import { blockUntilReleased, hasBegun, hold, release } from "./hold.ts";

sharedCluster();

type Refs = ray.ObjectRef<unknown>[];

/** Holds references for whoever asks. */
class Keeper {
  #kept: Refs = [];
  keep(refs: Refs): void {
    this.#kept = refs;
  }
  kept(): Refs {
    return this.#kept;
  }
}
const RemoteKeeper = ray.remote(Keeper, { numCpus: 0 });

class Echo {
  say(text: string): string {
    return text;
  }
}

const NAMES = ["value", "pair", "fails", "large"];

/** When the results come: while the owner computes, before it computes but not read by it, or read by it before. */
type When = "later" | "unread" | "read";

/** Submits, lets the references go to the keeper, and then computes without a turn of the event loop. */
const owner = ray.remote(
  async (keeper: ray.ActorHandle<Keeper>, folder: string, tasks: string, when: When): Promise<void> => {
    const fs = await import("node:fs");
    const held = async <T>(name: string, make: () => T): Promise<T> => {
      await hold(tasks, name);
      fs.writeFileSync(`${tasks}/${name} ended`, "");
      return make();
    };
    const fail = (): never => {
      throw new RangeError("no further");
    };
    const options = { numCpus: 0 };
    const value = ray.remote(() => held("value", () => "value"), options);
    const pair = ray.remote(() => held("pair", () => ["first", { inside: ray.put("deep") }]), { numCpus: 0, numReturns: 2 });
    const fails = ray.remote(() => held("fails", fail), options);
    const large = ray.remote(() => held("large", () => new Uint8Array(300_000).fill(7)), options);
    const echo = ray.remote(Echo, options).remote();
    // The ways to both are open: what is called from now on goes out before the owner computes.
    await ray.get([echo.say.remote("it lives"), keeper.kept.remote()]);
    const refs = [value.remote(), ...pair.remote(), fails.remote(), echo.say.remote("called"), large.remote()] as Refs;
    const { setTimeout: pause } = await import("node:timers/promises");
    while (!NAMES.every((name) => hasBegun(tasks, name))) await pause(5);
    if (when !== "later") release(tasks);
    if (when === "read") await ray.wait(refs, { numReturns: refs.length });
    if (when === "unread") while (!NAMES.every((name) => hasBegun(tasks, `${name} ended`)));
    const kept = keeper.keep.remote(refs);
    if (when === "unread") await Promise.resolve();
    else await ray.get(kept);
    fs.writeFileSync(`${folder}/${process.pid}.pid`, "");
    blockUntilReleased(folder);
  },
  { numCpus: 0, maxRetries: 0 },
);

async function checkValues(keeper: ray.ActorHandle<Keeper>): Promise<void> {
  await waitUntil(async () => (await ray.get(keeper.kept.remote())).length > 0, "they are given away");
  const [value, first, second, failed, called, large] = await ray.get(keeper.kept.remote());
  const limit = { timeoutMs: 20_000 };
  assert.deepEqual(await ray.get([value!, first!, called!], limit), ["value", "first", "called"]);
  const { inside } = (await ray.get(second!, limit)) as { inside: ray.ObjectRef<string> };
  assert.equal(await ray.get(inside, limit), "deep");
  await assert.rejects(ray.get(failed!, limit), (error: Error) => error instanceof ray.TaskError && error.cause instanceof RangeError);
  assert.equal(((await ray.get(large!, limit)) as Uint8Array)[299_999], 7);
}

for (const when of ["later", "unread", "read"] as const) {
  test(`what a busy owner gave away is there: results come ${when}`, async (t) => {
    const [folder, tasks] = [freshFolder(t), freshFolder(t)];
    const keeper = RemoteKeeper.remote();
    const busy = owner.remote(keeper, folder, tasks, when);
    const fs = await import("node:fs");
    const pid = await waitUntil(() => fs.readdirSync(folder).find((name) => name.endsWith(".pid")), "it computes");
    release(tasks);
    await checkValues(keeper);
    // What was made outlives who asked for it, for those who hold it.
    process.kill(Number.parseInt(pid, 10), "SIGKILL");
    await assert.rejects(ray.get(busy), ray.WorkerCrashedError);
    const [value, , second] = await ray.get(keeper.kept.remote());
    assert.equal(await ray.get(value!), "value");
    assert.ok((await ray.get(second!)) as object);
    release(folder);
  });
}
