/**
 * By reference: from a function to the export that it is, and from there to the function in another process.
 */
import { types } from "node:util";
import { declarationsOf } from "./declarations.ts";
import type { ClosureScope, FunctionFacts, ThreadInspector } from "./inspector.ts";
import { exportsName, isEntry, loadedExports, pathOf, requireKey } from "./modules.ts";
import { missing } from "./refuse.ts";
import { originOfKey } from "./relocation.ts";
import { builtinPlace } from "./wellknown.ts";
import type { Place } from "./wellknown.ts";

const places = new WeakMap<Function, Place>();

/** The place a function is known to be found at, because it was found or resolved before. */
export function knownPlace(fn: Function): Place | undefined {
  return places.get(fn);
}

/**
 * The export by which another process finds this very function, if it is reached through a module that is not the program's entry.
 * Functions of a module that no export leads to are not found: they cross by value, as nothing else can reach them.
 */
export function findPlace(fn: Function, facts: FunctionFacts, url: string, inspector: ThreadInspector): Place | undefined {
  const found = find(fn, facts, url, inspector);
  if (found === undefined) return undefined;
  const place = { ...found, url: originOfKey(found.url) };
  places.set(fn, place);
  return place;
}

function find(fn: Function, facts: FunctionFacts, url: string, inspector: ThreadInspector): Place | undefined {
  if (url.startsWith("node:")) return builtinPlace(fn);
  // Code from `-e` or standard input has an address as if it lay in the working directory, where nothing is.
  if (isEntry(url) || /\/\[(eval|stdin)\d*\]/.test(url)) return undefined;
  if (facts.inModule) return /^(file|data|https?):/.test(url) ? findExport(fn, facts, url, inspector) : undefined;
  const path = pathOf(url);
  const module = path === undefined ? undefined : loadedExports(path);
  if (path === undefined || module === undefined) return undefined;
  const way = search(module.exports, fn, true);
  return way === undefined ? undefined : { url: requireKey(path, url), path: [exportsName, ...way] };
}

function findExport(fn: Function, facts: FunctionFacts, url: string, inspector: ThreadInspector): Place | undefined {
  const scope = facts.scopes.find((one) => one.kind === "Module");
  const script = declarationsOf(inspector, facts);
  const here = script.offsetOf(facts.line, facts.column);
  for (const one of script.exports) {
    if (one.range !== undefined && one.local === undefined && anonymousDefault(one.range, here, fn)) return { url, path: ["default"] };
    const way = one.local === undefined || scope === undefined ? undefined : search(variable(scope, one.local), fn, false);
    if (way !== undefined) return { url, path: [one.name, ...way] };
  }
  return undefined;
}

/** `export default () => ...`, maybe with a call around it by which a transpiler keeps the name. */
function anonymousDefault([start, end]: readonly [number, number], here: number, fn: Function): boolean {
  return start <= here && here < end && fn.name === "default";
}

function variable(scope: ClosureScope, name: string): unknown {
  try {
    return Object.hasOwn(scope.variables, name) ? (Reflect.get(scope.variables, name) as unknown) : undefined;
  } catch {
    return undefined;
  }
}

/** The path from an exported value to a function: the value itself, a member of it, or a method of its prototype. */
function search(holder: unknown, fn: Function, readGetters: boolean): string[] | undefined {
  if (holder === fn) return [];
  if ((typeof holder !== "object" && typeof holder !== "function") || holder === null || types.isProxy(holder)) return undefined;
  for (const name of Object.getOwnPropertyNames(holder)) {
    const property = Object.getOwnPropertyDescriptor(holder, name);
    const value: unknown = property?.get !== undefined && readGetters ? read(holder, name) : property?.value;
    if (value === fn) return [name];
    // One level below the exports of CommonJS, as ES modules have it too.
    if (readGetters && typeof value === "object" && value !== null) {
      const below = search(value, fn, false);
      if (below !== undefined) return [name, ...below];
    } else if (name === "prototype" || (readGetters && typeof value === "function")) {
      const below = members(value, fn);
      if (below !== undefined) return [name, ...below];
    }
  }
  return undefined;
}

function members(holder: unknown, fn: Function): string[] | undefined {
  if ((typeof holder !== "object" && typeof holder !== "function") || holder === null) return undefined;
  for (const name of Object.getOwnPropertyNames(holder)) {
    if (name !== "constructor" && Object.getOwnPropertyDescriptor(holder, name)?.value === fn) return [name];
  }
  const prototype: unknown = typeof holder === "function" ? Object.getOwnPropertyDescriptor(holder, "prototype")?.value : undefined;
  const below = prototype === undefined ? undefined : members(prototype, fn);
  return below === undefined ? undefined : ["prototype", ...below];
}

function read(holder: object, name: string): unknown {
  try {
    return Reflect.get(holder, name);
  } catch {
    return undefined;
  }
}

/** Finds the function again, in the process that received the reference. */
export function resolvePlace(place: Place, moduleOf: (key: string) => object): Function {
  let value: unknown = moduleOf(place.url);
  for (const [at, name] of place.path.entries()) {
    const present = (typeof value === "object" && value !== null) || typeof value === "function";
    const next: unknown = present ? Reflect.get(value as object, name) : undefined;
    if (next === undefined) {
      const way = place.path.slice(0, at + 1).join(".");
      throw missing(`Function ${place.path.join(".")} of ${place.url}`, `this process finds no ${way} there`);
    }
    value = next;
  }
  if (typeof value !== "function")
    throw missing(`Function ${place.path.join(".")} of ${place.url}`, "what this process finds there is no function");
  if (!places.has(value)) places.set(value, place);
  return value;
}
