/**
 * A record back to a live function, in the process that received it: compiled under the name, line and column of the original file, with
 * its captures as variables of its own, and relative imports as that file would resolve them.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { RebuiltFunction } from "../values/contract.ts";
import { compileQuietly, exportsName, importerOf, parentUrl, pathOf } from "./modules.ts";
import { baseName, deferName, markName, parseCode } from "./record.ts";
import type { BoundCode, ImportBinding, SourceCode } from "./record.ts";
import { hereOf } from "./relocation.ts";
import { missing } from "./refuse.ts";

interface State {
  readonly code: string;
  captures(): unknown[];
  start(): void;
}

const states = new WeakMap<Function, State>();

/** Of a function that came from another process: its code, and its captures as they are now. */
export function rebuiltState(fn: Function): State | undefined {
  return states.get(fn);
}

export function rebuildFunction(record: { kind: "value"; code: string }, moduleOf: (url: string) => object): RebuiltFunction {
  const code = parseCode(record.code);
  return code.kind === "bound" ? rebuildBound(record.code, code) : new Rebuilt(record.code, code, moduleOf);
}

/** What the compiled text gives back. */
interface Compiled {
  readonly made: unknown;
  readonly setSelf: (fn: unknown) => void;
  readonly write: (values: readonly unknown[]) => void;
  readonly read: () => unknown[];
}

class Rebuilt implements RebuiltFunction {
  readonly fn: Function;
  readonly #code: SourceCode;
  readonly #compiled: Compiled;
  readonly #deferred: (() => void)[] = [];
  #tail: readonly unknown[] = [];
  #properties: ReadonlyArray<readonly [PropertyKey, unknown]> = [];
  #started = false;

