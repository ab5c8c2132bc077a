/** The actors of simulations, by class: how one is made, and its methods, which are given its state. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import type { Context, Program } from "../program.ts";
import { compute, getOne, sleep } from "../program.ts";
import { EXIT, SimError } from "../values.ts";
import type { ActorCore } from "../values.ts";

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
    /** Keeps its own handle, and goes on by itself: each step calls the next, and the last gives the handle away and counts. */
    *goOn(context: Context, state: Counter, own: { inside: ActorCore }, log: ActorCore, steps: number, us: number): Program {
      yield sleep(us);
      state.kept = own;
      if (steps > 0) context.call(own.inside, "goOn", [own, log, steps - 1, us]);
      else {
        context.call(log, "keep", [own]);
        context.call(log, "increment", [1]);
      }
      return 0;
    },
    *exit() {
      yield compute(10);
      throw new SimError(EXIT, "it exits");
    },
  },
};

interface Ledger {
  readonly entries: { readonly who: string; readonly value: unknown }[];
}

/** Remembers every call, in its order, with the value that came with it. */
const ledger = {
  *make() {
    yield compute(100);
    return { entries: [] };
  },
  methods: {
    *append(_context: Context, state: Ledger, who: string, value: unknown, us: number) {
      yield compute(20);
      if (us > 0) yield sleep(us);
      state.entries.push({ who, value });
      return state.entries.length - 1;
    },
    *refuse(_context: Context, state: Ledger, who: string) {
      yield compute(10);
      state.entries.push({ who, value: "refused" });
      throw new SimError("USER", String(state.entries.length - 1));
    },
    /** What was given at a place. */
    *at(_context: Context, state: Ledger, place: number) {
      yield compute(10);
      return { value: state.entries[place]!.value };
    },
    *read(_context: Context, state: Ledger) {
      yield compute(10);
      return state.entries.map(({ who }) => who);
    },
  },
};

interface Keeper {
  box: { readonly inside: ObjectRef } | undefined;
  readonly value: unknown;
}

/** Keeps what it was made from. */
const keeper = {
  *make(_context: Context, box: { inside: ObjectRef }, value: unknown, us: number) {
    yield sleep(us);
    return { box, value };
  },
  methods: {
    *read(_context: Context, state: Keeper) {
      yield compute(10);
      return { inside: yield* getOne(state.box!.inside), value: state.value };
    },
    *give(_context: Context, state: Keeper) {
      yield compute(10);
      return { inside: state.box!.inside, value: state.value };
    },
    *forget(_context: Context, state: Keeper) {
      yield compute(10);
      state.box = undefined;
      return 0;
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

export const ACTORS: Readonly<Record<string, ActorClass>> = {
  Counter: counter,
  Ledger: ledger,
  Keeper: keeper,
  Refusing: refusing,
} as never;
