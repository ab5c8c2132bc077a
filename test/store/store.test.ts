/** The behaviour of the store, the same for both backends: a daemon in a process of its own, clients here and elsewhere. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import type { StoreStatistics } from "../../src/core/store/types.ts";
import type { ReadableObject } from "../../src/memory/contract.ts";
import { ConnectionError, ObjectLostError, ObjectStoreFullError } from "../../src/errors/index.ts";
import type { ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import { Daemon, MIB, backends, collected, eventually, modulePath, pattern } from "./harness.ts";
import type { BackendKind, DaemonOptions } from "./harness.ts";

const equal = (actual: Uint8Array, expected: Uint8Array) => Buffer.compare(actual, expected) === 0;

/** A daemon that ends with its test, however that ends. */
async function daemon(t: TestContext, options: DaemonOptions): Promise<Daemon> {
  const started = await Daemon.start(options);
  t.after(() => started.stop());
  return started;
}

function child(t: TestContext, store: Daemon, module: string, ...args: (string | number)[]): ChildProcess {
  const started = spawn(process.execPath, ["--import", "tsx", modulePath(module), store.sessionDir, ...args.map(String)], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, MOBULA_NO_FFI: store.backend === "files" ? "1" : "" },
  });
  t.after(() => started.exitCode === null && started.signalCode === null && started.kill("SIGKILL"));
  return started;
}

/** Folders in /dev/shm and the like that belong to stores. */
const leftovers = () => readdirSync("/dev/shm").filter((name) => name.includes("mobula"));
const empty = ({ used, objects, spilled, pinned }: StoreStatistics) => used === 0 && objects === 0 && spilled === 0 && pinned === 0;

const sizes = [0, 1, 63, 64, 4095, 4096, 4097, 65_535, 65_536, 100_000, MIB, 5 * MIB + 17];

function readingAndWriting(backend: BackendKind): void {
  it("reads back what was put, of every size, by write or by view, also from another process", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const [writer, reader] = [await store.join(), await store.join()];
    for (const size of sizes) {
      const bytes = pattern(size, size + 1);
      const half = Math.floor(size / 2);
      const put = writer.put(bytes);
      const object = await writer.client.createAsync(writer.nextId(), size);
      object.write(half, bytes.subarray(half));
      new Uint8Array(object.view(0, half)).set(bytes.subarray(0, half));
      object.seal(writer.processId, []);
      await writer.stats();
      for (const id of [put, object.id]) {
        for (const client of [writer.client, reader.client]) {
          const read = await client.read(id);
          assert.equal(read.size, size);
          assert.ok(equal(read.bytes, bytes), `${size} bytes`);
        }
      }
    }
  });

  it("names the holder and what an object contains to the daemon, once", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const member = await store.join();
    const object = member.client.create(member.nextId(), 10);
    object.write(0, new Uint8Array(10));
    object.seal("fedcba987654" as ProcessId, ["x-1-p" as ObjectId]);
    await member.stats();
    assert.deepEqual(member.sealed, [{ id: object.id, holder: "fedcba987654", size: 10, contains: ["x-1-p"] }]);
    assert.throws(() => object.write(0, new Uint8Array(1)), TypeError);
    assert.throws(() => object.seal(member.processId, []), TypeError);
  });

  it("refuses writes outside the object and impossible sizes", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const member = await store.join();
    const object = member.client.create(member.nextId(), 10);
    assert.throws(() => object.write(5, new Uint8Array(6)), RangeError);
    assert.throws(() => object.view(-1, 2), RangeError);
    object.abort();
    for (const size of [-1, 1.5, NaN]) assert.throws(() => member.client.create(member.nextId(), size), RangeError);
    assert.ok(empty(await member.stats()));
  });

  it("keeps reads apart: what is written to one shows in no other, nor later", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const [writer, other] = [await store.join(), await store.join()];
    for (const size of [100, 5000, 100_000, 2 * MIB]) {
      const bytes = pattern(size, 7);
      const id = writer.put(bytes);
      await writer.stats();
      const [first, second, third] = [await writer.client.read(id), await writer.client.read(id), await other.client.read(id)];
      first.bytes.fill(0xee);
      third.bytes.fill(0xdd);
      assert.ok(equal(second.bytes, bytes));
      assert.ok(equal((await writer.client.read(id)).bytes, bytes));
      assert.ok(
        first.bytes.every((byte) => byte === 0xee),
        "the writer sees its own writes",
      );
    }
  });

  it("cuts a view off from its object when that is sealed or aborted", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    for (const size of [1000, MIB]) {
      const object = member.client.create(member.nextId(), size);
      const view = new Uint8Array(object.view(0, size));
      view.fill(5);
      object.seal(member.processId, []);
      assert.ok(
        view.every((byte) => byte === 5),
        "it can still be read",
      );
      view.fill(6);
      await member.stats();
      assert.ok((await member.client.read(object.id)).bytes.every((byte) => byte === 5));
      const dropped = member.client.create(member.nextId(), size);
      const stale = new Uint8Array(dropped.view(0, size));
      dropped.abort();
      const next = member.put(pattern(size, 3));
      stale.fill(9);
      await member.stats();
      assert.ok(equal((await member.client.read(next)).bytes, pattern(size, 3)));
    }
  });
}

