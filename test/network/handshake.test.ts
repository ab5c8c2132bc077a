/** The handshake over real sockets: who may connect, and what each wrong case is told. */
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import http from "node:http";
import { test } from "node:test";
import { inspect } from "node:util";
import { InvalidOptionError } from "../../src/errors/index.ts";
import { encodeFrame, FRAME, FrameReader } from "../../src/runtime/network/handshake.ts";
import { listen, parseAddress, Secret, ticketCredential, tokenCredential } from "../../src/runtime/network/index.ts";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { because, call, port, strangePort, token } from "./ports.ts";

leakChecked();

test("both sides learn who the other is, and what follows the handshake is not lost", async (t) => {
  const { listener, met } = await port(t, {
    onConnection: (connection) => {
      met.push(connection);
      connection.socket.write("first words of the listener");
    },
  });
  const { socket, peer, secure } = await call(t, listener.port, { expect: { clusterId: "c1", role: "node", id: "n1" } });
  assert.deepEqual(peer, { role: "node", id: "n1", incarnation: 7, clusterId: "c1", credential: "cluster", purpose: "test" });
  assert.equal(secure, false);
  // What was sent before anybody listened is still there.
  await waitUntil(() => socket.readableLength > 0, "the first words are in the socket");
  const heard = new Promise<string>((resolve) => socket.once("data", (data: Buffer) => resolve(data.toString())));
  assert.equal(await heard, "first words of the listener");
  assert.deepEqual(met[0]!.peer, { role: "node", id: "n2", incarnation: 3, clusterId: "c1", credential: "cluster", purpose: "test" });
  assert.deepEqual(listener.statistics(), { pending: 0, connections: 1, accepted: 1, refused: 0 });
  socket.destroy();
  await waitUntil(() => listener.statistics().connections === 0, "its end is noticed");
});

test("a connection of messages stands on the socket, and one that broke before is told", async (t) => {
  const names: string[] = [];
  const closed: string[] = [];
  const { listener, met } = await port(t, {
    onConnection: (connection) => {
      met.push(connection);
      new Connection(connection.socket, {
        message: (name) => void names.push(name),
        closed: () => void closed.push("listener"),
      });
    },
  });
  const { socket } = await call(t, listener.port);
  const connection = new Connection(socket, { message: () => {}, closed: () => void closed.push("dialler") });
  for (let i = 0; i < 100; i++) connection.send("collectGarbage", {});
  await waitUntil(() => names.length === 100, "all have come");
  const early = await call(t, listener.port);
  met[1]!.socket.destroy();
  early.socket.destroy();
  await waitUntil(() => early.socket.closed, "it is closed");
  new Connection(early.socket, { message: () => {}, closed: () => void closed.push("early") });
  await waitUntil(() => closed.includes("early"), "a connection on a closed socket says that it is closed");
});

test("a wrong token is refused on both sides, and neither shows it", async (t) => {
  const { listener, lines, met } = await port(t);
  const wrong = new Secret("not-the-token-at-all");
  await assert.rejects(call(t, listener.port, { credentials: tokenCredential(wrong) }), (error) => {
    assert.ok(!inspect(error, { depth: 9 }).includes("not-the-token"));
    return because("token", "MOBULA_TOKEN", "the token is not the one")(error);
  });
  assert.equal(met.length, 0);
  await waitUntil(() => lines.length === 1, "it is logged");
  assert.match(lines[0]!, /was refused: its token is wrong/);
});

test("a listener that does not know the token is not believed", async (t) => {
  const unproven = await strangePort(t, (socket) => {
    const reader = new FrameReader(FRAME.hello, FRAME.answer);
    let step = 0;
    socket.on("data", (data: Buffer) => {
      reader.add(data.subarray(0, Math.min(data.length, reader.missing)));
      // It plays back the dialler's own hello as its challenge, then its proof as a proof.
      if (step++ === 0) socket.write(encodeFrame(FRAME.challenge, challengeLike()));
      else socket.write(encodeFrame(FRAME.welcome, data.subarray(data.length - 32)));
    });
  });
  await assert.rejects(call(t, unproven), because("token", "does not know the token"));
});

