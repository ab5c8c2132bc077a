/**
 * The claim words of this process: blocks of shared words, one block a channel. A word holds the number of the call in
 * its slot and whether it is offered, claimed by the worker, or taken back by the owner; compare-and-swap decides.
 */
import { SLOTS } from "../../core/owner/channel.ts";

const OFFERED = 1;
const CLAIMED = 2;
const TAKEN = 3;

const word = (seq: number, state: number): number => (seq << 2) | state;

/** Gives the words of a block that any process may see, or undefined where there is no shared memory. */
export type BlockMapper = (block: number) => Int32Array | undefined;

export class ClaimBlocks {
  readonly #map: BlockMapper;
  readonly #first: number;
  readonly #count: number;
  readonly #free: ClaimBlock[] = [];
  #used = 0;

  /** This process may use the blocks `first` to `first + count - 1`. */
  constructor(map: BlockMapper, first: number, count: number) {
    this.#map = map;
    this.#first = first;
    this.#count = count;
  }

  /** A block for a new channel, if there is one left. */
  take(): ClaimBlock | undefined {
    const free = this.#free.pop();
    if (free || this.#used >= this.#count) return free;
    const block = this.#first + this.#used;
    const words = this.#map(block);
    if (!words) return undefined;
    this.#used++;
    words.fill(0);
    return { block, words, next: 0 };
  }

  /** Gives a block back; calls numbered from `next` on may use it. */
  give(block: ClaimBlock, next: number): void {
    block.next = next;
    this.#free.push(block);
  }
}

export interface ClaimBlock {
  readonly block: number;
  readonly words: Int32Array;
  /** First number that has not been used with it. */
  next: number;
}

/** Owner: before the call is sent. */
export function offer(words: Int32Array, seq: number): void {
  Atomics.store(words, seq % SLOTS, word(seq, OFFERED));
}

/** Worker: before the call is run. False: the owner took it back. */
export function claim(words: Int32Array, seq: number): boolean {
  return Atomics.compareExchange(words, seq % SLOTS, word(seq, OFFERED), word(seq, CLAIMED)) === word(seq, OFFERED);
}

/** Owner: true when the worker had not begun, and now never will. */
export function takeBack(words: Int32Array, seq: number): boolean {
  return Atomics.compareExchange(words, seq % SLOTS, word(seq, OFFERED), word(seq, TAKEN)) === word(seq, OFFERED);
}
