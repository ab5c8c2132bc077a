/**
 * Inside one value, what was one object is one object; and nesting has no depth that breaks.
 */
import assert from "node:assert";
import { describe, it } from "node:test";
import { SerializationError } from "../../src/errors/index.ts";
import { Ref, process, send } from "./stub-functions.ts";

const here = process();
const arrives = <T>(value: T): T => send(value, here, process());

describe("identity", () => {
  it("closes cycles through every kind of container", () => {
    const object: Record<string, unknown> = {};
    const array: unknown[] = [object];
    const map = new Map<unknown, unknown>([[array, object]]);
    const set = new Set<unknown>([map]);
    const bare = Object.assign(Object.create(null) as object, { set });
    const error = Object.assign(new Error("e"), { object });
    Object.assign(object, { array, map, set, bare, error, object });
    set.add(set);
    const copy = arrives(object);
    assert.strictEqual(copy["object"], copy);
    assert.strictEqual((copy["array"] as unknown[])[0], copy);
    const copiedMap = copy["map"] as Map<unknown, unknown>;
    assert.strictEqual(copiedMap.get(copy["array"]), copy);
    assert.ok((copy["set"] as Set<unknown>).has(copiedMap));
    assert.ok((copy["set"] as Set<unknown>).has(copy["set"]));
    assert.strictEqual((copy["bare"] as { set: unknown }).set, copy["set"]);
    assert.strictEqual((copy["error"] as { object: unknown }).object, copy);
  });

  it("keeps shared leaves shared, few or many", () => {
    for (const count of [2, 11, 12, 13, 14, 100, 5000]) {
      const leaves = [new Date(1), /x/, Object(1), new URL("http://a/"), new Ref("r")];
      const objects = Array.from({ length: count }, (_, i) => ({ i }));
      const value = [...leaves, ...objects, ...leaves, ...objects];
      const copy = arrives(value);
      const half = leaves.length + count;
      for (let i = 0; i < half; i++) assert.strictEqual(copy[i], copy[i + half]);
      assert.strictEqual(new Set(copy).size, half);
    }
  });

  it("lists each ref once, at any depth", () => {
    const ref = new Ref("one");
    const encoded = here.codec.encode([ref, { deep: new Map([[ref, [new Ref("two"), ref]]]) }], "args");
    assert.deepStrictEqual(
      encoded.refs.map((found) => (found as Ref).id),
      ["one", "two"],
    );
    const copy = here.codec.decode(encoded.inband, () => assert.fail()) as [Ref, { deep: Map<Ref, Ref[]> }];
    assert.strictEqual(copy[1].deep.get(copy[0])![1], copy[0]);
    assert.ok(copy[0] instanceof Ref);
  });

  it("takes lists of 100,000 nodes, of each container", () => {
    const depth = 100_000;
    const wrap: Record<string, (inner: unknown) => unknown> = {
      object: (inner) => ({ inner }),
      array: (inner) => [inner],
      map: (inner) => new Map([["inner", inner]]),
      set: (inner) => new Set([inner]),
      bare: (inner) => Object.assign(Object.create(null) as object, { inner }),
    };
    const unwrap = (value: unknown): unknown => {
      if (Array.isArray(value)) return value[0];
      if (value instanceof Map) return value.get("inner");
      if (value instanceof Set) return [...value][0];
      return (value as { inner: unknown }).inner;
    };
    const all = Object.values(wrap);
    wrap["mixed"] = (inner) => all[Math.floor(Math.random() * all.length)]!(inner);
    for (const [name, wrapOne] of Object.entries(wrap)) {
      const end = { end: name };
      let value: unknown = end;
      for (let i = 0; i < depth; i++) value = wrapOne(value);
      const copy = arrives({ end, value }) as { end: object; value: unknown };
      let at = copy.value;
      for (let i = 0; i < depth; i++) at = unwrap(at);
      assert.strictEqual(at, copy.end, name);
    }
  });

  it("keeps identity between deep and shallow parts", () => {
    const shared = { shared: true };
    let deep: unknown = { shared };
    for (let i = 0; i < 1000; i++) deep = { deep, shared, list: [[[[shared]]]] };
    const copy = arrives({ deep, shared }) as { deep: unknown; shared: object };
    let at = copy.deep as { deep: unknown; shared: object; list?: [[[[object]]]] };
    for (; at.deep !== undefined; at = at.deep as typeof at) {
      assert.strictEqual(at.shared, copy.shared);
      assert.strictEqual(at.list![0][0][0][0], copy.shared);
    }
  });

  it("refuses what lies too deep and cannot be deferred, and is sound after it", () => {
    let fn: Function | undefined;
    for (let i = 0; i < 5000; i++) fn = here.functions.define("() => slots.inner", { inner: fn });
    assert.throws(
      () => here.codec.encode(fn, "args"),
      (error) => error instanceof SerializationError && /nested too deeply/.test(error.message),
    );
    assert.deepStrictEqual(arrives([1, { a: 2 }]), [1, { a: 2 }]);
  });

  it("takes closures nested some hundred levels", () => {
    let fn: Function = here.functions.define("() => 0");
    for (let i = 0; i < 200; i++) fn = here.functions.define("() => slots.inner() + 1", { inner: fn });
    assert.strictEqual((arrives(fn) as () => number)(), 200);
  });

  it("forgets a value once it is written", async () => {
    const { setFlagsFromString } = await import("node:v8");
    const { runInNewContext } = await import("node:vm");
    setFlagsFromString("--expose-gc");
    const gc = runInNewContext("gc") as () => void;
    const weak = (() => {
      const list = Array.from({ length: 20 }, (_, i) => ({ i }));
      here.codec.encode(list, "value");
      return list.map((one) => new WeakRef(one));
    })();
    // A WeakRef keeps its target until the current job ends.
    await new Promise((resolve) => setImmediate(resolve));
    gc();
    assert.ok(weak.every((ref) => ref.deref() === undefined));
  });
});
