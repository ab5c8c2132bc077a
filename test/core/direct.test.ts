/** The hot messages: what is written is read again, whatever is in it; and bytes that nobody wrote are refused, not believed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DirectReader, PUSH, REPLY, STREAM_ITEM, writePush, writeReply, writeStreamItem } from "../../src/protocol/direct.ts";
import type { Out, Push, ReplyBody } from "../../src/protocol/direct.ts";
import type { Payload } from "../../src/protocol/messages.ts";
import { MalformedMessage } from "../../src/protocol/schema.ts";

/** As a connection, with bytes before and after that belong to others. */
class Written implements Out {
  buffer = Buffer.alloc(0);
  code = 0;
  begin(code: number, length: number): number {
    this.code = code;
    this.buffer = Buffer.alloc(length + 20, 0xee);
    return 10;
  }
  commit(): void {
    assert.ok(this.buffer.subarray(0, 10).every((byte) => byte === 0xee) && this.buffer.subarray(-10).every((byte) => byte === 0xee));
  }
  get end(): number {
    return this.buffer.length - 10;
  }
}

const uint = fc.oneof(fc.nat(200), fc.nat(2 ** 31 - 1), fc.integer({ min: 2 ** 31, max: 2 ** 32 - 1 }), fc.maxSafeNat());
const id = fc.string({ unit: fc.constantFrom(..."0123456789abcdef-"), maxLength: 40 });
const refs = fc.option(fc.array(id, { maxLength: 4 }), { nil: undefined });
const bytes = fc.oneof(fc.uint8Array({ maxLength: 9 }), fc.uint8Array({ maxLength: 300 }));
const inline = fc.record({ kind: fc.constant("inline" as const), bytes, refs }) as fc.Arbitrary<Push["args"]>;
const error = fc.record({ kind: fc.constant("error" as const), bytes, refs });
const stored = fc.record({ kind: fc.constant("stored" as const), id, size: uint });
const payload = fc.oneof(inline, error, stored) as fc.Arbitrary<Payload>;
const push: fc.Arbitrary<Push> = fc.record({
  channel: uint,
  seq: uint,
  fn: uint,
  claim: fc.boolean(),
  shared: fc.boolean(),
  errorsFinal: fc.boolean(),
  streamBuffer: fc.option(uint, { nil: undefined }),
  numReturns: fc.nat(70_000),
  attempt: fc.nat(70_000),
  taskCounter: uint,
  group: fc.string({ unit: "grapheme", maxLength: 20 }),
  args: inline,
  payloads: fc.array(fc.record({ index: uint, payload }), { maxLength: 3 }),
});
const body = fc.oneof(
  fc.record({ kind: fc.constant("returned" as const), results: fc.array(payload, { maxLength: 4 }) }),
  fc.record({ kind: fc.constant("threw" as const), error: payload }),
  fc.record({ kind: fc.constant("stream-ended" as const), length: uint, error: fc.option(payload, { nil: undefined }) }),
) as fc.Arbitrary<ReplyBody>;

// One reader for all: what it keeps from one message must not show in another.
const reader = new DirectReader();

test("hot messages are read as they were written", () => {
  fc.assert(
    fc.property(push, body, uint, uint, uint, payload, (call, answer, channel, seq, runUs, item) => {
      const out = new Written();
      writePush(out, call);
      assert.equal(out.code, PUSH);
      assert.deepEqual(reader.push(out.buffer, 10, out.end), structuredClone(call));
      const head = { channel: 0, seq: 0, runUs: 0 };
      writeReply(out, { channel, seq, runUs }, answer);
      assert.equal(out.code, REPLY);
      assert.deepEqual(reader.reply(out.buffer, 10, out.end, head), structuredClone(answer));
      assert.deepEqual(head, { channel, seq, runUs });
      writeStreamItem(out, channel, seq, runUs, item);
      assert.equal(out.code, STREAM_ITEM);
      assert.deepEqual(reader.streamItem(out.buffer, 10, out.end), { channel, seq, index: runUs, payload: structuredClone(item) });
    }),
    { numRuns: 1000 },
  );
});

test("what is read is no view on the connection's memory", () => {
  const out = new Written();
  for (const length of [1, 3, 8, 9, 100]) {
    const results = [{ kind: "inline" as const, bytes: new Uint8Array(length).fill(7), refs: undefined }];
    writeReply(out, { channel: 1, seq: 2, runUs: 3 }, { kind: "returned", results });
    const read = reader.reply(out.buffer, 10, out.end, { channel: 0, seq: 0, runUs: 0 });
    out.buffer.fill(0);
    assert.deepEqual(read, { kind: "returned", results });
  }
});

test("messages that are cut off, and bytes that nobody wrote, are refused or read to something: nothing else is thrown", () => {
  const read = (buffer: Buffer, end: number): void => {
    for (const each of [
      () => reader.push(buffer, 0, end),
      () => reader.reply(buffer, 0, end, { channel: 0, seq: 0, runUs: 0 }),
      () => reader.streamItem(buffer, 0, end),
    ]) {
      try {
        each();
      } catch (error) {
        assert.ok(error instanceof MalformedMessage, String(error));
      }
    }
  };
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => read(Buffer.from(noise), noise.length)),
    { numRuns: 5000 },
  );
  fc.assert(
    fc.property(push, fc.nat(), (call, cut) => {
      const out = new Written();
      writePush(out, call);
      const end = 10 + (cut % (out.end - 10));
      assert.throws(() => reader.push(out.buffer, 10, end), MalformedMessage);
    }),
  );
});

test("a push of a call without arguments has fewer than 20 bytes, header and all", () => {
  const out = new Written();
  const args: Push["args"] = { kind: "inline", bytes: new Uint8Array([1, 0, 0x80]), refs: undefined };
  const rest = {
    claim: true,
    shared: false,
    errorsFinal: true,
    streamBuffer: undefined,
    numReturns: 1,
    attempt: 0,
    group: "",
    payloads: [],
  };
  writePush(out, { channel: 3, seq: 100_000, fn: 2, taskCounter: 1_000_000, args, ...rest });
  assert.ok(out.end - 10 + 5 < 20, `${out.end - 10 + 5} bytes`);
});
