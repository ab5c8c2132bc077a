/**
 * Bytes that were truncated, changed or made up: a SerializationError or some value, never anything else, and never for long.
 */
import assert from "node:assert";
import { describe, it } from "node:test";
import { SerializationError } from "../../src/errors/index.ts";
import { openPacked, packInline } from "../../src/values/codec.ts";
import * as tag from "../../src/values/format.ts";
import { Ref, process } from "./stub-functions.ts";

const here = process();
here.moduleOf = () => ({});

/** A generator of numbers in [0, 1) that gives the same row each time. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0;
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32;
  };
}

function sample(): unknown {
  const sparse: unknown[] = [];
  sparse[1] = 1;
  sparse[3] = 2;
  const Point = here.functions.define<new () => object>("class Point { x = 1; }");
  const List = here.functions.define<new () => unknown[]>("class List extends Array { }");
  const Failure = here.functions.define<ErrorConstructor>("class Failure extends Error { }");
  const shared = { shared: [1, 2, 3] };
  const memory = new ArrayBuffer(32);
  let deep: unknown = shared;
  for (let i = 0; i < 150; i++) deep = i % 2 === 0 ? [deep] : { deep };
  return {
    numbers: [1, -1, 300, 70_000, 1.5, -0, 2n ** 70n],
    texts: ["", "a", "é", "日本", "x".repeat(100), "\ud800"],
    shared,
    again: shared,
    map: new Map<unknown, unknown>([["k", shared]]),
    set: new Set([1, "a"]),
    date: new Date(0),
    pattern: /a(b)/gi,
    boxed: Object("s"),
    sparse: Object.assign(sparse, { named: 1 }),
    bare: Object.assign(Object.create(null) as object, { a: 1 }),
    url: new URL("http://a/"),
    error: Object.assign(new TypeError("t", { cause: new Failure("f") }), { code: "E" }),
    reason: new DOMException("m", "AbortError"),
    views: [new Uint8Array(memory, 1, 3), new Float64Array(memory, 8, 2), memory, new DataView(memory, 3), Buffer.from("b")],
    rows: [
      { a: 1, b: 2 },
      { a: 3, b: 4 },
    ],
    instances: [new Point(), Object.assign(new List(), { 0: 1 })],
    ref: new Ref("r"),
    math: Math,
    fn: Object.assign(here.functions.define("() => slots.shared", { shared }), { property: 1 }),
    deep,
  };
}

/** Any value or a SerializationError. */
function tryDecode(image: Uint8Array): boolean {
  // Most of the time would go into stacks that nobody reads.
  Error.stackTraceLimit = 0;
  try {
    const { inband, buffer } = openPacked(image, { copy: true });
    here.codec.decode(inband, buffer, here.moduleOf);
    return true;
  } catch (error) {
    assert.ok(error instanceof SerializationError, error instanceof Error ? error.stack : String(error));
    return false;
  }
}

