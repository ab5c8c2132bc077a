/** Every planted bug is caught within a few seeds, by seeds that pass without it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { PLANTS } from "../../sim/planted.ts";
import { simulate } from "../../sim/simulation.ts";

const SEEDS_MAX = 60;
/** The seed that caught each soonest when it was last looked for, with the workloads that there were, where that is not the first. */
const LIKELY: Readonly<Record<string, number>> = {
  "forgets-owners": 4,
  "forgets-left-behind": 30,
  "ends-the-innocent": 33158,
  "double-grant": 3,
  "counts-escapes-twice": 5,
  "loses-credits": 9,
  "ignores-parcels": 30,
  "keeps-dead-holders": 2,
  "ignores-results": 17,
  "restarts-for-ever": 17,
  "forgets-the-dead": 15,
  "forgets-calls": 17,
  "forgets-checkpoints": 38,
  "always-idle": 30,
  "ends-the-shared": 30,
  "forgets-lost-workers": 7,
  "skips-the-fence": 15,
};

for (const [name, { what, make }] of Object.entries(PLANTS)) {
  test(`caught: ${what}`, () => {
    for (const seed of [`${LIKELY[name] ?? 0}@25`, ...Array.from({ length: SEEDS_MAX }, (_, i) => String(i))]) {
      const { broken } = simulate(seed, { plant: make() });
      if (!broken) continue;
      assert.equal(simulate(seed).broken, undefined, `seed ${seed} fails without ${name} as well`);
      return;
    }
    assert.fail(`${name} was not caught by ${SEEDS_MAX} seeds`);
  });
}

test("there are enough of them", () => {
  assert.ok(Object.keys(PLANTS).length >= 8);
});
