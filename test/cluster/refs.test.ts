/** References over several nodes: nothing that can be reached is freed, nothing else is kept, whoever dies. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Borrows } from "../../src/core/refs/borrows.ts";
import { RefTable } from "../../src/core/refs/refs.ts";
import type { NodePrefix, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import type { MessageName } from "../../src/protocol/messages.ts";
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

test("the node with the primary dies: a copy becomes the primary, and stays when its last reader there lets go", () => {
  const nodes = new Map<NodePrefix, RefTable>();
  const copies = new Map<NodePrefix, boolean>();
  const freed: NodePrefix[] = [];
  const wire: (() => void)[] = [];
  const [home, maker, reader, other] = ["aaaaaa", "bbbbbb", "cccccc", "dddddd"] as [NodePrefix, NodePrefix, NodePrefix, NodePrefix];
  const says = (from: NodePrefix, to: NodePrefix, name: MessageName, body: never): void => {
    const table = nodes.get(to)!;
    const does: Partial<Record<MessageName, () => void>> = {
      refsHold: () => table.holdFor(from, body),
      refsHeld: () => table.holdConfirmed(from, body),
      refsDrop: () => table.dropFor(from, body),
      objectSealed: () => table.sealedAt(from, body),
      objectCopy: () => table.copiedAt(from, body),
      objectFree: () => table.freedAtHome(body),
      objectPromote: () => {
        if (copies.get(to) === true) table.promoted((body as { id: ObjectId }).id);
      },
    };
    wire.push(does[name]!);
  };
  for (const self of [home, maker, reader, other]) {
    const tell = (to: NodePrefix, name: MessageName, body: never): void => says(self, to, name, body);
    nodes.set(self, new RefTable({ freeStored: () => freed.push(self), tell } as never, self));
  }
  const deliver = (): void => {
    for (let next = wire.shift(); next !== undefined; next = wire.shift()) next();
    for (const [prefix, table] of nodes) if (prefix !== maker) table.check();
  };
  const [driver, worker, far] = ["aaaaaa800000", "bbbbbb000001", "cccccc000001"] as [ProcessId, ProcessId, ProcessId];
  const id = `${driver}-1-0` as ObjectId;
  nodes.get(home)!.add(id, driver);
  nodes.get(maker)!.sealed(id, worker, 7, []);
  nodes.get(reader)!.add(id, far);
  deliver();
  // Two have copies; the first to be asked has just dropped its own.
  for (const node of [other, reader]) says(node, home, "objectCopy", { id, there: true } as never);
  copies.set(reader, true);
  deliver();
  nodes.get(home)!.nodeLost(maker);
  says(other, home, "objectCopy", { id, there: false } as never);
  deliver();
  nodes.get(reader)!.drop(far, { id, count: 1 });
  deliver();
  const told: unknown[] = [];
  nodes.get(home)!.locate(home, id);
  wire.splice(0).forEach((each) => told.push(each));
  assert.equal(told.length, 1);
  assert.deepEqual(freed, []);
  assert.equal(nodes.get(reader)!.size, 1, "the primary is known there");
  nodes.get(home)!.nodeForgotten(maker);
  nodes.get(home)!.drop(driver, { id, count: 1 });
  deliver();
  assert.deepEqual(freed, [reader], "it is freed once nobody holds it");
  assert.deepEqual([nodes.get(home)!.size, nodes.get(reader)!.size], [0, 0]);
});

test("where an object is may be asked before its owner's word of it has come: the answer waits, and is right", () => {
  const told: unknown[] = [];
  const port = {
    send: assert.fail,
    freeStored: () => {},
    actorUnheld: assert.fail,
    relayCame: assert.fail,
    tell: (to: NodePrefix, name: MessageName, body: object) => {
      if (name === "objectLocated") told.push([to, body]);
    },
  };
  const [here, there, asker] = ["aaaaaa", "bbbbbb", "cccccc"] as [NodePrefix, NodePrefix, NodePrefix];
  const owner = "aaaaaa800000" as ProcessId;
  const [id, never] = [`${owner}-1-0`, `${owner}-2-0`] as [ObjectId, ObjectId];
  const table = new RefTable(port as never, here);
  table.locate(asker, id);
  table.locate(asker, never);
  table.check();
  assert.deepEqual(told, []);
  table.add(id, owner);
  table.holdFor(there, { seq: 0, ids: [id] });
  table.sealedAt(there, { id, size: 7, contains: [] });
  assert.deepEqual(told, [[asker, { id, size: 7, nodes: [there], failure: undefined }]]);
  // Once it has been freed, that is the answer; and what its owner never made does not come when that is gone.
  table.dropFor(there, { refs: [{ id, count: 1 }] });
  table.drop(owner, { id, count: 1 });
  table.locate(asker, id);
  table.processLost(owner);
  const failures = told.slice(1).map((each) => (each as [string, { failure: { code: string } }])[1].failure.code);
  assert.deepEqual(failures, ["OBJECT_LOST", "OWNER_DIED"]);
  table.check();
  assert.equal(table.size, 0);
});
