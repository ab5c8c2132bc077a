/** Cancel, whole: of calls of actors, of what other processes made, of what a task submitted, of streams and their items. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";
import { aborted, family, hasBegun, hold, release, spin, untilCancelled } from "./hold.ts";

sharedCluster();

type Box = { inside: ray.ObjectRef<unknown> };

const waiter = ray.remote(untilCancelled, { numCpus: 0 });
const waiterless = ray.remote(() => "now", { numCpus: 0 });
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
  // What the first would have told its child would be there before what the first says now.
  await ray.get(waiterless.remote());
  assert.equal(hasBegun(second, "generation 0 cancelled"), false);
});

class Worker {
  readonly #seen: string[] = [];
  async work(folder: string, name: string): Promise<string> {
    this.#seen.push(name);
    await Promise.race([hold(folder, name), aborted()]);
    return name;
  }
  seen(): string[] {
    return this.#seen;
  }
  async *items(folder: string): AsyncGenerator<number> {
    for (let i = 0; ; i++) {
      yield i;
      if (i === 2) await untilCancelled(folder, "producer");
    }
  }
}

test("cancel of a call of an actor: one that waits never begins, one that runs is told, those behind go on", async (t) => {
  const folder = freshFolder(t);
  const actor = ray.remote(Worker).remote();
  const calls = ["a", "b", "c"].map((name) => actor.work.remote(folder, name));
  await waitUntil(() => hasBegun(folder, "a"), "the first runs");
  await assert.rejects(ray.cancel(calls[0]!, { force: true }), ray.InvalidOptionError);
  await ray.cancel(calls[1]!);
  await ray.cancel(calls[0]!);
  await assert.rejects(ray.get(calls[0]!), ray.TaskCancelledError);
  await assert.rejects(ray.get(calls[1]!), ray.TaskCancelledError);
  await waitUntil(() => hasBegun(folder, "c"), "the third runs");
  release(folder);
  assert.equal(await ray.get(calls[2]!), "c");
  assert.deepEqual(await ray.get(actor.seen.remote()), ["a", "c"]);
});

test("cancel of a call that waits for its argument lets those behind it go on", async (t) => {
  const folder = freshFolder(t);
  const never = ray.remote(untilCancelled, { numCpus: 0 }).remote(folder, "never");
  const actor = ray.remote(Worker).remote();
  const late = actor.work.remote(folder, never as unknown as ray.ObjectRef<string>);
  const after = actor.seen.remote();
  await ray.cancel(late);
  assert.deepEqual(await ray.get(after), []);
  await ray.cancel(never);
});

test("cancel of another process's call of an actor leaves the actor, also with force", async (t) => {
  const folder = freshFolder(t);
  const actor = ray.remote(Worker).remote();
  const call = actor.work.remote(folder, "call");
  await waitUntil(() => hasBegun(folder, "call"), "it runs");
  await ray.get(canceller.remote({ inside: call }, { force: true }));
  await assert.rejects(ray.get(call), ray.TaskCancelledError);
  assert.deepEqual(await ray.get(actor.seen.remote()), ["call"]);
});

test("cancel of a stream or of one of its items ends the producer", async (t) => {
  for (const which of ["stream", "item", "foreign item"] as const) {
    const folder = freshFolder(t);
    const actor = ray.remote(Worker).remote();
    const stream = actor.items.remote(folder);
    const { value: first } = await stream.next();
    await waitUntil(() => hasBegun(folder, "producer"), "it waits");
    if (which === "stream") await ray.cancel(stream);
    else if (which === "item") await ray.cancel(first!);
    else await ray.get(canceller.remote({ inside: first! }, {}));
    await waitUntil(() => hasBegun(folder, "producer cancelled"), `its signal has aborted by its ${which}`);
    await assert.rejects(async () => {
      for await (const ref of stream) await ray.get(ref);
    }, ray.TaskCancelledError);
    assert.equal(await ray.get(first!), 0);
  }
});
