/** The shared images of the smallest values are those that the encoder writes, and are read as the decoder reads them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SerializationError } from "../../src/errors/index.ts";
import { packInline } from "../../src/values/codec.ts";
import { NOT_TINY, readTiny, tinyImage } from "../../src/values/tiny.ts";
import { process } from "./stub-functions.ts";

const { codec } = process();
const noBuffer = (): never => assert.fail("a tiny value has no buffers");
const values = [
  ...Array.from({ length: 200 }, (_, i) => i - 40),
  0.5,
  -0,
  Number.NaN,
  2 ** 31,
  2 ** 32,
  true,
  false,
  null,
  undefined,
  "",
  "ok",
  "é",
  "x".repeat(31),
  1n,
];

test("a tiny image is what the encoder writes", () => {
  let tiny = 0;
  for (const value of [...values, "x".repeat(32), "€", [], {}, Symbol.iterator, () => 0]) {
    const image = tinyImage(value);
    if (image === undefined) continue;
    tiny++;
    assert.deepEqual([...image], [...packInline(codec.encode(value, "value"))], String(value));
    assert.ok(Object.is(readTiny(image), value), String(value));
  }
  assert.equal(tiny, 16 + 128 + 4 + 4);
});

test("an image of three bytes is read as the decoder reads it, or left to it", () => {
  for (const first of [0, 1, 2, 0x50]) {
    for (const flags of [0, 1, 2]) {
      for (let kind = 0; kind < 256; kind++) {
        const image = new Uint8Array([first, flags, kind]);
        const value = readTiny(image);
        if (value !== NOT_TINY) assert.deepEqual(value, codec.decode(image, noBuffer));
      }
    }
  }
});

test("a string whose length is not what its tag says is left to the decoder, which refuses it", () => {
  for (const image of [new Uint8Array([1, 0, 0x82, 97]), new Uint8Array([1, 0, 0x81, 97, 98])]) {
    assert.equal(readTiny(image), NOT_TINY);
    assert.throws(() => codec.decode(image, noBuffer), SerializationError);
  }
});

test("an empty list is a new one each time", () => {
  const image = packInline(codec.encode([], "value"));
  assert.notEqual(readTiny(image), readTiny(image));
});