function challengeLike(): Buffer {
  const self = Buffer.alloc(9);
  self.writeDoubleLE(1, 1);
  return Buffer.concat([self, Buffer.from("\x02n1"), Buffer.from("\x02c1"), Buffer.alloc(32)]);
}

test("another cluster is refused, and both are named", async (t) => {
  const { listener } = await port(t);
  await assert.rejects(call(t, listener.port, { expect: { clusterId: "c2" } }), because("cluster", "is c1, not c2"));
});

test("another peer than the expected one is refused, and both are named", async (t) => {
  const { listener } = await port(t);
  await assert.rejects(call(t, listener.port, { expect: { role: "control" } }), because("peer", "node n1 answers there, not control n1"));
  await assert.rejects(call(t, listener.port, { expect: { id: "n9" } }), because("peer", "node n1 answers there, not node n9"));
});

test("another protocol version is refused on both sides, and both versions are named", async (t) => {
  const other = await strangePort(t, (socket) => socket.end(encodeFrame(FRAME.refusal, Buffer.from([1, 0]), 9)));
  await assert.rejects(call(t, other), because("version", "version 9", "version 1", "same version of mobula"));
  const { listener, lines } = await port(t);
  const socket = connect(listener.port, "127.0.0.1");
  const answer = new Promise<Buffer>((resolve) => socket.once("data", resolve));
  socket.write(encodeFrame(FRAME.hello, Buffer.alloc(60), 9));
  // The start of a frame is the same in every version, so that the other side can say which it met.
  assert.deepEqual([...(await answer).subarray(0, 9)], [...Buffer.from("mobula"), 1, 0, FRAME.refusal]);
  await waitUntil(() => lines.some((line) => /version 9/.test(line)), "the version is logged");
});

test("a port of something else is told from one of mobula", async (t) => {
  const web = http.createServer((_request, response) => void response.end("hello"));
  await new Promise<void>((resolve) => web.listen(0, "127.0.0.1", resolve));
  t.after(() => void web.close());
  await assert.rejects(call(t, (web.address() as AddressInfo).port), because("garbage", "not mobula but a web server"));
  const ssh = await strangePort(t, (socket) => socket.write("SSH-2.0-OpenSSH_9.2\r\n"));
  await assert.rejects(call(t, ssh), because("garbage", "SSH"));
  const noise = await strangePort(t, (socket) => socket.write("m\0\0\0"));
  await assert.rejects(call(t, noise), because("garbage", "not mobula"));
  const closing = await strangePort(t, (socket) => socket.end());
  await assert.rejects(call(t, closing), because("closed", "closed the connection during the handshake"));
  const resetting = await strangePort(t, (socket) => socket.resetAndDestroy());
  await assert.rejects(call(t, resetting), because("closed"));
});

test("a port that nobody listens on, one that does not answer, and a name that is none are told apart", async (t) => {
  const unused = createServer();
  await new Promise<void>((resolve) => unused.listen(0, "127.0.0.1", resolve));
  const { port: free } = unused.address() as AddressInfo;
  await new Promise((resolve) => unused.close(resolve));
  await assert.rejects(call(t, free), because("refused", "nothing listens there", "mobula start"));
  const silent = await strangePort(t, () => {});
  await assert.rejects(call(t, silent, { timeoutMs: 100 }), because("timeout", "within 100 ms"));
  await assert.rejects(call(t, 1, { host: "no-such-host.invalid" }), because("unreachable", "no host has this name|nobody answer"));
});

test("a dial that is given up ends at once, with the reason", async (t) => {
  const silent = await strangePort(t, () => {});
  const giveUp = new AbortController();
  const dialled = call(t, silent, { signal: giveUp.signal });
  giveUp.abort(new Error("enough"));
  await assert.rejects(dialled, /enough/);
  await assert.rejects(call(t, silent, { signal: giveUp.signal }), /enough/);
});

