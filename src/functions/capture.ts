/**
 * A live function or class to a record: by the way to find it where another process can, else its source and what it captures.
 * Not here: the meaning of single names (resolve.ts), encoding the captured values (the value codec), running it again (rebuild.ts).
 */
import { types } from "node:util";
import type { FunctionRecord } from "../values/contract.ts";
import { applyEdits, awaitsBase, baseEdit, deferEdits, hasStaticCode, keyEdits } from "./classes.ts";
import type { Edit } from "./classes.ts";
import { declarationsOf } from "./declarations.ts";
import { openInspector } from "./inspector.ts";
import { describeOrigin, originalLines } from "./lines.ts";
import { isEntry } from "./modules.ts";
import { markName, metaName, ownProperties, parseCode, portableSymbol, printCode } from "./record.ts";
import type { KeyText, PrototypeMember, SourceCode } from "./record.ts";
import { rebuiltState } from "./rebuild.ts";
import { findPlace, knownPlace } from "./references.ts";
import { refusal } from "./refuse.ts";
import { originOf, originOfKey } from "./relocation.ts";
import { bindNames } from "./resolve.ts";
import type { Bindings, Subject } from "./resolve.ts";
import { analyse } from "./scope.ts";
import type { Analysis } from "./scope.ts";
import { child, hasStrictDirective, parseFunction, textOf, textOfFunction } from "./syntax.ts";
import type { Fragment } from "./syntax.ts";
import { builtinPlace, globalPlace, registeredPlace } from "./wellknown.ts";

interface Carrier {
  readonly fn: Function;
  readonly captures: Readonly<Record<string, unknown>>;
}

const carriers = new WeakMap<Function, Carrier>();

/**
 * Names captures by hand: they win over what the function closes over. Gives a stand-in to be captured in place of `fn`, so that one
 * function may cross with several sets of captures.
 */
export function withCaptures(fn: Function, captures: Readonly<Record<string, unknown>>): Function {
  const stand = function (this: unknown, ...args: unknown[]): unknown {
    return new.target === undefined ? Reflect.apply(fn, this, args) : (Reflect.construct(fn, args) as unknown);
  };
  carriers.set(stand, { fn: behind(fn), captures: { ...carriers.get(fn)?.captures, ...captures } });
  return stand;
}

/** The function itself, where a stand-in of `withCaptures` may have been given. */
export function behind(fn: Function): Function {
  return carriers.get(fn)?.fn ?? fn;
}

const nativeText = /\{\s*\[native code\]\s*\}\s*$/;

export function captureFunction(given: Function, path: string): FunctionRecord {
  const carrier = carriers.get(given);
  const fn = carrier?.fn ?? given;
  if (types.isProxy(fn))
    throw refusal(path, "a Proxy of a function", "", "its handler cannot be taken along", "Pass the function behind it");
  const again = rebuiltState(fn);
  if (again !== undefined) return captureAgain(fn, again.code, again.captures(), carrier);
  if (carrier === undefined) {
    const place = registeredPlace(fn) ?? knownPlace(fn) ?? globalPlace(fn);
    if (place !== undefined) return { kind: "reference", ...place };
  }
  if (nativeText.test(textOfFunction(fn))) return captureNative(fn, path);
  const inspector = openInspector();
  const facts = inspector?.look(fn);
  const url = facts === undefined || inspector === undefined ? "" : inspector.url(facts.scriptId);
  if (carrier === undefined && facts !== undefined && inspector !== undefined) {
    const place = findPlace(fn, facts, url, inspector);
    if (place !== undefined) return { kind: "reference", ...place };
  }
  if (url.startsWith("node:")) throw notOurs(fn, path, "it belongs to Node itself, and no module exports it");
  const place = facts === undefined ? "" : describeOrigin(url, facts);
  return captureSource({ fn, path, place, url, facts, inspector, given: carrier?.captures });
}

