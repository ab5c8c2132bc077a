/* oxlint-disable no-sparse-arrays -- it is what this file is about */
/**
 * Data arrives as structured clone would give it, or better where the API promises more.
 */
import assert from "node:assert";
import { describe, it } from "node:test";
import fc from "fast-check";
import { process, send } from "./stub-functions.ts";

const here = process();
const arrives = <T>(value: T): T => send(value, here, process());

const primitives = [fc.boolean(), fc.integer(), fc.double(), fc.string(), fc.constantFrom(null, undefined, NaN, -0)];

describe("round trip", () => {
  it("gives what structured clone gives, for any data", () => {
    const data = fc.anything({
      // assert takes two invalid dates for unequal: they have a test of their own below.
      values: [...primitives, fc.date({ noInvalidDate: true })],
      withBigInt: true,
      withMap: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
      withBoxedValues: true,
      maxDepth: 4,
    });
    fc.assert(
      fc.property(data, (value) => assert.deepStrictEqual(arrives(value), structuredClone(value))),
      { numRuns: 2000 },
    );
  });

  it("gives the value itself, null prototypes included", () => {
    const data = fc.anything({ withNullPrototype: true, withMap: true, withBigInt: true, maxDepth: 3 });
    fc.assert(
      fc.property(data, (value) => assert.deepStrictEqual(arrives(value), value)),
      { numRuns: 1000 },
    );
  });

  it("keeps every number", () => {
    const numbers = fc.oneof(
      fc.integer(),
      fc.double(),
      fc.maxSafeInteger(),
      fc.constantFrom(
        0,
        -0,
        NaN,
        Infinity,
        -Infinity,
        -16,
        -17,
        127,
        128,
        -32768,
        -32769,
        32767,
        32768,
        2 ** 31,
        -(2 ** 31),
        2 ** 31 - 1,
        2 ** 53,
        5e-324,
      ),
    );
    fc.assert(
      fc.property(numbers, (value) => assert.ok(Object.is(arrives(value), value))),
      { numRuns: 2000 },
    );
    fc.assert(fc.property(fc.bigInt(), (value) => assert.strictEqual(arrives(value), value)));
  });

  it("keeps every string, lone surrogates included", () => {
    const units = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 100 }).map((codes) => String.fromCharCode(...codes));
    const texts = fc.oneof(units, fc.string({ unit: "grapheme" }), fc.string({ unit: "binary-ascii", maxLength: 300 }));
    fc.assert(
      fc.property(texts, (value) => assert.strictEqual(arrives(value), value)),
      { numRuns: 2000 },
    );
    for (const text of [
      "",
      "a".repeat(31),
      "é".repeat(32),
      "a".repeat(49),
      "日".repeat(20_000),
      "x".repeat(100_000),
      `${"y".repeat(60)}\ud800`,
    ]) {
      assert.strictEqual(arrives(text), text);
    }
  });

  it("keeps the order of keys, keys with any name, and drops symbol keys", () => {
    const value = { b: 1, a: 2, 2: 3, 1: 4, "": 5, ["__proto__"]: { polluted: true }, constructor: 6, [Symbol.for("s")]: 7 };
    const copy = arrives(value);
    assert.deepStrictEqual(Object.keys(copy), ["1", "2", "b", "a", "", "__proto__", "constructor"]);
    assert.strictEqual(Object.getPrototypeOf(copy), Object.prototype);
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(copy, "__proto__")?.value, { polluted: true });
    assert.strictEqual(Reflect.get({}, "polluted"), undefined);
    assert.deepStrictEqual(Object.getOwnPropertySymbols(copy), []);
  });

  it("shares keys between objects of one shape without mixing them up", () => {
    const rows = Array.from({ length: 100 }, (_, i) =>
      i % 3 === 0 ? { a: i, b: { a: i } } : i % 3 === 1 ? { b: i, a: i } : { [`k${i}`]: i, a: 1 },
    );
    assert.deepStrictEqual(arrives(rows), rows);
    assert.deepStrictEqual(
      arrives(rows).map((row) => Object.keys(row)),
      rows.map((row) => Object.keys(row)),
    );
  });

  it("reads getters, and survives getters that change what is written", () => {
    const map = new Map<string, unknown>([["a", 1]]);
    const value = {
      get x() {
        return 5;
      },
      list: [1],
      map,
    };
    map.set("grow", {
      get g() {
        map.set("late", 1);
        return 2;
      },
    });
    const copy = arrives(value);
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(copy, "x"), { value: 5, writable: true, enumerable: true, configurable: true });
    assert.deepStrictEqual([...copy.map.keys()], ["a", "grow"]);
  });

  it("takes a getter that makes a call of its own", () => {
    const value = {
      before: [1, 2],
      get inner() {
        return arrives({ deep: [3, 4] });
      },
      after: "x",
    };
    assert.deepStrictEqual(arrives(value), { before: [1, 2], inner: { deep: [3, 4] }, after: "x" });
  });

  it("keeps holes and named properties of arrays", () => {
    const sparse: unknown[] = [];
    sparse[4_000_000_000] = "end";
    assert.strictEqual(arrives(sparse).length, 4_000_000_001);
    assert.deepStrictEqual(Object.keys(arrives(sparse)), ["4000000000"]);
    const match = "xaby".match(/a(?<second>b)/)!;
    const { groups, ...rest } = arrives(match) as RegExpMatchArray;
    assert.deepStrictEqual({ ...groups }, { second: "b" });
    assert.deepStrictEqual(
      Object.keys(rest),
      Object.keys(match).filter((key) => key !== "groups"),
    );
    const long = Object.assign(
      Array.from({ length: 200 }, (_, i) => i),
      { columns: ["a"] },
    );
    assert.deepStrictEqual(arrives(long), long);
    assert.deepStrictEqual(arrives([, 1, , undefined]), [, 1, , undefined]);
    const named = Object.assign([, 1], { x: 1 });
    assert.deepStrictEqual(arrives(named), named);
    assert.strictEqual(arrives(new Array(5)).length, 5);
  });

  it("takes dates, regular expressions, boxed primitives, URLs", () => {
    const stateful = /a+/giu;
    stateful.lastIndex = 3;
    const value = [
      new Date(NaN),
      new Date(8.64e15),
      stateful,
      Object("s"),
      Object(1),
      Object(false),
      Object(10n),
      new URL("https://x.y/?q=1"),
    ];
    const copy = arrives(value);
    const times = (dates: unknown[]): number[] => dates.map((date) => (date as Date).getTime());
    assert.deepStrictEqual(times(copy.slice(0, 2)), times(value.slice(0, 2)));
    assert.strictEqual((copy[2] as RegExp).lastIndex, 0);
    assert.deepStrictEqual([String(copy[2]), ...copy.slice(3, 7)], ["/a+/giu", ...value.slice(3, 7)]);
    assert.ok(copy[7] instanceof URL && copy[7].href === "https://x.y/?q=1");
  });

  it("takes what every process has by its name", () => {
    for (const value of [
      Math,
      JSON,
      globalThis,
      console,
      globalThis.process,
      Intl,
      Reflect,
      Array.prototype,
      Map,
      Uint8Array,
      Object.getPrototypeOf(Uint8Array),
      performance,
      crypto,
      TextEncoder,
    ]) {
      assert.strictEqual(arrives(value), value);
      assert.strictEqual(arrives({ deep: [value] }).deep[0], value);
    }
  });

  it("takes objects of another realm, and objects made from objects", async () => {
    const { runInNewContext } = await import("node:vm");
    const foreign: unknown = runInNewContext("({ a: [1, new Map([[1, { b: 2 }]])], d: new Date(5), u: new Uint8Array([1, 2]) })");
    assert.deepStrictEqual(arrives(foreign), { a: [1, new Map([[1, { b: 2 }]])], d: new Date(5), u: new Uint8Array([1, 2]) });
    const base = { inherited: 1 };
    const [first, second] = arrives([Object.create(base, { own: { value: 2, enumerable: true } }), Object.create(base)] as object[]);
    assert.strictEqual(Reflect.get(first!, "inherited"), 1);
    assert.deepStrictEqual(Object.keys(first!), ["own"]);
    assert.strictEqual(Object.getPrototypeOf(first), Object.getPrototypeOf(second));
  });

  it("takes the value as it is at the call", () => {
    const value = { list: [1], text: "a" };
    const encoded = here.codec.encode(value, "value");
    value.list.push(2);
    value.text = "b";
    here.codec.encode({ something: "else" }, "value");
    assert.deepStrictEqual(
      here.codec.decode(encoded.inband, () => assert.fail()),
      { list: [1], text: "a" },
    );
  });
});
