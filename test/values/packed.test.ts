/**
 * Packed images: one contiguous piece, buffers aligned at 64 bytes, modules readable before anything is decoded.
 */
import assert from "node:assert";
import { describe, it } from "node:test";
import { SerializationError } from "../../src/errors/index.ts";
import type { Encoded } from "../../src/values/contract.ts";
import { openPacked, packInline, packedSize, writePacked } from "../../src/values/codec.ts";
import { process } from "./stub-functions.ts";

const { codec } = process();

describe("packed images", () => {
  it("is the in-band part itself where there is nothing else", () => {
    const encoded = codec.encode({ a: [1, 2] }, "value");
    const image = packInline(encoded);
    assert.strictEqual(image, encoded.inband);
    assert.strictEqual(packedSize(encoded), image.byteLength);
    const opened = openPacked(image);
    assert.deepStrictEqual([opened.modules, codec.decode(opened.inband, opened.buffer)], [[], { a: [1, 2] }]);
  });

  it("has as many bytes as announced, each piece in its place, buffers aligned", () => {
    for (const lengths of [[0], [1], [64], [63, 65, 0, 3], [1000, 1]]) {
      const value = lengths.map((length) => new Uint8Array(length).fill(length % 256));
      const encoded = codec.encode(value, "value");
      const image = new Uint8Array(packedSize(encoded));
      let last = 0;
      writePacked(encoded, (offset, bytes) => {
        assert.ok(offset >= last && offset + bytes.byteLength <= image.byteLength);
        last = offset + bytes.byteLength;
        image.set(bytes, offset);
      });
      assert.deepStrictEqual(Buffer.compare(image, packInline(encoded)), 0);
      const opened = openPacked(image);
      lengths.forEach((length, i) => {
        assert.strictEqual(opened.buffer(i).byteOffset % 64, 0);
        assert.strictEqual(opened.buffer(i).byteLength, length);
      });
      assert.deepStrictEqual(codec.decode(opened.inband, opened.buffer), value);
    }
  });

  it("reads buffers in place, or copies them when asked", () => {
    const image = packInline(codec.encode({ f: new Float64Array([1, 2]) }, "value"));
    const inPlace = openPacked(image);
    const view = (codec.decode(inPlace.inband, inPlace.buffer) as { f: Float64Array }).f;
    assert.strictEqual(view.buffer, image.buffer);
    const copied = openPacked(image, { copy: true });
    const copy = (codec.decode(copied.inband, copied.buffer) as { f: Float64Array }).f;
    assert.strictEqual(copy.buffer.byteLength, 16);
    image.fill(0);
    assert.deepStrictEqual(
      [[...view], [...copy]],
      [
        [0, 0],
        [1, 2],
      ],
    );
  });

  it("reads an image at an odd place, with and without copying", () => {
    const image = packInline(codec.encode([new Float64Array([1, 2]), new Uint8Array([3])], "value"));
    const odd = new Uint8Array(image.byteLength + 16);
    odd.set(image, 3);
    for (const copy of [true, false]) {
      const opened = openPacked(odd.subarray(3, 3 + image.byteLength), { copy });
      assert.deepStrictEqual(codec.decode(opened.inband, opened.buffer), [new Float64Array([1, 2]), new Uint8Array([3])]);
    }
  });

  it("tells the modules before anything is decoded", () => {
    const plain = codec.encode([new Uint8Array(5)], "value");
    const encoded: Encoded = { ...plain, modules: ["file:///a/ü.ts", "node:fs"] };
    const opened = openPacked(packInline(encoded));
    assert.deepStrictEqual(opened.modules, encoded.modules);
    assert.deepStrictEqual(codec.decode(opened.inband, opened.buffer), [new Uint8Array(5)]);
    const without = openPacked(packInline({ ...codec.encode(1, "value"), modules: ["m:x"] }));
    assert.deepStrictEqual([without.modules, codec.decode(without.inband, without.buffer)], [["m:x"], 1]);
  });

  it("refuses every truncation", () => {
    const encoded: Encoded = { ...codec.encode([new Uint8Array(5), "text"], "value"), modules: ["node:fs"] };
    const image = packInline(encoded);
    for (let length = 0; length < image.byteLength; length++) {
      assert.throws(
        () => {
          const opened = openPacked(image.slice(0, length));
          codec.decode(opened.inband, opened.buffer);
        },
        SerializationError,
        `${length}`,
      );
    }
  });
});
