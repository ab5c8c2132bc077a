/** Random histories of the node machine: its invariants hold after every event, and in the end everything is free. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ActorId, LeaseId, LeaseRequestId, PlacementGroupId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, LeaseShape } from "../../src/protocol/messages.ts";
import { DRIVER, JOB, NodeHarness, amounts, shape } from "./node-harness.ts";

type Op = readonly [kind: number, a: number, b: number];

/** What the world outside knows: it answers the machine as workers and owners would, in any order and with repeats. */
class World {
  readonly h = new NodeHarness({ CPU: 3, GPU: 2, x: 1 }, { poolSoftCap: 4, idleTimeoutMs: 50, registerTimeoutMs: 500 });
  readonly grants: Body<"leaseGrant">[] = [];
  readonly starting: ProcessId[] = [];
  readonly alive: ProcessId[] = [];
  readonly doomed = new Set<ProcessId>();
  /** Questions to workers that are not answered yet. */
  readonly asked: { to: ProcessId; orphan?: LeaseId }[] = [];
  readonly turns = new Map<LeaseId, number>();
  readonly owners = new Map<LeaseRequestId, ProcessId>();
  readonly owning = new Set<ProcessId>();
  requests = 0;
  actors = 0;
  groups = 0;

  constructor() {
    this.h.machine.prestart([], this.h.now);
    this.absorb();
  }

  absorb(): void {
    this.starting.push(...this.h.spawned.splice(0).map((each) => each.id));
    for (const { id } of this.h.killed.splice(0)) this.doomed.add(id);
    for (const { to, name } of this.h.sent) if (name === "exitRequest") this.doomed.add(to);
    for (const { to, name, body } of this.h.sent) {
      if (name === "spareRequest") this.asked.push({ to });
      if (name === "leaseOrphaned") this.asked.push({ to, orphan: body.leaseId as LeaseId });
    }
    this.grants.push(...this.h.grants());
    this.h.sent.length = 0;
  }

  owner(n: number): ProcessId {
    return n % 3 === 0 || this.alive.length === 0 ? DRIVER : this.alive[n % this.alive.length]!;
  }

  answer(at: number, spare: boolean): void {
    const [question] = this.asked.splice(at, 1);
    if (question?.orphan) this.h.machine.leaseOver(question.to, { leaseId: question.orphan }, this.h.now);
    else if (question) {
      this.h.machine.spareAnswer(question.to, { spare }, this.h.now);
      if (!spare) this.owning.add(question.to);
    }
  }

  lose(id: ProcessId): void {
    for (const list of [this.starting, this.alive]) if (list.includes(id)) list.splice(list.indexOf(id), 1);
    this.doomed.delete(id);
    this.h.lost(id);
  }
}

const shapes: LeaseShape[] = [
  shape(),
  shape({ CPU: 2 }, { name: "g" }),
  shape({ CPU: 1, GPU: 0.5 }),
  shape({}, { name: "zero" }),
  shape({ x: 1 }, { priority: 1 }),
  shape({ CPU: 1 }, { envVars: { A: "1" }, name: "env" }),
  shape({ CPU: 9 }, { name: "never" }),
  shape({ GPU: 2 }, { name: "gpus" }),
  shape({ CPU: 0.5 }, { name: "half" }),
];
const inGroup = (n: number): LeaseShape =>
  shape({ CPU: 1 }, { strategy: { kind: "group", groupId: `g${n}` as PlacementGroupId, bundleIndex: -1, captureChildTasks: false } });

/** Mostly a lease that is still held, sometimes one that is over: late news of it must be harmless. */
function someGrant(w: World, n: number): Body<"leaseGrant"> | undefined {
  const live = w.grants.filter((grant) => w.h.machine.leases().some((lease) => lease.leaseId === grant.leaseId));
  return n % 7 === 0 || live.length === 0 ? pick(w.grants, n) : pick(live, n);
}

const pick = <T>(list: readonly T[], n: number): T | undefined => list[n % Math.max(1, list.length)];

