/**
 * Typed arrays and buffers travel out of band, keep sharing what they shared, and carry no memory that is not theirs.
 */
import assert from "node:assert";
import { describe, it } from "node:test";
import fc from "fast-check";
import { openPacked, packInline } from "../../src/values/codec.ts";
import { process, send } from "./stub-functions.ts";

const here = process();
const arrives = <T>(value: T): T => send(value, here, process());
const sizes = (value: unknown): number[] => here.codec.encode(value, "value").buffers.map((buffer) => buffer.byteLength);

describe("buffers", () => {
  it("takes every kind of view, and Buffer stays Buffer", () => {
    const memory = new ArrayBuffer(64);
    new Uint8Array(memory).forEach((_, i, all) => (all[i] = i));
    const types = [
      Int8Array,
      Uint8Array,
      Uint8ClampedArray,
      Int16Array,
      Uint16Array,
      Int32Array,
      Uint32Array,
      Float32Array,
      Float64Array,
      BigInt64Array,
      BigUint64Array,
    ];
    for (const type of types) assert.deepStrictEqual(arrives(new type(memory, 8, 3)), new type(memory, 8, 3));
    assert.deepStrictEqual(arrives(new DataView(memory, 3, 5)), new DataView(memory, 3, 5));
    assert.deepStrictEqual(arrives(memory), memory);
    assert.ok(Buffer.isBuffer(arrives({ b: Buffer.from("hi") }).b));
    assert.strictEqual(arrives(Buffer.from("hi")).toString(), "hi");
    assert.deepStrictEqual(arrives([new Uint8Array(0), new ArrayBuffer(0), Buffer.alloc(0)]), [
      new Uint8Array(0),
      new ArrayBuffer(0),
      Buffer.alloc(0),
    ]);
  });

  it("sends of a big buffer only what a view shows", () => {
    const big = new Float64Array(100_000);
    assert.deepStrictEqual(sizes(big.subarray(10, 20)), [80]);
    assert.deepStrictEqual(sizes([big.subarray(10, 20), big.subarray(30, 40)]), [240]);
    assert.deepStrictEqual(sizes([big.subarray(10, 20), big.buffer]), [800_000]);
    assert.strictEqual(here.codec.encode(big, "value").inband.byteLength < 32, true);
  });

  it("keeps views of one buffer on one buffer", () => {
    const memory = new ArrayBuffer(256);
    const bytes = new Uint8Array(memory, 3, 10);
    const floats = new Float64Array(memory, 32, 4);
    const [a, b, again] = arrives([bytes, floats, floats]);
    assert.strictEqual(a!.buffer, b!.buffer);
    assert.strictEqual(b, again);
    assert.strictEqual(b!.byteOffset - a!.byteOffset, 29);
    for (const order of [
      [memory, bytes],
      [bytes, memory],
    ]) {
      const copy = arrives(order);
      const whole = copy.find((one) => one instanceof ArrayBuffer)!;
      const view = copy.find((one) => one instanceof Uint8Array)!;
      assert.strictEqual(view.buffer, whole);
      assert.strictEqual(view.byteOffset, 3);
      assert.strictEqual(whole.byteLength, 256);
    }
  });

  it("sends nothing of Node's pool but the Buffers themselves", () => {
    const parts = [Buffer.from("first"), Buffer.from("SECRET"), Buffer.from("last")];
    assert.strictEqual(parts[0]!.buffer, parts[2]!.buffer);
    assert.deepStrictEqual(sizes([parts[0], parts[2]]), [5, 4]);
    const image = Buffer.from(packInline(here.codec.encode([parts[0], parts[2]], "value")));
    assert.ok(!image.includes("SECRET"));
    const [whole, part] = arrives([parts[0]!, parts[0]!.subarray(2)]);
    assert.strictEqual(whole!.buffer, part!.buffer);
    part![0] = 0x21;
    assert.strictEqual(whole!.toString(), "fi!st");
  });

  it("looks at the caller's memory until it is packed", () => {
    const array = new Uint8Array([1, 2, 3]);
    const encoded = here.codec.encode(array, "value");
    assert.strictEqual(encoded.buffers[0]!.buffer, array.buffer);
    const image = packInline(encoded);
    array[0] = 9;
    const { inband, buffer } = openPacked(image);
    assert.deepStrictEqual(here.codec.decode(inband, buffer), new Uint8Array([1, 2, 3]));
  });

  it("keeps any set of views over any set of buffers as it was", () => {
    const view = fc.record({
      buffer: fc.integer({ min: 0, max: 2 }),
      kind: fc.integer({ min: 0, max: 4 }),
      start: fc.nat(64),
      length: fc.nat(16),
      whole: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(view, { maxLength: 8 }), (list) => {
        const buffers = [0, 1, 2].map((k) => Uint8Array.from({ length: 256 }, (_, i) => (i * 7 + k) % 256).buffer);
        const make = [Uint8Array, Uint16Array, Float32Array, Float64Array, BigInt64Array];
        const value = list.map(({ buffer, kind, start, length, whole }) => {
          const type = make[kind]!;
          const offset = Math.floor(start / type.BYTES_PER_ELEMENT) * type.BYTES_PER_ELEMENT;
          return whole && kind === 0 ? buffers[buffer]! : new type(buffers[buffer]!, offset, length);
        });
        const copy = arrives(value);
        assert.deepStrictEqual(copy, value);
        const bufferOf = (one: ArrayBuffer | ArrayBufferView): ArrayBufferLike => (ArrayBuffer.isView(one) ? one.buffer : one);
        for (let i = 0; i < value.length; i++) {
          for (let j = 0; j < i; j++) {
            assert.strictEqual(bufferOf(copy[i]!) === bufferOf(copy[j]!), bufferOf(value[i]!) === bufferOf(value[j]!));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it("writes a value whole, wherever in its chunk of memory it begins", () => {
    const value = [new Uint8Array([1, 2]), "text", 1.5, 300, 70_000, { a: "é" }, new Float32Array([3]), 10n, "日本".repeat(20)];
    for (let i = 0; i < 1000; i++) {
      here.codec.encode("x".repeat(i % 37), "value");
      assert.deepStrictEqual(arrives(value), value);
    }
  });

  it("sends of a stored image that was read in place only the arrays in question", () => {
    const image = packInline(here.codec.encode([new Uint8Array(1000), new Uint8Array(10_000), new Uint8Array(20)], "value"));
    const { inband, buffer } = openPacked(image);
    const [first, , last] = here.codec.decode(inband, buffer) as Uint8Array[];
    assert.strictEqual(first!.buffer, image.buffer);
    assert.deepStrictEqual(sizes([first, last]), [1000, 20]);
  });

  it("takes a resizable buffer as one of its present length", () => {
    const resizable = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 64 }]) as ArrayBuffer;
    const copy = arrives({ resizable, view: new Uint8Array(resizable) });
    assert.strictEqual(copy.resizable.byteLength, 8);
    assert.strictEqual(copy.view.buffer, copy.resizable);
  });
});
