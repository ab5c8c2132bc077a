/**
 * Types of actor classes and handles. Checked by tsc; never run.
 */
import * as ray from "../../src/api/index.ts";
import type { ActorClass, ActorHandle, LazyNode, ObjectRef, ObjectRefStream, UntypedActorHandle } from "../../src/api/index.ts";
import { exactly } from "./expect.ts";
import type { Equal, Expect } from "./expect.ts";

declare const numberRef: ObjectRef<number>;
declare const textRef: ObjectRef<string>;

class Base {
  inherited(): string {
    return "x";
  }
}

class Counter extends Base {
  readonly start: number;
  static total(): number {
    return 0;
  }
  #n = 0;
  protected hidden(): number {
    return this.secret();
  }
  private secret(): number {
    return this.#n;
  }
  #private(): void {}
  arrow = (x: number): string => String(x);
  maybe?(x: number): boolean;

  constructor(start: number, label?: string) {
    super();
    this.start = start;
    void label;
  }
  get level(): number {
    return this.#n;
  }
  increment(by = 1): number {
    this.#private();
    return (this.#n += by);
  }
  async slow(text: string): Promise<number> {
    return text.length;
  }
  *items(n: number): Generator<number> {
    yield n;
  }
  async *later(): AsyncGenerator<string> {
    yield "a";
  }
  over(x: number): number;
  over(x: string): string;
  over(x: number | string): number | string {
    return x;
  }
  pair(): [number, string] {
    return [1, "a"];
  }
  // oxlint-disable-next-line unicorn/no-thenable -- a handle must not show it
  then(): void {}
}

const RemoteCounter = ray.remote(Counter);
exactly<ActorClass<typeof Counter>>()(RemoteCounter);
const counter = RemoteCounter.remote(1);
exactly<ActorHandle<Counter>>()(counter);
exactly<ActorHandle<Counter>>()(RemoteCounter.remote(numberRef, textRef));
exactly<ActorHandle<Counter>>()(RemoteCounter.options({ name: "c", lifetime: "detached", maxRestarts: -1 }).remote(1));
// @ts-expect-error the constructor needs a number
RemoteCounter.remote("1");
// @ts-expect-error the constructor needs an argument
RemoteCounter.remote();
// @ts-expect-error a ref of the wrong type
RemoteCounter.remote(textRef);
// @ts-expect-error an actor class is not called
RemoteCounter(1);
// @ts-expect-error an actor class is not constructed
void new RemoteCounter(1);

// ── methods ────────────────────────────────────────────────────────────────────────────────────
exactly<ObjectRef<number>>()(counter.increment.remote());
exactly<ObjectRef<number>>()(counter.increment.remote(numberRef));
exactly<ObjectRef<number>>()(counter.slow.remote("a"));
exactly<ObjectRef<string>>()(counter.inherited.remote());
exactly<ObjectRef<string>>()(counter.arrow.remote(1));
exactly<ObjectRef<boolean>>()(counter.maybe.remote(1));
exactly<ObjectRefStream<number>>()(counter.items.remote(3));
exactly<ObjectRefStream<string>>()(counter.later.remote());
exactly<ObjectRef<number>>()(counter.over.remote(1));
exactly<ObjectRef<string>>()(counter.over.remote("a"));
exactly<[ObjectRef<number>, ObjectRef<string>]>()(counter.pair.options({ numReturns: 2 }).remote());
exactly<ObjectRef<number>>()(counter.increment.options({ concurrencyGroup: "io", maxTaskRetries: 2 }).remote());
exactly<LazyNode<ObjectRef<number>>>()(counter.increment.bind(numberRef));
exactly<LazyNode<ObjectRef<number>>>()(counter.increment.bind(counter.increment.bind(1)));
// @ts-expect-error wrong argument
counter.increment.remote("1");
// @ts-expect-error methods are not called directly
counter.increment(1);
// @ts-expect-error no such method
void counter.decrement;
// @ts-expect-error a field is no method
void counter.start;
// @ts-expect-error an accessor is no method
void counter.level;
// @ts-expect-error a private method
void counter.secret;
// @ts-expect-error a protected method
void counter.hidden;
// @ts-expect-error a static method
void counter.total;
// @ts-expect-error would make a handle a promise
void counter.then;
// @ts-expect-error the tuple has two places
counter.pair.options({ numReturns: 3 });
// @ts-expect-error an option of tasks
counter.increment.options({ maxRetries: 1 });
// @ts-expect-error handles are not changed
counter.increment = RemoteCounter.remote(2).increment;
type Methods = Exclude<keyof ActorHandle<Counter>, symbol>;
type Wanted = "increment" | "slow" | "inherited" | "arrow" | "maybe" | "items" | "later" | "over" | "pair";
export type OnlyMethods = Expect<Equal<Methods, Wanted>>;

export async function awaited(): Promise<void> {
  // Neither handles nor refs are promises.
  // oxlint-disable-next-line typescript/await-thenable -- that is the point
  exactly<ActorHandle<Counter>>()(await counter);
  // oxlint-disable-next-line typescript/await-thenable -- that is the point
  exactly<ObjectRef<number>>()(await counter.increment.remote());
}

// ── options ────────────────────────────────────────────────────────────────────────────────────
ray.remote(Counter, {
  numCpus: 0.5,
  name: "x",
  namespace: "y",
  lifetime: "detached",
  getIfExists: true,
  maxRestarts: -1,
  maxTaskRetries: 1,
  maxConcurrency: 4,
  concurrencyGroups: { io: 2 },
  maxPendingCalls: 10,
  checkpoint: true,
  schedulingStrategy: "SPREAD",
  runtimeEnv: {},
  captures: {},
});
RemoteCounter.options({ checkpoint: { everyCalls: 10 } }).options({ checkpoint: { everyMs: 100, everyCalls: 1 } });
// @ts-expect-error no such rule
RemoteCounter.options({ checkpoint: { everyCall: 10 } });
// @ts-expect-error a number is no rule
RemoteCounter.options({ checkpoint: 10 });
// @ts-expect-error an option of tasks
ray.remote(Counter, { maxRetries: 1 });
// @ts-expect-error an option of calls
ray.remote(Counter, { numReturns: 2 });
// @ts-expect-error the only lifetime
RemoteCounter.options({ lifetime: "forever" });

// ── other classes ──────────────────────────────────────────────────────────────────────────────
class Box<T> {
  readonly #value: T;
  constructor(value: T) {
    this.#value = value;
  }
  read(): T {
    return this.#value;
  }
}
exactly<ObjectRef<string>>()(
  ray
    .remote(Box<string>)
    .remote("a")
    .read.remote(),
);
class Plain {
  run(x: number): number {
    return x;
  }
}
exactly<ActorHandle<Plain>>()(ray.remote(Plain).remote());
abstract class Shape {
  abstract area(): number;
}
// @ts-expect-error an abstract class has no instances
ray.remote(Shape);
class Single {
  private constructor() {}
}
// @ts-expect-error nobody else can make one
ray.remote(Single);
// An actor may hold handles and pass them on.
const holder = ray.remote((handle: ActorHandle<Counter>) => ray.get(handle.increment.remote()));
exactly<ObjectRef<number>>()(holder.remote(counter));
// @ts-expect-error another class
holder.remote(ray.remote(Plain).remote());

// ── found by name, ended ───────────────────────────────────────────────────────────────────────
exactly<Promise<ActorHandle<Counter>>>()(ray.getActor<typeof Counter>("c"));
exactly<Promise<ActorHandle<Counter>>>()(ray.getActor<Counter>("c", { namespace: "n" }));
exactly<Promise<UntypedActorHandle>>()(ray.getActor("c"));
export async function untyped(): Promise<void> {
  const found = await ray.getActor("c");
  exactly<ObjectRef<unknown>>()(found["anything"]!.remote(1, "a"));
}
exactly<Promise<void>>()(ray.kill(counter, { noRestart: false }));
// @ts-expect-error no handle
void ray.kill(numberRef);
// @ts-expect-error no handle
void ray.kill({});
export function ends(): number {
  // Nothing comes after it, so no return is missing.
  ray.exitActor();
}
