/**
 * Garbage from those who have the token, at all ports of a cluster: mutated messages on links to control and to a node, mutated questions,
 * frames of transfers, and pushes to a worker. Every connection ends or is still, nothing crashes, and memory stays flat. Behind the ports
 * are the real machines of control and of references. Inputs: FUZZ_INPUTS, or a tenth of a million; see fuzz.test.ts.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { dial } from "../../src/runtime/network/index.ts";
import { encodeHead, KIND } from "../../src/runtime/transfer/frames.ts";
import { Rng } from "../../sim/rng.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { bodies, closePorts, direct, frameOf, names, openPorts, ports } from "./cluster-ports.ts";
import type { Port } from "./cluster-ports.ts";
import { messageFrame, mutated } from "./mutations.ts";

leakChecked("at the end");
before(() => openPorts(true));
after(() => closePorts());

const inputs = Number(process.env["FUZZ_INPUTS"] ?? 100_000);
const seed = process.env["FUZZ_SEED"] ?? "fuzz";
const PER_CONNECTION = 20;
const MIB = 1024 * 1024;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Memory in use. What sockets had is let go of in later turns, and swept beside them. */
async function usedBytes(): Promise<number> {
  let least = Infinity;
  for (let i = 0; i < 5; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    least = Math.min(least, heapUsed + arrayBuffers);
  }
  return least;
}

type Caller = Omit<Port["callers"][number], "first"> & { readonly first: () => readonly Buffer[] };

/** Right messages with something wrong in them, or with a body of anything. */
const message = (rng: Rng): Buffer => {
  const right = rng.chance(0.6) ? frameOf(names[rng.int(0, names.length - 1)]!) : messageFrame(rng);
  if (rng.chance(0.1)) return mutated(rng, [...direct.values()][rng.int(0, direct.size - 1)]!);
  return rng.chance(0.3) ? right : mutated(rng, right);
};
const questions = ["status", "events", "drain", "workers", "health", "x"].map((kind) =>
  Buffer.from(`${JSON.stringify({ kind, nodeId: "a" })}\n`),
);
const question = (rng: Rng): Buffer => mutated(rng, questions[rng.int(0, questions.length - 1)]!);
const bulk = (rng: Rng): Buffer => {
  const payload = Buffer.from("aaaaaa000001-1-0");
  const kind = Object.values(KIND)[rng.int(0, 4)]!;
  return mutated(rng, Buffer.concat([encodeHead({ kind, flags: rng.int(0, 7), at: rng.int(0, 9) }, payload, rng.chance(0.5)), payload]));
};

const nothing = (): readonly Buffer[] => [];
const asks = { role: "client", id: "command-1", purpose: "ask", first: nothing } as const;
const runs: readonly [what: string, port: Port["name"], make: (rng: Rng) => Buffer, caller: Caller | undefined][] = [
  ["messages on a link", "control", message, undefined],
  ["questions", "control", question, asks],
  ["messages on a link", "node", message, undefined],
  ["questions", "node", question, asks],
  ["frames of transfers", "node", bulk, { role: "node", id: "bbbbbb000000", purpose: "bulk", first: nothing }],
  ["messages", "worker", message, undefined],
];

async function one(port: Port, caller: Caller, rng: Rng, make: (rng: Rng) => Buffer): Promise<void> {
  const self = { role: caller.role, id: caller.id, incarnation: 1 };
  const { socket } = await dial({ host: "127.0.0.1", port: port.port, credentials: port.right, self, purpose: caller.purpose });
  socket.on("error", () => {}).resume();
  const said = Array.from({ length: PER_CONNECTION }, () => make(rng));
  socket.end(Buffer.concat([...caller.first(), ...said]));
  if (!socket.closed) await once(socket, "close");
}

for (const [what, name, make, as] of runs) {
  test(`${what} at the port of a ${name}: nothing crashes, hangs or grows`, { timeout: 100_000 + inputs }, async () => {
    const port = ports.find((each) => each.name === name)!;
    const rng = new Rng(`${seed} ${what} ${name}`);
    const connections = Math.ceil((inputs * 0.05) / PER_CONNECTION);
    let before_ = 0;
    for (let n = 0; n < connections; n++) {
      if (n === Math.floor(connections / 10)) before_ = await usedBytes();
      const caller = as ?? port.callers[rng.int(0, port.callers.length - 1)]!;
      try {
        await one(port, caller, rng, make);
      } catch (error) {
        throw new Error(`seed ${seed}, ${what} at the ${name}, connection ${n}`, { cause: error });
      }
      port.acted.length = 0;
    }
    const grown = (await usedBytes()) - before_;
    assert.ok(grown < 24 * MIB, `memory grew by ${Math.round(grown / MIB)} MiB over ${connections * PER_CONNECTION} inputs`);
    assert.ok(port.lines.length <= 10 + 11 * Math.ceil(performance.now() / 60_000), `${port.lines.length} lines were logged`);
    assert.ok(bodies.size === names.length);
  });
}

test("afterwards honest peers are served", async () => {
  for (const port of ports) {
    const [caller] = port.callers;
    const self = { role: caller!.role, id: "cccccc000000", incarnation: 2 };
    const { socket } = await dial({ host: "127.0.0.1", port: port.port, credentials: port.right, self, purpose: caller!.purpose });
    socket.on("error", () => {}).resume();
    socket.write(Buffer.concat([...caller!.first()]));
    await waitUntil(() => port.acted.length > 0 || !socket.closed, "it is heard");
    assert.equal(socket.closed, false);
    socket.destroy();
  }
});
