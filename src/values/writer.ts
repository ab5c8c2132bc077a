/**
 * Bytes of primitives, appended to a chunk that many small values share one after the other. Knows nothing of objects.
 * What was written is never overwritten, so a finished value may be read from the chunk for as long as it is needed.
 */
import * as tag from "./format.ts";

/** Methods of Buffer that its types leave out. They take any Uint8Array as `this`. */
interface NativeWrites {
  latin1Write(text: string, offset: number): number;
  utf8Write(text: string, offset: number): number;
  ucs2Write(text: string, offset: number): number;
}
type Bytes = Buffer & NativeWrites;
/** In every supported Node, but not in the library types of its year. */
type WellFormed = string & { isWellFormed(): boolean };

/** Small, because a value of some bytes that is kept keeps its whole chunk. */
const CHUNK = 16 * 1024;
/** Up to here a loop over the characters beats the call into the runtime. */
const LOOP = 48;
/** Longer strings are measured first, so that the space for them is not three times too large. */
const MEASURE = 16 * 1024;

const viewOf = (bytes: Bytes): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export class ByteWriter {
  bytes: Bytes = Buffer.allocUnsafeSlow(CHUNK) as Bytes;
  #view = viewOf(this.bytes);
  start = 0;
  pos = 0;

  /** Space for `count` more bytes. */
  ensure(count: number): void {
    if (this.pos + count > this.bytes.length) this.grow(count);
  }

  private grow(count: number): void {
    const written = this.pos - this.start;
    const wanted = written + count;
    const next = Buffer.allocUnsafeSlow(wanted <= CHUNK / 2 ? CHUNK : Math.max(wanted, CHUNK, written * 2)) as Bytes;
    this.bytes.copy(next, 0, this.start, this.pos);
    this.bytes = next;
    this.#view = viewOf(next);
    this.start = 0;
    this.pos = written;
  }

  writeByte(byte: number): void {
    this.ensure(1);
    this.bytes[this.pos++] = byte;
  }

  /** An unsigned integer up to 2^53. */
  writeUint(value: number): void {
    this.ensure(8);
    let rest = value;
    while (rest > 0x7f) {
      this.bytes[this.pos++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.bytes[this.pos++] = rest;
  }

  writeUint32(value: number): void {
    this.ensure(4);
    const { bytes, pos } = this;
    bytes[pos] = value;
    bytes[pos + 1] = value >>> 8;
    bytes[pos + 2] = value >>> 16;
    bytes[pos + 3] = value >>> 24;
    this.pos = pos + 4;
  }

  writeNumber(value: number): void {
    this.ensure(9);
    const bytes = this.bytes;
    // -0 is an integer to every comparison, hence the division.
    if ((value | 0) !== value || (value === 0 && 1 / value < 0)) return this.writeFloat(value);
    if (value >= -16 && value < 0x80) {
      bytes[this.pos++] = value;
    } else if (value >= -0x8000 && value < 0x8000) {
      bytes[this.pos++] = tag.INT16;
      bytes[this.pos++] = value;
      bytes[this.pos++] = value >> 8;
    } else {
      bytes[this.pos++] = tag.INT32;
      this.writeUint32(value);
    }
  }

  private writeFloat(value: number): void {
    this.writeByte(tag.FLOAT64);
    this.writeRawFloat(value);
  }

  /** 8 bytes without a tag. */
  writeRawFloat(value: number): void {
    this.ensure(8);
    this.#view.setFloat64(this.pos, value, true);
    this.pos += 8;
  }

  writeBigInt(value: bigint): void {
    this.writeByte(tag.BIGINT);
    this.writeByte(value < 0n ? 1 : 0);
    this.writeString((value < 0n ? -value : value).toString(16));
  }

  writeString(text: string): void {
    const length = text.length;
    if (length > LOOP) return this.writeLong(text);
    this.ensure(length + 2);
    const bytes = this.bytes;
    let at = this.pos;
    if (length < 32) {
      bytes[at++] = tag.FIXSTR | length;
    } else {
      bytes[at++] = tag.STR8;
      bytes[at++] = length;
    }
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i);
      if (code > 0xff) return this.writeLong(text);
      bytes[at++] = code;
    }
    this.pos = at;
  }

  private writeLong(text: string): void {
    const length = text.length;
    this.ensure(5 + (length > MEASURE ? Math.max(Buffer.byteLength(text), length) : length * 3));
    const head = this.pos;
    const written = this.bytes.utf8Write(text, head + 5);
    let kind: number = tag.STR_LATIN1;
    let size = written;
    if (written !== length) {
      kind = tag.STR_UTF8;
      if (!(text as WellFormed).isWellFormed()) {
        kind = tag.STR_UTF16;
        this.ensure(5 + length * 2);
        size = this.bytes.ucs2Write(text, this.pos + 5);
      }
    }
    this.bytes[this.pos++] = kind;
    this.writeUint32(size);
    this.pos += size;
  }
}
