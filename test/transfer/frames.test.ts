/** The frames of bulk connections: what is wrong is found, whatever it is. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadFrame, DATA_MAX, FLAG, FrameReader, HEAD_BYTES, KIND, TEXT_MAX, encodeHead } from "../../src/runtime/transfer/frames.ts";
import type { Head } from "../../src/runtime/transfer/frames.ts";
import { pattern } from "./nodes.ts";
import { chanceOf } from "./virtual.ts";

/** Reads these bytes in pieces of random sizes. */
function read(bytes: Uint8Array, chance: () => number): { head: Head; payload: Uint8Array }[] {
  const frames: { head: Head; payload: Uint8Array }[] = [];
  const reader = new FrameReader({
    place: (head) => new Uint8Array(head.length),
    frame: (head, payload) => void frames.push({ head, payload }),
  });
  for (let at = 0; at < bytes.byteLength;) {
    const buffer = reader.buffer();
    assert.ok(buffer.byteLength > 0);
    const length = Math.min(bytes.byteLength - at, 1 + Math.floor(chance() * buffer.byteLength));
    buffer.set(bytes.subarray(at, at + length));
    at += length;
    void reader.took(length);
  }
  return frames;
}

const frame = (payload: Uint8Array, checked = true): Buffer =>
  Buffer.concat([encodeHead({ kind: KIND.data, flags: 0, at: 4096 }, payload, checked), payload]);

describe("bulk frames", () => {
  it("come out as they went in, in whatever pieces they arrive", () => {
    const chance = chanceOf(1);
    for (const length of [1, 2, 100, 70_000, DATA_MAX]) {
      const payload = pattern(length, length);
      const [first, second, ...more] = read(Buffer.concat([frame(payload), frame(payload, false)]), chance);
      assert.deepEqual(first, { head: { kind: KIND.data, flags: FLAG.checked, length, at: 4096 }, payload: new Uint8Array(payload) });
      assert.deepEqual(second!.payload, new Uint8Array(payload));
      assert.equal(more.length, 0);
    }
  });

  it("show any bit that is wrong, in the payload and in the head", () => {
    const good = frame(pattern(50));
    for (let bit = 0; bit < good.byteLength * 8; bit++) {
      // Without its flag nothing is checked: that one bit takes the checksum away.
      if (bit === 8) continue;
      const bytes = Buffer.from(good);
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      // One that says that it is longer waits for what does not come, which ends by time.
      let frames: unknown[] = [];
      try {
        frames = read(bytes, chanceOf(bit));
      } catch (error) {
        assert.ok(error instanceof BadFrame);
      }
      assert.equal(frames.length, 0, `bit ${bit}`);
    }
  });

  it("are refused when they are too long or no frames, and nothing else happens", () => {
    const chance = chanceOf(7);
    const long = encodeHead({ kind: KIND.data, flags: 0, at: 0 }, new Uint8Array(DATA_MAX + 1), false);
    assert.throws(() => read(long, chance), BadFrame);
    assert.throws(() => read(encodeHead({ kind: KIND.refuse, flags: 0, at: 0 }, new Uint8Array(TEXT_MAX + 1), false), chance), BadFrame);
    for (let i = 0; i < 20_000; i++) {
      const bytes = i % 2 === 0 ? frame(pattern(8, i)) : Buffer.alloc(HEAD_BYTES + 8);
      for (let changes = i % 2 === 0 ? 1 : 12; changes > 0; changes--)
        bytes[Math.floor(chance() * bytes.byteLength)] = Math.floor(chance() * 256);
      try {
        read(bytes, chance);
      } catch (error) {
        assert.ok(error instanceof BadFrame, String(error));
      }
    }
  });
});
