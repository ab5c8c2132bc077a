/** The rows "Placement and the cluster" of docs/api.md. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import * as ray from "mobula";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { sharedCluster } from "./cluster.ts";

sharedCluster({ resources: { licence: 2 } });

const nodeOf = ray.remote(() => ray.getRuntimeContext().nodeId, { numCpus: 0 });

test("nodes lists the node with its resources", async () => {
  const nodes = await ray.nodes();
  assert.equal(nodes.length, 1);
  assert.deepEqual([nodes[0]!.alive, nodes[0]!.resources["CPU"], nodes[0]!.nodeId], [true, 4, ray.getRuntimeContext().nodeId]);
});

test("clusterResources and availableResources give amounts by name", async () => {
  const total = await ray.clusterResources();
  assert.deepEqual([total["CPU"], total["licence"]], [4, 2]);
  assert.ok(total["memory"]! > 0);
  await waitUntil(async () => (await ray.availableResources())["CPU"] === 4, "all are free");
});

test("a placement group reserves its bundles, runs what is placed in it, and gives them back", async () => {
  const group = ray.placementGroup([{ CPU: 1 }, { CPU: 1, licence: 1 }], { strategy: "PACK", name: "pair" });
  assert.ok(group instanceof ray.PlacementGroup);
  assert.equal(await group.wait(10_000), true);
  await group.ready();
  assert.deepEqual([(await ray.availableResources())["CPU"], (await ray.availableResources())["licence"]], [2, 1]);
  const inside = ray.remote(() => ray.getRuntimeContext().assignedResources, {
    resources: { licence: 1 },
    schedulingStrategy: ray.inPlacementGroup(group, { bundleIndex: 1 }),
  });
  const assigned = await ray.get(inside.remote());
  assert.deepEqual([assigned["CPU"], assigned["licence"]], [1, 1]);
  assert.equal((await ray.getPlacementGroup("pair")).id, group.id);
  await group.remove();
  await waitUntil(async () => (await ray.availableResources())["CPU"] === 4, "the bundles are given back");
  await assert.rejects(ray.getPlacementGroup("pair"), ray.PlacementError);
});

test("a group that must wait is not ready, and is when there is room", async () => {
  const first = await ray.placementGroup([{ licence: 2 }]).ready();
  const second = ray.placementGroup([{ licence: 1 }]);
  assert.equal(await second.wait(50), false);
  await first.remove();
  await second.ready();
  await second.remove();
});

test("a strict group that no set of nodes can serve rejects with PlacementError", async () => {
  const group = ray.placementGroup([{ CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" });
  await assert.rejects(group.ready(), ray.PlacementError);
  await group.remove();
});

test("nodeAffinity places on that node; a hard one to a node that is gone is refused", async () => {
  const here = ray.getRuntimeContext().nodeId;
  assert.equal(await ray.get(nodeOf.options({ schedulingStrategy: ray.nodeAffinity(here) }).remote()), here);
  assert.equal(await ray.get(nodeOf.options({ schedulingStrategy: ray.nodeAffinity("0123456789ab", { soft: true }) }).remote()), here);
  const gone = nodeOf.options({ schedulingStrategy: ray.nodeAffinity("0123456789ab") }).remote();
  await assert.rejects(ray.get(gone), (e: Error) => e instanceof ray.NodeDiedError || e instanceof ray.PlacementError);
});

test("nodeLabels places by labels", async () => {
  const here = ray.getRuntimeContext().nodeId;
  const soft = ray.nodeLabels({ hard: { zone: "!moon" }, soft: { zone: "earth" } });
  assert.equal(await ray.get(nodeOf.options({ schedulingStrategy: soft }).remote()), here);
});

test("timeline says what ran, and writes it to a file", async (t) => {
  await ray.get(ray.remote(() => 1, { name: "on the timeline" }).remote());
  const file = path.join(freshFolder(t), "trace.json");
  const event = await waitUntil(
    async () => (await ray.timeline(file)).find(({ name }) => name === "on the timeline"),
    "the task is on the timeline",
  );
  assert.ok(event.ts > 0 && event.dur! >= 0);
  assert.ok((JSON.parse(fs.readFileSync(file, "utf8")) as Array<{ name: string }>).some(({ name }) => name === "on the timeline"));
});

test("captureChildTasks places what a task or an actor submits in its group, and theirs, unless they say otherwise", async () => {
  // Of two licences the group holds one: a task with a licence leaves the other one free exactly if it runs in the group.
  const group = ray.placementGroup([{ CPU: 1, licence: 1 }]);
  await group.ready();
  const settled = (): Promise<unknown> => waitUntil(async () => (await ray.availableResources())["licence"] === 1, "one is free");
  const left = ray.remote(async () => (await ray.availableResources())["licence"] ?? 0, { numCpus: 0, resources: { licence: 1 } });
  const elsewhere = left.options({ schedulingStrategy: "DEFAULT" });
  const parent = ray.remote(
    async (depth: number, outside: boolean): Promise<number> => {
      if (depth === 0) return ray.get((outside ? elsewhere : left).remote());
      const child = ray.remote(async () => ray.get((outside ? elsewhere : left).remote()), { numCpus: 1 });
      return ray.get(child.remote());
    },
    { schedulingStrategy: ray.inPlacementGroup(group, { bundleIndex: 0, captureChildTasks: true }) },
  );
  const plain = parent.options({ schedulingStrategy: ray.inPlacementGroup(group) });
  class Boss {
    async ask(): Promise<number> {
      return ray.get(left.remote());
    }
  }
  const strategy = ray.inPlacementGroup(group, { captureChildTasks: true });
  const boss = ray.remote(Boss, { numCpus: 0, schedulingStrategy: strategy }).remote();
  for (const [ask, free] of [
    [() => parent.remote(0, false), 1],
    [() => parent.remote(1, false), 1],
    [() => boss.ask.remote(), 1],
    [() => parent.remote(1, true), 0],
    [() => plain.remote(0, false), 0],
  ] as const) {
    await settled();
    assert.equal(await ray.get(ask()), free, ask.toString());
  }
  await ray.kill(boss);
  await group.remove();
});
