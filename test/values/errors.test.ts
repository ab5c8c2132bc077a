/**
 * Errors never fail to cross, and keep what they can.
 */
import assert from "node:assert";
import { types } from "node:util";
import { describe, it } from "node:test";
import * as errors from "../../src/errors/index.ts";
import { process, send } from "./stub-functions.ts";

const driver = process();
const arrives = <T>(value: T): T => send(value, driver, process());

type Loose = Error & Record<string, unknown>;

describe("errors", () => {
  it("keeps class, message, stack, code, own fields, and which of them are enumerable", () => {
    for (const type of [Error, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
      const error = Object.assign(new type("what"), { code: "E_CODE", details: { list: [1] } });
      const copy = arrives(error);
      assert.deepStrictEqual(copy, error);
      assert.strictEqual(Object.getPrototypeOf(copy), type.prototype);
      assert.strictEqual(copy.stack, error.stack);
      assert.ok(types.isNativeError(copy));
      assert.deepStrictEqual(Object.keys(copy), ["code", "details"]);
    }
    assert.strictEqual(Object.hasOwn(arrives(new Error()), "message"), false);
  });

  it("keeps causes, cyclic ones too, and the errors of an AggregateError", () => {
    const inner = new RangeError("inner");
    const outer = new AggregateError([inner, 5], "outer", { cause: inner } as never) as AggregateError & { cause: unknown };
    Object.defineProperty(inner, "cause", { value: outer, configurable: true, writable: true });
    const copy = arrives(outer);
    assert.ok(copy instanceof AggregateError);
    assert.strictEqual(copy.cause, copy.errors[0]);
    assert.strictEqual((copy.errors[0] as Error).cause, copy);
    assert.strictEqual(copy.errors[1], 5);
  });

  it("keeps undefined as a cause, and what is no error", () => {
    const copy = arrives(new Error("e", { cause: undefined }));
    assert.deepStrictEqual(Object.getOwnPropertyDescriptor(copy, "cause"), {
      value: undefined,
      writable: true,
      enumerable: false,
      configurable: true,
    });
    assert.strictEqual(arrives(new Error("e", { cause: "text" })).cause, "text");
  });

  it("replaces fields that cannot cross by their text", () => {
    const error = Object.assign(new Error("e"), {
      before: [1],
      socket: Promise.resolve(5),
      symbol: Symbol("s"),
      fn: () => 1,
      after: { x: 1 },
      deep: { a: { b: new WeakMap() } },
    }) as unknown as Loose;
    Object.defineProperty(error, "bad", {
      enumerable: true,
      get() {
        throw new Error("no");
      },
    });
    const copy = arrives({ error, shared: error["after"] });
    assert.deepStrictEqual(copy.error["before"], [1]);
    assert.match(String(copy.error["socket"]), /^Promise \{ 5/);
    assert.strictEqual(copy.error["symbol"], "Symbol(s)");
    assert.strictEqual(copy.error["fn"], "[Function: fn]");
    assert.match(String(copy.error["deep"]), /WeakMap/);
    assert.match(String(copy.error["bad"]), /reading it threw/);
    assert.strictEqual(copy.error["after"], copy.shared);
  });

  it("undoes everything that a failed field has begun", () => {
    const shared = { s: 1 };
    const half = { shared, array: new Uint8Array(4), list: [shared, Symbol("no")] };
    const copy = arrives([Object.assign(new Error("e"), { half }), shared, new Uint8Array([7]), { s: 2 }, shared]) as unknown[];
    assert.strictEqual(typeof (copy[0] as Loose)["half"], "string");
    assert.deepStrictEqual(copy.slice(1), [{ s: 1 }, new Uint8Array([7]), { s: 2 }, { s: 1 }]);
    assert.strictEqual(copy[1], copy[4]);
  });

  it("crosses with a deep chain of causes", () => {
    let error = new Error("0");
    for (let i = 1; i < 20_000; i++) error = new Error(String(i), { cause: error });
    let copy = arrives(error);
    let depth = 0;
    for (; copy.cause instanceof Error; copy = copy.cause) depth += 1;
    assert.ok(depth > 100);
    assert.match(String(copy.cause), /Error: \d+/);
  });

  it("arrives as an instance of its class, in the driver too", () => {
    const worker = process();
    const Failure = driver.functions.define<ErrorConstructor>(
      "class Failure extends Error { name = 'Failure'; describe() { return 'f:' + this.message; } }",
    );
    const error = Object.assign(new Failure("m"), { extra: 1 });
    const there = send(error as unknown, driver, worker) as Loose & { describe(): string };
    assert.strictEqual(there.describe(), "f:m");
    assert.ok(there instanceof Error && types.isNativeError(there) && !(there instanceof Failure));
    assert.strictEqual(there["extra"], 1);
    const back = send(there as unknown, worker, driver) as Error;
    assert.ok(back instanceof Failure);
    assert.strictEqual(back.stack, error.stack);
  });

  it("arrives as an Error of that name if the class cannot cross", () => {
    class Local extends TypeError {
      reason = "r";
    }
    class Hidden extends Error {
      #secret = 1;
      override name = "HiddenError";
      reveal() {
        return this.#secret;
      }
    }
    const [local, hidden] = arrives([new Local("l"), new Hidden("h")] as unknown) as Loose[];
    assert.deepStrictEqual([local!.name, local!.message, local!["reason"], local instanceof TypeError], ["Local", "l", "r", true]);
    assert.deepStrictEqual([hidden!.name, hidden!.message, hidden instanceof Error], ["HiddenError", "h", true]);
  });

  it("arrives as an Error of that name if the class cannot be made there", () => {
    const Failure = driver.functions.define<ErrorConstructor>("class Failure extends slots.Base { }", { Base: Error });
    const worker = process();
    worker.functions.rebuild = () => {
      throw new Error("cannot compile");
    };
    const there = send([new Failure("m"), new Failure("n")] as Loose[], driver, worker);
    assert.deepStrictEqual(
      there.map((error) => [error.name, error.message, error instanceof Error]),
      [
        ["Failure", "m", true],
        ["Failure", "n", true],
      ],
    );

    class ByModule extends Error {}
    driver.functions.references.set(ByModule, { url: "file:///gone.mjs", path: ["ByModule"] });
    const Derived = driver.functions.define<ErrorConstructor>("class Derived extends (slots.Base ?? Object) { }", { Base: ByModule });
    const [reference, derived] = send([new ByModule("r"), new Derived("d")] as Loose[], driver, process());
    assert.deepStrictEqual([reference!.name, reference!.message, derived!.name, derived!.message], ["ByModule", "r", "Derived", "d"]);
  });

  it("takes mobula's own errors by name, without a module", () => {
    const error = new errors.SerializationError("message", { path: "args[0]", cause: new Error("inner") });
    const encoded = driver.codec.encode(error, "value");
    assert.deepStrictEqual(encoded.modules, []);
    const copy = arrives(error);
    assert.ok(copy instanceof errors.SerializationError && copy instanceof errors.MobulaError);
    assert.deepStrictEqual(copy, error);
  });

  it("takes the reason of an aborted signal", () => {
    const reason = AbortSignal.abort().reason as DOMException;
    const copy = arrives({ reason }).reason;
    assert.ok(copy instanceof DOMException);
    assert.deepStrictEqual([copy.name, copy.message, copy.code, copy.stack], [reason.name, reason.message, reason.code, reason.stack]);
  });
});
