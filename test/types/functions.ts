/**
 * Types of remote functions: arguments, results, tuples, streams, overloads, options. Checked by tsc; never run.
 */
import * as ray from "../../src/api/index.ts";
import type { LazyNode, ObjectRef, ObjectRefStream, RemoteFunction } from "../../src/api/index.ts";
import { exactly } from "./expect.ts";

declare const numberRef: ObjectRef<number>;
declare const textRef: ObjectRef<string>;

// ── arguments ──────────────────────────────────────────────────────────────────────────────────
const square = ray.remote((x: number) => x * x);
exactly<RemoteFunction<(x: number) => number, 1>>()(square);
exactly<ObjectRef<number>>()(square.remote(2));
exactly<ObjectRef<number>>()(square.remote(numberRef));
exactly<ObjectRef<number>>()(square.remote(square.remote(2)));
// @ts-expect-error a string is no number
square.remote("2");
// @ts-expect-error a ref of a string is no ref of a number
square.remote(textRef);
// @ts-expect-error an argument is missing
square.remote();
// @ts-expect-error one argument too many
square.remote(1, 2);
// @ts-expect-error a remote function is not called directly
square(2);
// @ts-expect-error a promise is neither value nor ref
square.remote(Promise.resolve(2));

const greet = ray.remote((name: string, greeting?: string, ...marks: boolean[]) => `${greeting} ${name} ${marks.length}`);
exactly<ObjectRef<string>>()(greet.remote("a"));
exactly<ObjectRef<string>>()(greet.remote(textRef, undefined, true, ray.put(false)));
// @ts-expect-error rest arguments are booleans
greet.remote("a", "b", 1);

const union = ray.remote((value: number | string) => value);
exactly<ObjectRef<string | number>>()(union.remote(numberRef));
exactly<ObjectRef<string | number>>()(union.remote("x"));
const literal = ray.remote((mode: "fast" | "slow") => mode);
literal.remote("fast");
// @ts-expect-error not one of the modes
literal.remote("medium");
const takesFunction = ray.remote((f: (x: number) => number) => f(1));
takesFunction.remote((x) => x + 1);
const inside = ray.remote((refs: ObjectRef<number>[]) => refs.length);
inside.remote([numberRef]);
// @ts-expect-error refs inside a value are not resolved
inside.remote([1]);
const optionalRecord = ray.remote((options: { deep: { n: number } }) => options.deep.n);
// @ts-expect-error wrong inside
optionalRecord.remote({ deep: { n: "1" } });

// Inside generic code the type parameter itself is an argument.
export function generic<T>(value: T, ref: ObjectRef<T>): ObjectRef<T[]>[] {
  const wrap = ray.remote((x: T): T[] => [x]);
  return [wrap.remote(value), wrap.remote(ref)];
}

// ── results ────────────────────────────────────────────────────────────────────────────────────
exactly<ObjectRef<number>>()(ray.remote(async () => 1).remote());
exactly<ObjectRef<void>>()(ray.remote(() => {}).remote());
exactly<ObjectRef<undefined>>()(ray.remote(() => undefined).remote());
exactly<ObjectRef<never>>()(
  ray
    .remote((): never => {
      throw new Error("x");
    })
    .remote(),
);
exactly<ObjectRef<unknown>>()(ray.remote((): unknown => 1).remote());
exactly<ObjectRef<ObjectRef<number>>>()(ray.remote(() => numberRef).remote());
exactly<ObjectRef<ObjectRef<number>>>()(ray.remote(async () => numberRef).remote());
exactly<ObjectRef<number | string>>()(ray.remote((): number | Promise<string> => 1).remote());
exactly<ObjectRef<number[]>>()(ray.remote(() => [1, 2]).remote());
exactly<ObjectRef<string>>()(ray.remote(() => "text" as string).remote());
exactly<ObjectRef<Map<string, number>>>()(ray.remote(() => new Map<string, number>()).remote());
exactly<ObjectRef<Set<number>>>()(ray.remote(() => new Set<number>()).remote());
exactly<ObjectRef<Float64Array<ArrayBuffer>>>()(ray.remote(() => new Float64Array(1)).remote());
const recursive = ray.remote(async (n: number): Promise<number> => (n < 2 ? 1 : n * (await ray.get(recursive.remote(n - 1)))));
exactly<ObjectRef<number>>()(recursive.remote(3));

