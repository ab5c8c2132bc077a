/**
 * The arena: which bytes of a fixed range are taken. Pure bookkeeping: it never touches memory and knows neither
 * processes nor objects. Segments tile the range in address order; free ones also hang in bins by size (power of two,
 * eight steps each), most recently freed first, so that warm memory is used again before fresh pages are.
 */

/** Every size is a multiple of this, and every offset. */
export const GRAIN = 64;
/** What is at least this large starts at a multiple of it, so that it can be mapped. */
export const PAGE = 4096;

export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}

/** The alignment that an object or block of `size` bytes gets. */
export function alignmentOf(size: number): number {
  return size >= PAGE ? PAGE : GRAIN;
}

/** A part of the range. `holder` is whatever the arena's user says it belongs to; undefined: it is free. */
export interface Segment<Holder> {
  readonly offset: number;
  readonly size: number;
  readonly holder: Holder | undefined;
}

class Node<Holder> implements Segment<Holder> {
  offset: number;
  size: number;
  holder: Holder | undefined = undefined;
  before: Node<Holder> | undefined = undefined;
  after: Node<Holder> | undefined = undefined;
  /** Neighbours in the bin, for free segments. */
  binBefore: Node<Holder> | undefined = undefined;
  binAfter: Node<Holder> | undefined = undefined;
  constructor(offset: number, size: number) {
    this.offset = offset;
    this.size = size;
  }
}

const STEPS = 8;
const BINS = 48 * STEPS;

/** Rounded down: every segment in a bin above that of `size` is at least `size` long. */
function binOf(size: number): number {
  const grains = size / GRAIN;
  const power = Math.floor(Math.log2(grains));
  const base = 2 ** power;
  return power * STEPS + Math.floor(((grains - base) * STEPS) / base);
}

export class Arena<Holder> {
  readonly capacity: number;
  #first: Node<Holder>;
  /** Never used so far: the end of the range. Not in a bin and not merged with, so that it is taken last. */
  #fresh: Node<Holder> | undefined;
  readonly #bins: Array<Node<Holder> | undefined> = new Array<Node<Holder> | undefined>(BINS).fill(undefined);
  readonly #filled = new Uint32Array(BINS / 32);
  #free: number;

  constructor(capacity: number) {
    this.capacity = Math.floor(capacity / PAGE) * PAGE;
    if (this.capacity < PAGE) throw new RangeError(`an arena needs at least ${PAGE} bytes, got ${capacity}`);
    this.#first = this.#fresh = new Node(0, this.capacity);
    this.#free = this.capacity;
  }

  get freeBytes(): number {
    return this.#free;
  }

  /** Where memory that was never used starts: from here on the first touch of a page is slow. */
  get freshStart(): number {
    return this.#fresh?.offset ?? this.capacity;
  }

  /** Takes `size` bytes (a multiple of GRAIN) at a multiple of `alignment`; undefined if no free segment has room. */
  allocate(size: number, alignment: number, holder: Holder): Segment<Holder> | undefined {
    const warm = this.#findWarm(size, alignment);
    const node = warm ?? this.#findFresh(size, alignment);
    if (!node) return undefined;
    const start = roundUp(node.offset, alignment);
    let taken = node;
    if (start > node.offset) {
      taken = this.#cut(node, start - node.offset);
      this.#toBin(node);
    }
    if (taken.size > size) {
      const rest = this.#cut(taken, size);
      if (warm) this.#toBin(rest);
      else this.#fresh = rest;
    }
    taken.holder = holder;
    this.#free -= size;
    return taken;
  }

  /** Splits off [offset, offset + size) from a taken segment, for another holder. Returns it and what remains around it. */
  carve(segment: Segment<Holder>, offset: number, size: number, holder: Holder): { taken: Segment<Holder>; left: Segment<Holder>[] } {
    const node = segment as Node<Holder>;
    if (node.holder === undefined || offset < node.offset || offset + size > node.offset + node.size) {
      throw new RangeError(`[${offset}, ${offset + size}) is not inside a taken segment`);
    }
    const left: Segment<Holder>[] = [];
    let taken = node;
    if (offset > node.offset) {
      taken = this.#cut(node, offset - node.offset);
      taken.holder = node.holder;
      left.push(node);
    }
    if (taken.size > size) {
      const rest = this.#cut(taken, size);
      rest.holder = taken.holder;
      left.push(rest);
    }
    taken.holder = holder;
    return { taken, left };
  }

  release(segment: Segment<Holder>): void {
    let node = segment as Node<Holder>;
    if (node.holder === undefined) throw new Error(`segment at ${node.offset} is free already`);
    node.holder = undefined;
    this.#free += node.size;
    const after = node.after;
    if (after && after.holder === undefined && after !== this.#fresh) {
      this.#fromBin(after);
      this.#join(node, after);
    }
    const before = node.before;
    if (before && before.holder === undefined) {
      this.#fromBin(before);
      this.#join(before, node);
      node = before;
    }
    this.#toBin(node);
  }

