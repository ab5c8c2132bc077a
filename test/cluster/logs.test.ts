/** Actors that save their state on a cluster: what owners know of calls is what the actor goes on from, whoever dies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Journals } from "../../src/core/journals.ts";
import { Parcels } from "../../src/core/refs/parcels.ts";
import type { ActorId, ProcessId } from "../../src/protocol/ids.ts";
import { LogsWorld } from "./logs-world.ts";
import { chanceFrom } from "./nodes.ts";

interface Kills {
  readonly workers?: number;
  readonly owners?: number;
  readonly nodes?: number;
  readonly homes?: number;
  readonly ways?: number;
  readonly rejoins?: number;
}

function story(seed: number, kills: Kills): void {
  const retries = [0, 1, -1][seed % 3]!;
  const world = new LogsWorld(seed, retries);
  const chance = chanceFrom(seed + 1);
  const left: (() => void)[] = [];
  const add = (count: number | undefined, run: () => void): void => void left.push(...Array.from({ length: count ?? 0 }, () => run));
  add(kills.workers, () => world.killWorker());
  add(kills.owners, () => world.killOwner());
  add(kills.nodes, () => world.killNode());
  add(kills.homes, () => world.killNode(true));
  add(kills.ways, () => world.cutWay());
  add(kills.rejoins, () => world.rejoin());
  for (let i = 0; i < 700; i++) {
    const roll = chance();
    if (roll < 0.08) world.call();
    else if (roll < 0.98) world.step();
    else if (left.length > 0) left.splice(Math.floor(chance() * left.length), 1)[0]!();
  }
  world.settle();
  world.checkQuiet();
  world.checkOver();
}

const seeds = Number(process.env["LOGS_SEEDS"] ?? 40);
for (const [name, kills] of Object.entries<Kills>({
  "while all live": {},
  "while workers die": { workers: 5 },
  "while owners and connections die": { owners: 1, ways: 5 },
  "while nodes die": { workers: 2, nodes: 2 },
  "while all of these die, and control starts again": { workers: 3, owners: 1, nodes: 2, ways: 3, rejoins: 4 },
  "until its home dies": { workers: 2, homes: 1, ways: 2 },
})) {
  test(`what was answered is in the state once, and nothing else, ${name}: ${seeds} seeds`, () => {
    for (let seed = 1; seed <= seeds; seed++) {
      try {
        story(seed, kills);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
}

const broken = (kills: Kills): void => {
  for (let seed = 1; seed <= 500; seed++) story(seed, kills);
};

test("the net holds: news that an actor starts again and that is not behind its answers is found out", (t) => {
  t.mock.method(Journals.prototype, "news", (_id: ActorId, _epoch: number, _after: ProcessId | undefined, pass: () => void) => pass());
  assert.throws(() => broken({ workers: 5 }), /there twice|is in the state|was told/);
});

test("the net holds: what is in an answer and is not held on its way is found out", (t) => {
  t.mock.method(Parcels.prototype, "sent", () => 0);
  assert.throws(() => broken({}), /is freed/);
});
