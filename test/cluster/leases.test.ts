/** Lease requests over many nodes: where they go, that none is lost or over-served, and what happens when a node dies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseNode } from "../../src/core/cluster/policy.ts";
import { ClusterView } from "../../src/core/cluster/view.ts";
import type { NodeView } from "../../src/protocol/cluster.ts";
import type { Strategy } from "../../src/protocol/messages.ts";
import { amounts } from "../node/node-harness.ts";
import { chanceFrom, Cluster, nodeIdOf, viewOf } from "./nodes.ts";

const seen = (...views: NodeView[]): ClusterView => {
  const view = new ClusterView(nodeIdOf(0));
  for (const each of views) view.update(each);
  return view;
};
const demand = (values: Record<string, number>, strategy: Strategy = { kind: "default" }) => ({
  what: "task f",
  resources: amounts(values),
  strategy,
  labelSelector: undefined,
});

test("the own node comes first until half of it is used, then the work spreads", () => {
  const chance = chanceFrom(1);
  const free = (CPU: number) => ({ total: amounts({ CPU: 4 }), free: amounts({ CPU }) });
  const half = seen(viewOf(0, free(3)), viewOf(1, free(4)));
  assert.deepEqual(chooseNode(half, demand({ CPU: 1 }), chance), { kind: "go", nodeId: nodeIdOf(0) });
  const used = seen(viewOf(0, free(2)), viewOf(1, free(4)));
  assert.deepEqual(chooseNode(used, demand({ CPU: 1 }), chance), { kind: "go", nodeId: nodeIdOf(1) });
});

test("affinity: hard to a node that is gone is refused, soft goes elsewhere", () => {
  const view = seen(viewOf(0), viewOf(1, { state: "dead" }));
  const hard = chooseNode(view, demand({ CPU: 1 }, { kind: "affinity", nodeId: nodeIdOf(1), soft: false }), Math.random);
  assert.equal(hard.kind === "never" && hard.failure.code, "NODE_DIED");
  const soft = chooseNode(view, demand({ CPU: 1 }, { kind: "affinity", nodeId: nodeIdOf(1), soft: true }), Math.random);
  assert.deepEqual(soft, { kind: "go", nodeId: nodeIdOf(0) });
});

test("labels: hard ones must hold, soft ones are preferred, and what no node has waits", () => {
  const view = seen(viewOf(0), viewOf(1, { labels: { zone: "a" } }), viewOf(2, { labels: { zone: "a", disk: "ssd" } }));
  const labels = (hard: Record<string, string>, soft: Record<string, string> = {}): Strategy => ({ kind: "labels", hard, soft });
  const soft = chooseNode(view, demand({ CPU: 1 }, labels({ zone: "a" }, { disk: "ssd" })), chanceFrom(2));
  assert.deepEqual(soft, { kind: "go", nodeId: nodeIdOf(2) });
  assert.equal(chooseNode(view, demand({ CPU: 1 }, labels({ zone: "b" })), chanceFrom(2)).kind, "nowhere");
});

test("what nobody has room for queues where the queue is shortest", () => {
  const full = { free: {}, total: amounts({ CPU: 2 }) };
  const view = seen(viewOf(0, { ...full, queued: amounts({ CPU: 9 }) }), viewOf(1, { ...full, queued: amounts({ CPU: 1 }) }));
  assert.deepEqual(chooseNode(view, demand({ CPU: 1 }), Math.random), { kind: "queue", nodeId: nodeIdOf(1) });
});

test("SPREAD takes turns over all nodes", () => {
  const cluster = new Cluster(
    3,
    Array.from({ length: 5 }, () => ({ CPU: 4 })),
    1e6,
  );
  cluster.run(500);
  for (let i = 0; i < 10; i++) cluster.request(`r${i}`, { strategy: { kind: "spread" } });
  cluster.run(3000);
  assert.equal(cluster.granted.size, 10);
  assert.deepEqual([...cluster.grants.values()], [2, 2, 2, 2, 2]);
});

for (let seed = 1; seed <= 8; seed++) {
  test(`every request is granted once, on 7 nodes of different size (seed ${seed})`, () => {
    const cluster = new Cluster(
      seed,
      [0, 1, 2, 3, 1, 2, 1].map((CPU) => ({ CPU })),
      30,
    );
    cluster.run(500);
    for (let i = 0; i < 200; i++) cluster.later(i * 2, () => cluster.request(`r${i}`));
    cluster.run(30_000);
    assert.equal(cluster.granted.size, 200);
    for (const { router, machine } of cluster.nodes) {
      assert.equal(machine.waiting, 0);
      assert.equal(machine.leases().length, 0);
      if (router === cluster.nodes[0]!.router) assert.equal(router.forwarded, 0);
    }
  });
}

test("a node that dies: what had been sent to it is granted by others", () => {
  const cluster = new Cluster(7, [{ CPU: 0 }, { CPU: 1 }, { CPU: 1 }], 50);
  cluster.run(500);
  for (let i = 0; i < 20; i++) cluster.request(`r${i}`);
  cluster.later(20, () => cluster.kill(1));
  cluster.run(60_000);
  assert.equal(cluster.members.get(nodeIdOf(1))?.state, "dead");
  assert.equal(cluster.granted.size, 20);
});

test("a demand that no node meets waits, and is granted when such a node comes", () => {
  const cluster = new Cluster(8, [{ CPU: 1 }, { CPU: 1, special: 1 }], 10);
  cluster.run(500);
  cluster.request("r1", {}, { special: 1 });
  cluster.request("r2", {}, { other: 1 });
  cluster.run(5000);
  assert.deepEqual([...cluster.granted.keys()], ["r1"]);
  assert.equal(cluster.rejected.size, 0);
});
