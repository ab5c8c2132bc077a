/** When garbage is collected for the sake of the store, and which views V8 is not told of: the arithmetic of both. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GarbagePressure } from "../../src/memory/pressure.ts";
import { Unaccounted } from "../../src/memory/unaccounted.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;

test("garbage is looked for after a quarter of a gigabyte, later where that takes long, less often where all is kept", () => {
  const pressure = new GarbagePressure(16 * GIB);
  const storedUntilDue = (): number => {
    let stored = 0;
    while (!pressure.due) {
      pressure.stored(32 * MIB);
      stored += 32 * MIB;
    }
    return stored;
  };
  assert.equal(storedUntilDue(), 288 * MIB, "the first time");
  pressure.collected(0.5, true);
  assert.equal(storedUntilDue(), 288 * MIB, "there was garbage: as soon again");
  pressure.collected(8, true);
  assert.equal(storedUntilDue(), 2 * GIB + 32 * MIB, "eight milliseconds are worth two gigabytes");
  pressure.collected(0.5, false);
  assert.equal(storedUntilDue(), 4 * GIB + 32 * MIB, "there was none: twice as much");
  pressure.collected(1000, true);
  assert.equal(storedUntilDue(), 8 * GIB + 32 * MIB, "never more than half of the store");
});

test("in a small store garbage is looked for after a quarter of it", () => {
  const pressure = new GarbagePressure(80 * MIB);
  pressure.stored(20 * MIB);
  assert.equal(pressure.due, false);
  pressure.stored(1);
  assert.equal(pressure.due, true);
});

/** V8's count and this process's memory, as a test would have them. */
function world(): { hidden: number; own: number; views: Unaccounted } {
  const state = { hidden: 0, own: 100 * MIB, views: undefined as unknown as Unaccounted };
  const memory = { read: () => state.own, close: () => undefined };
  state.views = new Unaccounted((bytes) => (state.hidden += bytes), memory);
  return state;
}

test("views are hidden while they are only read, up to a thousand or 64 GiB", () => {
  const w = world();
  for (let i = 0; i < 999; i++) assert.ok(w.views.hide(MIB));
  assert.equal(w.hidden, 999 * MIB);
  assert.equal(w.views.crowded, false);
  w.views.hide(MIB);
  assert.equal(w.views.crowded, true);
  for (let i = 0; i < 1000; i++) w.views.gone(MIB);
  w.views.swept();
  for (let i = 0; i < 64; i++) assert.equal((w.views.hide(GIB), w.views.crowded), i === 63);
});

test("views that a program keeps are not looked through again and again", () => {
  const w = world();
  let sweeps = 0;
  for (let i = 0; i < 100_000; i++) {
    if (w.views.crowded) {
      w.views.swept();
      sweeps++;
    }
    w.views.hide(1);
  }
  assert.equal(sweeps, 7, "at 1, 2, 4 ... 64 thousand");
});

test("views that are written to are left to V8, until it has collected", () => {
  const w = world();
  assert.ok(w.views.hide(64 * MIB));
  w.own += 65 * MIB;
  assert.equal(w.views.hide(64 * MIB), false);
  assert.equal(w.views.hide(MIB), false, "between two looks as well");
  w.views.gone(64 * MIB);
  w.own -= 65 * MIB;
  assert.ok(w.views.hide(64 * MIB));
  // A program that grows for other reasons is not taken for one that writes to views for ever.
  w.own += 500 * MIB;
  assert.equal(w.views.hide(64 * MIB), false);
  w.views.gone(64 * MIB);
  assert.ok(w.views.hide(64 * MIB));
});
