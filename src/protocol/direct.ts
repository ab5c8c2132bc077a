/**
 * The three hot messages between an owner and a worker, with layouts of their own. A number is a varint: seven bits a byte, the
 * low ones first, the top bit set where more follow. They carry integers that mean something only on their connection (channel,
 * sequence number, function). What a tiny call leaves at its default is a bit and no bytes: a push of one is about 15 bytes.
 *
 *   push        u8 flags, channel, seq, function, task counter, then what the flags announce: stream buffer; numReturns;
 *               attempt; u8 length + group; and always: payload of the arguments; and if announced: count of (place, payload)
 *   reply       u8 kind, channel, seq, run time in us, then: returned: count of payloads; threw: payload;
 *               stream ended: length, u8 with error, payload
 *   stream item channel, seq, index, payload
 *   payload     u8 kind (+128 with refs), inline and error: length + bytes; stored: length + id, size;
 *               refs: count of (length + id)
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

export const PUSH = 224;
export const REPLY = 225;
export const STREAM_ITEM = 226;

// Flags of a push.
const CLAIM = 1;
const STREAM = 2;
const RETURNS = 4;
const ATTEMPT = 8;
const GROUP = 16;
const PAYLOADS = 32;
const SHARED = 64;
const ERRORS_FINAL = 128;
// Kinds of a reply.
const RETURNED = 0;
const THREW = 1;
const STREAM_ENDED = 2;
// Kinds of a payload.
const INLINE = 0;
const STORED = 1;
const ERROR = 2;
const WITH_REFS = 128;
/** Up to here a loop over the bytes beats a call into the runtime. */
const LOOP = 24;
/** Payloads so small are kept once: most results of tiny calls are one of a few (nothing, true, 0, "ok"). Bytes; slots, a power of two. */
const SHARED_MAX = 8;
const SHARED_SLOTS = 256;

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
  /** Others hold refs to its results: the node is told of them too. */
  shared: boolean;
  /** Its owner will not run it again for what user code throws, so that is a result as well. */
  errorsFinal: boolean;
  numReturns: number;
  attempt: number;
  taskCounter: number;
  group: string;
  args: InlinePayload;
  payloads: { index: number; payload: Payload }[];
  /** Not on the wire: refs inside, held by its receiver for as long as it has the call. */
  holds?: readonly object[];
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

function uintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  if (value < 0x20_0000) return 3;
  let size = 4;
  for (let rest = value / 0x1000_0000; rest >= 1; rest /= 0x80) size++;
  return size;
}

const NO_IDS: readonly (ObjectId | ActorId)[] = [];

/**
 * The ids in an answer's payloads: its sender says them before it sends it, and its receiver counts it, if there are any, as a
 * parcel. What is stored was made for the receiver.
 */
export function parcelOf(payloads: readonly Payload[]): readonly (ObjectId | ActorId)[] {
  let ids: (ObjectId | ActorId)[] | undefined;
  for (const payload of payloads) {
    if (payload.kind === "stored") (ids ??= []).push(payload.id);
    else if (payload.refs) ids = ids ? [...ids, ...payload.refs] : [...payload.refs];
  }
  return ids ?? NO_IDS;
}

export function replyParcel(body: ReplyBody): readonly (ObjectId | ActorId)[] {
  if (body.kind === "returned") return parcelOf(body.results);
  return body.error ? parcelOf([body.error]) : NO_IDS;
}

/** The same of a push. What is stored among its arguments its owner holds for as long as the call runs. */
export function pushParcel(args: InlinePayload, payloads: Push["payloads"]): readonly (ObjectId | ActorId)[] {
  let ids: readonly (ObjectId | ActorId)[] = args.refs ?? NO_IDS;
  for (const { payload } of payloads) if (payload.kind !== "stored" && payload.refs) ids = [...ids, ...payload.refs];
  return ids;
}

function payloadSize(p: Payload): number {
  if (p.kind === "stored") return 1 + textSize(p.id) + uintSize(p.size);
  let size = 1 + uintSize(p.bytes.length) + p.bytes.length;
  if (p.refs) {
    size += uintSize(p.refs.length);
    for (const id of p.refs) size += textSize(id);
  }
  return size;
}

const textSize = (text: string): number => uintSize(text.length) + text.length;

function putUint(out: Buffer, value: number, start: number): number {
  let at = start;
  let rest = value;
  // Beyond 31 bits shifts lose the top.
  for (; rest > 0x7fff_ffff; rest = Math.floor(rest / 0x80)) out[at++] = (rest % 0x80) | 0x80;
  for (; rest > 0x7f; rest >>= 7) out[at++] = (rest & 0x7f) | 0x80;
  out[at] = rest;
  return at + 1;
}

function putText(out: Buffer, text: string, start: number): number {
  const at = putUint(out, text.length, start);
  return at + out.latin1Write(text, at, text.length);
}

