/** Actors that are made from refs: alone, inside values, inside values of refs. They start again with them, and let them go in the end. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import { mayCrash } from "../config.ts";
import { sleep } from "../program.ts";
import type { Context, Program } from "../program.ts";
import type { Rng } from "../rng.ts";
import type { ActorCore } from "../values.ts";
import { Broken } from "../world.ts";
import { expectValue, judge, outcome } from "./judge.ts";

const GONE = ["actor-died", "actor-unavailable"];

export function* constructed(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < Math.min(size, 4); i++) {
    const text = "x".repeat(rng.pick([1, 200]));
    const inner = rng.chance(0.5) ? context.put(text) : context.run("echo", [text, rng.int(10, 20_000)], { retries: -1 });
    const nested = rng.chance(0.5);
    const value = nested ? context.put({ inside: inner }) : rng.chance(0.5) ? inner : text;
    const maxRestarts = rng.pick([0, 1, -1]);
    const settings = { maxRestarts, maxTaskRetries: maxRestarts === 0 ? 0 : -1 };
    const actor = context.create("Keeper", [{ inside: inner }, value, rng.int(0, 20_000)], settings);
    const { id } = inner;
    for (const each of [...context.scope]) if (each !== actor) context.drop(each);
    const how = rng.pick(["reads", "reads", "restarts", "dropped", "killed"]);
    if (how === "killed") yield sleep(rng.int(0, 60_000));
    else if (how !== "dropped") yield* reads(context, actor, text, how === "restarts" && maxRestarts !== 0, rng);
    if (how !== "dropped") {
      context.kill(actor, true);
      yield* isFreed(context, actor, id);
    }
    for (const each of [...context.scope]) context.drop(each);
  }
  return undefined;
}

/** It answers with what it was made from, whatever its maker has dropped, also after it has started again. */
function* reads(context: Context, actor: ActorCore, text: string, restarts: boolean, rng: Rng): Program {
  for (let round = 0; round < 3; round++) {
    if (restarts && round === 1) context.kill(actor, false);
    const read = context.call(actor, "read", []);
    const end = yield* outcome(read);
    if ("value" in end) {
      const { inside, value } = end.value as { inside: unknown; value: unknown };
      const right = value === text || typeof value === "object";
      if (inside !== text || !right) throw new Broken(`actor ${actor.actorId} was made from something else`, [actor.actorId, read.id]);
    } else judge(context, read, end, undefined, restarts ? GONE : []);
    context.drop(read);
    yield sleep(rng.int(0, 30_000));
  }
  const given = context.call(actor, "give", []);
  const end = yield* outcome(given);
  context.drop(given);
  if ("error" in end) return judge(context, given, end, undefined, restarts ? GONE : []);
  const { inside } = end.value as { inside: ObjectRef };
  yield* expectValue(context, inside, text);
  context.drop(inside);
  return undefined;
}

/** Once it is over, whoever has a handle to it, nobody holds what it was made from. */
function* isFreed(context: Context, actor: ActorCore, id: ObjectRef["id"]): Program {
  const { world } = context.client;
  const call = context.call(actor, "read", [], 0);
  const end = yield* outcome(call);
  if ("error" in end) judge(context, call, end, undefined, GONE);
  for (const each of [...context.scope]) if (each !== actor) context.drop(each);
  if (mayCrash(world.config)) return undefined;
  for (let round = 0; world.isHeld(id); round++) {
    if (round > 400) throw new Broken(`object ${id} is held, and the actor that was made from it is over`, [id, actor.actorId]);
    yield sleep(20_000);
  }
  return undefined;
}
