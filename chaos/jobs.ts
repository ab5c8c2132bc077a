/**
 * Pieces of work for the chaos runs, each of which knows its right end. What may fail because a process was killed says with
 * which errors; everything else must give the right value.
 */
import assert from "node:assert/strict";
import * as ray from "mobula";
import type { Random } from "./random.ts";
import { large, remotes, sumOf } from "./work.ts";

/** Resolves when its end was right. */
export type Job = (random: Random) => Promise<void>;

const LENGTH_MAX = 60_000;

/** Small, around the limit of what travels inside messages, or well above. */
function lengthOf(random: Random): number {
  return random.pick([1, 100, 12_700, 12_800, 12_900, random.int(1, LENGTH_MAX)]);
}

function sameArray(found: Float64Array, seed: number, length: number): void {
  assert.equal(found.length, length);
  assert.deepEqual([found[0], found[length - 1]], [seed, seed + length - 1]);
  assert.equal(Buffer.compare(Buffer.from(found.buffer, found.byteOffset, found.byteLength), Buffer.from(large(seed, length).buffer)), 0);
}

/** Whether an error is one of those that the death of an unprotected actor or owner may give. */
function isDeath(error: unknown): boolean {
  return error instanceof ray.ActorDiedError || error instanceof ray.ActorUnavailableError || error instanceof ray.OwnerDiedError;
}

