/** Resource vectors and the ledger: exact amounts, and which GPUs are given to whom. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Ledger } from "../../src/core/node/ledger.ts";
import type { Allocation } from "../../src/core/node/ledger.ts";
import { matches } from "../../src/core/node/labels.ts";
import {
  addTo,
  amountOf,
  copyOf,
  describeResources,
  excessOf,
  fits,
  isEmpty,
  parseResources,
  subtractFrom,
} from "../../src/core/resources.ts";
import { amounts } from "./node-harness.ts";

test("amounts down to 0.0001 are taken, and nothing finer, negative or endless", () => {
  assert.equal(amountOf(1), 10_000);
  assert.equal(amountOf(0.1), 1000);
  assert.equal(amountOf(0.0001), 1);
  assert.equal(amountOf(0.3 - 0.2), 1000);
  for (const bad of [-1, Number.NaN, Infinity, 0.00005, 1.00001, 1e300]) assert.equal(amountOf(bad), undefined, String(bad));
  assert.deepEqual(parseResources({ CPU: 1, GPU: -1 }), { bad: "GPU" });
});

test("ten tenths are one: sums are exact", () => {
  const sum = copyOf({});
  for (let i = 0; i < 10; i++) addTo(sum, amounts({ CPU: 0.1 }));
  assert.ok(fits(sum, amounts({ CPU: 1 })) && fits(amounts({ CPU: 1 }), sum));
  subtractFrom(sum, amounts({ CPU: 1 }));
  assert.ok(isEmpty(sum));
  assert.deepEqual({ ...excessOf(amounts({ CPU: 2, x: 1 }), amounts({ CPU: 0.5 })) }, { CPU: 15_000, x: 10_000 });
  assert.equal(describeResources(amounts({ CPU: 2, GPU: 0.5 })), "{CPU: 2, GPU: 0.5}");
});

test("whole GPUs are distinct, and fractions share one", () => {
  const ledger = new Ledger(amounts({ GPU: 3 }));
  const indices = (demand: number) => ledger.take(amounts({ GPU: demand }), undefined)?.gpus.map((share) => share.index);
  assert.deepEqual(indices(0.5), [0]);
  assert.deepEqual(indices(2), [1, 2]);
  assert.deepEqual(indices(0.5), [0], "the second half of the same GPU");
  assert.equal(indices(0.5), undefined);
});

test("two halves on two GPUs are not one whole GPU", () => {
  const ledger = new Ledger(amounts({ GPU: 2 }));
  const first = ledger.take(amounts({ GPU: 0.6 }), undefined)!;
  ledger.take(amounts({ GPU: 0.6 }), undefined);
  assert.ok(!ledger.fits(amounts({ GPU: 0.8 })), "0.4 and 0.4 are free");
  assert.ok(ledger.fits(amounts({ GPU: 0.4 })));
  ledger.give(first);
  assert.ok(ledger.fits(amounts({ GPU: 1 })));
});

test("a ledger never gives more than it has, whatever is taken and given back", () => {
  const demand = fc.record({ CPU: fc.integer({ min: 0, max: 30_000 }), GPU: fc.integer({ min: 0, max: 25_000 }) });
  fc.assert(
    fc.property(fc.array(fc.tuple(demand, fc.boolean(), fc.nat(100))), (steps) => {
      const ledger = new Ledger(amounts({ CPU: 4, GPU: 2.5 }));
      const held: Allocation[] = [];
      for (const [what, partial, at] of steps) {
        if (at % 3 === 0 && held.length > 0) ledger.give(held.splice(at % held.length, 1)[0]!);
        else {
          const allocation = partial ? ledger.takePartial(what, undefined) : ledger.take(what, undefined, at % 2 === 0);
          if (allocation !== undefined) held.push(allocation);
        }
        ledger.check(held, "ledger");
      }
      for (const allocation of held) ledger.give(allocation);
      assert.deepEqual({ ...ledger.free }, { ...ledger.total });
      assert.ok(isEmpty(ledger.life));
    }),
  );
});

test("label selectors: a value, its negation, and lists", () => {
  const labels = { zone: "a", kind: "big" };
  for (const [condition, expected] of [
    ["a", true],
    ["b", false],
    ["!a", false],
    ["!b", true],
    ["in(a,b)", true],
    ["in( b , c )", false],
    ["!in(a)", false],
    ["!in(b,c)", true],
  ] as const) {
    assert.equal(matches({ zone: condition }, labels), expected, condition);
  }
  assert.equal(matches({ other: "a" }, labels), false, "a missing label is no value");
  assert.equal(matches({ other: "!a" }, labels), true);
});
