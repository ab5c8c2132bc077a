/** The link machines: order and exactly once over connections that break at any place, peers that start anew, limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LinkReceiver } from "../../src/core/link/receiver.ts";
import { LinkSender } from "../../src/core/link/sender.ts";
import { Rng } from "../../sim/rng.ts";
import { LinkWorld } from "./link-world.ts";

const rising = (values: readonly number[], from: number): boolean => values.every((value, i) => value === from + i);

test("messages arrive in order and once over connections that are cut anywhere, silent or late", () => {
  for (let seed = 0; seed < 400; seed++) {
    const world = new LinkWorld(new Rng(`link ${seed}`), seed % 2 === 0);
    for (let i = 0; i < 300; i++) {
      if (world.rng.chance(0.2)) world.send(world.rng.int(1, 20));
      if (world.rng.chance(0.1)) world.sync();
      world.step(true);
      assert.ok(rising(world.delivered, 0), `seed ${seed}, step ${i}: ${world.delivered.join()}`);
    }
    assert.ok(world.settle(), `seed ${seed}: ${world.sender.state}, ${world.sender.keptMessages} are kept, ended: ${world.ended}`);
    assert.equal(world.delivered.length, world.sent, `seed ${seed}`);
    assert.equal(world.ended, undefined);
  }
});

test("a peer that is started anew gets what was not acknowledged, in order, and nothing acknowledged is lost", () => {
  let restarts = 0;
  for (let seed = 0; seed < 400; seed++) {
    const world = new LinkWorld(new Rng(`restart ${seed}`), false);
    for (let i = 0; i < 300; i++) {
      if (world.rng.chance(0.2)) world.send(world.rng.int(1, 20));
      if (world.rng.chance(0.1)) world.sync();
      if (world.rng.chance(0.01)) world.restartReceiver();
      world.step(true);
      assert.ok(rising(world.delivered, world.delivered[0] ?? 0), `seed ${seed}, step ${i}: ${world.delivered.join()}`);
    }
    assert.ok(world.settle(), `seed ${seed}: ${world.sender.state}, ${world.sender.keptMessages} are kept, ended: ${world.ended}`);
    for (let n = 0; n < world.sent; n++) assert.ok(world.durable.has(n), `seed ${seed}: message ${n} is lost`);
    restarts += world.restartsSeen;
  }
  assert.ok(restarts > 200, `${restarts} restarts were seen`);
});

test("a sender that is started anew is a new one: nothing of the one before comes after", () => {
  for (let seed = 0; seed < 300; seed++) {
    const world = new LinkWorld(new Rng(`anew ${seed}`), true);
    for (let i = 0; i < 150; i++) {
      if (world.rng.chance(0.2)) world.send(world.rng.int(1, 20));
      if (i === 75) world.restartSender();
      world.step(true);
      const start = world.delivered.findIndex((value) => value >= world.first);
      if (start >= 0) assert.ok(rising(world.delivered.slice(start), world.first), `seed ${seed}: ${world.delivered.join()}`);
    }
    world.send(1);
    assert.ok(world.settle(), `seed ${seed}: ${world.sender.state}, ended: ${world.ended}`);
    assert.ok(rising(world.delivered, world.first), `seed ${seed}: the last incarnation's messages alone are there`);
    assert.equal(world.delivered.length, world.sent - world.first);
  }
});

/** A sender by hand, and what it does. */
function sender(limits = {}) {
  const done: string[] = [];
  const machine = new LinkSender<string>(
    {
      dial: (n) => void done.push(`dial ${n}`),
      open: (n, base) => void done.push(`open ${n} ${base}`),
      transmit: (n, message) => void done.push(`${message}@${n}`),
      cut: (n) => void done.push(`cut ${n}`),
      peerRestarted: (incarnation, again) => void done.push(`restarted ${incarnation} ${again}`),
      ended: (reason, kept) => void done.push(`ended ${reason} ${kept}`),
    },
    () => 1,
    limits,
  );
  return { machine, took: () => done.splice(0).join("; ") };
}