// ── several results ────────────────────────────────────────────────────────────────────────────
const pair = ray.remote((): [number, string] => [1, "a"], { numReturns: 2 });
exactly<[ObjectRef<number>, ObjectRef<string>]>()(pair.remote());
const three = ray.remote(() => [1, 2, 3], { numReturns: 3 });
exactly<[ObjectRef<number>, ObjectRef<number>, ObjectRef<number>]>()(three.remote());
const asynchronous = ray.remote(async (): Promise<[boolean, Date]> => [true, new Date()], { numReturns: 2 });
exactly<[ObjectRef<boolean>, ObjectRef<Date>]>()(asynchronous.remote());
exactly<[ObjectRef<number>, ObjectRef<number>]>()(
  ray
    .remote(() => [1, 2])
    .options({ numReturns: 2 })
    .remote(),
);
exactly<ObjectRef<number[]>>()(three.options({ numReturns: 1 }).remote());
exactly<[ObjectRef<number>, ObjectRef<string>]>()(pair.options({ maxRetries: 1 }).remote());
declare const some: number;
exactly<ObjectRef<number>[]>()(
  ray
    .remote(() => [1, 2])
    .options({ numReturns: some })
    .remote(),
);
exactly<[]>()(
  ray
    .remote((): number[] => [])
    .options({ numReturns: 0 })
    .remote(),
);
exactly<[ObjectRef<unknown>, ObjectRef<unknown>]>()(ray.remote((): unknown => [1, 2], { numReturns: 2 }).remote());
const readonlyPair = ray.remote((): readonly [number, string] => [1, "a"], { numReturns: 2 });
exactly<[ObjectRef<number>, ObjectRef<string>]>()(readonlyPair.remote());
// @ts-expect-error the tuple has two places
ray.remote((): [number, string] => [1, "a"], { numReturns: 3 });
// @ts-expect-error a number is no array
ray.remote(() => 1, { numReturns: 2 });
// @ts-expect-error a number is no array
square.options({ numReturns: 2 });
function* yields(): Generator<number> {
  yield 1;
}
// @ts-expect-error a generator gives a stream
ray.remote(yields, { numReturns: 2 });

// ── streams ────────────────────────────────────────────────────────────────────────────────────
const count = ray.remote(function* (n: number) {
  for (let i = 0; i < n; i++) yield i;
});
exactly<ObjectRefStream<number>>()(count.remote(3));
exactly<ObjectRefStream<number>>()(count.remote(numberRef));
exactly<ObjectRefStream<number>>()(count.options({ streamBuffer: 2 }).remote(3));
exactly<ObjectRefStream<string>>()(
  ray
    .remote(async function* () {
      yield "a";
    })
    .remote(),
);
exactly<ObjectRefStream<number>>()(
  ray
    .remote(async function* (): AsyncIterable<number> {
      yield 1;
    })
    .remote(),
);
exactly<ObjectRefStream<number>>()(
  ray
    .remote(function* (): Iterable<number> {
      yield 1;
    })
    .remote(),
);
exactly<ObjectRefStream<number>>()(
  ray
    .remote(function* (): IterableIterator<number> {
      yield 1;
    })
    .remote(),
);
exactly<ObjectRefStream<number>>()(
  ray
    .remote(function* (): Generator<number, string, boolean> {
      yield 1;
      return "x";
    })
    .remote(),
);
exactly<ObjectRefStream<[number, string]>>()(
  ray
    .remote(function* (): Generator<[number, string]> {
      yield [1, "a"];
    })
    .remote(),
);
export async function readStream(): Promise<void> {
  for await (const ref of count.remote(3)) exactly<number>()(await ray.get(ref));
  // @ts-expect-error a stream is no ref
  await ray.get(count.remote(3));
}

