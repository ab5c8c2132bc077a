/** Workloads of actors: ordered calls, restarts, names, arguments that come late or fail, placement groups. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import type { PlacementGroupId } from "../../src/protocol/ids.ts";
import { mayCrash } from "../config.ts";
import { ask, getOne, sleep } from "../program.ts";
import type { Context, Program } from "../program.ts";
import type { Rng } from "../rng.ts";
import { ActorCore } from "../values.ts";
import { Broken } from "../world.ts";
import { expectValue, judge, outcome } from "./judge.ts";

const GONE = ["actor-died", "actor-unavailable"];

/** Every call adds one: what comes back says how often it ran, and in which order. */
export function* ordered(context: Context, size: number, rng: Rng): Program {
  const maxRestarts = rng.pick([0, 1, 5]);
  // What actors hold for life must leave room for the tasks that they wait for.
  const life = context.client.world.config.cpus > 1 ? { CPU: 0.5 } : { special: 0.1 };
  const resources = rng.chance(0.4) ? life : {};
  const actor = context.create("Counter", [0], { maxRestarts, maxTaskRetries: rng.pick([0, 0, 2]), resources });
  const refs: ObjectRef[] = [];
  const killsAt = maxRestarts > 0 && rng.chance(0.4) ? rng.int(0, size * 4) : -1;
  for (let i = 0; i < size * 4; i++) {
    if (i === killsAt) context.kill(actor, false);
    refs.push(context.call(actor, "increment", [rng.chance(0.1) ? context.run("echo", [1, rng.int(1, 20_000)], { retries: 3 }) : 1]));
    if (rng.chance(0.1)) yield sleep(rng.int(0, 20_000));
  }
  let last = 0;
  for (const [i, ref] of refs.entries()) {
    const end = yield* outcome(ref);
    if ("error" in end) {
      judge(context, ref, end, undefined, killsAt >= 0 ? GONE : []);
      continue;
    }
    const count = end.value as number;
    const calm = killsAt < 0 && !mayCrash(context.client.world.config);
    // A restart begins at zero again; without one, each call counts once.
    if (calm ? count !== i + 1 : count > i + 1 || (maxRestarts === 0 && count <= last)) {
      throw new Broken(`call ${ref.id} of actor ${actor.actorId} returned ${count} as the ${i + 1}. call, after ${last}`, [ref.id]);
    }
    last = count;
  }
  return undefined;
}

export function* shared(context: Context, size: number, rng: Rng): Program {
  const actor = context.create("Counter", [0], { maxRestarts: 3, maxTaskRetries: -1 });
  const users = Array.from({ length: 3 }, () => context.run("useActor", [actor, size], { retries: 3 }));
  context.call(actor, "keep", [{ inside: context.put("kept") }]);
  if (rng.chance(0.5)) yield sleep(rng.int(0, 20_000));
  const kept = yield* outcome(context.call(actor, "kept", []));
  if ("error" in kept) judge(context, users[0]!, kept, undefined);
  for (const ref of users) {
    const end = yield* outcome(ref);
    if ("error" in end) judge(context, ref, end, undefined);
  }
  const delegated = context.call(actor, "delegate", [rng.int(1, 5)]);
  context.drop(actor);
  const end = yield* outcome(delegated);
  if ("error" in end) judge(context, delegated, end, undefined);
  return undefined;
}

export function* made(context: Context, _size: number, rng: Rng): Program {
  const late = context.create("Counter", [context.run("nap", [7, rng.int(0, 50_000)], { retries: 3 })]);
  yield* expectValue(context, context.call(late, "increment", [1]), 8, []);
  const orphan = context.create("Counter", [context.run("failing", [100, 1])]);
  if (yield* expectValue(context, context.call(orphan, "increment", [1]), 1, GONE)) throw new Broken("an actor without its argument lives");
  const refusing = context.create("Refusing", [], { maxRestarts: 2 });
  if (yield* expectValue(context, context.call(refusing, "increment", [1]), 1, GONE))
    throw new Broken("an actor without constructor lives");
  const exiting = context.create("Counter", [0]);
  yield* expectValue(context, context.call(exiting, "exit", []), "bye", GONE);
  yield* expectValue(context, context.call(exiting, "increment", [1]), 1, GONE);
  // Nobody waits for these: they end with their handles.
  for (let i = 0; i < 3; i++) {
    const dropped = context.create("Counter", [context.put(i)]);
    if (rng.chance(0.5)) context.call(dropped, "increment", [1]);
    context.drop(dropped);
    if (rng.chance(0.5)) yield sleep(rng.int(0, 50_000));
  }
  const busy = context.create("Counter", [0], { maxRestarts: rng.int(0, 1) });
  const call = context.call(busy, "slow", [rng.int(1000, 100_000)]);
  yield sleep(rng.int(0, 60_000));
  context.kill(busy, rng.chance(0.5));
  yield* expectValue(context, call, 0, GONE);
  return undefined;
}

