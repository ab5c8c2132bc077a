/**
 * The frames of bulk connections. Pure: no socket here.
 *
 *   frame     u8 kind, u8 flags, u16 mark, u32 length, f64 at, 16 bytes checksum (zero without the flag), payload. Little endian.
 *   request   dialler -> listener: the bytes from `at` on of the object that the payload names
 *   begin     listener -> dialler: `at` bytes in all; the payload names the run of the task that made them
 *   data      the bytes at `at`, in order
 *   redirect  ask one of these nodes: ids of 12 hex digits
 *   refuse    it cannot be had here; the payload says why
 *
 * The dialler speaks first and asks for one object at a time; after its last byte, a redirect or a refusal it may ask for the next.
 *
 * The checksum is the tag of AES-128-GCM, under a key of zeros, over the head and the payload: of all that Node offers
 * it is by far the fastest (docs/decisions/0018-transfer.md). It finds accidents. It proves nothing about who wrote the frame: TLS does.
 */
import { createCipheriv } from "node:crypto";

export const KIND = { request: 1, begin: 2, data: 3, redirect: 4, refuse: 5 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];
/** `checked`: the checksum is there; `insist`: no redirect, please; `checksums`: data with checksums, please. */
export const FLAG = { checked: 1, insist: 2, checksums: 4 } as const;

export const HEAD_BYTES = 32;
/** Of data; a store hands out no more at a time. */
export const DATA_MAX = 2 ** 20;
/** Of everything else. */
export const TEXT_MAX = 64 * 1024;
const MARK = 0x626d;
const SUMMED = 16;

const KEY = new Uint8Array(16);
const IV = new Uint8Array(12);

export interface Head {
  readonly kind: Kind;
  readonly flags: number;
  readonly length: number;
  readonly at: number;
}

/** What came is no frame, or not the one that was sent. */
export class BadFrame extends Error {}

function checksum(head: Uint8Array, payload: Uint8Array): Buffer {
  const cipher = createCipheriv("aes-128-gcm", KEY, IV);
  cipher.setAAD(head);
  if (payload.byteLength > 0) cipher.setAAD(payload);
  cipher.final();
  return cipher.getAuthTag();
}

/** The head of a frame; its payload follows as it is. */
export function encodeHead({ kind, flags, at }: Omit<Head, "length">, payload: Uint8Array, checked: boolean): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head[0] = kind;
  head[1] = checked ? flags | FLAG.checked : flags;
  head.writeUInt16LE(MARK, 2);
  head.writeUInt32LE(payload.byteLength, 4);
  head.writeDoubleLE(at, 8);
  if (checked) checksum(head.subarray(0, SUMMED), payload).copy(head, SUMMED);
  return head;
}

function decodeHead(bytes: Buffer): Head {
  const kind = bytes[0] as Kind;
  const length = bytes.readUInt32LE(4);
  const at = bytes.readDoubleLE(8);
  const known = kind >= KIND.request && kind <= KIND.refuse && bytes.readUInt16LE(2) === MARK;
  if (!known || length > (kind === KIND.data ? DATA_MAX : TEXT_MAX) || !Number.isSafeInteger(at) || at < 0) {
    throw new BadFrame("what came is no frame");
  }
  return { kind, flags: bytes[1]!, length, at };
}

export interface FrameEvents {
  /** Where the payload goes: exactly `head.length` bytes, one or more. Throws BadFrame if this frame is not due. */
  place(head: Head): Uint8Array;
  /** It is whole, and right. Nothing more is to be read before a promise is fulfilled. */
  frame(head: Head, payload: Uint8Array): void | Promise<void>;
}

const EMPTY = new Uint8Array(0);

/** Gathers frames: it says where the next bytes go. Throws BadFrame at the first wrong one; then it is not to be used any more. */
export class FrameReader {
  readonly #events: FrameEvents;
  readonly #head = Buffer.alloc(HEAD_BYTES);
  #used = 0;
  #frame: Head | undefined;
  #payload: Uint8Array = EMPTY;

  constructor(events: FrameEvents) {
    this.#events = events;
  }

  /** Never empty. */
  buffer(): Uint8Array {
    return (this.#frame === undefined ? this.#head : this.#payload).subarray(this.#used);
  }

  took(length: number): void | Promise<void> {
    this.#used += length;
    if (this.#frame === undefined) {
      if (this.#used < HEAD_BYTES) return;
      this.#frame = decodeHead(this.#head);
      this.#payload = this.#frame.length === 0 ? EMPTY : this.#events.place(this.#frame);
      this.#used = 0;
    }
    if (this.#used < this.#frame.length) return;
    return this.#whole(this.#frame, this.#payload);
  }

  #whole(frame: Head, payload: Uint8Array): void | Promise<void> {
    if ((frame.flags & FLAG.checked) !== 0) {
      const right = checksum(this.#head.subarray(0, SUMMED), payload);
      if (right.compare(this.#head, SUMMED, HEAD_BYTES) !== 0) throw new BadFrame("a frame came damaged: its checksum is wrong");
    } else if (frame.kind !== KIND.data) throw new BadFrame("a frame came without its checksum");
    this.#frame = undefined;
    this.#payload = EMPTY;
    this.#used = 0;
    return this.#events.frame(frame, payload);
  }
}
