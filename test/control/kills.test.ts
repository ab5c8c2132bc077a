/** Control is killed at random moments while nodes work with it: nothing that it had acknowledged is lost, and all goes on. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { Rng } from "../../sim/rng.ts";
import type { ActorId } from "../../src/protocol/ids.ts";
import { tokenCredential } from "../../src/runtime/network/index.ts";
import type { Address } from "../../src/runtime/network/index.ts";
import type { ControlStoreSpec } from "../../src/runtime/stores/index.ts";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";
import { freePort, noRedis, RedisServer } from "../stores/redis-server.ts";
import { FakeNode } from "./fake-node.ts";
import { ControlProcess, tokenIn } from "./process.ts";

leakChecked();

/** The machine may be full of other work. */
const PATIENT = { timeoutMs: 60_000 };

/**
 * Two nodes make actors, end some, and ask for names, one step after the other, while control is killed and started again. Then every
 * actor must be what its node and its maker think it is, and a last control must know the same.
 */
async function killsAmongWork(t: TestContext, store: ControlStoreSpec, kills: number): Promise<void> {
  const { file, secret } = tokenIn(t);
  const port = await freePort();
  const address: Address = { host: "127.0.0.1", port };
  const rng = new Rng(`kills ${store.kind}`);
  let control = await new ControlProcess(t, file, store, port).serves();
  const options = { credentials: tokenCredential(secret) };
  const nodes = [await FakeNode.join(t, [address], options), await FakeNode.join(t, [address], options)];
  for (const node of nodes) node.startJob();
  let working = true;
  const expected = new Map<ActorId, { node: FakeNode; name: string; alive: boolean }>();
  const work = nodes.map(async (node, n) => {
    for (let i = 0; working; i++) {
      const name = `a${n}-${i}`;
      const id = node.actor({ name, maxRestarts: 0 });
      await node.state(id, "alive");
      expected.set(id, { node, name, alive: true });
      const answer = await node.ask({ kind: "actorByName", name, namespace: "n" });
      assert.equal((JSON.parse(answer.body!) as { actorId: string }).actorId, id);
      if (i % 3 !== 0) continue;
      await node.ask({ kind: "actorKill", actorId: id, noRestart: true });
      await node.state(id, "dead");
      expected.get(id)!.alive = false;
    }
  });
  for (let i = 0; i < kills; i++) {
    await new Promise((resolve) => setTimeout(resolve, rng.int(0, 250)));
    await control.kill();
    assert.equal(control.stderr, "");
    control = await new ControlProcess(t, file, store, port).serves();
    const story = (): string => `${control.stderr}\n${JSON.stringify(nodes.map(({ nodeId, hub }) => [nodeId, hub.statistics()]))}`;
    await waitUntil(() => nodes.every((node) => node.link.isMember), "both have joined again", { ...PATIENT, story });
  }
  working = false;
  await Promise.all(work);
  assert.deepEqual(
    nodes.map(({ gone, lost }) => [gone, lost]),
    nodes.map(() => [[], undefined]),
  );
  for (const [id, { node, name, alive }] of expected) {
    // A node that was asked for it first may not have heard yet that it is elsewhere.
    const hosts = (): number => nodes.filter(({ placed }) => placed.has(id)).length;
    await waitUntil(() => hosts() === (alive ? 1 : 0), `actor ${name} is on one node if it lives`, {
      ...PATIENT,
      story: () => `${hosts()}`,
    });
    assert.equal(nodes.flatMap(({ started }) => started).filter((each) => each.startsWith(`${id} `)).length, 1, `${name} was started once`);
    const answer = await node.ask({ kind: "actorByName", name, namespace: "n" });
    assert.equal(answer.failure?.code, alive ? undefined : "ACTOR_NOT_FOUND", name);
  }
  await control.kill();
  t.diagnostic(`${expected.size} actors, ${[...expected.values()].filter(({ alive }) => alive).length} of them alive`);
}

test("killed with the durable store", async (t) => {
  await killsAmongWork(t, { kind: "durable", folder: path.join(freshFolder(t), "state") }, 8);
});

test("killed with Redis", { skip: noRedis }, async (t) => {
  const redis = await RedisServer.start(t);
  await killsAmongWork(t, { kind: "redis", url: redis.url(), clusterId: "c1" }, 4);
});
