/**
 * What the free names of a function stand for: a captured value, a module, the function itself, a global of every process.
 * Not here: finding the names (scope.ts), or what happens to the values (the value codec).
 */
import { types } from "node:util";
import { callsIn, deadZonesShow } from "./dead-zone.ts";
import { declarationsOf } from "./declarations.ts";
import type { ScriptDeclarations } from "./declarations.ts";
import type { ClosureScope, FunctionFacts, ThreadInspector } from "./inspector.ts";
import { importKey, knownNamespace, moduleBehind, rememberNamespace } from "./modules.ts";
import { baseName, deferName, markName, metaName, parseCode } from "./record.ts";
import type { ImportBinding, SourceCode } from "./record.ts";
import { refusal } from "./refuse.ts";
import type { Analysis, FreeName } from "./scope.ts";
import { builtinPlace, globalKind, registeredNamespace, registeredPlace } from "./wellknown.ts";

/** A function in the middle of being captured. */
export interface Subject {
  readonly fn: Function;
  readonly path: string;
  /** For messages. */
  readonly place: string;
  readonly url: string;
  readonly facts: FunctionFacts | undefined;
  readonly inspector: ThreadInspector | undefined;
  /** Captures given by hand. */
  readonly given: Readonly<Record<string, unknown>> | undefined;
}

export interface Bindings {
  readonly captures: Map<string, unknown>;
  readonly self: string[];
  readonly imports: ImportBinding[];
  readonly meta: string[];
  readonly requires: string[];
  readonly naming: string[];
  /** Names that neither a scope nor globalThis has: not kept by V8, as only the definition used them, or never declared. */
  readonly absent: Set<string>;
}

/** Names that test runners give to `import.meta` when they rewrite modules. */
const metaAliases = new Set([metaName, "__vi_import_meta__", "__vite_ssr_import_meta__"]);
const dynamicImports = new Set(["__vi_import__", "__vi_import_dynamic__", "__vite_ssr_dynamic_import__", "__vi_dynamic_import__"]);
const internalNames = new Set([baseName, deferName, markName]);

export function bindNames(subject: Subject, analysis: Analysis): Bindings {
  const bindings: Bindings = { captures: new Map(), self: [], imports: [], meta: [], requires: [], naming: [], absent: new Set() };
  for (const free of analysis.free.values()) bind(subject, free, bindings);
  return bindings;
}

function bind(subject: Subject, free: FreeName, bindings: Bindings): void {
  const { name } = free;
  const { given, facts } = subject;
  if (given !== undefined && Object.hasOwn(given, name)) bindings.captures.set(name, given[name]);
  else if (name === "__name" && free.onlyNameCalls) bindings.naming.push(name);
  else if (internalNames.has(name)) return;
  else {
    const scope = facts?.scopes.find((one) => Object.hasOwn(one.variables, name));
    if (scope !== undefined && facts !== undefined) bindVariable(subject, facts, scope, free, bindings);
    else bindGlobal(subject, name, bindings);
  }
}

function bindGlobal(subject: Subject, name: string, bindings: Bindings): void {
  switch (globalKind(name)) {
    case "program":
      bindings.captures.set(name, Reflect.get(globalThis, name));
      break;
    case "builtin module":
      // The prompt and `node -e` have Node's modules as globals; a worker has not.
      bindings.imports.push({ local: name, module: `node:${name}`, name: "default" });
      break;
    case "absent":
      if (subject.facts === undefined) throw noInspector(subject, name);
      bindings.absent.add(name);
      break;
    case "standard":
  }
}

function noInspector(subject: Subject, name: string): Error {
  const why = `it uses '${name}', and Node's inspector, which reads such variables, is not available here`;
  return refusal(
    subject.path,
    "a function",
    subject.place,
    why,
    `Allow the inspector, or name the captures by hand: { captures: { ${name} } }`,
  );
}

function bindVariable(subject: Subject, facts: FunctionFacts, scope: ClosureScope, free: FreeName, bindings: Bindings): void {
  const { name } = free;
  const rebuilt = codeOfScope(scope);
  if (rebuilt !== undefined && bindAgain(rebuilt, name, bindings)) return;
  if (metaAliases.has(name)) {
    bindings.meta.push(name);
    return;
  }
  if (dynamicImports.has(name)) {
    bindings.imports.push({ local: name, module: "global:", name: "dynamic import" });
    return;
  }
  const value = readVariable(subject, facts, scope, name);
  if (value === subject.fn) {
    bindings.self.push(name);
    return;
  }
  const known = scope.kind === "Module" ? knownModule(value) : undefined;
  if (known !== undefined) {
    bindings.imports.push({ local: name, module: known, name: "*" });
    return;
  }
  // The source is dear the first time: it is read only where an import would be bound otherwise than by its value.
  const byDeclaration = scope.kind === "Module" && !isPlain(value) && !isWellKnown(value);
  const declared = byDeclaration ? declarationsOf(required(subject.inspector), facts) : undefined;
  if (bindImport(subject, name, value, declared, bindings)) return;
  if (value === undefined) refuseDeadZone(subject, facts, name);
  if (isRequire(name, value)) bindings.requires.push(name);
  else bindValue(subject, free, value, bindings);
}