test("a sender dials when there is something to say, and closes when there was nothing for long", () => {
  const { machine, took } = sender({ idleMs: 1000 });
  assert.equal(machine.dueAt, undefined);
  machine.send("a", 1, 0);
  machine.connected(1, 5, 10);
  machine.resumed(1, 0, 0, 20);
  assert.equal(took(), "dial 1; open 1 0; a@1");
  machine.acknowledged(1, 1, 1, 30);
  assert.equal(machine.dueAt, 1030);
  machine.tick(1029);
  assert.equal(took(), "");
  machine.tick(1030);
  assert.equal(took(), "cut 1");
  machine.send("b", 1, 9000);
  machine.connected(2, 5, 9000);
  machine.resumed(2, 1, 1, 9000);
  assert.equal(took(), "dial 2; open 2 1; b@2");
});

test("a sender waits ever longer before it dials again, and not at all when it is told to hurry", () => {
  const { machine, took } = sender({ backoffMinMs: 100, backoffMaxMs: 300 });
  machine.send("a", 1, 0);
  const waits: number[] = [];
  let now = 0;
  for (let n = 1; n < 5; n++) {
    machine.disconnected(n, now);
    waits.push(machine.dueAt! - now);
    now = machine.dueAt!;
    machine.tick(now);
  }
  assert.deepEqual(waits, [100, 200, 300, 300]);
  machine.disconnected(5, now);
  took();
  machine.hurry();
  assert.equal(took(), "dial 6");
});

test("a connection on which nothing comes back is given up", () => {
  const { machine, took } = sender({ silenceMs: 500 });
  machine.send("a", 1, 0);
  machine.connected(1, 5, 0);
  machine.tick(500);
  assert.equal(machine.state, "waiting");
  machine.tick(machine.dueAt!);
  machine.connected(2, 5, 1000);
  machine.resumed(2, 0, 0, 1000);
  machine.tick(1500);
  assert.equal(took(), "dial 1; open 1 0; cut 1; dial 2; open 2 0; a@2; cut 2");
});

test("the end of an earlier connection changes nothing for the present one", () => {
  const { machine, took } = sender({ silenceMs: 500 });
  machine.send("a", 1, 0);
  machine.connected(1, 5, 0);
  machine.tick(500);
  machine.tick(machine.dueAt!);
  machine.connected(2, 5, 1000);
  took();
  machine.disconnected(1, 1001);
  machine.resumed(1, 0, 0, 1001);
  machine.resumed(2, 0, 0, 1002);
  machine.acknowledged(1, 1, 1, 1003);
  assert.equal(took(), "a@2");
  assert.deepEqual([machine.state, machine.keptMessages], ["open", 1]);
});

test("what is received and not yet durable is no reason to give a connection up", () => {
  const { machine } = sender({ silenceMs: 500 });
  machine.send("a", 1, 0);
  machine.connected(1, 5, 0);
  machine.resumed(1, 0, 0, 0);
  machine.acknowledged(1, 1, 0, 0);
  assert.equal(machine.dueAt, undefined);
  assert.equal(machine.keptMessages, 1);
});

test("more than the limit ends the link, and nothing is missing in the middle", () => {
  const { machine, took } = sender({ bytes: 10 });
  assert.ok(machine.send("a", 6, 0));
  assert.equal(machine.send("b", 6, 0), false);
  assert.equal(machine.send("c", 1, 0), false);
  assert.equal(took(), "dial 1; cut 1; ended overflow 1");
  assert.equal(machine.end, "overflow");
  machine.check();
  const many = sender({ messages: 2 }).machine;
  assert.deepEqual(
    [1, 2, 3].map(() => many.send("x", 0, 0)),
    [true, true, false],
  );
});

test("no more than a window is on the way", () => {
  const { machine, took } = sender({ window: 10 });
  for (const name of ["a", "b", "c"]) machine.send(name, 5, 0);
  machine.send("long", 50, 0);
  machine.connected(1, 5, 0);
  machine.resumed(1, 0, 0, 0);
  assert.equal(took(), "dial 1; open 1 0; a@1; b@1");
  machine.acknowledged(1, 1, 0, 0);
  assert.equal(took(), "c@1");
  machine.acknowledged(1, 3, 0, 0);
  assert.equal(took(), "long@1");
  machine.check();
});

