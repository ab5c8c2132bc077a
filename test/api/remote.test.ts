/**
 * Remote functions, actor classes and handles, lazy graphs, against an engine in memory.
 */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { inspect, types } from "node:util";
import * as ray from "../../src/api/index.ts";
import { behind } from "../../src/api/callable.ts";
import { makeHandle, methodsOf } from "../../src/api/handles.ts";
import { ActorClassObject, RemoteFunctionObject } from "../../src/api/remote.ts";
import { InvalidOptionError, PendingCallsLimitError, TaskError } from "../../src/errors/index.ts";
import { dropEngines, engines, lastEngine, useFakeEngine } from "./fake-engine.ts";

beforeEach(() => useFakeEngine());
afterEach(dropEngines);

class Base {
  inherited(): string {
    return "base";
  }
}
class Counter extends Base {
  #n = 0;
  get level(): never {
    throw new Error("not to be run");
  }
  static total(): number {
    return 0;
  }
  field = (x: number): number => x + 1;
  increment(by = 1): number {
    return (this.#n += by);
  }
  async fail(): Promise<never> {
    throw new RangeError("too far");
  }
  *items(n: number): Generator<number> {
    for (let i = 0; i < n; i++) yield i;
  }
  async *later(): AsyncGenerator<string> {
    yield "a";
  }
  pair(): [number, string] {
    return [1, "a"];
  }
  // oxlint-disable-next-line unicorn/no-thenable -- a handle must not show it
  then(): void {}
}

test("a remote function gives refs at once, takes refs as arguments, and starts the engine by itself", async () => {
  assert.equal(engines.length, 0);
  const square = ray.remote((x: number) => x * x);
  assert.equal(engines.length, 0, "remote() alone starts nothing");
  const ref = square.remote(3);
  assert.equal(engines.length, 1);
  assert.ok(ref instanceof ray.ObjectRef);
  assert.equal(await ray.get(square.remote(ref)), 81);
  assert.equal(engines.length, 1);
});

test("detached .remote works, as in xs.map(f.remote)", async () => {
  const square = ray.remote((x: number) => x * x);
  const { remote } = square;
  assert.equal(await ray.get(remote(3)), 9);
  assert.deepEqual(await ray.get([1, 2].map((x) => square.remote(x))), [1, 4]);
});

test("several returns and streams", async () => {
  const pair = ray.remote((): [number, string] => [1, "a"], { numReturns: 2 });
  assert.deepEqual(await ray.get(pair.remote()), [1, "a"]);
  const stream = ray
    .remote(function* (n: number) {
      for (let i = 0; i < n; i++) yield i;
    })
    .remote(3);
  const seen: number[] = [];
  for await (const ref of stream) seen.push(await ray.get(ref));
  assert.deepEqual(seen, [0, 1, 2]);
  // A plain function that returns a generator says so.
  const indirect = ray.remote((): Generator<number> => [7][Symbol.iterator]() as Generator<number>, { numReturns: "streaming" });
  for await (const ref of indirect.remote()) assert.equal(await ray.get(ref), 7);
});

test("remote refuses what is neither function nor class, and what is remote already", () => {
  for (const wrong of [1, "x", null, undefined, {}, [], Promise.resolve(1), new Counter()]) {
    assert.throws(() => ray.remote(wrong as never), InvalidOptionError, inspect(wrong));
  }
  assert.throws(() => ray.remote(new Counter() as never), /Pass the class Counter itself/);
  assert.throws(() => ray.remote(Promise.resolve() as never), /without calling it/);
  const square = ray.remote(function square(x: number) {
    return x * x;
  });
  assert.throws(() => ray.remote(square as never), /square, which is remote already.*square\.options/);
  assert.throws(() => ray.remote(ray.remote(Counter) as never), /Counter, which is remote already/);
});

test("calling a remote function, actor class or method directly says what to write", () => {
  const square = ray.remote(function square(x: number) {
    return x * x;
  });
  const Remote = ray.remote(Counter);
  const counter = Remote.remote();
  const call = (target: unknown): unknown => (target as (x: number) => unknown)(1);
  assert.throws(
    () => call(square),
    (error) => error instanceof InvalidOptionError && /square\.remote\(\.\.\.\)/.test(error.message),
  );
  assert.throws(
    () => call(Remote),
    (error) => error instanceof InvalidOptionError && /Counter\.remote\(\.\.\.\)/.test(error.message),
  );
  assert.throws(() => new (Remote as unknown as new () => unknown)(), InvalidOptionError);
  assert.throws(
    () => call(counter.increment),
    (error) => error instanceof InvalidOptionError && /handle\.increment\.remote/.test(error.message),
  );
});

test("they inspect as what they are", () => {
  const square = ray.remote(function square(x: number) {
    return x * x;
  });
  const Remote = ray.remote(Counter);
  const counter = Remote.remote();
  assert.equal(inspect(square), "RemoteFunction(square)");
  assert.equal(inspect(Remote), "ActorClass(Counter)");
  assert.match(inspect(counter), /^ActorHandle\(Counter, fake-\d+-a\)$/);
  assert.match(inspect({ counter }), /ActorHandle\(Counter/);
  assert.equal(inspect(counter.increment), "ActorMethod(Counter.increment)");
  assert.equal(inspect(square.bind(1)), "LazyNode(square)");
});

test("what crosses is the object behind the function: enumerable fields only, so that cycles can be closed", () => {
  const square = ray.remote((x: number) => x * x, { maxRetries: 1 });
  const inner = behind(square);
  assert.ok(inner instanceof RemoteFunctionObject && typeof inner === "object");
  assert.deepEqual(Object.keys(inner), ["target", "given"]);
  assert.ok((square as unknown) instanceof RemoteFunctionObject);
  // As a decoder does it: an instance of the class with those fields, not made by the constructor.
  const back = Object.assign(Object.create(RemoteFunctionObject.prototype) as RemoteFunctionObject, { ...inner });
  back.remote(2);
  assert.equal(lastEngine().tasks.at(-1)!.spec.maxRetries, 1);
  const Remote = behind(ray.remote(Counter, { maxRestarts: 2 }));
  assert.ok(Remote instanceof ActorClassObject);
  const again = Object.assign(Object.create(ActorClassObject.prototype) as ActorClassObject, { ...Remote });
  assert.match(inspect(again.remote()), /^ActorHandle\(Counter/);
});

test("methods of a class: inherited ones, generators marked; no accessors, fields, statics, or then", () => {
  assert.deepEqual(methodsOf(Counter).toSorted(), ["*items", "*later", "fail", "increment", "inherited", "pair"]);
  class Hides extends Counter {}
  Object.defineProperty(Hides.prototype, "pair", { get: () => assert.fail("accessors are not run"), configurable: true });
  assert.ok(!methodsOf(Hides).includes("pair"), "an accessor hides the method of its base");
});

test("a handle calls methods", async () => {
  const counter = ray.remote(Counter).remote();
  counter.increment.remote();
  assert.equal(await ray.get(counter.increment.remote(ray.put(2))), 3);
  assert.equal(await ray.get(counter.inherited.remote()), "base");
  assert.equal(await ray.get(counter.field.remote(1)), 2);
  assert.deepEqual(await ray.get(counter.pair.options({ numReturns: 2 }).remote()), [1, "a"]);
  const items: number[] = [];
  for await (const ref of counter.items.remote(2)) items.push(await ray.get(ref));
  assert.deepEqual(items, [0, 1]);
  await assert.rejects(ray.get(counter.fail.remote()), (error) => error instanceof TaskError && error.cause instanceof RangeError);
  assert.equal(counter.increment, counter.increment, "a method is made once");
});

test("a handle does not look like a promise, and answers the questions of tools quietly", async () => {
  const Remote = ray.remote(Counter);
  const known = Remote.remote();
  const unknown = makeHandle({ engine: lastEngine(), actorId: "x-1-a", className: "Far", methods: undefined });
  for (const handle of [known, unknown] as unknown as Array<Record<PropertyKey, unknown>>) {
    assert.equal(handle["then"], undefined);
    // oxlint-disable-next-line typescript/await-thenable -- that is the point
    assert.equal(await handle, handle);
    assert.equal(handle["toJSON"], undefined);
    assert.equal(handle[Symbol.iterator], undefined);
    assert.equal(handle[Symbol.toPrimitive], undefined);
    assert.equal(typeof handle["toString"], "function");
    assert.equal(`${Reflect.apply(handle["toString"] as () => string, handle, [])}`, "[object Object]");
    assert.deepEqual(Object.keys(handle), []);
    assert.equal(types.isProxy(handle), false);
    assert.ok(!("anything" in handle));
    assert.doesNotThrow(() => JSON.stringify(handle));
  }
  assert.equal(inspect(unknown), "ActorHandle(Far, x-1-a)");
});

test("a handle whose class is not known takes any method", async () => {
  ray.remote(Counter).options({ name: "c" }).remote();
  const known = await ray.getActor<typeof Counter>("c");
  assert.equal(await ray.get(known.increment.remote(4)), 4);
  const core = lastEngine().hooks.coreOf(known)!;
  const far = makeHandle({ ...core, methods: undefined }) as ray.UntypedActorHandle;
  assert.equal(await ray.get(far["increment"]!.remote(4)), 8);
  await assert.rejects(ray.getActor("nobody"), { code: "ACTOR_NOT_FOUND" });
  await assert.rejects(ray.getActor(""), InvalidOptionError);
});

test("hooks: the core in a handle, and nothing in other objects", () => {
  const counter = ray.remote(Counter).remote();
  const { hooks } = lastEngine();
  const core = hooks.coreOf(counter)!;
  assert.equal(core.className, "Counter");
  assert.equal(hooks.coreOf(hooks.handleOf(core)), core);
  for (const other of [{}, [], ray.put(1), Object.create(counter) as object]) assert.equal(hooks.coreOf(other), undefined);
});

test("options of a method reach the engine; maxPendingCalls throws at the call", async () => {
  const counter = ray.remote(Counter, { maxPendingCalls: 1 }).remote();
  const first = counter.increment.options({ concurrencyGroup: "io", maxTaskRetries: 2, name: "n", retryExceptions: true }).remote();
  const spec = lastEngine().calls.at(-1)!;
  assert.deepEqual(
    { ...spec },
    {
      method: "increment",
      name: "n",
      numReturns: 1,
      maxTaskRetries: 2,
      retryExceptions: true,
      concurrencyGroup: "io",
      streamBuffer: 16,
      signal: undefined,
    },
  );
  assert.throws(() => counter.increment.remote(), PendingCallsLimitError);
  assert.equal(await ray.get(first), 1);
});

test("kill needs a handle", async () => {
  const counter = ray.remote(Counter).remote();
  await ray.kill(counter);
  await assert.rejects(ray.get(counter.increment.remote()), { code: "ACTOR_DIED" });
  for (const wrong of [undefined, 1, {}, ray.put(1), counter.increment]) await assert.rejects(ray.kill(wrong as never), InvalidOptionError);
});

test("exitActor outside an actor is refused", async () => {
  assert.throws(() => ray.exitActor(), InvalidOptionError);
  await ray.init();
  assert.throws(() => ray.exitActor(), InvalidOptionError);
});

test("a lazy graph submits each node once, in an order that works, anew at each execute", async () => {
  const order: string[] = [];
  const load = ray.remote((name: string) => {
    order.push(name);
    return name.length;
  });
  const add = ray.remote((a: number, b: number) => a + b);
  const shared = load.bind("shared");
  const root = add.bind(add.bind(shared, load.bind("b")), shared);
  assert.deepEqual(order, [], "nothing runs before execute");
  assert.equal(engines.length, 0);
  assert.equal(await ray.get(root.execute()), 13);
  assert.deepEqual(order, ["shared", "b"]);
  await ray.get(root.execute());
  assert.deepEqual(order, ["shared", "b", "shared", "b"]);
});

test("a lazy graph may be deep, and may call actors", async () => {
  const add = ray.remote((a: number, b: number) => a + b);
  let node = add.bind(0, 1);
  for (let i = 0; i < 20_000; i++) node = add.bind(node, 1);
  const submitted = node.execute();
  assert.equal(lastEngine().tasks.length, 20_001);
  assert.equal(await ray.get(submitted), 20_001);
  const counter = ray.remote(Counter).remote();
  assert.equal(await ray.get(counter.increment.bind(add.bind(1, 2)).execute()), 3);
});

test("a node of several refs is refused as an argument", () => {
  const pair = ray.remote((): [number, string] => [1, "a"], { numReturns: 2 });
  const take = ray.remote((x: unknown) => x);
  assert.throws(() => take.bind(pair.bind() as never).execute(), InvalidOptionError);
});
