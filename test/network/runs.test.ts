/** Messages of one kind in a row share a frame, and mean what they mean one by one. */
import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import type { Socket } from "node:net";
import { test } from "node:test";
import { Connection } from "../../src/runtime/transport/connection.ts";
import { codeOf, encodeBody, RUN, RUN_BYTES_MAX } from "../../src/protocol/wire.ts";
import type { ObjectId } from "../../src/protocol/ids.ts";
import { waitUntil } from "../harness/index.ts";

const id = (i: number): ObjectId => `aaaaaa000000-${i}` as ObjectId;

/** Both ends of a connection in this process, and the codes of the frames that went over. */
function pair(): {
  near: Connection;
  frames: number[];
  got: [string, unknown][];
  ended: () => Error | undefined | null;
  feed: (bytes: Buffer) => void;
} {
  const frames: number[] = [];
  const got: [string, unknown][] = [];
  let over: Error | undefined | null = null;
  const arrive = (bytes: Buffer): void => void far.push(bytes);
  const socket = (write: (bytes: Buffer) => void): Duplex =>
    new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        write(Buffer.from(chunk));
        done();
      },
    });
  const far = socket(() => undefined);
  const near = new Connection(
    socket((bytes) => {
      for (let at = 0; at < bytes.byteLength; at += 4 + bytes.readUInt32LE(at)) frames.push(bytes[at + 4]!);
      // In two halves: a run may be cut anywhere.
      const half = bytes.byteLength >> 1;
      arrive(bytes.subarray(0, half));
      arrive(bytes.subarray(half));
    }) as Socket,
    { message: () => undefined, closed: () => undefined },
  );
  void new Connection(far as Socket, {
    message: (name, body) => void got.push([name, body]),
    closed: (error) => (over = error),
  });
  return { near, frames, got, ended: () => over, feed: arrive };
}

test("messages of one kind in a row are one frame, others end it, and all arrive in their order", async () => {
  const { near, frames, got } = pair();
  const sent: [string, unknown][] = [];
  const send = (name: "refAdd" | "objectFetch" | "refDrop", i: number): void => {
    const body = name === "refDrop" ? { id: id(i), count: i } : { id: id(i) };
    sent.push([name, body]);
    near.send(name, body as never);
  };
  for (let i = 0; i < 20; i++) send("refAdd", i);
  for (let i = 0; i < 20; i++) send("objectFetch", i);
  send("refDrop", 1);
  send("refAdd", 1);
  await waitUntil(() => got.length === sent.length, "all have come");
  assert.deepEqual(got, sent);
  assert.deepEqual(frames, [RUN, RUN, RUN, RUN]);
});

test("a run ends with a flush, with its size, and before a large message, which has a frame of its own", async () => {
  const { near, frames, got } = pair();
  near.send("refAdd", { id: id(0) });
  near.flush();
  near.send("refAdd", { id: id(1) });
  near.flush();
  assert.deepEqual(frames.splice(0), [RUN, RUN]);
  const large = (bytes: number): never => ({ kind: "inline", bytes: new Uint8Array(bytes), refs: undefined }) as never;
  near.send("objectEscape", { id: id(2), payload: undefined });
  near.send("objectEscape", { id: id(3), payload: large(20_000) });
  near.send("objectEscape", { id: id(4), payload: undefined });
  // Longer than all the room that there is.
  near.send("objectEscape", { id: id(5), payload: large(1_000_000) });
  near.flush();
  assert.deepEqual(frames.splice(0), [RUN, codeOf("objectEscape"), RUN, codeOf("objectEscape")]);
  const many = 20_000;
  for (let i = 0; i < many; i++) near.send("refAdd", { id: id(i) });
  await waitUntil(() => got.length === many + 6, "all have come");
  assert.deepEqual(
    got.slice(6).map(([, body]) => (body as { id: string }).id),
    Array.from({ length: many }, (_, i) => id(i)),
  );
  assert.ok(frames.length < many / 50, `${frames.length} frames`);
});

test("a run of something else than messages ends the connection", async () => {
  const framed = (body: Buffer): Buffer => {
    const head = Buffer.alloc(5);
    head.writeUInt32LE(body.byteLength + 1);
    head[4] = RUN;
    return Buffer.concat([head, body]);
  };
  const one = Buffer.from(encodeBody("refAdd", { id: id(1) }));
  const wrong: Record<string, Buffer> = {
    "no code": Buffer.alloc(0),
    "an unknown code": Buffer.from([223, 0xdc, 0, 0]),
    "no array": Buffer.from([codeOf("refAdd"), 1]),
    "fewer than it says": Buffer.concat([Buffer.from([codeOf("refAdd"), 0xdc, 0, 2]), one]),
    "more than it says": Buffer.concat([Buffer.from([codeOf("refAdd"), 0xdc, 0, 1]), one, one]),
    "a body of another kind": Buffer.concat([Buffer.from([codeOf("refDrop"), 0xdc, 0, 1]), one]),
    "a run of runs": Buffer.from([RUN, 0xdc, 0, 1, 0x90]),
    "too long": Buffer.alloc(RUN_BYTES_MAX + 1, codeOf("refAdd")),
  };
  for (const [what, body] of Object.entries(wrong)) {
    const { got, feed, ended } = pair();
    feed(framed(body));
    await waitUntil(() => ended() !== null, what);
    assert.equal((ended() as Error).name, "MalformedMessage", what);
    assert.deepEqual(got, [], what);
  }
});
