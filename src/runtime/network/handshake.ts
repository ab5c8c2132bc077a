/**
 * The bytes with which every connection between machines begins, before anything else, and what they prove. Pure: no socket
 * here (dial.ts, listen.ts).
 *
 *   frame      "mobula", u16 protocol version, u8 kind, u16 length, body of at most BODY_MAX bytes. Never changes.
 *   hello      dialler -> listener: its claims, what the connection is for, the cluster it looks for, the name of the
 *              credential, a nonce
 *   challenge  listener -> dialler: its claims, its cluster, a nonce
 *   answer     dialler -> listener: HMAC of the secret over both and, with TLS, over a value of this TLS session alone
 *   welcome    listener -> dialler: the same with another domain. From the next byte on the connection is its user's.
 *   refusal    listener -> dialler: u8 reason, the listener's cluster if that is why
 *
 * The dialler proves itself first, so that a listener tells strangers nothing that depends on the secret. Nonces of both sides
 * make a recorded handshake worthless. Without TLS what follows is neither secret nor sealed: see SECURITY.md.
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import { PROTOCOL_VERSION } from "../../protocol/version.ts";
import { authenticate } from "./secret.ts";
import type { Secret } from "./secret.ts";

const MAGIC = Buffer.from("mobula");
export const HEADER_BYTES = MAGIC.byteLength + 5;
export const BODY_MAX = 1024;
const NONCE_BYTES = 32;
const TEXT_MAX = 128;
export const PROOF_BYTES = 32;

export const FRAME = { refusal: 0, hello: 1, challenge: 2, answer: 3, welcome: 4 } as const;
export type FrameKind = (typeof FRAME)[keyof typeof FRAME];
export const REFUSAL = { version: 1, cluster: 2, secret: 3, busy: 4, malformed: 5, tls: 6 } as const;
export type Refusal = (typeof REFUSAL)[keyof typeof REFUSAL];

/** `client`: a program or command. `owner` and `worker`: a process that submits work, and the one it pushes to. */
export const roles = ["node", "control", "client", "owner", "worker"] as const;
export type Role = (typeof roles)[number];

/** Who is at one end. */
export interface Self {
  readonly role: Role;
  /** Letters, digits and `_ . : @ -`, at most 128. */
  readonly id: string;
  /** Grows each time that the holder of this id starts anew; an integer. */
  readonly incarnation: number;
}

export interface Hello extends Self {
  /** "" where the dialler does not know it. */
  readonly clusterId: string;
  readonly credential: string;
  /** What the connection is for: the two users of the connection agree on the word. */
  readonly purpose: string;
  readonly nonce: Uint8Array;
}

export interface Challenge extends Self {
  readonly clusterId: string;
  readonly nonce: Uint8Array;
}

export interface Frame {
  readonly kind: number;
  readonly body: Buffer;
}

/** What came is not of this handshake, or is one of another version. */
export class BadHandshake extends Error {
  /** The other side's protocol version, if it is one of mobula. */
  readonly version: number | undefined;
  /** The first bytes, where they are not mobula's. */
  readonly start: Buffer | undefined;

  constructor(message: string, { version, start }: { version?: number; start?: Buffer } = {}) {
    super(message);
    this.version = version;
    this.start = start;
  }
}

export function encodeFrame(kind: FrameKind, body: Uint8Array, version = PROTOCOL_VERSION): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + body.byteLength);
  MAGIC.copy(frame);
  frame.writeUInt16LE(version, MAGIC.byteLength);
  frame[MAGIC.byteLength + 2] = kind;
  frame.writeUInt16LE(body.byteLength, MAGIC.byteLength + 3);
  frame.set(body, HEADER_BYTES);
  return frame;
}

/** Gathers one frame. It says how many bytes it needs, so that none of what follows is taken, and refuses the first wrong byte. */
export class FrameReader {
  readonly #frame = Buffer.alloc(HEADER_BYTES + BODY_MAX);
  readonly #wanted: readonly FrameKind[];
  #used = 0;
  #total = HEADER_BYTES;

  constructor(...wanted: readonly FrameKind[]) {
    this.#wanted = wanted;
  }

  get missing(): number {
    return this.#total - this.#used;
  }