export function* named(context: Context, size: number, rng: Rng): Program {
  const name = `name${rng.int(0, 1)}`;
  for (let i = 0; i < Math.min(size, 4); i++) {
    const actor = context.create("Counter", [0], { name, getIfExists: true, maxRestarts: 5, maxTaskRetries: 3 });
    yield* expectAny(context, context.call(actor, "increment", [1]));
    const found = yield* byName(context, name);
    if (found) yield* expectAny(context, context.call(found, "increment", [1]));
    if (rng.chance(0.3)) context.kill(actor, true);
    context.drop(actor);
    if (found) context.drop(found);
    yield sleep(rng.int(0, 50_000));
  }
  return undefined;
}

function* expectAny(context: Context, ref: ObjectRef): Program {
  const end = yield* outcome(ref);
  if ("error" in end) judge(context, ref, end, undefined, GONE);
  return undefined;
}

function* byName(context: Context, name: string): Program<ActorCore | undefined> {
  try {
    const answer = (yield ask({ kind: "actorByName", name, namespace: "sim" })) as { actorId: ActorCore["actorId"] };
    const { held } = context.client;
    const core = held.take(answer.actorId, 1, () => new ActorCore(answer.actorId, "Counter", true, 0)) as ActorCore;
    context.scope.add(core);
    return core;
  } catch {
    return undefined;
  }
}

export function* placement(context: Context, size: number, rng: Rng): Program {
  const groupId = `${context.client.id}-${context.caller.replaceAll(" ", "")}-g` as PlacementGroupId;
  const { client } = context;
  const bundles = Array.from({ length: rng.int(1, 2) }, () => ({ CPU: 5000 }));
  yield ask({ kind: "groupCreate", groupId, jobId: client.jobId, bundles, strategy: "PACK", name: undefined, detached: false });
  if (rng.chance(0.7)) yield ask({ kind: "groupReady", groupId });
  const strategy = { kind: "group" as const, groupId, bundleIndex: rng.int(-1, bundles.length - 1), captureChildTasks: false };
  const refs = Array.from({ length: size }, (_, i) =>
    context.run("echo", [i, rng.int(10, 5000)], { resources: { CPU: 0.5 }, strategy, retries: 3 }),
  );
  const early = rng.chance(0.4);
  if (!early) for (const [i, ref] of refs.entries()) yield* expectValue(context, ref, i);
  else yield sleep(rng.int(0, 20_000));
  yield ask({ kind: "groupRemove", groupId });
  if (early) for (const [i, ref] of refs.entries()) yield* expectValue(context, ref, i, ["PLACEMENT", "worker-crashed"]);
  return undefined;
}

