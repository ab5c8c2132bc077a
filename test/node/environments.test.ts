/** The machine's part of environments: made when work wants them, once; nobody holds resources for one that is being made. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeHarness, shape } from "./node-harness.ts";

const inA = shape({ CPU: 1 }, { environment: "A" });
const failure = { code: "RUNTIME_ENV_FAILED", message: "no" };

test("a worker starts in an environment once that is made, and it is let go with the last that wants it", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.request("r1", inA);
  h.request("r2", inA);
  assert.deepEqual(h.environments.splice(0), ["prepare A"]);
  assert.deepEqual(h.spawned, []);
  h.machine.environmentMade("A", h.now);
  assert.equal(h.spawned.length, 2);
  h.helloAll();
  const grants = h.take("leaseGrant");
  assert.equal(grants.length, 2);
  for (const body of grants) h.release(body.leaseId);
  assert.deepEqual(h.environments, [], "idle workers still have it");
  for (const body of grants) h.lost(body.worker.processId);
  assert.deepEqual(h.environments, ["release A"]);
});

test("while one is made others have the processors", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("slow", inA);
  h.request("plain");
  h.release(h.grant().leaseId);
  h.request("plain again");
  const { leaseId } = h.grant();
  h.machine.environmentMade("A", h.now);
  assert.equal(h.machine.waiting, 1);
  h.release(leaseId);
  h.helloAll();
  assert.equal(h.grant().requestId, "slow");
});

test("who waits long for one to be made is told", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1", inA);
  h.pass(3000);
  assert.deepEqual(h.take("warning"), []);
  h.pass(2000);
  const [warning] = h.take("warning");
  assert.match(warning!.message, /its runtime environment is being made/);
});

test("workers of one environment with other variables share it", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.request("r1", shape({ CPU: 1 }, { environment: "A", envVars: { X: "1" } }));
  h.request("r2", shape({ CPU: 1 }, { environment: "A", envVars: { X: "2" } }));
  h.machine.environmentMade("A", h.now);
  assert.deepEqual(h.environments, ["prepare A"]);
  assert.deepEqual(
    h.spawned.map(({ envVars }) => envVars["X"]),
    ["1", "2"],
  );
});

test("one that cannot be made is refused to all who wait, and tried again for who comes later", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.request("r1", inA);
  h.request("r2", inA);
  h.actor("a1", {}, { shape: shape({}, { environment: "A" }) });
  h.request("other", shape({ CPU: 1 }, { environment: "B" }));
  h.environments.splice(0);
  h.machine.environmentFailed("A", failure, undefined, h.now);
  h.check();
  assert.deepEqual(
    h.take("leaseReject").map((body) => [body.requestId, body.failure.message]),
    [
      ["r1", "no"],
      ["r2", "no"],
    ],
  );
  assert.deepEqual(h.unplaced, [{ actorId: "a1", code: "RUNTIME_ENV_FAILED" }]);
  assert.equal(h.machine.waiting, 1);
  h.request("r3", inA);
  assert.deepEqual(h.environments, ["prepare A"]);
});

test("what is cancelled while it is made leaves nothing behind", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1", inA);
  h.machine.leaseCancel("dddddddddd01" as never, { requestId: "r1" as never }, h.now);
  h.machine.environmentMade("A", h.now);
  h.check();
  assert.deepEqual(h.environments, ["prepare A", "release A"]);
  assert.deepEqual(h.spawned, []);
});
