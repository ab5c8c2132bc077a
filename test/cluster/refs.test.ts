/** References over several nodes: nothing that can be reached is freed, nothing else is kept, whoever dies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Borrows } from "../../src/core/refs/borrows.ts";
import { RefsWorld } from "./refs-world.ts";
import { chanceFrom } from "./nodes.ts";

function story(seed: number, kills: { processes: number; nodes: number }): void {
  const world = new RefsWorld(seed, 2 + (seed % 3), 2);
  const chance = chanceFrom(seed + 1);
  let left = kills;
  for (let i = 0; i < 250; i++) {
    const roll = chance();
    if (roll < 0.35) world.act();
    else if (roll < 0.985) world.deliver();
    else if (left.processes > 0) {
      left = { ...left, processes: left.processes - 1 };
      world.killProcess();
    } else if (left.nodes > 0) {
      left = { ...left, nodes: left.nodes - 1 };
      world.killNode();
    }
  }
  world.settleDown();
  world.checkQuiet();
  world.dropAll();
  world.settleDown();
  world.checkQuiet();
  assert.deepEqual(world.lostFor, []);
  for (const { table, alive } of world.nodes) if (alive) assert.equal(table.size, 0);
}

const seeds = Number(process.env["REFS_SEEDS"] ?? 400);
for (const [name, kills] of Object.entries({
  "while all live": { processes: 0, nodes: 0 },
  "while processes die": { processes: 3, nodes: 0 },
  "while nodes die": { processes: 1, nodes: 2 },
})) {
  test(`what is held is there and nothing else, ${name}: ${seeds} seeds`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        story(seed, kills);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
}

test("the net holds: a node that lets go before its holds are confirmed is found out", (t) => {
  t.mock.method(Borrows.prototype, "release", function (this: Borrows, run: () => void) {
    run();
  });
  assert.throws(() => {
    for (let seed = 1; seed <= 3000; seed++) story(seed, { processes: 0, nodes: 0 });
  }, /was freed and is held/);
});
