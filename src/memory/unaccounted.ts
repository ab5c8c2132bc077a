/**
 * Views of the arena, hidden from V8's count of external memory. V8 takes a view of a gigabyte for a gigabyte of this process and collects
 * all garbage every few views, which costs a hundred times what the view does; but it is address space, and the pages are the node's. So
 * garbage is collected when views have become many. Where a program writes to them (a page that is written to is a copy, and real memory),
 * further ones are left to V8's count until it has collected.
 */
import { closeSync, openSync, readSync } from "node:fs";
import { PAGE } from "./mapped-arena.ts";

const MIB = 2 ** 20;
const GIB = 2 ** 30;
/** Views that may be hidden, and address space. */
const VIEWS_MAX = 1000;
const BYTES_MAX = 64 * GIB;
/** After so many bytes of views a look at how much memory is this process's own; growth by as much leaves it to V8. */
const LOOK_EVERY = 64 * MIB;

/** Memory of this process alone: resident pages that are no file's and no shared memory's. */
export class OwnMemory {
  readonly #text = Buffer.alloc(128);
  #file: number | undefined;

  constructor() {
    try {
      this.#file = openSync("/proc/self/statm", "r");
    } catch {
      this.#file = undefined; // No /proc: nobody knows, and it is left to V8.
    }
  }

  read(): number {
    if (this.#file === undefined) return Number.POSITIVE_INFINITY;
    const length = readSync(this.#file, this.#text, 0, this.#text.length, 0);
    const [, resident, shared] = this.#text.latin1Slice(0, length).split(" ");
    return (Number(resident) - Number(shared)) * PAGE;
  }

  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }
}

export class Unaccounted {
  readonly #subtract: ((bytes: number) => void) | undefined;
  readonly #own: Pick<OwnMemory, "read" | "close">;
  #views = 0;
  #bytes = 0;
  #looked = 0;
  /** The least own memory since the last collection, and whether there was much more at the last look. */
  #least: number;
  #grown = false;
  #collected = false;
  #times = 1;

  /**
   * `subtract` takes from V8's count, where that can be done. What is hidden once V8 never counts: when it collects a view its count falls
   * once more.
   */
  constructor(subtract: ((bytes: number) => void) | undefined, own: Pick<OwnMemory, "read" | "close"> = new OwnMemory()) {
    this.#subtract = subtract;
    this.#own = own;
    this.#least = own.read();
  }

  /** So many views, or so large, that a collection is due. */
  get crowded(): boolean {
    return this.#views >= VIEWS_MAX * this.#times || this.#bytes >= BYTES_MAX * this.#times;
  }

  /** Whether views are to go before there are more of them: they are many, or are written to. */
  get pressing(): boolean {
    return this.#grown || this.crowded;
  }

  /** V8 is about to count a view. False: it is to do so, and does. */
  hide(bytes: number): boolean {
    this.#look(bytes);
    this.#views++;
    this.#bytes += bytes;
    if (this.#grown) return false;
    this.#subtract?.(bytes);
    return true;
  }

  /** All garbage is collected. What a program keeps is left alone until it is twice as much. */
  swept(): void {
    while (this.#times > 1 && !this.crowded) this.#times /= 2;
    while (this.crowded) this.#times *= 2;
  }

  /** The collector has taken a view. */
  gone(bytes: number): void {
    this.#collected = true;
    this.#views--;
    this.#bytes -= bytes;
  }

  close(): void {
    this.#own.close();
  }

  #look(bytes: number): void {
    this.#looked += bytes;
    if (this.#looked < LOOK_EVERY) return;
    this.#looked = 0;
    const now = this.#own.read();
    if (this.#collected) this.#least = now;
    this.#collected = false;
    this.#grown = now > this.#least + LOOK_EVERY;
    this.#least = Math.min(now, this.#least);
  }
}
