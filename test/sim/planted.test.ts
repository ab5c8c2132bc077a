/** Every planted bug is caught within a few seeds, by seeds that pass without it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PLANTS } from "../../sim/planted.ts";
import { simulate } from "../../sim/simulation.ts";

const SEEDS_MAX = 60;

for (const [name, { what, make }] of Object.entries(PLANTS)) {
  test(`caught: ${what}`, () => {
    for (let seed = 0; seed < SEEDS_MAX; seed++) {
      const { broken } = simulate(String(seed), { plant: make() });
      if (!broken) continue;
      assert.equal(simulate(String(seed)).broken, undefined, `seed ${seed} fails without ${name} as well`);
      return;
    }
    assert.fail(`${name} was not caught by ${SEEDS_MAX} seeds`);
  });
}

test("there are enough of them", () => {
  assert.ok(Object.keys(PLANTS).length >= 8);
});
