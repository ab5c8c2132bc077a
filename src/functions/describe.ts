/**
 * Questions about functions and modules that the rest of the engine asks.
 */
import { types } from "node:util";
import { behind } from "./capture.ts";
import { hasPrivateInstanceMembers } from "./classes.ts";
import { declarationsOf } from "./declarations.ts";
import { openInspector } from "./inspector.ts";
import { describeOrigin, describePlace } from "./lines.ts";
import { isEntry, keyOfLoaded, knownNamespace } from "./modules.ts";
import { parseCode } from "./record.ts";
import { rebuiltState } from "./rebuild.ts";
import { originOf, originOfKey } from "./relocation.ts";
import { parseFunction, textOfFunction } from "./syntax.ts";

/** The name for messages and logs: `(anonymous)` when there is none. */
export function functionName(fn: Function): string {
  const name: unknown = Object.getOwnPropertyDescriptor(behind(fn), "name")?.value;
  return typeof name === "string" && name !== "" ? name : "(anonymous)";
}

/** True for what `class` makes, not for constructor functions of the old kind. */
export function isClass(fn: Function): boolean {
  return !types.isProxy(fn) && /^class(?![\w$])/.test(textOfFunction(behind(fn)));
}

/** True for sync and async generator functions and methods, also bound ones and ones that came from another process. */
export function isGenerator(fn: Function): boolean {
  const tag: unknown = Reflect.get(behind(fn), Symbol.toStringTag);
  return tag === "GeneratorFunction" || tag === "AsyncGeneratorFunction";
}

const privateFields = new WeakMap<Function, boolean>();

/** Does the class itself, not one above it, declare `#private` members that its instances carry? Nobody outside can set those. */
export function hasPrivateFields(cls: Function): boolean {
  const known = privateFields.get(cls);
  if (known !== undefined) return known;
  const fragment = isClass(cls) ? parseFunction(textOfFunction(cls)) : undefined;
  const has = fragment !== undefined && hasPrivateInstanceMembers(fragment);
  privateFields.set(cls, has);
  return has;
}

/** Where a function was defined, such as `main.ts:12:5`; empty when nobody knows. */
export function definitionSite(given: Function): string {
  const fn = behind(given);
  const state = rebuiltState(fn);
  if (state !== undefined) {
    const code = parseCode(state.code);
    return code.kind === "bound" ? "" : describePlace(code.url, code);
  }
  if (types.isProxy(fn)) return "";
  const inspector = openInspector();
  const facts = inspector?.look(fn);
  return facts === undefined || inspector === undefined ? "" : describeOrigin(inspector.url(facts.scriptId), facts);
}

/**
 * The key by which another process imports the module behind a namespace object, or behind the exports of CommonJS. Undefined when it
 * cannot be told: then a namespace cannot cross, and exports are an object like any other. Known are namespaces that a captured function
 * imports, those that came from another process, Node's own, and modules that export a function of theirs.
 */
export function describeModule(namespace: object): string | undefined {
  const known = knownNamespace(namespace) ?? keyOfLoaded(namespace);
  if (known !== undefined || !types.isModuleNamespaceObject(namespace)) return known === undefined ? undefined : originOfKey(known);
  const inspector = openInspector();
  if (inspector === undefined) return undefined;
  for (const name of Object.keys(namespace)) {
    const value: unknown = Reflect.get(namespace, name);
    const facts = typeof value === "function" && !types.isProxy(value) ? inspector.look(value) : undefined;
    const url = facts?.inModule === true ? inspector.url(facts.scriptId) : "";
    if (facts === undefined || !url.startsWith("file:") || isEntry(url)) continue;
    const exported = declarationsOf(inspector, facts).exports.map((one) => one.name);
    // A module that only passes the function on has other exports.
    if (Object.keys(namespace).every((key) => exported.includes(key))) return originOf(url);
  }
  return undefined;
}
