/**
 * Actor handles: one object for each actor and process side, with its methods. Methods that are known (from the class, or with the
 * handle that arrived) are on a prototype made once for each class; other names become methods when they are used.
 */
import { inspect } from "node:util";
import { InvalidOptionError, explain } from "../errors/index.ts";
import { actorCoreKey } from "../runtime/engine.ts";
import type { ActorCore, CallSpec } from "../runtime/engine.ts";
import { GraphNode } from "./graph.ts";
import { callSettings, checkMethodNames } from "./options.ts";
import { shown } from "./option-checks.ts";
import type { Raw } from "./option-checks.ts";
import type { AnyActorHandle } from "./remote-types.ts";
import { setApiHooks } from "./session.ts";

/** `then` would make a handle a promise, `toJSON` and the others are asked by tools of every object. */
const neverMethods = new Set(["then", "toJSON", "asymmetricMatch", "$$typeof", "nodeType", "tagName"]);

/** Whether calling the function gives a generator. */
export function isGenerator(fn: Function): boolean {
  return /^\[object (Async)?GeneratorFunction\]$/.test(Object.prototype.toString.call(fn));
}

/** Names of the methods of a class, inherited ones too; generator methods with a `*` in front. Accessors and fields are none. */
export function methodsOf(type: Function): string[] {
  const found = new Map<string, string>();
  let at: unknown = type.prototype;
  while (typeof at === "object" && at !== null && at !== Object.prototype) {
    for (const [name, own] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (name === "constructor" || name === "then" || found.has(name)) continue;
      const value: unknown = own.value;
      // An accessor or a value of a subclass hides the method of its base.
      found.set(name, typeof value === "function" ? (isGenerator(value) ? `*${name}` : name) : "");
    }
    at = Object.getPrototypeOf(at);
  }
  return [...found.values()].filter((name) => name !== "");
}

const methodsKey: unique symbol = Symbol("mobula.methods");

/** What a handle inherits when its class does not say: any other name is a method. */
const anyMethod = new Proxy(Object.create(Object.prototype) as object, {
  get(target, name, receiver) {
    if (typeof name === "symbol" || neverMethods.has(name) || name in target) return Reflect.get(target, name, receiver);
    return isHandleObject(receiver) ? methodOf(receiver, name, false) : undefined;
  },
  has: (target, name) => Reflect.has(target, name),
});

class HandleObject {
  declare readonly [actorCoreKey]: ActorCore;
  declare readonly [methodsKey]: Map<string, Method>;

  constructor(core: ActorCore) {
    Object.defineProperty(this, actorCoreKey, { value: core });
    Object.defineProperty(this, methodsKey, { value: new Map() });
  }

  [inspect.custom](): string {
    const { className, actorId } = this[actorCoreKey];
    return `ActorHandle(${className}, ${actorId})`;
  }
}
Object.setPrototypeOf(HandleObject.prototype, anyMethod);

const isHandleObject = (value: unknown): value is HandleObject =>
  typeof value === "object" && value !== null && Object.hasOwn(value, methodsKey);

/** One class of handles for each list of methods. */
const handleClasses = new Map<string, typeof HandleObject>();
const HANDLE_CLASSES_KEPT = 1_000;

function handleClass(methods: readonly string[]): typeof HandleObject {
  const key = methods.join("\n");
  const known = handleClasses.get(key);
  if (known !== undefined) return known;
  class KnownHandle extends HandleObject {}
  for (const entry of methods) {
    const streams = entry.startsWith("*");
    const name = streams ? entry.slice(1) : entry;
    Object.defineProperty(KnownHandle.prototype, name, {
      get(this: HandleObject) {
        return methodOf(this, name, streams);
      },
      enumerable: true,
      configurable: true,
    });
  }
  Object.defineProperty(KnownHandle, "name", { value: "ActorHandle" });
  if (handleClasses.size >= HANDLE_CLASSES_KEPT) handleClasses.clear();
  handleClasses.set(key, KnownHandle);
  return KnownHandle;
}

/** A handle of the actor. */
export function makeHandle(core: ActorCore): AnyActorHandle {
  return new (core.methods === undefined ? HandleObject : handleClass(core.methods))(core);
}

/** The core in a handle, or undefined for any other object. */
export function coreOf(value: object): ActorCore | undefined {
  return Object.hasOwn(value, actorCoreKey) ? (value as AnyActorHandle)[actorCoreKey] : undefined;
}

/** The core in what should be a handle. */
export function requireCore(what: string, value: unknown): ActorCore {
  const core = typeof value === "object" && value !== null ? coreOf(value) : undefined;
  if (core !== undefined) return core;
  throw new InvalidOptionError(`${what} needs an actor handle, got ${shown(value)}.`, { option: "handle", value });
}

type Method = Function & { readonly remote: (...args: unknown[]) => unknown };

function methodOf(handle: HandleObject, name: string, streams: boolean): Method {
  const methods = handle[methodsKey];
  let method = methods.get(name);
  if (method === undefined) {
    method = makeMethod(handle[actorCoreKey], name, streams, {});
    methods.set(name, method);
  }
  return method;
}

/** A function, only so that calling it says what to do. It holds the actor, as its handle does. */
function makeMethod(core: ActorCore, name: string, streams: boolean, given: Raw): Method {
  const spec = callSettings(given, name, streams);
  const label = `${core.className}.${name}`;
  const send = sender(core, spec);
  const method = (): never => {
    throw new InvalidOptionError(
      explain(
        `${label} was called directly`,
        "The actor lives in another process",
        `Write handle.${name}.remote(...) for the ref of its result`,
      ),
      { option: name, value: "a direct call" },
    );
  };
  const fixed = {
    name: { value: name },
    remote: { value: (...args: unknown[]) => send(args) },
    bind: { value: (...args: unknown[]) => new GraphNode(label, args, send) },
    options: { value: (options: unknown) => makeMethod(core, name, streams, { ...given, ...checkMethodNames(options) }) },
    [inspect.custom]: { value: () => `ActorMethod(${label})` },
  };
  return Object.defineProperties(method, fixed) as unknown as Method;
}

// Through the actor's own engine, not the current one: after a shutdown that engine makes a ref that says so.
function sender(core: ActorCore, spec: CallSpec): (args: readonly unknown[]) => unknown {
  if (spec.numReturns === 1) return (args) => core.engine.call(core, spec, args);
  if (spec.numReturns === "streaming") return (args) => core.engine.callStream(core, spec, args);
  return (args) => core.engine.callMany(core, spec, args);
}

setApiHooks({ handleOf: makeHandle, coreOf });
