/** One control follows another: only one can write, and a standby takes over when the one before it is gone. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { tokenCredential } from "../../src/runtime/network/index.ts";
import { freeze, freshFolder, leakChecked, thaw, waitUntil } from "../harness/index.ts";
import { freePort, noRedis, RedisServer } from "../stores/redis-server.ts";
import { FakeNode } from "./fake-node.ts";
import { ControlProcess, tokenIn } from "./process.ts";

leakChecked();

test("a second control on the same folder ends with the reason, and the first goes on", async (t) => {
  const { file, secret } = tokenIn(t);
  const store = { kind: "durable", folder: path.join(freshFolder(t), "state") } as const;
  const port = await freePort();
  const first = await new ControlProcess(t, file, store, port).serves();
  const second = new ControlProcess(t, file, store, await freePort());
  assert.equal(await second.ended, 1);
  const [report] = second.reports;
  assert.ok(report !== undefined && "error" in report && report.reason === "in-use", JSON.stringify(report));
  const node = await FakeNode.join(t, [{ host: "127.0.0.1", port }], { credentials: tokenCredential(secret) });
  await node.state(node.actor(), "alive");
  node.stop();
  await first.kill();
});

test(
  "a standby takes over within 3 s, nodes find it by themselves, and the one that was frozen is fenced",
  { skip: noRedis },
  async (t) => {
    const redis = await RedisServer.start(t);
    const { file, secret } = tokenIn(t);
    const store = { kind: "redis", url: redis.url(), clusterId: "c1" } as const;
    const port = await freePort();
    const first = await new ControlProcess(t, file, store, port).serves();
    const standby = new ControlProcess(t, file, store, 0, { standby: true });
    await waitUntil(() => standby.reports.length > 0, "the standby waits");
    // It knows of one address only.
    const node = await FakeNode.join(t, [{ host: "127.0.0.1", port }], { credentials: tokenCredential(secret) });
    const before = node.actor({ name: "before" });
    await node.state(before, "alive");
    await waitUntil(() => node.controls() === 2, "the node knows of the standby");
    assert.equal(standby.ready, false);
    freeze(first.child.pid!);
    const at = performance.now();
    await waitUntil(() => standby.ready, "the standby leads", { story: () => standby.stderr });
    const tookMs = performance.now() - at;
    t.diagnostic(`took over in ${tookMs.toFixed(0)} ms`);
    assert.ok(tookMs < 3500, `${tookMs} ms`);
    await waitUntil(() => node.joins === 2, "the node has joined again");
    const joinedMs = performance.now() - at;
    t.diagnostic(`the node left the frozen one after ${joinedMs.toFixed(0)} ms`);
    // Silence is noticed after three seconds. A handshake with who is frozen would be waited for five seconds more.
    assert.ok(joinedMs < 7_000, `${joinedMs} ms`);
    assert.equal(
      (JSON.parse((await node.ask({ kind: "actorByName", name: "before", namespace: "n" })).body!) as { actorId: string }).actorId,
      before,
    );
    await node.state(node.actor(), "alive");
    thaw(first.child.pid!);
    assert.equal(await first.ended, 1);
    assert.match(first.stderr, /it ends: /);
    assert.equal(node.lost, undefined);
    node.stop();
    await standby.kill();
  },
);
