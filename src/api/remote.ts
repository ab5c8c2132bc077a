/**
 * `remote()`, and what it gives: remote functions and actor classes. Handles are in handles.ts; the types in remote-types.ts.
 *
 * Instances of both classes cross processes like any instance: by their enumerable fields, and cycles (a recursive task) hold. So they
 * have no private fields and no hooks, and what is derived lies under a symbol.
 */
import { inspect } from "node:util";
import { InvalidOptionError, explain } from "../errors/index.ts";
import { behind, inFrontOf } from "./callable.ts";
import type { ActorSpec, Target, TaskSpec } from "../runtime/engine.ts";
import { GraphNode } from "./graph.ts";
import { isGenerator, makeHandle, methodsOf } from "./handles.ts";
import { actorSettings, captures, checkActorNames, checkTaskNames, isClass, refuseCaptures, taskSettings } from "./options.ts";
import { shown } from "./option-checks.ts";
import type { Raw } from "./option-checks.ts";
import type { ActorOptions, NumReturns, TaskOptions } from "./option-types.ts";
import type { ActorClass, ActorHandle, AnyFunction, CheckReturns, ConcreteClass, RemoteFunction } from "./remote-types.ts";
import { engine } from "./session.ts";

const derived: unique symbol = Symbol("mobula.derived");

interface Calls {
  readonly spec: TaskSpec;
  readonly remote: (...args: unknown[]) => unknown;
  readonly bind: (...args: unknown[]) => GraphNode;
}

/** The class behind `RemoteFunction`. */
export class RemoteFunctionObject {
  readonly target: Target;
  readonly given: Raw;
  declare [derived]?: Calls;

  constructor(target: Target, given: Raw) {
    this.target = target;
    this.given = given;
    // Refuses wrong options here, where they were given.
    callsOf(this);
  }

  // Getters that give closures: `xs.map(f.remote)` and `const { remote } = f` work.
  get remote(): Calls["remote"] {
    return callsOf(this).remote;
  }

  get bind(): Calls["bind"] {
    return callsOf(this).bind;
  }

  options(options: unknown): RemoteFunctionObject {
    const given = checkTaskNames(options);
    refuseCaptures(given);
    return frontOfFunction(new RemoteFunctionObject(this.target, { ...this.given, ...given }));
  }

  [inspect.custom](): string {
    return `RemoteFunction(${this.target.name})`;
  }
}

function callsOf(self: RemoteFunctionObject): Calls {
  return self[derived] ?? deriveCalls(self);
}

function deriveCalls(self: RemoteFunctionObject): Calls {
  const { target, given } = self;
  const spec: TaskSpec = { target, ...taskSettings(given, target.name, isGenerator(target.fn)) };
  const submit =
    spec.numReturns === 1
      ? (args: readonly unknown[]) => engine().submit(spec, args)
      : spec.numReturns === "streaming"
        ? (args: readonly unknown[]) => engine().submitStream(spec, args)
        : (args: readonly unknown[]) => engine().submitMany(spec, args);
  const calls: Calls = {
    spec,
    remote: (...args) => submit(args),
    bind: (...args) => new GraphNode(spec.shape.name, args, submit),
  };
  Object.defineProperty(self, derived, { value: calls });
  return calls;
}

function frontOfFunction(object: RemoteFunctionObject): RemoteFunctionObject {
  const { name } = object.target;
  return inFrontOf(
    object,
    name,
    () =>
      new InvalidOptionError(
        explain(
          `The remote function ${name} was called directly`,
          "It runs elsewhere, as a task",
          `Write ${name}.remote(...) for the ref of its result`,
        ),
        { option: name, value: "a direct call" },
      ),
  );
}

/** The class behind `ActorClass`. */
export class ActorClassObject {
  readonly target: Target;
  readonly given: Raw;
  declare [derived]?: ActorSpec;

  constructor(target: Target, given: Raw) {
    this.target = target;
    this.given = given;
    specOf(this);
  }

  get remote(): (...args: unknown[]) => ActorHandle<object> {
    const spec = specOf(this);
    return (...args) => makeHandle(engine().createActor(spec, args)) as ActorHandle<object>;
  }

