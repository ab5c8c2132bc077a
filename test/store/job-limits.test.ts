/** What a job may have in the store: charged where it is put, in memory or on disk, for as long as it lives. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { JobAccounts } from "../../src/core/node/jobs.ts";
import type { JobAccount } from "../../src/core/node/jobs.ts";
import type { JobId, ProcessId } from "../../src/protocol/ids.ts";
import { amounts } from "../node/node-harness.ts";
import { World } from "./model.ts";

const KIB = 1024;
const P = "process" as ProcessId;
const OTHER = "other" as ProcessId;

function jobWith(maxStore: number, divided = false): { account: JobAccount; share(bytes: number): void } {
  const jobs = new JobAccounts({}, divided);
  const id = "job" as JobId;
  jobs.known(id, { weight: 1, priority: 0, maxStore });
  let number = 0;
  return { account: jobs.of(id), share: (bytes) => jobs.shared(id, ++number, amounts({ objectStoreMemory: bytes }), {}) };
}

test("beyond its job's limit a request waits its time and is refused with the limit; others are not in its way", () => {
  const world = new World(1024 * KIB);
  const { account } = jobWith(100 * KIB);
  world.allocate(P, 60 * KIB, 0, 10, account);
  assert.equal(world.grants.length, 1);
  assert.equal(account.storeUsed, 60 * KIB);
  world.allocate(P, 60 * KIB, 0, 10, account);
  world.allocate(OTHER, 300 * KIB);
  assert.equal(world.grants.length, 2, "another process has its space at once");
  assert.equal(account.storeWanted, 60 * KIB * 10_000);
  world.sleep(20);
  assert.deepEqual(
    world.refusals.map(({ reason, capacity, used }) => ({ reason, capacity, used })),
    [{ reason: "job-limit", capacity: 100 * KIB, used: 60 * KIB }],
  );
  assert.equal(account.storeWanted, 0);
  world.allocate(P, 200 * KIB, 0, 1000, account);
  assert.equal(world.refusals.length, 2, "what can never fit is refused at once");
  world.machine.check();
});

test("a job gets no slab, and its bytes count until they are freed, on disk too", () => {
  const world = new World(256 * KIB);
  const { account } = jobWith(200 * KIB);
  world.allocate(P, 40 * KIB, 128 * KIB, 10, account);
  assert.equal(world.grants[0]!.grant.slab, false);
  const id = world.seal(world.grants[0]!, 40 * KIB)!;
  assert.equal(account.storeUsed, 40 * KIB);
  world.allocate(OTHER, 250 * KIB, 0, 1000);
  world.finishAll();
  assert.equal(world.machine.stats().spilled, 1);
  assert.equal(account.storeUsed, 40 * KIB);
  world.machine.check();
  world.machine.free(id, world.now);
  assert.equal(account.storeUsed, 0);
  world.machine.check();
});

test("what waits for the limit goes on when something is freed, when the share grows, and when its process dies it is forgotten", () => {
  const world = new World(1024 * KIB);
  const { account, share } = jobWith(100 * KIB, true);
  world.allocate(P, 40 * KIB, 0, 10_000, account);
  assert.equal(world.grants.length, 0, "control has granted nothing yet");
  share(50 * KIB);
  world.machine.tick(world.now);
  assert.equal(world.grants.length, 1);
  const id = world.seal(world.grants[0]!, 40 * KIB)!;
  world.allocate(P, 40 * KIB, 0, 10_000, account);
  world.machine.free(id, world.now);
  assert.equal(world.grants.length, 1, "the first has become an object, and the second has its place");
  world.allocate(OTHER, 40 * KIB, 0, 10_000, account);
  assert.ok(account.storeWanted > 0);
  world.machine.processLost(OTHER, world.now);
  assert.equal(account.storeWanted, 0);
  world.machine.processLost(P, world.now);
  assert.equal(account.storeUsed, 0);
  world.machine.check();
});
