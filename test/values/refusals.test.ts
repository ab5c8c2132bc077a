/**
 * What cannot cross is refused with the path to it, what it is, and what to do.
 */
import assert from "node:assert";
import { execFile } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { createReadStream } from "node:fs";
import { createServer } from "node:http";
import { Socket } from "node:net";
import { Readable, Transform } from "node:stream";
import { describe, it } from "node:test";
import { MessageChannel, Worker } from "node:worker_threads";
import { generateKeySync } from "node:crypto";
import { SerializationError } from "../../src/errors/index.ts";
import { process, send } from "./stub-functions.ts";

const here = process();

/** The value is refused, at its path, at once; and what follows is sound. */
function refused(value: unknown, what: RegExp): void {
  const places: [unknown, string][] = [
    [[value], "args[0]"],
    [[{ db: { socket: value } }], "args[0].db.socket"],
    [[1, new Map([["key", [value]]])], 'args[1].get("key")[0]'],
    [[new Set([1, { "a b": value }])], 'args[0].values()[1]["a b"]'],
    [[Object.assign([], { 5: value, named: 1 })], "args[0][5]"],
  ];
  if (typeof value === "object") places.push([[new Map([[{ value }, 1]])], "args[0].keys()[0].value"]);
  for (const [holder, path] of places) {
    assert.throws(
      () => here.codec.encode(holder, "args"),
      (error) => {
        assert.ok(error instanceof SerializationError, String(error));
        assert.strictEqual(error.code, "SERIALIZATION_FAILED");
        assert.strictEqual(error.path, path);
        assert.match(error.message, what);
        assert.ok(error.message.startsWith(path), error.message);
        // What it is, why, and what to do.
        assert.ok(error.message.split(". ").length >= 3, error.message);
        return true;
      },
    );
  }
  assert.deepStrictEqual(send({ a: [1] }, here), { a: [1] });
}

