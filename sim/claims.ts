/** Claim words as in shared memory: every process sees the blocks, and compare-and-swap decides who has a call. */
import { SLOTS } from "../src/core/owner/channel.ts";

const OFFERED = 1;
const CLAIMED = 2;
const TAKEN = 3;

const word = (seq: number, state: number): number => (seq << 2) | state;

export interface ClaimBlock {
  readonly block: number;
  readonly words: Int32Array;
  /** First number that has not been used with it. */
  next: number;
}

/** All blocks of a node, by number. */
export class ClaimMemory {
  readonly #blocks = new Map<number, Int32Array>();

  words(block: number): Int32Array {
    let words = this.#blocks.get(block);
    if (!words) this.#blocks.set(block, (words = new Int32Array(SLOTS)));
    return words;
  }
}

/** The blocks of one process. */
export class ClaimBlocks {
  readonly #free: ClaimBlock[] = [];
  readonly count: number;

  constructor(memory: ClaimMemory, first: number, count: number) {
    this.count = count;
    for (let i = count - 1; i >= 0; i--) this.#free.push({ block: first + i, words: memory.words(first + i), next: 0 });
  }

  get free(): number {
    return this.#free.length;
  }

  take(): ClaimBlock | undefined {
    return this.#free.pop();
  }

  give(block: ClaimBlock, next: number): void {
    if (this.#free.includes(block)) throw new Error(`claim block ${block.block} is given back twice`);
    block.next = next;
    this.#free.push(block);
  }
}

const swap = (words: Int32Array, seq: number, to: number): boolean =>
  Atomics.compareExchange(words, seq % SLOTS, word(seq, OFFERED), word(seq, to)) === word(seq, OFFERED);

export const offer = (words: Int32Array, seq: number): void => void Atomics.store(words, seq % SLOTS, word(seq, OFFERED));
export const claim = (words: Int32Array, seq: number): boolean => swap(words, seq, CLAIMED);
export const takeBack = (words: Int32Array, seq: number): boolean => swap(words, seq, TAKEN);
