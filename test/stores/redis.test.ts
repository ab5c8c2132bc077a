/** The store in Redis: kills, restarts, takeovers, fencing, sentinels, a cluster, TLS, passwords, lost data. Real servers. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ControlStoreError } from "../../src/errors/index.ts";
import { createControlStore } from "../../src/runtime/stores/index.ts";
import type { Change, ControlStore } from "../../src/runtime/stores/index.ts";
import { freeze, freshFolder, leakChecked, thaw, waitUntil } from "../harness/index.ts";
import { checkEntries, killWriters, Writer } from "./kills.ts";
import { bytes, shown } from "./places.ts";
import { freePort, noRedis, RedisServer } from "./redis-server.ts";

leakChecked();

const skip = noRedis;
const put = (key: string, text: string): Change => ({ table: "t", key, value: bytes(text) });
const is =
  (reason: string, text = /./) =>
  (error: unknown) =>
    error instanceof ControlStoreError && error.reason === reason && text.test(error.message);

interface Options {
  readonly leaseMs?: number;
  readonly patienceMs?: number;
  readonly clusterId?: string;
}

function storeAt(t: TestContext, url: string, options: Options = {}): ControlStore {
  const store = createControlStore({ kind: "redis", url, clusterId: "c1", ...options });
  t.after(() => store.close());
  return store;
}

/** Writes one number after the other until `stop`; what was acknowledged is counted. */
function writing(store: ControlStore): { acknowledged: number; stop(): Promise<void> } {
  let stopped = false;
  const state = { acknowledged: 0, stop: () => ((stopped = true), done) };
  const done = (async () => {
    for (let i = 1; !stopped; i++) {
      await store.write([put("last", String(i)), put(`k${i % 97}`, String(i))]);
      state.acknowledged = i;
    }
  })();
  return state;
}

test(
  "Redis killed and started again in the middle of writes: they wait, go on, and none that was acknowledged is lost",
  { skip },
  async (t) => {
    const server = await RedisServer.start(t);
    const store = storeAt(t, server.url());
    const { epoch } = await store.open();
    const writes = writing(store);
    for (let round = 0; round < 5; round++) {
      const before = writes.acknowledged;
      await waitUntil(() => writes.acknowledged > before + 20, "writes go on");
      await sleep(Math.random() * 20);
      await server.kill();
      await server.start();
    }
    await writes.stop();
    await store.close();
    const again = await storeAt(t, server.url()).open();
    assert.equal(again.epoch, epoch + 1, "the same leader all the time");
    checkEntries(again.entries, writes.acknowledged);
    assert.deepEqual(again.warnings, []);
  },
);

test(
  "Redis away for longer than the lease: the leader does not know that it leads, and goes on when nobody took over",
  { skip },
  async (t) => {
    const server = await RedisServer.start(t);
    const store = storeAt(t, server.url(), { leaseMs: 300 });
    await store.open();
    await server.kill();
    await waitUntil(() => !store.leads(), "the lease runs out");
    let confirmed = false;
    const confirming = store.write([]).then(() => (confirmed = true));
    await sleep(300);
    assert.equal(confirmed, false);
    await server.start();
    await confirming;
    assert.equal(store.leads(), true);
  },
);

test("a standby takes over within 3 s of the leader's death, with everything that was acknowledged", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  const writer = new Writer({ kind: "redis", url: server.url(), clusterId: "c1" }, 1);
  t.after(() => writer.kill());
  await writer.ready;
  const standby = storeAt(t, server.url());
  const opening = standby.open({ waitMs: Infinity });
  await waitUntil(() => writer.acknowledged > 100, "it writes");
  const killedAt = performance.now();
  await writer.kill();
  const { entries } = await opening;
  const tookMs = performance.now() - killedAt;
  assert.ok(tookMs < 3000, `${tookMs} ms`);
  checkEntries(entries, writer.acknowledged);
});