/** A function of its own, so that no local variable of a test keeps what it makes. */
const apart = <T>(make: () => T): T => make();

function lifetimes(backend: BackendKind): void {
  it("holds memory while a view of it is reachable, and frees it after", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    const bytes = pattern(4 * MIB, 1);
    const id = member.put(bytes);
    await member.stats();
    let view: Uint8Array | undefined = await apart(async () => (await member.client.read(id)).bytes.subarray(100, 200));
    member.free(id);
    await collected(async () => false, 300);
    if (backend === "shared") assert.equal((await member.stats()).used, 4 * MIB);
    member.put(pattern(8 * MIB, 2));
    assert.ok(equal(view, bytes.subarray(100, 200)));
    view = undefined;
    assert.ok(await collected(async () => (await member.stats()).pinned === 0 && (await member.stats()).used === 8 * MIB));
    await assert.rejects(member.client.read(id), ObjectLostError);
  });

  it("takes the space of an object back that is dropped without being sealed, but not while a view is held", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    let view: Uint8Array | undefined = apart(() => new Uint8Array(member.client.create(member.nextId(), 4 * MIB).view(0, 4 * MIB)));
    await collected(async () => false, 300);
    assert.equal((await member.stats()).used, 4 * MIB);
    view.fill(1);
    view = undefined;
    assert.ok(await collected(async () => empty(await member.stats())));
  });

  it("keeps what was read readable after the client is closed and the daemon gone", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    const bytes = pattern(2 * MIB, 4);
    const id = member.put(bytes);
    const other = member.put(pattern(2 * MIB, 5));
    const { bytes: read } = await member.client.read(id);
    const pending = member.client.read(other);
    member.client.close();
    await assert.rejects(pending, ConnectionError);
    await assert.rejects(member.client.read(id), ConnectionError);
    assert.throws(() => member.client.create(member.nextId(), 1), ConnectionError);
    await store.stop();
    assert.ok(equal(read, bytes));
    read.fill(1);
  });

  it("reads again what it reads without asking, each time as an image of its own, and lets go of it with the last", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    const bytes = pattern(2 * MIB, 4);
    const id = member.put(bytes);
    // Two at once, before either knows of the other, and one after.
    const images: ReadableObject[] = await Promise.all([member.client.read(id), member.client.read(id)]);
    images.push(await member.client.read(id));
    images[0]!.bytes.fill(1);
    assert.ok(equal(images[1]!.bytes, bytes) && equal(images[2]!.bytes, bytes));
    assert.equal((await member.stats()).pinned, backend === "files" ? 0 : bytes.byteLength);
    images.splice(0, 2);
    await collected(async () => false, 300);
    assert.ok(equal(images[0]!.bytes, bytes), "the last one holds it");
    assert.equal((await member.stats()).pinned, backend === "files" ? 0 : bytes.byteLength);
    images.length = 0;
    assert.ok(await collected(async () => (await member.stats()).pinned === 0), "the pin goes with the last image");
    member.free(id);
    assert.ok(await collected(async () => empty(await member.stats())));
  });

  it("gives back the space of a process that is killed in the middle of writing", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    const writer = child(t, store, "./writer.ts", 16 * MIB);
    const [line] = (await once(writer.stdout!, "data")) as [Buffer];
    const before = JSON.parse(line.toString()) as StoreStatistics & { processId: string };
    assert.ok(before.used >= 16 * MIB && before.reserved > 0);
    const exit = once(writer, "exit");
    writer.kill("SIGKILL");
    await exit;
    const announced = `${before.processId}-1-p` as ObjectId;
    assert.ok(await eventually(async () => (await member.stats()).objects === 1 && (await member.stats()).reserved === 0));
    member.free(announced);
    assert.ok(empty(await member.stats()));
    if (backend === "files") assert.ok(await eventually(async () => filesOf(store).length === 0));
  });

  // 100,000 steps in shared memory: most with room for everything, some with too little, so that much is spilled.
  for (const { kind, capacityBytes, steps } of [
    { kind: "with room", capacityBytes: 256 * MIB, steps: backend === "shared" ? 15_000 : 5000 },
    { kind: "short of space", capacityBytes: 32 * MIB, steps: 2500 },
  ]) {
    it(`ends empty after processes have put, read and freed at random, ${kind}`, { timeout: 240_000 }, async (t) => {
      const store = await daemon(t, { backend, capacityBytes });
      const member = await store.join();
      const exits = [child(t, store, "./churn.ts", 11, steps, 200_000), child(t, store, "./churn.ts", 12, steps, 2 * MIB)].map(
        async (process) => once(process, "exit"),
      );
      for (const [code] of await Promise.all(exits)) assert.equal(code, 0);
      assert.ok(
        await eventually(async () => empty(await member.stats()) && (await member.stats()).reserved === 0),
        JSON.stringify(await member.stats()),
      );
      assert.deepEqual(member.lost, []);
      assert.ok(await eventually(async () => spillFiles(store).length === 0), "no spill file is left");
      if (backend === "files") assert.ok(await eventually(async () => filesOf(store).length === 0));
    });
  }
}

