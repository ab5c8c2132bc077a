/** The worker pool of the node machine, and placement groups. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ActorId, PlacementGroupId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, DeathReason } from "../../src/protocol/messages.ts";
import { amounts, DRIVER, JOB, NodeHarness, shape } from "./node-harness.ts";

const CRASH: DeathReason = { cause: "start-failed", message: "it exited with code 1", lastLines: ["SyntaxError: here"] };
const G = "g1" as PlacementGroupId;

type Create = Extract<Body<"ask">["question"], { kind: "groupCreate" }>;
function create(h: NodeHarness, bundles: Record<string, number>[], more: Partial<Create> = {}): Body<"answer"> {
  h.machine.askGroup(
    DRIVER,
    1,
    {
      kind: "groupCreate",
      groupId: G,
      jobId: JOB,
      bundles: bundles.map(amounts),
      strategy: "PACK",
      detached: false,
      ...more,
    },
    h.now,
  );
  h.check();
  return h.take("answer")[0]!;
}

const remove = (h: NodeHarness, groupId = G): void => {
  h.machine.askGroup(DRIVER, 3, { kind: "groupRemove", groupId }, h.now);
  h.check();
  h.take("answer");
};

const inGroup = (bundleIndex = -1, values: Record<string, number> = { CPU: 1 }) =>
  shape(values, { strategy: { kind: "group", groupId: G, bundleIndex, captureChildTasks: false } });

test("at most as many workers start at a time as there are CPUs", () => {
  const h = new NodeHarness({ CPU: 2 });
  h.machine.prestart([], h.now);
  for (let i = 0; i < 10; i++) h.request(`r${i}`, shape({ CPU: 0.1 }));
  assert.equal(h.spawned.length, 2);
  h.hello(h.spawned.shift()!.id);
  assert.equal(h.spawned.length, 2);
});

test("processes that were started before are taken into the pool", () => {
  const h = new NodeHarness({ CPU: 2 });
  h.machine.prestart(["aaaaaa000000" as ProcessId], h.now);
  assert.deepEqual(
    h.spawned.map(({ id }) => id),
    ["aaaaaa000001"],
  );
  h.request("r1");
  h.hello("aaaaaa000000" as ProcessId);
  assert.equal(h.grant().worker.processId, "aaaaaa000000");
  assert.equal(h.machine.workerJoined({ processId: "ffffffffffff" as ProcessId, pid: 1, socket: "" }, h.now), false);
});

test("idle workers above the limit end after a while, as many again later, those within it stay", () => {
  const h = new NodeHarness({ CPU: 2 }, { poolSoftCap: 10 }).ready();
  for (let i = 0; i < 6; i++) h.request(`r${i}`, shape({ CPU: 0.25 }));
  for (let i = 0; i < 3; i++) h.helloAll();
  const grants = h.grants();
  assert.equal(grants.length, 6);
  for (const grant of grants) h.release(grant.leaseId);
  h.pass(900);
  assert.deepEqual(h.take("exitRequest"), []);
  const asked = (): ProcessId[] => h.sent.filter(({ name }) => name === "exitRequest").map(({ to }) => to);
  h.pass(200);
  const ended = asked();
  assert.equal(ended.length, 2);
  h.lost(ended[0]!);
  h.pass(28_000);
  assert.equal(asked().length, 2, "two more than there are CPUs stay");
  h.pass(1000);
  assert.equal(asked().length, 4);
  for (const id of asked().slice(2)) h.lost(id);
  h.pass(31_000);
  assert.deepEqual(
    h.killed.map(({ id }) => id),
    [ended[1]],
    "one that does not end is killed",
  );
  h.lost(ended[1]!);
  h.pass(40_000);
  assert.equal(h.machine.workers().length, 2);
});

test("an idle worker with tasks of its own says so, stays, and is asked again; one that said so before is not asked", () => {
  const h = new NodeHarness({ CPU: 1 }, { poolSoftCap: 10, idleTimeoutMs: 1000 }).ready();
  for (let i = 0; i < 2; i++) h.request(`r${i}`, shape({ CPU: 0.5 }));
  h.helloAll();
  const [first] = h.grants();
  for (const lease of h.machine.leases()) h.release(lease.leaseId);
  h.take("exitRequest");
  h.pass(1100);
  const asked = h.sent.find(({ name }) => name === "exitRequest")!.to;
  h.sent.length = 0;
  h.machine.exitDeclined(asked, h.now);
  h.machine.check(h.now);
  for (const { processId } of h.machine.workers()) h.machine.workerOwns(processId, { open: true }, h.now);
  h.pass(5000);
  assert.equal(h.machine.workers().filter(({ state }) => state === "ready").length, 2);
  assert.deepEqual(h.take("exitRequest"), []);
  for (const { processId } of h.machine.workers()) h.machine.workerOwns(processId, { open: false }, h.now);
  h.pass(2500);
  assert.equal(h.take("exitRequest").length, 1);
  assert.ok(first);
});

test("a worker that has run tasks is asked before an actor gets it: what it has left behind may not be known yet", () => {
  const h = new NodeHarness({ CPU: 2 }, { poolSoftCap: 2 }).ready();
  for (const id of ["r1", "r2"]) h.request(id);
  const [first, second] = h.grants();
  h.release(first!.leaseId);
  h.actor("a1");
  assert.deepEqual(h.asked(), [first!.worker.processId]);
  assert.deepEqual(h.placed, []);
  h.request("r3", shape({}));
  assert.deepEqual(h.grants(), [], "nothing else comes to it meanwhile");
  h.answers(false);
  assert.deepEqual(h.placed, [], "tasks are left behind in it");
  assert.equal(h.grant().worker.processId, first!.worker.processId, "a task may run there");
  h.release(second!.leaseId);
  h.answers();
  assert.deepEqual(
    h.placed.splice(0).map(({ worker }) => worker),
    [second!.worker.processId],
  );
  for (const { leaseId } of h.machine.leases()) h.release(leaseId);
  h.actor("a2");
  assert.deepEqual(h.asked(), [], "what it has said holds until it says that it is over");
  h.machine.workerOwns(first!.worker.processId, { open: false }, h.now);
  h.helloAll();
  assert.equal(h.placed.length, 1, "one that has never run a task is not asked");
});

test("an actor does not wait for a worker that is late to say whether it may have it, and one that never does is killed", () => {
  const h = new NodeHarness({ CPU: 2 }, { poolSoftCap: 8 }).ready();
  for (const id of ["r1", "r2"]) h.request(id);
  for (const { leaseId } of h.grants()) h.release(leaseId);
  h.actor("a1");
  assert.equal(h.asked().length, 1);
  h.pass(250);
  const [mute, other] = h.asked();
  assert.notEqual(mute, other);
  h.machine.spareAnswer(other!, { spare: true }, h.now);
  assert.deepEqual(
    h.placed.map(({ worker }) => worker),
    [other],
  );
  h.helloAll();
  h.pass(61_000);
  assert.deepEqual(h.killed, [{ id: mute, reason: { cause: "killed", message: "it did not answer its node within 60 s" } }]);
});

test("a worker that was asked and is not needed any more is as before", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  h.release(h.grant().leaseId);
  h.actor("a1");
  h.machine.unplaceActor("a1" as ActorId, 1, { gently: "over" }, h.now);
  h.request("r2");
  assert.deepEqual(h.grants(), []);
  h.answers();
  const grant = h.grant();
  h.release(grant.leaseId);
  h.actor("a2");
  assert.deepEqual(h.asked(), [grant.worker.processId], "what it said before its last lease counts no more");
  h.lost(grant.worker.processId);
  h.helloAll();
  assert.equal(h.placed.length, 1);
});

test("a worker serves one environment for life", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1", shape({ CPU: 1 }, { envVars: { B: "2", A: "1" } }));
  assert.deepEqual(h.spawned[0]!.envVars, { A: "1", B: "2" });
  const special = h.spawned[0]!.id;
  h.helloAll();
  h.release(h.grant().leaseId);
  h.request("r2");
  const plain = h.grant();
  assert.notEqual(plain.worker.processId, special);
  h.release(plain.leaseId);
  h.request("r3", shape({ CPU: 1 }, { envVars: { A: "1", B: "2" } }));
  assert.equal(h.grant().worker.processId, special);
});

test("a worker that is to be retired ends after its last lease", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const grant = h.grant();
  h.release(grant.leaseId, true);
  assert.equal(h.sent.find(({ name }) => name === "exitRequest")?.to, grant.worker.processId);
  h.request("r2");
  h.helloAll();
  assert.notEqual(h.grant().worker.processId, grant.worker.processId);
});

test("three starts in a row that fail refuse what waits, with the last words; a later request tries again", () => {
  const h = new NodeHarness({ CPU: 1 });
  h.machine.prestart([], h.now);
  h.request("r1");
  h.actor("a1");
  for (let i = 0; i < 3; i++) {
    assert.deepEqual(h.take("leaseReject"), []);
    h.lost(h.spawned.shift()!.id, CRASH);
  }
  const [reject] = h.take("leaseReject");
  assert.equal(reject?.failure.code, "WORKER_CRASHED");
  assert.deepEqual(reject?.reason?.lastLines, ["SyntaxError: here"]);
  assert.deepEqual(h.unplaced, [{ actorId: "a1", code: "WORKER_CRASHED" }]);
  assert.equal(h.spawned.length, 0);
  h.request("r2");
  h.helloAll();
  assert.equal(h.grants().length, 1);
});

test("starts that somebody kills say little of the environment: only when nothing comes up for long is what waits refused", () => {
  const h = new NodeHarness({ CPU: 2 });
  h.machine.prestart([], h.now);
  h.request("r1");
  const killed: DeathReason = { cause: "start-failed", message: "it was killed by signal SIGKILL before it was ready", signal: "SIGKILL" };
  const killNext = (): void => h.machine.workerLost(h.spawned.shift()!.id, killed, h.now);
  for (let i = 0; i < 90; i++) killNext();
  assert.deepEqual(h.take("leaseReject"), []);
  for (let i = 0; i < 6; i++) killNext();
  assert.equal(h.take("leaseReject").length, 1);
});

test("a worker that died between its grant and its hello costs nothing but another start", () => {
  const h = new NodeHarness({ CPU: 1 });
  h.machine.prestart([], h.now);
  h.request("r1");
  h.lost(h.spawned.shift()!.id, CRASH);
  assert.equal(h.free.CPU, 1);
  h.helloAll();
  assert.equal(h.grants().length, 1);
});

test("failing starts of one environment do not refuse another", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.request("bad", shape({ CPU: 1 }, { envVars: { BAD: "1" } }));
  h.request("good");
  const good = h.grant();
  for (let i = 0; i < 3; i++) h.lost(h.spawned.shift()!.id, CRASH);
  assert.deepEqual(
    h.take("leaseReject").map(({ requestId }) => requestId),
    ["bad"],
  );
  h.release(good.leaseId);
});

test("a worker that never says hello is ended after the register timeout", () => {
  const h = new NodeHarness({ CPU: 1 });
  h.machine.prestart([], h.now);
  h.pass(59_000);
  assert.equal(h.killed.length, 0);
  h.pass(2000);
  assert.equal(h.killed[0]?.reason.cause, "start-failed");
});

test("a group takes all its bundles or none, and waits until it can", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.request("r1");
  const grant = h.grant();
  assert.equal((JSON.parse(create(h, [{ CPU: 1 }, { CPU: 1 }]).body!) as { state: string }).state, "pending");
  assert.equal(h.free.CPU, 1, "nothing is taken in part");
  h.machine.askGroup(DRIVER, 7, { kind: "groupReady", groupId: G }, h.now);
  assert.deepEqual(h.take("answer"), []);
  h.pass(20);
  assert.deepEqual(h.take("leaseWanted"), [{ leaseId: grant.leaseId }]);
  h.release(grant.leaseId);
  const [ready] = h.take("answer");
  assert.deepEqual([ready?.call, (JSON.parse(ready!.body!) as { state: string }).state], [7, "ready"]);
  assert.equal(h.free.CPU, 0);
});

test("tasks of a group use its bundles, not the node's rest, and the other way round", () => {
  const h = new NodeHarness({ CPU: 3, GPU: 2 }).ready();
  create(h, [{ CPU: 1, GPU: 1 }, { CPU: 1 }]);
  h.request("in0", inGroup(0, { CPU: 1, GPU: 1 }));
  assert.deepEqual(h.grant().gpuIds, [0]);
  h.request("in0b", inGroup(0));
  assert.deepEqual(h.grants(), [], "bundle 0 is full");
  h.request("any", inGroup(-1));
  assert.equal(h.grants().length, 1);
  h.request("out1");
  assert.equal(h.grants().length, 1);
  h.request("out2");
  assert.deepEqual(h.grants(), []);
  h.request("gpu", shape({ GPU: 1 }));
  h.helloAll();
  assert.deepEqual(h.grant().gpuIds, [1], "the group's GPU is its own");
  h.request("far", inGroup(5));
  assert.equal(h.take("leaseReject")[0]?.failure.code, "PLACEMENT");
});

test("what no set of nodes can ever serve fails at once", () => {
  for (const [bundles, more] of [
    [[{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" }],
    [[{ CPU: 3 }], {}],
    [[{ CPU: 1 }, { CPU: 2 }], {}],
    [[{ GPU: 1 }], {}],
    [[], {}],
  ] as [Record<string, number>[], Partial<Create>][]) {
    const h = new NodeHarness({ CPU: 2 }).ready();
    const { failure } = create(h, bundles, more);
    assert.equal(failure?.code, "PLACEMENT");
    assert.match(failure!.message, /no set of nodes can ever serve it/);
    h.machine.askGroup(DRIVER, 2, { kind: "groupReady", groupId: G }, h.now);
    assert.equal(h.take("answer")[0]?.failure?.code, "PLACEMENT");
  }
  assert.equal(create(new NodeHarness({ CPU: 2 }), [{ CPU: 1 }], { strategy: "STRICT_SPREAD" }).failure, undefined);
});

test("removing a group ends what runs in it and refuses what waits, then its resources are free", () => {
  const h = new NodeHarness({ CPU: 2 }, { workers: 1 }).ready();
  create(h, [{ CPU: 1 }, { CPU: 1 }]);
  h.request("r1", inGroup());
  h.actor("a1", { life: { CPU: 1 } }, { shape: inGroup() });
  h.helloAll();
  const grant = h.grant();
  h.request("r2", inGroup());
  h.blocked(grant, 1);
  assert.equal(h.grants().length, 0, "its worker is stacked only when the pool is full");
  remove(h);
  assert.deepEqual(
    h.take("leaseReject").map(({ failure }) => failure.code),
    ["PLACEMENT"],
  );
  assert.equal(h.free.CPU, 0, "not before they are gone");
  assert.equal(h.killed.length, 2);
  for (const { id } of h.killed.splice(0)) h.lost(id);
  assert.equal(h.free.CPU, 2);
  h.request("r3", inGroup());
  assert.equal(h.take("leaseReject")[0]?.failure.code, "PLACEMENT");
  h.actor("a2", {}, { shape: inGroup(), actorId: "a2" as ActorId });
  assert.deepEqual(h.unplaced, [{ actorId: "a2", code: "PLACEMENT" }]);
});

test("a group that is removed while it waits answers those who wait for it", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  h.grant();
  create(h, [{ CPU: 1 }]);
  h.machine.askGroup(DRIVER, 7, { kind: "groupReady", groupId: G }, h.now);
  remove(h);
  assert.equal(h.machine.waiting, 0);
  h.machine.askGroup(DRIVER, 8, { kind: "groupReady", groupId: G }, h.now);
  assert.equal(h.take("answer").at(-1)?.failure?.code, "PLACEMENT");
});

test("names of groups: one at a time, found until removed; a job's groups end with it, detached ones do not", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  const find = (name: string): Body<"answer"> => {
    h.machine.askGroup(DRIVER, 4, { kind: "groupByName", name }, h.now);
    return h.take("answer")[0]!;
  };
  create(h, [{ CPU: 1 }], { name: "mine" });
  create(h, [{ CPU: 1 }], { name: "theirs", groupId: "g2" as PlacementGroupId, detached: true });
  assert.equal(create(h, [{ CPU: 1 }], { name: "mine", groupId: "g3" as PlacementGroupId }).failure?.code, "PLACEMENT");
  assert.equal((JSON.parse(find("mine").body!) as { groupId: string }).groupId, G);
  h.machine.jobEnded(JOB, h.now);
  h.check();
  assert.equal(find("mine").failure?.code, "PLACEMENT");
  assert.equal(find("theirs").failure, undefined);
  assert.equal(h.free.CPU, 1);
});

test("of groups that are over the last ten thousand are remembered, and one more costs no walk through them", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  const count = 10_500;
  const ask = (call: number, question: Parameters<typeof h.machine.askGroup>[2]): void => h.machine.askGroup(DRIVER, call, question, h.now);
  const idOf = (i: number): PlacementGroupId => `g${i}` as PlacementGroupId;
  let visits = 0;
  const values = Map.prototype.values;
  for (let i = 0; i < count; i++) {
    ask(1, { kind: "groupCreate", groupId: idOf(i), jobId: JOB, bundles: [amounts({ CPU: 1 })], strategy: "PACK", detached: false });
    if (i === count - 1) {
      // Entries of large tables that are walked through while the last group is removed.
      Map.prototype.values = function* (this: Map<unknown, unknown>) {
        for (const value of values.call(this)) {
          if (this.size > 1000) visits++;
          yield value;
        }
      } as typeof values;
    }
    try {
      ask(2, { kind: "groupRemove", groupId: idOf(i) });
    } finally {
      Map.prototype.values = values;
    }
  }
  h.take("answer");
  h.check();
  assert.equal(visits, 0);
  const known = (i: number): string | undefined => {
    ask(3, { kind: "groupReady", groupId: idOf(i) });
    return h.take("answer").at(-1)?.failure?.message;
  };
  assert.match(known(0)!, /is not known/);
  assert.match(known(count - 1)!, /was removed$/);
});

test("a process that an actor takes is replaced, for the next actor or for tasks, but not without end", () => {
  const h = new NodeHarness({ CPU: 4 }).ready();
  const before = h.machine.workers().length;
  assert.equal(before, 4);
  for (let i = 0; i < 2; i++) h.actor(`a${i}`, { place: {} });
  assert.equal(h.spawned.length, 0, "two are idle still");
  h.actor("a2", { place: {} });
  assert.equal(h.spawned.length, 1);
  h.actor("a3", { place: {} });
  assert.equal(h.spawned.length, 2);
  h.helloAll();
  assert.equal(h.placed.length, 4);
  assert.equal(h.spawned.length, 0);
  h.actor("a4", { place: {} });
  assert.equal(h.placed.length, 5, "at once");
  assert.equal(h.spawned.length, 1);
});
