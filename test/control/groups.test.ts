/** Placement groups over nodes: strategies, two phases, patience, the death of nodes, removal, and control that ends in between. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseNodes, neverBecause } from "../../src/core/control/bundles.ts";
import type { GroupStrategy } from "../../src/core/control/bundles.ts";
import type { JobId, LeaseRequestId, PlacementGroupId } from "../../src/protocol/ids.ts";
import { nodeIdOf } from "../cluster/nodes.ts";
import { amounts, shape } from "../node/node-harness.ts";
import { World } from "./world.ts";
import type { WorldNode } from "./world.ts";

const rooms = (...frees: Record<string, number>[]) => frees.map((free, i) => ({ nodeId: nodeIdOf(i), free: amounts(free) }));
const places = (strategy: GroupStrategy, bundles: Record<string, number>[], ...frees: Record<string, number>[]): number[] | undefined => {
  const wanted = bundles.map((each, index) => ({ index, resources: amounts(each) }));
  return chooseNodes(strategy, wanted, rooms(...frees), [])?.map((id) => Number.parseInt(id.slice(0, 6), 16));
};

test("each strategy puts bundles where it says", () => {
  const cpu = { CPU: 1 };
  assert.deepEqual(places("PACK", [cpu, cpu, cpu], { CPU: 2 }, { CPU: 4 }), [1, 1, 1]);
  assert.deepEqual(places("PACK", [cpu, cpu, cpu], { CPU: 2 }, { CPU: 1 }), [0, 0, 1]);
  assert.deepEqual(places("SPREAD", [cpu, cpu], { CPU: 4 }, { CPU: 4 }), [0, 1]);
  assert.deepEqual(places("SPREAD", [cpu, cpu, cpu], { CPU: 4 }, { CPU: 1 })?.sort(), [0, 0, 1]);
  assert.deepEqual(places("STRICT_PACK", [cpu, cpu], { CPU: 1 }, { CPU: 2 }), [1, 1]);
  assert.equal(places("STRICT_PACK", [cpu, cpu], { CPU: 1 }, { CPU: 1 }), undefined);
  assert.equal(places("STRICT_SPREAD", [cpu, cpu], { CPU: 8 }), undefined);
  // Only one of the two orders works.
  assert.deepEqual(places("STRICT_SPREAD", [cpu, { CPU: 2 }], { CPU: 2 }, { CPU: 1 }), [1, 0]);
  assert.deepEqual(places("STRICT_SPREAD", [{ CPU: 1, GPU: 1 }, { CPU: 2 }], { CPU: 2, GPU: 1 }, { CPU: 2 }), [0, 1]);
});

test("what no set of nodes can ever serve is refused with the reason", () => {
  const never = (strategy: GroupStrategy, bundles: Record<string, number>[]): string | undefined =>
    neverBecause(strategy, bundles.map(amounts), rooms({ CPU: 2 }, { CPU: 2 }));
  assert.match(never("STRICT_PACK", [{ CPU: 2 }, { CPU: 1 }])!, /ask together for \{CPU: 3\} on one node/);
  assert.match(never("STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }, { CPU: 1 }])!, /asks for 3 nodes, this cluster has 2/);
  assert.match(never("STRICT_SPREAD", [{ CPU: 3 }])!, /no node has that/);
  assert.equal(never("STRICT_SPREAD", [{ CPU: 2 }, { CPU: 2 }]), undefined);
  assert.equal(never("PACK", [{ CPU: 30 }]), undefined);
  assert.match(never("PACK", [])!, /no bundle/);
});

const nodesOf = (world: World, id: string): (string | undefined)[] => world.control.groups.all.find((group) => group.id === id)!.nodes;
const freeOf = (node: WorldNode): number => (node.machine.free["CPU"] ?? 0) / 10_000;
const task = (node: WorldNode, id: string, strategy: ReturnType<typeof shape>["strategy"] = { kind: "default" }): void =>
  node.machine.leaseRequest(
    node.driver,
    { requestId: id as LeaseRequestId, jobId: "j" as JobId, shape: shape({ CPU: 1 }, { strategy }), backlog: 1 },
    0,
  );

test("a group is reserved on its nodes, and given back when it is removed", () => {
  const world = new World(1, [{ CPU: 2 }, { CPU: 2 }, { CPU: 2 }]);
  const [a] = world.nodes;
  const ready = world.group(a!, "g", "STRICT_SPREAD", [{ CPU: 2 }, { CPU: 1 }], { name: "mine" });
  world.run(100);
  assert.equal(JSON.parse(a!.answers.get(ready)!.body!).state, "ready");
  assert.equal(new Set(nodesOf(world, "g")).size, 2);
  assert.deepEqual(world.nodes.map(freeOf).sort(), [0, 1, 2]);
  assert.deepEqual(
    [...world.nodes[2]!.groups.values()].map(({ state }) => state),
    ["ready"],
  );
  const byName = world.ask(a!, { kind: "groupByName", name: "mine" });
  world.ask(a!, { kind: "groupRemove", groupId: "g" as PlacementGroupId });
  world.run(100);
  assert.equal(JSON.parse(a!.answers.get(byName)!.body!).groupId, "g");
  assert.deepEqual(world.nodes.map(freeOf), [2, 2, 2]);
  const again = world.ask(a!, { kind: "groupReady", groupId: "g" as PlacementGroupId });
  world.run(100);
  assert.equal(a!.answers.get(again)!.failure!.code, "PLACEMENT");
});

test("a strict group that the cluster can never serve is refused at once; one that waits for room is not", () => {
  const world = new World(2, [{ CPU: 1 }, { CPU: 1 }]);
  const [a] = world.nodes;
  const never = world.group(a!, "never", "STRICT_PACK", [{ CPU: 1 }, { CPU: 1 }]);
  const first = world.group(a!, "first", "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }]);
  const second = world.group(a!, "second", "PACK", [{ CPU: 1 }]);
  world.run(500);
  assert.match(a!.answers.get(never)!.failure!.message, /no set of nodes can ever serve it/);
  assert.ok(a!.answers.has(first));
  assert.equal(a!.answers.has(second), false);
  world.ask(a!, { kind: "groupRemove", groupId: "first" as PlacementGroupId });
  world.run(8000);
  assert.ok(a!.answers.has(second));
});

test("two groups that each need both nodes do not keep each other from being placed, whatever the order of messages", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const world = new World(seed, [{ CPU: 1 }, { CPU: 1 }]);
    const calls = world.nodes.map((node, i) => [node, world.group(node, `g${i}`, "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }])] as const);
    world.run(8000);
    const done = calls.filter(([node, call]) => node.answers.has(call));
    assert.equal(done.length, 1, `seed ${seed}`);
    world.ask(done[0]![0], { kind: "groupRemove", groupId: `g${calls.indexOf(done[0]!)}` as PlacementGroupId });
    world.run(12_000);
    assert.ok(
      calls.every(([node, call]) => node.answers.has(call)),
      `seed ${seed}: both were placed`,
    );
  }
});

test("a group gets its turn among tasks that keep all CPUs", () => {
  const world = new World(3, [{ CPU: 1 }, { CPU: 1 }]);
  const [a] = world.nodes;
  for (const [i, node] of world.nodes.entries()) for (let n = 0; n < 3; n++) task(node, `t${i}-${n}`);
  world.run(200);
  const ready = world.group(a!, "g", "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }]);
  for (let i = 0; i < 20; i++) {
    world.run(100);
    for (const node of world.nodes) {
      for (const lease of node.machine.leases()) {
        node.machine.leaseReturn(lease.owner, { leaseId: lease.leaseId, retire: false }, world.now);
        task(node, `more-${node.id}-${i}`);
      }
    }
  }
  world.run(3000);
  assert.ok(a!.answers.get(ready)?.body !== undefined, JSON.stringify(world.control.groups.all));
});

test("when a node dies its bundles are placed anew; the others stay, and what was strict stays so", () => {
  const world = new World(4, [{ CPU: 2 }, { CPU: 2 }, { CPU: 2 }]);
  const [a] = world.nodes;
  world.startJob(a!);
  world.group(a!, "g", "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }]);
  world.run(200);
  const before = nodesOf(world, "g");
  const victim = world.nodes.find(({ id }) => before.includes(id) && id !== a!.id)!;
  world.kill(victim);
  world.run(10_000);
  const after = nodesOf(world, "g");
  assert.equal(world.control.groups.all[0]!.state, "ready");
  assert.equal(new Set(after).size, 2);
  assert.ok(!after.includes(victim.id));
  const kept = before.findIndex((id) => id !== victim.id);
  assert.equal(after[kept], before[kept]);
  world.say(a!, "processEnd", { processId: a!.driver, reason: { cause: "exit", message: "done" } });
  world.run(100);
  assert.deepEqual(world.nodes.filter(({ alive }) => alive).map(freeOf), [2, 2]);
});

test("actors run in the bundles that they ask for, and in others when those are full", () => {
  const world = new World(5, [{ CPU: 2 }, { CPU: 2 }]);
  const [a] = world.nodes;
  world.group(a!, "g", "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 2 }]);
  world.run(200);
  const inBundle = (bundleIndex: number) =>
    ({
      shape: shape({}, { strategy: { kind: "group", groupId: "g" as PlacementGroupId, bundleIndex, captureChildTasks: false } }),
    }) as const;
  const ids = [world.actor(a!, {}, inBundle(0)), world.actor(a!, {}, inBundle(1)), world.actor(a!, {}, inBundle(-1))];
  world.run(2000);
  assert.deepEqual(
    ids.map((id) => a!.states.get(id)?.kind),
    ["alive", "alive", "alive"],
  );
  const hosts = ids.map((id) => world.nodes.find(({ placed }) => placed.has(id))!.id);
  assert.deepEqual(hosts.slice(0, 2), nodesOf(world, "g"));
  assert.equal(hosts[2], nodesOf(world, "g")[1]);
  world.ask(a!, { kind: "groupRemove", groupId: "g" as PlacementGroupId });
  world.run(500);
  assert.deepEqual(
    ids.map((id) => a!.states.get(id)?.kind),
    ["dead", "dead", "dead"],
  );
  const late = world.actor(a!, {}, inBundle(0));
  world.run(200);
  const status = a!.states.get(late);
  assert.equal(status?.kind === "dead" && status.failure?.code, "PLACEMENT");
});

test("control ends at any moment: groups are whole or not there, and nothing stays reserved for what is gone", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed, [{ CPU: 3 }, { CPU: 3 }, { CPU: 3 }]);
    const [a, b] = world.nodes;
    const ready = [
      [a!, world.group(a!, "g0", "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }, { CPU: 1 }])],
      [b!, world.group(b!, "g1", "PACK", [{ CPU: 1 }, { CPU: 1 }])],
    ] as const;
    for (let i = 0; i < 3; i++) {
      world.run(world.chance() * 8);
      world.restart();
    }
    world.run(8000);
    for (const [node, call] of ready) assert.ok(node.answers.get(call)?.body !== undefined, `seed ${seed}: both are ready`);
    assert.equal(
      world.nodes.map(freeOf).reduce((x, y) => x + y),
      4,
      `seed ${seed}`,
    );
    world.ask(a!, { kind: "groupRemove", groupId: "g0" as PlacementGroupId });
    world.run(world.chance() * 4);
    world.restart();
    world.run(2000);
    assert.equal(
      world.nodes.map(freeOf).reduce((x, y) => x + y),
      7,
      `seed ${seed}: what was removed is free`,
    );
  }
});

test("control that ends again and again while it reserves: each bundle is made once", () => {
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed, [{ CPU: 3 }, { CPU: 3 }, { CPU: 3 }]);
    const [a, b] = world.nodes;
    world.group(a!, "g0", "STRICT_SPREAD", [{ CPU: 1 }, { CPU: 1 }, { CPU: 1 }]);
    world.group(b!, "g1", "PACK", [{ CPU: 1 }, { CPU: 1 }]);
    for (let i = 0; i < 8; i++) {
      world.run(world.chance() * 5);
      world.restart();
    }
    world.run(8000);
    const made = world.nodes.flatMap((node) => node.machine.reservedBundles().map(({ groupId, index }) => `${groupId} ${index}`));
    assert.deepEqual(made.sort(), ["g0 0", "g0 1", "g0 2", "g1 0", "g1 1"], `seed ${seed}`);
  }
});