describe("hostile bytes", () => {
  it("refuses every truncation of a value of every kind", () => {
    const { inband, buffers } = here.codec.encode(sample(), "value");
    for (let length = 0; length < inband.byteLength; length++) {
      assert.throws(() => here.codec.decode(inband.slice(0, length), (i) => buffers[i]!, here.moduleOf), SerializationError, `${length}`);
    }
  });

  it("survives 20,000 mutations", () => {
    const random = seeded(20_000);
    const original = packInline(here.codec.encode(sample(), "value"));
    const before = Object.getOwnPropertyNames(Object.prototype).length;
    let decoded = 0;
    for (let round = 0; round < 20_000; round++) {
      const image = original.slice();
      const edits = 1 + Math.floor(random() * 4);
      for (let i = 0; i < edits; i++) {
        const at = Math.floor(random() * image.length);
        const kind = random();
        if (kind < 0.4) image[at] = Math.floor(random() * 256);
        else if (kind < 0.6) image[at]! ^= 1 << Math.floor(random() * 8);
        else if (kind < 0.8) image.copyWithin(at, Math.floor(random() * image.length), at + Math.floor(random() * 16));
        else image.fill(kind < 0.9 ? 0xff : 0x80 + Math.floor(random() * 0x70), at, at + 4);
      }
      if (tryDecode(image)) decoded += 1;
    }
    // Neither all nor none, else nothing was tried.
    assert.ok(decoded > 100 && decoded < 19_900, String(decoded));
    assert.strictEqual(Object.getOwnPropertyNames(Object.prototype).length, before);
    assert.strictEqual(Object.getPrototypeOf({}), Object.prototype);
    assert.ok(tryDecode(original));
  });

  it("survives made-up bytes", () => {
    const random = seeded(7);
    for (let round = 0; round < 20_000; round++) {
      const image = Uint8Array.from({ length: 2 + Math.floor(random() * 60) }, () => Math.floor(random() * 256));
      image[0] = round % 5 === 0 ? tag.PACKED : tag.VERSION;
      if (round % 5 !== 0) image[1] = round % 4;
      tryDecode(image);
    }
  });

  it("allocates nothing for lengths that cannot be true", () => {
    const huge = [0xff, 0xff, 0xff, 0xff, 0x7f];
    const bodies: Record<string, number[]> = {
      array: [tag.ARRAY, ...huge],
      object: [tag.OBJECT, ...huge],
      map: [tag.MAP, ...huge],
      set: [tag.SET, ...huge],
      text: [tag.STR_LATIN1, 0xff, 0xff, 0xff, 0x7f],
      pattern: [tag.REGEXP, tag.STR_UTF8, 0xff, 0xff, 0xff, 0x7f],
      keyed: [tag.KEYED_ARRAY, 1, ...huge],
      path: [tag.FUNCTION_REFERENCE, tag.FIXSTR, ...huge],
    };
    const before = globalThis.process.memoryUsage().rss;
    for (const [name, body] of Object.entries(bodies)) assert.ok(!tryDecode(Uint8Array.from([tag.VERSION, 0, ...body])), name);
    // 100 arrays that claim 30 million items each, and hold none.
    const sparse = Array.from({ length: 15 }, () => [tag.KEYED_ARRAY, 0x80, 0x87, 0xa7, 0x0e, 0]).flat();
    assert.ok(tryDecode(Uint8Array.from([tag.VERSION, 0, tag.FIXARRAY | 15, ...sparse])));
    const buffers = Uint8Array.from([tag.PACKED, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, ...new Array<number>(40).fill(0xff)]);
    assert.ok(!tryDecode(buffers));
    assert.ok(globalThis.process.memoryUsage().rss - before < 200 * 2 ** 20);
  });

  it("ends on endless nesting, in a typed way", () => {
    const nests: number[][] = [
      [tag.FIXARRAY | 1],
      [tag.FIXOBJECT | 1, tag.FIXSTR],
      [tag.SET, 1],
      [tag.MAP, 1, 0],
      [tag.PRELUDE, 0],
      [tag.PRELUDE],
      [tag.BOXED],
      [tag.INSTANCE, tag.INSTANCE_OBJECT],
      [tag.HOOKED],
      [tag.ERROR, 0, 1, tag.FIXSTR, 0],
      [tag.ERROR, tag.ERROR_OF_CLASS, tag.FIXSTR],
      [tag.NULL_OBJECT, tag.FIXOBJECT | 1, tag.FIXSTR],
      [tag.DEFERRED, tag.INSTANCE_OBJECT],
    ];
    for (const nest of nests) {
      const body = Array.from({ length: 100_000 }, () => nest).flat();
      assert.ok(!tryDecode(Uint8Array.from([tag.VERSION, 0, ...body])), nest.join());
    }
  });

  it("does not pollute prototypes", () => {
    const key = "__proto__";
    const value = JSON.parse(`{"${key}": {"polluted": 1}, "list": [{"${key}": null}]}`) as object;
    const instance = Object.defineProperty(new (here.functions.define<new () => object>("class P { }"))(), key, {
      value: { polluted: 1 },
      enumerable: true,
    });
    for (const one of [value, instance, Object.assign(new Error("e"), { value })]) {
      const { inband } = here.codec.encode(one, "value");
      const copy = process().codec.decode(inband, () => assert.fail()) as object;
      assert.strictEqual(Reflect.get(copy, "polluted"), undefined);
      assert.deepStrictEqual(Object.keys(copy), Object.keys(one));
    }
    assert.strictEqual(Reflect.get({}, "polluted"), undefined);
  });

  it("refuses globals and modules that it does not know", () => {
    for (const name of ["process.mainModule", "constructor", "__proto__", "globalThis.process", "fs"]) {
      const bytes = Buffer.from(name, "latin1");
      assert.ok(!tryDecode(Uint8Array.from([tag.VERSION, 0, tag.GLOBAL, tag.FIXSTR | bytes.length, ...bytes])), name);
    }
  });
});
