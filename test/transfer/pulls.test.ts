/** The machines of transfer alone, in virtual time: one pull for many, trees, losses, deaths, limits, reasons. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NodeId } from "../../src/protocol/ids.ts";
import { PIECE, VirtualWorld } from "./virtual.ts";

describe("pull machine", () => {
  it("fetches an object once for all who wait, and not at all when nobody does any more", () => {
    const world = new VirtualWorld();
    const [a, b] = [world.node(), world.node()];
    const id = world.put(a, "000001000000-1-p", 8 * PIECE);
    for (let i = 0; i < 20; i++) b.want(id, `reader ${i}`);
    world.run(1000);
    assert.ok(b.has(id));
    assert.deepEqual([b.fetches, a.sent], [1, 8 * PIECE]);
    const other = world.put(a, "000001000000-2-p", 100 * PIECE);
    b.want(other);
    world.run(1050);
    assert.equal(b.pulls.stats().fetching, 1);
    b.pulls.unwant(other, "store", world.now);
    world.run(5000);
    assert.ok(!b.has(other) && b.pulls.stats().pulls === 0 && b.pulls.stats().bytesInFlight === 0);
    assert.ok(a.sent < 60 * PIECE, "the source has stopped");
  });

  it("brings one object to n nodes at once as a tree: the source sends it twice, whatever n is", () => {
    for (const count of [8, 64]) {
      const world = new VirtualWorld(count);
      const source = world.node();
      const id = world.put(source, "000001000000-1-p", 32 * PIECE);
      const readers = Array.from({ length: count }, () => world.node());
      for (const reader of readers) reader.want(id);
      world.run(10_000);
      assert.ok(readers.every((reader) => reader.has(id)));
      assert.ok(source.sent <= 3 * 32 * PIECE, `${count} nodes: ${source.sent / PIECE} pieces were sent by the source`);
      for (const reader of readers) assert.ok(reader.sent <= 3 * 32 * PIECE, "and by nobody else more");
    }
  });

  it("costs the source the logarithm of n when nodes come one after the other", () => {
    const world = new VirtualWorld(5);
    const source = world.node();
    const id = world.put(source, "000001000000-1-p", 2 * PIECE);
    const readers = Array.from({ length: 128 }, () => world.node());
    readers.forEach((reader, i) => world.later(i * 30, () => reader.want(id)));
    world.run(20_000);
    assert.ok(readers.every((reader) => reader.has(id)));
    // The sum of 1/1 to 1/128 is 5.4.
    assert.ok(source.sent <= 12 * 2 * PIECE, `${source.sent / 2 / PIECE} times`);
  });

  it("goes on elsewhere from the byte where a source died, broke off, or fell silent", () => {
    const world = new VirtualWorld(3);
    const [a, b, c, reader] = [world.node(), world.node(), world.node(), world.node({ stallMs: 200 })];
    const id = world.put(a, "000001000000-1-p", 200 * PIECE);
    for (const other of [b, c]) {
      other.whole.set(id, 200 * PIECE);
      world.homes.get(id)!.nodes.add(other.id);
    }
    a.silent = true;
    reader.want(id);
    world.run(300);
    const busy = b.sent > 0 ? b : c;
    assert.ok(busy.sent > 0 && !reader.has(id));
    busy.die();
    world.run(3000);
    assert.ok(reader.has(id));
    assert.equal(a.sent + b.sent + c.sent, 200 * PIECE, "no byte came twice");
  });

  it("ends with the whole story when nobody has it, when its home says so, and when its home is gone", () => {
    const world = new VirtualWorld();
    const [a, b] = [world.node(), world.node()];
    const gone = world.put(a, "000001000000-1-p", PIECE);
    a.whole.delete(gone);
    b.want(gone);
    world.run(60_000);
    assert.match(b.lost.get(gone)!, /its home was asked 7 times.*node 000001000000: it is not there/);
    const failed = world.put(a, "000001000000-2-p", PIECE);
    world.homes.get(failed)!.failure = "its owner died";
    b.want(failed);
    world.run(61_000);
    assert.equal(b.lost.get(failed), "its owner died");
    const orphan = "000001000000-3-p" as never;
    b.want(orphan);
    world.run(62_000);
    b.pulls.nodeLost("000001000000" as NodeId, world.now);
    assert.match(b.lost.get(orphan)!, /its home, node 000001000000, is gone/);
    assert.equal(b.pulls.stats().pulls, 0);
  });

  it("lets small ones pass large ones, and a get pass what is fetched ahead; never has more under way than it may", () => {
    const world = new VirtualWorld();
    const limits = { bytesMax: 64 * PIECE };
    const [a, b] = [world.node(), world.node(limits)];
    const ahead = Array.from({ length: 4 }, (_, i) => world.put(a, `000001000000-${i}-p`, 40 * PIECE));
    const wanted = world.put(a, "000001000000-g-p", 40 * PIECE);
    const small = world.put(a, "000001000000-s-p", 1000);
    for (const id of ahead) b.want(id, "task", "args");
    world.run(20);
    b.want(wanted);
    b.want(small);
    for (let at = 30; at < 1000; at += 10) {
      world.run(at);
      assert.ok(b.pulls.stats().bytesInFlight <= 64 * PIECE);
    }
    assert.deepEqual(b.came.slice(0, 3), [small, ahead[0], wanted]);
    assert.equal(b.came.length, 6);
  });

  it("waits for space, and gives it back when its home is silent for long", () => {
    const world = new VirtualWorld();
    const [a, b] = [world.node(), world.node({ stallMs: 100, restMs: 10 }, {}, 10 * PIECE)];
    const first = world.put(a, "000001000000-1-p", 10 * PIECE);
    const second = world.put(a, "000001000000-2-p", 10 * PIECE);
    b.want(first);
    b.want(second);
    world.run(15);
    world.homes.get(first)!.nodes.clear();
    a.whole.delete(first);
    a.die();
    world.homes.delete(first);
    const c = world.node();
    c.whole.set(second, 10 * PIECE);
    world.homes.get(second)!.nodes.add(c.id);
    world.run(2000);
    assert.ok(!b.has(first) && b.has(second), "what is nowhere does not keep others out");
  });

  it("answers everyone, whatever breaks: every object arrives as long as one node has it", () => {
    for (let seed = 1; seed <= 40; seed++) {
      const world = new VirtualWorld(seed);
      const { chance } = world;
      world.breaks = chance() * 0.05;
      const nodes = Array.from({ length: 4 + Math.floor(chance() * 8) }, () => world.node({ stallMs: 300, rounds: 12 }));
      const home = nodes[0]!;
      const ids = Array.from({ length: 6 }, (_, i) => world.put(home, `000001000000-${i}-p`, Math.ceil(chance() * 20 * PIECE)));
      for (const node of nodes) {
        for (const id of ids) if (chance() < 0.8) world.later(chance() * 200, () => !node.dead && node.want(id));
      }
      // All but the one that made them may die.
      for (const node of nodes.slice(1)) if (chance() < 0.3) world.later(chance() * 400, () => node.die());
      world.run(120_000);
      for (const node of nodes) {
        if (node.dead) continue;
        assert.equal(node.pulls.stats().pulls, 0, `seed ${seed}: everyone is answered`);
        assert.deepEqual([...node.lost], [], `seed ${seed}: nothing is lost`);
      }
    }
  });
});
