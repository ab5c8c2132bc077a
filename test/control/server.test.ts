/** Control as a server, in this process: nodes join it, their actors live, and another control goes on where one ended. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ControlServer } from "../../src/runtime/control/server.ts";
import { tokenCredential } from "../../src/runtime/network/index.ts";
import type { Address } from "../../src/runtime/network/index.ts";
import { createControlStore, MemoryPlace } from "../../src/runtime/stores/index.ts";
import type { ControlStore } from "../../src/runtime/stores/index.ts";
import path from "node:path";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";
import { token } from "../network/ports.ts";
import { freePort } from "../stores/redis-server.ts";
import { CLUSTER, FakeNode } from "./fake-node.ts";

leakChecked();

const memory = (): ControlStore => createControlStore({ kind: "memory", memory: new MemoryPlace() });

async function control(t: TestContext, store: ControlStore, port = 0): Promise<ControlServer> {
  const server = await ControlServer.start({
    store,
    clusterId: CLUSTER,
    credentials: tokenCredential(token),
    host: "127.0.0.1",
    port,
    log: () => {},
    onLost: (error) => assert.fail(error),
  });
  t.after(() => server.close());
  return server;
}

test("nodes join, know each other, and are told when one leaves", async (t) => {
  const server = await control(t, memory());
  const [a, b] = [await FakeNode.join(t, [server.address]), await FakeNode.join(t, [server.address])];
  await waitUntil(() => [...a.link.view.nodes].length === 2 && [...b.link.view.nodes].length === 2, "both know both");
  b.link.leave("the test is done with it");
  await waitUntil(() => a.gone.includes(b.nodeId), "the other hears of it");
  assert.equal(a.link.view.isAlive(b.nodeId), false);
  server.machine.check();
});

test("an actor is placed, started and watched; it is started again on another node when its node dies", async (t) => {
  const server = await control(t, memory());
  const a = await FakeNode.join(t, [server.address], { cpus: 0 });
  const b = await FakeNode.join(t, [server.address]);
  a.startJob();
  const id = a.actor({ maxRestarts: 1, name: "counter" });
  const alive = await a.state(id, "alive");
  assert.equal(alive.kind === "alive" && alive.address.processId.slice(0, 6), b.nodeId.slice(0, 6));
  assert.equal(JSON.parse((await a.ask({ kind: "actorByName", name: "counter", namespace: "n" })).body!).actorId, id);
  const c = await FakeNode.join(t, [server.address]);
  b.link.leave("it is stopped");
  const again = await waitUntil(() => {
    const status = a.states.get(id);
    return status?.kind === "alive" && status.epoch === 2 ? status : undefined;
  }, "it is alive again");
  assert.equal(again.address.processId.slice(0, 6), c.nodeId.slice(0, 6));
  c.killWorker(c.placed.get(id)!.worker.processId);
  const dead = await a.state(id, "dead");
  assert.equal(dead.kind === "dead" && dead.reason.cause, "signal");
  await waitUntil(() => a.over.has(id), "its home is told that it is over");
  server.machine.check();
});

test("a driver that ends takes its job and actors with it, and all nodes hear of it", async (t) => {
  const server = await control(t, memory());
  const [a, b] = [await FakeNode.join(t, [server.address]), await FakeNode.join(t, [server.address])];
  a.startJob();
  const id = a.actor();
  await a.state(id, "alive");
  a.link.processLost(a.driver);
  await waitUntil(() => a.endedJobs.includes(a.jobId) && b.endedJobs.includes(a.jobId), "both know that the job has ended");
  await waitUntil(() => a.placed.size + b.placed.size === 0, "its actor is gone");
  assert.deepEqual(
    [...server.machine.jobs.all.values()].map(({ status }) => status),
    ["SUCCEEDED"],
  );
  server.machine.check();
});

test("a control that is started again on the same store carries on: living actors, names, watches, jobs", async (t) => {
  const folder = path.join(freshFolder(t), "state");
  const port = await freePort();
  const address: Address = { host: "127.0.0.1", port };
  const first = await control(t, createControlStore({ kind: "durable", folder }), port);
  const [a, b] = [await FakeNode.join(t, [address]), await FakeNode.join(t, [address])];
  a.startJob();
  const named = a.actor({ name: "counter", maxRestarts: 3 });
  const plain = a.actor();
  await Promise.all([a.state(named, "alive"), a.state(plain, "alive")]);
  await first.close();
  // What is said while there is no control is said to the next.
  const later = b.actor({ name: "later" });
  const second = await control(t, createControlStore({ kind: "durable", folder }), port);
  assert.ok(second.epoch > first.epoch);
  await waitUntil(() => a.joins === 2 && b.joins === 2, "both have joined again");
  await b.state(later, "alive");
  assert.equal(JSON.parse((await a.ask({ kind: "actorByName", name: "counter", namespace: "n" })).body!).actorId, named);
  const host = [a, b].find(({ placed }) => placed.has(plain))!;
  host.killWorker(host.placed.get(plain)!.worker.processId);
  await a.state(plain, "dead");
  assert.equal(a.states.get(named)?.kind, "alive");
  assert.equal([...a.started, ...b.started].filter((each) => each === `${named} 1`).length, 1);
  assert.deepEqual([a.gone, b.gone], [[], []]);
  second.machine.check();
});
