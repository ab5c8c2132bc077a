/** Links over real sockets: bad ways between, peers that start anew, idle and bounded connections. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import type { LinkEnd } from "../../src/core/link/sender.ts";
import { LinkHub, listen, tokenCredential, Secret } from "../../src/runtime/network/index.ts";
import type { HubOptions, Listener } from "../../src/runtime/network/index.ts";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { Rng } from "../../sim/rng.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { chaosProxy } from "./chaos-proxy.ts";
import { call, token } from "./ports.ts";

leakChecked();

interface Member {
  readonly hub: LinkHub;
  readonly listener: Listener;
  readonly address: { host: string; port: number };
  /** What came from each, as numbers. */
  readonly got: Record<string, number[]>;
  readonly seen: string[];
  readonly ends: LinkEnd[];
}

const OUT = { stream: "stdout", pid: 1 } as const;
const HOST = "127.0.0.1";

/** A process with links, on a port of its own. Messages are lines whose first is a number; the rest is only long. */
async function member(t: TestContext, id: string, options: Partial<HubOptions> = {}, incarnation = 1): Promise<Member> {
  const got: Record<string, number[]> = {};
  const seen: string[] = [];
  const ends: LinkEnd[] = [];
  const self = { role: "node", id, incarnation } as const;
  const credentials = tokenCredential(token);
  const hub = new LinkHub({
    self,
    clusterId: "c1",
    credentials,
    limits: { backoffMinMs: 2, backoffMaxMs: 20 },
    onMessage: (from, _name, body) => void (got[from.id] ??= []).push(Number((body as { lines: string[] }).lines[0])),
    onPeerRestarted: (peer, number, again) => void seen.push(`${peer} is now ${number}: ${again} again`),
    onSenderRestarted: (from) => void seen.push(`from ${from.id} ${from.incarnation}`),
    onEnded: (_peer, reason) => void ends.push(reason),
    ...options,
  });
  const onConnection = hub.accept.bind(hub);
  const listener = await listen({ host: HOST, port: 0, credentials, clusterId: "c1", self, onConnection });
  t.after(() => {
    listener.close();
    hub.close();
  });
  return { hub, listener, address: { host: HOST, port: listener.port }, got, seen, ends };
}

const say = (n: number, size = 0) => ({ ...OUT, name: "n", lines: [String(n), "x".repeat(size)] });
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test("both directions at once, each over the connection of its sender", async (t) => {
  const [a, b] = [await member(t, "a"), await member(t, "b")];
  for (let i = 0; i < 1000; i++) {
    a.hub.link("b", b.address).send("log", say(i));
    b.hub.link("a", a.address).send("log", say(i));
  }
  await waitUntil(() => b.got["a"]?.length === 1000 && a.got["b"]?.length === 1000, "all have come");
  assert.deepEqual(b.got["a"], upTo(1000));
  assert.deepEqual(a.got["b"], upTo(1000));
  await waitUntil(() => a.hub.statistics().links["b"]!.keptMessages === 0, "all are acknowledged");
  assert.equal(a.hub.statistics().connections, 1);
  assert.equal(a.listener.statistics().accepted, 1);
});