function required<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("facts without an inspector");
  return value;
}

function bindValue(subject: Subject, free: FreeName, value: unknown, bindings: Bindings): void {
  const { name } = free;
  if (isCommonJsModule(name, value)) {
    const todo = "Copy what is needed into a variable first";
    throw refusal(`${subject.path}.(captured ${name})`, "the CommonJS `module` object", subject.place, "it belongs to its process", todo);
  }
  const behind = moduleBehind(value, subject.url);
  if (behind !== undefined) bindings.imports.push({ local: name, ...behind });
  else bindings.captures.set(name, usedPart(free, value));
}

/**
 * Modules that a test runner has rewritten are objects that no other process can import: of those the members that are used
 * are taken along.
 */
function usedPart(free: FreeName, value: unknown): unknown {
  if (!/^__vi_import_|^__vite_ssr_import_/.test(free.name) || typeof value !== "object" || value === null) return value;
  const keys = free.members ?? Object.keys(value);
  const part: Record<string, unknown> = {};
  for (const key of keys) part[key] = Reflect.get(value, key);
  return part;
}

/** A closure made inside a rebuilt function: what its variables are is known from the record. */
function bindAgain(code: SourceCode, name: string, bindings: Bindings): boolean {
  const imported = code.imports.find((one) => one.local === name);
  if (imported !== undefined) bindings.imports.push(imported);
  else if (code.meta.includes(name)) bindings.meta.push(name);
  else if (code.requires.includes(name)) bindings.requires.push(name);
  else if (code.naming.includes(name)) bindings.naming.push(name);
  else return false;
  return true;
}

function codeOfScope(scope: ClosureScope): SourceCode | undefined {
  if (!Object.hasOwn(scope.variables, markName)) return undefined;
  const mark: unknown = Reflect.get(scope.variables, markName);
  const code = typeof mark === "string" ? parseCode(mark) : undefined;
  return code === undefined || code.kind === "bound" ? undefined : code;
}

function bindImport(subject: Subject, name: string, value: unknown, declared: ScriptDeclarations | undefined, bindings: Bindings): boolean {
  const found = declared?.imports.get(name);
  if (found === undefined) return false;
  const module = importKey(found.specifier, subject.url, found.attributes);
  if (found.name === "*" && typeof value === "object" && value !== null) rememberNamespace(value, module);
  bindings.imports.push({ local: name, module, name: found.name });
  return true;
}

function isPlain(value: unknown): boolean {
  return value === null || (value !== undefined && typeof value !== "object" && typeof value !== "function");
}

/** A namespace that needs no declaration to be known: one of Node's, or of a module that is registered as well known. */
function knownModule(value: unknown): string | undefined {
  if (typeof value !== "object" || value === null || !types.isModuleNamespaceObject(value)) return undefined;
  return registeredNamespace(value) ?? knownNamespace(value);
}

function isWellKnown(value: unknown): boolean {
  return typeof value === "function" && !types.isProxy(value) && (registeredPlace(value) ?? builtinPlace(value)) !== undefined;
}

function readVariable(subject: Subject, facts: FunctionFacts, scope: ClosureScope, name: string): unknown {
  try {
    return Reflect.get(scope.variables, name);
  } catch (error) {
    // An import that is still in its dead zone here is whole in the process that imports it.
    if (scope.kind === "Module" && declarationsOf(required(subject.inspector), facts).imports.has(name)) return undefined;
    throw deadZone(subject, name, error);
  }
}

/** Before Node 22 V8 shows a variable in its dead zone as undefined. */
function refuseDeadZone(subject: Subject, facts: FunctionFacts, name: string): void {
  if (deadZonesShow) return;
  const script = declarationsOf(required(subject.inspector), facts);
  if (script.inDeadZone(name, facts, callsIn(subject.url))) throw deadZone(subject, name);
}

function deadZone(subject: Subject, name: string, cause?: unknown): Error {
  const why = `the variable '${name}' has no value yet at this point of the program (its dead zone)`;
  return refusal(
    `${subject.path}.(captured ${name})`,
    "a variable",
    subject.place,
    why,
    `Make the first remote call after '${name}' is declared`,
    cause,
  );
}

function isRequire(name: string, value: unknown): boolean {
  return name === "require" && typeof value === "function" && "resolve" in value && "cache" in value;
}

function isCommonJsModule(name: string, value: unknown): boolean {
  return name === "module" && typeof value === "object" && value !== null && "exports" in value && "children" in value;
}
