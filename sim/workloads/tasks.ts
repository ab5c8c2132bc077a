/** Workloads of tasks: plain ones, chains and trees of refs, nested ones, retries, cancels, streams, resources. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import type { Task } from "../../src/core/owner/task.ts";
import { mayCrash } from "../config.ts";
import type { Context, Program, TaskSettings } from "../program.ts";
import { next, sleep, wait } from "../program.ts";
import type { Rng } from "../rng.ts";
import type { SimError } from "../values.ts";
import { Broken } from "../world.ts";
import { expectValue, judge, outcome } from "./judge.ts";

const RETRIES = [0, 0, 1, 3, -1];

export function* plain(context: Context, size: number, rng: Rng): Program {
  const refs: ObjectRef[] = [];
  for (let i = 0; i < size * 8; i++) {
    const us = rng.chance(0.1) ? rng.int(3000, 30_000) : rng.int(5, 400);
    refs.push(context.run(rng.pick(["echo", "echo", "nap"]), [i, us], { retries: rng.pick(RETRIES) }));
    if (rng.chance(0.05)) yield sleep(rng.int(10, 5000));
  }
  for (const [i, ref] of refs.entries()) {
    yield* expectValue(context, ref, i);
    context.drop(ref);
  }
  return undefined;
}

export function* chains(context: Context, size: number, rng: Rng): Program {
  const ends: ObjectRef[] = [];
  for (let i = 0; i < 3; i++) {
    let ref = context.put(0);
    for (let j = 0; j < size; j++) {
      const longer = context.run("add", [ref, 1, rng.int(0, 500)], { retries: 3 });
      context.drop(ref);
      ref = longer;
    }
    ends.push(ref);
  }
  for (const ref of ends) yield* expectValue(context, ref, size);
  return undefined;
}

export function* reduction(context: Context, size: number, rng: Rng): Program {
  let level = Array.from({ length: size * 2 }, (_, i) => context.run("echo", [i, rng.int(1, 200)], { retries: 2 }));
  const sum = size * (2 * size - 1);
  while (level.length > 1) {
    const above: ObjectRef[] = [];
    for (let i = 0; i < level.length; i += 2) {
      const [a, b] = [level[i]!, level[i + 1]];
      above.push(b ? context.run("add", [a, b, rng.int(0, 300)], { retries: 2 }) : a);
      if (b) context.drop(a, b);
    }
    level = above;
  }
  yield* expectValue(context, level[0]!, sum);
  return undefined;
}

/** Deeper than there are CPUs. */
export function* nested(context: Context, size: number, rng: Rng): Program {
  const width = rng.int(1, 3);
  const depth = width === 1 ? rng.int(2, 8) : rng.int(1, 3);
  const nodes = width === 1 ? depth + 1 : (width ** (depth + 1) - 1) / (width - 1);
  const refs = Array.from({ length: Math.min(size, 4) }, () =>
    context.run("tree", [depth, width, rng.int(10, 2000), rng.pick(RETRIES)], { retries: 3 }),
  );
  refs.push(context.run("sequence", [size], { retries: -1 }));
  for (const ref of refs.slice(0, -1)) yield* expectValue(context, ref, nodes);
  yield* expectValue(context, refs.at(-1)!, size);
  return undefined;
}

export function* retries(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < size; i++) {
    const fails = rng.int(0, 3);
    const allowed = rng.int(0, 3);
    const ref = context.run("failing", [fails, i], { retries: allowed, retryExceptions: true });
    yield* expectValue(context, ref, i, fails > 0 ? ["USER"] : []);
    if (fails > allowed && ref.state === "ready") {
      // Only crashes may have spent more attempts than errors did.
      if (ref.task!.attempt > allowed) throw new Broken(`task ${ref.task!.id} had ${ref.task!.attempt} attempts`, [ref.task!.id]);
    }
    const never = context.run("failing", [100, i], { retries: allowed, retryExceptions: false });
    if (yield* expectValue(context, never, undefined, ["USER"])) throw new Broken("a task that always throws has succeeded");
    context.drop(ref, never);
  }
  return undefined;
}

