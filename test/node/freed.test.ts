/** The last freed ids are remembered, and no more of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { FREED_MAX, FreedIds } from "../../src/core/refs/freed.ts";
import type { ObjectId } from "../../src/protocol/ids.ts";

const id = (i: number): ObjectId => `aaaaaa000000-${i}` as ObjectId;

test("of freed ids the last hundred thousand are remembered, with what was known of them", () => {
  const freed = new FreedIds();
  for (let i = 0; i < FREED_MAX; i++) freed.add(id(i), i % 2 === 0);
  assert.ok(freed.has(id(0)) && freed.wasKnown(id(0)) && freed.has(id(1)) && !freed.wasKnown(id(1)));
  freed.add(id(FREED_MAX), true);
  assert.ok(!freed.has(id(0)) && freed.has(id(1)) && freed.has(id(FREED_MAX)));
});

test("an id that was freed again is remembered from then on, also one that was made again meanwhile", () => {
  const freed = new FreedIds();
  for (const i of [0, 1]) freed.add(id(i), false);
  freed.add(id(0), true);
  freed.delete(id(1));
  assert.ok(!freed.has(id(1)));
  freed.add(id(1), true);
  for (let i = 2; i < FREED_MAX; i++) freed.add(id(i), true);
  // The first places of both are taken by others now.
  assert.ok(freed.wasKnown(id(0)) && freed.wasKnown(id(1)));
});
