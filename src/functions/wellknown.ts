/**
 * Functions that every process has by itself: the globals of JavaScript and Node, the modules of Node, and what mobula
 * registers. They cross by the way to find them, never by source.
 */
import { builtinModules } from "node:module";

/** Where a well-known function is: a module key that `importModules` understands, and the path from there. */
export interface Place {
  readonly url: string;
  readonly path: readonly string[];
}

export const globalKey = "global:";

const registered = new Map<string, Readonly<Record<string, unknown>>>();
const registeredPlaces = new WeakMap<object, Place>();

/**
 * Makes everything in `members` cross by name, whatever copy or bundle it came from: `key` is looked up in the receiving process, which
 * must have registered the same names. The runtime registers the public API as `mobula:`.
 */
export function registerWellKnown(key: string, members: Readonly<Record<string, unknown>>): void {
  registered.set(key, members);
  registeredPlaces.set(members, { url: key, path: [] });
  for (const [name, value] of Object.entries(members)) {
    if ((typeof value === "object" && value !== null) || typeof value === "function")
      registeredPlaces.set(value, { url: key, path: [name] });
  }
}

export function registeredModule(key: string): object | undefined {
  return key === globalKey ? globalThis : registered.get(key);
}

export function registeredPlace(value: object): Place | undefined {
  return registeredPlaces.get(value);
}

/** The key under which everything that a module exports is registered. */
export function registeredNamespace(namespace: object): string | undefined {
  const members = Object.keys(namespace).map((name): [string, unknown] => [name, exported(namespace, name)]);
  const [first] = members.flatMap(([, value]) => (typeof value === "function" ? (registeredPlaces.get(value) ?? []) : []));
  const known = first === undefined ? undefined : registered.get(first.url);
  return known !== undefined && members.every(([name, value]) => known[name] === value) ? first?.url : undefined;
}

/** Reading an export of a module that is still being evaluated throws. */
function exported(namespace: object, name: string): unknown {
  try {
    return Reflect.get(namespace, name);
  } catch {
    return undefined;
  }
}

/** Enumerable on globalThis in a fresh Node; whatever else is enumerable there was put there by the program. */
const enumerableGlobals = new Set([
  "global",
  "clearImmediate",
  "setImmediate",
  "clearInterval",
  "clearTimeout",
  "setInterval",
  "setTimeout",
  "queueMicrotask",
  "structuredClone",
  "atob",
  "btoa",
  "performance",
  "fetch",
  "navigator",
  "crypto",
  "localStorage",
  "sessionStorage",
  "WebSocket",
]);

export type GlobalKind = "standard" | "program" | "builtin module" | "absent";

/** What a free name that no scope has means: a global of every process, one that the program made, or one of the prompt's modules. */
export function globalKind(name: string): GlobalKind {
  const property = Object.getOwnPropertyDescriptor(globalThis, name);
  if (property === undefined) return name in globalThis ? "standard" : "absent";
  if (property.enumerable === true && "value" in property && !enumerableGlobals.has(name)) return "program";
  if (builtinModules.includes(name) && !["console", "process"].includes(name) && !enumerableGlobals.has(name)) return "builtin module";
  return "standard";
}

let globalPlaces: WeakMap<object, readonly string[]> | undefined;

function indexGlobals(): WeakMap<object, readonly string[]> {
  const places = new WeakMap<object, readonly string[]>();
  const index = (holder: object, path: readonly string[], depth: number): void => {
    for (const name of Object.getOwnPropertyNames(holder)) {
      if (name === "constructor" || name === "caller" || name === "callee" || name === "arguments") continue;
      const value: unknown = Object.getOwnPropertyDescriptor(holder, name)?.value;
      if ((typeof value !== "object" || value === null) && typeof value !== "function") continue;
      if (places.has(value)) continue;
      const here = [...path, name];
      if (typeof value === "function") places.set(value, here);
      if (depth > 0 || name === "prototype") index(value, here, depth - 1);
    }
  };
  const names = Object.getOwnPropertyNames(globalThis).filter(
    (name) => globalKind(name) === "standard" && !/^(global|globalThis)$/.test(name),
  );
  // Breadth first, so that the shortest way wins: Map before Map.prototype.constructor.
  for (const name of names) {
    const value: unknown = Object.getOwnPropertyDescriptor(globalThis, name)?.value;
    if (typeof value === "function") places.set(value, [name]);
  }
  for (const name of names) {
    const value: unknown = Object.getOwnPropertyDescriptor(globalThis, name)?.value;
    if (typeof value === "function" || (typeof value === "object" && value !== null)) index(value, [name], 0);
  }
  return places;
}

/** A function of the language or of Node that is reachable from globalThis, such as Math.max or Array.prototype.map. */
export function globalPlace(fn: Function): Place | undefined {
  globalPlaces ??= indexGlobals();
  const path = globalPlaces.get(fn);
  return path === undefined ? undefined : { url: globalKey, path };
}

/** The modules of Node that are loaded: only they can have given a value away. */
export function loadedBuiltins(): string[] {
  const list: unknown = Reflect.get(process, "moduleLoadList");
  if (!Array.isArray(list)) return [];
  const loaded = new Set(list.map((entry: unknown) => String(entry).replace(/^NativeModule /, "")));
  return builtinModules.filter((name) => !name.startsWith("_") && name !== "sys" && loaded.has(name));
}

function builtinExports(name: string): object | undefined {
  try {
    const exports: unknown = process.getBuiltinModule(name as "node:fs");
    return (typeof exports === "object" && exports !== null) || typeof exports === "function" ? (exports as object) : undefined;
  } catch {
    return undefined;
  }
}

let builtinNames: { readonly loaded: number; readonly names: Map<object, string> } | undefined;

/** Which module of Node is this object the exports of? */
export function builtinModuleOf(value: object): string | undefined {
  const list: unknown = Reflect.get(process, "moduleLoadList");
  const loaded = Array.isArray(list) ? list.length : 0;
  if (builtinNames?.loaded !== loaded) {
    const names = new Map<object, string>();
    for (const name of loadedBuiltins()) {
      const exports = builtinExports(name);
      if (exports !== undefined) names.set(exports, name);
    }
    builtinNames = { loaded, names };
  }
  return builtinNames.names.get(value);
}

/** A function or class that a module of Node exports, or an object that it exports, such as `path.win32`. */
export function builtinPlace(fn: Function): Place | undefined {
  for (const name of loadedBuiltins()) {
    const exports = builtinExports(name);
    const way = exports === undefined ? undefined : memberWay(exports, fn, 1);
    if (way !== undefined) return { url: `node:${name}`, path: ["default", ...way] };
  }
  return undefined;
}

function memberWay(holder: object, fn: Function, deeper: number): string[] | undefined {
  if (holder === fn) return [];
  for (const key of Object.keys(holder)) {
    // Some exports are getters that warn when they are read.
    const value: unknown = Object.getOwnPropertyDescriptor(holder, key)?.value;
    if (value === fn) return [key];
    const below = deeper > 0 && typeof value === "object" && value !== null ? memberWay(value, fn, deeper - 1) : undefined;
    if (below !== undefined) return [key, ...below];
  }
  return undefined;
}