function spillFiles(store: Daemon): string[] {
  const folder = join(store.sessionDir, "spill");
  if (!existsSync(folder)) return [];
  const names = readdirSync(folder, { recursive: true }).map(String);
  return names.filter((name) => name.endsWith(".object")).map((name) => join(folder, name));
}

/** Object files of the daemon, in the file backend. */
function filesOf(store: Daemon): string[] {
  return readdirSync("/dev/shm")
    .filter((name) => name.startsWith("mobula-store-") && name.includes(`-${store.child.pid}-`))
    .flatMap((name) => readdirSync(join("/dev/shm", name, "objects")));
}

function shortOfSpace(backend: BackendKind): void {
  it("spills what was used longest ago and restores it, also within one turn of the event loop", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    // No await: nothing that the client says over its connection goes out meanwhile.
    const ids = Array.from({ length: 20 }, (_, i) => member.put(pattern(8 * MIB, i)));
    const { spilled, used, capacity } = await member.stats();
    assert.ok(spilled >= 12 && used <= capacity);
    // The last ones are still in memory: reading them restores nothing.
    for (const id of ids.slice(-4)) await member.client.read(id);
    assert.equal((await member.stats()).spilled, spilled);
    for (const [i, id] of ids.entries()) {
      assert.ok(await collected(async () => (await member.stats()).pinned <= 32 * MIB));
      assert.ok(equal((await member.client.read(id)).bytes, pattern(8 * MIB, i)), `object ${i}`);
    }
    member.free(...ids);
    assert.ok(await collected(async () => empty(await member.stats())));
    assert.deepEqual(member.lost, []);
  });

  it("reads a spilled object from its file while everything else is in use", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 32 * MIB });
    const member = await store.join();
    const first = member.put(pattern(8 * MIB, 1));
    const blocks = [];
    for (let i = 0; i < 4; i++) blocks.push(member.client.create(member.nextId(), 8 * MIB));
    const { bytes } = await member.client.read(first);
    assert.ok(equal(bytes, pattern(8 * MIB, 1)));
    for (const block of blocks) block.abort();
    member.free(first);
    assert.ok(empty(await member.stats()));
  });

  it("lets a create wait for space, in order, and refuses it with the reason when none comes", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const member = await store.join(500);
    const patient = await store.join(30_000);
    const held = [member.client.create(member.nextId(), 8 * MIB), member.client.create(member.nextId(), 8 * MIB)];
    const refused = (error: unknown) =>
      error instanceof ObjectStoreFullError &&
      error.code === "OBJECT_STORE_FULL" &&
      error.size === 6 * MIB &&
      error.capacity === 16 * MIB &&
      /objectStoreMemory/.test(error.message);
    assert.throws(() => member.client.create(member.nextId(), 6 * MIB), refused);
    await assert.rejects(member.client.createAsync(member.nextId(), 6 * MIB), refused);
    const order: number[] = [];
    const waiting = [6, 7].map(async (size) => {
      const object = await patient.client.createAsync(patient.nextId(), size * MIB);
      order.push(size);
      return object;
    });
    assert.ok(await eventually(async () => (await member.stats()).waiting === 2));
    for (const object of held) object.abort();
    for (const object of await Promise.all(waiting)) object.abort();
    assert.deepEqual(order, [6, 7]);
    assert.throws(() => member.client.create(member.nextId(), 17 * MIB), /larger than the whole object store/);
    assert.ok(empty(await member.stats()));
  });

  it("asks everyone to drop garbage and idle slabs before it refuses", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const [member, idle] = [await store.join(20_000), await store.join()];
    idle.free(idle.put(new Uint8Array(10)));
    assert.ok((await idle.stats()).reserved > 0);
    await apart(async () => {
      const id = member.put(pattern(4 * MIB, 1));
      await member.stats();
      await Promise.all([member.client.read(id), member.client.read(id)]);
      member.free(id);
      await member.stats();
    });
    const whole = await member.client.createAsync(member.nextId(), 16 * MIB);
    assert.equal((await member.stats()).reserved, 0);
    whole.abort();
  });

  it("drops what only its own garbage holds while it blocks", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const member = await store.join(20_000);
    await apart(async () => {
      const id = member.put(pattern(12 * MIB, 1));
      await member.stats();
      await member.client.read(id);
      member.free(id);
      await member.stats();
    });
    // No turn of the event loop from here to the answer: no finalizer runs, and no message goes out or comes in.
    const object = member.client.create(member.nextId(), 12 * MIB);
    object.abort();
    assert.ok(empty(await member.stats()));
  });

  it("reports an object whose spill file was damaged as lost", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const member = await store.join();
    const ids = [1, 2, 3].map((seed) => member.put(pattern(8 * MIB, seed)));
    assert.ok(await eventually(async () => (await member.stats()).spilled === 1));
    const [path = ""] = spillFiles(store);
    const content = readFileSync(path);
    content[content.length - 5]! ^= 1;
    writeFileSync(path, content);
    member.free(ids[1]!);
    await assert.rejects(member.client.read(ids[0]!), (error) => error instanceof ObjectLostError && /damaged/.test(error.message));
    await member.stats();
    assert.deepEqual(
      member.lost.map((lost) => lost.id),
      [ids[0]],
    );
    assert.equal((await member.stats()).used, 8 * MIB);
  });

  it("keeps objects in memory when the disk is full, and says so when it has to refuse", async (t) => {
    const tiny = ["unshare", "-m", "sh", "-c", 'mkdir SESSION/tiny && mount -t tmpfs -o size=1m tmpfs SESSION/tiny && exec "$@"', "sh"];
    if (process.getuid?.() !== 0 || spawnSync("unshare", ["-m", "true"]).status !== 0) {
      t.skip("NOT TESTED: a full disk needs root and unshare -m");
      return;
    }
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB, spillDir: "SESSION/tiny", wrap: tiny });
    const member = await store.join(1500);
    const ids = [member.put(pattern(8 * MIB, 1)), member.put(pattern(8 * MIB, 2))];
    assert.throws(
      () => member.put(pattern(4 * MIB, 3)),
      (error) => error instanceof ObjectStoreFullError && /ENOSPC/.test(error.message),
    );
    for (const [i, id] of ids.entries()) assert.ok(equal((await member.client.read(id)).bytes, pattern(8 * MIB, i + 1)));
    assert.deepEqual((await member.stats()).spilled, 0);
    member.free(ids[0]!);
    assert.ok(await collected(async () => (await member.stats()).used === 8 * MIB));
    member.put(pattern(4 * MIB, 3));
    assert.deepEqual(member.lost, []);
  });
}

