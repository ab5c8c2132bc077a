/**
 * The bytes of the durable store's log. A file is a row of records, each with a header of 24 bytes and a payload:
 *
 *   magic u32 | payload length u32 | sequence number u64 | crc32 of the payload u32 | crc32 of the 20 bytes before u32
 *
 * The first byte of a payload is its kind. The header has a checksum of its own, so that a length is believed only when it is
 * right; sequence numbers run without a gap, so that no record can be missing from the middle. Reading is in log-reader.ts.
 */
import zlib from "node:zlib";
import type { Change, Entry } from "./contract.ts";

export const HEADER_BYTES = 24;
export const MAGIC = Buffer.from("moCL", "latin1");
/** Raised when a file of this version cannot be read by an older one. */
export const FORMAT = 1;

export const Kind = {
  /** The first record of a file: JSON, `FileHead`. */
  Head: 1,
  /** Changes that belong together. */
  Changes: 2,
  /** The snapshot with which the file begins is whole. */
  SnapshotEnd: 3,
  /** Another leader: JSON, `Leader`. */
  Leader: 4,
} as const;

export interface FileHead {
  readonly format: number;
  readonly epoch: number;
}

export interface Header {
  readonly length: number;
  readonly sequence: number;
  readonly crc: number;
}

const CHANGE_BYTES = 9;
const DELETED = 0xffff_ffff;

/** A record of one of the JSON kinds, or without content. */
export function encodeRecord(sequence: number, kind: number, content?: object): Buffer {
  const json = content === undefined ? Buffer.alloc(0) : Buffer.from(JSON.stringify(content));
  const record = Buffer.allocUnsafe(HEADER_BYTES + 1 + json.length);
  record[HEADER_BYTES] = kind;
  json.copy(record, HEADER_BYTES + 1);
  return seal(record, sequence);
}

/** Changes as one record: each is table length u8, key length u32, value length u32 (all ones: deleted), table, key, value. */
export function encodeChanges(sequence: number, changes: readonly Change[]): Buffer {
  let size = HEADER_BYTES + 1;
  for (const change of changes) size += sizeOf(change);
  const record = Buffer.allocUnsafe(size);
  record[HEADER_BYTES] = Kind.Changes;
  let at = HEADER_BYTES + 1;
  for (const { table, key, value } of changes) {
    const keyBytes = Buffer.byteLength(key);
    record[at] = table.length;
    record.writeUInt32LE(keyBytes, at + 1);
    record.writeUInt32LE(value === undefined ? DELETED : value.byteLength, at + 5);
    at += CHANGE_BYTES;
    at += record.write(table, at, "latin1");
    at += record.write(key, at);
    if (value !== undefined) {
      record.set(value, at);
      at += value.byteLength;
    }
  }
  return seal(record, sequence);
}

/** The bytes of a change in a log. */
export function sizeOf({ table, key, value }: Change): number {
  return CHANGE_BYTES + table.length + Buffer.byteLength(key) + (value?.byteLength ?? 0);
}

function seal(record: Buffer, sequence: number): Buffer {
  const payload = record.subarray(HEADER_BYTES);
  MAGIC.copy(record, 0);
  record.writeUInt32LE(payload.length, 4);
  record.writeBigUInt64LE(BigInt(sequence), 8);
  record.writeUInt32LE(zlib.crc32(payload), 16);
  record.writeUInt32LE(zlib.crc32(record.subarray(0, 20)), 20);
  return record;
}

/** The header at an offset; undefined when there is none, or none that is whole. */
export function headerAt(bytes: Buffer, at: number): Header | undefined {
  if (at + HEADER_BYTES > bytes.length || bytes.compare(MAGIC, 0, 4, at, at + 4) !== 0) return undefined;
  if (zlib.crc32(bytes.subarray(at, at + 20)) !== bytes.readUInt32LE(at + 20)) return undefined;
  return { length: bytes.readUInt32LE(at + 4), sequence: Number(bytes.readBigUInt64LE(at + 8)), crc: bytes.readUInt32LE(at + 16) };
}

export const isWhole = (header: Header, payload: Buffer): boolean => zlib.crc32(payload) === header.crc;

/** The changes in a payload, whose values are views of it. Throws when lengths do not add up. */
export function* decodeChanges(payload: Buffer): Generator<Change> {
  let at = 1;
  while (at < payload.length) {
    const tableEnd = at + CHANGE_BYTES + payload.readUInt8(at);
    const keyEnd = tableEnd + payload.readUInt32LE(at + 1);
    const valueBytes = payload.readUInt32LE(at + 5);
    const end = valueBytes === DELETED ? keyEnd : keyEnd + valueBytes;
    if (end > payload.length) throw new RangeError("a change runs beyond its record");
    const table = payload.latin1Slice(at + CHANGE_BYTES, tableEnd);
    const key = payload.utf8Slice(tableEnd, keyEnd);
    yield { table, key, value: valueBytes === DELETED ? undefined : payload.subarray(keyEnd, end) };
    at = end;
  }
}

/** Entries by table and key. */
export class Tables {
  readonly #entries = new Map<string, Entry>();
  /** Bytes that a log of only these entries would have. */
  bytes = 0;

  apply(change: Change): void {
    // A table's name has no slash.
    const name = `${change.table}/${change.key}`;
    const old = this.#entries.get(name);
    if (old !== undefined) this.bytes -= sizeOf(old);
    if (change.value === undefined) this.#entries.delete(name);
    else {
      this.#entries.set(name, change as Entry);
      this.bytes += sizeOf(change);
    }
  }

  all(): Entry[] {
    return [...this.#entries.values()];
  }
}
