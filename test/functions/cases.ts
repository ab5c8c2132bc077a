/**
 * The table of functions that cross: each a piece of a program, and what the function gives in the other process. `CASE(make)` names
 * the function that `make` gives; the pieces stand at the top level of one program, after the imports of its format.
 * Not here: how programs are built and run (runners.ts), nor what is refused (refusals.ts).
 */
import { modules } from "./cases-of-modules.ts";

export interface Case {
  readonly name: string;
  readonly code: string;
  readonly expected: unknown;
  /** Runners under which it does not hold, for a reason of theirs. */
  readonly except?: RegExp;
}

const captures: readonly Case[] = [
  { name: "nothing", code: "CASE(() => () => 6 * 7);", expected: 42 },
  {
    name: "globals",
    code: "CASE(() => () => [Math.max(1, 2), typeof Buffer, typeof undeclared, [3, 1].sort().join()]);",
    expected: [2, "function", "undefined", "1,3"],
  },
  { name: "a constant of the top level", code: "const factor = 7; CASE(() => () => factor * 6);", expected: 42 },
  { name: "a variable of the top level as it is at the call", code: "let level = 1; level = 5; CASE(() => () => level);", expected: 5 },
  {
    name: "an assignment to a captured variable stays where it is made",
    code: "let counted = 1; CASE(() => () => { counted += 1; return counted; });",
    expected: 2,
  },
  {
    name: "values of every kind",
    code: `
const kinds = {
  map: new Map([[1, { a: 1 }]]), set: new Set(["x"]), date: new Date(5), regex: /a(b)+/giu, big: 10n, bytes: new Uint8Array([1, 2]),
  floats: new Float64Array([0.5]), error: new RangeError("far"), none: undefined, nil: null, minus: -0, nan: NaN,
  sparse: [, 1], text: "\\u00e9\\n",
};
CASE(() => () => [
  kinds.map.get(1).a, kinds.set.has("x"), kinds.date.getTime(), kinds.regex.flags, String(kinds.big), kinds.bytes[1], kinds.floats[0],
  kinds.error instanceof RangeError, kinds.error.message, kinds.none === undefined, kinds.nil, Object.is(kinds.minus, -0),
  Number.isNaN(kinds.nan), 0 in kinds.sparse, kinds.sparse.length, kinds.text,
]);`,
    expected: [1, true, 5, "giu", "10", 2, 0.5, true, "far", true, null, true, true, false, 2, "\u00e9\n"],
  },
  {
    name: "a cycle and shared identity",
    code: `
const ring = { items: [] }; ring.self = ring; ring.items.push(ring); const alias = ring;
CASE(() => () => [ring.self === ring, ring.items[0] === alias]);`,
    expected: [true, true],
  },
  {
    name: "variables of enclosing functions",
    code: `
const outerOf = (a) => { const b = a + 1; return () => { const c = b + 1; return () => a + b + c; }; };
CASE(() => outerOf(1)());`,
    expected: 6,
  },
  {
    name: "loop variables",
    code: `
const loops = []; for (let i = 0; i < 3; i++) loops.push(() => i * 10); for (const k of ['a', 'b']) loops.push(() => k);
CASE(() => () => loops.map((f) => f()));`,
    expected: [0, 10, 20, "a", "b"],
  },
  {
    name: "shadowing",
    code: `
const shade = 1; CASE(() => () => { const inner = shade; { const shade = 2; return ((shade2) => inner + shade + shade2)(4);
} });`,
    expected: 7,
  },
  {
    name: "variables that are undefined and initialised, or not yet assigned",
    code: `
const nothing = Number.prototype.nowhere; let notSet; { const nothing = 5; let notSet = nothing; notSet += 1; }
const makesNone = (given) => { const none = given.nowhere; let later;
return () => [none, later, nothing, notSet].every((v) => v === undefined); };
CASE(() => makesNone({}));`,
    expected: true,
  },
  {
    name: "a native function that a function uses inside, and a class of the language",
    code: `
const most = Math.max; const helped = (a, b) => most(a, b); const Dict = Map;
CASE(() => () => [helped(1, 2), new Dict([[1, 2]]).size]);`,
    expected: [2, 1],
  },
  { name: "a parameter that hides", code: "const hides = 1; CASE(() => (hides = 5) => hides);", expected: 5 },
  {
    name: "default parameters and destructuring",
    code: "const preset = { a: 1 }; CASE(() => ({ a, ...rest } = { ...preset, z: 9 }, [b = a, , c = preset.a] = []) => [a, rest, b, c]);",
    expected: [1, { z: 9 }, 1, 1],
  },
  { name: "a name used only as shorthand", code: "const short = 3; CASE(() => () => ({ short }));", expected: { short: 3 } },
  {
    name: "names in labels, keys and members are no variables",
    code: "const label = 1; CASE(() => () => { label: for (;;) { break label; } return { label: 2 }.label + ({ factor: 1 }).factor; });",
    expected: 3,
  },
  {
    name: "catch, switch and var",
    code: `
const thrown = 'x'; CASE(() => () => { try { throw thrown; } catch (caught) { switch (caught) { case 'x': { var hoisted = 1;
} } } return hoisted; });`,
    expected: 1,
  },
  {
    name: "template literals, regular expressions, comments",
    code: `
const part = 'p';
CASE(() => /* before */ (/* in */ x = \`\${part}\${/[/"'\`]/.test('/')}\`) /* arrow */ => /* body */ x + '// no comment' /* end */);`,
    expected: "ptrue// no comment",
  },
  {
    name: "optional chaining and operators",
    code: "const deep = { a: { b: null } }; CASE(() => () => [deep?.a?.b?.c, deep.a.b ?? 'd', 2 ** 3, (deep.x ||= 1), 0 || 'or']);",
    expected: [null, "d", 8, 1, "or"],
  },
  {
    name: "a captured object's method through its object",
    code: "const holder = { n: 4, get() { return this.n; } }; CASE(() => () => holder.get());",
    expected: 4,
  },
];