  /** At most `missing` bytes; the frame when it is whole. */
  add(bytes: Uint8Array): Frame | undefined {
    this.#frame.set(bytes, this.#used);
    this.#used += bytes.byteLength;
    this.#checkHeader();
    if (this.#used < this.#total || this.#used < HEADER_BYTES) return undefined;
    return { kind: this.#frame[MAGIC.byteLength + 2]!, body: this.#frame.subarray(HEADER_BYTES, this.#total) };
  }

  #checkHeader(): void {
    const magic = Math.min(this.#used, MAGIC.byteLength);
    if (this.#frame.compare(MAGIC, 0, magic, 0, magic) !== 0) {
      throw new BadHandshake("it does not begin as mobula does", { start: this.#frame.subarray(0, this.#used) });
    }
    if (this.#used >= MAGIC.byteLength + 2) {
      const version = this.#frame.readUInt16LE(MAGIC.byteLength);
      if (version !== PROTOCOL_VERSION) throw new BadHandshake(`it speaks version ${version} of the protocol`, { version });
    }
    if (this.#used > MAGIC.byteLength + 2 && !this.#wanted.includes(this.#frame[MAGIC.byteLength + 2] as FrameKind)) {
      throw new BadHandshake("its frame is not the one that is due");
    }
    if (this.#used < HEADER_BYTES || this.#total > HEADER_BYTES) return;
    const length = this.#frame.readUInt16LE(MAGIC.byteLength + 3);
    if (length === 0 || length > BODY_MAX) throw new BadHandshake(`its frame has ${length} bytes`);
    this.#total = HEADER_BYTES + length;
  }
}

export const newNonce = (): Buffer => randomBytes(NONCE_BYTES);

const text = /^[\w.:@-]*$/;

function putText(value: string): Buffer {
  if (value.length > TEXT_MAX || !text.test(value)) throw new Error(`${JSON.stringify(value)} cannot stand in a handshake`);
  return Buffer.concat([Buffer.of(value.length), Buffer.from(value, "latin1")]);
}

function putSelf(self: Self): Buffer {
  if (self.id === "" || !Number.isSafeInteger(self.incarnation) || self.incarnation < 0) {
    throw new Error(`${JSON.stringify(self)} has no id or no incarnation`);
  }
  const fixed = Buffer.alloc(9);
  fixed[0] = roles.indexOf(self.role);
  fixed.writeDoubleLE(self.incarnation, 1);
  return Buffer.concat([fixed, putText(self.id)]);
}

class BodyReader {
  readonly #body: Buffer;
  #at = 0;

  constructor(body: Buffer) {
    this.#body = body;
  }

  take(length: number): Buffer {
    const end = this.#at + length;
    if (end > this.#body.byteLength) throw new BadHandshake("its frame is too short");
    const part = this.#body.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  text(): string {
    const length = this.take(1)[0]!;
    const value = this.take(length).toString("latin1");
    if (length > TEXT_MAX || !text.test(value)) throw new BadHandshake("a name in it is malformed");
    return value;
  }

  self(): Self {
    const role = roles[this.take(1)[0]!];
    const incarnation = this.take(8).readDoubleLE();
    const id = this.text();
    if (role === undefined || id === "" || !Number.isSafeInteger(incarnation) || incarnation < 0) {
      throw new BadHandshake("it does not say who it is");
    }
    return { role, id, incarnation };
  }

  end(): void {
    if (this.#at !== this.#body.byteLength) throw new BadHandshake("its frame is too long");
  }
}

export function encodeHello(hello: Hello): Buffer {
  const { clusterId, credential, purpose, nonce } = hello;
  return Buffer.concat([putSelf(hello), putText(clusterId), putText(credential), putText(purpose), nonce]);
}

export function decodeHello(body: Buffer): Hello {
  const reader = new BodyReader(body);
  const self = reader.self();
  const hello = { ...self, clusterId: reader.text(), credential: reader.text(), purpose: reader.text(), nonce: reader.take(NONCE_BYTES) };
  reader.end();
  return hello;
}

export function encodeChallenge(challenge: Challenge): Buffer {
  return Buffer.concat([putSelf(challenge), putText(challenge.clusterId), challenge.nonce]);
}

export function decodeChallenge(body: Buffer): Challenge {
  const reader = new BodyReader(body);
  const self = reader.self();
  const challenge = { ...self, clusterId: reader.text(), nonce: reader.take(NONCE_BYTES) };
  reader.end();
  return challenge;
}

export function encodeRefusal(reason: Refusal, clusterId = ""): Buffer {
  return Buffer.concat([Buffer.of(reason), putText(clusterId)]);
}

export function decodeRefusal(body: Buffer): { reason: number; clusterId: string } {
  const reader = new BodyReader(body);
  const refusal = { reason: reader.take(1)[0]!, clusterId: reader.text() };
  reader.end();
  return refusal;
}

/** What both sides have said, as bytes, and what ties it to this connection. */
export interface Transcript {
  readonly hello: Uint8Array;
  readonly challenge: Uint8Array;
  /** A value of the TLS session; empty without TLS. */
  readonly binding: Uint8Array;
}

/** `by`: whose proof it is; the two are never equal. */
export function proofOf(by: "dialler" | "listener", secret: Secret, said: Transcript): Buffer {
  const key = secret.derive("mobula proof");
  return authenticate(key, `mobula handshake ${PROTOCOL_VERSION} ${by}`, said.hello, said.challenge, said.binding);
}

export const isProof = (given: Uint8Array, right: Uint8Array): boolean =>
  given.byteLength === right.byteLength && timingSafeEqual(given, right);
