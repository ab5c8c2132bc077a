/**
 * Every message of the protocol, at every port of a cluster, from everybody who may not send it: before a handshake, instead of its
 * answer, with a wrong token, with the token of another cluster, and from a proven peer in a role or for a purpose that is not the
 * message's. The messages and who may send them are read from the definitions; each is refused, and the refusals are counted.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { after, before, test } from "node:test";
import { ClusterControl } from "../../src/core/control/cluster-control.ts";
import type { NodePrefix, ProcessId } from "../../src/protocol/ids.ts";
import { definitions, isToProcess } from "../../src/protocol/messages.ts";
import { MalformedMessage } from "../../src/protocol/schema.ts";
import { codeOf } from "../../src/protocol/wire.ts";
import { bindingOf } from "../../src/runtime/network/frames.ts";
import { encodeFrame, encodeHello, FRAME, FrameReader, newNonce, proofOf, roles } from "../../src/runtime/network/handshake.ts";
import { dial, Secret, tokenCredential } from "../../src/runtime/network/index.ts";
import type { Credential } from "../../src/runtime/network/index.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import {
  all,
  bodies,
  closePorts,
  CLUSTER,
  direct,
  frameOf,
  names,
  NODE,
  openMember,
  openPorts,
  ports,
  token,
  WORKER,
} from "./cluster-ports.ts";
import type { Port } from "./cluster-ports.ts";
import { exampleOf } from "./examples.ts";

leakChecked();

before(() => openPorts(false));
after(() => closePorts());

/** Resolves when the other side has ended it. */
async function ended(socket: Socket): Promise<void> {
  socket.on("error", () => {}).resume();
  if (!socket.closed) await once(socket, "close");
}

/** As many at a time as a port takes strangers without sending any away. */
async function each<T>(items: readonly T[], one: (item: T) => Promise<void>): Promise<number> {
  for (let at = 0; at < items.length; at += 60) await Promise.all(items.slice(at, at + 60).map(one));
  return items.length;
}

/** Goes through the handshake by hand with this credential, and says `then` as soon as it has said its last word of it. */
async function proves(port: Port, credential: Credential, clusterId: string, then: Buffer): Promise<void> {
  const socket = connect(port.port, "127.0.0.1");
  const { role, id, purpose } = port.callers[0]!;
  const hello = encodeHello({ role, id, incarnation: 1, clusterId, credential: credential.name, purpose, nonce: newNonce() });
  socket.write(encodeFrame(FRAME.hello, hello));
  const reader = new FrameReader(FRAME.challenge, FRAME.refusal);
  socket.on("data", (chunk: Buffer) => {
    const frame = reader.missing > 0 ? (reader.add(chunk.subarray(0, reader.missing)) ?? reader.add(chunk.subarray(11))) : undefined;
    if (frame?.kind !== FRAME.challenge) return;
    const proof = proofOf("dialler", credential.secret, { hello, challenge: Buffer.from(frame.body), binding: bindingOf(socket) });
    socket.removeAllListeners("data");
    socket.write(Buffer.concat([encodeFrame(FRAME.answer, proof), then]));
  });
  await ended(socket);
}

async function says(port: Port, ...bytes: Buffer[]): Promise<void> {
  const socket = connect(port.port, "127.0.0.1");
  socket.write(Buffer.concat(bytes));
  await ended(socket);
}

const other = Secret.random();
const strangers: Record<string, (port: Port, message: Buffer) => Promise<void>> = {
  "before any handshake": (port, message) => says(port, message),
  "instead of the answer": (port, message) => {
    const { role, id, purpose } = port.callers[0]!;
    const hello = { role, id, incarnation: 1, clusterId: CLUSTER, credential: port.right.name, purpose, nonce: newNonce() };
    return says(port, encodeFrame(FRAME.hello, encodeHello(hello)), message);
  },
  "with a wrong token": (port, message) => proves(port, { name: port.right.name, secret: other }, CLUSTER, message),
  "with the token of another cluster": (port, message) => proves(port, tokenCredential(other), "c2", message),
  "with a secret that opens another port": (port, message) => {
    const elsewhere = ports.find(({ right }) => right.name !== port.right.name)!;
    return proves(port, { name: port.right.name, secret: elsewhere.right.secret }, CLUSTER, message);
  },
};

for (const [how, knock] of Object.entries(strangers)) {
  test(`${how}: every message at every port is refused`, { timeout: 60_000 }, async () => {
    let refused = 0;
    for (const port of ports) refused += await each(all, (message) => knock(port, message));
    assert.equal(refused, ports.length * (names.length + direct.size));
    for (const { name, acted } of ports) assert.deepEqual(acted, [], `the ${name} did something`);
  });
}

test("of all that was refused ten lines a minute are logged, without a secret", () => {
  for (const { lines, right } of ports) {
    assert.ok(lines.length >= 10 && lines.length <= 22, `${lines.length} lines`);
    assert.ok(!lines.some((line) => [right.secret, other, token].some((secret) => line.includes(secret.expose()))));
    assert.ok(lines.every((line) => line.includes("was refused") || line.includes("were refused")));
  }
});