test("a leader that was frozen while another took over writes nothing any more, and says why it ends", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  const spec = { kind: "redis", url: server.url(), clusterId: "c1", leaseMs: 500 } as const;
  const writer = new Writer(spec, 1);
  t.after(() => writer.kill());
  await writer.ready;
  await waitUntil(() => writer.acknowledged > 100, "it writes");
  freeze(writer.child.pid!);
  const next = storeAt(t, server.url());
  const { entries } = await next.open({ waitMs: Infinity, holder: "the new one" });
  const before = shown(entries);
  await next.write([put("mine", "1")]);
  thaw(writer.child.pid!);
  await waitUntil(() => writer.child.exitCode !== null, "it ends");
  await writer.ended;
  assert.equal(writer.child.exitCode, 3);
  assert.match(writer.stderr, /the new one took over the control store/);
  await next.close();
  assert.deepEqual(shown((await storeAt(t, server.url()).open()).entries), { ...before, "t/mine": "1" });
});

test("writers that are killed lose nothing that was acknowledged, in Redis either", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  await killWriters({ kind: "redis", url: server.url(), clusterId: "c1", leaseMs: 200 }, 8, 100);
});

test("two clusters in one Redis do not see each other", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  const [a, b] = ["a", "b"].map((clusterId) => storeAt(t, server.url("/3"), { clusterId }));
  await Promise.all([a!.open(), b!.open()]);
  await Promise.all([a!.write([put("x", "a")]), b!.write([put("x", "b")])]);
  await a!.close();
  assert.deepEqual(shown((await storeAt(t, server.url("/3"), { clusterId: "a" }).open()).entries), { "t/x": "a" });
});

test("data that is gone from under the leader, or older than what was acknowledged, ends it", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  const lost: string[] = [];
  const wiped = storeAt(t, server.url(), { clusterId: "wiped" });
  wiped.onLost = (error) => lost.push(error.reason!);
  await wiped.open();
  await wiped.write([put("a", "1")]);
  await server.command("FLUSHALL");
  await assert.rejects(wiped.write([put("b", "2")]), is("rolled-back"));

  const older = storeAt(t, server.url(), { clusterId: "older" });
  older.onLost = (error) => lost.push(error.reason!);
  await older.open();
  await older.write([put("a", "1")]);
  const fence = String(await server.command("GET", "mobula:{older}:fence"));
  await older.write([put("a", "2")]);
  await older.write([put("a", "3")]);
  await server.command("SET", "mobula:{older}:fence", fence);
  await assert.rejects(older.write([put("b", "2")]), is("rolled-back", /has 1 commits, and had acknowledged 3/));
  assert.deepEqual(lost, ["rolled-back", "rolled-back"]);

  await server.command("DEL", "mobula:{older}:fence");
  await assert.rejects(storeAt(t, server.url(), { clusterId: "older" }).open({ waitMs: 0 }), is("rolled-back"));
});

test("an answer that is lost on the way: the write is repeated, and done once", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  let cut = false;
  const sockets = new Set<net.Socket>();
  const proxy = net.createServer((client) => {
    const upstream = net.connect(server.port, "127.0.0.1");
    for (const socket of [client, upstream]) sockets.add(socket.on("error", () => undefined));
    client.pipe(upstream);
    upstream.on("data", (chunk) => {
      if (!cut) return void client.write(chunk);
      cut = false;
      client.destroy();
      upstream.destroy();
    });
    client.on("close", () => upstream.destroy());
  });
  const port = await freePort();
  await new Promise<void>((resolve) => proxy.listen(port, "127.0.0.1", resolve));
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
  });
  const store = storeAt(t, `redis://127.0.0.1:${port}`);
  await store.open();
  for (let i = 1; i <= 10; i++) {
    cut = true;
    await store.write([put("n", String(i))]);
  }
  assert.match(String(await server.command("GET", "mobula:{c1}:fence")), /^1 \S+ 10$/);
});