function captureNative(fn: Function, path: string): FunctionRecord {
  // Node exports bound functions of its own: by name they do not take Node's insides along.
  const place = builtinPlace(fn);
  if (place !== undefined) return { kind: "reference", ...place };
  const bound = openInspector()?.bound(fn);
  if (bound !== undefined) {
    const { target, self, args } = bound;
    return {
      kind: "value",
      code: printCode({ kind: "bound", name: nameProperty(fn), length: fn.length }),
      captures: [target, self, ...args],
      captureNames: ["target", "this", ...args.map((_, index) => `argument ${index}`)],
      properties: ownProperties(fn, () => false),
      modules: [],
    };
  }
  throw notOurs(fn, path, "it has no source, and no global or module leads to it");
}

function notOurs(fn: Function, path: string, why: string): Error {
  const todo = "Wrap it in a function of your own: (...args) => theFunction(...args)";
  return refusal(path, `the native function ${fn.name || "(anonymous)"}`, "", why, todo);
}

/** A function that came from another process goes on with the captures it has now. */
function captureAgain(fn: Function, code: string, captures: readonly unknown[], carrier: Carrier | undefined): FunctionRecord {
  const parsed = parseCode(code);
  if (parsed.kind === "bound") {
    return {
      kind: "value",
      code,
      captures,
      captureNames: captures.map((_, index) => ["target", "this"][index] ?? `argument ${index - 2}`),
      properties: ownProperties(fn, () => false),
      modules: [],
    };
  }
  const values = captures.map((value, index) => {
    const name = parsed.names[index];
    return name !== undefined && carrier !== undefined && Object.hasOwn(carrier.captures, name) ? carrier.captures[name] : value;
  });
  return {
    kind: "value",
    code,
    captures: values,
    captureNames: captureNames(parsed),
    properties: properties(fn, parsed),
    modules: modulesOf(parsed),
  };
}

function captureSource(subject: Subject): FunctionRecord {
  const { fn, path, place } = subject;
  const fragment = parseFunction(textOfFunction(fn));
  if (fragment === undefined) {
    throw refusal(
      path,
      `the function ${fn.name || "(anonymous)"}`,
      place,
      "its source is not to be had or not understood",
      "Define it in a file",
    );
  }
  const strict = isStrict(subject, fragment);
  const analysis = analyse(fragment, strict);
  refuseSurroundings(subject, fragment, analysis);
  const bindings = bindNames(subject, analysis);
  if (analysis.importMeta.length > 0 && !bindings.meta.includes(metaName)) bindings.meta.push(metaName);
  const isClass = fragment.root.type === "ClassExpression";
  const { edits, base } = isClass
    ? rewriteClass(subject, fragment, analysis, bindings)
    : { edits: plainEdits(fragment, analysis, fn), base: inheritedBase(fn) };
  const facts = subject.facts ?? { line: 0, column: 0, inModule: true };
  // Other files may be loaded where the function arrives, with their own source maps: lines of theirs stay as they are.
  const lines = isEntry(subject.url) ? originalLines(fragment, subject.url, facts) : undefined;
  const { line, column } = lines?.place ?? facts;
  const text = applyEdits(fragment.text, [...edits, ...(lines?.edits ?? [])]);
  const members = prototypeMembers(fn, fragment);
  const code: SourceCode = {
    kind: isClass ? "class" : "function",
    wrap: fragment.wrap,
    text,
    name: nameProperty(fn),
    strict,
    ...(fragment.wrap === "expression" ? {} : { key: keyOf(fragment, fn) }),
    url: originOf(subject.url),
    line,
    column,
    inModule: facts.inModule,
    names: [...bindings.captures.keys()],
    self: bindings.self,
    imports: bindings.imports.map((one) => ({ ...one, module: originOfKey(one.module) })),
    meta: bindings.meta,
    requires: bindings.requires,
    naming: bindings.naming,
    base: base !== undefined,
    members: members.map(([member]) => member),
  };
  return {
    kind: "value",
    code: printCode(code),
    captures: [...bindings.captures.values(), ...(base === undefined ? [] : [base]), ...members.map(([, value]) => value)],
    captureNames: captureNames(code),
    properties: properties(fn, code),
    modules: modulesOf(code),
  };
}

