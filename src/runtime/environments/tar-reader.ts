/**
 * Reads a tar that is packed by gzip: ustar, the pax records for long names and sizes, and GNU's long names. Bytes are taken as they
 * come, so that memory is bounded whatever the archive claims.
 */
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { ArchiveDamage } from "./archive-entry.ts";
import type { ArchiveEntry } from "./archive-entry.ts";

const BLOCK = 512;
/** Pax records and long names are headers, not data. */
const EXTRA_MAX = 64 * 1024;

export async function* readTarGzip(file: string): AsyncGenerator<ArchiveEntry> {
  const unzipped = createGunzip();
  // Errors of either side come out of `unzipped`; both are closed when the reader stops early.
  const source = pipeline(createReadStream(file), unzipped, () => {});
  yield* readTar(source);
}

async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<ArchiveEntry> {
  const bytes = new ByteReader(source);
  let long: { path?: string; target?: string; size?: number } = {};
  try {
    for (;;) {
      const block = await bytes.take(BLOCK);
      if (isZero(block)) return;
      const header = parseHeader(block);
      const size = header.type === "x" || header.type === "g" || !long.size ? header.size : long.size;
      if (header.type === "x" || header.type === "g" || header.type === "L" || header.type === "K") {
        const extra = await readExtra(bytes, size);
        if (header.type === "x") long = { ...long, ...parsePax(extra) };
        else if (header.type === "L") long.path = withoutZeros(extra);
        else if (header.type === "K") long.target = withoutZeros(extra);
        continue;
      }
      const content = new Content(bytes, size);
      const path = long.path ?? header.path;
      yield {
        path,
        kind: kindOf(header.type, path),
        size,
        executable: (header.mode & 0o111) !== 0,
        target: long.target ?? header.target,
        content: () => content,
      };
      await content.skip();
      long = {};
    }
  } finally {
    await bytes.close();
  }
}

/** What comes from a stream, so many bytes at a time. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** At least one byte, at most `max`. */
  async some(max: number): Promise<Uint8Array> {
    while (this.#rest.byteLength === 0) {
      const next = await this.#source.next();
      if (next.done === true) throw new ArchiveDamage("It ends in the middle of an entry");
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(part.byteLength);
    return part;
  }

  /** Exactly so many. Only for small counts: they are gathered. */
  async take(count: number): Promise<Buffer> {
    const whole = Buffer.allocUnsafe(count);
    for (let at = 0; at < count;) {
      const part = await this.some(count - at);
      whole.set(part, at);
      at += part.byteLength;
    }
    return whole;
  }

  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

/** The content of one entry, and the padding behind it. */
class Content implements AsyncIterable<Uint8Array> {
  readonly #bytes: ByteReader;
  readonly #padding: number;
  #left: number;

  constructor(bytes: ByteReader, size: number) {
    this.#bytes = bytes;
    this.#left = size;
    this.#padding = (BLOCK - (size % BLOCK)) % BLOCK;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#bytes.some(this.#left);
      this.#left -= part.byteLength;
      yield part;
    }
  }

  /** To the next header. */
  async skip(): Promise<void> {
    this.#left += this.#padding;
    while (this.#left > 0) this.#left -= (await this.#bytes.some(this.#left)).byteLength;
  }
}

interface Header {
  readonly path: string;
  readonly mode: number;
  readonly size: number;
  readonly type: string;
  readonly target: string;
}

function parseHeader(block: Buffer): Header {
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i]!;
  if (number(block, 148, 8) !== sum) throw new ArchiveDamage("The checksum of an entry does not fit");
  const prefix = text(block, 257, 6).startsWith("ustar") && block[262] === 0 ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  const type = block[156] === 0 ? "0" : String.fromCharCode(block[156]!);
  return {
    path: prefix === "" ? name : `${prefix}/${name}`,
    mode: number(block, 100, 8),
    size: number(block, 124, 12),
    type,
    target: text(block, 157, 100),
  };
}

function kindOf(type: string, path: string): ArchiveEntry["kind"] {
  if (type === "5" || (type === "0" && path.endsWith("/"))) return "folder";
  if (type === "0" || type === "7") return "file";
  if (type === "2") return "link";
  return type === "1" ? "hardlink" : "other";
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

/** Octal digits, or a binary number where they would not do. */
function number(block: Buffer, at: number, length: number): number {
  if ((block[at]! & 0x80) !== 0) {
    let value = block[at]! & 0x7f;
    for (let i = 1; i < length; i++) {
      value = value * 256 + block[at + i]!;
      if (value > Number.MAX_SAFE_INTEGER) throw new ArchiveDamage("An entry has a size that cannot be");
    }
    return value;
  }
  const digits = text(block, at, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw new ArchiveDamage("An entry has a number that is none");
  return digits === "" ? 0 : Number.parseInt(digits, 8);
}

async function readExtra(bytes: ByteReader, size: number): Promise<Buffer> {
  if (size > EXTRA_MAX) throw new ArchiveDamage("An entry has a header of more than 64 KiB");
  const padded = await bytes.take(Math.ceil(size / BLOCK) * BLOCK);
  return padded.subarray(0, size);
}

/** Records of the form `<length> <key>=<value>\n`. */
function parsePax(extra: Buffer): { path?: string; target?: string; size?: number } {
  const found: { path?: string; target?: string; size?: number } = {};
  for (let at = 0; at < extra.byteLength;) {
    const space = extra.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(extra.toString("latin1", at, space));
    const end = at + length;
    if (!Number.isInteger(length) || length < space - at + 3 || end > extra.byteLength || extra[end - 1] !== 0x0a) {
      throw new ArchiveDamage("An extended header is not understood");
    }
    const record = extra.toString("utf8", space + 1, end - 1);
    const equals = record.indexOf("=");
    const value = record.slice(equals + 1);
    const key = record.slice(0, Math.max(0, equals));
    if (key === "path") found.path = value;
    else if (key === "linkpath") found.target = value;
    else if (key === "size") found.size = sizeOf(value);
    else if (key.startsWith("GNU.sparse.")) throw new ArchiveDamage("It has a sparse file; make it without --sparse");
    at = end;
  }
  return found;
}

function sizeOf(value: string): number {
  const size = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw new ArchiveDamage("An entry has a size that cannot be");
  return size;
}

function withoutZeros(extra: Buffer): string {
  const end = extra.indexOf(0);
  return extra.toString("utf8", 0, end < 0 ? extra.byteLength : end);
}

const isZero = (block: Buffer): boolean => block.every((byte) => byte === 0);
