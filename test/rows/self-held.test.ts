/** Actors that hold their own handle: they end when nobody else holds it and nothing is under way, and not before. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import * as ray from "mobula";
import { collectGarbage, counts } from "mobula/state";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";
import { hasBegun, hold, release } from "./hold.ts";

sharedCluster({ numCpus: 2 });

class Selfish {
  #own: ray.ActorHandle<Selfish> | undefined;
  keep(own: { handle: ray.ActorHandle<Selfish> }): number {
    this.#own = own.handle;
    return process.pid;
  }
  /** Holds, then calls itself, then writes that it was called: all after its maker has let go. */
  async goOn(folder: string): Promise<void> {
    await hold(folder);
    void this.#own!.last.remote(folder);
  }
  last(folder: string): void {
    fs.writeFileSync(`${folder}/last`, "");
  }
  give(): { handle: ray.ActorHandle<Selfish> } {
    return { handle: this.#own! };
  }
  pid(): number {
    return process.pid;
  }
}
const RemoteSelfish = ray.remote(Selfish, { numCpus: 0 });
const isAlive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

/** In a function of its own, so that nothing here holds it afterwards. */
async function makeAndDrop(then: (made: ray.ActorHandle<Selfish>) => Promise<unknown>): Promise<number> {
  const made = RemoteSelfish.remote();
  const pid = await ray.get(made.keep.remote({ handle: made }));
  await then(made);
  return pid;
}

const untilGone = (pid: number): Promise<unknown> =>
  waitUntil(async () => {
    await collectGarbage();
    return !isAlive(pid);
  }, "its process is gone");

test("an actor that holds its own handle ends when nobody else does", async () => {
  const pid = await makeAndDrop(() => Promise.resolve());
  await untilGone(pid);
  await waitUntil(async () => (await counts())[0]!.actors === 0, "no actor is left");
});

test("an actor that holds its own handle goes on with what it is doing, and with what it calls itself to do", async (t) => {
  const folder = freshFolder(t);
  const pid = await makeAndDrop(async (made) => {
    void made.goOn.remote(folder);
    await waitUntil(() => hasBegun(folder), "it is inside");
  });
  for (let i = 0; i < 3; i++) await collectGarbage();
  assert.ok(isAlive(pid));
  release(folder);
  await waitUntil(() => fs.existsSync(`${folder}/last`), "it has called itself");
  await untilGone(pid);
});

test("an actor that holds its own handle and gives it away lives for as long as that one is held", async () => {
  let given: { handle: ray.ActorHandle<Selfish> } | undefined;
  const pid = await makeAndDrop(async (made) => {
    given = await ray.get(made.give.remote());
  });
  for (let i = 0; i < 3; i++) await collectGarbage();
  assert.equal(await ray.get(given!.handle.pid.remote()), pid);
  given = undefined;
  await untilGone(pid);
});
