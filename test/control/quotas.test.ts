/** The limits of jobs over many nodes: held at every moment, whatever is late or ends; and what can run does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Quotas } from "../../src/core/control/quotas.ts";
import type { JobId, LeaseRequestId, NodeId } from "../../src/protocol/ids.ts";
import type { Body, JobUse } from "../../src/protocol/messages.ts";
import { amounts, shape } from "../node/node-harness.ts";
import { nodeIdOf } from "../cluster/nodes.ts";
import { World } from "./world.ts";
import type { WorldNode } from "./world.ts";

const LIMIT = 5;

/** Work of one job on many nodes: requests of random size that run for a random time. */
class Work {
  readonly world: World;
  readonly jobId: JobId;
  readonly open = new Set<string>();
  readonly running = new Map<string, WorldNode>();
  most = 0;
  served = 0;
  #requests = 0;

  constructor(world: World, from: WorldNode) {
    this.world = world;
    this.jobId = world.jobOf(from);
    world.startJob(from, { weight: 1, priority: 0, maxCpus: LIMIT });
    for (const { machine } of world.nodes) {
      machine.jobKnown(this.jobId, from.terms);
      machine.ownerKnown(from.driver);
    }
    world.watch = () => this.#look(from);
  }

  ask(from: WorldNode, at: WorldNode, cpus: number): void {
    const requestId = `r${this.#requests++}` as LeaseRequestId;
    this.open.add(`${at.id} ${requestId}`);
    at.machine.leaseRequest(from.driver, { requestId, jobId: this.jobId, shape: shape({ CPU: cpus }), backlog: 1 }, this.world.now);
  }

  used(): number {
    const uses = this.world.nodes.filter(({ alive }) => alive).flatMap(({ machine }) => machine.jobUses());
    return uses.reduce((sum, { used }) => sum + (used.CPU ?? 0), 0) / 10_000;
  }

  get waiting(): number {
    return this.world.nodes.reduce((sum, { machine, alive }) => sum + (alive ? machine.waiting : 0), 0);
  }

  #look(from: WorldNode): void {
    const used = this.used();
    this.most = Math.max(this.most, used);
    assert.ok(used <= LIMIT, `${used} CPUs are used at ${this.world.now}`);
    for (const node of this.world.nodes) {
      if (!node.alive) continue;
      for (const { leaseId } of node.machine.leases()) {
        if (this.running.has(leaseId)) continue;
        this.running.set(leaseId, node);
        this.world.later(80, () => {
          if (!node.alive) return;
          node.machine.leaseReturn(from.driver, { leaseId, retire: false }, this.world.now);
          this.served++;
        });
      }
    }
  }
}

/** Six nodes, random work, controls and a node that end. */
function history(seed: number, plant: (control: World["control"]) => void = () => {}): { world: World; work: Work; asked: () => number } {
  const world = new World(
    seed,
    [4, 2, 3, 1, 4, 2].map((CPU) => ({ CPU })),
  );
  world.plant = plant;
  const [first] = world.nodes;
  const work = new Work(world, first!);
  let asked = 0;
  for (let i = 0; i < 150; i++) {
    world.later(i * 40, () => {
      const at = world.nodes[Math.floor(world.chance() * world.nodes.length)]!;
      const cpus = Math.min(at.total["CPU"]!, 1 + Math.floor(world.chance() * 3));
      if (!at.alive) return;
      asked++;
      work.ask(first!, at, cpus);
    });
  }
  for (let i = 0; i < 4; i++) world.later(500 + i * 1500, () => world.restart());
  world.later(3000, () => world.kill(world.nodes[2]!));
  return { world, work, asked: () => asked };
}

for (let seed = 1; seed <= 4; seed++) {
  test(`a limit of ${LIMIT} CPUs over six nodes holds, and all that waits runs; control and nodes end meanwhile (seed ${seed})`, () => {
    const { world, work, asked } = history(seed);
    world.run(32_000);
    assert.equal(work.waiting, 0, "nothing waits");
    assert.equal(work.used(), 0);
    assert.ok(work.served > asked() * 0.6);
    assert.equal(work.most, LIMIT, "the limit is used");
  });
}

