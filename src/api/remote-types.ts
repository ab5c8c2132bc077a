/**
 * The types of remote functions, actor classes, handles and lazy nodes: all inferred from the function or class. No behaviour.
 */
import type { ActorCore, ObjectRef, ObjectRefStream, actorCoreKey } from "../runtime/engine.ts";
import type { ActorOptions, MethodOptions, NumReturns, TaskOptions } from "./option-types.ts";

/** Any function. */
export type AnyFunction = (...args: never[]) => unknown;
/** Any class. */
export type AnyClass = abstract new (...args: never[]) => object;

/** A class that can have instances. */
export type ConcreteClass = AnyClass & (new (...args: never[]) => object);

/** An argument of a remote call: the value, or a ref of it. The function is given the value. */
export type RemoteArg<T> = T | ObjectRef<T>;
/** The arguments of a remote call. Names and optional ones are kept. */
export type RemoteArgs<P extends readonly unknown[]> = { [K in keyof P]: RemoteArg<P[K]> };
/** An argument in a lazy graph: the value, a ref of it, or a node that makes it. */
export type BindArg<T> = T | ObjectRef<T> | LazyNode<ObjectRef<T>>;
export type BindArgs<P extends readonly unknown[]> = { [K in keyof P]: BindArg<P[K]> };

type IsAny<T> = 0 extends 1 & T ? true : false;

/** What a generator yields, or `NotAStream` if R is no generator. Arrays, strings, maps and sets are values, not streams. */
export type StreamItem<R> =
  IsAny<R> extends true
    ? NotAStream
    : [R] extends [never]
      ? NotAStream
      : [R] extends [AsyncIterable<infer T>]
        ? T
        : [R] extends [Iterator<infer T, unknown, never>]
          ? T
          : [R] extends [Iterable<infer T>]
            ? [Iterable<T>] extends [R]
              ? T
              : NotAStream
            : NotAStream;
declare const notAStream: unique symbol;
/** Stands for "this function makes a value, not a stream". */
export interface NotAStream {
  readonly [notAStream]: true;
}

/** A tuple of N times T; an array where N is not known. */
export type Repeat<T, N extends number, Out extends readonly T[] = []> = number extends N
  ? T[]
  : Out["length"] extends N
    ? Out
    : Out["length"] extends 64
      ? T[]
      : Repeat<T, N, [...Out, T]>;

type Refs<T extends readonly unknown[]> = { -readonly [K in keyof T]: ObjectRef<T[K]> };

/** Refs for a function that returns an array of N: a tuple keeps the type of each place. */
type ManyRefs<R, N extends number> =
  IsAny<R> extends true
    ? Repeat<ObjectRef<R>, N>
    : R extends readonly unknown[]
      ? number extends R["length"]
        ? Repeat<ObjectRef<R[number]>, N>
        : Refs<R>
      : Repeat<ObjectRef<unknown>, N>;

type StreamOf<R> = [StreamItem<R>] extends [NotAStream] ? ObjectRefStream<unknown> : ObjectRefStream<Awaited<StreamItem<R>>>;

/** What a call gives for a function that returns R: a ref, a tuple of refs, or a stream of refs. */
export type RemoteResult<R, N extends NumReturns> = [N] extends ["streaming"]
  ? StreamOf<R>
  : [StreamItem<R>] extends [NotAStream]
    ? [N] extends [1]
      ? ObjectRef<Awaited<R>>
      : [N] extends [number]
        ? ManyRefs<Awaited<R>, N>
        : never
    : StreamOf<R>;

type ReturnOf<F> = F extends (...args: never[]) => infer R ? R : never;

/**
 * Whether `numReturns: N` fits: a tuple must have N places, and another return type must be an array. The string is what the
 * compiler shows.
 */
export type CheckReturns<R, N extends NumReturns> = [N] extends ["streaming"]
  ? N
  : [N] extends [1]
    ? N
    : IsAny<R> extends true
      ? N
      : [StreamItem<R>] extends [NotAStream]
        ? CheckLength<Awaited<R>, N>
        : "numReturns does not go with a generator: it gives a stream";
type CheckLength<R, N extends NumReturns> =
  IsAny<R> extends true
    ? N
    : [unknown] extends [R]
      ? N
      : R extends readonly unknown[]
        ? number extends N
          ? N
          : number extends R["length"]
            ? N
            : R["length"] extends N
              ? N
              : "numReturns must be the length of the tuple that the function returns"
        : "numReturns above 1 needs a function that returns an array";

/** The call signature of a remote function: one for each overload, up to four. */
export type RemoteCall<F, N extends NumReturns> = [unknown] extends [Overloads<F, N>] ? LastCall<F, N> : Overloads<F, N>;

type LastCall<F, N extends NumReturns> = F extends (...args: infer A) => infer R ? (...args: RemoteArgs<A>) => RemoteResult<R, N> : never;

