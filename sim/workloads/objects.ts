/** Workloads of refs: put into values, passed on, held and let go, stored and lost. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import type { Context, Program } from "../program.ts";
import { next, sleep } from "../program.ts";
import type { Rng } from "../rng.ts";
import { Broken } from "../world.ts";
import { expectValue, judge, outcome, outcomeOf } from "./judge.ts";

/** Refs travel in values, and the maker lets go of them early. */
export function* escapes(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < size; i++) {
    const inner = rng.pick([
      () => context.put(i),
      () => context.run("nap", [i, rng.int(0, 20_000)], { retries: 3 }),
      () => context.run("echo", [i, rng.int(0, 500)], { retries: 3 }),
    ])();
    const box = { inside: inner };
    const direct = rng.chance(0.5);
    const carried = direct ? undefined : context.put(box);
    const ref = context.run("unwrap", [carried ?? box], { retries: 3 });
    context.drop(inner);
    if (carried) context.drop(carried);
    if (rng.chance(0.5)) yield sleep(rng.int(0, 30_000));
    yield* expectValue(context, ref, i);
    context.drop(ref);
  }
  return undefined;
}

/** Refs that others own come back, are passed on, and are read. */
export function* borrowed(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < size; i++) {
    const maker = context.run(rng.pick(["wrap", "promise"]), [i, rng.int(0, 20_000)], { retries: 2 });
    const way = rng.int(0, 3);
    if (way === 0) {
      yield* expectValue(context, context.run("unwrap", [maker], { retries: 2 }), i);
    } else if (way === 1) {
      const relayed = context.run("relay", [maker, rng.int(0, 3)], { retries: 2 });
      context.drop(maker);
      yield* expectValue(context, context.run("unwrap", [relayed], { retries: 2 }), i);
    } else {
      const end = yield* outcome(maker);
      if (!("value" in end)) judge(context, maker, end, undefined);
      else {
        const { inside } = end.value as { inside: ObjectRef };
        if (way === 2) context.drop(maker);
        if (rng.chance(0.5)) yield sleep(rng.int(0, 40_000));
        yield* expectValue(context, inside, i);
        context.drop(inside);
      }
    }
    for (const each of [...context.scope]) context.drop(each);
  }
  return undefined;
}

/** Tasks that are left behind by tasks that ended: their workers look idle, and must stay. */
export function* leftBehind(context: Context, size: number, rng: Rng): Program {
  const late = context.run("nap", [1, rng.int(100_000, 3_000_000)], { retries: -1, resources: {} });
  const boxes: ObjectRef[] = [];
  for (let i = 0; i < Math.min(size, 4); i++) boxes.push(context.run("leaveBehind", [{ inside: late }, i], { retries: -1, resources: {} }));
  for (const [i, ref] of boxes.entries()) {
    const box = yield* outcome(ref);
    if ("error" in box) judge(context, ref, box, undefined);
    else yield* expectValue(context, (box.value as { inside: ObjectRef }).inside, i + 1);
  }
  for (const each of [...context.scope]) context.drop(each);
  return undefined;
}

/** The maker of a ref computes: what others get of it must not wait for that. */
export function* busy(context: Context, size: number, rng: Rng): Program {
  const { world } = context.client;
  const computeUs = 5_000_000;
  for (let i = 0; i < Math.min(size, 3); i++) {
    const stream = context.task("busyOwner", [i, rng.int(5, 20_000), rng.int(0, 40_000), computeUs], { stream: 2, resources: {} });
    const first = yield* outcomeOf(next(stream));
    const ref = "value" in first ? (first.value as ObjectRef | undefined) : undefined;
    if (!ref) {
      if ("error" in first) judge(context, { id: stream.id, task: stream } as never, first, undefined);
      continue;
    }
    const box = yield* outcome(ref);
    if ("error" in box) judge(context, ref, box, undefined);
    else {
      const { inside, since } = box.value as { inside: ObjectRef; since: number };
      // Only what was pushed before its owner began to compute can be answered.
      const worker = world.history.begunAt(inside.id);
      yield* expectValue(context, inside, i);
      const late = world.clock.now - since >= computeUs;
      if (worker && late && !world.history.isDead(worker)) throw new Broken(`object ${inside.id} waited for its owner`, [inside.id]);
      context.drop(inside);
    }
    context.drop(ref);
  }
  return undefined;
}

export function* large(context: Context, size: number, rng: Rng): Program {
  const texts = Array.from({ length: size }, () => rng.int(10, 400));
  const refs = texts.map((length) => (rng.chance(0.5) ? context.put("x".repeat(length)) : context.run("text", [length], { retries: 5 })));
  for (let i = 0; i < size; i++) {
    const some = [rng.int(0, size - 1), rng.int(0, size - 1)];
    const sum = some.reduce((total, at) => total + texts[at]!, 0);
    yield* expectValue(
      context,
      context.run(
        "measure",
        some.map((at) => refs[at]),
        { retries: 5 },
      ),
      sum,
    );
    if (rng.chance(0.3)) yield sleep(rng.int(0, 20_000));
  }
  const box = context.put({ inside: refs[0], padding: "y".repeat(rng.int(0, 300)) });
  context.drop(...refs);
  yield* expectValue(context, context.run("unwrap", [box], { retries: 5 }), "x".repeat(texts[0]!));
  return undefined;
}

/** Many values with refs inside are on their way at any moment, so that a crash cuts some off between what was said and sent. */
export function* handed(context: Context, size: number, rng: Rng): Program {
  for (let round = 0; round < 2; round++) {
    const makers = Array.from({ length: 3 * size }, (_, i) => context.run("wrap", [i, 0], { retries: -1 }));
    const relayed = makers.map((maker) => (rng.chance(0.3) ? context.run("relay", [maker, 1], { retries: -1 }) : maker));
    for (const [i, ref] of relayed.entries()) {
      const end = yield* outcome(ref);
      if (!("value" in end)) judge(context, ref, end, undefined);
      else if (rng.chance(0.2)) yield* expectValue(context, (end.value as { inside: ObjectRef }).inside, i);
      for (const each of [...context.scope])
        if (!relayed.includes(each as ObjectRef) && !makers.includes(each as ObjectRef)) context.drop(each);
    }
    for (const each of [...context.scope]) context.drop(each);
  }
  return undefined;
}
