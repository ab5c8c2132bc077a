/** The connection between two processes of one machine, where its peer is slow: what waits is what was sent, and nothing around it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { Socket } from "node:net";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { waitUntil } from "../harness/index.ts";

const ignored = { message: () => undefined, closed: () => undefined };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A connection, and the socket at its other end, which nobody reads. */
async function pair(): Promise<{ connection: Connection; peer: Socket; close: () => void }> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "connection-"));
  const server = createServer({ pauseOnConnect: true }).listen(path.join(folder, "s"));
  await once(server, "listening");
  const socket = connect(path.join(folder, "s"));
  const [[peer]] = (await Promise.all([once(server, "connection"), once(socket, "connect")])) as [[Socket], unknown];
  const connection = new Connection(socket, ignored);
  const close = (): void => {
    connection.destroy();
    peer.destroy();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { connection, peer, close };
}

function write(connection: Connection, bytes: Uint8Array): void {
  const at = connection.begin(200, bytes.byteLength);
  connection.buffer.set(bytes, at);
  connection.commit();
}

test("a peer that does not read costs the bytes that wait for it, not a buffer a turn", async (t) => {
  const { connection, peer, close } = await pair();
  t.after(close);
  const sent: Buffer[] = [];
  // The kernel has some room of its own.
  while (connection.queuedBytes === 0) {
    sent.push(Buffer.alloc(60_000, sent.length));
    write(connection, sent.at(-1)!);
    await turn();
  }
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 1000; i++) {
    sent.push(Buffer.alloc(100, i));
    write(connection, sent.at(-1)!);
    await turn();
  }
  const grown = process.memoryUsage().arrayBuffers - before;
  // 1000 of 105 bytes, and as much again in this test; a buffer of 68 KB for each would be 68 MB.
  assert.ok(grown < 2e6, `${grown} bytes more for 105,000 that wait`);

  const received: Buffer[] = [];
  let length = 0;
  peer.on("data", (chunk: Buffer) => {
    received.push(chunk);
    length += chunk.byteLength;
  });
  peer.resume();
  const expected = Buffer.concat(sent.flatMap((bytes) => [header(bytes.byteLength), bytes]));
  await waitUntil(() => length >= expected.byteLength, "everything has come");
  assert.ok(Buffer.concat(received).equals(expected), "all of it, in order");
});

function header(length: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32LE(length + 1);
  bytes[4] = 200;
  return bytes;
}