function captureNames(code: SourceCode): string[] {
  return [...code.names, ...(code.base ? ["extends"] : []), ...code.members.map(({ key }) => `prototype.${key}`)];
}

function modulesOf(code: SourceCode): string[] {
  return [...new Set(code.imports.map((one) => one.module))];
}

/** Functions that a static field of the text makes are made again by the text: taken by value they would lose their `this`. */
function properties(fn: Function, code: SourceCode): [PropertyKey, unknown][] {
  return ownProperties(fn, (value) => code.kind === "class" && typeof value === "function" && code.text.includes(textOfFunction(value)));
}

function nameProperty(fn: Function): string | undefined {
  const value: unknown = Object.getOwnPropertyDescriptor(fn, "name")?.value;
  return typeof value === "string" ? value : undefined;
}

/** Up to Node 24 V8 gives plain sloppy functions, and only them, legacy properties of their own. */
const sloppyShows = Number(process.versions.node.split(".")[0]) <= 24;

function isStrict(subject: Subject, fragment: Fragment): boolean {
  const { fn, facts, inspector } = subject;
  const { root, wrap } = fragment;
  if (root.type === "ClassExpression" || hasStrictDirective(child(root, "body")?.["body"])) return true;
  if (facts === undefined || inspector === undefined || facts.inModule) return true;
  const plain = wrap === "expression" && root.type === "FunctionExpression" && root["async"] !== true && root["generator"] !== true;
  if (plain && sloppyShows) return !Object.hasOwn(fn, "caller");
  const rebuilt = facts.scopes.find((scope) => Object.hasOwn(scope.variables, markName));
  if (rebuilt !== undefined) return (parseCode(String(Reflect.get(rebuilt.variables, markName))) as SourceCode).strict;
  const script = declarationsOf(inspector, facts);
  return script.strictAt(script.offsetOf(facts.line, facts.column));
}

const lexicalAdvice = {
  this: ["it uses `this` of the code around it", "Copy `this` or what is needed of it into a variable before, or use a method and bind it"],
  super: ["it uses `super`, which belongs to the object or class that it was taken from", "Pass the object or class itself"],
  "new.target": ["it uses `new.target` of the function around it", "Copy it into a variable before"],
  arguments: ["it uses `arguments` of the function around it", "Copy them into a variable before, or take (...args)"],
} as const;

function refuseSurroundings(subject: Subject, fragment: Fragment, analysis: Analysis): void {
  const { fn, path, place } = subject;
  const what = fragment.root.type === "ArrowFunctionExpression" ? "an arrow function" : `the function ${fn.name || "(anonymous)"}`;
  for (const kind of analysis.lexical) {
    const [why, todo] = lexicalAdvice[kind];
    throw refusal(path, what, place, why, todo);
  }
  const [secret] = analysis.outerPrivateNames;
  if (secret !== undefined) {
    throw refusal(
      path,
      what,
      place,
      `it uses the private name #${secret} of the class around it`,
      "Pass the class, or use a public member",
    );
  }
  if (analysis.directEval)
    throw refusal(path, what, place, "it calls `eval`, so the variables it needs cannot be told", "Use (0, eval)(...) or no eval");
}

function metaEdits(analysis: Analysis): Edit[] {
  return analysis.importMeta.map(([start, end]) => ({ start, end, text: metaName.padEnd(end - start) }));
}

function plainEdits(fragment: Fragment, analysis: Analysis, fn: Function): Edit[] {
  const edits = metaEdits(analysis);
  const { key, computedKey, offset } = fragment;
  if (key !== undefined && computedKey) {
    const own = keyOf(fragment, fn);
    edits.push({ start: key.start - offset, end: key.end - offset, text: "symbol" in own ? own.symbol : JSON.stringify(own.name) });
  }
  return edits;
}

