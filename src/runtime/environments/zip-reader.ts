/**
 * Reads a zip by its central directory: stored and deflated entries, with the large sizes of zip64. Every content is checked against
 * its size and checksum; entries that share bytes, as those of bombs do, are refused.
 */
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import { PassThrough, pipeline } from "node:stream";
import { crc32, createInflateRaw } from "node:zlib";
import { ArchiveDamage } from "./archive-entry.ts";
import type { ArchiveEntry } from "./archive-entry.ts";

const END = 0x06054b50;
const END_LENGTH = 22;
const COMMENT_MAX = 0xffff;
const DIRECTORY_MAX = 64 * 2 ** 20;
const FOUR_GIB = 0xffff_ffff;

interface Record {
  readonly path: string;
  readonly kind: ArchiveEntry["kind"];
  readonly executable: boolean;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  readonly at: number;
}

export async function* readZip(file: string): AsyncGenerator<ArchiveEntry> {
  const handle = await open(file);
  try {
    const { size: length } = await handle.stat();
    const records = await readDirectory(handle, length);
    // Each byte of the archive belongs to one entry at most.
    if (records.reduce((sum, record) => sum + record.packed, 0) > length) throw new ArchiveDamage("Entries of it overlap");
    for (const record of records) {
      const { path, kind, size, executable } = record;
      const target = kind === "link" ? await readLink(handle, length, record) : "";
      yield { path, kind, size: kind === "file" ? size : 0, executable, target, content: () => readContent(handle, length, record) };
    }
  } finally {
    await handle.close();
  }
}

async function readDirectory(handle: FileHandle, length: number): Promise<Record[]> {
  const { count, size, at } = await findDirectory(handle, length);
  if (size > DIRECTORY_MAX || at + size > length) throw new ArchiveDamage("Its directory is not where it should be");
  const directory = await bytesAt(handle, at, size);
  const records: Record[] = [];
  for (let here = 0; records.length < count;) {
    if (here + 46 > size || directory.readUInt32LE(here) !== 0x02014b50) throw new ArchiveDamage("Its directory is cut short");
    const nameLength = directory.readUInt16LE(here + 28);
    const extraLength = directory.readUInt16LE(here + 30);
    const next = here + 46 + nameLength + extraLength + directory.readUInt16LE(here + 32);
    if (next > size) throw new ArchiveDamage("Its directory is cut short");
    records.push(recordOf(directory, here, nameLength, extraLength));
    here = next;
  }
  return records;
}

async function findDirectory(handle: FileHandle, length: number): Promise<{ count: number; size: number; at: number }> {
  const from = Math.max(0, length - END_LENGTH - COMMENT_MAX);
  const tail = await bytesAt(handle, from, length - from);
  for (let here = tail.byteLength - END_LENGTH; here >= 0; here--) {
    if (tail.readUInt32LE(here) !== END || here + END_LENGTH + tail.readUInt16LE(here + 20) !== tail.byteLength) continue;
    const found = { count: tail.readUInt16LE(here + 10), size: tail.readUInt32LE(here + 12), at: tail.readUInt32LE(here + 16) };
    if (found.count !== 0xffff && found.size !== FOUR_GIB && found.at !== FOUR_GIB) return found;
    return findLargeDirectory(handle, from + here);
  }
  throw new ArchiveDamage("It has no directory at its end: it is cut short, or no zip");
}

async function findLargeDirectory(handle: FileHandle, end: number): Promise<{ count: number; size: number; at: number }> {
  const locator = end < 20 ? undefined : await bytesAt(handle, end - 20, 20);
  if (locator?.readUInt32LE() !== 0x07064b50) throw new ArchiveDamage("Its directory is not where it should be");
  const at = large(locator, 8);
  if (at + 56 > end) throw new ArchiveDamage("Its directory is not where it should be");
  const record = await bytesAt(handle, at, 56);
  if (record.readUInt32LE() !== 0x06064b50) throw new ArchiveDamage("Its directory is not where it should be");
  return { count: large(record, 32), size: large(record, 40), at: large(record, 48) };
}