export const jobs: Readonly<Record<string, Job>> = {
  async tasks(random) {
    const numbers = Array.from({ length: random.int(1, 40) }, () => random.int(0, 1000));
    const refs = numbers.map((x) => remotes.square.remote(x, x % 7 === 0 ? 4 : 0));
    assert.deepEqual(
      await ray.get(refs),
      numbers.map((x) => x * x),
    );
  },

  async tree(random) {
    const depth = random.int(1, 5);
    assert.equal(await ray.get(remotes.tree.remote(depth)), 2 ** depth);
  },

  async large(random) {
    const parts = Array.from({ length: random.int(1, 5) }, () => ({ seed: random.int(0, 1000), length: lengthOf(random) }));
    const refs = parts.map(({ seed, length }) => remotes.large.remote(seed, length));
    const right = parts.reduce((total, { seed, length }) => total + sumOf(seed, length), 0);
    assert.equal(await ray.get(remotes.sum.remote(...refs)), right);
    for (const [i, { seed, length }] of parts.entries()) sameArray(await ray.get(refs[i]!), seed, length);
  },

  async nested(random) {
    const [x, length] = [random.int(0, 1000), lengthOf(random)];
    const { small, stored, made } = await ray.get(remotes.nested.remote(x, length));
    assert.equal(await ray.get(small), x);
    assert.equal(await ray.get(made), x * x);
    sameArray(await ray.get(stored), x, length);
  },

  async several(random) {
    const [x, length] = [random.int(0, 1000), lengthOf(random)];
    const [refs, array, number] = await ray.get(remotes.several.remote(x, length));
    assert.deepEqual([await ray.get(refs), number], [[x, x + 1], x]);
    sameArray(array, x, length);
  },

  async arguments(random) {
    const [x, length] = [random.int(0, 1000), lengthOf(random)];
    const box = { refs: [ray.put(x), remotes.square.remote(x, 0)], arrays: [ray.put(large(x, length)), remotes.large.remote(x, length)] };
    assert.equal(await ray.get(remotes.total.remote(box)), x + x * x + 2 * sumOf(x, length));
  },

  async stream(random) {
    const [x, count, length] = [random.int(0, 1000), random.int(0, 30), lengthOf(random)];
    let i = 0;
    for await (const ref of remotes.items.remote(x, count, length)) {
      const value = await ray.get(ref);
      if (i % 4 === 3) sameArray(value as Float64Array, x + i, length);
      else assert.equal(value, x + i);
      i++;
    }
    assert.equal(i, count);
  },

  async streamOfRefs(random) {
    const [x, count, length] = [random.int(0, 1000), random.int(0, 20), lengthOf(random)];
    const stop = random.chance(0.3) ? random.int(0, 20) : count;
    let i = 0;
    for await (const item of remotes.refItems.remote(x, count, length)) {
      const value = await ray.get((await ray.get(item)).ref);
      if (i % 2 === 0) assert.equal(value, x + i);
      else sameArray(value as Float64Array, x + i, length);
      if (++i > stop) break;
    }
    assert.ok(i >= Math.min(stop, count));
  },

  async actor(random) {
    const [x, length] = [random.int(0, 1000), lengthOf(random)];
    const machine = remotes.Machine.remote([ray.put(large(x, length)), remotes.large.remote(x, length)]);
    const squares = Array.from({ length: random.int(1, 10) }, (_, i) => machine.square.remote(x + i));
    const array = machine.large.remote(x, length);
    const boxed = machine.boxed.remote(x, length);
    const held = machine.held.remote();
    const asked = machine.ask.remote(x);
    const via = remotes.viaActor.remote(machine, x);
    for (const [i, ref] of squares.entries()) assert.equal(await ray.get(ref), (x + i) ** 2);
    sameArray(await ray.get(array), x, length);
    sameArray(await ray.get((await ray.get(boxed)).ref), x, length);
    assert.equal(await ray.get(held), 2 * sumOf(x, length));
    assert.deepEqual(await ray.get([asked, via]), [x * x, x * x]);
  },

  async actorStream(random) {
    const [from, to] = [random.int(0, 10), random.int(10, 40)];
    const machine = remotes.Machine.remote();
    const found: number[] = [];
    for await (const ref of machine.count.remote(from, to)) found.push(await ray.get(ref));
    assert.deepEqual(
      found,
      Array.from({ length: to - from }, (_, i) => from + i),
    );
  },

  async fragileActor(random) {
    const [x, length] = [random.int(0, 1000), lengthOf(random)];
    const machine = remotes.Fragile.remote([ray.put(large(x, length))]);
    const calls = [machine.square.remote(x), machine.held.remote(), machine.boxed.remote(x, length)] as const;
    const ends = await Promise.allSettled(calls.map((call) => ray.get(call as ray.ObjectRef<unknown>)));
    for (const [i, end] of ends.entries()) {
      if (end.status === "rejected") assert.ok(isDeath(end.reason), String(end.reason));
      else if (i < 2) assert.equal(end.value, i === 0 ? x * x : sumOf(x, length));
    }
    if (random.chance(0.5)) await ray.kill(machine);
  },

  async thrower(random) {
    const x = random.int(0, 1000);
    const [end] = await Promise.allSettled([ray.get(remotes.thrower.remote(x))]);
    assert.ok(end.status === "rejected" && end.reason instanceof ray.TaskError, String(end.status));
    const { cause } = end.reason as { cause: unknown };
    assert.ok(cause instanceof RangeError && (cause as { x?: unknown }).x === x);
  },

  async cancelled(random) {
    const refs = Array.from({ length: random.int(1, 10) }, () => remotes.burn.remote(random.int(0, 10)));
    const chosen = random.pick(refs);
    await ray.cancel(chosen, { force: random.chance(0.3) });
    for (const ref of refs) {
      const [end] = await Promise.allSettled([ray.get(ref)]);
      if (end.status === "rejected") assert.ok(ref === chosen && end.reason instanceof ray.TaskCancelledError, String(end.reason));
    }
  },

  async abandoned(random) {
    const [x, length] = [random.int(0, 1000), lengthOf(random)];
    // Nobody waits for these, and their references are gone at once.
    remotes.nested.remote(x, length);
    remotes.several.remote(x, length);
    remotes.Machine.remote().boxed.remote(x, length);
    const refs = [remotes.square.remote(x, 0), remotes.square.remote(x, 3)];
    const [ready] = await ray.wait(refs);
    assert.equal(await ray.get(ready[0]!), x * x);
  },
};