/** The name of a method, as its object had it. */
function keyOf(fragment: Fragment, fn: Function): KeyText {
  const { key, computedKey } = fragment;
  if (key !== undefined && !computedKey) return { name: key.type === "Identifier" ? textOf(key, "name") : String(key["value"]) };
  const name = fn.name.replace(/^[gs]et /, "");
  const symbol = /^\[(.+)\]$/.exec(name)?.[1];
  const known = symbol?.startsWith("Symbol.") === true ? (Reflect.get(Symbol, symbol.slice(7)) as unknown) : undefined;
  const text = typeof known === "symbol" ? portableSymbol(known) : undefined;
  return text === undefined ? { name } : { symbol: text };
}

function rewriteClass(subject: Subject, fragment: Fragment, analysis: Analysis, bindings: Bindings): { edits: Edit[]; base: unknown } {
  const { captures, self, absent } = bindings;
  const foreign = (name: string): boolean => captures.has(name) || self.includes(name) || absent.has(name);
  const edits = metaEdits(analysis);
  const names = [...analysis.free.values()];
  const needsBase = names.some((free) => free.regions.has("heritage") && foreign(free.name)) || awaitsBase(fragment);
  const prototype: unknown = Object.getPrototypeOf(subject.fn);
  const base = needsBase && prototype !== Function.prototype ? prototype : undefined;
  if (needsBase) edits.push(...baseEdit(fragment, base === undefined ? "null" : undefined));
  let keys: Edit[] = [];
  if (names.some((free) => free.regions.has("key") && foreign(free.name))) {
    const found = keyEdits(fragment, subject.fn, foreign, (name) => (captures.has(name) ? { value: captures.get(name) } : undefined));
    if (found === undefined) {
      const why = "a computed member name uses a variable in a way that only running the code could tell";
      throw refusal(
        subject.path,
        `the class ${subject.fn.name || "(anonymous)"}`,
        subject.place,
        why,
        "Put the name itself into a constant",
      );
    }
    keys = found;
    edits.push(...keys);
  }
  for (const free of names) if (!free.regions.has("body") && isDone(free.regions, needsBase)) captures.delete(free.name);
  if ((captures.size > 0 || base !== undefined) && hasStaticCode(fragment)) edits.push(...deferEdits(fragment, keys));
  return { edits, base };
}

/** A name that stands only where the text has been replaced is not needed any more. */
function isDone(regions: ReadonlySet<string>, baseReplaced: boolean): boolean {
  return !regions.has("heritage") || baseReplaced;
}

/** `util.inherits` and the like: the constructor whose prototype this one inherits from. */
function inheritedBase(fn: Function): unknown {
  const own: unknown = Object.getOwnPropertyDescriptor(fn, "prototype")?.value;
  if (typeof own !== "object" || own === null || types.isGeneratorFunction(fn)) return undefined;
  const above: unknown = Object.getPrototypeOf(own);
  if (typeof above !== "object" || above === null || above === Object.prototype) return undefined;
  const base: unknown = Object.getOwnPropertyDescriptor(above, "constructor")?.value;
  return typeof base === "function" && base.prototype === above ? base : undefined;
}

function prototypeMembers(fn: Function, fragment: Fragment): [PrototypeMember, unknown][] {
  const prototype: unknown = Object.getOwnPropertyDescriptor(fn, "prototype")?.value;
  if (typeof prototype !== "object" || prototype === null) return [];
  const found: [PrototypeMember, unknown][] = [];
  for (const [key, property] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (key === "constructor" || !("value" in property)) continue;
    const value: unknown = property.value;
    if (typeof value === "function" && fragment.text.includes(textOfFunction(value))) continue;
    found.push([{ key, enumerable: property.enumerable === true }, value]);
  }
  return found;
}
