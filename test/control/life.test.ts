/** Actors over nodes while control, nodes and workers end at any moment; and what control keeps is bounded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { History } from "../../src/core/control/history.ts";
import { Jobs } from "../../src/core/control/jobs.ts";
import { saved, SavedTables } from "../../src/core/control/tables.ts";
import type { TableName } from "../../src/core/control/tables.ts";
import type { JobId } from "../../src/protocol/ids.ts";
import { amounts, shape } from "../node/node-harness.ts";
import { prefixOf } from "../../src/protocol/ids.ts";
import { World } from "./world.ts";
import type { WorldNode } from "./world.ts";

const CRASH = { cause: "signal", message: "killed by SIGKILL", signal: "SIGKILL" } as const;

test("control ends at any moment: each actor is where control and its maker think it is, and is started once", () => {
  for (let seed = 1; seed <= 400; seed++) {
    const world = new World(seed, [{ CPU: 2 }, { CPU: 2 }, { CPU: 2 }]);
    const [a, b] = world.nodes;
    for (const node of [a!, b!]) world.startJob(node);
    const ids = Array.from({ length: 4 }, (_, i) => world.actor(i % 2 === 0 ? a! : b!, { name: `n${i}`, maxRestarts: 2 }));
    for (let i = 0; i < 4; i++) {
      world.run(world.chance() * 12);
      if (i === 1) world.killActor(a!, ids[0]!);
      if (i === 2) {
        const [victim] = world.nodes.flatMap((node) => [...node.placed.values()].map(({ worker }) => ({ node, worker: worker.processId })));
        if (victim !== undefined) world.endWorker(victim.node, victim.worker, CRASH);
      }
      world.restart();
    }
    world.run(3000);
    for (const [i, id] of ids.entries()) {
      const status = (i % 2 === 0 ? a! : b!).states.get(id);
      const hosts = world.nodes.filter(({ placed }) => placed.has(id));
      assert.equal(status?.kind, i === 0 ? "dead" : "alive", `seed ${seed}: actor ${i} is ${JSON.stringify(status)}`);
      assert.equal(hosts.length, i === 0 ? 0 : 1, `seed ${seed}: actor ${i}`);
      if (status?.kind === "alive") assert.equal(hosts[0]!.placed.get(id)!.worker.processId, status.address.processId, `seed ${seed}`);
    }
    const call = world.ask(b!, { kind: "actorByName", name: "n1", namespace: "n" });
    world.run(100);
    assert.equal(JSON.parse((b!.answers.get(call) ?? a!.answers.get(call))!.body!).actorId, ids[1], `seed ${seed}`);
  }
});

test("what a node had said to an earlier control, or twice, is not taken for how it is now", () => {
  const world = new World(1, [{ CPU: 2 }]);
  const [node] = world.nodes as [WorldNode];
  world.startJob(node);
  const id = world.actor(node, { maxRestarts: 1 });
  world.run(200);
  node.placed.clear();
  for (const to of [world.control.members.epoch - 1, undefined]) world.join(node, to);
  world.run(20);
  assert.equal(node.states.get(id)?.kind, "alive");
  world.join(node, world.control.members.epoch);
  world.run(20);
  assert.equal(node.states.get(id)?.epoch, 2, "said to this one it is");
});

test("a kill that is heard before the actor it is for ends that actor all the same", () => {
  for (const restarts of [false, true]) {
    const world = new World(3, [{ CPU: 2 }, { CPU: 2 }]);
    const [maker, other] = world.nodes as [WorldNode, WorldNode];
    world.startJob(maker);
    world.run(200);
    maker.delayMs = 50;
    const id = world.actor(maker);
    const call = world.ask(other, { kind: "actorKill", actorId: id, noRestart: true });
    world.run(10);
    assert.equal(other.answers.has(call), false, "nobody has declared it yet");
    if (restarts) world.restart();
    world.run(3_000);
    assert.ok(other.answers.has(call));
    assert.equal(maker.states.get(id)?.kind, "dead");
  }
});

test("control ends between what it decides and what it says: each home still knows how often its actors were given to others", () => {
  let unsaid = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed, [{ CPU: 2 }, { CPU: 2 }]);
    const [a, b] = world.nodes as [WorldNode, WorldNode];
    for (const node of [a, b]) world.startJob(node);
    const id = world.actor(a, { name: "held" });
    world.run(200);
    for (let i = 0; i < 5; i++) {
      const asker = i % 2 === 0 ? a : b;
      if (i < 3) world.ask(asker, { kind: "actorByName", name: "held", namespace: "n" });
      else world.actor(asker, { name: "held", getIfExists: true });
      world.run(world.chance() * 4);
      const before = a.given.get(id) ?? 0;
      world.restart();
      const { given } = world.control.actors.givenAt(prefixOf(a.id))[0] ?? { given: 0 };
      if (given > before) unsaid++;
    }
    world.run(3000);
    assert.ok(a.given.get(id)! >= 5, `seed ${seed}`);
    world.say(a, "actorUnheld", { actorId: id, given: a.given.get(id)! - 1 });
    world.run(100);
    assert.notEqual(a.states.get(id)?.kind, "dead", `seed ${seed}: somebody holds it`);
    world.say(a, "actorUnheld", { actorId: id, given: a.given.get(id)! });
    world.run(100);
    assert.equal(a.states.get(id)?.kind, "dead", `seed ${seed}`);
  }
  assert.ok(unsaid > 20, `${unsaid} were decided and not said`);
});

test("what nobody has declared is said not to be there once every node has said what it had heard before", () => {
  for (let seed = 1; seed <= 40; seed++) {
    const world = new World(seed, [{ CPU: 2 }, { CPU: 2 }, { CPU: 2 }]);
    const [a, b, c] = world.nodes as [WorldNode, WorldNode, WorldNode];
    world.startJob(a);
    world.run(100);
    // The name comes to another node by a way that is faster than that to control.
    const later = a.outbox.length;
    const id = world.actor(a, { name: "early" });
    assert.ok(a.outbox.length > later);
    const found = world.ask(b, { kind: "actorByName", name: "early", namespace: "n" });
    const missing = world.ask(c, { kind: "actorByName", name: "never", namespace: "n" });
    if (seed % 4 === 0) world.kill(c);
    world.run(seed % 4 === 0 ? 1_500 : 20);
    assert.equal(JSON.parse(b.answers.get(found)?.body ?? "{}").actorId, id, `seed ${seed}: ${JSON.stringify(b.answers.get(found))}`);
    if (seed % 4 !== 0) assert.equal(c.answers.get(missing)?.failure?.code, "ACTOR_NOT_FOUND", `seed ${seed}`);
  }
});

test("a node that dies takes the actors that were made there; others start again elsewhere, also when control was away meanwhile", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new World(seed, [{ CPU: 1 }, { CPU: 1 }, { CPU: 2 }]);
    const [a, b] = world.nodes;
    for (const node of [a!, b!]) world.startJob(node);
    const there = { shape: shape({}, { strategy: { kind: "affinity", nodeId: b!.id, soft: true } }) };
    const ofA = world.actor(a!, { maxRestarts: 1 }, there);
    world.run(200);
    const ofB = world.actor(b!, { maxRestarts: 1, name: "kept", detached: true });
    const lost = world.actor(b!, { maxRestarts: 1 });
    world.run(500);
    assert.equal(b!.placed.has(ofA), true, `seed ${seed}`);
    world.kill(b!);
    if (seed % 2 === 0) world.restart();
    world.run(40_000);
    const status = a!.states.get(ofA);
    assert.equal(status?.kind === "alive" && status.epoch, 2, `seed ${seed}`);
    const phases = new Map(world.control.actors.actors().map(({ id, phase }) => [id, phase]));
    assert.deepEqual([phases.get(ofB), phases.get(lost)], ["alive", "dead"], `seed ${seed}`);
    assert.deepEqual([...world.control.jobs.all.values()].map((job) => job.status).sort(), ["RUNNING", "SUCCEEDED"], `seed ${seed}`);
  }
});

test("a new control places actors on nodes that it has heard, and not on one that died while there was none", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const world = new World(seed, [{ CPU: 1 }, { CPU: 8 }]);
    const [a, b] = world.nodes;
    world.startJob(a!);
    world.run(200);
    world.kill(b!);
    world.restart();
    const id = world.actor(a!, {});
    world.run(1_000);
    assert.equal(a!.placed.has(id), true, `seed ${seed}`);
    assert.equal(world.control.members.isAlive(b!.id), true, "it is not given up yet");
  }
});

test("an actor that is asked for elsewhere, as its node is slow to answer, starts there once, and no restart is spent", () => {
  let moved = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const world = new World(seed, [{ CPU: 2 }, { CPU: 2 }, { CPU: 2 }]);
    const [a] = world.nodes as [WorldNode];
    world.startJob(a);
    world.run(200);
    for (const node of world.nodes.slice(1)) node.delayMs = world.chance() * 400;
    const ids = Array.from({ length: 4 }, () => world.actor(a, {}));
    for (let i = 0; i < 4; i++) {
      world.run(world.chance() * 600);
      if (seed % 2 === 0) world.restart();
    }
    world.run(10_000);
    for (const id of ids) {
      const status = a.states.get(id);
      const hosts = world.nodes.filter(({ placed }) => placed.has(id));
      assert.equal(status?.kind, "alive", `seed ${seed}: actor ${id} is ${JSON.stringify(status)}`);
      assert.equal(hosts.length, 1, `seed ${seed}: actor ${id} is on ${hosts.length} nodes`);
      if (status?.kind === "alive" && status.epoch > 1) moved++;
    }
  }
  assert.ok(moved > 20, `${moved} were asked for again`);
});

test("ended jobs and events are bounded, the oldest go, and a new control has them in their order", () => {
  const kept = new Map<string, { table: TableName; key: string; value: Uint8Array }>();
  const keep = (table: TableName, key: string): void => {
    const value = table === "job" ? jobs.saved(key as JobId) : history.saved(key);
    if (value === undefined) kept.delete(`${table} ${key}`);
    else kept.set(`${table} ${key}`, { table, key, value });
  };
  const jobs: Jobs = new Jobs(keep, 3);
  const history: History = new History(keep, 3);
  const submission = { entrypoint: ["node", "main.ts"], shell: false, weight: 1, priority: 0 };
  for (let i = 0; i < 6; i++) {
    const id = `j${i}` as JobId;
    assert.equal(jobs.submit(id, submission, i), true);
    assert.equal(jobs.submit(id, submission, i), false);
    assert.equal(jobs.started(id, undefined, i), true);
    if (i < 5) assert.equal(jobs.ended(id, { status: "FAILED", message: "it failed", exitCode: 3 }, i), true);
    assert.equal(jobs.ended(id, { status: "STOPPED", message: "too late" }, i), i === 5);
    history.add({ at: i, kind: "k", message: `m${i}` });
    jobs.check();
    history.check();
  }
  const again = { jobs: new Jobs(() => {}, 3), history: new History(() => {}, 3) };
  again.jobs.restore(new SavedTables(kept.values()));
  again.history.restore(new SavedTables(kept.values()));
  again.jobs.check();
  assert.deepEqual([...again.jobs.all.keys()].sort(), ["j3", "j4", "j5"]);
  assert.equal(again.jobs.all.get("j4" as JobId)?.exitCode, 3);
  assert.deepEqual(
    again.history.events.map(({ message }) => message),
    ["m3", "m4", "m5"],
  );
});

test("a store of a later version, or with a damaged record, is refused by name", () => {
  const value = saved("alias", { actorId: "a" as never, given: 1 });
  assert.throws(() => new SavedTables([{ table: "later", key: "x", value }]), /table "later"/);
  const later = Uint8Array.from(value);
  later[0] = 9;
  const read = (bytes: Uint8Array): unknown => [...new SavedTables([{ table: "alias", key: "x", value: bytes }]).read("alias")];
  assert.throws(() => read(later), /alias\/x should be version 1/);
  assert.throws(() => read(value.subarray(0, value.length - 2)), /alias\/x/);
});

test("actors and groups that no node can ever serve are told to their programs, once they wait, and again when a minute is over", () => {
  const world = new World(5, [{ CPU: 2 }, { CPU: 2 }]);
  const [a] = world.nodes;
  world.startJob(a!, { weight: 1, priority: 0, maxCpus: 1 });
  world.actor(a!, { placementResources: amounts({ CPU: 9 }) });
  world.actor(a!, { placementResources: amounts({ GPU: 1 }) });
  world.actor(a!, { placementResources: amounts({ CPU: 1 }) });
  const bundles = [amounts({ special: 1 })];
  const group = { kind: "groupCreate", groupId: "g" as never, jobId: world.jobOf(a!), bundles, strategy: "PACK", detached: false } as const;
  world.ask(a!, { ...group, name: undefined });
  world.run(world.now + 4000);
  const expected = [
    /actor .*\{CPU: 9\}, and its job may have 1 CPU at a time/,
    /actor .*\{CPU: 1, GPU: 1\}, and no node/,
    /group g waits.*\{special: 1\}/,
  ];
  for (const message of expected) assert.equal(a!.warnings.filter((each) => message.test(each)).length, 1, a!.warnings.join("\n"));
  assert.equal(a!.warnings.length, 3);
  world.run(world.now + 62_000);
  assert.equal(a!.warnings.length, 6);
});
