/**
 * The arena as one process sees it: mapped once for writing, and once more, privately, for each object that is read in
 * place. Knows addresses; not objects, and not who may use which range.
 */
import { constants } from "node:buffer";
import { readFileSync } from "node:fs";
import type { Libc } from "./ffi.ts";

export const PAGE = 4096;
const MIB = 2 ** 20;
/** Pages are faulted in in steps of this before the first copy there: eight times as fast as one by one. */
const STEP = MIB;

/** Views stand on buffers of so much, and 1 MiB, so that none crosses the end of one. */
const WINDOW = 2 ** 30;

/** No ArrayBuffer may be larger: above it Node aborts. */
export const LARGEST_VIEW = constants.MAX_LENGTH;

export class MappedArena {
  readonly libc: Libc;
  readonly capacity: number;
  readonly #fd: number;
  #base: number;
  /** Steps whose pages this process has already. */
  readonly #populated: Uint8Array;
  readonly #windows: ArrayBuffer[] = [];
  #mappings = 0;
  #mappingLimit: number | undefined;

  constructor(libc: Libc, fd: number, capacity: number) {
    this.libc = libc;
    this.capacity = capacity;
    this.#fd = fd;
    this.#base = libc.map(fd, 0, capacity, "shared");
    libc.preferLargePages(this.#base, capacity);
    this.#populated = new Uint8Array(Math.ceil(capacity / STEP));
  }

  /**
   * Where this process has the pages already it is one copy, however large: in pieces it would go through the cache, which costs a
   * third of the speed.
   */
  copyIn(offset: number, bytes: Uint8Array): void {
    const { byteLength } = bytes;
    const base = this.addressOf(offset, byteLength);
    for (let at = 0; at < byteLength;) {
      const from = at;
      let step = Math.floor((offset + at) / STEP);
      if (!this.#isPopulated(step)) {
        this.#populate(step);
        at = Math.min((step + 1) * STEP - offset, byteLength);
      } else {
        while (at < byteLength && this.#isPopulated(step)) at = Math.min(++step * STEP - offset, byteLength);
      }
      const part = from === 0 && at === byteLength ? bytes : bytes.subarray(from, at);
      this.libc.copyIn(base + from, part);
    }
  }

  copyOut(offset: number, bytes: Uint8Array): void {
    if (bytes.byteLength > 0) this.libc.copyOut(bytes, this.addressOf(offset, bytes.byteLength));
  }

  /**
   * A view of the arena itself, at most 1 MiB, for the daemon's work with disks and other nodes. It must not outlive `close`. All of them
   * stand on a few buffers: V8 takes each buffer for memory of its own, and would collect garbage after every few hundred.
   */
  sharedView(offset: number, length: number): Uint8Array {
    this.addressOf(offset, length);
    const index = Math.floor(offset / WINDOW);
    const start = index * WINDOW;
    const buffer = (this.#windows[index] ??= this.libc.view(this.#base + start, Math.min(WINDOW + MIB, this.capacity - start)));
    return new Uint8Array(buffer, offset - start, length);
  }

  /** Address of a mapping of its own, of whole pages from `offset`; undefined if the process has too many already. */
  map(offset: number, length: number, mode: "shared" | "private"): number | undefined {
    this.#mappingLimit ??= mappingLimit();
    if (this.#mappings >= this.#mappingLimit) return undefined;
    try {
      const address = this.libc.map(this.#fd, offset, length, mode);
      this.#mappings++;
      return address;
    } catch {
      // ENOMEM: others in this process map as well. The caller copies.
      return undefined;
    }
  }

  /** What was mapped shared becomes a private image of the same bytes: writes to it are not seen by others any more. */
  makePrivate(address: number, offset: number, length: number): void {
    this.libc.map(this.#fd, offset, length, "private", address);
  }

  unmap(address: number, length: number): void {
    this.libc.unmap(address, length);
    this.#mappings--;
  }

  /** Asks the kernel for fresh pages ahead of their use, on another thread. */
  populateInBackground(offset: number, length: number): Promise<boolean> {
    return this.libc.populateInBackground(this.addressOf(offset, length), length);
  }

  /** Private mappings stay: someone may still read them. */
  close(): void {
    this.#windows.length = 0;
    if (this.#base !== 0) this.libc.unmap(this.#base, this.capacity);
    this.#base = 0;
  }

  /** Where a range of it lies in this process. */
  addressOf(offset: number, length: number): number {
    if (this.#base === 0) throw new Error("the arena is closed");
    if (offset < 0 || offset + length > this.capacity) throw new RangeError(`[${offset}, ${offset + length}) is outside the arena`);
    return this.#base + offset;
  }

  #isPopulated(step: number): boolean {
    return this.#populated[step] === 1;
  }

  #populate(step: number): void {
    const start = step * STEP;
    // Where the kernel cannot, the copy itself faults the pages in.
    this.libc.populate(this.#base + start, Math.min(STEP, this.capacity - start));
    this.#populated[step] = 1;
  }
}

/** Half of what the kernel allows a process: the rest is for everyone else in it. */
function mappingLimit(): number {
  try {
    const limit = Number(readFileSync("/proc/sys/vm/max_map_count", "utf8"));
    return Number.isInteger(limit) ? Math.floor(limit / 2) : 30_000;
  } catch {
    return 30_000;
  }
}
