/**
 * Functions, classes and instances: what the codec itself owes, with a stub in the place of capturing. Two processes each.
 */
import assert from "node:assert";
import { beforeEach, describe, it } from "node:test";
import { SerializationError } from "../../src/errors/index.ts";
import { ValueCodec, deserialize, serialize } from "../../src/values/codec.ts";
import { type Process, process, refCodec, send } from "./stub-functions.ts";

interface Point {
  x: number;
  y: number;
  norm(): number;
}
type PointClass = new (x: number, y: number) => Point;
const pointSource = "class Point { constructor(x, y) { this.x = x; this.y = y; } norm() { return Math.hypot(this.x, this.y); } }";

let driver: Process;
let worker: Process;
let second: Process;
beforeEach(() => {
  driver = process();
  worker = process();
  second = process();
});

describe("functions", () => {
  it("arrive with what they capture, in one graph with the rest of the value", () => {
    const config = { factor: 3 };
    const fn = driver.functions.define<(x: number) => number>("(x) => x * slots.config.factor", { config });
    const copy = send({ fn, config }, driver, worker);
    assert.strictEqual(copy.fn(2), 6);
    copy.config.factor = 5;
    assert.strictEqual(copy.fn(2), 10);
    assert.strictEqual(fn(2), 6);
  });

  it("close recursion and mutual recursion", () => {
    const even: Record<string, unknown> = { odd: undefined };
    const odd: Record<string, unknown> = { even: undefined };
    const isEven = driver.functions.define<(n: number) => boolean>("(n) => n === 0 || slots.odd(n - 1)", even);
    odd["even"] = isEven;
    even["odd"] = driver.functions.define("(n) => n !== 0 && slots.even(n - 1)", odd);
    assert.deepStrictEqual([7, 8].map(send(isEven, driver, worker)), [false, true]);
    const slots: Record<string, unknown> = { self: undefined };
    const factorial = driver.functions.define<(n: number) => number>("(n) => n < 2 ? 1 : n * slots.self(n - 1)", slots);
    slots["self"] = factorial;
    assert.strictEqual(send(factorial, driver, worker)(5), 120);
  });

  it("keep properties, under registered and well-known symbols too", () => {
    const key = Symbol.for("mobula.test");
    const fn = Object.assign(driver.functions.define("() => 1"), { version: 2, [key]: "k", [Symbol.toStringTag]: "T", [Symbol("own")]: 1 });
    Object.assign(fn, { self: fn });
    const copy = send(fn, driver, worker);
    assert.deepStrictEqual([copy.version, copy[key], copy[Symbol.toStringTag], Reflect.get(copy, "self")], [2, "k", "T", copy]);
    assert.strictEqual(Object.getOwnPropertySymbols(copy).length, 2);
  });

  it("are taken as they are at the call, and are the same again only without state", () => {
    const slots = { factor: 2 };
    const stateful = driver.functions.define<(x: number) => number>("(x) => x * slots.factor", slots);
    const before = send(stateful, driver, worker);
    slots.factor = 3;
    assert.deepStrictEqual([before(1), send(stateful, driver, worker)(1)], [2, 3]);
    const pure = driver.functions.define("(x) => x + 1");
    const first = send(pure, driver, worker);
    assert.strictEqual(send([pure], driver, worker)[0], first);
    assert.strictEqual(send(first, worker, driver), pure);
    assert.notStrictEqual(send(driver.functions.define("(x) => x + 1"), driver, worker), first);
  });

  it("send a source once a value, however many closures there are of it", () => {
    const source = `(x) => x + slots.n /* ${"long ".repeat(200)} */`;
    const many = Array.from({ length: 50 }, (_, n) => driver.functions.define<(x: number) => number>(source, { n }));
    assert.ok(driver.codec.encode(many, "value").inband.byteLength < 3000);
    assert.deepStrictEqual(
      send(many, driver, worker).map((fn) => fn(1)),
      many.map((_, n) => n + 1),
    );
  });

  it("cross by reference to a module, and list it", () => {
    const shout = (text: string): string => text.toUpperCase();
    driver.functions.references.set(shout, { url: "file:///m.mjs", path: ["tools", "shout"] });
    const encoded = driver.codec.encode([shout, shout], "args");
    assert.deepStrictEqual(encoded.modules, ["file:///m.mjs"]);
    const there = (text: string): string => `${text}!`;
    worker.moduleOf = (url) => (url === "file:///m.mjs" ? { tools: { shout: there } } : assert.fail());
    const copy = send([shout, shout], driver, worker);
    assert.strictEqual(copy[0], there);
    assert.strictEqual(copy[0], copy[1]);
    // Back in the driver it is the very function, whatever the module gives there.
    worker.functions.references.set(there, { url: "file:///m.mjs", path: ["tools", "shout"] });
    assert.strictEqual(send(copy, worker, driver)[0], shout);
    second.moduleOf = () => ({ tools: {} });
    assert.throws(() => send(shout, driver, second), SerializationError);
  });

  it("take the namespace of a module by its URL", () => {
    const exports = { first: () => 1 };
    driver.functions.modules.set(exports, "node:first");
    const there = { first: () => 2 };
    worker.moduleOf = () => there;
    assert.deepStrictEqual(driver.codec.encode({ exports }, "value").modules, ["node:first"]);
    assert.strictEqual(send({ exports }, driver, worker).exports, there);
  });

  it("name the captured variable in the path of a refusal", () => {
    const fn = driver.functions.define("() => slots.db", { db: { socket: Promise.resolve() } });
    assert.throws(() => driver.codec.encode([fn], "args"), { path: "args[0].(captured db).socket" });
  });
});

