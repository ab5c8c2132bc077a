/**
 * What the rest of the engine asks about functions and modules, captures named by hand, what is known by name, and failed imports.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import { createRequire } from "node:module";
import * as nodePath from "node:path";
import { describe, test } from "node:test";
import { RuntimeEnvError } from "../../src/errors/index.ts";
import {
  definitionSite,
  describeModule,
  functionCodec,
  functionName,
  hasPrivateFields,
  importModules,
  isClass,
  isGenerator,
  registerWellKnown,
  withCaptures,
} from "../../src/functions/index.ts";
import * as syntax from "../../src/functions/syntax.ts";
import type { FunctionRecord } from "../../src/values/contract.ts";

type ByValue = FunctionRecord & { readonly kind: "value" };

function byValue(fn: Function): ByValue {
  const record = functionCodec.capture(fn, "f");
  assert.equal(record.kind, "value");
  return record as ByValue;
}

async function remake(record: ByValue): Promise<Function> {
  const made = functionCodec.rebuild(record, await importModules(record.modules));
  made.fill(record.captures, record.properties);
  made.start();
  return made.fn;
}

describe("captures by hand", () => {
  const a = 1;
  const b = 2;
  const sum = (): number => a + b;

  test("win over the lexical ones, and differ by set", async () => {
    const [one, two] = [withCaptures(sum, { a: 10 }), withCaptures(sum, { a: 20, b: 30 })];
    assert.equal((await remake(byValue(sum)))(), 3);
    assert.equal((await remake(byValue(one)))(), 12);
    assert.equal((await remake(byValue(two)))(), 50);
  });

  test("win again for a function that came from elsewhere", async () => {
    const arrived = await remake(byValue(sum));
    assert.equal((await remake(byValue(withCaptures(arrived, { b: 5 }))))(), 6);
  });

  test("make a function of a module cross by value", () => {
    assert.equal(functionCodec.capture(syntax.isNode, "f").kind, "reference");
    assert.equal(functionCodec.capture(withCaptures(syntax.isNode, { x: 1 }), "f").kind, "value");
  });
});

test("a rebuilt function crosses with the state that it has by then", async () => {
  let n = 0;
  const arrived = await remake(byValue(() => ++n));
  assert.deepEqual([arrived(), arrived()], [1, 2]);
  assert.equal((await remake(byValue(arrived)))(), 3);
  assert.equal(n, 0);
});

test("the class of a function", () => {
  class Some {
    *items(): Generator<number> {
      yield 1;
    }
    async *later(): AsyncGenerator<number> {
      yield 1;
    }
    plain(): void {}
  }
  assert.deepEqual([isClass(Some), isClass(class {}), isClass(() => 1), isClass(function () {})], [true, true, false, false]);
  assert.deepEqual([Some.prototype.items, Some.prototype.later, Some.prototype.plain].map(isGenerator), [true, true, false]);
  assert.equal(isGenerator(Some.prototype.items.bind(new Some())), true);
  assert.deepEqual([functionName(Some), functionName(() => 1), functionName(withCaptures(Some, {}))], ["Some", "(anonymous)", "Some"]);
});

test("private members are found in the body of the class itself", () => {
  class Field {
    #a = 1;
    read(): number {
      return this.#a;
    }
  }
  class Method {
    #m(): number {
      return 1;
    }
    read(): number {
      return this.#m();
    }
  }
  class Below extends Field {}
  class OnlyStatic {
    static #count = 0;
    static next(): number {
      return ++OnlyStatic.#count;
    }
  }
  assert.deepEqual([Field, Method, Below, OnlyStatic, Map].map(hasPrivateFields), [true, true, false, false, false]);
});

test("the place of definition", async () => {
  const here = (): number => 1;
  assert.match(definitionSite(here), /^questions\.test\.ts:\d+:\d+$/);
  assert.match(definitionSite(await remake(byValue(here))), /^questions\.test\.ts:\d+:\d+$/);
  assert.equal(definitionSite(Math.max), "");
});

describe("modules as values", () => {
  const roundTrip = async (value: object): Promise<unknown> => {
    const key = describeModule(value);
    return key === undefined ? undefined : (await importModules([key]))(key);
  };

  test("namespaces of files and of Node, exports of Node", async () => {
    const require = createRequire(import.meta.url);
    assert.equal(await roundTrip(syntax), syntax);
    assert.equal(await roundTrip(nodePath), nodePath);
    assert.equal(await roundTrip(require("node:fs") as object), fs);
  });

  test("other objects are none", async () => {
    assert.equal(await roundTrip({ join: nodePath.join }), undefined);
    assert.equal(await roundTrip({ default: fs }), undefined);
  });
});

test("what is registered crosses by name", async () => {
  const api = { tool: () => "tool" };
  registerWellKnown("test-api:", api);
  assert.deepEqual(functionCodec.capture(api.tool, "f"), { kind: "reference", url: "test-api:", path: ["tool"] });
  const record = byValue(() => api.tool());
  assert.deepEqual(record.modules, ["test-api:"]);
  assert.equal((await remake(record))(), "tool");
});

test("a namespace whose members are all registered crosses as what was registered", async () => {
  registerWellKnown("test-syntax:", { ...syntax });
  const record = byValue(() => syntax.isNode({ type: "x" }));
  assert.deepEqual(record.modules, ["test-syntax:"]);
  assert.equal((await remake(record))(), true);
});

describe("a module that cannot be imported here", () => {
  const url = "file:///nowhere/missing.mjs";

  test("rejects with the cause", async () => {
    await assert.rejects(importModules([url]), (error: unknown) => {
      assert.ok(error instanceof RuntimeEnvError);
      assert.match(error.message, /missing\.mjs cannot be loaded in this process/);
      assert.equal((error.cause as { code?: string }).code, "ERR_MODULE_NOT_FOUND");
      return true;
    });
  });

  test("a package that is not installed names who imports it", async () => {
    await assert.rejects(
      importModules([`no-such-package from ${import.meta.url}`]),
      /no-such-package \(imported by file:.*questions\.test\.ts\)/,
    );
  });

  test("an export that the module has not", async () => {
    const moduleOf = await importModules(["node:path"]);
    assert.throws(() => functionCodec.resolve?.({ url: "node:path", path: ["default", "gone"] }, moduleOf), RuntimeEnvError);
    const record = byValue(() => nodePath.join("a"));
    const code = record.code.replace('"name":"*"', '"name":"gone"');
    assert.throws(() => functionCodec.rebuild({ kind: "value", code }, moduleOf), RuntimeEnvError);
  });
});
