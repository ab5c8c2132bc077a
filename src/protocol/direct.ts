/**
 * The three hot messages between an owner and a worker, with layouts of their own: fixed fields first, little endian,
 * then bytes. They carry integers that mean something only on their connection (channel, sequence number, function).
 *
 *   push        u16 channel, u32 seq, u32 function, u8 flags, u16 numReturns, u16 attempt, f64 task counter,
 *               u32 stream buffer, u8 length + group, payload of the arguments, u32 count of (u32 place, payload)
 *   reply       u16 channel, u32 seq, u32 run time in us, u8 kind, then: returned: u16 count of payloads;
 *               threw: payload; stream ended: f64 length, u8 with error, payload
 *   stream item u16 channel, u32 seq, u32 index, payload
 *   payload     u8 kind (+128 with refs), inline and error: u32 length + bytes; stored: u16 length + id, f64 size;
 *               refs: u32 count of (u16 length + id)
 */
import type { ActorId, ObjectId } from "./ids.ts";
import type { Payload } from "./messages.ts";
import { MalformedMessage } from "./schema.ts";

declare global {
  // Node has these on every Buffer, faster than `write` and `toString`; its types leave them out.
  interface Buffer {
    latin1Write(text: string, offset: number, length: number): number;
    utf8Write(text: string, offset: number, length: number): number;
    latin1Slice(start: number, end: number): string;
    utf8Slice(start: number, end: number): string;
  }
}

export const PUSH = 128;
export const REPLY = 129;
export const STREAM_ITEM = 130;

const CLAIM = 1;
const STREAM = 2;
const INLINE = 0;
const STORED = 1;
const ERROR = 2;
const WITH_REFS = 128;
const PUSH_FIXED = 2 + 4 + 4 + 1 + 2 + 2 + 8 + 4;

/** Where bytes are written: as `Connection.begin` and `commit`. */
export interface Out {
  begin(code: number, length: number): number;
  readonly buffer: Buffer;
  commit(): void;
}

export type InlinePayload = Payload & { readonly kind: "inline" };

export interface Push {
  channel: number;
  seq: number;
  fn: number;
  claim: boolean;
  /** Unread items at which a generator waits; undefined for a plain call. */
  streamBuffer: number | undefined;
  numReturns: number;
  attempt: number;
  taskCounter: number;
  group: string;
  args: InlinePayload;
  payloads: { index: number; payload: Payload }[];
}

export interface ReplyHead {
  channel: number;
  seq: number;
  runUs: number;
}

export type ReplyBody =
  | { readonly kind: "returned"; readonly results: readonly Payload[] }
  | { readonly kind: "threw"; readonly error: Payload }
  | { readonly kind: "stream-ended"; readonly length: number; readonly error: Payload | undefined };

function payloadSize(p: Payload): number {
  let size = 1;
  if (p.kind === "stored") size += 2 + p.id.length + 8;
  else {
    size += 4 + p.bytes.byteLength;
    if (p.refs) {
      size += 4;
      for (const id of p.refs) size += 2 + id.length;
    }
  }
  return size;
}

function putText(out: Buffer, text: string, at: number): number {
  out.writeUInt16LE(text.length, at);
  return at + 2 + out.latin1Write(text, at + 2, text.length);
}

function putPayload(out: Buffer, p: Payload, start: number): number {
  let at = start;
  if (p.kind === "stored") {
    out[at] = STORED;
    at = putText(out, p.id, at + 1);
    return out.writeDoubleLE(p.size, at);
  }
  out[at] = (p.kind === "inline" ? INLINE : ERROR) | (p.refs ? WITH_REFS : 0);
  at = out.writeUInt32LE(p.bytes.byteLength, at + 1);
  out.set(p.bytes, at);
  at += p.bytes.byteLength;
  if (p.refs) {
    at = out.writeUInt32LE(p.refs.length, at);
    for (const id of p.refs) at = putText(out, id, at);
  }
  return at;
}

export function writePush(to: Out, p: Push): void {
  const group = p.group === "" ? 0 : Buffer.byteLength(p.group);
  let size = PUSH_FIXED + 1 + group + payloadSize(p.args) + 4;
  for (const each of p.payloads) size += 4 + payloadSize(each.payload);
  let at = to.begin(PUSH, size);
  const out = to.buffer;
  at = out.writeUInt16LE(p.channel, at);
  at = out.writeUInt32LE(p.seq, at);
  at = out.writeUInt32LE(p.fn, at);
  out[at++] = (p.claim ? CLAIM : 0) | (p.streamBuffer === undefined ? 0 : STREAM);
  at = out.writeUInt16LE(p.numReturns, at);
  at = out.writeUInt16LE(p.attempt, at);
  at = out.writeDoubleLE(p.taskCounter, at);
  at = out.writeUInt32LE(p.streamBuffer ?? 0, at);
  out[at++] = group;
  if (group > 0) at += out.utf8Write(p.group, at, group);
  at = putPayload(out, p.args, at);
  at = out.writeUInt32LE(p.payloads.length, at);
  for (const each of p.payloads) at = putPayload(out, each.payload, out.writeUInt32LE(each.index, at));
  to.commit();
}