describe("instances", () => {
  it("arrive as instances of their class, in the driver too", () => {
    const Point = driver.functions.define<PointClass>(pointSource);
    const there = send([new Point(3, 4), new Point(6, 8)], driver, worker);
    assert.deepStrictEqual(
      there.map((point) => point.norm()),
      [5, 10],
    );
    assert.strictEqual(there[0]!.constructor, there[1]!.constructor);
    assert.ok(!(there[0] instanceof Point));
    const back = send(there[0]!, worker, driver);
    assert.ok(back instanceof Point);
    assert.deepStrictEqual(back, new Point(3, 4));
  });

  it("belong to one class in a process, however often and from where it comes", () => {
    const Point = driver.functions.define<PointClass>(pointSource);
    const point = new Point(1, 2);
    const first = send(point, driver, worker);
    const again = send({ Point, list: [point] }, driver, worker);
    assert.strictEqual(again.Point, first.constructor);
    assert.ok(again.list[0] instanceof first.constructor);
    const viaSecond = send(send(point, driver, second), second, worker);
    assert.strictEqual(viaSecond.constructor, first.constructor);
    const home = send(send(first, worker, second), second, driver);
    assert.ok(home instanceof Point);
    assert.strictEqual(worker.functions.rebuilds, 1);
    assert.strictEqual(driver.functions.captures, 1);
  });

  it("keep two classes apart that have the same source", () => {
    const [A, B] = [driver.functions.define<PointClass>(pointSource), driver.functions.define<PointClass>(pointSource)];
    const [a, b] = send([new A(1, 1), new B(1, 1)], driver, worker);
    assert.notStrictEqual(a!.constructor, b!.constructor);
    const back = send([a!, b!], worker, driver);
    assert.deepStrictEqual([back[0] instanceof A, back[0] instanceof B, back[1] instanceof B], [true, false, true]);
  });

  it("close cycles between a class and its instances", () => {
    const Single = driver.functions.define<PointClass & { one: Point; all: Point[] }>(pointSource.replace("Point", "Single"));
    Single.one = new Single(3, 4);
    Single.all = [Single.one, new Single(0, 1)];
    const one = send(Single.one, driver, worker);
    const There = one.constructor as typeof Single;
    assert.strictEqual(There.one, one);
    assert.strictEqual(There.all[0], one);
    assert.strictEqual(one.norm(), 5);
    const slots: Record<string, unknown> = { origin: undefined };
    const Ring = driver.functions.define<PointClass>(
      "class Ring { constructor(x, y) { this.x = x; } norm() { return slots.origin.x; } }",
      slots,
    );
    slots["origin"] = new Ring(7, 0);
    const ring = send(new Ring(1, 1), driver, worker);
    assert.strictEqual(ring.norm(), 7);
  });

  it("keep inheritance, also of Array, Map and Set, with content and own properties", () => {
    const Base = driver.functions.define<new () => { hello(): string }>("class Base { hello() { return 'base'; } }");
    const Derived = driver.functions.define<new () => { hello(): string }>("class Derived extends (slots.Base ?? Object) { own = 1; }", {
      Base,
    });
    const derived = send(new Derived(), driver, worker);
    assert.deepStrictEqual([derived.hello(), { ...derived }], ["base", { own: 1 }]);
    assert.ok(send(derived, worker, driver) instanceof Base);
    const List = driver.functions.define<ArrayConstructor>(
      "class List extends Array { label = 'l'; sum() { return this.reduce((a, b) => a + b, 0); } }",
    );
    const Index = driver.functions.define<MapConstructor>(
      "class Index extends Map { label = 'i'; set() { throw new Error('not this one'); } }",
    );
    const Bag = driver.functions.define<SetConstructor>("class Bag extends Set { label = 'b'; }");
    const index = new Index<unknown, unknown>();
    Map.prototype.set.call(index, "k", index);
    const [list, map, set] = send([List.from([1, 2, 3]), index, new Bag([1, 2])] as const, driver, worker);
    assert.strictEqual((list as unknown as { sum(): number }).sum(), 6);
    assert.deepStrictEqual([list.length, Array.isArray(list), Reflect.get(list, "label")], [3, true, "l"]);
    assert.deepStrictEqual([map.size, map.get("k") === map, Reflect.get(map, "label"), map.constructor.name], [1, true, "i", "Index"]);
    assert.deepStrictEqual([[...set], Reflect.get(set, "label")], [[1, 2], "b"]);
  });

  it("do not run setters or constructors when they are made", () => {
    const source =
      "class Guarded { constructor() { if (slots.locked) throw new Error('constructed'); } set x(v) { throw new Error('set'); } }";
    const slots = { locked: false };
    const Guarded = driver.functions.define<new () => object>(source, slots);
    const guarded = Object.defineProperty(new Guarded(), "x", { value: 1, enumerable: true });
    slots.locked = true;
    assert.strictEqual(Object.getOwnPropertyDescriptor(send(guarded, driver, worker), "x")?.value, 1);
  });

  it("take a list of 10,000 linked instances", () => {
    const Node = driver.functions.define<new () => { next?: object }>("class Node { }");
    let list: { next?: object } | undefined;
    for (let i = 0; i < 10_000; i++) list = Object.assign(new Node(), list === undefined ? {} : { next: list });
    let count = 0;
    const first = send(list!, driver, worker);
    for (let at: typeof list = first; at !== undefined; at = at.next) {
      assert.strictEqual(at.constructor, first.constructor);
      count += 1;
    }
    assert.strictEqual(count, 10_000);
  });

  it("are fixed to their class as it first crossed; a failed crossing fixes nothing", () => {
    const slots: { helper: unknown } = { helper: Promise.resolve() };
    const Late = driver.functions.define<new () => { run(): number }>("class Late { run() { return slots.helper; } }", slots);
    assert.throws(() => driver.codec.encode(new Late(), "value"), SerializationError);
    slots.helper = 1;
    assert.strictEqual(send(new Late(), driver, worker).run(), 1);
    slots.helper = 2;
    assert.deepStrictEqual([send(new Late(), driver, worker).run(), send(new Late(), driver, second).run()], [1, 1]);
    assert.strictEqual(send(new Late(), driver, driver).run(), 2);
  });
});