const acts: ((w: World, a: number, b: number) => void)[] = [
  (w, a, b) => {
    const id = `r${w.requests++}` as LeaseRequestId;
    w.owners.set(id, w.owner(a));
    w.h.request(id, shapes[b % shapes.length]!, w.owners.get(id)!);
  },
  (w, a, b) => {
    const id = `r${w.requests++}` as LeaseRequestId;
    w.owners.set(id, DRIVER);
    w.h.request(id, inGroup(a % Math.max(1, w.groups)));
    void b;
  },
  // A repeated request, of any age.
  (w, a, b) =>
    w.h.request(`r${a % (w.requests + 1)}`, shapes[b % shapes.length]!, w.owners.get(`r${a % (w.requests + 1)}` as LeaseRequestId)),
  (w, a) => w.h.machine.leaseCancel(DRIVER, { requestId: `r${a % (w.requests + 1)}` as LeaseRequestId }, w.h.now),
  (w, a, b) => {
    const grant = someGrant(w, a);
    if (grant) w.h.release(grant.leaseId, b % 5 === 0, w.owners.get(grant.requestId));
  },
  (w, a) => {
    const grant = someGrant(w, a);
    if (!grant) return;
    const turn = (w.turns.get(grant.leaseId) ?? 0) + 1;
    w.turns.set(grant.leaseId, turn);
    w.h.blocked(grant, turn);
  },
  (w, a, b) => {
    const grant = someGrant(w, a);
    if (grant) w.h.unblocked(grant, (w.turns.get(grant.leaseId) ?? 0) - (b % 4 === 0 ? 1 : 0));
  },
  (w, a) => {
    const id = pick(w.starting, a);
    if (id === undefined) return;
    w.starting.splice(w.starting.indexOf(id), 1);
    w.alive.push(id);
    w.h.hello(id);
  },
  (w, a) => {
    const id = pick([...w.doomed], a) ?? pick(w.starting, a);
    if (id !== undefined) w.lose(id);
  },
  (w, a, b) => {
    const id = pick(w.alive, a);
    if (id !== undefined && b % 3 === 0) w.lose(id);
  },
  (w, a, b) => w.h.actor(`a${w.actors++}`, { life: b % 2 === 0 ? {} : { CPU: 1 }, place: a % 3 === 0 ? { GPU: 1 } : { CPU: 1 } }),
  (w, a, b) => {
    const id = `a${a % (w.actors + 1)}` as ActorId;
    w.h.machine.unplaceActor(id, 1, b % 2 === 0 ? { gently: "over" } : { kill: { cause: "killed", message: "kill" } }, w.h.now);
  },
  (w, a) =>
    w.h.machine.askGroup(
      DRIVER,
      1,
      {
        kind: "groupCreate",
        groupId: `g${w.groups++}` as PlacementGroupId,
        jobId: JOB,
        bundles: [amounts({ CPU: 1 }), amounts({ CPU: 1, GPU: a % 2 })],
        strategy: "PACK",
        detached: false,
      },
      w.h.now,
    ),
  (w, a) => w.h.machine.askGroup(DRIVER, 2, { kind: "groupRemove", groupId: `g${a % (w.groups + 1)}` as PlacementGroupId }, w.h.now),
  (w, a) => w.h.pass([1, 20, 60, 600, 5000][a % 5]!),
  (w, a, b) => {
    if (w.asked.length > 0) w.answer(a % w.asked.length, b % 3 > 0);
  },
  (w, a) => {
    const id = pick([...w.owning], a);
    if (id === undefined) return;
    w.owning.delete(id);
    w.h.machine.workerOwns(id, { open: false }, w.h.now);
  },
];

/** How often each act is drawn: starts and blocks often, deaths and groups seldom. */
const weights = [6, 1, 1, 1, 4, 6, 6, 6, 1, 1, 2, 1, 1, 1, 3, 3, 1];
const kinds = fc.oneof(...weights.map((weight, kind) => ({ weight, arbitrary: fc.constant(kind) })));
const ops = fc.array(fc.tuple(kinds, fc.nat(1000), fc.nat(1000)), { minLength: 1, maxLength: 200, size: "max" });

function run(list: readonly Op[]): World {
  const w = new World();
  for (const [kind, a, b] of list) {
    acts[kind]!(w, a, b);
    w.h.check();
    w.absorb();
  }
  return w;
}

/** Everything ends: owners return, workers that were told to end do, what is being started comes up. */
function drain(w: World): void {
  for (let g = 0; g < w.groups; g++)
    w.h.machine.askGroup(DRIVER, 3, { kind: "groupRemove", groupId: `g${g}` as PlacementGroupId }, w.h.now);
  for (let a = 0; a < w.actors; a++) w.h.machine.unplaceActor(`a${a}` as ActorId, 1, { gently: "over" }, w.h.now);
  w.h.machine.ownerLost(DRIVER, w.h.now);
  for (let i = 0; i < 50; i++) {
    w.absorb();
    for (const id of [...w.doomed]) w.lose(id);
    for (const id of w.starting.splice(0)) {
      w.alive.push(id);
      w.h.hello(id);
    }
    for (const id of w.alive) w.h.machine.ownerLost(id, w.h.now);
    w.absorb();
    while (w.asked.length > 0) w.answer(0, true);
    for (const id of w.owning) w.h.machine.workerOwns(id, { open: false }, w.h.now);
    w.h.pass(100);
  }
}

test("after any history the invariants hold, and when all owners are gone everything is free", () => {
  fc.assert(
    fc.property(ops, (list) => {
      const w = run(list);
      drain(w);
      assert.deepEqual(w.h.free, { CPU: 3, GPU: 2, x: 1 });
      assert.deepEqual(w.h.machine.leases(), []);
      assert.equal(w.h.machine.waiting, 0);
      assert.ok(w.h.machine.workers().length <= 3, "only the pool is left");
    }),
    { numRuns: 400, includeErrorInReport: true },
  );
});

test("the same history has the same effects", () => {
  fc.assert(
    fc.property(ops, (list) => {
      assert.deepEqual(run(list).grants, run(list).grants);
    }),
    { numRuns: 30 },
  );
});

test("the histories reach the states that matter", () => {
  const seen = { stacked: 0, resuming: 0, groups: 0, waiting: 0, asked: 0 };
  for (const list of fc.sample(ops, { numRuns: 500, seed: 7 })) {
    const w = run(list);
    const workers = w.h.machine.workers();
    seen.stacked += workers.filter((worker) => worker.leases > 1).length;
    seen.resuming += w.h.machine.leases().filter((lease) => lease.state === "resuming").length;
    seen.waiting += w.h.machine.waiting;
    seen.asked += w.asked.length;
    seen.groups += w.groups;
  }
  for (const [what, count] of Object.entries(seen)) assert.ok(count >= 10, `${what}: ${count} in 500 histories`);
});
