/** Jobs on a node: shares by weight, priorities, limits. One machine, with time by hand. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JobId, LeaseRequestId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, JobTerms, LeaseShape } from "../../src/protocol/messages.ts";
import type { NodeConfig } from "../../src/core/node/state.ts";
import { amounts, DRIVER, JOB, NodeHarness, shape } from "./node-harness.ts";

type Grant = Body<"leaseGrant">;

/** A job whose driver always has more work: it keeps its leases, asks for more, and gives back what it is asked for after `taskMs`. */
class Hungry {
  readonly h: NodeHarness;
  readonly jobId: JobId;
  readonly driver: ProcessId;
  readonly leases = new Map<string, { grant: Grant; since: number; wantedAt: number | undefined }>();
  readonly taskMs: number;
  readonly shape: LeaseShape;
  cpuMs = 0;
  most = 0;
  #requests = 0;
  #waiting = 0;

  constructor(h: NodeHarness, name: string, terms: Partial<JobTerms>, taskMs = 0, what: LeaseShape = shape()) {
    this.h = h;
    this.jobId = `job-${name}` as JobId;
    this.driver = `dddddddddd${name}` as ProcessId;
    this.taskMs = taskMs;
    this.shape = { ...what, envVars: { JOB: name } };
    h.machine.driverJoined(this.driver, this.jobId, { weight: 1, priority: 0, ...terms });
  }

  step(): void {
    for (const grant of this.h.grants(this.driver)) {
      this.leases.set(grant.leaseId, { grant, since: this.h.now, wantedAt: undefined });
      this.#waiting--;
    }
    for (const { leaseId } of this.h.take("leaseWanted", this.driver)) {
      const lease = this.leases.get(leaseId);
      if (lease !== undefined) lease.wantedAt = this.h.now;
    }
    for (const [id, { grant, wantedAt }] of this.leases) {
      if (wantedAt === undefined || this.h.now - wantedAt < this.taskMs) continue;
      this.leases.delete(id);
      this.h.release(grant.leaseId, false, this.driver);
    }
    while (this.#waiting < this.leases.size + 2) {
      this.#waiting++;
      const requestId = `${this.jobId}-${this.#requests++}` as LeaseRequestId;
      this.h.machine.leaseRequest(this.driver, { requestId, jobId: this.jobId, shape: this.shape, backlog: 9 }, this.h.now);
      this.h.check();
    }
    const cpus = [...this.leases.values()].reduce((sum, { grant }) => sum + (grant.assigned.CPU ?? 0) / 10_000, 0);
    this.most = Math.max(this.most, cpus);
    this.cpuMs += cpus;
  }
}

const node = (cpus: number, config: Partial<NodeConfig> = {}): NodeHarness =>
  new NodeHarness({ CPU: cpus, memory: 1000 }, { poolSoftCap: 32, ...config });

function run(h: NodeHarness, jobs: readonly Hungry[], ms: number): void {
  for (let i = 0; i < ms; i++) {
    for (const job of jobs) job.step();
    h.helloAll();
    h.pass(1);
  }
}

/** What each had of the processors in this time. */
function shares(h: NodeHarness, jobs: readonly Hungry[], ms: number): number[] {
  const before = jobs.map(({ cpuMs }) => cpuMs);
  run(h, jobs, ms);
  return jobs.map(({ cpuMs }, i) => cpuMs - before[i]!);
}

const near = (value: number, wanted: number, part = 0.1): void =>
  assert.ok(Math.abs(value - wanted) <= part * wanted, `${value.toFixed(3)} is not within ${part * 100} % of ${wanted}`);

for (const [cpus, taskMs] of [
  [4, 0],
  [1, 0],
  [2, 40],
  [3, 7],
] as const) {
  test(`weights of 3 and 1 on ${cpus} CPUs, tasks of ${taskMs} ms: three quarters and one, within a second`, () => {
    const h = node(cpus);
    const jobs = [new Hungry(h, "a", { weight: 3 }, taskMs), new Hungry(h, "b", { weight: 1 }, taskMs)];
    run(h, jobs.slice(0, 1), 3000);
    // The first had all of it before the second came, and keeps no debt of it.
    run(h, jobs, 800);
    for (let second = 0; second < 5; second++) {
      const [a = 0, b = 0] = shares(h, jobs, 1000);
      near(a / (a + b), 0.75);
      near(a + b, cpus * 1000);
    }
  });
}