describe("hooks", () => {
  const source = `class Money {
    #cents;
    constructor(cents) { this.#cents = cents; }
    get cents() { return this.#cents; }
    static [Symbol.for("mobula.serialize")](money) { return { cents: money.#cents }; }
    static [Symbol.for("mobula.deserialize")](data) { return new this(data.cents); }
  }`;
  type Money = new (cents: number) => { readonly cents: number };

  it("let private fields cross, inherited too, with identity", () => {
    const Money = driver.functions.define<Money>(source);
    const money = new Money(5);
    const copy = send([money, { money }] as const, driver, worker);
    assert.strictEqual(copy[0].cents, 5);
    assert.strictEqual(copy[0], copy[1].money);
    assert.ok(send(copy[0], worker, driver) instanceof Money);
    const Cash = driver.functions.define<Money>("class Cash extends (slots.Base ?? Object) { }", { Base: Money });
    const cash = send(new Cash(7), driver, worker);
    assert.deepStrictEqual([cash.cents, cash.constructor.name], [7, "Cash"]);
  });

  it("get data that is complete, however deep it lies", () => {
    const Deep = driver.functions.define<new () => { depth: number }>(`class Deep {
      static [Symbol.for("mobula.serialize")]() { let v = null; for (let i = 0; i < 1000; i++) v = { v }; return v; }
      static [Symbol.for("mobula.deserialize")](data) {
        let n = 0;
        for (let at = data; at; at = at.v) n++;
        return Object.assign(new Deep(), { depth: n });
      }
    }`);
    let value: unknown = new Deep();
    for (let i = 0; i < 150; i++) value = [value];
    let copy = send(value, driver, worker);
    while (Array.isArray(copy)) copy = copy[0];
    assert.strictEqual((copy as { depth: number }).depth, 1000);
  });

  it("may use the codec themselves", () => {
    const Nested = driver.functions.define<new () => { inner: unknown }>(
      `class Nested {
      inner = { a: [1, 2] };
      static [Symbol.for("mobula.serialize")](one) { return slots.again(one.inner); }
      static [Symbol.for("mobula.deserialize")](inner) { return Object.assign(new Nested(), { inner }); }
    }`,
      { again: undefined },
    );
    driver.functions.made.get(Nested)!.slots["again"] = (inner: unknown) => send(inner, driver, worker);
    // Only the driver runs `again`: the class itself crosses without it.
    const capture = driver.functions.capture.bind(driver.functions);
    driver.functions.capture = (fn, path) => {
      const record = capture(fn, path);
      return record.kind === "value" ? { ...record, captures: [null] } : record;
    };
    assert.deepStrictEqual(send({ before: [0], one: new Nested(), after: [3] }, driver, worker).one.inner, { a: [1, 2] });
  });

  it("are the symbols of the registry, and half a pair is refused", () => {
    assert.deepStrictEqual([serialize, deserialize], [Symbol.for("mobula.serialize"), Symbol.for("mobula.deserialize")]);
    const Half = driver.functions.define<new () => object>("class Half { static [Symbol.for('mobula.serialize')]() { return 1; } }");
    assert.throws(() => driver.codec.encode([new Half()], "args"), { path: "args[0]", message: /lacks `static \[deserialize\]`/ });
  });

  it("cannot refer to the instance that is being made", () => {
    const Loop = driver.functions.define<new () => object>(`class Loop {
      static [Symbol.for("mobula.serialize")](one) { return { parent: { child: one } }; }
      static [Symbol.for("mobula.deserialize")]() { return new Loop(); }
    }`);
    assert.throws(() => driver.codec.encode([new Loop()], "args"), { path: "args[0].[serialize].parent.child" });
  });

  it("that throw make a SerializationError on arrival, and leave the codec sound", () => {
    const Bad = driver.functions.define<new () => object>(`class Bad {
      static [Symbol.for("mobula.serialize")]() { return 1; }
      static [Symbol.for("mobula.deserialize")]() { throw new RangeError("no thanks"); }
    }`);
    assert.throws(
      () => send(new Bad(), driver, worker),
      (error) => error instanceof SerializationError && error.cause instanceof RangeError,
    );
    assert.deepStrictEqual(send([1], driver, worker), [1]);
  });
});

describe("the registry of classes", () => {
  it("may be shared by several codecs of a process", async () => {
    const { IdentityRegistry } = await import("../../src/values/codec.ts");
    const registry = new IdentityRegistry();
    const [one, two] = [0, 1].map(() => new ValueCodec(refCodec, driver.functions, registry));
    const Point = driver.functions.define<PointClass>(pointSource);
    const encoded = one!.encode(new Point(1, 2), "value");
    assert.ok(two!.decode(encoded.inband, () => assert.fail()) instanceof Point);
  });
});
