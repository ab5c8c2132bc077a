/**
 * The control segment: a second, small piece of shared memory with a slot for each process of the node. A slot has a
 * mailbox, in which the daemon answers a process that waits without its event loop, and a block of claim words for the
 * tasks of that process. Layout and access only; what the answers mean is in shared-node.ts and shared-client.ts.
 */
import type { Grant, Refusal } from "../core/store/types.ts";
import type { Libc } from "./ffi.ts";

export const SLOTS = 1024;
/** Claim words of one block: as many as calls that can be in flight on a channel with a word each. */
export const CLAIM_WORDS = 1024;
/** Blocks of one slot: channels that a process may have open with claim words. Pages that are never touched cost nothing. */
export const CLAIM_BLOCKS = 32;
const MAILBOX_BYTES = 1024;
const CLAIM_BYTES = CLAIM_WORDS * 4;
const CLAIMS_START = SLOTS * MAILBOX_BYTES;
export const CONTROL_BYTES = CLAIMS_START + SLOTS * CLAIM_BLOCKS * CLAIM_BYTES;

/** A block of claim words: a view for Atomics, which work between processes here (but not Atomics.wait). */
export function claimWords(libc: Libc, base: number, block: number): Int32Array {
  if (!Number.isInteger(block) || block < 0 || block >= SLOTS * CLAIM_BLOCKS) throw new RangeError(`no claim words of block ${block}`);
  return new Int32Array(libc.view(base + CLAIMS_START + block * CLAIM_BYTES, CLAIM_BYTES));
}

// Words of a mailbox.
/** Which process the slot belongs to: counts its tenants, so that what an earlier one still does is ignored. */
const TENANT = 0;
/**
 * Number of the last request that is settled: answered by the daemon, or abandoned by the process. Requests are numbered
 * from 1 and one is open at a time, so whoever moves this from n - 1 to n has settled n. The process sleeps on it.
 */
const SETTLED = 1;
/** 0: no grant in the answer, but a refusal of that many bytes of JSON is at TEXT. */
const TEXT_LENGTH = 2;
/** The slab in advance: 0 none, 1 asked for, 2 there, 3 there is no space. */
const RESERVE = 3;
// Doubles: serial, offset, size, slab of the answer, then the same of the reserve.
const ANSWER_DOUBLES = 4;
const RESERVE_DOUBLES = 8;
const TEXT = 128;

const ASKED = 1;
const THERE = 2;
const REFUSED = 3;

export class Mailbox {
  readonly #words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #text: Uint8Array;
  readonly #libc: Libc;
  readonly #address: number;

  constructor(libc: Libc, base: number, slot: number) {
    this.#libc = libc;
    this.#address = base + slot * MAILBOX_BYTES;
    const buffer = libc.view(this.#address, MAILBOX_BYTES);
    this.#words = new Int32Array(buffer);
    this.#doubles = new Float64Array(buffer);
    this.#text = new Uint8Array(buffer, TEXT);
  }

  // ── the daemon's side ──

  /** A new tenant moves in; returns its number. */
  reset(): number {
    const tenant = (this.#words[TENANT]! + 1) | 0;
    this.#words.fill(0);
    Atomics.store(this.#words, TENANT, tenant);
    return tenant;
  }

  /** Writes the answer and wakes who waits. False: it has gone on meanwhile, and the grant is to be taken back. */
  answer(request: number, result: Grant | Refusal): boolean {
    if (Atomics.load(this.#words, SETTLED) !== request - 1) return false;
    if ("serial" in result) {
      this.#words[TEXT_LENGTH] = 0;
      this.#write(ANSWER_DOUBLES, result);
    } else {
      const json = JSON.stringify({ ...result, detail: result.detail?.slice(0, 200) });
      this.#words[TEXT_LENGTH] = new TextEncoder().encodeInto(json, this.#text).written;
    }
    if (Atomics.compareExchange(this.#words, SETTLED, request - 1, request) !== request - 1) return false;
    this.#libc.futexWake(this.#address + SETTLED * 4);
    return true;
  }

  putReserve(grant: Grant | undefined): void {
    if (grant) this.#write(RESERVE_DOUBLES, grant);
    Atomics.store(this.#words, RESERVE, grant ? THERE : REFUSED);
  }

  // ── the side of the process ──

  get tenant(): number {
    return Atomics.load(this.#words, TENANT);
  }

  /** Blocks until `request` is settled, at most `timeoutMs`. */
  await(request: number, timeoutMs: number): boolean {
    const deadline = performance.now() + timeoutMs;
    while (Atomics.load(this.#words, SETTLED) !== request) {
      const left = deadline - performance.now();
      if (left <= 0) return false;
      this.#libc.futexWait(this.#address + SETTLED * 4, request - 1, left);
    }
    return true;
  }

  /** The answer to `request`, or undefined if there is none: then the request is abandoned. */
  take(request: number): Grant | Refusal | undefined {
    if (Atomics.load(this.#words, SETTLED) !== request) {
      if (Atomics.compareExchange(this.#words, SETTLED, request - 1, request) === request - 1) return undefined;
    }
    return this.#answer();
  }

  /** Marks the slab in advance as asked for; false if it was, or is there. */
  askReserve(): boolean {
    const state = Atomics.load(this.#words, RESERVE);
    if (state === ASKED || state === THERE) return false;
    Atomics.store(this.#words, RESERVE, ASKED);
    return true;
  }

  takeReserve(): Grant | undefined {
    if (Atomics.load(this.#words, RESERVE) !== THERE) return undefined;
    const grant = this.#read(RESERVE_DOUBLES);
    Atomics.store(this.#words, RESERVE, 0);
    return grant;
  }

  #answer(): Grant | Refusal {
    const length = this.#words[TEXT_LENGTH]!;
    if (length === 0) return this.#read(ANSWER_DOUBLES);
    return JSON.parse(new TextDecoder().decode(this.#text.slice(0, length))) as Refusal;
  }

  #write(at: number, grant: Grant): void {
    this.#doubles[at] = grant.serial;
    this.#doubles[at + 1] = grant.offset;
    this.#doubles[at + 2] = grant.size;
    this.#doubles[at + 3] = grant.slab ? 1 : 0;
  }

  #read(at: number): Grant {
    const [serial = 0, offset = 0, size = 0, slab = 0] = this.#doubles.subarray(at, at + 4);
    return { serial, offset, size, slab: slab === 1 };
  }
}
