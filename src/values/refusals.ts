/**
 * What cannot cross a process, why, and what to do instead; and paths as people write them. Decides only by looking: it changes
 * nothing and encodes nothing.
 */
import { inspect, types } from "node:util";
import { SerializationError, explain } from "../errors/index.ts";

/** Why a value is refused. */
export interface Refusal {
  /** What it is, with its article: "a promise". */
  readonly what: string;
  readonly why: string;
  readonly todo: string;
}

/** A step into a Map or Set. One serves for all entries, because a path is put into words only when something is refused. */
export interface EntryStep {
  index: number;
  key: unknown;
  isKey: boolean;
}
export type Step = string | number | EntryStep;

/** A step that is not a property: taken as it stands. */
const VERBATIM = "\u0000";
export const verbatim = (text: string): string => VERBATIM + text;

const identifier = /^[\p{ID_Start}$_][\p{ID_Continue}$]*$/u;

export function formatStep(step: Step): string {
  if (typeof step === "number") return `[${step}]`;
  if (typeof step === "object") {
    if (step.isKey) return `.keys()[${step.index}]`;
    const named = typeof step.key === "string" || typeof step.key === "number";
    return named ? `.get(${JSON.stringify(step.key)})` : `.values()[${step.index}]`;
  }
  if (step.startsWith(VERBATIM)) return step.slice(1);
  return identifier.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
}

export function refusal(path: string, { what, why, todo }: Refusal, cause?: unknown): SerializationError {
  return new SerializationError(explain(`${path} cannot cross to another process: it is ${what}`, why, todo), { path, kind: what, cause });
}

export const SYMBOL: Refusal = {
  what: "a symbol",
  why: "A symbol is itself only in the process that made it",
  todo: "Send a string in its place",
};

export const TOO_DEEP: Refusal = {
  what: "nested too deeply",
  why: "Functions within functions, hooks and causes can be followed only some hundred levels deep",
  todo: "Send the parts as a list, and their links as indexes into it",
};

export const UNDER_CONSTRUCTION: Refusal = {
  what: "an instance that its own serialized data refers to",
  why: "It can only be made once that data has been made",
  todo: "Leave the link back out of what its `serialize` hook gives, and set it again in `deserialize`",
};

export const SHARED_BUFFER: Refusal = {
  what: "a SharedArrayBuffer",
  why: "Its memory is shared by the threads of one process only",
  todo: "Send a copy (`array.slice()`), or use `createBuffer` for memory that other processes read in place",
};

export const DETACHED: Refusal = {
  what: "a detached ArrayBuffer",
  why: "Its memory was transferred away",
  todo: "Send what it was transferred to, or a copy made before",
};

export function hookThrew(className: string, error: unknown): Refusal {
  return {
    what: `an instance of ${className}, whose \`static [serialize]\` threw`,
    why: inspectText(error).split("\n")[0]!,
    todo: "Its error is the `cause` of this one",
  };
}

/** A getter, or a trap of a proxy deep inside, threw while the value was read. */
export function readingThrew(error: unknown): Refusal {
  return {
    what: "an object that cannot be read",
    why: `Reading it threw ${inspectText(error).split("\n")[0]!}`,
    todo: "Send plain data: getters are read as it leaves",
  };
}

const OPEN = "An open handle belongs to the process that opened it";

/** Advice by the name of a global class whose instances cannot cross. */
const byGlobalClass: Readonly<Record<string, Partial<Refusal>>> = {
  Promise: { what: "a promise", why: "What it waits for happens in this process", todo: "Await it first, or pass the ObjectRef of a task" },
  WeakMap: { why: "What it holds cannot be listed", todo: "Send a Map" },
  WeakSet: { why: "What it holds cannot be listed", todo: "Send a Set" },
  WeakRef: { why: "It holds an object of this process", todo: "Send the object: `ref.deref()`" },
  FinalizationRegistry: { why: "It watches objects of this process", todo: "Make one where it is used" },
  AbortSignal: { why: "It is triggered in this process", todo: "Use `getRuntimeContext().signal` in the task, and `cancel(ref)` here" },
  AbortController: { why: "It triggers in this process", todo: "Use `getRuntimeContext().signal` in the task, and `cancel(ref)` here" },
  URLSearchParams: { why: "It has no own data that can be read", todo: "Send `String(params)`" },
  Headers: { why: "It has no own data that can be read", todo: "Send `[...headers]`" },
  FormData: { why: "It has no own data that can be read", todo: "Send `[...form]`" },
  Blob: { why: "Its content can only be read asynchronously", todo: "Send `await blob.arrayBuffer()`" },
  File: { why: "Its content can only be read asynchronously", todo: "Send `await file.arrayBuffer()` and its name" },
  Request: { why: OPEN, todo: "Send its URL and options" },
  Response: { why: OPEN, todo: "Send its body: `await response.arrayBuffer()`" },
  MessagePort: { why: OPEN, todo: "Pass an actor handle or a `Queue`" },
  MessageChannel: { why: OPEN, todo: "Pass an actor handle or a `Queue`" },
  BroadcastChannel: { why: OPEN, todo: "Pass an actor handle or a `Queue`" },
  WebSocket: { why: OPEN, todo: "Open it inside the task, or in an actor that owns it" },
};