  *segments(): Generator<Segment<Holder>> {
    for (let node: Node<Holder> | undefined = this.#first; node; node = node.after) yield node;
  }

  /** Throws with the story if the segments do not tile the range, or the bins do not hold exactly the free ones. */
  check(): void {
    let at = 0;
    let free = 0;
    let inBins = 0;
    let last: Node<Holder> | undefined;
    for (let node: Node<Holder> | undefined = this.#first; node; last = node, node = node.after) {
      if (node.offset !== at) throw new Error(`arena: a segment starts at ${node.offset}, the one before ends at ${at}`);
      if (node.size <= 0 || node.size % GRAIN !== 0) throw new Error(`arena: segment at ${at} has size ${node.size}`);
      if (node.before !== last) throw new Error(`arena: segment at ${at} has a wrong neighbour`);
      if (node.holder === undefined) {
        free += node.size;
        if (node !== this.#fresh) inBins++;
        if (last && last.holder === undefined && node !== this.#fresh)
          throw new Error(`arena: free segments at ${last.offset} and ${at} were not joined`);
      }
      at += node.size;
    }
    if (at !== this.capacity) throw new Error(`arena: segments end at ${at}, capacity is ${this.capacity}`);
    if (free !== this.#free) throw new Error(`arena: ${free} bytes are free, ${this.#free} counted`);
    for (let bin = 0; bin < BINS; bin++) {
      const filled = (this.#filled[bin >>> 5]! >>> (bin & 31)) & 1;
      if (filled !== (this.#bins[bin] ? 1 : 0)) throw new Error(`arena: bin ${bin} is marked ${filled}`);
      for (let node = this.#bins[bin]; node; node = node.binAfter) {
        inBins--;
        if (node.holder !== undefined || binOf(node.size) !== bin) throw new Error(`arena: segment at ${node.offset} hangs in a wrong bin`);
      }
    }
    if (inBins !== 0) throw new Error(`arena: ${inBins} free segments hang in no bin`);
  }

  /** The smallest bin that has one with room, the warmest in it. Removed from its bin. */
  #findWarm(size: number, alignment: number): Node<Holder> | undefined {
    for (let bin = this.#nextFilled(binOf(size)); bin !== -1; bin = this.#nextFilled(bin + 1)) {
      for (let node = this.#bins[bin]; node; node = node.binAfter) {
        if (roundUp(node.offset, alignment) + size > node.offset + node.size) continue;
        this.#fromBin(node);
        return node;
      }
    }
    return undefined;
  }

  /** Fresh memory, together with the free segment before it. */
  #findFresh(size: number, alignment: number): Node<Holder> | undefined {
    const fresh = this.#fresh;
    if (!fresh) return undefined;
    const before = fresh.before?.holder === undefined ? fresh.before : undefined;
    if (roundUp((before ?? fresh).offset, alignment) + size > this.capacity) return undefined;
    this.#fresh = undefined;
    if (!before) return fresh;
    this.#fromBin(before);
    this.#join(before, fresh);
    return before;
  }

  #nextFilled(from: number): number {
    for (let word = from >>> 5; word < this.#filled.length; word++) {
      const bits = word === from >>> 5 ? this.#filled[word]! & (0xffff_ffff << (from & 31)) : this.#filled[word]!;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits);
    }
    return -1;
  }

  #toBin(node: Node<Holder>): void {
    const bin = binOf(node.size);
    const head = this.#bins[bin];
    node.binBefore = undefined;
    node.binAfter = head;
    if (head) head.binBefore = node;
    this.#bins[bin] = node;
    this.#filled[bin >>> 5]! |= 1 << (bin & 31);
  }

  #fromBin(node: Node<Holder>): void {
    const bin = binOf(node.size);
    if (node.binBefore) node.binBefore.binAfter = node.binAfter;
    else this.#bins[bin] = node.binAfter;
    if (node.binAfter) node.binAfter.binBefore = node.binBefore;
    node.binBefore = node.binAfter = undefined;
    if (!this.#bins[bin]) this.#filled[bin >>> 5]! &= ~(1 << (bin & 31));
  }

  /** Shortens `node` to `size` bytes and returns the rest as a segment of its own. */
  #cut(node: Node<Holder>, size: number): Node<Holder> {
    const rest = new Node<Holder>(node.offset + size, node.size - size);
    node.size = size;
    rest.before = node;
    rest.after = node.after;
    if (rest.after) rest.after.before = rest;
    node.after = rest;
    return rest;
  }

  #join(node: Node<Holder>, next: Node<Holder>): void {
    node.size += next.size;
    node.after = next.after;
    if (next.after) next.after.before = node;
  }
}