function putBytes(out: Buffer, bytes: Uint8Array, at: number): number {
  const { length } = bytes;
  if (length > LOOP) out.set(bytes, at);
  else for (let i = 0; i < length; i++) out[at + i] = bytes[i]!;
  return at + length;
}

function putPayload(out: Buffer, p: Payload, start: number): number {
  let at = start;
  if (p.kind === "stored") {
    out[at] = STORED;
    at = putText(out, p.id, at + 1);
    return putUint(out, p.size, at);
  }
  out[at] = (p.kind === "inline" ? INLINE : ERROR) | (p.refs ? WITH_REFS : 0);
  at = putBytes(out, p.bytes, putUint(out, p.bytes.length, at + 1));
  if (p.refs) {
    at = putUint(out, p.refs.length, at);
    for (const id of p.refs) at = putText(out, id, at);
  }
  return at;
}

export function writePush(to: Out, p: Push): void {
  const { channel, seq, fn, taskCounter, numReturns, attempt, streamBuffer, args, payloads } = p;
  const group = p.group === "" ? 0 : Buffer.byteLength(p.group);
  let flags = (p.claim ? CLAIM : 0) | (p.shared ? SHARED : 0) | (p.errorsFinal ? ERRORS_FINAL : 0);
  let size = 1 + uintSize(channel) + uintSize(seq) + uintSize(fn) + uintSize(taskCounter) + payloadSize(args);
  if (streamBuffer !== undefined) {
    flags |= STREAM;
    size += uintSize(streamBuffer);
  }
  if (numReturns !== 1) {
    flags |= RETURNS;
    size += uintSize(numReturns);
  }
  if (attempt > 0) {
    flags |= ATTEMPT;
    size += uintSize(attempt);
  }
  if (group > 0) {
    flags |= GROUP;
    size += 1 + group;
  }
  if (payloads.length > 0) {
    flags |= PAYLOADS;
    size += uintSize(payloads.length);
    for (const each of payloads) size += uintSize(each.index) + payloadSize(each.payload);
  }
  let at = to.begin(PUSH, size);
  const out = to.buffer;
  out[at++] = flags;
  at = putUint(out, channel, at);
  at = putUint(out, seq, at);
  at = putUint(out, fn, at);
  at = putUint(out, taskCounter, at);
  if (streamBuffer !== undefined) at = putUint(out, streamBuffer, at);
  if (numReturns !== 1) at = putUint(out, numReturns, at);
  if (attempt > 0) at = putUint(out, attempt, at);
  if (group > 0) {
    out[at++] = group;
    at += out.utf8Write(p.group, at, group);
  }
  at = putPayload(out, args, at);
  if (payloads.length > 0) {
    at = putUint(out, payloads.length, at);
    for (const each of payloads) at = putPayload(out, each.payload, putUint(out, each.index, at));
  }
  to.commit();
}

export function writeReply(to: Out, head: ReplyHead, body: ReplyBody): void {
  const runUs = Math.round(head.runUs);
  let size = 1 + uintSize(head.channel) + uintSize(head.seq) + uintSize(runUs);
  if (body.kind === "returned") {
    size += uintSize(body.results.length);
    for (const p of body.results) size += payloadSize(p);
  } else if (body.kind === "threw") size += payloadSize(body.error);
  else size += uintSize(body.length) + 1 + (body.error ? payloadSize(body.error) : 0);
  let at = to.begin(REPLY, size);
  const out = to.buffer;
  out[at++] = body.kind === "returned" ? RETURNED : body.kind === "threw" ? THREW : STREAM_ENDED;
  at = putUint(out, head.channel, at);
  at = putUint(out, head.seq, at);
  at = putUint(out, runUs, at);
  if (body.kind === "returned") {
    at = putUint(out, body.results.length, at);
    for (const p of body.results) at = putPayload(out, p, at);
  } else if (body.kind === "threw") putPayload(out, body.error, at);
  else {
    at = putUint(out, body.length, at);
    out[at++] = body.error ? 1 : 0;
    if (body.error) putPayload(out, body.error, at);
  }
  to.commit();
}

export function writeStreamItem(to: Out, channel: number, seq: number, index: number, payload: Payload): void {
  let at = to.begin(STREAM_ITEM, uintSize(channel) + uintSize(seq) + uintSize(index) + payloadSize(payload));
  const out = to.buffer;
  at = putUint(out, channel, at);
  at = putUint(out, seq, at);
  at = putUint(out, index, at);
  putPayload(out, payload, at);
  to.commit();
}

const NO_PAYLOADS: Push["payloads"] = [];

/** Reads one message's body; every length is checked against the end of it. Bytes that are kept are copies, never to be written to. */
export class DirectReader {
  #in: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;
  readonly #shared = new Array<InlinePayload | undefined>(SHARED_SLOTS);

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

