/** Workers that are stopped (SIGSTOP, as by a debugger): nobody can tell them from one that computes, and nobody waits for them. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import * as ray from "mobula";
import { freeze, freshFolder, kill, processesWith, thaw, waitUntil } from "../harness/index.ts";
import { fileMark } from "../harness/leaks.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";

sharedCluster({ numCpus: 2 });

const square = ray.remote((x: number) => x * x);
const workers = (): number[] => processesWith(fileMark).flatMap(({ command, pid }) => (/worker\/main/.test(command) ? [pid] : []));

/** Says by a file who runs it, and ends when it is told to. */
async function held(folder: string): Promise<number> {
  fs.writeFileSync(path.join(folder, String(process.pid)), "");
  while (!fs.existsSync(path.join(folder, "release"))) await new Promise((resolve) => setTimeout(resolve, 5));
  return process.pid;
}

async function frozen(t: TestContext, ref: ray.ObjectRef<number>, folder: string): Promise<number> {
  const pid = await waitUntil(() => Number(fs.readdirSync(folder)[0] ?? 0), "it runs");
  freeze(pid);
  t.after(() => kill(pid, "SIGCONT"));
  assert.deepEqual(await ray.wait([ref], { timeoutMs: 0 }), [[], [ref]]);
  return pid;
}

test("others go on while a worker with a task is stopped, and its task ends when it goes on", async (t) => {
  const folder = freshFolder(t);
  const ref = ray.remote(held).remote(folder);
  const pid = await frozen(t, ref, folder);
  const refs = Array.from({ length: 2_000 }, (_, i) => square.remote(i));
  assert.equal((await ray.get(refs, { timeoutMs: 20_000 })).at(-1), 1_999 ** 2);
  fs.writeFileSync(path.join(folder, "release"), "");
  thaw(pid);
  assert.equal(await ray.get(ref, { timeoutMs: 20_000 }), pid);
});

test("cancel with force ends a task whose worker is stopped, and gives its processor back", async (t) => {
  const folder = freshFolder(t);
  const ref = ray.remote(held, { numCpus: 2 }).remote(folder);
  const pid = await frozen(t, ref, folder);
  await ray.cancel(ref, { force: true });
  assert.ok((await rejectionOf(ray.get(ref, { timeoutMs: 10_000 }))) instanceof ray.TaskCancelledError);
  await waitUntil(() => !workers().includes(pid), "its worker has ended");
  assert.equal(await ray.get(square.options({ numCpus: 2 }).remote(3), { timeoutMs: 10_000 }), 9);
});

test("kill ends an actor that is stopped, and its calls say so", async (t) => {
  const Held = ray.remote(
    class Held {
      held = held;
      pid = (): number => process.pid;
    },
  );
  const actor = Held.remote();
  const pid = await ray.get(actor.pid.remote());
  freeze(pid);
  t.after(() => kill(pid, "SIGCONT"));
  const call = actor.pid.remote();
  await ray.kill(actor);
  assert.ok((await rejectionOf(ray.get(call, { timeoutMs: 10_000 }))) instanceof ray.ActorDiedError);
});

test("a task that is sent alone to an idle worker that is stopped goes to another after some seconds", async (t) => {
  const where = ray.remote(() => process.pid);
  // The worker that was busy last is the one that is used next.
  const pid = await ray.get(where.remote());
  freeze(pid);
  t.after(() => kill(pid, "SIGCONT"));
  assert.notEqual(await ray.get(where.remote(), { timeoutMs: 60_000 }), pid);
  assert.deepEqual(await ray.get([7, 8, 9].map((x) => square.remote(x))), [49, 64, 81]);
});

test("one idle worker that is stopped does not keep tasks from another that is free", async (t) => {
  await ray.get([square.remote(1), square.remote(2)]);
  const pid = workers()[0]!;
  freeze(pid);
  t.after(() => kill(pid, "SIGCONT"));
  for (let i = 0; i < 5; i++) {
    const refs = Array.from({ length: 50 }, (_, x) => square.remote(x));
    assert.equal((await ray.get(refs, { timeoutMs: 10_000 })).at(-1), 49 * 49);
  }
});

test("shutdown ends workers that are stopped", async (t) => {
  const folder = freshFolder(t);
  const ref = ray.remote(held).remote(folder);
  await frozen(t, ref, folder);
  for (const pid of workers()) freeze(pid);
  const startedAt = performance.now();
  await ray.shutdown();
  assert.ok(performance.now() - startedAt < 5_000);
  assert.deepEqual(workers(), []);
});
