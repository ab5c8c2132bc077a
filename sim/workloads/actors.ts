/** The actors of simulations, by class: how one is made, and its methods, which are given its state. */
import type { Context, Program } from "../program.ts";
import { compute, getOne, sleep } from "../program.ts";
import { EXIT, SimError } from "../values.ts";

interface ActorClass {
  readonly make: (context: Context, ...args: unknown[]) => Program<object>;
  readonly methods: Readonly<Record<string, (context: Context, state: object, ...args: unknown[]) => Program>>;
}

interface Counter {
  count: number;
  kept: unknown;
}

const counter = {
  *make(_context: Context, start: number) {
    yield compute(200);
    return { count: start, kept: undefined };
  },
  methods: {
    *increment(_context: Context, state: Counter, by: number) {
      yield compute(30);
      return (state.count += by);
    },
    *slow(_context: Context, state: Counter, us: number) {
      yield sleep(us);
      return state.count;
    },
    *keep(_context: Context, state: Counter, value: unknown) {
      yield compute(10);
      state.kept = value;
      return 0;
    },
    *kept(_context: Context, state: Counter) {
      yield compute(10);
      return state.kept;
    },
    *fail(_context: Context, _state: Counter, message: string) {
      yield compute(10);
      throw new SimError("USER", message);
    },
    /** Waits for a task of its own. */
    *delegate(context: Context, state: Counter, value: number) {
      const sum = (yield* getOne(context.run("add", [state.count, value, 100], { retries: -1 }))) as number;
      return sum;
    },
    *exit() {
      yield compute(10);
      throw new SimError(EXIT, "it exits");
    },
  },
};

const refusing = {
  *make() {
    yield compute(100);
    throw new SimError("USER", "it cannot be made");
  },
  methods: counter.methods,
};

export const ACTORS: Readonly<Record<string, ActorClass>> = { Counter: counter, Refusing: refusing } as never;
