/**
 * Primitives read from bytes that may be truncated or hostile: every length is checked against what is left before anything
 * is allocated for it. Knows nothing of objects.
 */
import { SerializationError, explain } from "../errors/index.ts";
import * as tag from "./format.ts";

/** Methods of Buffer that its types leave out. They take any Uint8Array as `this`. */
interface NativeSlices {
  latin1Slice(this: Uint8Array, start: number, end: number): string;
  utf8Slice(this: Uint8Array, start: number, end: number): string;
  ucs2Slice(this: Uint8Array, start: number, end: number): string;
}
const { latin1Slice, utf8Slice, ucs2Slice } = Buffer.prototype as unknown as NativeSlices;
const fromCharCode = String.fromCharCode;

const float = new Float64Array(1);
const floatBytes = new Uint8Array(float.buffer);

/** Keys seen before, by a hash of their bytes: saves making, and interning, the same string again and again. */
const KEY_SLOTS = 1024;
const keyCache: string[] = Array.from({ length: KEY_SLOTS }, () => "");

const empty = new Uint8Array(0);

export function malformed(what: string, cause?: unknown): SerializationError {
  return new SerializationError(
    explain(
      `The bytes of a value cannot be read: ${what}`,
      "They are truncated or damaged, or come from another version of mobula",
      "Run the same version of mobula in every process",
    ),
    { kind: "malformed", cause },
  );
}

export class ByteReader {
  bytes: Uint8Array = empty;
  pos = 0;
  end = 0;

  /** Throws unless `count` more bytes are there. */
  need(count: number): void {
    if (count > this.end - this.pos) throw malformed(`${count} bytes are announced and ${this.end - this.pos} are left`);
  }

  readByte(): number {
    if (this.pos >= this.end) throw malformed("they end too early");
    return this.bytes[this.pos++]!;
  }

  readUint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.readByte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
      scale *= 0x80;
    }
    throw malformed("a number is too large");
  }

  /** A count of things that take at least `width` bytes each. */
  readCount(width: number): number {
    const count = this.readUint();
    this.need(count * width);
    return count;
  }

  readUint32(): number {
    this.need(4);
    const { bytes, pos } = this;
    this.pos = pos + 4;
    return (bytes[pos]! | (bytes[pos + 1]! << 8) | (bytes[pos + 2]! << 16) | (bytes[pos + 3]! << 24)) >>> 0;
  }

  readInt16(): number {
    this.need(2);
    const { bytes, pos } = this;
    this.pos = pos + 2;
    return ((bytes[pos]! | (bytes[pos + 1]! << 8)) << 16) >> 16;
  }

  readRawFloat(): number {
    this.need(8);
    const { bytes, pos } = this;
    floatBytes[0] = bytes[pos]!;
    floatBytes[1] = bytes[pos + 1]!;
    floatBytes[2] = bytes[pos + 2]!;
    floatBytes[3] = bytes[pos + 3]!;
    floatBytes[4] = bytes[pos + 4]!;
    floatBytes[5] = bytes[pos + 5]!;
    floatBytes[6] = bytes[pos + 6]!;
    floatBytes[7] = bytes[pos + 7]!;
    this.pos = pos + 8;
    return float[0]!;
  }

  readBigInt(): bigint {
    const negative = this.readByte() === 1;
    const digits = this.readString();
    if (!/^[0-9a-f]+$/.test(digits)) throw malformed("a BigInt has no digits");
    const value = BigInt(`0x${digits}`);
    return negative ? -value : value;
  }

  readString(): string {
    return this.readStringOf(this.readByte());
  }

  /** A string whose tag has been read. */
  readStringOf(kind: number): string {
    if (kind >= tag.FIXSTR && kind < tag.FIXARRAY) return this.readShort(kind & 0x1f);
    if (kind === tag.STR8) return this.readShort(this.readByte());
    if (kind !== tag.STR_LATIN1 && kind !== tag.STR_UTF8 && kind !== tag.STR_UTF16) throw malformed("a text is expected");
    const length = this.readUint32();
    this.need(length);
    const start = this.pos;
    this.pos += length;
    if (kind === tag.STR_LATIN1) return latin1Slice.call(this.bytes, start, this.pos);
    if (kind === tag.STR_UTF8) return utf8Slice.call(this.bytes, start, this.pos);
    return ucs2Slice.call(this.bytes, start, this.pos);
  }

  private readShort(length: number): string {
    this.need(length);
    const { bytes, pos } = this;
    this.pos = pos + length;
    if (length > 16) return latin1Slice.call(bytes, pos, this.pos);
    // Fixed argument counts keep the calls inside compiled code.
    let text = "";
    let at = pos;
    for (; length - (at - pos) >= 4; at += 4) text += fromCharCode(bytes[at]!, bytes[at + 1]!, bytes[at + 2]!, bytes[at + 3]!);
    for (; at < this.pos; at++) text += fromCharCode(bytes[at]!);
    return text;
  }

  /** A string that is a key of an object. */
  readKey(): string {
    const kind = this.readByte();
    if (kind < tag.FIXSTR || kind >= tag.FIXARRAY) return this.readStringOf(kind);
    const length = kind & 0x1f;
    this.need(length);
    if (length === 0) return "";
    const { bytes, pos } = this;
    const slot = ((bytes[pos]! * 31 + bytes[pos + length - 1]!) * 31 + bytes[pos + (length >> 1)]! * 7 + length) % KEY_SLOTS;
    const cached = keyCache[slot]!;
    if (cached.length === length) {
      let i = 0;
      while (i < length && cached.charCodeAt(i) === bytes[pos + i]) i++;
      if (i === length) {
        this.pos = pos + length;
        return cached;
      }
    }
    const key = this.readShort(length);
    keyCache[slot] = key;
    return key;
  }
}
