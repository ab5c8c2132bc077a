/** The reliable channel below the simulated network: in order and once, over packets that are lost, repeated and reordered. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { ReliableChannel, WINDOW } from "../../sim/channel.ts";
import type { Packet } from "../../sim/channel.ts";
import { Rng } from "../../sim/rng.ts";

interface Flying {
  readonly at: number;
  readonly to: "a" | "b";
  readonly packet: Packet<number>;
}

/** Two ends and a bad line between them. */
function pair(rng: Rng, loss: number, duplicate: number, delay: number) {
  let now = 0;
  let sent = 0;
  const air: Flying[] = [];
  const got: Record<"a" | "b", number[]> = { a: [], b: [] };
  const fly = (to: "a" | "b") => (packet: Packet<number>) => {
    sent++;
    if (!rng.chance(loss)) air.push({ at: now + rng.int(1, delay), to, packet });
    if (rng.chance(duplicate)) air.push({ at: now + rng.int(1, 4 * delay), to, packet });
  };
  const a = new ReliableChannel<number>({ transmit: fly("b"), deliver: (n) => void got.a.push(n) }, 50);
  const b = new ReliableChannel<number>({ transmit: fly("a"), deliver: (n) => void got.b.push(n) }, 50);
  const ends = { a, b };
  const run = (until: number): void => {
    for (; now < until && (a.dueAt !== undefined || b.dueAt !== undefined || air.length > 0); now++) {
      for (const each of air.filter(({ at }) => at === now)) {
        air.splice(air.indexOf(each), 1);
        ends[each.to].receive(each.packet, now);
        ends[each.to].check();
      }
      a.tick(now);
      b.tick(now);
    }
  };
  return { a, b, got, run, sentPackets: () => sent, now: () => now };
}

test("what is sent arrives in order and once, both ways, over a bad line", () => {
  for (let seed = 0; seed < 30; seed++) {
    const rng = new Rng(`channel ${seed}`);
    const line = pair(rng, rng.float() * 0.5, rng.float() * 0.5, rng.int(1, 60));
    const there = Array.from({ length: rng.int(1, 300) }, (_, i) => i);
    const back = Array.from({ length: rng.int(0, 100) }, (_, i) => -i);
    for (const n of there) line.a.send(n, line.now());
    for (const n of back) line.b.send(n, line.now());
    line.run(1_000_000);
    assert.deepEqual(line.got.b, there, `seed ${seed}`);
    assert.deepEqual(line.got.a, back, `seed ${seed}`);
    assert.equal(line.a.dueAt, undefined, "everything is acknowledged");
  }
});

test("on a good line nothing is sent twice", () => {
  const line = pair(new Rng("good"), 0, 0, 5);
  for (let i = 0; i < 10; i++) line.a.send(i, line.now());
  line.run(1000);
  assert.equal(line.sentPackets(), 20, "ten packets and ten acknowledgements");
});

test("no more than a window is under way, and the rest follows", () => {
  const sent: Packet<number>[] = [];
  const channel = new ReliableChannel<number>({ transmit: (packet) => void sent.push(packet), deliver: () => {} }, 10);
  for (let i = 0; i < WINDOW + 5; i++) channel.send(i, 0);
  assert.equal(sent.length, WINDOW);
  channel.receive({ kind: "ack", next: 3 }, 1);
  assert.equal(sent.length, WINDOW + 3);
  channel.check();
});

test("an acknowledgement of what was never sent, or again of what was, changes nothing", () => {
  const sent: Packet<number>[] = [];
  const channel = new ReliableChannel<number>({ transmit: (packet) => void sent.push(packet), deliver: () => {} }, 10);
  channel.send(1, 0);
  channel.receive({ kind: "ack", next: 7 }, 1);
  assert.equal(channel.dueAt, 10);
  channel.receive({ kind: "ack", next: 1 }, 2);
  channel.receive({ kind: "ack", next: 1 }, 3);
  assert.equal(channel.dueAt, undefined);
});

test("without an answer it is sent again, ever later", () => {
  const sent: Packet<number>[] = [];
  const channel = new ReliableChannel<number>({ transmit: (packet) => void sent.push(packet), deliver: () => {} }, 10);
  channel.send(1, 0);
  channel.tick(9);
  assert.equal(sent.length, 1);
  channel.tick(10);
  assert.equal(sent.length, 2);
  assert.equal(channel.dueAt, 30);
});
