/**
 * Which memory travels beside a value, and where each typed array lies in it. Views that share an ArrayBuffer keep sharing it,
 * and of a buffer that is only looked at through views no more is sent than they span together.
 */
import type { ByteReader } from "./reader.ts";
import { malformed } from "./reader.ts";
import type { ByteWriter } from "./writer.ts";

/** ArrayBuffers that hold things that have nothing to do with each other: images of stored objects. Sharing one means nothing. */
const images = new WeakSet<ArrayBufferLike>();
export const markImage = (buffer: ArrayBufferLike): void => void images.add(buffer);

/** A part of memory that a value needs. */
export interface Span {
  readonly buffer: ArrayBuffer;
  readonly offset: number;
  readonly length: number;
  /** Bytes of an element: the span must stay aligned to it. */
  readonly width: number;
  /** The ArrayBuffer itself is part of the value. */
  readonly whole: boolean;
}

interface Cluster {
  readonly buffer: ArrayBuffer;
  start: number;
  end: number;
  width: number;
  whole: boolean;
  index: number;
}

/** Some versions of Node make the pool larger than they say, so that it can be aligned. */
const poolSlack = Buffer.allocUnsafe(1).buffer.byteLength - Buffer.poolSize;

/** Whether only overlap joins views of this buffer: Node's pool, from which small Buffers of all origins are cut, and images. */
function isPool(buffer: ArrayBuffer): boolean {
  return buffer.byteLength === Buffer.poolSize + poolSlack || images.has(buffer);
}

/** The buffers to send, and the table that says where each span is in them, appended to `out`. */
export function writeBufferTable(spans: readonly Span[], out: ByteWriter): Uint8Array[] {
  const clusterOf = assign(spans);
  const clusters: Cluster[] = [];
  for (const cluster of clusterOf) {
    if (cluster.index >= 0) continue;
    cluster.index = clusters.length;
    clusters.push(cluster);
  }
  // Counted from the start of the value, which moves to another chunk when this one is full.
  const tableStart = out.pos - out.start;
  out.writeUint(clusters.length);
  for (const cluster of clusters) {
    out.writeUint(cluster.end - cluster.start);
    out.writeByte(cluster.whole ? 1 : 0);
  }
  out.writeUint(spans.length);
  spans.forEach((span, i) => {
    const cluster = clusterOf[i]!;
    out.writeUint(cluster.index);
    out.writeUint(span.offset - cluster.start);
    out.writeUint(span.length);
  });
  out.writeUint32(out.pos - out.start - tableStart);
  return clusters.map(({ buffer, start, end }) => new Uint8Array(buffer, start, end - start));
}

/** The cluster of each span, in the order of the spans. */
function assign(spans: readonly Span[]): Cluster[] {
  if (spans.length === 1) return [clusterFrom(spans[0]!)];
  const byBuffer = new Map<ArrayBuffer, number[]>();
  spans.forEach((span, i) => {
    const list = byBuffer.get(span.buffer);
    if (list === undefined) byBuffer.set(span.buffer, [i]);
    else list.push(i);
  });
  const result: Cluster[] = new Array<Cluster>(spans.length);
  for (const [buffer, members] of byBuffer) {
    const separate = isPool(buffer) && !members.some((i) => spans[i]!.whole);
    members.sort((a, b) => spans[a]!.offset - spans[b]!.offset);
    let cluster: Cluster | undefined;
    for (const i of members) {
      const span = spans[i]!;
      if (cluster === undefined || (separate && span.offset >= cluster.end)) cluster = clusterFrom(span);
      cluster.end = Math.max(cluster.end, span.offset + span.length);
      cluster.width = Math.max(cluster.width, span.width);
      cluster.whole ||= span.whole;
      result[i] = cluster;
    }
  }
  for (const cluster of result) cluster.start -= cluster.start % cluster.width;
  return result;
}

function clusterFrom({ buffer, offset, length, width, whole }: Span): Cluster {
  return { buffer, start: offset, end: offset + length, width, whole, index: -1 };
}

/** Where the spans of a value lie, while it is decoded. */
export class BufferTable {
  readonly #sizes: number[] = [];
  readonly #whole: boolean[] = [];
  readonly #spans: { index: number; offset: number; length: number }[] = [];
  readonly #memory: (Uint8Array | undefined)[] = [];
  readonly #source: (index: number) => Uint8Array;
  #next = 0;

  /** Reads the table that ends where `from` ends, and makes `from` end before it. */
  constructor(from: ByteReader, source: (index: number) => Uint8Array) {
    this.#source = source;
    const valueStart = from.pos;
    if (from.end - valueStart < 4) throw malformed("the table of buffers is missing");
    from.pos = from.end - 4;
    const start = from.end - 4 - from.readUint32();
    if (start < valueStart) throw malformed("the table of buffers is too long");
    from.end -= 4;
    from.pos = start;
    for (let left = from.readCount(2); left > 0; left--) {
      this.#sizes.push(from.readUint());
      this.#whole.push(from.readByte() === 1);
    }
    for (let left = from.readCount(3); left > 0; left--) {
      const span = { index: from.readUint(), offset: from.readUint(), length: from.readUint() };
      const size = this.#sizes[span.index];
      if (size === undefined || span.offset + span.length > size) throw malformed("a view lies outside its buffer");
      this.#spans.push(span);
    }
    from.end = start;
    from.pos = valueStart;
  }

  /** The memory of the next span, in the order in which the value names them. */
  next(width: number): { buffer: ArrayBuffer; offset: number; length: number } {
    const span = this.#spans[this.#next++];
    if (span === undefined || span.length % width !== 0) throw malformed("a view has no memory");
    const memory = (this.#memory[span.index] ??= this.#open(span.index));
    if (span.offset % width !== 0) throw malformed("a view is not aligned");
    return { buffer: memory.buffer as ArrayBuffer, offset: memory.byteOffset + span.offset, length: span.length };
  }

  /** The next span as an ArrayBuffer of its own size. */
  nextWhole(): ArrayBuffer {
    const { index, offset, length } = this.#spans[this.#next] ?? {};
    const { buffer } = this.next(1);
    if (index === undefined || !this.#whole[index] || offset !== 0 || length !== buffer.byteLength)
      throw malformed("a buffer is not whole");
    return buffer;
  }

  #open(index: number): Uint8Array {
    const memory = this.#source(index);
    if (memory.byteLength !== this.#sizes[index]) throw malformed(`buffer ${index} has not the announced length`);
    const exact = memory.byteLength === memory.buffer.byteLength;
    // An ArrayBuffer cannot be a part of another one, and no typed array can lie at an odd place.
    if ((this.#whole[index] && !exact) || memory.byteOffset % 8 !== 0) return standalone(memory);
    if (!exact) markImage(memory.buffer);
    return memory;
  }
}

/** A copy in memory of its own. */
function standalone(memory: Uint8Array): Uint8Array {
  const copy = new Uint8Array(memory.byteLength);
  copy.set(memory);
  return copy;
}
