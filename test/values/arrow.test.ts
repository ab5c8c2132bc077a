/**
 * Arrow tables: classes by reference to their module, data as data, columns out of band. With stand-ins built as the libraries
 * build theirs, and with apache-arrow itself where it is installed.
 */
import assert from "node:assert";
import { describe, it } from "node:test";
import { type Process, process, send } from "./stub-functions.ts";

/** As apache-arrow does it: a vector's prototype comes from a table, and one with a cache has a class that is not exported. */
class Data {
  readonly length: number;
  readonly values: Float64Array;

  constructor(values: Float64Array) {
    this.values = values;
    this.length = values.length;
  }
}
class Vector {
  readonly data: readonly Data[];

  constructor(data: readonly Data[]) {
    this.data = data;
    Object.setPrototypeOf(this, floatVectors);
  }
  get(index: number): number {
    return this.data[0]!.values[index]!;
  }
  getChildAt(): null {
    return null;
  }
  memoize(): Vector {
    const copy = new Vector(this.data);
    Object.setPrototypeOf(copy, MemoizedVector.prototype);
    return copy;
  }
}
const floatVectors: object = Object.create(Vector.prototype, { cached: { value: () => "closure of the library" } });
class MemoizedVector extends Vector {
  unmemoize(): Vector {
    return new Vector(this.data);
  }
}
class Table {
  readonly schema: { fields: { name: string }[] };
  readonly batches: readonly Data[];
  readonly dictionary: Vector;

  constructor(schema: { fields: { name: string }[] }, batches: readonly Data[]) {
    this.schema = schema;
    this.batches = batches;
    this.dictionary = new Vector(batches).memoize();
  }
}

/** As flechette does it: closures in the instance. */
const flechette = {
  Table: class Table {
    readonly schema: { fields: { name: string }[] };
    readonly names: readonly string[];
    readonly children: readonly Data[];
    readonly getFactory: (row: number) => Record<string, number>;

    constructor(schema: { fields: { name: string }[] }, children: readonly Data[]) {
      this.schema = schema;
      this.names = schema.fields.map(({ name }) => name);
      this.children = children;
      this.getFactory = (row) => Object.fromEntries(this.names.map((name, i) => [name, children[i]!.values[row]!]));
    }
  },
};

const modules: Readonly<Record<string, object>> = { "fake:arrow": { Data, Vector, Table }, "fake:flechette": flechette };

function withArrow(): Process {
  const one = process();
  for (const [url, namespace] of Object.entries(modules)) {
    for (const [name, type] of Object.entries(namespace)) one.functions.references.set(type as Function, { url, path: [name] });
  }
  one.moduleOf = (url) => modules[url] ?? assert.fail(url);
  return one;
}

describe("Arrow", () => {
  it("takes tables and vectors of apache-arrow's build", () => {
    const values = new Float64Array([1.5, 2.5]);
    const table = new Table({ fields: [{ name: "a" }] }, [new Data(values)]);
    const here = withArrow();
    const encoded = here.codec.encode(table, "value");
    assert.deepStrictEqual(encoded.modules, ["fake:arrow"]);
    assert.deepStrictEqual(
      encoded.buffers.map((buffer) => buffer.buffer === values.buffer && buffer.byteLength),
      [16],
    );
    const copy = send({ table, vector: new Vector(table.batches) }, here, withArrow());
    assert.ok(copy.table instanceof Table && copy.table.dictionary instanceof MemoizedVector);
    assert.deepStrictEqual([copy.table.dictionary.get(1), copy.vector.get(0), "cached" in copy.vector], [2.5, 1.5, true]);
    assert.strictEqual(copy.table.batches[0], copy.vector.data[0]);
  });

  it("takes tables of flechette's build", () => {
    const table = new flechette.Table({ fields: [{ name: "x" }, { name: "y" }] }, [
      new Data(new Float64Array([1, 2])),
      new Data(new Float64Array([3, 4])),
    ]);
    const copy = send(table, withArrow(), withArrow());
    assert.ok(copy instanceof flechette.Table);
    assert.deepStrictEqual(copy.getFactory(1), { x: 2, y: 4 });
  });

  it("takes apache-arrow itself", async () => {
    const name: string = "apache-arrow";
    const arrow = (await import(name)) as Record<string, unknown>;
    const here = process();
    for (const [key, type] of Object.entries(arrow)) {
      if (typeof type === "function") here.functions.references.set(type, { url: name, path: [key] });
    }
    here.moduleOf = () => arrow;
    const make = arrow["tableFromArrays"] as (columns: object) => { toArray(): unknown[]; numRows: number; schema: object };
    const table = make({ n: new Float64Array([1, 2, 3]), s: ["a", "b", "a"] });
    const copy = send(table, here);
    assert.ok(copy instanceof (arrow["Table"] as Function));
    assert.deepStrictEqual([JSON.stringify(copy.toArray()), String(copy.schema)], [JSON.stringify(table.toArray()), String(table.schema)]);
  });
});