test("a Redis that never comes back: the store is lost when its patience is over, and opening fails at once", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  const store = storeAt(t, server.url(), { patienceMs: 400 });
  await store.open();
  const lost: ControlStoreError[] = [];
  store.onLost = (error) => lost.push(error);
  await server.kill();
  await assert.rejects(store.write([put("a", "1")]), is("unreachable"));
  assert.equal(lost.length, 1);
  const idle = storeAt(t, server.url());
  await assert.rejects(idle.open(), is("unreachable", /ECONNREFUSED.*Start Redis, or correct the URL/));
});

test("a Redis that is frozen does not hang opening for ever", { skip }, async (t) => {
  const server = await RedisServer.start(t);
  freeze(server.pid);
  t.after(() => server.kill());
  const startedAt = performance.now();
  await assert.rejects(storeAt(t, server.url()).open(), is("unreachable", /no answer within/));
  assert.ok(performance.now() - startedAt < 8000);
});

test("a wrong password is refused, and no message shows the right or the wrong one", { skip }, async (t) => {
  const server = await RedisServer.start(t, ["--requirepass", "s3cr3t/word", "--appendonly", "no"]);
  const folder = freshFolder(t);
  fs.writeFileSync(path.join(folder, "password"), "s3cr3t/word\n");
  const right = storeAt(t, `redis://:s3cr3t%2Fword@127.0.0.1:${server.port}`);
  const { warnings } = await right.open();
  assert.match(warnings.join(), /appendonly no/);
  await right.close();
  await storeAt(t, `redis://127.0.0.1:${server.port}?passwordFile=${path.join(folder, "password")}`).open();
  for (const url of [server.url(), `redis://:wr0ng@127.0.0.1:${server.port}`, `redis://me:wr0ng@127.0.0.1:${server.port}`]) {
    await assert.rejects(storeAt(t, url).open({ waitMs: 60_000 }), (error: unknown) => {
      assert.ok(is("refused", /Correct user and password/)(error), String(error));
      assert.doesNotMatch(JSON.stringify(error) + (error as Error).stack, /s3cr3t|wr0ng/);
      return true;
    });
  }
});

test("a server that repeats a password in its error does not bring it into a message", async (t) => {
  const server = net.createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (data) => socket.write(`-ERR unknown command, with args: ${data.toString().replaceAll("\r\n", " ")}\r\n`));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  const { port } = server.address() as net.AddressInfo;
  const store = storeAt(t, `redis://u:hunter2@127.0.0.1:${port}`);
  await assert.rejects(
    store.open(),
    (error: unknown) => /\*\*\*/.test(String(error)) && !/hunter2/.test(`${(error as Error).stack}${store.place}`),
  );
});

test("with sentinels: the master dies, a replica becomes the master, and the leader goes on with everything", { skip }, async (t) => {
  const settings = ["--appendonly", "yes", "--appendfsync", "always", "--save", "", "--repl-diskless-sync-delay", "0"];
  const master = await RedisServer.start(t, settings);
  const replica = await RedisServer.start(t, [...settings, "--replicaof", "127.0.0.1", String(master.port)]);
  const sentinel = await RedisServer.sentinel(t, master);
  await waitUntil(async () => /slave0:.*state=online/.test(String(await master.command("INFO", "replication"))), "the replica follows");
  await waitUntil(async () => /slaves=1/.test(String(await sentinel.command("INFO", "sentinel"))), "the sentinel knows it", {
    timeoutMs: 20_000,
  });
  const store = storeAt(t, `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`);
  await store.open();
  const writes = writing(store);
  await waitUntil(() => writes.acknowledged > 100, "writes go on");
  const before = writes.acknowledged;
  await master.kill();
  // Nobody replicates what the new master gets until the old one is back, as its replica.
  // The sentinel closes its connections when it promotes it.
  const role = (): Promise<string> => replica.command("ROLE").then(String, String);
  await waitUntil(async () => (await role()).startsWith("master"), "it becomes the master", { timeoutMs: 30_000 });
  await master.start();
  await waitUntil(() => writes.acknowledged > before + 20, "writes go on", { timeoutMs: 30_000 });
  await writes.stop();
  await store.close();
  const { entries } = await storeAt(t, `redis+sentinel://127.0.0.1:${sentinel.port}/mymaster`).open({ waitMs: 5000 });
  checkEntries(entries, writes.acknowledged);
});