test("a stranger who says nothing, or too little, is cut off in time", async (t) => {
  const { listener, lines } = await port(t, { timeoutMs: 100 });
  const silent = connect(listener.port, "127.0.0.1");
  const slow = connect(listener.port, "127.0.0.1");
  slow.write("mob");
  for (const socket of [silent, slow]) socket.on("error", () => {});
  await waitUntil(() => silent.destroyed && slow.destroyed, "both are cut off");
  assert.equal(lines.filter((line) => /within 100 ms/.test(line)).length, 2);
  assert.equal(listener.statistics().pending, 0);
});

test("the first wrong byte ends the connection, and no more than some lines are logged", async (t) => {
  const { listener, lines } = await port(t);
  for (const start of ["G", "mobulb", "mobula\x01\x00\x03", "mobula\x01\x00\x01\xff\xff", "mobula\x01\x00\x01\x00\x00"]) {
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    socket.write(Buffer.from(start, "latin1"));
    await waitUntil(() => socket.destroyed, `${JSON.stringify(start)} is refused`);
  }
  for (let i = 0; i < 30; i++) {
    const socket = connect(listener.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.resume();
    socket.write("GET / HTTP/1.1\r\n\r\n");
  }
  await waitUntil(() => listener.statistics().refused === 35, "all are refused");
  assert.equal(lines.length, 10);
  await call(t, listener.port);
});

test("one who goes on before being welcome is refused", async (t) => {
  const { listener, lines } = await port(t);
  const through = await strangePort(t, (socket) => {
    const up = connect(listener.port, "127.0.0.1");
    up.on("error", () => {});
    let chunks = 0;
    socket.on("data", (data: Buffer) => {
      chunks++;
      up.write(chunks === 2 ? Buffer.concat([data, Buffer.from("early")]) : data);
    });
    up.on("data", (data) => socket.write(data));
    up.on("close", () => socket.destroy());
    socket.on("close", () => up.destroy());
  });
  await assert.rejects(call(t, through), because("closed"));
  await waitUntil(() => lines.some((line) => /before it was welcome/.test(line)), "it is logged");
});

test("a recorded handshake is worth nothing", async (t) => {
  const { listener, lines, met } = await port(t);
  const recorded: Buffer[] = [];
  const through = await strangePort(t, (socket) => {
    const up = connect(listener.port, "127.0.0.1");
    socket.on("data", (data: Buffer) => void (recorded.push(data), up.write(data)));
    up.on("data", (data) => socket.write(data));
    socket.on("close", () => up.destroy());
    up.on("close", () => socket.destroy());
    up.on("error", () => {});
  });
  await call(t, through);
  assert.equal(met.length, 1);
  const replay = connect(listener.port, "127.0.0.1");
  replay.on("error", () => {});
  replay.write(recorded[0]!);
  replay.once("data", () => replay.write(recorded[1]!));
  await waitUntil(() => lines.some((line) => /its token is wrong/.test(line)), "the replay is refused");
  assert.equal(met.length, 1);
});

test("when strangers crowd the port the oldest go, and whoever has the token comes in", async (t) => {
  const { listener } = await port(t, { maxPending: 8 });
  const strangers = Array.from({ length: 40 }, () => connect(listener.port, "127.0.0.1"));
  for (const socket of strangers) socket.on("error", () => {}).resume();
  await waitUntil(() => listener.statistics().refused >= 32, "no more than eight are kept");
  assert.ok(listener.statistics().pending <= 8);
  await call(t, listener.port);
  for (const socket of strangers) socket.destroy();
});

test("above the limit of connections new ones are told so", async (t) => {
  const { listener } = await port(t, { maxConnections: 1 });
  await call(t, listener.port);
  await assert.rejects(call(t, listener.port), because("busy", "too many connections"));
});

test("a ticket opens its worker and nothing else", async (t) => {
  const ticket = Secret.random();
  const other = Secret.random();
  const worker = await port(t, { credentials: ticketCredential(ticket, "w1"), self: { role: "worker", id: "w1", incarnation: 0 } });
  const { peer } = await call(t, worker.listener.port, { credentials: ticketCredential(ticket, "w1") });
  assert.equal(peer.credential, "worker:w1");
  // The token itself, another worker's ticket and its own name are refused.
  await assert.rejects(call(t, worker.listener.port), because("token"));
  await assert.rejects(call(t, worker.listener.port, { credentials: ticketCredential(other, "w2") }), because("token"));
  await assert.rejects(call(t, worker.listener.port, { credentials: ticketCredential(other, "w1") }), because("token"));
  const { listener } = await port(t);
  await assert.rejects(call(t, listener.port, { credentials: ticketCredential(ticket, "w1") }), because("token"));
  await assert.rejects(call(t, listener.port, { credentials: tokenCredential(ticket) }), because("token"));
});

test("a port can accept several credentials by name", async (t) => {
  const jobs = new Map([["job:1", Secret.random()]]);
  const { listener, met } = await port(t, { credentials: (name) => (name === "cluster" ? token : jobs.get(name)) });
  const credentials = { name: "job:1", secret: jobs.get("job:1")! };
  await call(t, listener.port, { credentials, self: { role: "client", id: "j", incarnation: 0 } });
  assert.equal(met[0]!.peer.credential, "job:1");
  jobs.delete("job:1");
  await assert.rejects(call(t, listener.port, { credentials }), because("token"));
});

test("a host that others reach is refused without TLS, unless the danger is named", async (t) => {
  const refused = (error: unknown): boolean =>
    error instanceof InvalidOptionError &&
    error.option === "host" &&
    /mobula ca create/.test(error.message) &&
    /--insecure-no-tls/.test(error.message);
  for (const host of ["0.0.0.0", "::", "10.1.2.3"]) await assert.rejects(port(t, { host }), refused);
  for (const host of ["localhost", "127.0.0.2"]) await port(t, { host });
  const { listener } = await port(t, { host: "0.0.0.0", insecure: true });
  await call(t, listener.port);
});

test("a port that is in use, and an address that is not of this machine, are refused in one line", async (t) => {
  const { listener } = await port(t);
  await assert.rejects(port(t, { port: listener.port }), (error) => {
    assert.ok(error instanceof InvalidOptionError);
    assert.match(error.message, /^Cannot listen on 127\.0\.0\.1:\d+: the port is in use\. Choose another by --port/);
    return error.option === "port";
  });
  await assert.rejects(
    port(t, { host: "192.0.2.1", insecure: true }),
    (error) => error instanceof InvalidOptionError && error.option === "host",
  );
  listener.close();
  // The port is free at once.
  await (
    await port(t, { port: listener.port })
  ).listener;
});

test("addresses are read as users write them", () => {
  assert.deepEqual(parseAddress("10.0.0.5:6380"), { host: "10.0.0.5", port: 6380 });
  assert.deepEqual(parseAddress("[::1]:1"), { host: "::1", port: 1 });
  assert.deepEqual(parseAddress("head.example:65535"), { host: "head.example", port: 65_535 });
  for (const wrong of ["", "head", "head:", "head:0", "head:65536", "::1:6380", "[head]:1", "a b:1", "http://head:1", "head:1x"]) {
    assert.throws(
      () => parseAddress(wrong, "--address"),
      (error) => error instanceof InvalidOptionError && error.option === "--address",
      wrong,
    );
  }
});

test("a listener needs a usable identity", async () => {
  const onConnection = (): void => {};
  const common = { host: "127.0.0.1", port: 0, credentials: tokenCredential(token), onConnection };
  const bad = { ...common, clusterId: "c 1", self: { role: "node", id: "n", incarnation: 0 } } as const;
  await assert.rejects(listen(bad), /cannot stand in a handshake/);
});