/** Proven, and cut off for what it says. Resolves to false when it is not. */
async function cutOff(port: Port, as: Omit<Port["callers"][number], "first">, said: readonly Buffer[]): Promise<boolean> {
  const { role, id, purpose } = as;
  const self = { role, id, incarnation: 1 };
  const { socket } = await dial({ host: "127.0.0.1", port: port.port, credentials: port.right, self, purpose });
  const before_ = port.acted.length;
  const over = ended(socket).then(() => true);
  socket.write(Buffer.concat(said));
  const heard = waitUntil(() => port.acted.length > before_ || socket.destroyed, "it is heard or refused").then(() => false);
  const cut = await Promise.race([over, heard]);
  socket.destroy();
  await over;
  return cut && port.acted.length === before_;
}

test("a proven peer is heard for the messages of its role, and cut off for every other", { timeout: 60_000 }, async () => {
  for (const port of ports) {
    let [refused, heard] = [0, 0];
    for (const caller of port.callers) {
      for (const name of names) {
        const { from, to } = definitions[name];
        const mayBe = from === caller.role && to === port.name && name !== "directHello";
        port.acted.length = 0;
        assert.equal(await cutOff(port, caller, [...caller.first(), frameOf(name)]), !mayBe, `${caller.role} says ${name} to ${port.name}`);
        if (mayBe) heard++;
        else refused++;
      }
    }
    const may = names.filter((name) => {
      const { from, to } = definitions[name];
      return to === port.name && port.callers.some(({ role }) => role === from) && name !== "directHello";
    });
    assert.deepEqual([heard, refused], [may.length, port.callers.length * names.length - may.length]);
  }
});

test("who has no business at a port, or says something before what is due, is cut off whatever it says", { timeout: 60_000 }, async () => {
  for (const port of ports) {
    port.acted.length = 0;
    const strange = roles.flatMap((role) => ["link", "owner", "bulk", "standby", "ask", "else"].map((purpose) => ({ role, purpose })));
    const wrong = strange.filter((as) => !port.callers.some(({ role, purpose }) => role === as.role && purpose === as.purpose));
    let refused = 0;
    for (const { role, purpose } of wrong) {
      refused += await each(names.slice(0, role === "client" ? names.length : 10), async (name) => {
        // A question is a line, and an error is the answer to what is none; bulk frames have a head of 32 bytes.
        const bytes = Buffer.concat([frameOf(name), Buffer.from("\n".padStart(32))]);
        assert.ok(
          await cutOff(port, { role, id: "bbbbbb000002", purpose }, [bytes]),
          `${role} says ${name} to ${port.name} for ${purpose}`,
        );
      });
    }
    assert.ok(refused > 6 * names.length);
    for (const caller of port.callers) {
      await each(
        names.filter((name) => name !== "directHello"),
        async (name) => assert.ok(await cutOff(port, caller, [frameOf(name)]), `${name} comes first`),
      );
    }
    assert.deepEqual(port.acted, []);
  }
});

test("a message inside a message is one that may be there", async (t) => {
  const acted: string[] = [];
  const member = await openMember(acted, []);
  t.after(() => member.close());
  const machine = new ClusterControl(
    { send: () => {}, fence: () => {}, probe: () => {}, keep: () => {}, chance: () => 0.5, clock: () => 0 },
    1,
  );
  const join = exampleOf(definitions.nodeJoin.shape);
  Object.assign(join["view"] as object, { nodeId: NODE, state: "alive" });
  machine.receive(NODE, "nodeJoin", join as never, 0);
  const from = "bbbbbb" as NodePrefix;
  const process = "bbbbbb800000" as ProcessId;
  const carriers = {
    toControl: (body: object) => machine.receive(NODE, "toControl", { ...body, from: WORKER } as never, 0),
    relay: (body: object) => member.router.receive(from, "relay", { ...body, from: process, to: undefined } as never),
    "relay to a process": (body: object) => member.router.receive(from, "relay", { ...body, from: WORKER, to: WORKER } as never),
    leaseForward: (body: object) => member.router.receive(from, "leaseForward", { from: process, hops: 1, ...body } as never),
    fromControl: (body: object) => member.control.receive("fromControl", { ...body, to: WORKER } as never),
    actorGive: (body: object) => member.control.receive("actorGive", { ...body, actorId: "x", to: WORKER } as never),
  };
  let refused = 0;
  for (const [carrier, carry] of Object.entries(carriers)) {
    let passed = 0;
    for (const name of names) {
      const { from: said, to } = definitions[name];
      const byProcess = to === "node" && (said === "owner" || said === "worker");
      const may = /process|from|Give/.test(carrier) ? isToProcess(name) : byProcess;
      acted.length = 0;
      try {
        carry({ code: codeOf(name), body: bodies.get(name)! });
        passed++;
        assert.ok(may, `${carrier} carried ${name}`);
      } catch (error) {
        if (!(error instanceof MalformedMessage)) throw error;
        assert.deepEqual(acted, []);
        refused++;
      }
    }
    assert.ok(passed > 0, `${carrier} carries nothing`);
  }
  assert.ok(refused > Object.keys(carriers).length * 60);
});
