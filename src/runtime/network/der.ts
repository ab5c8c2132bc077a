/**
 * As much of DER as a certificate needs: writing its few types, and finding the parts of a certificate that this machine already
 * trusts. It is no parser for bytes of strangers: those are read by OpenSSL alone.
 */

/** A value with its tag and length in front. */
function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.byteLength;
  if (length < 128) return Buffer.concat([Buffer.of(tag, length), body]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.concat([Buffer.of(tag, 128 + bytes.length, ...bytes), body]);
}

export const sequence = (...parts: readonly Uint8Array[]): Buffer => tagged(0x30, ...parts);
export const set = (...parts: readonly Uint8Array[]): Buffer => tagged(0x31, ...parts);
export const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.of(value ? 0xff : 0));
export const octets = (bytes: Uint8Array): Buffer => tagged(0x04, bytes);
export const utf8 = (text: string): Buffer => tagged(0x0c, Buffer.from(text));
/** A string of bits whose last byte has `unused` bits that do not count. */
export const bits = (bytes: Uint8Array, unused = 0): Buffer => tagged(0x03, Buffer.of(unused), bytes);
/** In a context: `[number]`, holding whole values, or the bytes of one. */
export const explicit = (number: number, ...parts: readonly Uint8Array[]): Buffer => tagged(0xa0 + number, ...parts);
export const implicit = (number: number, bytes: Uint8Array): Buffer => tagged(0x80 + number, bytes);

/** A number that is not negative, given as its bytes. */
export function integer(bytes: Uint8Array): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const shortest = bytes.subarray(start);
  return shortest[0]! < 128 ? tagged(0x02, shortest) : tagged(0x02, Buffer.of(0), shortest);
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const base128 = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) base128.unshift((left % 128) + 128);
    bytes.push(...base128);
  }
  return tagged(0x06, Buffer.from(bytes));
}

/** Two digits for the year up to 2049, four from then on, as certificates have it. */
export function time(at: Date): Buffer {
  const digits = at.toISOString().replaceAll(/[-:T]|\.\d+/g, "");
  return at.getUTCFullYear() < 2050 ? tagged(0x17, Buffer.from(digits.slice(2))) : tagged(0x18, Buffer.from(digits));
}

/** Where the content of the value at `at` begins and ends. */
function extent(der: Uint8Array, at: number): [start: number, end: number] {
  const first = der[at + 1];
  if (first === undefined) throw new Error("DER ends early");
  let start = at + 2;
  let length = first;
  if (first >= 128) {
    length = 0;
    for (let n = first - 128; n > 0; n--) length = length * 256 + der[start++]!;
  }
  const end = start + length;
  if (!(end <= der.byteLength)) throw new Error("DER ends early");
  return [start, end];
}

/** The values inside of one, each with its tag. */
export function inside(der: Uint8Array): Uint8Array[] {
  const [start, end] = extent(der, 0);
  const parts: Uint8Array[] = [];
  for (let at = start; at < end;) {
    const [, next] = extent(der, at);
    parts.push(der.subarray(at, next));
    at = next;
  }
  return parts;
}

/** The content of a value. */
export function content(der: Uint8Array): Uint8Array {
  return der.subarray(...extent(der, 0));
}