  #uint(): number {
    const first = this.#u8();
    if (first < 0x80) return first;
    let value = first & 0x7f;
    for (let scale = 0x80; scale <= 2 ** 49; scale *= 0x80) {
      const byte = this.#u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80 && value <= Number.MAX_SAFE_INTEGER) return value;
    }
    throw new MalformedMessage("number", "at most 2^53", value);
  }

  #text(): string {
    const length = this.#uint();
    const at = this.#need(length);
    return this.#in.latin1Slice(at, at + length);
  }

  #bytes(length: number): Uint8Array {
    const from = this.#in;
    const at = this.#need(length);
    const bytes = new Uint8Array(length);
    if (length > LOOP) bytes.set(from.subarray(at, at + length));
    else for (let i = 0; i < length; i++) bytes[i] = from[at + i]!;
    return bytes;
  }

  #inline(): Payload {
    const length = this.#uint();
    if (length > SHARED_MAX || length === 0) return { kind: "inline", bytes: this.#bytes(length), refs: undefined };
    const from = this.#in;
    const at = this.#need(length);
    const slot = (from[at + length - 1]! + length * 31) & (SHARED_SLOTS - 1);
    const shared = this.#shared[slot];
    if (shared?.bytes.length === length) {
      const { bytes } = shared;
      let i = 0;
      while (i < length && bytes[i] === from[at + i]) i++;
      if (i === length) return shared;
    }
    this.#at = at;
    const payload: InlinePayload = { kind: "inline", bytes: this.#bytes(length), refs: undefined };
    this.#shared[slot] = payload;
    return payload;
  }

  #payload(): Payload {
    const kind = this.#u8();
    if (kind === INLINE) return this.#inline();
    if (kind === STORED) return { kind: "stored", id: this.#text() as ObjectId, size: this.#uint() };
    if ((kind & ~WITH_REFS) !== INLINE && (kind & ~WITH_REFS) !== ERROR) throw new MalformedMessage("payload", "a known kind", kind);
    const bytes = this.#bytes(this.#uint());
    let refs: (ObjectId | ActorId)[] | undefined;
    if (kind & WITH_REFS) {
      const count = this.#uint();
      refs = [];
      for (let i = 0; i < count; i++) refs.push(this.#text() as ObjectId);
    }
    return { kind: (kind & ~WITH_REFS) === INLINE ? "inline" : "error", bytes, refs };
  }

  push(buffer: Buffer, start: number, end: number): Push {
    this.#open(buffer, start, end);
    const flags = this.#u8();
    const channel = this.#uint();
    const seq = this.#uint();
    const fn = this.#uint();
    const taskCounter = this.#uint();
    const streamBuffer = flags & STREAM ? this.#uint() : undefined;
    const numReturns = flags & RETURNS ? this.#uint() : 1;
    const attempt = flags & ATTEMPT ? this.#uint() : 0;
    let group = "";
    if (flags & GROUP) {
      const length = this.#u8();
      const at = this.#need(length);
      group = buffer.utf8Slice(at, at + length);
    }
    const args = this.#payload();
    if (args.kind !== "inline") throw new MalformedMessage("push", "inline arguments", args.kind);
    let payloads = NO_PAYLOADS;
    if (flags & PAYLOADS) {
      const count = this.#uint();
      payloads = [];
      for (let i = 0; i < count; i++) payloads.push({ index: this.#uint(), payload: this.#payload() });
    }
    const claim = (flags & CLAIM) !== 0;
    const shared = (flags & SHARED) !== 0;
    const errorsFinal = (flags & ERRORS_FINAL) !== 0;
    return { channel, seq, fn, claim, streamBuffer, shared, errorsFinal, numReturns, attempt, taskCounter, group, args, payloads };
  }

  reply(buffer: Buffer, start: number, end: number, head: ReplyHead): ReplyBody {
    this.#open(buffer, start, end);
    const kind = this.#u8();
    head.channel = this.#uint();
    head.seq = this.#uint();
    head.runUs = this.#uint();
    if (kind === RETURNED) {
      const count = this.#uint();
      if (count === 1) return { kind: "returned", results: [this.#payload()] };
      const results: Payload[] = [];
      for (let i = 0; i < count; i++) results.push(this.#payload());
      return { kind: "returned", results };
    }
    if (kind === THREW) return { kind: "threw", error: this.#payload() };
    if (kind !== STREAM_ENDED) throw new MalformedMessage("reply", "a known kind", kind);
    const length = this.#uint();
    return { kind: "stream-ended", length, error: this.#u8() === 1 ? this.#payload() : undefined };
  }

  streamItem(buffer: Buffer, start: number, end: number): { channel: number; seq: number; index: number; payload: Payload } {
    this.#open(buffer, start, end);
    return { channel: this.#uint(), seq: this.#uint(), index: this.#uint(), payload: this.#payload() };
  }
}