export function* cancels(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < size; i++) {
    const how = rng.pick(["pending", "waiting", "running", "stubborn", "parent", "race"]);
    const force = how === "stubborn" || rng.chance(0.2);
    const blocker = how === "waiting" ? context.task("forever", []) : undefined;
    const name = { pending: "echo", waiting: "add", running: "forever", stubborn: "stubborn", parent: "parent", race: "echo" }[how]!;
    const args = how === "waiting" ? [blocker!.returns[0], 1, 10] : how === "pending" ? [1, 5000] : [2, 300];
    const task = context.task(name, args, { retries: rng.pick([0, 3]) });
    if (how !== "pending") yield sleep(rng.int(0, how === "race" ? 3000 : 40_000));
    const ended = task.state === "done";
    context.cancel(task, force, how === "parent" || rng.chance(0.5));
    if (blocker) context.cancel(blocker, false);
    const end = yield* outcome(task.returns[0]!);
    const done = judge(context, task.returns[0]!, end, how === "race" ? 2 : 1, ["cancelled"]);
    if (!ended && (done || !("error" in end))) throw new Broken(`task ${task.id} was cancelled and has a value`, [task.id]);
    context.drop(...task.returns, ...(blocker?.returns ?? []));
    // Its answer may come after the cancel, with refs inside or stored: nobody takes it, and nothing of it stays.
    const carrying = context.task(rng.pick(["wrap", "promise", "text"]), [300, 10]);
    yield sleep(rng.int(0, 3000));
    context.cancel(carrying, false);
    context.drop(...carrying.returns);
  }
  return undefined;
}

/** Another process cancels: the ref that it was given is one that it did not make. */
export function* foreignCancels(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < size; i++) {
    const how = rng.pick(["running", "parent", "stubborn", "race", "over"]);
    const name = { running: "forever", parent: "parent", stubborn: "stubborn", race: "echo", over: "echo" }[how]!;
    const task = context.task(name, [2, 300], { retries: rng.pick([0, 3]) });
    const ref = task.returns[0]!;
    if (how === "over") yield* outcome(ref);
    if (rng.chance(0.5)) yield sleep(rng.int(0, 20_000));
    const cancelled = yield* outcome(context.run("cancelOther", [{ inside: ref }, how === "stubborn"], { retries: -1, resources: {} }));
    if ("error" in cancelled) judge(context, ref, cancelled, undefined);
    // A word of a process that died at once may not have left it.
    if (mayCrash(context.client.world.config) && (yield* wait([ref], 1, 1_000_000)).length === 0) context.cancel(task, true);
    const end = yield* outcome(ref);
    const done = judge(context, ref, end, how === "race" || how === "over" ? 2 : 1, how === "over" ? [] : ["cancelled"]);
    if (done && how !== "race" && how !== "over") throw new Broken(`task ${task.id} was cancelled and has a value`, [task.id]);
    context.drop(ref);
  }
  return undefined;
}

export function* waiting(context: Context, size: number, rng: Rng): Program {
  const refs = Array.from({ length: size + 1 }, (_, i) => context.run("nap", [i, rng.int(100, 60_000)], { retries: 3 }));
  const pending = new Map(refs.map((ref, i) => [ref, i]));
  while (pending.size > 0) {
    const ready = yield* wait([...pending.keys()], Math.min(rng.int(1, 2), pending.size), rng.chance(0.3) ? rng.int(0, 20_000) : Infinity);
    for (const ref of ready) {
      yield* expectValue(context, ref, pending.get(ref));
      pending.delete(ref);
      context.drop(ref);
    }
    yield sleep(rng.int(0, 2000));
  }
  return undefined;
}