const functions: readonly Case[] = [
  {
    name: "captured functions",
    code: "const twice = (x) => x * 2; function plusOne(x) { return x + 1; } CASE(() => () => plusOne(twice(4)));",
    expected: 9,
  },
  {
    name: "recursion of a declaration",
    code: "function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); } CASE(() => () => fib(10));",
    expected: 55,
  },
  { name: "recursion of a constant", code: "const fact = (n) => (n < 2 ? 1 : n * fact(n - 1)); CASE(() => () => fact(5));", expected: 120 },
  {
    name: "recursion of a named expression",
    code: "CASE(() => function down(n = 3) { return n === 0 ? 'done' : down(n - 1); });",
    expected: "done",
  },
  {
    name: "mutual recursion",
    code: `
const even = (n) => (n === 0 ? true : odd(n - 1)); const odd = (n) => (n === 0 ? false : even(n - 1));
CASE(() => () => [even(7), odd(7)]);`,
    expected: [false, true],
  },
  {
    name: "async functions",
    code: "const later = async (x) => { await null; return x; }; CASE(() => async () => (await later(3)) + (await later(4)));",
    expected: 7,
  },
  { name: "generators", code: "const start = 2; CASE(() => function* () { yield start; yield* [3, 4]; });", expected: [2, 3, 4] },
  {
    name: "async generators",
    code: "const begin = 2; CASE(() => async function* () { yield begin; await null; yield begin + 1; });",
    expected: [2, 3],
  },
  {
    name: "methods of objects",
    code: `
const bag = { plain() { return 'plain'; }, async later() { return 'later'; }, *many() { yield 1; }, 'quoted name'() {
return 'quoted'; }, 7() { return 7; } };
CASE(() => async () => [bag.plain(), await bag.later(), [...bag.many()], bag['quoted name'](), bag[7]()]);`,
    expected: ["plain", "later", [1], "quoted", 7],
  },
  { name: "a method by itself", code: "const sole = { method(x = 5) { return x; } }; CASE(() => sole.method);", expected: 5 },
  {
    name: "a method with a computed name",
    code: `
const computed = { ['a' + 'b']() { return 'ab'; }, [Symbol.toPrimitive]() { return 'prim'; } };
const primitive = computed[Symbol.toPrimitive]; CASE(() => () => [computed.ab(), primitive()]);`,
    expected: ["ab", "prim"],
  },
  {
    name: "getters and setters of a captured object's prototype",
    code: `
class Temperature { #c = 1; get f() { return this.#c * 2; } set f(v) { this.#c = v / 2; } } CASE(() => () => {
const t = new Temperature(); t.f = 8; return t.f; });`,
    expected: 8,
  },
  {
    name: "an accessor function by itself",
    code: `
const gotten = Object.getOwnPropertyDescriptor({ get size() { return this.n + 1; } }, 'size').get;
CASE(() => () => gotten.call({ n: 1 }));`,
    expected: 2,
  },
  {
    name: "a bound function",
    code: "function scale(x, y) { return this.k * x + y; } const bound = scale.bind({ k: 3 }, 2); CASE(() => () => bound(1));",
    expected: 7,
  },
  {
    name: "a function bound twice",
    code: `
const twiceBound = function (a, b, c) { return [this.k, a, b, c]; }.bind({ k: 1 }, 2).bind({ k: 9 }, 3);
CASE(() => () => twiceBound(4));`,
    expected: [1, 2, 3, 4],
  },
  {
    name: "a bound method of an instance",
    code: `
class Tally { constructor() { this.n = 5; } read() { return this.n; } } const tally = new Tally();
const read = tally.read.bind(tally); CASE(() => read);`,
    expected: 5,
  },
  {
    name: "properties of functions",
    code: "const tagged = () => tagged.config.level; tagged.config = { level: 3 }; CASE(() => tagged);",
    expected: 3,
  },
  {
    name: "names and lengths of functions",
    code: `
const named = (a, b) => a; CASE(() => () => [named.name, named.length, (() => { const innermost = () => 1;
return innermost.name; })()]);`,
    expected: ["named", 2, "innermost"],
  },
  {
    name: "functions of the language in a captured object",
    code: `
const native = { max: Math.max, map: Array.prototype.map };
CASE(() => () => [native.max(1, 2), native.map.call([1], (x) => x + 1)]);`,
    expected: [2, [2]],
  },
  {
    name: "functions inside values",
    code: "const table = { add: (a, b) => a + b, list: [(x) => x * 2] }; CASE(() => () => [table.add(1, 2), table.list[0](4)]);",
    expected: [3, 8],
  },
  {
    name: "one function captured twice stays one",
    code: "const sameFn = () => 1; const pair = { a: sameFn, b: sameFn }; CASE(() => () => pair.a === pair.b && pair.a === sameFn);",
    expected: true,
  },
  {
    name: "a constructor of the old kind",
    code: `
function Animal(name) { this.name = name; } Animal.prototype.speak = function () { return this.name + '!'; };
function Dog(name) { Animal.call(this, name); } Dog.prototype = Object.create(Animal.prototype, { constructor: {
value: Dog, writable: true, configurable: true } }); Dog.prototype.bark = function () { return 'woof ' + this.speak(); };
CASE(() => () => [new Dog('rex').bark(), new Dog('a') instanceof Animal]);`,
    expected: ["woof rex!", true],
  },
  {
    name: "a function that is made in the other process",
    code: "const seed = 3; CASE(() => () => { const local = 4; return () => seed * local; });",
    expected: 12,
  },
];