test("everything arrives in order and once through a way that cuts, stalls, splits, delays and repeats connections", async (t) => {
  const count = 3000;
  // A connection on which nothing moves is to be given up within the time of a test.
  const limits = { silenceMs: 300, backoffMinMs: 2, backoffMaxMs: 20 };
  const [a, b] = [await member(t, "a", { limits }), await member(t, "b", { limits })];
  const rng = new Rng("chaos");
  const toB = await chaosProxy(t, rng.fork("b"), b.listener.port);
  const toA = await chaosProxy(t, rng.fork("a"), a.listener.port);
  const linkToB = a.hub.link("b", { host: HOST, port: toB.port });
  const linkToA = b.hub.link("a", { host: HOST, port: toA.port });
  for (let i = 0; i < count; i++) {
    assert.ok(linkToB.send("log", say(i, rng.chance(0.02) ? 50_000 : rng.int(0, 300))));
    assert.ok(linkToA.send("log", say(i, rng.int(0, 300))));
    if (i % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
    if (i === count - 100) for (const proxy of [toA, toB]) proxy.calm();
  }
  const story = (): string => JSON.stringify([a.hub.statistics(), b.hub.statistics(), toA.done, toB.done]);
  await waitUntil(() => (b.got["a"]?.length ?? 0) >= count && (a.got["b"]?.length ?? 0) >= count, "all have come", {
    timeoutMs: 60_000,
    story,
  });
  await waitUntil(() => linkToB.statistics().keptMessages === 0 && linkToA.statistics().keptMessages === 0, "all are acknowledged", {
    story,
  });
  assert.deepEqual(b.got["a"], upTo(count));
  assert.deepEqual(a.got["b"], upTo(count));
  assert.ok(toB.done.cut + toA.done.cut >= 5 && toB.done.replayed + toA.done.replayed >= 1, story());
});

test("a peer that is started anew gets what was not acknowledged, and what is acknowledged stays so", async (t) => {
  const a = await member(t, "a");
  const first = await member(t, "b", { byHand: true }, 1);
  const link = a.hub.link("b", first.address);
  for (let i = 0; i < 10; i++) link.send("log", say(i));
  await waitUntil(() => first.got["a"]?.length === 10, "all have come");
  first.hub.acknowledge("a", 1, 4);
  await waitUntil(() => link.statistics().keptMessages === 6, "four need not be kept");
  first.listener.close();
  first.hub.close();
  const second = await member(t, "b", { byHand: true }, 2);
  link.send("log", say(10));
  link.moveTo(second.address);
  await waitUntil(() => second.got["a"]?.length === 7, "the new one has what the old one had not made sure of");
  assert.deepEqual(second.got["a"], [4, 5, 6, 7, 8, 9, 10]);
  assert.deepEqual(a.seen, ["b is now 2: 7 again"]);
  second.hub.acknowledge("a", 1, 11);
  await waitUntil(() => link.statistics().keptMessages === 0, "all is acknowledged");
});

test("a sender that is started anew replaces the one before, whose messages are refused", async (t) => {
  const b = await member(t, "b");
  const old = await member(t, "a", {}, 1);
  old.hub.link("b", b.address).send("log", say(0));
  await waitUntil(() => b.got["a"]?.length === 1, "the first has come");
  const young = await member(t, "a", {}, 2);
  young.hub.link("b", b.address).send("log", say(1));
  await waitUntil(() => b.got["a"]?.length === 2, "the second has come");
  assert.deepEqual(b.seen, ["from a 2"]);
  old.hub.link("b", b.address).send("log", say(99));
  await waitUntil(() => old.ends.length === 1, "the old one is told");
  assert.deepEqual(old.ends, ["fenced"]);
  assert.equal(old.hub.link("b", b.address).send("log", say(99)), false);
  assert.deepEqual(b.got["a"], [0, 1]);
});

test("a peer that was given up is fenced until it starts anew", async (t) => {
  const [a, b] = [await member(t, "a"), await member(t, "b")];
  a.hub.link("b", b.address).send("log", say(0));
  await waitUntil(() => b.got["a"]?.length === 1, "it has come");
  b.hub.fence("a", 1);
  a.hub.link("b", b.address).send("log", say(1));
  await waitUntil(() => a.ends.length === 1, "it is told");
  assert.deepEqual([a.ends, b.got["a"]], [["fenced"], [0]]);
  const anew = await member(t, "a", {}, 2);
  anew.hub.link("b", b.address).send("log", say(2));
  await waitUntil(() => b.got["a"]?.length === 2, "the new one is heard");
});

test("a connection without traffic is closed, and opened again for the next message", async (t) => {
  const a = await member(t, "a", { limits: { idleMs: 50 } });
  const b = await member(t, "b");
  const link = a.hub.link("b", b.address);
  link.send("log", say(0));
  await waitUntil(() => link.statistics().state === "idle" && link.statistics().keptMessages === 0, "it is closed");
  assert.equal(a.hub.statistics().connections, 0);
  await waitUntil(() => b.listener.statistics().connections === 0, "on the other side too");
  link.send("log", say(1));
  await waitUntil(() => b.got["a"]?.length === 2, "it has come");
  assert.deepEqual(b.got["a"], [0, 1]);
  assert.equal(link.statistics().connections, 2);
});

test("no more connections than the limit are open, and every message arrives", async (t) => {
  const a = await member(t, "a", { maxConnections: 2 });
  const others = await Promise.all(["b", "c", "d", "e", "f"].map((id) => member(t, id)));
  let most = 0;
  for (let round = 0; round < 5; round++) {
    for (const [i, id] of ["b", "c", "d", "e", "f"].entries()) {
      a.hub.link(id, others[i]!.address).send("log", say(round));
    }
    await waitUntil(
      () => {
        most = Math.max(
          most,
          others.reduce((sum, { listener }) => sum + listener.statistics().connections, 0),
        );
        return others.every(({ got }) => got["a"]?.length === round + 1);
      },
      "all have come",
      { story: () => JSON.stringify(a.hub.statistics()) },
    );
  }
  for (const { got } of others) assert.deepEqual(got["a"], upTo(5));
  assert.ok(most <= 3, `${most} connections were open, one of them just being closed`);
});

test("a peer that cannot be reached is tried again with the reason told, and more than the limit is an end that is told", async (t) => {
  const troubles: string[] = [];
  const b = await member(t, "b");
  b.listener.close();
  const limits = { backoffMinMs: 2, backoffMaxMs: 10, bytes: 10_000 };
  const a = await member(t, "a", { limits, onTrouble: (_id, error) => void troubles.push((error as { reason?: string }).reason ?? "") });
  const link = a.hub.link("b", b.address);
  let taken = 0;
  while (link.send("log", say(taken, 100))) taken++;
  assert.ok(taken > 50 && taken < 100, `${taken} fit`);
  assert.deepEqual(a.ends, ["overflow"]);
  const other = a.hub.link("c", b.address);
  other.send("log", say(0));
  await waitUntil(() => troubles.length >= 3, "it was tried more than once");
  assert.ok(
    troubles.every((reason) => reason === "refused"),
    troubles.join(),
  );
});

test("a wrong token keeps a link from delivering, with the reason told", async (t) => {
  const b = await member(t, "b");
  const troubles: string[] = [];
  const credentials = tokenCredential(Secret.random());
  const a = await member(t, "a", {
    credentials,
    onTrouble: (_id, error) => void troubles.push((error as { reason?: string }).reason ?? ""),
  });
  a.hub.link("b", b.address).send("log", say(0));
  await waitUntil(() => troubles.length >= 2, "it was refused");
  assert.equal(troubles[0], "token");
  assert.equal(b.got["a"], undefined);
});

test("a peer with the token that breaks the rules of a link is cut off, and others go on", async (t) => {
  const b = await member(t, "b");
  const rude: ((connection: Connection) => void)[] = [
    (connection) => connection.send("log", say(0)),
    (connection) => void connection.buffer.fill(1, connection.begin(160, 16)),
    (connection) => void connection.begin(160, 3),
    (connection) => void connection.begin(161, 16),
    (connection) => void connection.buffer.fill(0, connection.begin(3, 400), 500),
    (connection) => void connection.begin(255, 1),
  ];
  for (const [i, act] of rude.entries()) {
    const { socket } = await call(t, b.listener.port, { purpose: "link", self: { role: "node", id: `rude${i}`, incarnation: 1 } });
    let closed = false;
    const connection = new Connection(socket, { message: () => {}, closed: () => void (closed = true) });
    act(connection);
    connection.flush();
    await waitUntil(() => closed, `number ${i} is cut off`);
  }
  const { socket } = await call(t, b.listener.port, { purpose: "link" });
  socket.write(Buffer.from("ffffffffffffffff", "hex"));
  await waitUntil(() => socket.closed || socket.destroyed || socket.readableEnded || !socket.writable, "garbage is cut off");
  const a = await member(t, "a");
  a.hub.link("b", b.address).send("log", say(0));
  await waitUntil(() => b.got["a"]?.length === 1, "an honest one is heard");
});

test("many links of one process come and go", async (t) => {
  const others = await Promise.all(Array.from({ length: 20 }, (_, i) => member(t, `m${i}`)));
  const a = await member(t, "a");
  for (let n = 0; n < 50; n++) for (const [i, { address }] of others.entries()) a.hub.link(`m${i}`, address).send("log", say(n));
  await waitUntil(() => others.every(({ got }) => got["a"]?.length === 50), "all have come");
  for (const [i] of others.entries()) a.hub.forget(`m${i}`);
  await waitUntil(() => others.every(({ listener }) => listener.statistics().connections === 0), "all are closed");
  assert.deepEqual(a.hub.statistics(), { connections: 0, links: {} });
});