test("an incarnation of the peer from before is not sent to", () => {
  const { machine, took } = sender();
  machine.send("a", 1, 0);
  machine.connected(1, 5, 0);
  machine.resumed(1, 0, 0, 0);
  machine.disconnected(1, 0);
  machine.tick(machine.dueAt!);
  took();
  machine.connected(2, 4, 100);
  assert.equal(took(), "cut 2");
  machine.tick(machine.dueAt!);
  machine.connected(3, 6, 200);
  assert.equal(took(), "dial 3; restarted 6 1; open 3 0");
});

test("a peer that has lost count ends the link", () => {
  for (const wrong of [
    (machine: LinkSender<string>) => machine.resumed(1, 2, 0, 0),
    (machine: LinkSender<string>) => machine.resumed(1, 0, 1, 0),
    (machine: LinkSender<string>) => machine.refused(1, "lost"),
    (machine: LinkSender<string>) => (machine.resumed(1, 0, 0, 0), machine.acknowledged(1, 2, 0, 0)),
    (machine: LinkSender<string>) => (machine.resumed(1, 0, 0, 0), machine.acknowledged(1, 0, 1, 0)),
  ]) {
    const { machine } = sender();
    machine.send("a", 1, 0);
    machine.connected(1, 5, 0);
    wrong(machine);
    assert.equal(machine.end, "lost");
  }
});

/** A receiver by hand, and what it does. */
function receiver(auto = true) {
  const done: string[] = [];
  const machine = new LinkReceiver<string>(
    {
      resume: (n, next, acknowledged) => void done.push(`resume ${n} ${next} ${acknowledged}`),
      refuse: (n, reason) => void done.push(`refuse ${n} ${reason}`),
      acknowledge: (n, received, acknowledged) => void done.push(`ack ${n} ${received} ${acknowledged}`),
      deliver: (message, number) => void done.push(`${message}#${number}`),
      cut: (n) => void done.push(`cut ${n}`),
      peerRestarted: (incarnation) => void done.push(`restarted ${incarnation}`),
    },
    { auto, ackMessages: 3, ackMs: 10 },
  );
  return { machine, took: () => done.splice(0).join("; ") };
}

test("a connection that was opened earlier and comes later is refused, and a later one replaces an earlier one", () => {
  const { machine, took } = receiver();
  machine.open(1, 5, 2, 0);
  machine.receive(1, "a", 1, 0);
  machine.open(2, 5, 1, 0);
  assert.equal(took(), "resume 1 0 0; a#0; cut 2");
  machine.open(3, 5, 3, 0);
  machine.receive(1, "late", 1, 0);
  machine.receive(3, "b", 1, 0);
  assert.equal(took(), "cut 1; resume 3 1 1; b#1");
});

test("an older incarnation, or one that was given up, is fenced for good", () => {
  const { machine, took } = receiver();
  machine.open(1, 5, 1, 0);
  machine.open(2, 4, 9, 0);
  assert.equal(took(), "resume 1 0 0; refuse 2 fenced");
  machine.fence(5);
  machine.receive(1, "late", 1, 0);
  machine.open(3, 5, 2, 0);
  assert.equal(took(), "cut 1; refuse 3 fenced");
  machine.open(4, 6, 1, 0);
  assert.equal(took(), "restarted 6; resume 4 0 0");
  machine.check();
});

test("acknowledgements wait for a few messages, a moment, and for what is durable", () => {
  const { machine, took } = receiver(false);
  machine.open(1, 5, 1, 0);
  for (const name of ["a", "b", "c"]) machine.receive(1, name, 1, 0);
  assert.equal(took(), "resume 1 0 0; a#0; b#1; c#2; ack 1 3 0");
  machine.acknowledge(5, 2, 100);
  assert.equal(machine.dueAt, 110);
  machine.tick(110);
  assert.equal(took(), "ack 1 3 2");
  assert.throws(() => machine.acknowledge(5, 4, 0), /has not come/);
  machine.acknowledge(4, 3, 0);
  machine.disconnected(1);
  machine.open(2, 5, 2, 2);
  assert.equal(took(), "resume 2 3 2");
});

test("a gap is never passed over", () => {
  const { machine, took } = receiver();
  machine.open(1, 5, 1, 0);
  machine.open(2, 5, 2, 1);
  assert.equal(took(), "resume 1 0 0; refuse 2 lost");
});
