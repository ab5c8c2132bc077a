/**
 * Spill files: one object on disk, behind a header with its length and a checksum. Written and read in chunks, so that
 * whoever does it stays responsive. When something is spilled or restored is the store machine's affair.
 */
import { open, rm } from "node:fs/promises";
import { crc32 } from "node:zlib";

const MAGIC = 0x4d42_4c53;
const VERSION = 1;
/** A page, so that the bytes of the object are aligned in the file. */
const HEADER_BYTES = 4096;
const CHUNK = 2 ** 20;

/** Bytes of an object, wherever they lie; what it returns is valid until the next call. */
export interface ByteSource {
  read(at: number, length: number): Promise<Uint8Array> | Uint8Array;
}
export interface ByteSink {
  /** Where the next bytes, from `at`, are to be put; `write` is called once they are there. */
  buffer(at: number, length: number): Uint8Array;
  write(at: number, bytes: Uint8Array): Promise<void> | void;
}

/** The file is not what was written. */
export class SpillFileDamaged extends Error {}

function header(size: number, checksum: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(HEADER_BYTES));
  view.setUint32(0, MAGIC);
  view.setUint32(4, VERSION);
  view.setFloat64(8, size);
  view.setUint32(16, checksum);
  return new Uint8Array(view.buffer);
}

async function writeAll(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesWritten } = await file.write(bytes, at, bytes.byteLength - at, position + at);
    at += bytesWritten;
  }
}

async function readAll(file: Awaited<ReturnType<typeof open>>, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength;) {
    const { bytesRead } = await file.read(bytes, at, bytes.byteLength - at, position + at);
    if (bytesRead === 0) throw new SpillFileDamaged(`it ends at byte ${position + at}`);
    at += bytesRead;
  }
}

/** The header goes last: a file that was not finished has none. Nothing is left when it fails. */
export async function writeSpillFile(path: string, size: number, source: ByteSource): Promise<void> {
  const file = await open(path, "w", 0o600);
  try {
    let checksum = 0;
    for (let at = 0; at < size; at += CHUNK) {
      const bytes = await source.read(at, Math.min(CHUNK, size - at));
      checksum = crc32(bytes, checksum);
      await writeAll(file, bytes, HEADER_BYTES + at);
    }
    await writeAll(file, header(size, checksum), 0);
    await file.close();
  } catch (error) {
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    throw error;
  }
}

async function checkedHeader(file: Awaited<ReturnType<typeof open>>, size: number): Promise<number> {
  const head = new Uint8Array(HEADER_BYTES);
  await readAll(file, head, 0);
  const view = new DataView(head.buffer);
  if (view.getUint32(0) !== MAGIC || view.getUint32(4) !== VERSION) throw new SpillFileDamaged("it has no header");
  if (view.getFloat64(8) !== size) throw new SpillFileDamaged(`it says ${view.getFloat64(8)} bytes, the object has ${size}`);
  return view.getUint32(16);
}

/**
 * The bytes of a spill file in order, from any byte on, in pieces of at most 1 MiB. The piece that ends the object is given only if the
 * whole file has its checksum: what comes before the first piece is read for that alone.
 */
export class SpillFileSource implements ByteSource {
  readonly #path: string;
  readonly #size: number;
  readonly #buffer = new Uint8Array(CHUNK);
  #file: Awaited<ReturnType<typeof open>> | undefined;
  #expected = 0;
  #checksum = 0;
  #at = 0;

  constructor(path: string, size: number) {
    this.#path = path;
    this.#size = size;
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    if (this.#file === undefined) {
      this.#file = await open(this.#path, "r");
      this.#expected = await checkedHeader(this.#file, this.#size);
    }
    while (this.#at < at) await this.#next(Math.min(CHUNK, at - this.#at));
    return await this.#next(length);
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  async #next(length: number): Promise<Uint8Array> {
    const bytes = this.#buffer.subarray(0, length);
    await readAll(this.#file!, bytes, HEADER_BYTES + this.#at);
    this.#checksum = crc32(bytes, this.#checksum);
    this.#at += length;
    if (this.#at === this.#size && this.#checksum !== this.#expected) throw new SpillFileDamaged("its checksum is wrong");
    return bytes;
  }
}

/** Throws `SpillFileDamaged` if length or checksum are not those that were written. */
export async function readSpillFile(path: string, size: number, sink: ByteSink): Promise<void> {
  const file = await open(path, "r");
  try {
    const expected = await checkedHeader(file, size);
    let checksum = 0;
    for (let at = 0; at < size; at += CHUNK) {
      const bytes = sink.buffer(at, Math.min(CHUNK, size - at));
      await readAll(file, bytes, HEADER_BYTES + at);
      checksum = crc32(bytes, checksum);
      await sink.write(at, bytes);
    }
    if (checksum !== expected) throw new SpillFileDamaged("its checksum is wrong");
  } finally {
    await file.close();
  }
}
