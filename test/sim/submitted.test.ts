/** Submitted jobs in virtual time: over many seeds each ends as what happened to it, whatever ends meanwhile. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SubmittedJobs } from "../../sim/submitted.ts";

const SEEDS = 40;
/** Seeds that have found a bug once. */
const FOUND = [24, 113];

function simulate(seed: string): SubmittedJobs {
  const simulation = new SubmittedJobs(seed);
  try {
    simulation.run();
  } catch (error) {
    const { message } = error as Error;
    const job = /job-\w+/.exec(message)?.[0];
    assert.fail(`seed ${seed}: ${message}\n${simulation.trace.story(job === undefined ? [] : [job, "control"], 40).join("\n")}`);
  }
  return simulation;
}

test("submitted jobs end once and as what happened to them, while controls, nodes and supervisors end at any moment", () => {
  const seen = new Map<string, number>();
  let controls = 0;
  for (const seed of [...FOUND, ...Array.from({ length: SEEDS }, (_, i) => i)]) {
    const { counts } = simulate(String(seed));
    controls += counts.controls;
    for (const [status, count] of counts.ended) seen.set(status, (seen.get(status) ?? 0) + count);
  }
  assert.ok(controls > 3 * SEEDS, `${controls} controls`);
  for (const status of ["SUCCEEDED", "FAILED", "STOPPED"]) assert.ok((seen.get(status) ?? 0) > SEEDS, `${status}: ${seen.get(status)}`);
});

test("a seed of submitted jobs runs twice alike", () => {
  for (const seed of ["0", "1", "2"]) assert.equal(simulate(seed).trace.hash, simulate(seed).trace.hash);
});