// ── overloads, generics, methods used as functions ─────────────────────────────────────────────
function over(x: number): number;
function over(x: string): string[];
function over(x: number | string): number | string[] {
  return typeof x === "number" ? x : [x];
}
const remoteOver = ray.remote(over);
exactly<ObjectRef<number>>()(remoteOver.remote(1));
exactly<ObjectRef<string[]>>()(remoteOver.remote("a"));
exactly<ObjectRef<string[]>>()(remoteOver.remote(textRef));
// @ts-expect-error no overload takes a boolean
remoteOver.remote(true);
declare function over3(x: number): number;
declare function over3(x: string, y: number): string;
declare function over3(x: boolean): Date;
exactly<ObjectRef<string>>()(ray.remote(over3).remote("a", numberRef));
exactly<ObjectRef<Date>>()(ray.remote(over3).remote(true));
const identity = <T>(x: T): T => x;
exactly<ObjectRef<number>>()(ray.remote(identity<number>).remote(1));
function withThis(this: Date, x: number): number {
  return x + this.getTime();
}
exactly<ObjectRef<number>>()(ray.remote(withThis.bind(new Date())).remote(1));
exactly<ObjectRef<number>>()(ray.remote(Math.max).remote(1, 2));

declare const loose: (...args: any[]) => ReturnType<typeof JSON.parse>;
exactly<(...args: any[]) => ObjectRef<ReturnType<typeof JSON.parse>>>()(ray.remote(loose).remote);
declare const unknowns: (...args: unknown[]) => unknown;
exactly<(...args: unknown[]) => ObjectRef<unknown>>()(ray.remote(unknowns).remote);

// ── what is refused ────────────────────────────────────────────────────────────────────────────
// @ts-expect-error no function
ray.remote(1);
// @ts-expect-error a promise is no function
ray.remote(Promise.resolve(1));
// @ts-expect-error an object is no function
ray.remote({});
// @ts-expect-error unknown option
ray.remote(() => 1, { numCpu: 1 });
// @ts-expect-error an option of actors
ray.remote(() => 1, { maxRestarts: 1 });
// @ts-expect-error a number is wanted
ray.remote(() => 1, { numCpus: "1" });
// @ts-expect-error no such strategy
ray.remote(() => 1, { schedulingStrategy: "PACK" });
// @ts-expect-error captures are given once
square.options({ captures: {} });
// @ts-expect-error no error class
ray.remote(() => 1, { retryExceptions: [1] });

ray.remote(() => 1, { retryExceptions: [RangeError, ray.GetTimeoutError] });
ray.remote(() => 1, { retryExceptions: (error) => error instanceof RangeError });
ray.remote(() => 1, {
  numCpus: 0.5,
  numGpus: 0,
  memory: 1,
  resources: { a: 1 },
  maxRetries: -1,
  retryExceptions: true,
  runtimeEnv: {
    envVars: { A: "1" },
    workingDir: ".",
    excludes: ["*.log"],
    npm: ["name@^1", "./local.tgz"],
    npmScripts: true,
    setup: () => Promise.resolve(1),
  },
  schedulingStrategy: ray.nodeAffinity("x", { soft: true }),
  labelSelector: { zone: "a" },
  priority: 1,
  name: "n",
  maxCalls: 3,
  signal: new AbortController().signal,
  streamBuffer: 4,
  captures: { a: 1 },
});

// ── lazy graphs ────────────────────────────────────────────────────────────────────────────────
const add = ray.remote((a: number, b: number) => a + b);
const node = add.bind(1, add.bind(numberRef, 3));
exactly<LazyNode<ObjectRef<number>>>()(node);
exactly<ObjectRef<number>>()(node.execute());
// @ts-expect-error a node of a string
add.bind(1, ray.remote(() => "a").bind());
// @ts-expect-error nodes are arguments of bind, not of remote
add.remote(1, node);
exactly<LazyNode<[ObjectRef<number>, ObjectRef<string>]>>()(pair.bind());
// @ts-expect-error a node of several refs is no argument
add.bind(1, pair.bind());
exactly<ObjectRefStream<number>>()(count.bind(3).execute());