test("the net holds: a control that does not wait until nodes have said what they had is found out", () => {
  const careless = (control: World["control"]): void => void (control.quotas.awaits = () => {});
  const found = Array.from({ length: 6 }, (_, seed) => {
    try {
      history(seed + 1, careless).world.run(6000);
      return false;
    } catch (error) {
      assert.match(String(error), /CPUs are used|nodes may use/);
      return true;
    }
  });
  assert.ok(found.includes(true));
});

// ── the machine alone ──────────────────────────────────────────────────────────────────────────

const [A, B] = [nodeIdOf(1), nodeIdOf(2)];
const JOB = "job" as JobId;

class Control {
  readonly sent: { to: NodeId; body: Body<"jobShare"> }[] = [];
  readonly quotas = new Quotas({ share: (to, body) => void this.sent.push({ to, body }) });
  now = 0;

  use(node: NodeId, what: { seen?: number; granted?: number; used?: number; wanted?: number; next?: number }, limit = 4): void {
    const cpu = (value: number | undefined) => amounts({ CPU: value ?? 0 });
    const { seen = 0, granted, used, wanted, next = wanted } = what;
    const use: JobUse = {
      jobId: JOB,
      limits: amounts({ CPU: limit }),
      seen,
      granted: cpu(granted),
      used: cpu(used),
      life: {},
      wanted: cpu(wanted),
      next: cpu(next),
    };
    this.quotas.reported(node, [use], this.now);
    this.quotas.check();
  }

  /** The last share of a node, in CPUs, and its number. */
  share(node: NodeId): { cpus: number; number: number } {
    const last = this.sent.findLast(({ to }) => to === node)?.body;
    return { cpus: (last?.share.CPU ?? 0) / 10_000, number: last?.number ?? 0 };
  }

  bound(node: NodeId): number {
    return (this.quotas.bound(JOB, node).CPU ?? 0) / 10_000;
  }
}

test("what one node does not use goes to another that wants it, once the first has given it back", () => {
  const control = new Control();
  control.use(A, { wanted: 4 });
  assert.equal(control.share(A).cpus, 4);
  control.use(A, { seen: control.share(A).number, granted: 4, used: 1 });
  control.use(B, { wanted: 2 });
  assert.equal(control.share(B).cpus, 0, "A may still use it");
  assert.equal(control.share(A).cpus, 1);
  assert.equal(control.bound(A), 4);
  control.use(A, { seen: control.share(A).number, granted: 1, used: 1 });
  assert.equal(control.share(B).cpus, 2);
});

test("requests are whole: of three CPUs two nodes that ask for two get two and one, not a half each, in turns", () => {
  const control = new Control();
  control.use(A, { wanted: 2 }, 3);
  control.use(B, { wanted: 2 }, 3);
  assert.equal(control.share(A).cpus, 2);
  assert.equal(control.share(B).cpus, 0, "one is of no use to it");
  control.use(A, { seen: control.share(A).number, granted: 2, used: 2, wanted: 2 }, 3);
  control.now = control.quotas.nextDeadline()!;
  control.quotas.tick(control.now);
  assert.ok(control.share(A).cpus < 2, "it is B's turn");
  control.use(A, { seen: control.share(A).number, granted: control.share(A).cpus, wanted: 2 }, 3);
  assert.equal(control.share(B).cpus, 2);
});

test("a node that dies leaves its part; a new control grants nothing before those of before have said what they have", () => {
  const control = new Control();
  control.use(A, { wanted: 4 });
  control.use(B, { wanted: 4 });
  const before = control.share(B).cpus;
  control.quotas.nodeLost(A, 0);
  assert.equal(control.share(B).cpus, 4);
  assert.ok(before < 4);
  const next = new Control();
  next.quotas.awaits([A, B]);
  next.quotas.joined(B, [], 0);
  next.use(B, { wanted: 4 });
  assert.equal(next.sent.length, 0, "A may have all of it");
  next.quotas.nodeLost(A, 0);
  assert.equal(next.share(B).cpus, 4);
});