  constructor(text: string, code: SourceCode, moduleOf: (url: string) => object) {
    this.#code = code;
    this.#compiled = compile(text, code, moduleOf, (run) => this.#deferred.push(run));
    this.fn = pick(code, this.#compiled.made);
    if (code.name !== undefined && nameOf(this.fn) !== code.name) define(this.fn, "name", code.name, false);
    this.#compiled.setSelf(this.fn);
    const captures = (): unknown[] => [...this.#compiled.read(), ...this.#tail];
    states.set(this.fn, { code: text, captures, start: () => this.start() });
  }

  fill(captures: readonly unknown[], properties: ReadonlyArray<readonly [PropertyKey, unknown]>): void {
    const { names, base, members, kind } = this.#code;
    this.#compiled.write(captures.slice(0, names.length));
    this.#tail = captures.slice(names.length);
    this.#properties = properties;
    const prototype: unknown = Reflect.get(this.fn, "prototype");
    if (base) {
      const above = this.#tail[0] as Function;
      if (kind === "class") Object.setPrototypeOf(this.fn, above);
      Object.setPrototypeOf(prototype, above.prototype as object);
    }
    for (const [at, { key, enumerable }] of members.entries())
      define(prototype as object, key, this.#tail[at + (base ? 1 : 0)], enumerable);
  }

  start(): void {
    if (this.#started) return;
    this.#started = true;
    // Static code may use whatever is captured: that has to be ready first, as it was in the original program.
    startAll([...this.#compiled.read(), ...this.#tail]);
    for (const run of this.#deferred.splice(0)) run();
    for (const [key, value] of this.#properties) define(this.fn, key, value, true);
  }
}

function startAll(values: readonly unknown[]): void {
  for (const value of values) if (typeof value === "function") states.get(value)?.start();
}

function rebuildBound(text: string, code: BoundCode): RebuiltFunction {
  let captures: readonly unknown[] = [];
  let laid: ReadonlyArray<readonly [PropertyKey, unknown]> = [];
  let started = false;
  // Its target may not exist yet, so it cannot be bound by `bind`.
  const fn = function (...args: unknown[]): unknown {
    const [target, self, ...bound] = captures as [Function, unknown, ...unknown[]];
    if (new.target !== undefined) return Reflect.construct(target, [...bound, ...args]) as unknown;
    return Reflect.apply(target, self, [...bound, ...args]) as unknown;
  };
  if (code.name !== undefined) define(fn, "name", code.name, false);
  define(fn, "length", code.length, false);
  const start = (): void => {
    if (started) return;
    started = true;
    startAll(captures);
    for (const [key, value] of laid) define(fn, key, value, true);
  };
  states.set(fn, { code: text, captures: () => [...captures], start });
  const fill = (values: readonly unknown[], properties: typeof laid): void => {
    captures = values;
    laid = properties;
    const prototype: unknown = typeof values[0] === "function" ? Object.getPrototypeOf(values[0]) : undefined;
    // As `bind` does it: a bound generator function is still one by its prototype.
    if (typeof prototype === "object" || typeof prototype === "function") Object.setPrototypeOf(fn, prototype);
  };
  return { fn, fill, start };
}

function define(target: object, key: PropertyKey, value: unknown, enumerable: boolean): void {
  const writable = enumerable || !(typeof target === "function" && (key === "name" || key === "length"));
  Object.defineProperty(target, key, { value, enumerable, writable, configurable: true });
}

function nameOf(fn: Function): unknown {
  const property = Object.getOwnPropertyDescriptor(fn, "name");
  // A static member called `name` is part of the text.
  return property === undefined || typeof property.value === "string" ? property?.value : undefined;
}

function compile(text: string, code: SourceCode, moduleOf: (url: string) => object, defer: (run: () => void) => void): Compiled {
  const given = new Map<string, unknown>([
    [markName, text],
    [deferName, defer],
    [baseName, function () {}],
  ]);
  const url = hereOf(code.url);
  for (const one of code.imports) given.set(one.local, bindImport(one, moduleOf, url));
  for (const name of code.meta) given.set(name, importMeta(url));
  for (const name of code.requires) given.set(name, createRequire(pathOf(url) ?? `${process.cwd()}/`));
  for (const name of code.naming) given.set(name, keepName);
  const names = code.names.join(", ");
  const variables = [...code.names, ...code.self];
  const head = [
    code.strict ? '"use strict";' : "",
    variables.length === 0 ? "" : `let ${variables.join(", ")};`,
    `return { setSelf: (fn) => { ${code.self.map((name) => `${name} = fn;`).join(" ")} }, `,
    `write: (values) => { ${names === "" ? "" : `[${names}] = values;`} }, `,
    `read: () => (${markName}, [${names}]), `,
    code.wrap === "expression" ? "made: (" : "made: ({",
  ].join("");
  const body = `${head}${code.text}\n${code.wrap === "expression" ? ")" : "})"} };`;
  const filename = code.inModule ? url : (pathOf(url) ?? url);
  const options = { filename: filename === "" ? "[eval]" : filename, lineOffset: code.line, columnOffset: code.column - head.length };
  const compiled = compileQuietly(body, [...given.keys()], options);
  return Reflect.apply(compiled, undefined, [...given.values()]) as Compiled;
}

function pick(code: SourceCode, made: unknown): Function {
  if (code.wrap === "expression" || code.key === undefined) return made as Function;
  const key = "name" in code.key ? code.key.name : symbolOf(code.key.symbol);
  const property = Object.getOwnPropertyDescriptor(made, key);
  const found: unknown = code.wrap === "getter" ? property?.get : code.wrap === "setter" ? property?.set : property?.value;
  return found as Function;
}

/** `Symbol.iterator` or `Symbol.for("...")`, as `portableSymbol` wrote it. */
function symbolOf(text: string): symbol {
  const registered = /^Symbol\.for\((.*)\)$/.exec(text)?.[1];
  if (registered !== undefined) return Symbol.for(JSON.parse(registered) as string);
  return Reflect.get(Symbol, text.slice("Symbol.".length)) as symbol;
}

function bindImport(binding: ImportBinding, moduleOf: (url: string) => object, url: string): unknown {
  const { module, name } = binding;
  if (name === "dynamic import") return testRunnerImport(url);
  const namespace = moduleOf(module);
  if (name === "*") return namespace;
  if (name === "cjs") return Reflect.get(namespace, exportsName);
  if (name === "interop") return interop(Reflect.get(namespace, exportsName));
  if (!(name in namespace)) throw missing(`Import ${name} of ${module}`, "the module has no such export in this process");
  return Reflect.get(namespace, name);
}

/**
 * `import()` as a test runner rewrites it: it names files from the root of its project, which is the folder of the test file or one above.
 */
function testRunnerImport(url: string): (specifier: string) => Promise<object> {
  const parent = parentUrl(url);
  const importer = importerOf(parent, false);
  return (specifier) => {
    if (!specifier.startsWith("/")) return importer(specifier);
    const plain = specifier.replace(/^\/@fs/, "");
    for (let folder = new URL(".", parent); ; folder = new URL("..", folder)) {
      const candidate = new URL(`.${plain}`, folder);
      if (existsSync(candidate)) return importer(candidate.href);
      if (folder.pathname === "/" || folder.protocol !== "file:") return importer(specifier);
    }
  };
}

/** What bundlers make of `require` for code that imports: all members, and the whole as `default`. */
function interop(exports: unknown): object {
  const target = Object.create(
    typeof exports === "object" && exports !== null ? (Object.getPrototypeOf(exports) as object | null) : null,
  ) as object;
  for (const key of Object.getOwnPropertyNames(exports)) {
    Object.defineProperty(target, key, { get: (): unknown => Reflect.get(exports as object, key), enumerable: true });
  }
  Object.defineProperty(target, "default", { value: exports, enumerable: true });
  return target;
}

/** esbuild's helper, which names functions that lost theirs. */
function keepName(fn: Function, name: string): Function {
  return Object.defineProperty(fn, "name", { value: name, configurable: true });
}

/** `import.meta` as the original file has it. */
function importMeta(url: string): object {
  const parent = parentUrl(url);
  const path = pathOf(parent);
  const resolve = (specifier: string): string => {
    if (/^\.{0,2}\//.test(specifier)) return new URL(specifier, parent).href;
    if (URL.canParse(specifier)) return specifier;
    const found = createRequire(path ?? `${process.cwd()}/`).resolve(specifier);
    return found.startsWith("/") || /^[a-zA-Z]:/.test(found) ? pathToFileURL(found).href : `node:${found}`;
  };
  const place = path === undefined ? {} : { dirname: fileURLToPath(new URL(".", parent)).replace(/(?<=.)[\\/]$/, ""), filename: path };
  return Object.assign(Object.create(null) as object, place, { resolve, url: parent });
}