type Overloads<F, N extends NumReturns> = F extends {
  (...args: infer A1): infer R1;
  (...args: infer A2): infer R2;
  (...args: infer A3): infer R3;
  (...args: infer A4): infer R4;
}
  ? OneCall<A1, R1, N> & OneCall<A2, R2, N> & OneCall<A3, R3, N> & OneCall<A4, R4, N>
  : F extends { (...args: infer A1): infer R1; (...args: infer A2): infer R2; (...args: infer A3): infer R3 }
    ? OneCall<A1, R1, N> & OneCall<A2, R2, N> & OneCall<A3, R3, N>
    : F extends { (...args: infer A1): infer R1; (...args: infer A2): infer R2 }
      ? OneCall<A1, R1, N> & OneCall<A2, R2, N>
      : unknown;
// A function with fewer overloads than the pattern leaves the others at unknown: those add nothing.
type OneCall<A extends unknown[], R, N extends NumReturns> = unknown[] extends A
  ? [unknown] extends [R]
    ? unknown
    : (...args: RemoteArgs<A>) => RemoteResult<R, N>
  : (...args: RemoteArgs<A>) => RemoteResult<R, N>;

type BindCall<F, N extends NumReturns> = F extends (...args: infer A) => infer R
  ? (...args: BindArgs<A>) => LazyNode<RemoteResult<R, N>>
  : never;

/** A node of a lazy graph: nothing runs before `execute`. As an argument of another node it stands for its result. */
export interface LazyNode<out Result> {
  /** Submits this node and all that it depends on, each once, and gives what `.remote()` would have given. */
  execute(): Result;
}

/**
 * A function that runs elsewhere. Made by `remote`; not callable itself.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const add = ray.remote((a: number, b: number) => a + b);
 * const three = add.remote(1, 2);
 * const six = add.options({ numCpus: 0.5 }).remote(three, three); // refs as arguments
 * console.log(await ray.get(six)); // 6
 * await ray.shutdown();
 * ```
 */
export interface RemoteFunction<F extends AnyFunction = AnyFunction, N extends NumReturns = 1> {
  /** Submits a task, and gives its ref at once. Throws SerializationError when an argument cannot cross. */
  readonly remote: RemoteCall<F, N>;
  /** A lazy call: runs at `.execute()`. */
  readonly bind: BindCall<F, N>;
  /** The same function with other options. Throws InvalidOptionError. */
  options<const M extends NumReturns = N>(
    options: Omit<TaskOptions<M>, "captures"> & { readonly numReturns?: CheckReturns<ReturnOf<F>, M> },
  ): RemoteFunction<F, M>;
}

/** A method of an actor, seen through its handle. */
export interface ActorMethod<F extends AnyFunction = AnyFunction, N extends NumReturns = 1> {
  /** Calls the method, and gives the ref at once. Throws SerializationError and PendingCallsLimitError. */
  readonly remote: RemoteCall<F, N>;
  /** A lazy call: runs at `.execute()`. */
  readonly bind: BindCall<F, N>;
  /** The same method with other options. Throws InvalidOptionError. */
  options<const M extends NumReturns = N>(
    options: MethodOptions<M> & { readonly numReturns?: CheckReturns<ReturnOf<F>, M> },
  ): ActorMethod<F, M>;
}

/** Any actor handle. */
export interface AnyActorHandle {
  readonly [actorCoreKey]: ActorCore;
}

declare const instanceType: unique symbol;

/**
 * An actor, wherever it lives: its public methods, each with `.remote()`, `.options()` and `.bind()`. Handles cross processes,
 * also inside values. The actor ends when its last handle is gone, unless it is detached.
 */
export type ActorHandle<T> = AnyActorHandle & { readonly [instanceType]?: T } & {
  readonly [K in keyof T as MethodKey<T, K>]-?: ActorMethod<Extract<NonNullable<T[K]>, AnyFunction>>;
};
// `then` would make a handle look like a promise.
type MethodKey<T, K extends keyof T> = K extends "then"
  ? never
  : K extends string
    ? IsAny<T[K]> extends true
      ? never
      : [NonNullable<T[K]>] extends [AnyFunction]
        ? K
        : never
    : never;

/** A handle whose class is not known to the compiler: any method, any arguments, unknown results. */
export type UntypedActorHandle = AnyActorHandle & { readonly [method: string]: ActorMethod<(...args: unknown[]) => unknown> };

/**
 * A class whose instances are actors: each lives in a process of its own. Made by `remote`; not to be called or constructed.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * class Counter {
 *   #n = 0;
 *   increment(by = 1) { return (this.#n += by); }
 * }
 * const counter = ray.remote(Counter).options({ maxRestarts: 1 }).remote();
 * counter.increment.remote();
 * console.log(await ray.get(counter.increment.remote(2))); // 3
 * await ray.shutdown();
 * ```
 */
export interface ActorClass<C extends AnyClass = AnyClass> {
  /** Makes an actor, and gives its handle at once. Throws SerializationError when an argument cannot cross. */
  remote(...args: C extends abstract new (...args: infer A) => object ? RemoteArgs<A> : never): ActorHandle<InstanceOf<C>>;
  /** The same class with other options. Throws InvalidOptionError. */
  options(options: Omit<ActorOptions, "captures">): ActorClass<C>;
}

type InstanceOf<C> = C extends abstract new (...args: never[]) => infer T ? T : never;

/** The handle for `typeof Class`; for an instance type too. */
export type HandleOf<C> = [C] extends [AnyClass] ? ActorHandle<InstanceOf<C>> : ActorHandle<C>;