export function writeReply(to: Out, head: ReplyHead, body: ReplyBody): void {
  let size = 11;
  if (body.kind === "returned") {
    size += 2;
    for (const p of body.results) size += payloadSize(p);
  } else if (body.kind === "threw") size += payloadSize(body.error);
  else size += 9 + (body.error ? payloadSize(body.error) : 0);
  let at = to.begin(REPLY, size);
  const out = to.buffer;
  at = out.writeUInt16LE(head.channel, at);
  at = out.writeUInt32LE(head.seq, at);
  at = out.writeUInt32LE(Math.min(0xffff_ffff, Math.round(head.runUs)), at);
  if (body.kind === "returned") {
    out[at++] = 0;
    at = out.writeUInt16LE(body.results.length, at);
    for (const p of body.results) at = putPayload(out, p, at);
  } else if (body.kind === "threw") {
    out[at++] = 1;
    putPayload(out, body.error, at);
  } else {
    out[at++] = 2;
    at = out.writeDoubleLE(body.length, at);
    out[at++] = body.error ? 1 : 0;
    if (body.error) putPayload(out, body.error, at);
  }
  to.commit();
}

export function writeStreamItem(to: Out, channel: number, seq: number, index: number, payload: Payload): void {
  let at = to.begin(STREAM_ITEM, 10 + payloadSize(payload));
  const out = to.buffer;
  at = out.writeUInt16LE(channel, at);
  at = out.writeUInt32LE(seq, at);
  at = out.writeUInt32LE(index, at);
  putPayload(out, payload, at);
  to.commit();
}

/** Reads one message's body; every length is checked against the end of it. Bytes that are kept are copies. */
export class DirectReader {
  #in: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  #open(buffer: Buffer, at: number, end: number): void {
    this.#in = buffer;
    this.#at = at;
    this.#end = end;
  }

  #need(length: number): number {
    const at = this.#at;
    if (at + length > this.#end) throw new MalformedMessage("direct message", `${length} more bytes`, this.#end - at);
    this.#at = at + length;
    return at;
  }

  #u8(): number {
    return this.#in[this.#need(1)]!;
  }

  #u16(): number {
    return this.#in.readUInt16LE(this.#need(2));
  }

  #u32(): number {
    return this.#in.readUInt32LE(this.#need(4));
  }

  #f64(): number {
    return this.#in.readDoubleLE(this.#need(8));
  }

  #text(): string {
    const length = this.#u16();
    const at = this.#need(length);
    return this.#in.latin1Slice(at, at + length);
  }

  #bytes(): Uint8Array {
    const length = this.#u32();
    const at = this.#need(length);
    return Uint8Array.prototype.slice.call(this.#in, at, at + length);
  }

  #payload(): Payload {
    const kind = this.#u8();
    if (kind === INLINE) return { kind: "inline", bytes: this.#bytes(), refs: undefined };
    if (kind === STORED) return { kind: "stored", id: this.#text() as ObjectId, size: this.#f64() };
    if ((kind & ~WITH_REFS) !== INLINE && (kind & ~WITH_REFS) !== ERROR) throw new MalformedMessage("payload", "a known kind", kind);
    const bytes = this.#bytes();
    let refs: (ObjectId | ActorId)[] | undefined;
    if (kind & WITH_REFS) {
      const count = this.#u32();
      refs = [];
      for (let i = 0; i < count; i++) refs.push(this.#text() as ObjectId);
    }
    return { kind: (kind & ~WITH_REFS) === INLINE ? "inline" : "error", bytes, refs };
  }

  push(buffer: Buffer, start: number, end: number): Push {
    this.#open(buffer, start, end);
    const channel = this.#u16();
    const seq = this.#u32();
    const fn = this.#u32();
    const flags = this.#u8();
    const numReturns = this.#u16();
    const attempt = this.#u16();
    const taskCounter = this.#f64();
    const streamBuffer = this.#u32();
    const groupLength = this.#u8();
    const groupAt = this.#need(groupLength);
    const group = groupLength === 0 ? "" : buffer.utf8Slice(groupAt, groupAt + groupLength);
    const args = this.#payload();
    if (args.kind !== "inline") throw new MalformedMessage("push", "inline arguments", args.kind);
    const count = this.#u32();
    const payloads: Push["payloads"] = [];
    for (let i = 0; i < count; i++) payloads.push({ index: this.#u32(), payload: this.#payload() });
    const claim = (flags & CLAIM) !== 0;
    const stream = (flags & STREAM) !== 0 ? streamBuffer : undefined;
    return { channel, seq, fn, claim, streamBuffer: stream, numReturns, attempt, taskCounter, group, args, payloads };
  }

  reply(buffer: Buffer, start: number, end: number, head: ReplyHead): ReplyBody {
    this.#open(buffer, start, end);
    head.channel = this.#u16();
    head.seq = this.#u32();
    head.runUs = this.#u32();
    const kind = this.#u8();
    if (kind === 0) {
      const count = this.#u16();
      const results: Payload[] = [];
      for (let i = 0; i < count; i++) results.push(this.#payload());
      return { kind: "returned", results };
    }
    if (kind === 1) return { kind: "threw", error: this.#payload() };
    if (kind !== 2) throw new MalformedMessage("reply", "a known kind", kind);
    const length = this.#f64();
    return { kind: "stream-ended", length, error: this.#u8() === 1 ? this.#payload() : undefined };
  }

  streamItem(buffer: Buffer, start: number, end: number): { channel: number; seq: number; index: number; payload: Payload } {
    this.#open(buffer, start, end);
    return { channel: this.#u16(), seq: this.#u32(), index: this.#u32(), payload: this.#payload() };
  }
}