describe("refusals", () => {
  it("refuses symbols, as values", () => {
    refused(Symbol("s"), /a symbol/);
    refused(Symbol.for("s"), /a symbol/);
    refused(Object(Symbol("s")), /a symbol/);
  });

  it("refuses promises, weak references, proxies, generators, iterators", () => {
    refused(Promise.resolve(1), /a promise.*Await it/);
    refused(new WeakMap(), /a WeakMap.*Send a Map/);
    refused(new WeakSet(), /a WeakSet/);
    refused(new WeakRef({}), /a WeakRef/);
    refused(new FinalizationRegistry(() => {}), /a FinalizationRegistry/);
    refused(new Proxy({}, {}), /a Proxy/);
    refused(new Proxy([], {}), /a Proxy/);
    refused(new Proxy(() => 1, {}), /a Proxy/);
    refused(Proxy.revocable({}, {}).proxy, /a Proxy/);
    refused(
      (function* () {
        yield 1;
      })(),
      /a generator/,
    );
    refused(
      (async function* () {
        yield 1;
      })(),
      /a generator/,
    );
    refused([][Symbol.iterator](), /an iterator/);
    refused(new Map().entries(), /an iterator/);
    refused("a".matchAll(/a/g), /an iterator/);
  });

  it("refuses a revoked proxy", () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    assert.throws(() => here.codec.encode([{ proxy }], "args"), SerializationError);
  });

  it("refuses shared memory and views of it", () => {
    refused(new SharedArrayBuffer(8), /a SharedArrayBuffer/);
    refused(new Int32Array(new SharedArrayBuffer(8)), /a SharedArrayBuffer/);
  });

  it("refuses signals, platform objects, keys", () => {
    refused(new AbortController().signal, /an AbortSignal.*getRuntimeContext/);
    refused(new AbortController(), /an AbortController/);
    refused(new URLSearchParams("a=1"), /an URLSearchParams|a URLSearchParams/);
    refused(new Blob(["a"]), /a Blob.*arrayBuffer/);
    refused(new TextDecoder(), /a TextDecoder/);
    refused(new Headers(), /a Headers/);
    refused(new Intl.NumberFormat(), /NumberFormat/);
    refused(generateKeySync("hmac", { length: 64 }), /a key object/);
    refused(new ReadableStream(), /a ReadableStream/);
    refused(new EventTarget(), /an EventTarget/);
  });

  it("refuses streams, sockets, servers, timers, ports, processes", async () => {
    const file = createReadStream(import.meta.filename);
    const port = new MessageChannel();
    const timer = setTimeout(() => {}, 1000);
    const immediate = setImmediate(() => {});
    const child = execFile("true");
    const exited = once(child, "exit");
    const thread = new Worker("", { eval: true });
    try {
      refused(new Socket(), /a stream \(Socket\).*inside the task/);
      refused(file, /a stream \(ReadStream\)/);
      refused(new Readable(), /a stream \(Readable\)/);
      refused(new (class Own extends Transform {})(), /a stream \(Own\)/);
      refused(createServer(), /an open handle \(Server\)/);
      refused(child, /an open handle \(ChildProcess\)/);
      refused(timer, /an open handle \(Timeout\)/);
      refused(immediate, /an open handle \(Immediate\)/);
      refused(port.port1, /a MessagePort.*Queue/);
      refused(thread, /an open handle \(Worker\)/);
    } finally {
      clearTimeout(timer);
      clearImmediate(immediate);
      port.port1.close();
      file.destroy();
      await exited;
      await thread.terminate();
    }
  });

  it("refuses instances with private fields, own or inherited, without hooks", () => {
    const Hidden = here.functions.define<new () => object>("class Hidden { #secret = 1; }");
    refused(new Hidden(), /an instance of Hidden, which has #private fields.*static \[serialize\]/);
    const Child = here.functions.define<new () => object>("class Child extends (slots.Base ?? Object) { }", { Base: Hidden });
    refused(new Child(), /Child, which has #private fields. Its base class Hidden/);
  });

  it("refuses subclasses whose content cannot be given to them", () => {
    for (const [base, make] of Object.entries({ Uint8Array: "2", Date: "0", RegExp: "'a'", Promise: "() => {}", Float64Array: "2" })) {
      const Sub = here.functions.define<new () => object>(`class Sub extends ${base} { constructor() { super(${make}); } }`);
      refused(new Sub(), new RegExp(`Sub, a subclass of ${base}`));
    }
  });

  it("passes on what the FunctionCodec says of a function", () => {
    assert.throws(() => here.codec.encode([{ fn: () => 1 }], "args"), { path: "args[0].fn", message: /cannot be captured/ });
    class Local {}
    assert.throws(() => here.codec.encode([[new Local()]], "args"), { path: "args[0][0]" });
  });

  it("takes an emitter and classes that only share a name with a handle", () => {
    const Timeout = here.functions.define<new () => object>("class Timeout { ms = 5; }");
    assert.deepStrictEqual({ ...send(new Timeout(), here, process()) }, { ms: 5 });
    here.functions.references.set(EventEmitter, { url: "node:events", path: ["EventEmitter"] });
    const there = process();
    there.moduleOf = () => ({ EventEmitter });
    assert.ok(send(new EventEmitter(), here, there) instanceof EventEmitter);
  });

  it("refuses what cannot be read, with what reading it threw as the cause", () => {
    const thrown = new TypeError("from the getter");
    const value = {
      ok: 1,
      get bad() {
        throw thrown;
      },
    };
    const error = refusalOf([value]);
    assert.strictEqual(error.path, "args[0].bad");
    assert.strictEqual(error.cause, thrown);
    const hooks = `static [Symbol.for("mobula.serialize")]() { throw slots.thrown; } static [Symbol.for("mobula.deserialize")]() {}`;
    const Vault = here.functions.define<new () => object>(`class Vault { ${hooks} }`, { thrown });
    const hook = refusalOf([{ vault: new Vault() }]);
    assert.match(hook.message, /an instance of Vault, whose `static \[serialize\]` threw/);
    assert.deepStrictEqual([hook.path, hook.cause], ["args[0].vault", thrown]);
    assert.deepStrictEqual(send([{ a: 1 }], here), [{ a: 1 }]);
  });

  it("refuses a buffer that was transferred away, and views of it", () => {
    const buffer = new ArrayBuffer(8);
    const view = new Uint8Array(buffer);
    structuredClone(buffer, { transfer: [buffer] });
    refused(buffer, /a detached ArrayBuffer/);
    refused(view, /a detached ArrayBuffer/);
  });

  it("refuses native functions that are handed over, not classes of the language, nor what functions use inside", () => {
    for (const native of [Math.max, JSON.parse, [].push, console.log]) refused(native, /a native function.*wrap it/);
    const direct = here.functions.define("() => slots.max(1, 2)", { max: Math.max });
    assert.throws(() => here.codec.encode(direct, "f"), { name: "SerializationError", path: "f.(captured max)" });
    const helper = here.functions.define("(a) => slots.max(a, 2)", { max: Math.max });
    const fn = here.functions.define("(a) => slots.helper(a)", { helper });
    assert.strictEqual(send(fn, here)(5), 5);
    assert.deepStrictEqual(send([Map, Uint8Array], here), [Map, Uint8Array]);
  });
});

function refusalOf(value: unknown): SerializationError {
  try {
    here.codec.encode(value, "args");
  } catch (error) {
    assert.ok(error instanceof SerializationError, String(error));
    return error;
  }
  assert.fail("it was not refused");
}
