/** The functions that tasks run in simulations, by name. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import type { Context, Program } from "../program.ts";
import { compute, get, getOne, item, sleep } from "../program.ts";
import { SimError } from "../values.ts";
import type { ActorCore } from "../values.ts";

type Body = (context: Context, ...args: never[]) => Program;

export const FUNCTIONS: Readonly<Record<string, (context: Context, ...args: unknown[]) => Program>> = {
  *echo(_context: Context, value: unknown, us: number) {
    yield compute(us);
    return value;
  },
  *nap(_context: Context, value: unknown, us: number) {
    yield sleep(us);
    return value;
  },
  *add(_context: Context, a: number, b: number, us: number) {
    if (us > 0) yield compute(us);
    return a + b;
  },
  *text(_context: Context, length: number) {
    yield compute(20);
    return "x".repeat(length);
  },
  *measure(_context: Context, ...texts: string[]) {
    yield compute(20);
    return texts.reduce((sum, each) => sum + each.length, 0);
  },
  *several(_context: Context, count: number) {
    yield compute(30);
    return Array.from({ length: count }, (_, i) => i);
  },
  *failing(context: Context, until: number, value: unknown) {
    yield compute(50);
    if (context.attempt < until) throw new SimError("USER", `attempt ${context.attempt}`);
    return value;
  },
  /** The number of nodes of a tree of tasks; every inner one waits for its children. */
  *tree(context: Context, depth: number, width: number, us: number, retries: number) {
    yield compute(us);
    if (depth === 0) return 1;
    const children = Array.from({ length: width }, () => context.run("tree", [depth - 1, width, us, retries], { retries }));
    const counts = (yield* get(...children)) as number[];
    return counts.reduce((sum, each) => sum + each, 1);
  },
  /** Waits for its children one after the other. */
  *sequence(context: Context, count: number) {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const child = context.run("add", [sum, 1, 100], { retries: -1 });
      sum = (yield* getOne(child)) as number;
      context.drop(child);
    }
    return sum;
  },
  /** A value that contains a ref of this process. */
  *wrap(context: Context, value: unknown) {
    yield compute(20);
    return { inside: context.put(value) };
  },
  /** A value that contains a ref to a task that may still run. */
  *promise(context: Context, value: unknown, us: number) {
    yield compute(20);
    return { inside: context.run("nap", [value, us], { retries: -1 }) };
  },
  *unwrap(_context: Context, box: { inside: ObjectRef }) {
    return yield* getOne(box.inside);
  },
  /** Passes a box on to another task before it lets go of it. */
  *relay(context: Context, box: { inside: ObjectRef }, hops: number): Program {
    yield compute(10);
    if (hops === 0) return box;
    return yield* getOne(context.run("relay", [box, hops - 1], { retries: -1 }));
  },
  *forever(context: Context) {
    while (!context.cancelled) yield sleep(3000);
    throw new SimError("cancelled", "it saw that it was cancelled");
  },
  /** Does not look whether it is cancelled: only its worker's end ends it. */
  *stubborn() {
    for (;;) yield sleep(20_000);
  },
  /** Waits for a child that nobody will end but its parent's cancel. */
  *parent(context: Context) {
    return yield* getOne(context.run("forever", []));
  },
  /** Leaves a task behind that waits for its argument: nobody but this process knows of it. */
  *leaveBehind(context: Context, box: { inside: ObjectRef }, value: number) {
    yield compute(20);
    return { inside: context.run("add", [box.inside, value, 10], { retries: -1 }) };
  },
  /** Gives away a ref to a task that runs, and computes so long that it cannot hear its answer meanwhile. */
  *busyOwner(context: Context, value: unknown, taskUs: number, restUs: number, computeUs: number) {
    const ref = context.run("echo", [value, taskUs], { retries: -1, resources: {} });
    if (restUs > 0) yield sleep(restUs);
    yield item({ inside: ref, since: context.client.world.clock.now });
    yield compute(computeUs);
    return undefined;
  },
  /** Cancels what another process made. */
  *cancelOther(context: Context, box: { inside: ObjectRef }, force: boolean) {
    yield compute(20);
    context.cancelForeign(box.inside, force);
    return undefined;
  },
  *count(_context: Context, length: number, us: number) {
    for (let i = 0; i < length; i++) {
      yield compute(us);
      yield item(i);
    }
    return undefined;
  },
  *useActor(context: Context, actor: ActorCore, times: number) {
    let last = 0;
    for (let i = 0; i < times; i++) last = (yield* getOne(context.call(actor, "increment", [1]))) as number;
    return last;
  },
  /** Writes into a ledger; gives who wrote, and the place that each was told, -1 for none. */
  *writeLedger(context: Context, ledger: ActorCore, times: number) {
    const calls: [string, ObjectRef][] = [];
    for (let i = 0; i < times; i++) {
      const who = `${context.client.id} ${context.caller} ${i}`;
      calls.push([who, context.call(ledger, "append", [who, { inside: context.put(who) }, 0])]);
      if (i % 3 === 2) yield sleep(1000);
    }
    const told: [string, number][] = [];
    for (const [who, ref] of calls) {
      const place = yield* placeOf(ref);
      told.push([who, place]);
    }
    return told;
  },
} satisfies Record<string, Body> as never;

function* placeOf(ref: ObjectRef): Program<number> {
  try {
    return (yield* getOne(ref)) as number;
  } catch (error) {
    if (error instanceof SimError) return -1;
    throw error;
  }
}