test("in a Redis Cluster all keys of one mobula cluster are on one node, whichever is asked first", { skip }, async (t) => {
  const nodes = await Promise.all(
    [0, 1, 2].map(() => RedisServer.start(t, ["--cluster-enabled", "yes", "--appendonly", "yes", "--appendfsync", "always"])),
  );
  const ranges = [
    [0, 5460],
    [5461, 10_922],
    [10_923, 16_383],
  ] as const;
  for (const [i, node] of nodes.entries()) {
    await node.command("CLUSTER", "ADDSLOTSRANGE", String(ranges[i]![0]), String(ranges[i]![1]));
    await node.command("CLUSTER", "SET-CONFIG-EPOCH", String(i + 1));
    if (i > 0) await node.command("CLUSTER", "MEET", "127.0.0.1", String(nodes[0]!.port));
  }
  for (const node of nodes) {
    await waitUntil(async () => /cluster_state:ok/.test(String(await node.command("CLUSTER", "INFO"))), "the cluster is whole", {
      timeoutMs: 30_000,
    });
    await waitUntil(async () => ((await node.command("CLUSTER", "SLOTS")) as unknown[]).length === 3, "and known", { timeoutMs: 30_000 });
  }
  const hosts = nodes.map(({ port }) => `127.0.0.1:${port}`);
  for (const [i, clusterId] of ["one", "two", "three", "four"].entries()) {
    const url = `redis+cluster://${hosts[i % 3]},${hosts[(i + 1) % 3]}?replicas=0`;
    const store = storeAt(t, url, { clusterId });
    await store.open();
    await store.write([put("a", clusterId), { table: "kv", key: "b", value: bytes("2") }]);
    await store.close();
    const again = await storeAt(t, `redis+cluster://${hosts[(i + 2) % 3]}?replicas=0`, { clusterId }).open();
    assert.deepEqual(shown(again.entries), { "kv/b": "2", "t/a": clusterId });
  }
  const alone = storeAt(t, `redis+cluster://${hosts[0]}`, { clusterId: "five" });
  await assert.rejects(alone.open(), is("unreachable", /0 of 1 replicas have the write/));
});

const noTls = skip ?? (spawnSync("openssl", ["version"]).status === 0 ? undefined : "there is no openssl to make certificates with");

test("with TLS: the server's certificate is checked, and its own authority can be named", { skip: noTls }, async (t) => {
  const folder = freshFolder(t);
  const at = (name: string): string => path.join(folder, name);
  const openssl = (...words: string[]): void => assert.equal(spawnSync("openssl", words, { cwd: folder }).status, 0, words.join(" "));
  openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test-ca");
  openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "redis.key", "-out", "redis.csr", "-subj", "/CN=localhost");
  fs.writeFileSync(at("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
  const signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
  openssl("x509", "-req", "-in", "redis.csr", "-out", "redis.pem", ...signing);
  const tlsPort = await freePort();
  const files = ["--tls-cert-file", at("redis.pem"), "--tls-key-file", at("redis.key"), "--tls-ca-cert-file", at("ca.pem")];
  await RedisServer.start(t, ["--tls-port", String(tlsPort), ...files, "--tls-auth-clients", "optional"]);
  const url = `rediss://localhost:${tlsPort}`;
  await assert.rejects(storeAt(t, url).open({ waitMs: 60_000 }), is("refused", /certificate.*\?ca=FILE/));
  const store = storeAt(t, `${url}?ca=${at("ca.pem")}`);
  await store.open();
  await store.write([put("a", "1")]);
  await store.close();
  const mutual = storeAt(t, `${url}?ca=${at("ca.pem")}&cert=${at("redis.pem")}&key=${at("redis.key")}`);
  assert.deepEqual(shown((await mutual.open()).entries), { "t/a": "1" });
  await assert.rejects(storeAt(t, `redis://localhost:${tlsPort}`).open(), ControlStoreError);
});
