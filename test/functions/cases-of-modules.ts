/**
 * The part of the table of functions that cross which needs modules: imports of every form, and what one module system or language has
 * alone. Written as cases.ts is.
 */
import type { Case } from "./cases.ts";

export const modules: readonly Case[] = [
  { name: "a module of Node, default", code: "CASE(() => () => typeof fs.readFileSync);", expected: "function" },
  {
    name: "a module of Node, namespace and member",
    code: "CASE(() => () => [path.join('a', 'b'), basename('/x/y')]);",
    expected: ["a/b", "y"],
  },
  // vitest gives tests a Proxy in place of such a namespace.
  {
    name: "a module of Node inside a value",
    code: "const tools = { path, join: path.join }; CASE(() => () => [tools.path.extname('a.b'), tools.join('c', 'd')]);",
    expected: [".b", "c/d"],
    except: /vitest/,
  },
  { name: "a relative module, named", code: "CASE(() => () => helper(5));", expected: 15 },
  {
    name: "a relative module, default and namespace",
    code: "CASE(() => () => [libDefault(2), lib.helper(1), lib.LIMIT]);",
    expected: [4, 11, 100],
  },
  { name: "a renamed import", code: "CASE(() => () => renamed(3));", expected: 13 },
  { name: "an imported function by itself", code: "CASE(() => lib.answer);", expected: 42 },
  {
    name: "an imported base class",
    code: "class Extended extends Base { run() { return [super.hello(), this instanceof Base]; } } CASE(() => Extended);",
    expected: ["hello", true],
  },
  {
    name: "an instance of an imported class",
    code: "const imported = new Base(); CASE(() => () => [imported.hello(), imported instanceof Base]);",
    expected: ["hello", true],
  },
  { name: "a function of a module that it does not export", code: "CASE(() => lib.makeHidden(4));", expected: 9 },
  { name: "a package", code: "CASE(() => () => [depName, dep('x'), depCjs.shout('y')]);", expected: ["dep", "dep x", "Y!"] },
  {
    name: "dynamic import of a module of Node",
    code: "CASE(() => async () => (await import('node:path')).join('a', 'b'));",
    expected: "a/b",
  },
  { name: "an import inside a nested function", code: "CASE(() => () => [1, 2].map((x) => helper(x)));", expected: [11, 12] },
  {
    name: "a function made in the other process that uses an import",
    code: "CASE(() => () => () => helper(1) + basename('/a/7'));",
    expected: "117",
  },
];

/** Only where the module system has them. */
export const moduleOnly: readonly Case[] = [
  {
    name: "a class whose base class had to be awaited",
    code: "class Awaited extends (await import('node:events')).EventEmitter { z() { return 1; } } CASE(() => () => new Awaited().z());",
    expected: 1,
    except: /bundle/,
  },
  {
    name: "import.meta",
    code: `
CASE(() => () => [import.meta.url.split('/').at(-1).split('.')[0], import.meta.filename.length > 5,
import.meta.dirname.length > 1, import.meta.resolve('./lib.mjs').split('/').at(-1)]);`,
    expected: ["program", true, true, "lib.mjs"],
  },
  { name: "dynamic import of a relative module", code: "CASE(() => async () => (await import('./lib.mjs')).helper(1));", expected: 11 },
  { name: "dynamic import of a package", code: "CASE(() => async () => (await import('dep-esm')).depName);", expected: "dep" },
  {
    name: "import.meta in a function made in the other process",
    code: "CASE(() => () => () => import.meta.url.split('/').at(-1).split('.')[0]);",
    expected: "program",
  },
  {
    name: "JSON with attributes",
    code: "import data from './data.json' with { type: 'json' }; CASE(() => () => data.count);",
    expected: 3,
  },
];

export const commonJsOnly: readonly Case[] = [
  { name: "exports", code: "exports.twice = (x) => x * 2; CASE(() => () => exports.twice(4));", expected: 8 },
  {
    name: "require inside the function",
    code: "CASE(() => () => [require('node:path').join('a', 'b'), require('./lib.cjs').helper(1), require('dep-cjs').shout('z')]);",
    expected: ["a/b", 11, "Z!"],
  },
  {
    name: "__filename and __dirname",
    code: "CASE(() => () => [__filename.split('/').at(-1).split('.')[0], __dirname.length > 1]);",
    expected: ["program", true],
  },
  { name: "sloppy this of the function itself", code: "CASE(() => function () { return typeof this; });", expected: "object" },
  { name: "sloppy this", code: "CASE(() => () => (function () { return this === globalThis; })());", expected: true },
  {
    name: "strict this",
    code: "function strictly() { 'use strict'; return (function () { return this === undefined; })(); } CASE(() => strictly);",
    expected: true,
  },
];

export const typeScriptOnly: readonly Case[] = [
  {
    name: "types",
    code: `
interface Named { name: string } const people: Named[] = [{ name: 'a' }];
CASE(() => <T,>(x?: T): string => (people[0] as Named).name + String(x satisfies T | undefined));`,
    expected: "aundefined",
  },
  {
    name: "a typed class",
    code: `
class Typed<T> { readonly #v: T[] = []; add(v: T): this { this.#v.push(v); return this; }
run(this: Typed<unknown>): number { return (this as Typed<number>).add(1).add(2).#v.length; } } CASE(() => Typed);`,
    expected: 2,
  },
];