export function* streams(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < 3; i++) {
    const task = context.task("count", [size, rng.int(10, 3000)], { stream: rng.pick([1, 2, 1000]), retries: rng.pick([0, 2]) });
    let seen = 0;
    const stopAt = rng.chance(0.3) ? rng.int(0, size) : Infinity;
    for (;;) {
      if (seen === stopAt) context.cancel(task, false);
      const ref = yield* nextOf(context, task, seen >= stopAt);
      if (!ref) break;
      yield* expectValue(context, ref, seen++);
      context.drop(ref);
      if (rng.chance(0.2)) yield sleep(rng.int(0, 10_000));
    }
    if (stopAt === Infinity && !task.stream!.error && seen !== size)
      throw new Broken(`stream ${task.id} had ${seen} items, not ${size}`, [task.id]);
  }
  return undefined;
}

function* nextOf(context: Context, task: Task, cancelled: boolean): Program<ObjectRef | undefined> {
  const end = yield* settled(next(task));
  if (!("error" in end)) return end.value as ObjectRef | undefined;
  judge(context, { id: task.id, task } as never, end, undefined, cancelled ? ["cancelled"] : []);
  return undefined;
}

function* settled(program: Program): Program<{ value: unknown } | { error: SimError }> {
  try {
    return { value: yield* program };
  } catch (error) {
    return { error: error as never };
  }
}

/** Tasks of many shapes at once: fractions, other resources, priorities, environments, few calls a worker. */
export function* shapes(context: Context, size: number, rng: Rng): Program {
  const { config } = context.client.world;
  const kinds: TaskSettings[] = [
    { resources: { CPU: 0.5 } },
    { resources: { CPU: config.cpus } },
    { resources: { CPU: 0.25, special: 0.5 } },
    { resources: { special: 2 } },
    { resources: {} },
    { priority: 5 },
    { env: "other" },
    { maxCalls: 2 },
    { strategy: { kind: "labels", hard: { zone: "a" }, soft: {} } },
  ];
  if (config.gpus > 0) kinds.push({ resources: { CPU: 1, GPU: 1 } }, { resources: { GPU: 0.5 } });
  const refs: ObjectRef[] = [];
  for (let i = 0; i < size * 3; i++) {
    refs.push(context.run("echo", [i, rng.int(10, 5000)], { ...rng.pick(kinds), retries: rng.pick(RETRIES) }));
    if (rng.chance(0.2)) yield sleep(rng.int(0, 30_000));
  }
  for (const [i, ref] of refs.entries()) yield* expectValue(context, ref, i);
  return undefined;
}

/** What can never be: it waits until it is cancelled, or is refused. */
export function* impossible(context: Context, _size: number, rng: Rng): Program {
  const large = context.task("echo", [1, 10], { resources: { CPU: 100 } });
  const elsewhere = context.task("echo", [1, 10], { strategy: { kind: "affinity", nodeId: "node9" as never, soft: false } });
  const broken = context.task("echo", [1, 10], { env: "broken" });
  const after = context.task("add", [large.returns[0], 1, 0]);
  yield sleep(rng.int(0, 100_000));
  context.cancel(large, false);
  for (const [task, code] of [
    [large, "cancelled"],
    [after, "cancelled"],
    [elsewhere, "NODE_DIED"],
    [broken, "WORKER_CRASHED"],
  ] as const) {
    if (yield* expectValue(context, task.returns[0]!, undefined, [code])) throw new Broken(`task ${task.id} cannot succeed`, [task.id]);
  }
  return undefined;
}

export function* severalResults(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < size; i++) {
    const count = rng.int(2, 4);
    const wrong = rng.chance(0.2);
    const task = context.task("several", [wrong ? count + 1 : count], { numReturns: count, retries: 1 });
    const kept = rng.int(0, count - 1);
    for (const [index, ref] of task.returns.entries()) if (index !== kept) context.drop(ref);
    yield* expectValue(context, task.returns[kept]!, wrong ? undefined : kept, wrong ? ["num-returns"] : []);
    context.drop(...task.returns);
  }
  return undefined;
}
