/** Leases of the node machine: granting, fairness, asking back, blocked tasks, repeats and losses. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { LeaseId, LeaseRequestId, NodeId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body } from "../../src/protocol/messages.ts";
import { DRIVER, JOB, NodeHarness, shape } from "./node-harness.ts";

const OTHER = "dddddddddd02" as ProcessId;

test("a request waits for a worker, then gets it and its resources", () => {
  const h = new NodeHarness({ CPU: 2 });
  h.machine.prestart([], h.now);
  h.request("r1");
  assert.deepEqual(h.grants(), []);
  assert.equal(h.spawned.length, 2, "the pool is started in advance, and no more");
  h.hello(h.spawned[1]!.id);
  const grant = h.grant();
  assert.equal(grant.worker.processId, h.spawned[1]!.id);
  assert.deepEqual({ ...grant.assigned }, { CPU: 10_000 });
  assert.equal(h.free.CPU, 1);
  h.release(grant.leaseId);
  assert.equal(h.free.CPU, 2);
});

test("a repeated request gets the same answer, and after its end none", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const first = h.grant();
  h.request("r1");
  assert.deepEqual(h.grant(), first);
  h.release(first.leaseId);
  h.release(first.leaseId);
  h.request("r1");
  assert.deepEqual(h.grants(), []);
  assert.equal(h.free.CPU, 1);
});

test("a cancelled request is never granted, also when its first telling comes after", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.machine.leaseCancel(DRIVER, { requestId: "r1" as LeaseRequestId }, h.now);
  h.request("r1");
  assert.deepEqual(h.grants(), []);
  h.request("r2");
  assert.equal(h.grants().length, 1);
  h.request("r3");
  h.machine.leaseCancel(DRIVER, { requestId: "r3" as LeaseRequestId }, h.now);
  assert.equal(h.machine.waiting, 0);
});

test("resources are never over-committed, to the last ten-thousandth", () => {
  const h = new NodeHarness({ CPU: 1 }, { poolSoftCap: 20, workers: 20 }).ready();
  for (let i = 0; i < 12; i++) h.request(`r${i}`, shape({ CPU: 0.1 }));
  assert.equal(h.grants().length, 10);
  assert.equal(h.free.CPU, 0);
});

test("a long queue of one kind delays another kind by one grant only", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  for (let i = 0; i < 50; i++) h.request(`a${i}`, shape({ CPU: 1 }, { name: "a" }));
  h.request("b0", shape({ CPU: 1 }, { name: "b" }));
  const order: string[] = [];
  for (let i = 0; i < 4; i++) {
    const grant = h.grant();
    order.push(grant.requestId[0]!);
    h.release(grant.leaseId);
  }
  assert.ok(order.slice(0, 3).includes("b"), `b was served within three grants: ${order.join()}`);
});

test("owners of one kind take turns, and higher priority goes first", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.machine.driverJoined(OTHER, JOB);
  for (let i = 0; i < 5; i++) h.request(`d${i}`);
  h.request("o0", shape(), OTHER);
  h.request("p0", shape({ CPU: 1 }, { priority: 5 }));
  const order: string[] = [];
  for (let i = 0; i < 4; i++) {
    const grant = h.grant();
    order.push(grant.requestId);
    h.release(grant.leaseId, false, grant.requestId.startsWith("o") ? OTHER : DRIVER);
  }
  assert.deepEqual(order.slice(0, 2), ["d0", "p0"]);
  assert.ok(order.includes("o0"), order.join());
});

test("a demand for much is not starved by many small ones", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  let n = 0;
  const small = () => h.request(`s${n++}`, shape({ CPU: 1 }, { name: "small" }));
  for (let i = 0; i < 4; i++) small();
  h.request("big", shape({ CPU: 2 }, { name: "big" }));
  const held = h.grants();
  for (let i = 0; i < 40; i++) {
    small();
    h.release(held.shift()!.leaseId);
    const got = h.grants();
    if (got.some((grant) => grant.requestId === "big")) return;
    held.push(...got);
    h.now += 1;
  }
  assert.fail("the big one was passed over 40 times");
});

test("a warm lease is asked back, once, when another kind waits for its resources", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.request("a1", shape({ CPU: 1 }, { name: "a" }));
  h.request("a2", shape({ CPU: 1 }, { name: "a" }));
  const [first] = h.grants();
  h.request("b1", shape({ CPU: 1 }, { name: "b" }));
  assert.deepEqual(h.take("leaseWanted"), [], "not before its quantum is over");
  h.pass(20);
  assert.deepEqual(h.take("leaseWanted"), [{ leaseId: first!.leaseId }]);
  h.pass(100);
  assert.deepEqual(h.take("leaseWanted"), []);
  h.release(first!.leaseId);
  assert.equal(h.grant().requestId, "b1");
});

test("more of one's own kind is no reason to ask leases back", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("a1");
  h.request("a2");
  h.pass(1000);
  assert.deepEqual(h.take("leaseWanted"), []);
});

test("what no returned lease could serve asks for none", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("a1");
  h.request("gpu", shape({ GPU: 1 }, { name: "gpu" }));
  h.pass(3000);
  assert.deepEqual(h.take("leaseWanted"), []);
});

test("GPUs: a lease says which, and its worker is not shared", () => {
  const h = new NodeHarness({ CPU: 2, GPU: 1 }, { poolSoftCap: 1 }).ready();
  h.request("g1", shape({ GPU: 0.5 }));
  h.request("g2", shape({ GPU: 0.5 }));
  const grants = h.grants();
  assert.deepEqual(
    grants.map((grant) => grant.gpuIds),
    [[0], [0]],
  );
  assert.notEqual(grants[0]!.worker.processId, grants[1]!.worker.processId);
  for (const grant of grants) h.blocked(grant, 1);
  h.request("c1");
  h.pass(20);
  h.helloAll();
  const third = h.grant().worker.processId;
  assert.ok(!grants.some((each) => each.worker.processId === third));
});

test("a task that waits gives its CPUs back, keeps the rest, and goes on before new leases", () => {
  const h = new NodeHarness({ CPU: 1, x: 1 }).ready();
  h.request("outer", shape({ CPU: 1, x: 1 }));
  const outer = h.grant();
  h.blocked(outer, 1);
  assert.deepEqual(h.free, { CPU: 1, x: 0 });
  h.request("inner");
  h.pass(20);
  h.helloAll();
  const inner = h.grant();
  h.request("later");
  h.unblocked(outer, 1);
  assert.deepEqual(h.take("taskResumed"), []);
  assert.deepEqual(h.take("leaseWanted"), [{ leaseId: inner.leaseId }], "at once: the task could go on");
  h.release(inner.leaseId);
  assert.deepEqual(h.take("taskResumed"), [{ leaseId: outer.leaseId, turn: 1 }]);
  assert.deepEqual(h.grants(), []);
  h.release(outer.leaseId);
  assert.equal(h.grant().requestId, "later");
});

test("a task that waits for a moment has no process started in its place, one that waits longer has", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const first = h.grant();
  h.request("r2");
  for (let turn = 1; turn <= 3; turn++) {
    h.blocked(first, turn);
    h.pass(15);
    h.unblocked(first, turn);
    assert.equal(h.take("taskResumed").length, 1, "its CPU was kept for it");
  }
  assert.equal(h.spawned.length, 0);
  h.blocked(first, 4);
  h.pass(19);
  assert.equal(h.spawned.length, 0);
  h.pass(1);
  assert.equal(h.spawned.length, 1);
  h.unblocked(first, 4);
  h.helloAll();
  assert.deepEqual(h.grants(), [], "the process came too late, and waits");
  h.release(first.leaseId);
  assert.equal(h.grant().requestId, "r2");
});

test("late and repeated block messages change nothing", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const grant = h.grant();
  h.blocked(grant, 1);
  h.unblocked(grant, 1);
  assert.equal(h.take("taskResumed").length, 1);
  h.blocked(grant, 1);
  assert.equal(h.free.CPU, 0, "the block of turn 1 is over");
  h.unblocked(grant, 1);
  assert.equal(h.take("taskResumed").length, 1, "a repeat is answered again");
  h.blocked(grant, 2);
  h.unblocked(grant, 1);
  assert.equal(h.free.CPU, 1);
  h.machine.taskBlocked("ffffffffffff" as ProcessId, { leaseId: grant.leaseId, turn: 3 }, h.now);
  h.machine.taskUnblocked("ffffffffffff" as ProcessId, { leaseId: grant.leaseId, turn: 2 }, h.now);
  assert.deepEqual(h.take("taskResumed"), [], "only its own worker speaks for a lease");
});

test("recursion 1000 deep runs on 2 CPUs with a bounded number of processes", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  const stack: Body<"leaseGrant">[] = [];
  let owner = DRIVER;
  let most = 0;
  for (let depth = 0; depth < 1000; depth++) {
    h.request(`r${depth}`, shape(), owner);
    h.pass(20);
    h.helloAll();
    const grant = h.grant();
    stack.push(grant);
    h.blocked(grant, 1);
    owner = grant.worker.processId;
    most = Math.max(most, h.machine.workers().length);
  }
  assert.ok(most <= 8, `${most} processes`);
  for (let depth = 999; depth >= 0; depth--) {
    const grant = stack[depth]!;
    h.unblocked(grant, 1);
    assert.deepEqual(h.take("taskResumed"), [{ leaseId: grant.leaseId, turn: 1 }], `depth ${depth}`);
    h.release(grant.leaseId, false, depth === 0 ? DRIVER : stack[depth - 1]!.worker.processId);
  }
  assert.equal(h.free.CPU, 2);
});

test("a task whose CPU went to an actor for life goes on without it", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const grant = h.grant();
  h.blocked(grant, 1);
  h.actor("a1", { life: { CPU: 1 } });
  h.helloAll();
  assert.equal(h.placed.length, 1);
  h.unblocked(grant, 1);
  assert.equal(h.take("taskResumed").length, 1);
  h.lost(h.placed[0]!.worker);
  h.release(grant.leaseId);
  assert.equal(h.free.CPU, 1);
});

test("two tasks on one worker go on one at a time", () => {
  const h = new NodeHarness({ CPU: 2 }, { poolSoftCap: 1, workers: 1 }).ready();
  h.request("r1");
  const first = h.grant();
  h.blocked(first, 1);
  h.request("r2");
  const second = h.grant();
  assert.equal(second.worker.processId, first.worker.processId);
  h.unblocked(first, 1);
  assert.deepEqual(h.take("taskResumed"), [], "a CPU is free, the worker is not");
  assert.deepEqual(h.take("leaseWanted"), [{ leaseId: second.leaseId }]);
  h.blocked(second, 1);
  assert.deepEqual(h.take("taskResumed"), [{ leaseId: first.leaseId, turn: 1 }]);
});

test("a worker's death frees its leases and is told to their owners", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.machine.driverJoined(OTHER, JOB);
  h.request("r1");
  h.request("r2", shape({ CPU: 1 }, { name: "other" }), OTHER);
  const [mine, theirs] = h.grants();
  h.lost(mine!.worker.processId);
  assert.deepEqual(
    h.take("processLost", DRIVER).map((each) => each.processId),
    [mine!.worker.processId],
  );
  assert.deepEqual(h.take("processLost", OTHER), []);
  assert.equal(h.free.CPU, 1);
  h.release(mine!.leaseId);
  h.blocked(mine!, 1);
  h.request("r1");
  assert.deepEqual(h.grants(), [], "the request was served");
  h.release(theirs!.leaseId, false, OTHER);
});

test("an owner's end: tasks that run on are killed, those that wait free their worker", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.machine.driverJoined(OTHER, JOB);
  h.request("r1", shape(), OTHER);
  h.request("r2", shape(), OTHER);
  const [running, waiting] = h.grants();
  h.blocked(waiting!, 1);
  h.request("r3", shape(), OTHER);
  h.request("r4", shape(), OTHER);
  h.machine.ownerLost(OTHER, h.now);
  h.check();
  assert.deepEqual(h.sent.at(-1), { to: running!.worker.processId, name: "leaseOrphaned", body: { leaseId: running!.leaseId } });
  assert.equal(h.machine.waiting, 0);
  assert.equal(h.free.CPU, 1, "what runs on may use its CPU still");
  h.pass(400);
  assert.deepEqual(h.killed, []);
  h.pass(200);
  assert.deepEqual(h.killed.splice(0), [
    { id: running!.worker.processId, reason: { cause: "killed", message: "the process that its task belonged to is gone" } },
  ]);
  h.unblocked(waiting!, 1);
  h.request("r5", shape(), OTHER);
  assert.deepEqual(h.take("taskResumed"), []);
  assert.equal(h.machine.waiting, 0, "nobody who is gone gets a lease");
  h.lost(running!.worker.processId);
  assert.equal(h.free.CPU, 2);
});

test("a worker on which nothing of a lease runs lives on without its owner, and with what is left behind in it (sim seed 33158)", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  h.machine.driverJoined(OTHER, JOB);
  h.request("r1", shape(), OTHER);
  h.request("r2", shape(), OTHER);
  const [idle, waiting] = h.grants();
  h.machine.leaseOver(idle!.worker.processId, { leaseId: idle!.leaseId }, h.now);
  assert.equal(h.machine.leases().length, 2, "its owner lives: only that gives it back");
  h.machine.ownerLost(OTHER, h.now);
  h.machine.leaseOver(waiting!.worker.processId, { leaseId: idle!.leaseId }, h.now);
  assert.equal(h.machine.leases().length, 2, "another worker does not say it");
  h.machine.leaseOver(idle!.worker.processId, { leaseId: idle!.leaseId }, h.now);
  h.check();
  h.blocked(waiting!, 1);
  assert.deepEqual(h.machine.leases(), [], "one that waits for others never goes on");
  h.pass(5000);
  assert.deepEqual(h.killed, []);
  assert.equal(h.free.CPU, 2);
  h.request("r3");
  h.request("r4");
  assert.deepEqual(new Set(h.grants().map(({ worker }) => worker)), new Set([idle!.worker, waiting!.worker]));
});

test("a suspended lease whose owner is gone does not keep its worker from others", () => {
  const h = new NodeHarness({ CPU: 1 }, { poolSoftCap: 1 }).ready();
  h.machine.driverJoined(OTHER, JOB);
  h.request("r1", shape(), OTHER);
  const grant = h.grant();
  h.blocked(grant, 1);
  h.machine.ownerLost(OTHER, h.now);
  assert.deepEqual(h.killed, []);
  h.request("r2");
  assert.equal(h.grant().worker.processId, grant.worker.processId);
});

test("a process is killed for a lease only while that lease is on it, and only for its owner", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const grant = h.grant();
  const { processId } = grant.worker;
  h.machine.killProcess(OTHER, { processId, leaseId: grant.leaseId, message: "no" }, h.now);
  h.machine.killProcess(DRIVER, { processId, leaseId: "other" as LeaseId, message: "no" }, h.now);
  assert.deepEqual(h.killed, []);
  h.machine.killProcess(DRIVER, { processId, leaseId: grant.leaseId, message: "cancelled" }, h.now);
  h.machine.killProcess(DRIVER, { processId, leaseId: grant.leaseId, message: "cancelled" }, h.now);
  assert.deepEqual(h.killed, [{ id: processId, reason: { cause: "killed", message: "cancelled" } }]);
});

test("affinity: another node refuses, softly runs here", () => {
  const h = new NodeHarness({ CPU: 2 }).ready();
  const there = { kind: "affinity", nodeId: "elsewhere" as NodeId } as const;
  h.request("hard", shape({ CPU: 1 }, { strategy: { ...there, soft: false } }));
  const [reject] = h.take("leaseReject");
  assert.equal(reject?.failure.code, "NODE_DIED");
  h.request("hard", shape({ CPU: 1 }, { strategy: { ...there, soft: false } }));
  assert.deepEqual(h.take("leaseReject"), [reject], "a repeat gets the same answer");
  h.request("soft", shape({ CPU: 1 }, { strategy: { ...there, soft: true } }));
  assert.equal(h.grant().requestId, "soft");
});

test("what cannot be placed is warned about within 5 s, with the reason, and not again for a minute", () => {
  const h = new NodeHarness({ CPU: 2 }, { labels: { zone: "a" } }).ready();
  h.request("r1", shape({ GPU: 1 }, { name: "train" }));
  h.request("r2", shape({ GPU: 1 }, { name: "train" }));
  h.pass(5000);
  const warnings = h.take("warning");
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]!.message, /task train waits: it needs \{GPU: 1\}, this cluster has \{CPU: 2\}/);
  h.pass(50_000);
  assert.deepEqual(h.take("warning"), []);
  h.pass(20_000);
  assert.equal(h.take("warning").length, 1);
  h.request("r3", shape({ CPU: 1 }, { labelSelector: { zone: "!a" } }));
  h.pass(5000);
  assert.match(h.take("warning")[0]!.message, /labels/);
});

test("waiting for running tasks is no warning, waiting for actors that never end is", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const grant = h.grant();
  h.request("r2");
  h.pass(20_000);
  assert.deepEqual(h.take("warning"), []);
  h.machine.leaseCancel(DRIVER, { requestId: "r2" as LeaseRequestId }, h.now);
  h.release(grant.leaseId);
  h.actor("a1", { life: { CPU: 1 } });
  h.answers();
  h.request("r3");
  h.pass(5000);
  assert.match(h.take("warning")[0]!.message, /actors and placement groups hold \{CPU: 1\}/);
});

test("an actor holds what it keeps, not what it needed to be placed", () => {
  const h = new NodeHarness({ CPU: 1 }).ready();
  h.request("r1");
  const grant = h.grant();
  h.actor("a1");
  h.pass(5);
  assert.equal(h.placed.length, 0, "it needs a CPU to be placed");
  h.release(grant.leaseId);
  h.answers();
  assert.equal(h.placed.length, 1);
  assert.equal(h.free.CPU, 1, "and gives it back");
  h.request("r2");
  h.helloAll();
  assert.notEqual(h.grant().worker.processId, h.placed[0]!.worker, "its worker is its own");
});

test("a lease is asked back for what has an equal or a higher priority, not for less", () => {
  const leaseOf = (priority: number): { readonly h: NodeHarness; readonly leaseId: LeaseId } => {
    const h = new NodeHarness({ CPU: 1 }).ready();
    h.request("r1", shape({ CPU: 1 }, { priority }));
    return { h, leaseId: h.grant().leaseId };
  };
  for (const [has, wants] of [
    [0, 5],
    [5, 5],
    [5, 0],
  ] as const) {
    const { h, leaseId } = leaseOf(has);
    h.request("r2", shape({ CPU: 1 }, { name: "g", priority: wants }));
    h.pass(1000);
    assert.deepEqual(h.take("leaseWanted"), wants < has ? [] : [{ leaseId }], `${has} gives to ${wants}`);
    h.release(leaseId);
    assert.equal(h.grants().length, 1);
  }
});

/** Processor time of a recursion of that depth on one CPU, in us, the least of three. */
function recursion(depth: number): number {
  let least = Infinity;
  for (let run = 0; run < 3; run++) {
    const h = new NodeHarness({ CPU: 1 }).ready();
    const before = process.cpuUsage();
    let from = DRIVER;
    for (let i = 0; i < depth; i++) {
      h.machine.leaseRequest(from, { requestId: `r${i}` as LeaseRequestId, jobId: JOB, shape: shape(), backlog: 1 }, h.now);
      const granted = (): Body<"leaseGrant"> | undefined =>
        h.sent.splice(0).find(({ name }) => name === "leaseGrant")?.body as Body<"leaseGrant"> | undefined;
      let grant = granted();
      // The first few get processes of their own.
      for (; grant === undefined; grant = granted()) {
        h.pass(20);
        h.helloAll();
      }
      h.machine.taskBlocked(grant.worker.processId, { leaseId: grant.leaseId, turn: 1 }, h.now);
      from = grant.worker.processId;
    }
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
    h.check();
  }
  return least;
}

test("tasks that wait for others cost those that run nothing", () => {
  const few = recursion(1000);
  const many = recursion(16_000);
  assert.ok(many < 64 * Math.max(few, 3000), `1,000 deep cost ${few} us, 16,000 deep ${many} us`);
});