test("jobs are equal by default, whatever the length of their tasks", () => {
  const h = node(2);
  const jobs = [new Hungry(h, "a", {}, 60), new Hungry(h, "b", {}, 1)];
  run(h, jobs, 300);
  const [a = 0, b = 0] = shares(h, jobs, 4000);
  near(a / (a + b), 0.5);
});

test("a job that has wanted nothing for a while gets no more than its share afterwards", () => {
  const h = node(2);
  const jobs = [new Hungry(h, "a", {}), new Hungry(h, "b", {})];
  run(h, jobs.slice(0, 1), 10_000);
  const [a = 0, b = 0] = shares(h, jobs, 1000);
  near(a / (a + b), 0.5, 0.25);
});

test("a higher priority goes first, over all lower ones that wait, and ends no task that runs", () => {
  const h = node(2);
  const low = new Hungry(h, "l", { weight: 100 }, 50);
  const high = new Hungry(h, "h", { priority: 1 });
  run(h, [low], 200);
  assert.equal(low.leases.size, 2);
  high.step();
  assert.equal(h.take("leaseWanted", low.driver).length, 2, "both are asked for");
  assert.deepEqual(h.killed, []);
  for (const lease of low.leases.values()) lease.wantedAt = h.now;
  run(h, [low, high], 500);
  const [lows = 0, highs = 0] = shares(h, [low, high], 500);
  assert.equal(lows, 0);
  near(highs, 1000);
});

test("the priority of a task counts within its job only", () => {
  const h = node(1).ready();
  h.request("first");
  const [first] = h.grants();
  h.request("later", shape({ CPU: 1 }, { priority: 9, name: "urgent" }));
  const other = new Hungry(h, "b", { priority: 1 }, 0, shape({ CPU: 1 }));
  other.step();
  h.pass(20);
  h.release(first!.leaseId);
  h.helloAll();
  assert.equal(h.grants(DRIVER).length, 0);
  h.pass(50);
  h.helloAll();
  assert.equal(h.grants(other.driver).length, 1);
});