/** A ledger that saves its state: what anybody was told of it stays true, whatever happens to its worker. */
export function* checkpointed(context: Context, size: number, rng: Rng): Program {
  const settings = { maxRestarts: rng.pick([-1, -1, -1, 2]), maxTaskRetries: rng.pick([-1, -1, 0]) };
  const ledger = context.create("Ledger", [], {
    ...settings,
    checkpoint: { everyCalls: rng.pick([0, 0, 1, 3, 10]), everyMs: rng.pick([0, 0, 0, 5]) },
  });
  const users = Array.from({ length: rng.int(0, 2) }, () => context.run("writeLedger", [ledger, size], { retries: 0 }));
  const calls: [string, ObjectRef][] = [];
  for (let i = 0; i < size * 3; i++) {
    if (rng.chance(0.1)) context.kill(ledger, false);
    const who = `${context.caller} ${i}`;
    const value = rng.pick([
      () => i,
      () => ({ inside: context.put(who) }),
      () => context.put(who.repeat(10)),
      () => context.run("echo", [i, 500]),
    ]);
    if (rng.chance(0.15)) calls.push([who, context.call(ledger, "refuse", [who])]);
    else calls.push([who, context.call(ledger, "append", [who, value(), rng.chance(0.2) ? rng.int(100, 20_000) : 0])]);
    if (rng.chance(0.2)) yield sleep(rng.int(0, 20_000));
  }
  const told: [string, number][] = [];
  let last = -1;
  for (const [who, ref] of calls) {
    const end = yield* outcome(ref);
    const place = "value" in end ? (end.value as number) : end.error.code === "USER" ? Number(end.error.message) : -1;
    if (place < 0) judge(context, ref, end, undefined, GONE);
    else if (place <= last) throw new Broken(`call ${ref.id} of ${who} was told ${place} after ${last}`, [ref.id]);
    else last = place;
    told.push([who, place]);
  }
  for (const ref of users) {
    const end = yield* outcome(ref);
    if ("value" in end) told.push(...(end.value as [string, number][]));
    else judge(context, ref, end, undefined);
  }
  yield* checkLedger(context, ledger, told);
  return undefined;
}

/** Who was told a place is there, and who was told none is nowhere. */
function* checkLedger(context: Context, ledger: ActorCore, told: readonly [string, number][]): Program {
  const read = context.call(ledger, "read", [], -1);
  const end = yield* outcome(read);
  if ("error" in end) return judge(context, read, end, undefined, GONE);
  const entries = end.value as string[];
  const about = [read.id, ledger.actorId];
  if (new Set(entries).size !== entries.length) throw new Broken(`the ledger has an entry twice: ${entries.join("; ")}`, about);
  for (const [who, place] of told) {
    if (place >= 0 && entries[place] !== who) throw new Broken(`${who} was told ${place}, where ${entries[place]} is`, about);
    if (place < 0 && entries.includes(who)) throw new Broken(`${who} was told that its call failed, and it is in the ledger`, about);
  }
  for (const [place, who] of entries.entries()) {
    if (place % 4 !== 0) continue;
    const call = context.call(ledger, "at", [place], -1);
    const at = yield* outcome(call);
    if ("error" in at) judge(context, call, at, undefined, GONE);
    else yield* checkInside(context, (at.value as { value: unknown }).value, who);
  }
  return undefined;
}

function* checkInside(context: Context, value: unknown, who: string): Program {
  const inside = (value as { inside?: ObjectRef } | null)?.inside;
  // Of one that is gone its owner may have been the only holder of what it had put: OWNER_DIED is not for what is settled.
  if (inside) yield* expectValue(context, inside, who);
  return undefined;
}

/** Actors with a handle to themselves go on until they have nothing more to do, and then end though they hold it. */
export function* selfish(context: Context, size: number, rng: Rng): Program {
  for (let i = 0; i < Math.min(size, 4); i++) {
    const log = context.create("Counter", [0]);
    const actor = context.create("Counter", [0]);
    const begun = context.call(actor, "goOn", [{ inside: actor }, log, rng.int(0, 4), rng.int(10, 60_000)]);
    if (rng.chance(0.3)) yield* outcome(begun);
    if (rng.chance(0.3)) context.run("useActor", [actor, 2], { retries: 0 });
    context.drop(actor);
    if (mayCrash(context.client.world.config)) yield sleep(rng.int(0, 30_000));
    else yield* untilCounted(context, log);
    context.drop(log);
  }
  return undefined;
}

/** It has come to its last step; what it gave away then lives for as long as that is held. */
function* untilCounted(context: Context, log: ActorCore): Program {
  for (let round = 0; ; round++) {
    const read = context.call(log, "increment", [0]);
    if ((yield* getOne(read)) === 1) break;
    if (round > 1000) throw new Broken("an actor that nobody else holds did not come to its end", [read.id, log.actorId]);
    yield sleep(10_000);
  }
  yield sleep(50_000);
  const kept = (yield* getOne(context.call(log, "kept", []))) as { inside: ActorCore };
  const call = context.call(kept.inside, "increment", [0]);
  const end = yield* outcome(call);
  if ("error" in end) judge(context, call, end, undefined);
  context.drop(kept.inside);
  return undefined;
}
