/**
 * No crash, no hang, memory flat, whatever arrives. Inputs here: FUZZ_INPUTS, or a tenth of a million; `npm run fuzz` gives a
 * million. A seed is printed with each failure and can be given by FUZZ_SEED.
 */
import { LINK_OPEN } from "../../src/protocol/link.ts";
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { MalformedMessage } from "../../src/protocol/schema.ts";
import { BadHandshake, decodeChallenge, decodeHello, decodeRefusal, FRAME, FrameReader } from "../../src/runtime/network/handshake.ts";
import { checkRequest, LinkHub, parseAddress, Secret, tokenCredential } from "../../src/runtime/network/index.ts";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { InvalidOptionError } from "../../src/errors/index.ts";
import { Rng } from "../../sim/rng.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { handshakeFrames, messageFrame, mutated } from "./mutations.ts";
import { call, port, token } from "./ports.ts";

leakChecked();

const inputs = Number(process.env["FUZZ_INPUTS"] ?? 100_000);
const seed = process.env["FUZZ_SEED"] ?? "fuzz";
const MIB = 1024 * 1024;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** Memory in use, after what can be collected was. */
function usedBytes(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Runs `one` so often, and sees that memory stays where it was after the first tenth and nothing global is changed. */
async function flatly(part: number, name: string, one: (rng: Rng, n: number) => void | Promise<void>): Promise<void> {
  const rng = new Rng(`${seed} ${name}`);
  const count = Math.floor(inputs * part);
  const globals = JSON.stringify([Object.prototype, Array.prototype].map((each) => Object.getOwnPropertyNames(each)));
  let before = 0;
  for (let n = 0; n < count; n++) {
    if (n === Math.floor(count / 10)) before = usedBytes();
    try {
      const waiting = one(rng, n);
      if (waiting !== undefined) await waiting;
    } catch (error) {
      throw new Error(`seed ${seed}, ${name} number ${n}`, { cause: error });
    }
  }
  const grown = usedBytes() - before;
  assert.ok(grown < 24 * MIB, `memory grew by ${Math.round(grown / MIB)} MiB over ${count} inputs`);
  assert.equal(JSON.stringify([Object.prototype, Array.prototype].map((each) => Object.getOwnPropertyNames(each))), globals);
}

test("frames of the handshake: each is read or refused", async () => {
  const decoders = { [FRAME.hello]: decodeHello, [FRAME.challenge]: decodeChallenge, [FRAME.refusal]: decodeRefusal };
  let read = 0;
  await flatly(0.4, "handshake", (rng) => {
    const bytes = mutated(rng, handshakeFrames[rng.int(0, handshakeFrames.length - 1)]!);
    const reader = new FrameReader(FRAME.hello, FRAME.challenge, FRAME.answer, FRAME.welcome, FRAME.refusal);
    try {
      for (let at = 0; at < bytes.length;) {
        const size = Math.min(reader.missing, bytes.length - at, rng.int(1, 200));
        const frame = reader.add(bytes.subarray(at, at + size));
        at += size;
        if (frame === undefined) continue;
        decoders[frame.kind as keyof typeof decoders]?.(frame.body);
        read++;
        return;
      }
    } catch (error) {
      if (!(error instanceof BadHandshake)) throw error;
    }
  });
  assert.ok(read > inputs * 0.05, `${read} were right enough to be read`);
});

/** A socket of which only what comes in matters. */
class Pipe extends Duplex {
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

test("messages: each is handed on whole, or ends its connection", async () => {
  let handed = 0;
  let refused = 0;
  let pipe: Pipe | undefined;
  await flatly(0.5, "messages", (rng) => {
    if (pipe === undefined || pipe.destroyed) {
      pipe = new Pipe();
      new Connection(pipe as unknown as Socket, {
        message: (_name, body: object) => {
          handed++;
          for (const value of Object.values(body)) {
            const plain = typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Uint8Array;
            const prototype: unknown = plain ? null : Object.getPrototypeOf(value);
            assert.ok(prototype === null || prototype === Object.prototype);
          }
        },
        closed: (error) => {
          if (error !== undefined && !(error instanceof MalformedMessage)) throw error;
          refused++;
        },
      });
    }
    const bytes = rng.chance(0.3) ? messageFrame(rng) : mutated(rng, messageFrame(rng));
    const at = rng.int(0, bytes.length);
    // What the socket would do, without its turns of the event loop.
    for (const part of [bytes.subarray(0, at), bytes.subarray(at)]) if (!pipe.destroyed) pipe.emit("data", part);
    if (rng.chance(0.05)) pipe.destroy();
    if (rng.chance(0.01)) return new Promise<void>((resolve) => setImmediate(resolve));
    return undefined;
  });
  assert.ok(handed > inputs * 0.02 && refused > inputs * 0.05, `${handed} were handed on, ${refused} connections ended`);
});

test("headers and addresses: each is judged", async () => {
  const accepted: [string, Secret][] = [["cluster", new Secret("token")]];
  const right = ["localhost:8265", "http://localhost:8265", "Bearer token", "[::1]:80", "10.0.0.1:6380", "same-origin"];
  const pick = (rng: Rng): string => mutated(rng, Buffer.from(right[rng.int(0, right.length - 1)]!)).toString("latin1");
  await flatly(0.08, "headers", (rng) => {
    checkRequest({ host: pick(rng), origin: pick(rng), authorization: pick(rng), "sec-fetch-site": pick(rng) }, ["10.0.0.1"], accepted);
    try {
      parseAddress(pick(rng));
    } catch (error) {
      if (!(error instanceof InvalidOptionError)) throw error;
    }
  });
});

test("a port: each connection ends, and an honest one is served afterwards", { timeout: 100_000 + inputs }, async (t) => {
  const { listener, lines } = await port(t, { timeoutMs: 500 });
  const batch = async (data: () => Buffer): Promise<void> => {
    const sockets = Array.from({ length: 50 }, () => {
      const socket = connect(listener.port, "127.0.0.1");
      socket.on("error", () => {}).resume();
      socket.end(data());
      return socket;
    });
    await waitUntil(() => sockets.every(({ destroyed }) => destroyed), "all have ended");
  };
  await flatly(0.02 / 50, "port", (rng) =>
    batch(() => mutated(rng, rng.chance(0.8) ? handshakeFrames[0]! : handshakeFrames[rng.int(1, 4)]!)),
  );
  await waitUntil(() => listener.statistics().pending === 0, "none is left");
  assert.ok(lines.length <= 40, `${lines.length} lines were logged`);
  await call(t, listener.port);
});

test("a link of a peer that has the token: garbage ends its connection alone", { timeout: 100_000 + inputs }, async (t) => {
  let heard = 0;
  const hub = new LinkHub({
    self: { role: "node", id: "n1", incarnation: 1 },
    clusterId: "c1",
    credentials: tokenCredential(token),
    onMessage: () => void heard++,
  });
  t.after(() => hub.close());
  const { listener } = await port(t, { onConnection: (connection) => hub.accept(connection) });
  await flatly(0.005, "link", async (rng, n) => {
    const peer = { role: "node", id: `p${n % 20}`, incarnation: 1 + Math.floor(n / 20) } as const;
    const { socket } = await call(t, listener.port, { purpose: "link", self: peer });
    const open = Buffer.alloc(21);
    open.writeUInt32LE(17);
    open[4] = LINK_OPEN;
    open.writeDoubleLE(1, 5);
    const start = rng.chance(0.8) ? open : mutated(rng, open);
    socket.resume();
    socket.end(Buffer.concat([start, ...Array.from({ length: 10 }, () => mutated(rng, messageFrame(rng)))]));
    await new Promise((resolve) => socket.once("close", resolve));
  });
  assert.ok(heard > 0);
});