const classes: readonly Case[] = [
  {
    name: "a class",
    code: `
class Counter { n = 0; add(by = 1) { this.n += by; return this.n; } } CASE(() => () => { const c = new Counter(); c.add();
return c.add(4); });`,
    expected: 5,
  },
  { name: "a class by itself", code: "class Alone { run() { return 'ran'; } } CASE(() => Alone);", expected: "ran" },
  {
    name: "private members",
    code: `
class Secret { #n = 1; static #made = 0; constructor() { Secret.#made++; } #bump() { return ++this.#n; } run() {
return [this.#bump(), #n in this, Secret.#made, Secret.#isSecret({})]; } static #isSecret(x) { return #n in x; } }
CASE(() => Secret);`,
    expected: [2, true, 1, false],
  },
  {
    name: "static members",
    code: `
class Statics { static count = 3; static names = ['a']; static { Statics.extra = Statics.count * 2; } static twice(x) {
return x * 2; } static get half() { return 1.5; } run() {
return [Statics.count, Statics.names, Statics.extra, Statics.twice(2), Statics.half]; } } CASE(() => Statics);`,
    expected: [3, ["a"], 6, 4, 1.5],
  },
  {
    name: "static members as they are at the call",
    code: "class Moved { static at = 1; run() { return Moved.at; } } Moved.at = 9; CASE(() => Moved);",
    expected: 9,
  },
  {
    name: "static members that need captures",
    code: `
const basis = { v: 2 }; const lift = (x) => x + basis.v; class Lifted { static #secret = lift(1); static open = lift(10);
static make = (x) => new this(x); static { this.block = lift(100); } constructor(x) { this.x = x; } static peek() {
return Lifted.#secret; } } CASE(() => () => [Lifted.peek(), Lifted.open, Lifted.make(7).x, Lifted.block, Lifted.make.name]);`,
    expected: [3, 12, 7, 102, "make"],
  },
  {
    name: "inheritance",
    code: `
class Shape { constructor(n) { this.n = n; } area() { return this.n; } static make(n) { return new this(n); } }
class Square extends Shape { area() { return super.area() ** 2; } static make(n) { return super.make(n + 1); } }
CASE(() => () => { const s = Square.make(2); return [s.area(), s instanceof Shape, s instanceof Square, Square.name]; });`,
    expected: [9, true, true, "Square"],
  },
  {
    name: "a base class that knows its subclass",
    code: `
class Root { static create() { return new Leaf(); } kind() { return 'root'; } } class Leaf extends Root { kind() {
return 'leaf of ' + super.kind(); } } CASE(() => () => [Root.create().kind(), new Leaf() instanceof Root]);`,
    expected: ["leaf of root", true],
  },
  {
    name: "a subclass of what the language has",
    code: `
class Stack extends Array { top() { return this.at(-1); } } class Failure extends Error { code = 'E'; } CASE(() => () => {
const s = Stack.from([1, 2]); try { throw new Failure('m'); } catch (e) {
return [s.top(), s.length, e instanceof Error, e.code, e.message]; } });`,
    expected: [2, 2, true, "E", "m"],
  },
  {
    name: "a base class that an expression gives",
    code: `
const mixin = (B) => class extends B { mixed() { return 'mixed ' + this.base(); } }; class Plain { base() { return 'plain';
} } class Mixed extends mixin(Plain) { run() { return this.mixed(); } } CASE(() => Mixed);`,
    expected: "mixed plain",
  },
  {
    name: "computed member names",
    code: `
const KEY = 'dynamic'; const KEYS = { other: 'second' }; class Keyed { [KEY]() { return 1; } static [KEYS.other] = 2;
*[Symbol.iterator]() { yield 3; } run() { return [this.dynamic(), Keyed.second, [...this]]; } } CASE(() => Keyed);`,
    expected: [1, 2, [3]],
  },
  {
    name: "computed member names that only the definition knew",
    code: `
const keyedBy = (key, symbol) => class { [key]() { return 1; } static [key + '2']() { return 2; } get [symbol]() { return 3;
} run() { return [this.made(), this.constructor.made2(), this[Symbol.toStringTag]]; } };
const KeyedBy = keyedBy('made', Symbol.toStringTag); CASE(() => KeyedBy);`,
    expected: [1, 2, 3],
  },
  {
    name: "generator and async members",
    code: `
class Streams { *items() { yield 1; } async *later() { yield 2; } async one() { return 3; } async run() {
const all = [...this.items(), await this.one()]; for await (const x of this.later()) all.push(x); return all; } }
CASE(() => Streams);`,
    expected: [1, 3, 2],
  },
  {
    name: "class expressions and anonymous classes",
    code: `
const Anonymous = class { who() { return 'nobody'; } }; const Outer = class Inner { who() { return Inner.name; } };
CASE(() => () => [new Anonymous().who(), Anonymous.name, new Outer().who()]);`,
    expected: ["nobody", "Anonymous", "Inner"],
  },
  {
    name: "fields that are arrow functions",
    code: `
const unit = 2; class Fielded { n = unit; up = () => this.n + unit; run() { const { up } = this; return up(); } }
CASE(() => Fielded);`,
    expected: 4,
  },
  {
    name: "methods that were added later",
    code: `
class Patched { base() { return 1; } } Patched.prototype.added = function () { return this.base() + 1; };
CASE(() => () => new Patched().added());`,
    expected: 2,
  },
  {
    name: "a captured instance",
    code: `
class Point { constructor(x) { this.x = x; } double() { return new Point(this.x * 2); } } const origin = new Point(4);
CASE(() => () => [origin.double().x, origin instanceof Point, origin.constructor === Point]);`,
    expected: [8, true, true],
  },
  {
    name: "an instance that says how it crosses",
    code: `
class Sealed { #v; constructor(v) { this.#v = v; } read() { return this.#v; } static [Symbol.for('mobula.serialize')](s) {
return s.#v; } static [Symbol.for('mobula.deserialize')](v) { return new Sealed(v); } } const sealed = new Sealed('kept');
CASE(() => () => sealed.read());`,
    expected: "kept",
  },
];