function largeAndLeftovers(backend: BackendKind): void {
  it("works in an arena of more than 4 GiB", async (t) => {
    const GIB = 2 ** 30;
    const store = await daemon(t, { backend, capacityBytes: 6 * GIB });
    const member = await store.join();
    if ((await member.stats()).capacity < 6 * GIB) return t.skip("NOT TESTED: /dev/shm has less than 6 GiB");
    // Space that nobody touches costs nothing.
    const blocks = Array.from({ length: 5 }, () => member.client.create(member.nextId(), GIB));
    const bytes = pattern(3 * MIB, 5);
    const id = member.put(bytes);
    assert.ok(equal((await member.client.read(id)).bytes, bytes));
    const last = blocks.at(-1)!;
    last.write(GIB - 100, bytes.subarray(0, 100));
    last.seal(member.processId, []);
    const read = await member.client.read(last.id);
    assert.ok(equal(read.bytes.subarray(GIB - 100), bytes.subarray(0, 100)));
    for (const block of blocks.slice(0, -1)) block.abort();
  });

  it("copies when the process has too many mappings, and goes on", { timeout: 120_000 }, async (t) => {
    if (backend === "files") return t.skip("files are never mapped");
    const store = await daemon(t, { backend, capacityBytes: 64 * MIB });
    const member = await store.join();
    const bytes = pattern(64 * 1024, 8);
    const id = member.put(bytes);
    await member.stats();
    const limit = Math.floor(Number(readFileSync("/proc/sys/vm/max_map_count", "utf8")) / 2);
    if (limit > 100_000) return t.skip(`NOT TESTED: this kernel allows ${limit * 2} mappings`);
    const mappings = () => readFileSync("/proc/self/maps", "utf8").split("\n").length;
    const before = mappings();
    const reads: Uint8Array[] = [];
    while (reads.length < limit + 2000) {
      for (const { bytes: read } of await Promise.all(Array.from({ length: 500 }, () => member.client.read(id)))) reads.push(read);
    }
    const added = mappings() - before;
    assert.ok(added > limit - 1000 && added < limit + 1000, `${added} mappings more`);
    for (const read of [reads[0]!, reads[limit - 1]!, reads.at(-1)!]) assert.ok(equal(read, bytes));
    reads[0]!.fill(1);
    assert.ok(equal(reads.at(-1)!, bytes) && equal(reads[1]!, bytes));
    reads.length = 0;
    member.free(id);
    assert.ok(await collected(async () => empty(await member.stats())));
  });

  it("lets a loop go that reads and never ends its turn", { skip: backend === "files" }, async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 640 * MIB });
    const member = await store.join();
    const id = member.put(pattern(64 * 1024, 8));
    await member.stats();
    const mappings = () => readFileSync("/proc/self/maps", "utf8").split("\n").length;
    const before = mappings();
    let most = 0;
    for (let i = 0; i < 6000; i++) {
      await member.client.read(id);
      if (i % 250 === 249) most = Math.max(most, mappings() - before);
    }
    assert.ok(most < 2000, `${most} mappings more`);
  });

  it("shares claim words with the daemon, where there is shared memory", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 16 * MIB });
    const member = await store.join();
    const words = member.client.claims(member.claimIndex);
    if (backend === "files") {
      assert.deepEqual([member.claimIndex, words], [-1, undefined]);
      return;
    }
    assert.ok(words);
    assert.equal(Atomics.add(words, 3, 41), 0);
    assert.equal(await member.claim(3), 41);
    assert.equal(Atomics.load(words, 3), 42);
    const other = await store.join();
    assert.notEqual(other.claimIndex, member.claimIndex);
    assert.equal(Atomics.load(other.client.claims(member.claimIndex)!, 3), 42);
    assert.equal(Atomics.load(other.client.claims(other.claimIndex)!, 3), 0);
  });

  it("leaves nothing behind, also when its daemon is killed", async (t) => {
    const store = await daemon(t, { backend, capacityBytes: 32 * MIB });
    const member = await store.join();
    for (let i = 0; i < 8; i++) member.put(pattern(8 * MIB, i));
    const before = leftovers();
    if (backend === "shared")
      assert.deepEqual(
        before.filter((name) => name.includes(`-${store.child.pid}-`)),
        [],
      );
    const exit = once(store.child, "exit");
    store.child.kill("SIGKILL");
    await exit;
    // Files stay behind a killed daemon until the next one starts; shared memory does not.
    const next = await daemon(t, { backend, capacityBytes: 32 * MIB });
    assert.deepEqual(
      leftovers().filter((name) => name.includes(`-${store.child.pid}-`)),
      [],
    );
    await next.stop();
    assert.deepEqual(
      leftovers().filter((name) => name.includes(`-${next.child.pid}-`)),
      [],
    );
    rmSync(store.sessionDir, { recursive: true, force: true });
  });
}

for (const backend of backends) {
  describe(`object store, ${backend}`, () => {
    readingAndWriting(backend);
    lifetimes(backend);
    shortOfSpace(backend);
    largeAndLeftovers(backend);
  });
}