/** An instance of a class of the language or of Node that has no form as data. */
export function globalInstance(name: string): Refusal {
  const known = byGlobalClass[name];
  const article = /^[AEIOU]/.test(name) ? "an" : "a";
  return {
    what: known?.what ?? `${article} ${name}`,
    why: known?.why ?? "What it holds is not in properties that could be read",
    todo: known?.todo ?? "Send the data it is made from, and make it again where it is used",
  };
}

export function privateFields(className: string, owner: string): Refusal {
  const where = owner === className ? "Its class" : `Its base class ${owner}`;
  return {
    what: `an instance of ${className}, which has #private fields`,
    why: `${where} keeps data that nothing outside the class can read`,
    todo: `Give ${owner} \`static [serialize](instance)\` and \`static [deserialize](data)\`, with the symbols that mobula exports`,
  };
}

export function halfHooked(className: string, missing: "serialize" | "deserialize"): Refusal {
  return {
    what: `an instance of ${className}, which lacks \`static [${missing}]\``,
    why: "A class that says itself how its instances cross needs both hooks",
    todo: `Add \`static [${missing}]\` to ${className}`,
  };
}

/** Names of classes of Node that are not global and whose instances stand for something open. */
const handleNames = new Set([
  "Timeout",
  "Immediate",
  "FSWatcher",
  "FileHandle",
  "Dir",
  "StatWatcher",
  "Interface",
  "Worker",
  "ChildProcess",
]);

/** A stream, socket, server, timer, child process or the like; recognised by how they are built, for not all classes are reachable. */
export function handleRefusal(value: object): Refusal | undefined {
  const name = classNameOf(value);
  const has = (key: string): boolean => key in value;
  const emitter = has("_events") && typeof Reflect.get(value, "emit") === "function";
  if (has("_readableState") || has("_writableState") || (emitter && typeof Reflect.get(value, "pipe") === "function")) {
    const todo = "Read or open it inside the task, in an actor that owns it, or send the data it gave";
    return { what: `a stream (${name})`, why: OPEN, todo };
  }
  const open = (emitter && (has("_handle") || has("spawnfile"))) || (handleNames.has(name) && isNodes(value, name));
  if (!open) return undefined;
  const todo = "Open it inside the task, or in an actor that owns it, and pass the actor's handle";
  return { what: `an open handle (${name})`, why: OPEN, todo };
}

/** A program may have classes of these names: only Node's have these properties. */
function isNodes(value: object, name: string): boolean {
  const marks: Readonly<Record<string, string>> = {
    Timeout: "_idleTimeout",
    Immediate: "_onImmediate",
    Worker: "threadId",
    Interface: "terminal",
    FileHandle: "fd",
  };
  const mark = marks[name];
  return mark === undefined ? "_handle" in value || "close" in value : mark in value;
}

/** Objects of the engine without properties of their own, which no class lookup recognises. */
export function opaqueRefusal(value: object): Refusal | undefined {
  const iterators = "Iterators live in the process that runs them";
  const todo = 'Send what it gives, as an array; to stream it, make the function itself a generator, or set numReturns to "streaming"';
  if (types.isGeneratorObject(value)) return { what: "a generator", why: iterators, todo };
  if (types.isMapIterator(value) || types.isSetIterator(value)) return { what: "an iterator", why: iterators, todo };
  if (types.isExternal(value)) {
    return { what: "a native pointer", why: "Addresses mean nothing elsewhere", todo: "Send the data it leads to" };
  }
  if (types.isCryptoKey(value) || types.isKeyObject(value)) {
    return { what: "a key object", why: "Its content is kept outside JavaScript", todo: "Send the exported key" };
  }
  const tag: unknown = Reflect.get(value, Symbol.toStringTag);
  if (typeof tag === "string" && tag.endsWith(" Iterator")) return { what: "an iterator", why: iterators, todo };
  return undefined;
}

/** A function of the language or of Node without a source. `name`: how every process finds it. */
export function nativeRefusal(name: string): Refusal {
  return {
    what: "a native function",
    why: `It has no source that could run elsewhere; every process has its own as ${name}`,
    todo: `Write ${name} where it is used, or wrap it: (...args) => ${name}(...args)`,
  };
}

export const PROXY: Refusal = {
  what: "a Proxy",
  why: "Its traps, not its content, decide what it is",
  todo: "Send the object behind it, or a copy: `{ ...proxy }`",
};

export function subclassRefusal(base: string, className: string): Refusal {
  return {
    what: `an instance of ${className}, a subclass of ${base}`,
    why: `The content of a ${base} cannot be given to another class`,
    todo: `Send a plain ${base}, or give ${className} the hooks \`static [serialize]\` and \`static [deserialize]\``,
  };
}

export function classNameOf(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  const type: unknown = prototype === null ? undefined : Reflect.get(prototype as object, "constructor");
  return typeof type === "function" && type.name !== "" ? type.name : "object";
}

function textOf(value: object, key: string): string {
  const own: unknown = Object.getOwnPropertyDescriptor(value, key)?.value;
  return typeof own === "string" ? own : "";
}

/** What stands in an error for a field that cannot cross. Never throws. */
export function inspectText(value: unknown): string {
  try {
    const text = inspect(value, { depth: 1, breakLength: Infinity, maxArrayLength: 20, maxStringLength: 1000 });
    return text.length > 2000 ? `${text.slice(0, 2000)}...` : text;
  } catch {
    // A chain of thousands of causes, or an inspection method of its own that throws.
    return value instanceof Error ? `[${classNameOf(value)}: ${textOf(value, "message")}]` : "[a value that cannot be shown]";
  }
}
