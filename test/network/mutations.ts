/** Wrong input by the million: right frames and messages with bytes changed, cut, repeated and joined, and pure noise. */
import { randomBytes } from "node:crypto";
import { definitions } from "../../src/protocol/messages.ts";
import type { MessageName } from "../../src/protocol/messages.ts";
import { Packr } from "msgpackr";
import { ARRAY_16, HEADER_BYTES, RUN } from "../../src/protocol/wire.ts";
import { encodeChallenge, encodeFrame, encodeHello, encodeRefusal, FRAME, REFUSAL } from "../../src/runtime/network/handshake.ts";
import type { Rng } from "../../sim/rng.ts";

const self = { role: "node", id: "n1", incarnation: 1 } as const;
const nonce = Buffer.alloc(32, 7);

/** Right frames of every kind. */
export const handshakeFrames: readonly Buffer[] = [
  encodeFrame(FRAME.hello, encodeHello({ ...self, clusterId: "c1", credential: "cluster", purpose: "link", nonce })),
  encodeFrame(FRAME.challenge, encodeChallenge({ ...self, clusterId: "c1", nonce })),
  encodeFrame(FRAME.answer, nonce),
  encodeFrame(FRAME.welcome, nonce),
  encodeFrame(FRAME.refusal, encodeRefusal(REFUSAL.cluster, "c1")),
];

const packr = new Packr({ useRecords: false, moreTypes: false });
const INTERESTING = [0, 1, 0x7f, 0x80, 0x90, 0x9f, 0xa0, 0xc0, 0xc1, 0xc4, 0xc7, 0xd4, 0xd9, 0xdc, 0xdd, 0xde, 0xdf, 0xff];

/** Something that a field might hold, right or wrong. */
function someValue(rng: Rng, depth = 0): unknown {
  const kinds = ["text", "number", "bytes", "nothing", "flag", "list", "record"];
  const kind = kinds[rng.int(0, depth > 3 ? 4 : 6)];
  if (kind === "text") return ["a1", "__proto__", "constructor", "x".repeat(300), "inline", "stored"][rng.int(0, 5)];
  if (kind === "number") return [0, 1, -1, 2 ** 32, 2 ** 53, 0.5, Number.NaN, Number.POSITIVE_INFINITY][rng.int(0, 7)];
  if (kind === "bytes") return Buffer.alloc(rng.int(0, 40));
  if (kind === "nothing") return undefined;
  if (kind === "flag") return true;
  const count = rng.int(0, 4);
  if (kind === "list") return Array.from({ length: count }, () => someValue(rng, depth + 1));
  const keys = ["kind", "id", "__proto__", "prototype", "constructor", "toString", "bytes", "polluted"];
  return Object.fromEntries(Array.from({ length: count }, () => [keys[rng.int(0, 7)], someValue(rng, depth + 1)]));
}

const names = Object.keys(definitions) as MessageName[];

/** A frame of a message with as many fields as it has; a part of them hold what they should. */
export function messageFrame(rng: Rng): Buffer {
  const { code, shape } = definitions[names[rng.int(0, names.length - 1)]!];
  const fields = Object.values(shape).map((schema) => {
    for (let tries = 0; tries < 6; tries++) {
      const value = someValue(rng);
      try {
        schema.check(value, "");
        return value;
      } catch {
        continue; // The next may fit.
      }
    }
    return someValue(rng);
  });
  const one = packr.pack(fields);
  const inRun = rng.chance(0.3);
  const count = rng.int(1, 3);
  const bodies = Array.from({ length: count }, () => one);
  const body = inRun ? Buffer.concat([Buffer.from([code, ARRAY_16, 0, count]), ...bodies]) : one;
  const frame = Buffer.alloc(HEADER_BYTES + body.length);
  frame.writeUInt32LE(body.length + 1);
  frame[4] = rng.chance(0.05) ? rng.int(0, 255) : inRun ? RUN : code;
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** A copy with something wrong in it; now and then with nothing. */
export function mutated(rng: Rng, right: Buffer): Buffer {
  let bytes = Buffer.from(right);
  for (let n = rng.int(0, 4); n > 0; n--) {
    const at = rng.int(0, Math.max(0, bytes.length - 1));
    const kind = rng.int(0, 6);
    if (kind === 0) bytes[at] = rng.int(0, 255);
    else if (kind === 1) bytes[at] = INTERESTING[rng.int(0, INTERESTING.length - 1)]!;
    else if (kind === 2) bytes[at]! ^= 1 << rng.int(0, 7);
    else if (kind === 3) bytes = bytes.subarray(0, at);
    else if (kind === 4) bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(rng.int(1, 30)), bytes.subarray(at)]);
    else if (kind === 5) bytes = Buffer.concat([bytes, bytes.subarray(at)]);
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)]);
  }
  return bytes;
}
