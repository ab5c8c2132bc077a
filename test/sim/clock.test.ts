/** Virtual time and chance: in order, the same every time, and each stream for itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Clock } from "../../sim/clock.ts";
import { SimProcess } from "../../sim/process.ts";
import { Rng } from "../../sim/rng.ts";
import type { ProcessId } from "../../src/protocol/ids.ts";

const runAll = (clock: Clock): void => {
  while (clock.step(Infinity));
};

test("events happen in order of time, and of one instant in order of setting", () => {
  const clock = new Clock();
  const rng = new Rng("clock");
  const set = Array.from({ length: 500 }, (_, order) => ({ at: rng.int(0, 50), order }));
  const seen: typeof set = [];
  for (const each of set) clock.after(each.at, () => void seen.push(each));
  const cancelled = clock.after(20, () => assert.fail("it was cancelled"));
  cancelled.cancel();
  runAll(clock);
  assert.deepEqual(
    seen,
    [...set].sort((a, b) => a.at - b.at || a.order - b.order),
  );
});

test("nothing beyond the bound happens", () => {
  const clock = new Clock();
  clock.after(10, () => assert.fail("too early"));
  assert.equal(clock.step(9), false);
  assert.equal(clock.now, 0);
});

test("a busy or paused process takes its events later, a dead one never", () => {
  const clock = new Clock();
  const process = new SimProcess("p00000000000" as ProcessId, clock);
  const seen: string[] = [];
  process.post(() => process.compute(100, () => void seen.push(`computed ${clock.now}`)));
  process.after(10, () => void seen.push(`timer ${clock.now}`));
  clock.after(150, () => process.pause(1000));
  process.after(200, () => void seen.push(`late ${clock.now}`));
  clock.after(2000, () => process.die(false));
  process.after(3000, () => void seen.push("after its death"));
  runAll(clock);
  assert.deepEqual(seen, ["computed 100", "timer 100", "late 1150"]);
});

test("a stream of chance depends on its name alone", () => {
  const numbers = (rng: Rng): number[] => Array.from({ length: 20 }, () => rng.int(0, 1_000_000));
  const parent = new Rng("seed");
  const before = numbers(parent.fork("network"));
  numbers(parent);
  assert.deepEqual(numbers(parent.fork("network")), before);
  assert.notDeepEqual(numbers(parent.fork("faults")), before);
});

test("chance is spread evenly", () => {
  const rng = new Rng("even");
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 40_000; i++) counts[rng.int(0, 3)]!++;
  for (const count of counts) assert.ok(Math.abs(count - 10_000) < 500, counts.join(" "));
});
