/** Objects between the stores of several nodes, over real connections. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import type { ObjectId } from "../../src/protocol/ids.ts";
import { createAuthority, issueCertificate, loadTls } from "../../src/runtime/network/index.ts";
import { waitUntil } from "../harness/wait.ts";
import { MIB, World, pattern } from "./nodes.ts";
import type { TestNode } from "./nodes.ts";

/** Stands before a node: what goes from it to others passes `alter`; undefined cuts the connection. */
async function proxyOf(t: TestContext, node: TestNode, alter: (bytes: Buffer, passed: number) => Buffer | undefined): Promise<void> {
  const { port } = node.address;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect({ host: "127.0.0.1", port });
    let passed = 0;
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => [near, far].forEach((other) => other.destroy()));
    }
    near.on("data", (bytes: Buffer) => far.write(bytes));
    far.on("data", (bytes: Buffer) => {
      const altered = alter(bytes, passed);
      passed += bytes.byteLength;
      if (altered === undefined) return near.destroy();
      if (near.write(altered)) return;
      far.pause();
      near.once("drain", () => far.resume());
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  node.address.port = (server.address() as AddressInfo).port;
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
}

/** Makes `from`'s object known at other nodes too, which get a copy now. */
async function copies(id: ObjectId, nodes: readonly TestNode[]): Promise<void> {
  for (const node of nodes) await node.get(id);
}

function isLost(error: unknown, ...words: readonly RegExp[]): boolean {
  const { code, message } = error as { code?: string; message: string };
  assert.equal(code, "OBJECT_LOST");
  for (const word of words) assert.match(message, word);
  return true;
}

describe("transfer", () => {
  it("brings an object to a node that reads it, byte for byte", async (t) => {
    const world = new World(t);
    const [a, b] = await world.many(2);
    for (const size of [0, 1, 100, 65_537, MIB, 3 * MIB + 17]) {
      const bytes = pattern(size, size + 1);
      const id = await a!.put(bytes);
      assert.deepEqual(await b!.get(id), bytes, `${size} bytes`);
      assert.ok(world.objects.get(id)!.nodes.has(b!.id), "its home knows of the copy");
    }
    assert.equal(b!.transfer.statistics().lines, 1, "one connection for all of them");
  });

  it("does so with files in the place of shared memory, with checksums, and over TLS", async (t) => {
    const folder = mkdtempSync(join(tmpdir(), "mobula-transfer-tls-"));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    createAuthority(folder);
    issueCertificate(folder);
    const tls = loadTls(folder);
    for (const options of [{ checksums: "always" }, { tls }, { files: true }, { files: true, tls }] as const) {
      const world = new World(t);
      const [a, b] = await world.many(2, options);
      const bytes = pattern(5 * MIB + 3, 7);
      const id = await a!.put(bytes);
      assert.deepEqual(await b!.get(id), bytes, JSON.stringify(Object.keys(options)));
      await world.close();
    }
  });

  it("pulls once for many who wait", async (t) => {
    const world = new World(t);
    const [a, b] = await world.many(2);
    const id = await a!.put(pattern(4 * MIB));
    const all = await Promise.all(Array.from({ length: 50 }, () => b!.get(id)));
    for (const bytes of all) assert.equal(bytes.byteLength, 4 * MIB);
    assert.equal(b!.transfer.statistics().receivedBytes, 4 * MIB);
    assert.equal(world.asked.get(id), 1);
  });

  it("finds a damaged frame by its checksum, and gets the rest elsewhere", async (t) => {
    const world = new World(t);
    const [bad, good, reader] = await world.many(3, { checksums: "always" });
    const bytes = pattern(8 * MIB, 3);
    const id = await bad!.put(bytes);
    await copies(id, [good!]);
    let damaged = 0;
    await proxyOf(t, bad!, (data, passed) => {
      if (passed < 3 * MIB || damaged > 0) return data;
      damaged++;
      data[data.byteLength >> 1]! ^= 1;
      return data;
    });
    // The good one is not known until the bad one has failed.
    const { nodes } = world.objects.get(id)!;
    nodes.delete(good!.id);
    const read = reader!.get(id);
    await waitUntil(() => damaged > 0, "a frame is damaged");
    nodes.add(good!.id);
    nodes.delete(bad!.id);
    assert.deepEqual(await read, bytes);
    assert.ok(good!.transfer.statistics().sentBytes < 8 * MIB, "what was right was not sent again");
  });

  it("goes on at another node when the source dies in the middle", async (t) => {
    const world = new World(t);
    const [first, second, reader] = await world.many(3);
    const bytes = pattern(16 * MIB, 5);
    const id = await first!.put(bytes);
    await copies(id, [second!]);
    for (const node of [first!, second!]) {
      let cut = false;
      await proxyOf(t, node, (data, passed) => {
        if (cut || passed < 5 * MIB) return data;
        cut = true;
        return undefined;
      });
    }
    assert.deepEqual(await reader!.get(id), bytes);
    assert.equal(reader!.transfer.statistics().receivedBytes, 16 * MIB, "what was there was not sent again");
  });

  it("waits for space, drops copies for it, and says how full the store is when there is none", async (t) => {
    const world = new World(t);
    const a = await world.node();
    const b = await world.node({ capacityBytes: 8 * MIB, spaceWaitMs: 300 });
    const ids = [await a.put(pattern(5 * MIB, 1)), await a.put(pattern(5 * MIB, 2)), await a.put(pattern(9 * MIB, 3))];
    const first = await b.get(ids[0]!);
    await assert.rejects(b.get(ids[1]!), (error) =>
      isLost(error, /no space for its 5242880 bytes within 300 ms/, /5242880 are being read/),
    );
    await assert.rejects(b.get(ids[2]!), (error) => isLost(error, /9437184 bytes do not fit/));
    assert.deepEqual(first, pattern(5 * MIB, 1));
    assert.equal(b.transfer.statistics().pulls, 0);
    // Read by nobody, a copy is what goes first.
    const [one, two] = [await a.put(pattern(3 * MIB, 4)), await a.put(pattern(2 * MIB, 5))];
    const c = await world.node({ capacityBytes: 4 * MIB });
    c.transfer.want(one, "test", "args");
    await waitUntil(() => world.objects.get(one)!.nodes.has(c.id), "the copy is there");
    assert.deepEqual(await c.get(two), pattern(2 * MIB, 5));
    await waitUntil(() => !world.objects.get(one)!.nodes.has(c.id), "its home knows that the copy is gone");
  });

  it("tells who waits why an object does not come", async (t) => {
    const world = new World(t);
    const [a, b] = await world.many(2, { limits: { restMs: 1, rounds: 2 } });
    const id = await a!.put(pattern(1000));
    a!.store.free(id);
    await assert.rejects(b!.get(id), (error) => isLost(error, /home was asked 3 times/, /node 000001000000: it is not there/));
    const never = "000001800000-zz-p" as ObjectId;
    world.objects.set(never, { size: 0, nodes: new Set(), failure: { message: "the process that owned it is gone" } });
    await assert.rejects(b!.get(never), (error) => isLost(error, /the process that owned it is gone/));
    const unreachable = await a!.put(pattern(1000));
    a!.address.port = 1;
    const c = await world.node({ limits: { restMs: 1, rounds: 2 } });
    await assert.rejects(c.get(unreachable), (error) => isLost(error, /node 000001000000: .*127\.0\.0\.1:1/));
  });

  it("brings one object to eight nodes at once as a tree: its source sends it twice", async (t) => {
    const world = new World(t);
    const source = await world.node({ capacityBytes: 24 * MIB });
    const readers = await world.many(8, { capacityBytes: 24 * MIB });
    const bytes = pattern(16 * MIB, 9);
    const id = await source.put(bytes);
    const all = await Promise.all(readers.map((reader) => reader.get(id)));
    for (const got of all) assert.deepEqual(got, bytes);
    const sent = [source, ...readers].map((node) => node.transfer.statistics().sentBytes / (16 * MIB));
    assert.ok(sent[0]! <= 3, `the source sent it ${sent[0]} times`);
    assert.equal(
      sent.reduce((sum, times) => sum + times),
      8,
      "nobody got anything twice",
    );
  });

  it("keeps no memory and no connection for what it has sent and received", async (t) => {
    const world = new World(t);
    const [a, b] = await world.many(2);
    const id = await a!.put(pattern(4 * MIB));
    const rounds = async (count: number): Promise<number> => {
      for (let i = 0; i < count; i++) {
        b!.transfer.want(id, "test", "get");
        await waitUntil(() => b!.store.stats().objects === 1, "the copy is there");
        b!.store.free(id);
      }
      return process.memoryUsage.rss();
    };
    const before = await rounds(10);
    const after = await rounds(50);
    assert.ok(after - before < 60 * MIB, `${(after - before) / MIB} MiB more after 200 MiB`);
    assert.equal(b!.transfer.statistics().lines, 1);
    assert.equal(a!.store.stats().pinned, 0);
  });

  it("sends what is spilled from its file, and leaves it there", async (t) => {
    const world = new World(t);
    const a = await world.node({ capacityBytes: 8 * MIB });
    const b = await world.node();
    const first = await a.put(pattern(5 * MIB, 1));
    await a.put(pattern(5 * MIB, 2));
    await waitUntil(() => a.store.stats().spilled === 1, "one is spilled");
    assert.deepEqual(await b.get(first), pattern(5 * MIB, 1));
    assert.equal(a.store.stats().spilled, 1);
  });

  it("makes a copy the primary when that is gone, and spills it then instead of dropping it", async (t) => {
    const world = new World(t);
    const a = await world.node();
    const b = await world.node({ capacityBytes: 8 * MIB });
    const id = await a.put(pattern(5 * MIB, 1));
    b.transfer.want(id, "test", "args");
    await waitUntil(() => b.store.stats().objects === 1, "the copy is there");
    assert.ok(b.store.promote(id));
    await b.put(pattern(5 * MIB, 2));
    await waitUntil(() => b.store.stats().spilled === 1, "the promoted one is spilled");
    assert.deepEqual(await b.get(id), pattern(5 * MIB, 1));
  });
});
