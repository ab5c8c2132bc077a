/**
 * A value in one contiguous piece, for messages and for the object store.
 *
 * Without buffers and modules the in-band part is the image. Else:
 *
 *   0   1  PACKED            8   8  length of the in-band part, little endian as all
 *   1   3  zero              16     length of each buffer, 8 bytes each
 *   4   4  number of buffers        then the number of modules, and each: length in 4 bytes, UTF-8
 *                                   then the in-band part, then each buffer at the next multiple of 64
 */
import type { Encoded } from "./contract.ts";
import { PACKED, VERSION } from "./format.ts";
import { malformed } from "./reader.ts";

const HEADER = 16;
/** A cache line, and enough for every vector instruction. Stored objects begin on a page, so this holds in memory too. */
const ALIGNMENT = 64;

export interface Opened {
  readonly inband: Uint8Array;
  readonly modules: readonly string[];
  /** Memory of buffer `index`: a view on the image, or a copy if `openPacked` was asked to copy. */
  buffer(index: number): Uint8Array;
}

const NONE: readonly never[] = Object.freeze([]);
const align = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;
const isBare = (encoded: Encoded): boolean => encoded.buffers.length === 0 && encoded.modules.length === 0;

export function packedSize(encoded: Encoded): number {
  if (isBare(encoded)) return encoded.inband.byteLength;
  let size = headSize(encoded) + encoded.inband.byteLength;
  for (const { byteLength } of encoded.buffers) size = align(size) + byteLength;
  return size;
}

/** Hands over the pieces in order. What lies between them is padding, whose content does not matter. */
export function writePacked(encoded: Encoded, write: (offset: number, bytes: Uint8Array) => void): void {
  if (isBare(encoded)) return write(0, encoded.inband);
  const head = makeHead(encoded);
  write(0, head);
  write(head.byteLength, encoded.inband);
  let offset = head.byteLength + encoded.inband.byteLength;
  for (const buffer of encoded.buffers) {
    offset = align(offset);
    if (buffer.byteLength > 0) write(offset, buffer);
    offset += buffer.byteLength;
  }
}

/** The image in memory of its own. A value without buffers is its in-band part, which nothing overwrites: that one is not copied. */
export function packInline(encoded: Encoded): Uint8Array {
  if (isBare(encoded)) return encoded.inband;
  const image = new Uint8Array(packedSize(encoded));
  writePacked(encoded, (offset, bytes) => image.set(bytes, offset));
  return image;
}

/**
 * Takes an image apart without decoding it. `copy`: buffers are copied out, as they must be where the image lies in memory that is
 * used again or is not aligned; without it they are views on the image and keep it alive.
 */
export function openPacked(bytes: Uint8Array, { copy = false }: { copy?: boolean } = {}): Opened {
  if (bytes[0] === VERSION) return { inband: bytes, modules: NONE, buffer: noBuffer };
  if (bytes[0] !== PACKED || bytes.byteLength < HEADER + 4) throw malformed("they have another format");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = view.getUint32(4, true);
  const inbandLength = readLength(view, 8);
  if (count * 8 > bytes.byteLength - HEADER - 4) throw malformed("they announce more buffers than they hold");
  const { modules, end } = readModules(view, bytes, HEADER + count * 8);
  let offset = end + inbandLength;
  const places: { offset: number; length: number }[] = [];
  for (let i = 0; i < count; i++) {
    const length = readLength(view, HEADER + i * 8);
    offset = align(offset);
    places.push({ offset, length });
    offset += length;
  }
  if (offset > bytes.byteLength) throw malformed(`${offset} bytes are announced and ${bytes.byteLength} are there`);
  const buffer = (index: number): Uint8Array => {
    const place = places[index];
    if (place === undefined) return noBuffer(index);
    const start = bytes.byteOffset + place.offset;
    const part = new Uint8Array(bytes.buffer, start, place.length);
    return copy ? new Uint8Array(part) : part;
  };
  return { inband: bytes.subarray(end, end + inbandLength), modules, buffer };
}

function noBuffer(index: number): never {
  throw malformed(`there is no buffer ${index}`);
}

function readLength(view: DataView, offset: number): number {
  const length = view.getUint32(offset, true) + view.getUint32(offset + 4, true) * 2 ** 32;
  if (length > view.byteLength) throw malformed(`a part of ${length} bytes is announced and ${view.byteLength} are there`);
  return length;
}

function readModules(view: DataView, bytes: Uint8Array, start: number): { modules: readonly string[]; end: number } {
  const count = view.getUint32(start, true);
  let end = start + 4;
  if (count === 0) return { modules: NONE, end };
  const modules: string[] = [];
  for (let i = 0; i < count; i++) {
    if (end + 4 > bytes.byteLength) throw malformed("the list of modules is cut off");
    const length = view.getUint32(end, true);
    if (end + 4 + length > bytes.byteLength) throw malformed("the list of modules is cut off");
    modules.push(text.decode(bytes.subarray(end + 4, end + 4 + length)));
    end += 4 + length;
  }
  return { modules, end };
}

const text = new TextDecoder();

function headSize({ buffers, modules }: Encoded): number {
  return modules.reduce((size, url) => size + 4 + Buffer.byteLength(url), HEADER + buffers.length * 8 + 4);
}

function makeHead(encoded: Encoded): Uint8Array {
  const { buffers, modules, inband } = encoded;
  const head = Buffer.alloc(headSize(encoded));
  head[0] = PACKED;
  head.writeUInt32LE(buffers.length, 4);
  writeLength(head, inband.byteLength, 8);
  buffers.forEach(({ byteLength }, i) => writeLength(head, byteLength, HEADER + i * 8));
  let offset = head.writeUInt32LE(modules.length, HEADER + buffers.length * 8);
  for (const url of modules) {
    const length = head.write(url, offset + 4);
    head.writeUInt32LE(length, offset);
    offset += 4 + length;
  }
  return head;
}

function writeLength(head: Buffer, length: number, offset: number): void {
  head.writeUInt32LE(length % 2 ** 32, offset);
  head.writeUInt32LE(Math.floor(length / 2 ** 32), offset + 4);
}
