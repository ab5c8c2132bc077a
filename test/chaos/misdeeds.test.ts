/** Tasks and actors that do their worst: the caller gets a typed error that says what happened, and others go on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { hasBegun, spin } from "../rows/hold.ts";
import { rejectionOf, sharedCluster } from "../rows/cluster.ts";
import * as misdeeds from "./programs/misdeeds.ts";

sharedCluster();
const once = { maxRetries: 0 };
const square = ray.remote((x: number) => x * x);
const block = ray.remote(misdeeds.block);

test("whatever is thrown arrives as the cause of a TaskError, or in words where it cannot cross", async () => {
  const throwing = ray.remote(misdeeds.throwing);
  const rejecting = ray.remote(misdeeds.rejecting);
  for (const what of Object.keys(misdeeds.throws)) {
    for (const ref of [throwing.remote(what), rejecting.remote(what)]) {
      const error = await rejectionOf(ray.get(ref, { timeoutMs: 20_000 }));
      assert.ok(error instanceof ray.TaskError, `${what}: ${String(error)}`);
      if (["undefined", "null", "string", "number"].includes(what)) assert.equal(error.cause, misdeeds.throws[what]!());
      if (what === "frozen error") assert.ok(error.cause instanceof TypeError && error.cause.message === "cold");
      if (what === "frozen") assert.deepEqual(error.cause, { code: 7 });
      assert.match(error.message, /throwing|rejecting/);
    }
  }
});

test("a stack that overflows is a RangeError, and the worker goes on", async () => {
  const error = await rejectionOf(ray.get(ray.remote(misdeeds.overflow).remote()));
  assert.ok(error instanceof ray.TaskError && error.cause instanceof RangeError);
});

test("a task that ends its process, by exit or by signal, says how, with the last words", async () => {
  const exited = await rejectionOf(ray.get(ray.remote(misdeeds.exits, once).remote(7)));
  assert.ok(exited instanceof ray.WorkerCrashedError && /exited with code 7/.test(exited.message), String(exited));
  for (const signal of ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM"] as const) {
    const killed = await rejectionOf(ray.get(ray.remote(misdeeds.suicide, once).remote(signal)));
    assert.ok(killed instanceof ray.WorkerCrashedError, String(killed));
    assert.match(killed.message, new RegExp(`${signal}[^]*last words`));
    assert.equal(killed.message.split(signal).length, 2, "it is said once");
  }
});

test("an unhandled rejection ends its worker, and says with what", async () => {
  const error = await rejectionOf(ray.get(ray.remote(misdeeds.lateRejection, once).remote()));
  assert.ok(error instanceof ray.WorkerCrashedError && /nobody listens/.test(error.message), String(error));
});

test("a task that never returns: get times out, cancel ends it, with force its worker too", async () => {
  const never = ray.remote(misdeeds.never);
  const ref = never.remote();
  assert.ok((await rejectionOf(ray.get(ref, { timeoutMs: 50 }))) instanceof ray.GetTimeoutError);
  await ray.cancel(ref, { force: true });
  assert.ok((await rejectionOf(ray.get(ref))) instanceof ray.TaskCancelledError);
  const blocked = block.remote(120_000);
  await ray.wait([blocked], { timeoutMs: 100 });
  await ray.cancel(blocked, { force: true });
  assert.ok((await rejectionOf(ray.get(blocked))) instanceof ray.TaskCancelledError);
});

test("others go on while an event loop is blocked", async (t) => {
  const folder = freshFolder(t);
  const blocked = ray.remote(spin).remote(folder);
  await waitUntil(() => hasBegun(folder), "it computes");
  const others = Array.from({ length: 200 }, (_, i) => square.remote(i));
  assert.equal((await ray.get(others, { timeoutMs: 60_000 }))[199], 199 * 199);
  const [ready] = await ray.wait([blocked], { timeoutMs: 0 });
  assert.deepEqual(ready, []);
  await ray.cancel(blocked, { force: true });
});

test("an actor whose constructor throws, exits or hangs", async () => {
  const Bad = ray.remote(misdeeds.Bad);
  const thrown = await rejectionOf(ray.get(Bad.remote("throw").hello.remote()));
  assert.ok(thrown instanceof ray.ActorDiedError && thrown.cause instanceof RangeError, String(thrown));
  const exited = await rejectionOf(ray.get(Bad.remote("exit").hello.remote()));
  assert.ok(exited instanceof ray.ActorDiedError && /exited with code 9/.test(exited.message), String(exited));
  const hanging = Bad.remote("hang");
  const call = hanging.hello.remote();
  assert.ok((await rejectionOf(ray.get(call, { timeoutMs: 500 }))) instanceof ray.GetTimeoutError);
  await ray.kill(hanging);
  assert.ok((await rejectionOf(ray.get(call))) instanceof ray.ActorDiedError);
  assert.equal(await ray.get(Bad.remote("well").hello.remote()), "hello");
});
