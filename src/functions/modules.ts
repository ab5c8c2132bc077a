/**
 * Modules as far as functions need them: the program's entry script, keys that name a module for another process, importing them there,
 * and the way back from a value to the module that exports it.
 *
 * A module key is one of `node:fs`, an absolute URL, `<specifier> from <URL of the importing file>` (optionally ` with <attributes>`),
 * `require <specifier> from <URL>` (an object with the exports under one name), `exports <specifier> from <URL>` (the exports
 * themselves), `global:` and what was registered as well known. The receiving process resolves it.
 */
import { realpathSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";
import { types } from "node:util";
import vm from "node:vm";
import { messageOf, missing } from "./refuse.ts";
import { hereOfKey, moduleKey } from "./relocation.ts";
import { builtinModuleOf, registeredModule, registeredPlace } from "./wellknown.ts";

const ownRequire = createRequire(import.meta.url);

/** Under this name a key of `require` gives what the module exports. */
export const exportsName = "module.exports";

export function requireKey(specifier: string, parent: string): string {
  return `require ${specifier} from ${parentUrl(parent)}`;
}

export function importKey(specifier: string, parent: string, attributes?: Readonly<Record<string, string>>): string {
  if (specifier.startsWith("node:")) return specifier;
  if (builtinModules.includes(specifier)) return `node:${specifier}`;
  const suffix = attributes === undefined || Object.keys(attributes).length === 0 ? "" : ` with ${JSON.stringify(attributes)}`;
  return `${specifier} from ${parentUrl(parent)}${suffix}`;
}

/** Code that was never in a file resolves against the working directory, as Node does it. */
export function parentUrl(url: string): string {
  return /^[a-z][a-z0-9+.-]+:/.test(url) ? url : pathToFileURL(`${process.cwd()}/[eval]`).href;
}

let entry: { path: string | undefined } | undefined;

/** The program's entry script, if it is a file. */
export function entryPath(): string | undefined {
  entry ??= { path: findEntry() };
  return entry.path;
}

function findEntry(): string | undefined {
  if (ownRequire.main?.filename !== undefined) return ownRequire.main.filename;
  const given = process.argv[1];
  if (given === undefined) return undefined;
  for (const find of [() => realpathSync(given), () => realpathSync(createRequire(`${process.cwd()}/`).resolve(given))]) {
    try {
      const path = find();
      if (path !== given || /\.\w+$/.test(path)) return path;
    } catch {
      continue;
    }
  }
  return given;
}

export function isEntry(url: string): boolean {
  const path = pathOf(url);
  return path !== undefined && path === entryPath();
}

/** The file of an address, without query. */
export function pathOf(url: string): string | undefined {
  if (!url.startsWith("file:")) return undefined;
  try {
    const clean = new URL(url);
    clean.search = "";
    clean.hash = "";
    return fileURLToPath(clean);
  } catch {
    return undefined;
  }
}

/** The exports of a CommonJS module that this process has loaded. */
export function loadedExports(path: string): { readonly exports: unknown } | undefined {
  const module = ownRequire.cache[path];
  return module === undefined ? undefined : { exports: module.exports };
}

/** The module that this value is the exports of, for `require` variables of any form. `interop`: what bundlers wrap around it. */
export function moduleBehind(value: unknown, parent: string): { module: string; name: string } | undefined {
  if (typeof value !== "object" && typeof value !== "function") return undefined;
  if (value === null || types.isProxy(value)) return undefined;
  const place = registeredPlace(value);
  if (place !== undefined && place.path.length === 0) return { module: place.url, name: "*" };
  if (types.isModuleNamespaceObject(value)) return undefined;
  const direct = keyOfExports(value, parent);
  if (direct !== undefined) return { module: direct, name: direct.startsWith("node:") ? "default" : "cjs" };
  const wrapped: unknown = typeof value === "object" ? safeGet(value, "default") : undefined;
  if (typeof wrapped === "object" || typeof wrapped === "function") {
    const inner = wrapped === null ? undefined : keyOfExports(wrapped, parent);
    const looksWrapped = inner !== undefined && wrapped !== null && Object.keys(value).every((key) => key === "default" || key in wrapped);
    if (inner !== undefined && looksWrapped) return { module: requireForm(inner, parent), name: "interop" };
  }
  return transpiledModule(value, parent);
}

/** `__toESM(require("x"))` of a module that is marked as transpiled: a copy with the same members and no other trace. */
function transpiledModule(value: object, parent: string): { module: string; name: string } | undefined {
  // Its members are getters, each of them. Arrays are not looked through: a large one has millions of members.
  if (typeof value !== "object" || ArrayBuffer.isView(value) || Array.isArray(value)) return undefined;
  const keys = Object.keys(value);
  if (keys.length === 0 || Object.getOwnPropertyDescriptor(value, keys[0]!)?.get === undefined) return undefined;
  for (const [path, module] of Object.entries(ownRequire.cache)) {
    const exports: unknown = module?.exports;
    if (typeof exports !== "object" || exports === null || path === entryPath()) continue;
    if (keys.every((key) => Object.hasOwn(exports, key) && safeGet(exports, key) === safeGet(value, key))) {
      return { module: requireKey(path, parent), name: "cjs" };
    }
  }
  return undefined;
}

function requireForm(key: string, parent: string): string {
  return key.startsWith("node:") ? requireKey(key, parent) : key;
}

function keyOfExports(value: object, parent: string): string | undefined {
  const builtin = builtinModuleOf(value);
  if (builtin !== undefined) return `node:${builtin}`;
  for (const [path, module] of Object.entries(ownRequire.cache)) {
    if (module?.exports === value && path !== entryPath() && !emptyExports(value)) return requireKey(path, parent);
  }
  return undefined;
}

function emptyExports(value: object): boolean {
  return typeof value === "object" && Object.keys(value).length === 0;
}

function safeGet(value: object, key: string): unknown {
  try {
    return Reflect.get(value, key);
  } catch {
    return undefined;
  }
}

type Importer = (specifier: string, options?: object) => Promise<object>;
const importers = new Map<string, Importer>();

/** `import()` as the file at `parent` would do it. */
export function importerOf(parent: string, withOptions: boolean): Importer {
  const id = `${withOptions}${parent}`;
  let importer = importers.get(id);
  if (importer === undefined) {
    const body = withOptions ? "return import(specifier, options)" : "return import(specifier)";
    importer = compileQuietly(body, ["specifier", "options"], { filename: parent }) as Importer;
    importers.set(id, importer);
  }
  return importer;
}

let quiet = false;

/**
 * `vm.compileFunction` with the loader of the main program. Node 20 warns of it once, at the first `import()` that such code makes: that
 * one warning says nothing to users, and is left out.
 */
export function compileQuietly(body: string, params: readonly string[], options: vm.CompileFunctionOptions): Function {
  if (!quiet) {
    quiet = true;
    const emit = process.emitWarning.bind(process) as (...args: unknown[]) => void;
    process.emitWarning = (...args: unknown[]): void => {
      if (!String(args[0]).includes("vm.USE_MAIN_CONTEXT_DEFAULT_LOADER")) emit(...args);
    };
  }
  const loader = { importModuleDynamically: vm.constants.USE_MAIN_CONTEXT_DEFAULT_LOADER };
  return vm.compileFunction(body, params, { ...options, ...(loader as object) });
}

const namespaces = new WeakMap<object, string>();
const loaded = new Map<string, Promise<object>>();

/**
 * Imports modules by key, each once a process. The result gives the namespace of each; it throws for a key that was not asked for.
 * Rejects with RuntimeEnvError when one cannot be imported here.
 */
export async function importModules(keys: readonly string[]): Promise<(key: string) => object> {
  const found = new Map<string, object>();
  await Promise.all(keys.map(async (key) => found.set(key, await importModule(key))));
  return (key) => {
    const namespace = found.get(key) ?? registeredModule(key);
    if (namespace === undefined) throw missing(`Module ${key}`, "it was not imported before it was needed");
    return namespace;
  };
}

function importModule(key: string): Promise<object> {
  const own = registeredModule(key);
  if (own !== undefined) return Promise.resolve(own);
  let promise = loaded.get(key);
  if (promise === undefined) {
    promise = load(key);
    loaded.set(key, promise);
    // What failed once may be there later.
    promise.catch(() => loaded.delete(key));
  }
  return promise;
}

async function load(key: string): Promise<object> {
  const here = hereOfKey(key);
  const [, required, specifier = here, parent = here, suffix] = moduleKey.exec(here) ?? [];
  const attributes = suffix?.slice(" with ".length);
  try {
    if (required !== undefined) {
      const exports: unknown = createRequire(pathOf(parent) ?? `${process.cwd()}/`)(specifier);
      return required === "exports " ? (exports as object) : { [exportsName]: exports };
    }
    const importer = importerOf(parent.startsWith("node:") ? import.meta.url : parent, attributes !== undefined);
    const namespace = await (attributes === undefined
      ? importer(specifier)
      : importer(specifier, { with: JSON.parse(attributes) as object }));
    namespaces.set(namespace, key);
    return namespace;
  } catch (error) {
    const where = specifier === parent ? "" : ` (imported by ${parent})`;
    throw missing(`Module ${specifier}${where} cannot be loaded in this process`, messageOf(error), error);
  }
}

/** Remembers the module that a namespace object belongs to, for `describeModule`. */
export function rememberNamespace(namespace: object, key: string): void {
  if (!namespaces.has(namespace)) namespaces.set(namespace, key);
}

/** The key of a module whose namespace object was imported by a function or is one of Node's. */
export function knownNamespace(namespace: object): string | undefined {
  const place = registeredPlace(namespace);
  const known = namespaces.get(namespace) ?? (place?.path.length === 0 ? place.url : undefined);
  if (known !== undefined || !types.isModuleNamespaceObject(namespace)) return known;
  const inner = safeGet(namespace, "default");
  if ((typeof inner !== "object" && typeof inner !== "function") || inner === null) return undefined;
  const builtin = builtinModuleOf(inner);
  return builtin === undefined ? undefined : `node:${builtin}`;
}

/** The key that gives this very object, if it is what a loaded CommonJS or built-in module exports. */
export function keyOfLoaded(value: object): string | undefined {
  const key = keyOfExports(value, "");
  if (key === undefined) return undefined;
  return key.startsWith("node:") ? `exports ${key}` : key.replace(/^require /, "exports ");
}