const corners: readonly Case[] = [
  {
    name: "static members called name",
    code: `
class NamedField { static name = 'field'; run() { return NamedField.name; } }
class NamedMethod { static name() { return 'method'; } }
CASE(() => () => [new NamedField().run(), NamedMethod.name()]);`,
    expected: ["field", "method"],
  },
  {
    name: "static members of every form, over a captured base",
    code: `
class Below0 { static greet() { return 'hi'; } }
class Below1 extends Below0 {
  static #hidden() { return 'hidden'; } static async *stream() { yield 1; } static said = super.greet();
  static ['com' + 'puted'] = 2; static { const local = super.greet(); this.again = local; }
  static 'quoted key' = 3; static 5 = 4; static empty;
  static reveal() { return Below1.#hidden(); }
}
CASE(() => async () => {
  const streamed = [];
  for await (const x of Below1.stream()) streamed.push(x);
  const keys = [Below1.computed, Below1['quoted key'], Below1[5], 'empty' in Below1];
  return [Below1.said, Below1.again, Below1.reveal(), streamed, ...keys];
});`,
    expected: ["hi", "hi", "hidden", [1], 2, 3, 4, true],
  },
  {
    name: "static code that calls captured functions and other classes",
    code: `
const registry = new Map();
const enrol = (cls) => { registry.set(cls.label, new Helper0().tag(cls.label)); return registry.size; };
class Helper0 { static prefix = [...'ab'].join('+'); tag(x) { return Helper0.prefix + x; } }
class Enrolled { static label = 'en'; static size = enrol(this); run() { return [registry.get('en'), Enrolled.size]; } }
CASE(() => Enrolled);`,
    expected: ["a+ben", 1],
  },
  {
    name: "classes that know each other in static code",
    code: `
class Left { static peer() { return Right; } static kind = 'left'; }
class Right { static peer = Left; static kind = Left.kind + '/right'; }
CASE(() => () => [Left.peer().kind, Right.peer === Left, Left.peer() === Right]);`,
    expected: ["left/right", true, true],
  },
  {
    name: "fields that call captured functions",
    code: `
const fresh = () => [1];
class Fresh { list = fresh(); later = async () => this.list; async run() { return await this.later(); } }
CASE(() => Fresh);`,
    expected: [1],
  },
  {
    name: "names that are words elsewhere",
    code: "const async = 1, of = 2, get = 3, set = 4, from = 5, as = 6; CASE(() => () => [async, of, get, set, from, as]);",
    expected: [1, 2, 3, 4, 5, 6],
  },
  {
    name: "keys that look like keywords or text",
    code: `
const oddKeys = { async() { return 1; }, get() { return 2; }, static() { return 3; }, 'a-b'() { return 4; },
  function() { return 5; }, [Symbol.for('k')]() { return 6; } };
const { async: o1, get: o2, static: o3, 'a-b': o4, function: o5, [Symbol.for('k')]: o6 } = oddKeys;
CASE(() => () => [o1(), o2(), o3(), o4(), o5(), o6()]);`,
    expected: [1, 2, 3, 4, 5, 6],
  },
  {
    name: "the same text over different variables",
    code: "const adders = [1, 2].map((n) => (x) => x + n); const [addOne, addTwo] = adders; CASE(() => () => [addOne(10), addTwo(10)]);",
    expected: [11, 12],
  },
  {
    name: "two closures over one variable have the value each",
    code: "let shared0 = 1; const bump = () => ++shared0; const look = () => shared0; bump(); CASE(() => () => [look(), bump()]);",
    expected: [2, 3],
  },
  {
    name: "a function from new Function",
    code: "const made0 = new Function('a', 'b', 'return a + b'); CASE(() => () => [made0(1, 2), typeof setTimeout]);",
    expected: [3, "function"],
  },
  {
    name: "a class whose instances are callable",
    code: "class Fn0 extends Function { constructor() { super('return 8'); } } CASE(() => () => new Fn0()());",
    expected: 8,
  },
  {
    name: "a global that the program made",
    code: "globalThis.programGlobal = { n: 7 }; CASE(() => () => programGlobal.n);",
    expected: 7,
  },
  {
    name: "a variable that is undefined",
    code: "let unset; const voided = void 0; CASE(() => () => [unset === undefined, voided === undefined]);",
    expected: [true, true],
  },
];

const places: readonly Case[] = [
  {
    name: "stack traces show the file and the line",
    code: `
const whereabouts = (error) => /(program)[^:]*:(\\d+)/.exec(error.stack.split("\\n")[1]).slice(1).join(":");
const failing = (deep) => {
  const nothing = null;
  const wrap = (f) => f();

  return wrap(() => {
    if (deep) throw new Error("here");
    return nothing;
  });
};
class Failing { first = 1;

  fail() { throw new Error("there"); } }
const placesOf = () => {
  const places = [];
  for (const f of [() => failing(true), () => new Failing().fail()]) {
    try { f(); } catch (error) { places.push(whereabouts(error)); }
  }
  return places.join();
};
const placesHere = placesOf();
CASE(() => () => (placesOf() === placesHere ? "same" : placesOf() + " is not " + placesHere));`,
    expected: "same",
    // Under vitest, what the file on disk says is known to vitest alone.
    except: /vitest/,
  },
];

export const cases: readonly Case[] = [...captures, ...functions, ...classes, ...corners, ...places, ...modules];