test("a job's limit holds: tasks, actors and groups together, and the rest is for others", () => {
  const h = node(4);
  const a = new Hungry(h, "a", { maxCpus: 2 });
  const b = new Hungry(h, "b", {});
  run(h, [a, b], 300);
  const [, bs = 0] = shares(h, [a, b], 1000);
  assert.equal(a.most, 2);
  near(bs, 2000, 0.1);
  const waits = h.machine.pending().find(({ reason }) => reason.includes("limit"));
  assert.match(waits?.reason ?? "", /its job's limit of 2 CPUs is used/);
  h.actor("x", { life: { CPU: 1 } }, { jobId: a.jobId });
  run(h, [a, b], 200);
  assert.equal(h.placed.length, 1, "the actor has one of the two");
  run(h, [a, b], 300);
  assert.equal(a.leases.size, 1);
});

test("what a job's limit keeps back takes nothing from others: no lease of theirs is asked for", () => {
  const h = node(2);
  const a = new Hungry(h, "a", { maxCpus: 1 }, 1e9);
  run(h, [a], 100);
  const b = new Hungry(h, "b", {});
  run(h, [a, b], 500);
  h.take("leaseWanted");
  run(h, [a], 500);
  assert.deepEqual(h.take("leaseWanted", b.driver), []);
});

test("a demand beyond the limit is warned about; so is one that actors keep from running", () => {
  const h = node(4).ready();
  const driver = "dddddddddd07" as ProcessId;
  const jobId = "small" as JobId;
  h.machine.driverJoined(driver, jobId, { weight: 1, priority: 0, maxCpus: 1.5, maxMemory: 100 });
  const ask = (id: string, what: LeaseShape): void => {
    h.machine.leaseRequest(driver, { requestId: id as LeaseRequestId, jobId, shape: what, backlog: 1 }, h.now);
    h.check();
  };
  ask("r1", shape({ CPU: 2 }, { name: "wide" }));
  ask("r2", shape({ CPU: 1, memory: 101 }, { name: "large" }));
  h.pass(1500);
  const messages = h.take("warning", driver).map(({ code, message }) => `${code} ${message}`);
  assert.match(messages.find((each) => each.includes("wide")) ?? "", /INFEASIBLE.*\{CPU: 2\}.*its job may have 1.5 CPUs at a time/);
  assert.match(messages.find((each) => each.includes("large")) ?? "", /INFEASIBLE.*its job may have 100 bytes of memory at a time/);
  h.actor("x", { life: { CPU: 1 } }, { jobId, owner: driver });
  ask("r3", shape({ CPU: 1 }, { name: "late" }));
  h.pass(5000);
  const held = h.take("warning", driver).find(({ message }) => message.includes("late"));
  assert.equal(held?.code, "RESOURCES_HELD");
  assert.match(held?.message ?? "", /its job's limit of 1.5 CPUs is used, by actors and placement groups/);
});

test("a task that waits for another gives its part of the limit up, and goes on when it is there again", () => {
  const h = node(4).ready();
  const driver = "dddddddddd08" as ProcessId;
  const jobId = "nested" as JobId;
  h.machine.driverJoined(driver, jobId, { weight: 1, priority: 0, maxCpus: 1 });
  const ask = (id: string): void =>
    h.machine.leaseRequest(driver, { requestId: id as LeaseRequestId, jobId, shape: shape(), backlog: 1 }, h.now);
  ask("outer");
  ask("inner");
  const [outer] = h.grants(driver);
  assert.equal(h.grants(driver).length, 0);
  h.blocked(outer!, 1);
  const [inner] = h.grants(driver);
  assert.ok(inner !== undefined);
  h.unblocked(outer!, 1);
  assert.equal(h.take("taskResumed").length, 0);
  h.release(inner.leaseId, false, driver);
  assert.equal(h.take("taskResumed").length, 1);
});

test("a task goes on although actors have all of its job's limit by now", () => {
  const h = node(4).ready();
  const driver = "dddddddddd09" as ProcessId;
  const jobId = "held" as JobId;
  h.machine.driverJoined(driver, jobId, { weight: 1, priority: 0, maxCpus: 1 });
  h.machine.leaseRequest(driver, { requestId: "r" as LeaseRequestId, jobId, shape: shape(), backlog: 1 }, h.now);
  const [grant] = h.grants(driver);
  h.blocked(grant!, 1);
  h.actor("x", { life: { CPU: 1 } }, { jobId, owner: driver });
  assert.equal(h.placed.length, 1);
  h.unblocked(grant!, 1);
  assert.equal(h.take("taskResumed").length, 1);
});

test("a node that shares a limit with others uses its share, gives back what it is to have less, and says what it would use", () => {
  const h = node(4, { limitsDivided: true });
  const a = new Hungry(h, "a", { maxCpus: 3 });
  run(h, [a], 100);
  assert.equal(a.leases.size, 0);
  const [use] = h.machine.jobUses();
  assert.equal(use?.wanted.CPU, 20_000);
  assert.equal(use.next.CPU, 10_000);
  h.machine.jobShare({ jobId: a.jobId, number: 1, share: amounts({ CPU: 3 }), life: {} }, h.now);
  run(h, [a], 100);
  assert.equal(a.leases.size, 3);
  h.machine.jobShare({ jobId: a.jobId, number: 2, share: amounts({ CPU: 1 }), life: {} }, h.now);
  assert.equal(h.machine.jobUses()[0]!.granted.CPU, 30_000, "as long as it is used");
  run(h, [a], 100);
  assert.equal(a.leases.size, 1);
  assert.equal(h.machine.jobUses()[0]!.granted.CPU, 10_000);
  assert.equal(h.machine.jobUses()[0]!.seen, 2);
});

test("a group that asks for more than its job may have is refused with the reason", () => {
  const h = node(4);
  h.machine.driverJoined("dddddddddd0a" as ProcessId, "tight" as JobId, { weight: 1, priority: 0, maxCpus: 2 });
  const bundles = [amounts({ CPU: 2 }), amounts({ CPU: 1 })];
  const group = { kind: "groupCreate", groupId: "g1" as never, bundles, strategy: "PACK", name: undefined, detached: false } as const;
  h.machine.askGroup("dddddddddd0a" as ProcessId, 1, { ...group, jobId: "tight" as JobId }, h.now);
  assert.match(h.take("answer")[0]?.failure?.message ?? "", /\{CPU: 3\}, and its job may have 2 CPUs at a time/);
  assert.equal(h.machine.jobUses().length, 1);
  assert.notEqual(JOB, "tight");
});

test("a job whose driver is gone stays one account, whatever its leases hold (sim seed 51278)", () => {
  const h = node(2).ready();
  const [worker] = h.machine.workers().map(({ processId }) => processId);
  h.machine.ownerLost(DRIVER, h.now);
  h.check();
  h.request("r1", shape({}), worker);
  const nothing = h.grant(worker);
  h.request("r2", shape(), worker);
  h.release(nothing.leaseId, false, worker);
  assert.equal(h.machine.accountOf(JOB)?.used.CPU, 10_000);
  h.request("r3", shape(), worker);
  assert.equal(h.machine.accountOf(JOB)?.used.CPU, 20_000);
});