  options(options: unknown): ActorClassObject {
    const given = checkActorNames(options);
    refuseCaptures(given);
    return frontOfClass(new ActorClassObject(this.target, { ...this.given, ...given }));
  }

  [inspect.custom](): string {
    return `ActorClass(${this.target.name})`;
  }
}

function specOf(self: ActorClassObject): ActorSpec {
  const known = self[derived];
  if (known !== undefined) return known;
  const { target, given } = self;
  const spec: ActorSpec = { target, ...actorSettings(given, target.name, methodsOf(target.fn)) };
  Object.defineProperty(self, derived, { value: spec });
  return spec;
}

function frontOfClass(object: ActorClassObject): ActorClassObject {
  const { name } = object.target;
  return inFrontOf(
    object,
    name,
    () =>
      new InvalidOptionError(
        explain(
          `The actor class ${name} was called or constructed directly`,
          "Its instances live in processes of their own",
          `Write ${name}.remote(...) for a handle, without new`,
        ),
        { option: name, value: "a direct call" },
      ),
  );
}

function targetOf(fn: Function, given: Raw, fallback: string): Target {
  return { fn, name: fn.name === "" ? fallback : fn.name.slice(0, 256), captures: captures(given) };
}

function without(given: Raw, name: string): Raw {
  return Object.fromEntries(Object.entries(given).filter(([key]) => key !== name));
}

/**
 * Makes a function or class remote.
 *
 * A function becomes a `RemoteFunction`: `.remote(...args)` runs it as a task on some process of the cluster and gives an `ObjectRef` of
 * its result at once; each argument may be the value or a ref of it. A class becomes an `ActorClass`: `.remote(...args)` makes an instance
 * that lives in a process of its own, and gives a handle at once. Neither may be called directly.
 *
 * Throws InvalidOptionError for a wrong option, and for what is neither function nor class.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const square = ray.remote((x: number) => x * x);
 * console.log(await ray.get(square.remote(3))); // 9
 *
 * const divide = ray.remote((a: number, b: number): [number, number] => [Math.floor(a / b), a % b], { numReturns: 2 });
 * const [quotient, rest] = divide.remote(7, 2);
 * console.log(await ray.get([quotient, rest])); // [3, 1]
 * await ray.shutdown();
 * ```
 */
export function remote<C extends ConcreteClass>(type: C, options?: ActorOptions): ActorClass<C>;
export function remote<F extends AnyFunction, const N extends NumReturns = 1>(
  fn: F,
  options?: TaskOptions<N> & { readonly numReturns?: CheckReturns<F extends (...args: never[]) => infer R ? R : never, N> },
): RemoteFunction<F, N>;
export function remote(fn: unknown, options?: unknown): unknown {
  const object = behind(fn);
  if (object instanceof RemoteFunctionObject || object instanceof ActorClassObject) {
    throw new InvalidOptionError(
      explain(
        `remote() was given ${object.target.name}, which is remote already`,
        "",
        `Write ${object.target.name}.options({ ... }) for other options`,
      ),
      { option: "fn", value: fn },
    );
  }
  if (typeof fn !== "function") {
    throw new InvalidOptionError(explain(`remote() needs a function or a class, got ${shown(fn)}`, "", todoFor(fn)), {
      option: "fn",
      value: fn,
    });
  }
  if (isClass(fn)) {
    const given = checkActorNames(options);
    return frontOfClass(new ActorClassObject(targetOf(fn, given, "AnonymousClass"), without(given, "captures")));
  }
  const given = checkTaskNames(options);
  return frontOfFunction(new RemoteFunctionObject(targetOf(fn, given, "anonymous"), without(given, "captures")));
}

function todoFor(fn: unknown): string {
  if (fn instanceof Promise) return "Pass the async function itself, without calling it";
  if (typeof fn === "object" && fn !== null && isClass(fn.constructor)) {
    return `Pass the class ${fn.constructor.name} itself, not an instance of it`;
  }
  return "Pass the function itself, without calling it";
}
