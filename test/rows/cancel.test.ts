/** Cancel, whole: of calls of actors, of what other processes made, of what a task submitted, of streams and their items. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";
import { hasBegun, hold, newDiary, release, spin } from "./hold.ts";

sharedCluster();

type Box = { inside: ray.ObjectRef<unknown> };

/** Runs until it is cancelled, and says so by files. */
async function untilCancelled(folder: string, name: string): Promise<void> {
  const { signal } = ray.getRuntimeContext();
  const fs = await import("node:fs");
  fs.writeFileSync(`${folder}/${name}`, "");
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  fs.writeFileSync(`${folder}/${name} cancelled`, "");
}
const waiter = ray.remote(untilCancelled, { numCpus: 0 });
const canceller = ray.remote((box: Box, options: ray.CancelOptions) => ray.cancel(box.inside, options), { numCpus: 0 });

test("cancel of a reference that another process made reaches the task", async (t) => {
  const folder = freshFolder(t);
  const ref = waiter.remote(folder, "task");
  await waitUntil(() => hasBegun(folder, "task"), "it runs");
  await ray.get(canceller.remote({ inside: ref }, {}));
  await assert.rejects(ray.get(ref), ray.TaskCancelledError);
  await waitUntil(() => hasBegun(folder, "task cancelled"), "its signal has aborted");

  const stuck = ray.remote(spin, { numCpus: 0 }).remote(folder);
  await waitUntil(() => hasBegun(folder), "it computes");
  await ray.get(canceller.remote({ inside: stuck }, { force: true }));
  await assert.rejects(ray.get(stuck), ray.TaskCancelledError);

  // Whoever else waits is told the same.
  const other = waiter.remote(folder, "other");
  const reader = ray.remote((box: Box) => ray.get(box.inside), { numCpus: 0 }).remote({ inside: other });
  await waitUntil(() => hasBegun(folder, "other"), "the other runs");
  await ray.get(canceller.remote({ inside: other }, {}));
  const error = await rejectionOf(ray.get(reader));
  assert.ok(error instanceof ray.TaskCancelledError || (error as Error).cause instanceof ray.TaskCancelledError, String(error));
});

test("cancel of what is finished, or of nothing that runs, is harmless", async () => {
  const done = ray.remote(() => "done").remote();
  assert.equal(await ray.get(done), "done");
  const kept = ray.put("kept");
  for (const ref of [done, kept]) {
    await ray.cancel(ref, { force: true });
    await ray.get(canceller.remote({ inside: ref }, { force: true }));
  }
  assert.deepEqual(await ray.get([done, kept]), ["done", "kept"]);
});

test("cancel reaches the tasks of a task, and theirs in other processes; recursive false leaves them", async (t) => {
  const folder = freshFolder(t);
  const family = ray.remote(
    async (place: string, depth: number): Promise<void> => {
      const { family: again, untilCancelled: wait } = await import("./family.ts");
      const child = depth > 0 ? again.remote(place, depth - 1) : undefined;
      await wait(place, `generation ${depth}`);
      if (child) await ray.get(child);
    },
    { numCpus: 0 },
  );
  const recursive = family.remote(folder, 2);
  const all = ["generation 2", "generation 1", "generation 0"];
  await waitUntil(() => all.every((name) => hasBegun(folder, name)), "three generations run");
  await ray.cancel(recursive);
  await waitUntil(() => all.every((name) => hasBegun(folder, `${name} cancelled`)), "all three are cancelled");
  await assert.rejects(ray.get(recursive), ray.TaskCancelledError);

  const second = freshFolder(t);
  const alone = family.remote(second, 1);
  await waitUntil(() => hasBegun(second, "generation 0") && hasBegun(second, "generation 1"), "two generations run");
  await ray.cancel(alone, { recursive: false });
  await waitUntil(() => hasBegun(second, "generation 1 cancelled"), "the first is cancelled");
  await assert.rejects(ray.get(alone), ray.TaskCancelledError);
  // A word on the same way as the cancel would have come, and this one comes after it.
  await ray.get(family.remote(freshFolder(t), -1).constructor === undefined ? [] : []);
  assert.equal(hasBegun(second, "generation 0 cancelled"), false);
});
