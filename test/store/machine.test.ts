/** The store machine alone: its rules one by one, and under random histories. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { PAGE } from "../../src/core/store/arena.ts";
import type { ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import { PROCESSES, World } from "./model.ts";

const [a, b, c] = PROCESSES as [ProcessId, ProcessId, ProcessId];
const UNIT = 16 * PAGE;

function full(world: World, pieces = 8): ObjectId[] {
  return Array.from({ length: pieces }, () => world.put(a, UNIT));
}

describe("store machine", () => {
  it("uses the block that was freed last before it uses fresh memory", () => {
    const world = new World(64 * UNIT);
    const [first, , third] = [world.put(a, UNIT), world.put(a, UNIT), world.put(a, UNIT), world.put(a, UNIT)];
    const place = { first: 0, third: 2 * UNIT };
    world.free(first!);
    world.free(third!);
    world.allocate(a, UNIT);
    assert.equal(world.grants.at(-1)!.grant.offset, place.third);
    world.allocate(a, UNIT);
    assert.equal(world.grants.at(-1)!.grant.offset, place.first);
    world.allocate(a, UNIT);
    assert.equal(world.grants.at(-1)!.grant.offset, 4 * UNIT);
  });

  it("joins what is freed, so that the whole is there again in one piece", () => {
    const world = new World(8 * UNIT);
    const ids = full(world);
    for (const i of [3, 0, 7, 5, 1, 6, 2, 4]) world.free(ids[i]!);
    world.machine.check();
    world.allocate(a, 8 * UNIT, 0, undefined);
    assert.equal(world.grants.length, 1);
  });

  it("places objects of a page or more at pages, smaller ones at 64 bytes, and refuses a seal elsewhere", () => {
    const world = new World(64 * UNIT);
    world.allocate(a, 100, UNIT);
    const slab = world.grants[0]!;
    assert.ok(slab.grant.slab && slab.grant.offset % PAGE === 0);
    world.seal(slab, 100);
    world.seal(slab, 2 * PAGE, { pin: true });
    assert.equal(world.pins[0]!.place!.offset % PAGE, 0);
    const { serial } = slab.grant;
    const request = { process: a, id: "x" as ObjectId, serial, size: PAGE, pin: false, copy: false, announced: true };
    assert.equal(world.machine.seal({ ...request, offset: slab.next + 64 }, 0), false);
    assert.equal(world.machine.seal({ ...request, offset: slab.grant.offset }, 0), false, "the place of another object");
    assert.equal(world.machine.seal({ ...request, offset: slab.next + PAGE, process: b }, 0), false, "the slab of another process");
    world.machine.check();
  });

  it("spills the least recently used first, and only as much as is needed", () => {
    const world = new World(8 * UNIT);
    const ids = full(world);
    world.pin(b, ids[0]!);
    world.unpin(world.pins[0]!);
    world.allocate(c, 2 * UNIT);
    assert.deepEqual(
      world.disk.map((operation) => operation.place.offset / UNIT),
      [1, 2],
    );
    world.finishAll();
    assert.equal(world.grants.length, 1);
    assert.deepEqual([world.machine.stats().spilled, world.machine.stats().spilledBytes], [2, 2 * UNIT]);
    world.machine.check();
  });

  it("drops copies before it spills primaries", () => {
    const world = new World(4 * UNIT);
    full(world, 3);
    const copy = world.put(a, UNIT, { copy: true });
    world.allocate(b, UNIT);
    assert.deepEqual(world.evictedIds, [copy]);
    assert.equal(world.grants.length, 1);
    assert.equal(world.disk.length, 0);
  });

  it("restores a spilled object for who pins it, and gives it up again without writing it again", () => {
    const world = new World(4 * UNIT);
    const ids = full(world, 4);
    world.allocate(a, UNIT);
    world.finishAll();
    world.release(world.grants[0]!);
    world.pin(b, ids[0]!);
    assert.deepEqual(
      world.disk.map((operation) => operation.kind),
      ["restore"],
    );
    world.finishAll();
    assert.equal(world.pins.length, 1);
    world.unpin(world.pins[0]!);
    for (const id of ids.slice(1)) {
      world.pin(b, id);
      world.unpin(world.pins[0]!);
    }
    world.allocate(a, UNIT);
    assert.equal(world.disk.length, 0, "it has its file already");
    assert.equal(world.grants.length, 1);
    world.free(ids[0]!);
    assert.equal(world.files.size, 0);
    world.machine.check();
  });

  it("never moves what is pinned, and serves those who wait in order when it is unpinned", () => {
    const world = new World(2 * UNIT);
    const ids = full(world, 2);
    world.pin(b, ids[0]!);
    world.pin(b, ids[1]!);
    const first = world.allocate(a, 2 * UNIT, 0, 1000);
    const second = world.allocate(c, UNIT, 0, 1000);
    assert.ok(world.spaceWanted > 0);
    world.unpin(world.pins[0]!);
    world.finishAll();
    assert.ok(world.asked.has(first) && world.asked.has(second), "the second waits behind the first");
    world.unpin(world.pins[0]!);
    world.finishAll();
    assert.ok(!world.asked.has(first) && world.asked.has(second));
    world.release(world.grants[0]!);
    assert.equal(world.asked.size, 0);
  });

  it("refuses at the deadline, and at once what is larger than the store", () => {
    const world = new World(2 * UNIT);
    full(world, 2).forEach((id) => world.pin(b, id));
    world.allocate(a, UNIT, 0, 50);
    assert.equal(world.machine.nextDeadline(), 50);
    world.sleep(49);
    assert.equal(world.refusals.length, 0);
    world.sleep(1);
    assert.deepEqual(
      world.refusals.map((refusal) => refusal.reason),
      ["full"],
    );
    assert.equal(world.refusals[0]!.pinned, 2 * UNIT);
    world.allocate(a, 3 * UNIT, 0, 50);
    assert.equal(world.refusals[1]!.reason, "too-large");
    assert.equal(world.machine.nextDeadline(), undefined);
  });

  it("keeps an object that the disk refuses, tries again, and names the reason when it gives up", () => {
    const world = new World(2 * UNIT);
    full(world, 2);
    world.allocate(a, UNIT, 0, 1500);
    world.finish(world.disk[0]!, false);
    assert.equal(world.disk.length, 0, "spilling rests");
    assert.equal(world.machine.stats().used, 2 * UNIT);
    world.sleep(world.machine.nextDeadline()!);
    assert.equal(world.disk.length, 1, "and goes on");
    world.finish(world.disk[0]!, false);
    world.sleep(500);
    assert.deepEqual(
      world.refusals.map(({ reason, detail }) => [reason, detail]),
      [["spill-failed", "ENOSPC: no space left on device"]],
    );
    world.machine.check();
  });

  it("offers an object on disk when there is no space to restore it in", () => {
    const world = new World(2 * UNIT);
    const ids = full(world, 2);
    world.allocate(a, UNIT);
    world.finishAll();
    world.pin(b, ids[1]!);
    world.pin(c, ids[0]!, 100);
    world.sleep(100);
    assert.equal(world.diskPins, 1);
    world.free(ids[0]!);
    assert.equal(world.files.size, 1, "its reader still needs the file");
    world.unpin(world.pins.find((pin) => pin.place === undefined)!);
    assert.equal(world.files.size, 0);
    world.machine.check();
  });

  it("loses an object whose file is damaged, and says so", () => {
    const world = new World(2 * UNIT);
    const ids = full(world, 2);
    world.allocate(a, UNIT);
    world.finishAll();
    world.release(world.grants[0]!);
    world.pin(b, ids[0]!);
    world.finish(world.disk[0]!, false);
    assert.deepEqual([world.lostIds, world.failedPins], [[ids[0]], ["damaged"]]);
    assert.equal(world.files.size, 0);
    world.machine.check();
  });

  it("lets a reader that is faster than the seal wait for it, for a while", () => {
    const world = new World(2 * UNIT);
    const id = "soon" as ObjectId;
    for (const reader of [b, c]) world.pin(reader, id);
    assert.deepEqual([world.pins.length, world.failedPins.length], [0, 0]);
    world.lose(c);
    world.put(a, UNIT, { id });
    assert.deepEqual(
      world.pins.map(({ process }) => process),
      [b],
    );
    world.machine.check();

    // One that was here and is gone comes again, if at all, sooner than the news of one that nobody has heard of.
    world.unpin(world.pins[0]!);
    world.free(id);
    for (const [wanted, waitMs] of [["never" as ObjectId, 30_000] as const, [id, 3000] as const]) {
      const failed = world.failedPins.length;
      world.pin(b, wanted);
      world.sleep(waitMs - 1);
      assert.equal(world.failedPins.length, failed);
      assert.equal(world.machine.nextDeadline(), world.now + 1);
      world.sleep(1);
      assert.match(world.failedPins.at(-1)!, /the store does not have it/);
      assert.equal(world.machine.nextDeadline(), undefined);
    }
  });

  it("takes everything back from a process that is gone, but what it sealed and announced", () => {
    const world = new World(8 * UNIT);
    const kept = world.put(a, UNIT);
    world.put(a, UNIT, { announced: false });
    world.allocate(a, UNIT);
    world.allocate(a, 100, UNIT);
    const other = world.put(b, UNIT);
    world.pin(a, other);
    world.free(other);
    world.lose(a);
    assert.deepEqual([world.machine.stats().used, world.machine.stats().reserved, world.machine.stats().objects], [UNIT, 0, 1]);
    world.free(kept);
    assert.equal(world.machine.stats().used, 0);
    world.machine.check();
  });

  it("keeps the first of two objects with one id, and a new one after the first was freed", () => {
    const world = new World(8 * UNIT);
    const id = world.put(a, UNIT);
    world.put(b, UNIT, { id });
    assert.equal(world.machine.stats().used, UNIT);
    world.pin(b, id);
    world.free(id);
    world.put(a, UNIT, { id });
    world.pin(c, id);
    assert.notEqual(world.pins[0]!.key, world.pins[1]!.key);
    world.unpin(world.pins[0]!);
    assert.equal(world.machine.stats().used, UNIT);
    world.machine.check();
  });

  it("keeps its invariants under random histories, and ends empty", () => {
    const step = fc.tuple(fc.integer({ min: 0, max: 99 }), fc.nat({ max: 9999 }), fc.nat({ max: 9999 }));
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 300, size: "max" }), (steps) => {
        const world = new World(48 * PAGE);
        for (const [kind, x, y] of steps) {
          act(world, kind, x, y);
          world.machine.check();
        }
        finishEverything(world);
      }),
      { numRuns: 400, includeErrorInReport: true },
    );
  });
});

/** One thing happens; `x` and `y` choose to what. */
function act(world: World, kind: number, x: number, y: number): void {
  const pick = <T>(items: readonly T[]): T | undefined => items[x % Math.max(items.length, 1)];
  const process = PROCESSES[x % PROCESSES.length]!;
  const size = y % 3 === 0 ? y % 300 : (y * 7) % (16 * PAGE);
  if (kind < 20) world.allocate(process, size, y % 2 === 0 ? 4 * PAGE : 0, y % 5 === 0 ? undefined : y % 50);
  else if (kind < 45) {
    const held = pick(world.grants);
    // A task that ran again seals an id again.
    const again = y % 11 === 0 ? pick(world.ids) : undefined;
    const limit = held ? Math.min(size, held.grant.size) : 0;
    if (held) world.seal(held, limit, { pin: y % 7 === 0, copy: y % 4 === 0, announced: y % 3 !== 0, ...(again ? { id: again } : {}) });
  } else if (kind < 60) {
    const id = pick(world.ids);
    if (id) world.pin(PROCESSES[y % 3]!, id, y % 30);
  } else if (kind < 72) {
    const pin = pick(world.pins);
    if (pin) world.unpin(pin);
  } else if (kind < 82) {
    const operation = pick(world.disk);
    if (operation) world.finish(operation, y % 6 !== 0);
  } else if (kind < 90) {
    const id = pick(world.ids);
    if (id) world.free(id);
  } else if (kind < 93) {
    const held = pick(world.grants);
    if (held) world.release(held);
  } else if (kind < 98) world.sleep(y % 40);
  else world.lose(process);
}

function finishEverything(world: World): void {
  while (world.asked.size > 0 || world.calls.size > 0 || world.disk.length > 0) {
    world.finishAll();
    const left = world.asked.size + world.calls.size;
    if (left > 0) world.sleep(1000);
    // Processes that are lost take what they asked for with them.
    if (world.machine.stats().waiting === 0 && world.disk.length === 0) break;
  }
  for (const process of PROCESSES) world.lose(process);
  for (const id of world.ids) world.free(id);
  world.finishAll();
  world.machine.check();
  const { used, reserved, objects, spilled, waiting } = world.machine.stats();
  assert.deepEqual({ used, reserved, objects, spilled, waiting }, { used: 0, reserved: 0, objects: 0, spilled: 0, waiting: 0 });
  assert.equal(world.files.size, 0, "no file is left");
}
