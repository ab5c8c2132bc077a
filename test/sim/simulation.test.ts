/** The simulator over a few hundred seeds: each twice with the same trace, and none breaks a promise. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { configOf, isFaulty } from "../../sim/config.ts";
import { simulate } from "../../sim/simulation.ts";
import { WORKLOADS } from "../../sim/workloads/index.ts";

/** As many seeds as fit, from these on; others are for `npm run sim`. */
const SEEDS = 200;
/** Seeds that have found a bug once, with the workloads that there were. */
const FOUND = [0, 11, 12, 13, 15, 30, 31, 46, 61, 70, 94, 174, 190, 20788, 20835, 25107, 33158, 51278];

const repeat = (seed: string): string => `repeat it: npm run sim -- --seed ${seed}`;

function passes(seed: string): ReturnType<typeof simulate> {
  const result = simulate(seed);
  assert.equal(result.broken?.error.message, undefined, repeat(seed));
  return result;
}

test("every seed keeps every promise, and runs twice alike", () => {
  const seen = { faulty: 0, calm: 0, starts: 0, names: new Set<string>(), failures: new Set<string>() };
  for (const seed of [...FOUND.map((each) => `${each}@25`), "504@26", ...Array.from({ length: SEEDS }, (_, i) => String(i))]) {
    const first = passes(seed);
    assert.equal(simulate(seed).hash, first.hash, `two runs differ; ${repeat(seed)}`);
    if (isFaulty(first.config)) seen.faulty++;
    else seen.calm++;
    seen.starts += first.starts;
    for (const { name } of first.config.work) seen.names.add(name);
    for (const kind of first.failures.keys()) seen.failures.add(kind);
  }
  // What the seeds never did they have not shown.
  assert.deepEqual([...seen.names].sort(), Object.keys(WORKLOADS).sort());
  assert.ok(seen.faulty > SEEDS / 3 && seen.calm > SEEDS / 10, JSON.stringify(seen));
  assert.ok(seen.starts > SEEDS * 50, `${seen.starts} calls have begun`);
  for (const kind of ["worker-crashed", "actor-died", "actor-unavailable", "cancelled", "rejected", "num-returns"]) {
    assert.ok(seen.failures.has(kind), `no seed has seen ${kind}`);
  }
});

test("another seed is another simulation", () => {
  const hashes = new Set(["0", "1", "2", "3"].map((seed) => simulate(seed).hash));
  assert.equal(hashes.size, 4);
  assert.notDeepEqual(configOf("0"), configOf("1"));
});

test("a story does not change what happens", () => {
  assert.equal(simulate("1", { stories: true }).hash, simulate("1").hash);
});
