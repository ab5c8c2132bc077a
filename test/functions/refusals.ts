/**
 * The table of functions that cannot cross: a piece of a program, and what the error says. Paths begin with `f`.
 */
export interface Refusal {
  readonly name: string;
  readonly code: string;
  /** All of these are in the message. */
  readonly says: readonly string[];
  readonly path: string;
  /** Runners under which it is none: bundlers turn top-level declarations into `var`, which has no dead zone. */
  readonly except?: RegExp;
}

export const refusals: readonly Refusal[] = [
  {
    name: "lexical this",
    code: "class Owner { n = 1; make() { return () => this.n; } } CASE(() => new Owner().make());",
    says: ["`this` of the code around it", "Copy `this`", "(program"],
    path: "f",
  },
  {
    name: "lexical this, nested arrows",
    code: "class Owner2 { n = 1; make() { return () => () => this.n; } } CASE(() => new Owner2().make());",
    says: ["`this`"],
    path: "f",
  },
  {
    name: "super of an object",
    code: "const parent = { m() { return 1; } }; const kid = { __proto__: parent, m() { return super.m(); } }; CASE(() => kid.m);",
    says: ["`super`", "Pass the object or class itself"],
    path: "f",
  },
  {
    name: "new.target of the function around",
    code: "function Made() { this.f = () => new.target; } CASE(() => new Made().f);",
    says: ["`new.target`"],
    path: "f",
  },
  {
    name: "arguments of the function around",
    code: "function around() { return () => arguments.length; } CASE(() => around(1));",
    says: ["`arguments`", "(...args)"],
    path: "f",
  },
  {
    name: "a private name of the class around",
    code: "class Vault { #k = 1; static reader() { return (v) => v.#k; } } CASE(() => Vault.reader());",
    says: ["private name #k"],
    path: "f",
  },
  {
    name: "a variable in its dead zone",
    code: "CASE(() => () => tooLate.x); checkNow(); const tooLate = { x: 1 };",
    says: ["'tooLate'", "dead zone"],
    path: "f.(captured tooLate)",
    except: /bundle/,
  },
  {
    name: "a class in its dead zone",
    code: "CASE(() => () => new LateClass()); checkNow(); class LateClass {}",
    says: ["'LateClass'", "dead zone"],
    path: "f.(captured LateClass)",
    except: /bundle/,
  },
  {
    name: "a variable of a function in its dead zone, of a name that is declared twice",
    code: `const inZone = (check) => { CASE(() => () => lateLocal); check();
let lateLocal = Number('1'); return lateLocal; }; inZone(checkNow);
const otherLocal = (lateLocal) => lateLocal; otherLocal(1);`,
    says: ["'lateLocal'", "dead zone"],
    path: "f.(captured lateLocal)",
  },
  {
    name: "a variable in its dead zone whose initialiser waits for what captures it",
    code: `
const waits = () => { const awaited = ((check) => { CASE(() => () => awaited); check(); })(checkNow); return awaited; }; waits();`,
    says: ["'awaited'", "dead zone"],
    path: "f.(captured awaited)",
  },
  {
    name: "a native function",
    code: "CASE(() => Math.max);",
    says: ["native function", "Math.max", "wrap it"],
    path: "f",
  },
  {
    name: "a captured native function",
    code: "const biggest = Math.max; CASE(() => () => biggest(1, 2));",
    says: ["native function", "Math.max", "wrap it"],
    path: "f.(captured biggest)",
  },
  {
    name: "a native function that nothing leads to",
    code: "const resolver = (() => { let r; new Promise((resolve) => { r = resolve; }); return r; })(); CASE(() => resolver);",
    says: ["native function", "Wrap it"],
    path: "f",
  },
  {
    name: "a Proxy of a function",
    code: "const proxied = new Proxy(() => 1, {}); CASE(() => () => proxied());",
    says: ["Proxy"],
    path: "f.(captured proxied)",
  },
  { name: "direct eval", code: "const hidden = 1; CASE(() => (text) => eval(text));", says: ["`eval`"], path: "f" },
  {
    name: "a captured promise",
    code: "const promise = Promise.resolve(1); CASE(() => () => promise);",
    says: ["promise"],
    path: "f.(captured promise)",
  },
  {
    name: "a socket deep in a captured function",
    code: "const db = { socket: new net.Socket() }; const query = () => db.socket; CASE(() => () => query());",
    says: [],
    path: "f.(captured query).(captured db).socket",
  },
  {
    name: "an instance with private members",
    code: "class Guarded { #g = 1; read() { return this.#g; } } const guarded = new Guarded(); CASE(() => () => guarded.read());",
    says: ["private"],
    path: "f.(captured guarded)",
  },
  {
    name: "a computed member name that only running tells",
    code: "const pick = () => 'k'; class Picked { [pick()] = 1; } CASE(() => Picked);",
    says: ["computed member name"],
    path: "f",
  },
  {
    name: "a function of Node's insides",
    code: "const inside = Object.getPrototypeOf(new URLSearchParams().entries()).next; CASE(() => () => inside);",
    says: ["belongs to Node itself"],
    path: "f.(captured inside)",
  },
];