function recordOf(directory: Buffer, here: number, nameLength: number, extraLength: number): Record {
  const name = directory.subarray(here + 46, here + 46 + nameLength);
  const path = name.toString("utf8");
  if ((directory.readUInt16LE(here + 8) & 1) !== 0) throw new ArchiveDamage(`Its entry ${JSON.stringify(path)} is encrypted`);
  const mode = directory.readUInt8(here + 5) === 3 ? directory.readUInt32LE(here + 38) >>> 16 : 0;
  const sizes = [directory.readUInt32LE(here + 24), directory.readUInt32LE(here + 20), directory.readUInt32LE(here + 42)];
  readLarge(directory.subarray(here + 46 + nameLength, here + 46 + nameLength + extraLength), sizes);
  const [size = 0, packed = 0, at = 0] = sizes;
  return {
    path,
    kind: kindOf(mode, path),
    executable: (mode & 0o111) !== 0,
    method: directory.readUInt16LE(here + 10),
    crc: directory.readUInt32LE(here + 16),
    packed,
    size,
    at,
  };
}

function kindOf(mode: number, path: string): ArchiveEntry["kind"] {
  const type = mode & 0o170000;
  if (path.endsWith("/") || type === 0o040000) return "folder";
  if (type === 0o120000) return "link";
  return type === 0 || type === 0o100000 ? "file" : "other";
}

/** The zip64 field has those of the sizes, in order, that were too large for their place. */
function readLarge(extra: Buffer, sizes: number[]): void {
  if (!sizes.includes(FOUR_GIB)) return;
  for (let at = 0; at + 4 <= extra.byteLength;) {
    const length = extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1) {
      let field = at + 4;
      for (const [i, size] of sizes.entries()) {
        if (size !== FOUR_GIB) continue;
        if (field + 8 > Math.min(extra.byteLength, at + 4 + length)) break;
        sizes[i] = large(extra, field);
        field += 8;
      }
      return;
    }
    at += 4 + length;
  }
}

function large(bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(value)) throw new ArchiveDamage("An entry has a size that cannot be");
  return value;
}

async function readLink(handle: FileHandle, length: number, record: Record): Promise<string> {
  if (record.size > 4096) throw new ArchiveDamage(`The link ${JSON.stringify(record.path)} has a target of more than 4096 bytes`);
  const parts: Uint8Array[] = [];
  for await (const part of readContent(handle, length, record)) parts.push(part);
  return Buffer.concat(parts).toString("utf8");
}

async function* readContent(handle: FileHandle, length: number, record: Record): AsyncGenerator<Uint8Array> {
  const { path, method, size } = record;
  const name = JSON.stringify(path);
  if (method !== 0 && method !== 8) throw new ArchiveDamage(`Its entry ${name} is packed by a method (${method}) that is not read`);
  let got = 0;
  let crc = 0;
  const start = await startOf(handle, length, record);
  for await (const part of unpack(handle, start, record)) {
    got += part.byteLength;
    if (got > size) throw new ArchiveDamage(`Its entry ${name} is larger than it says`);
    crc = crc32(part, crc);
    yield part;
  }
  if (got !== size || crc !== record.crc) throw new ArchiveDamage(`The content of ${name} is damaged`);
}

async function startOf(handle: FileHandle, length: number, { at, path, packed }: Record): Promise<number> {
  const header = at + 30 > length ? undefined : await bytesAt(handle, at, 30);
  const start = header?.readUInt32LE() === 0x04034b50 ? at + 30 + header.readUInt16LE(26) + header.readUInt16LE(28) : Number.NaN;
  if (!(start + packed <= length)) throw new ArchiveDamage(`Its entry ${JSON.stringify(path)} is not where it should be`);
  return start;
}

function unpack(handle: FileHandle, start: number, { packed, method }: Record): AsyncIterable<Uint8Array> {
  if (packed === 0) return nothing();
  const source = handle.createReadStream({ start, end: start + packed - 1, autoClose: false });
  // Errors of either side come out of the second, and both are closed when its reader stops early.
  return pipeline(source, method === 8 ? createInflateRaw() : new PassThrough(), () => {});
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function bytesAt(handle: FileHandle, at: number, count: number): Promise<Buffer> {
  const bytes = Buffer.alloc(count);
  let got = 0;
  while (got < count) {
    const { bytesRead } = await handle.read(bytes, got, count - got, at + got);
    if (bytesRead === 0) throw new ArchiveDamage("It is cut short");
    got += bytesRead;
  }
  return bytes;
}
