/**
 * The log of a job as files: parts named by where they begin, so that places in a log stay what they are when parts go. The first part and
 * the latest ones are kept; what lay between them is gone, and a reader is told how much that was.
 */
import { mkdir, open, readdir, rm, stat, writeFile } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";

export interface LogLimits {
  readonly partBytes: number;
  /** The first one counts. */
  readonly parts: number;
}

export const logLimits: LogLimits = { partBytes: 16 * 1024 * 1024, parts: 8 };

const ENDING = ".log";
const nameOf = (at: number): string => `${String(at).padStart(16, "0")}${ENDING}`;

/** Where the parts of a log begin, in order. */
async function partsOf(folder: string): Promise<number[]> {
  const names = await readdir(folder).catch(() => [] as string[]);
  return names.flatMap((name) => (/^\d{16}\.log$/.test(name) ? [Number(name.slice(0, -ENDING.length))] : [])).sort((a, b) => a - b);
}

export class LogWriter {
  readonly #folder: string;
  readonly #limits: LogLimits;
  readonly #parts: number[] = [];
  #file: FileHandle | undefined;
  #size = 0;
  #at = 0;

  constructor(folder: string, limits: LogLimits = logLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  /** One at a time: the next comes when the one before is done. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.byteLength;) {
      if (this.#file === undefined || this.#size >= this.#limits.partBytes) await this.#next();
      const part = bytes.subarray(from, from + this.#limits.partBytes - this.#size);
      await this.#file!.appendFile(part);
      this.#size += part.byteLength;
      this.#at += part.byteLength;
      from += part.byteLength;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #next(): Promise<void> {
    await this.close();
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    this.#file = await open(join(this.#folder, nameOf(this.#at)), "a", 0o600);
    this.#size = 0;
    this.#parts.push(this.#at);
    if (this.#parts.length <= this.#limits.parts) return;
    const [middle] = this.#parts.splice(1, 1);
    await rm(join(this.#folder, nameOf(middle!)), { force: true });
  }
}

const READ_BYTES = 64 * 1024;

/** Some of a log from a place on. `next`: the place after it. `missing`: bytes before it that are not kept any more. */
export interface LogPiece {
  readonly bytes: Uint8Array;
  readonly next: number;
  readonly missing: number;
}

/** What is there from `at` on, at most 64 KiB of it; empty at the end. */
export async function readLog(folder: string, at: number): Promise<LogPiece> {
  const parts = await partsOf(folder);
  for (const [i, begin] of parts.entries()) {
    const end = parts[i + 1] ?? Infinity;
    if (at >= end) continue;
    const from = Math.max(at, begin);
    const bytes = await readPart(join(folder, nameOf(begin)), from - begin);
    // A part that has been read to its end, or has gone meanwhile: what comes after it is in the next.
    if (bytes.byteLength > 0) return { bytes, next: from + bytes.byteLength, missing: from - at };
  }
  return { bytes: new Uint8Array(0), next: at, missing: 0 };
}

async function readPart(file: string, offset: number): Promise<Uint8Array> {
  const handle = await open(file).catch(() => undefined);
  if (handle === undefined) return new Uint8Array(0);
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Bytes of it that are kept. */
export async function logSize(folder: string): Promise<number> {
  const sizes = (await partsOf(folder)).map((begin) =>
    stat(join(folder, nameOf(begin))).then(
      ({ size }) => size,
      () => 0,
    ),
  );
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}

/** All of it goes, and this is at its end: a reader is told how much there was. */
export async function replaceLog(folder: string, line: string): Promise<void> {
  const parts = await partsOf(folder);
  const end = await logEnd(folder);
  // The last word is there before what it speaks of is gone.
  if (!parts.includes(end)) await writeFile(join(folder, nameOf(end)), line, { mode: 0o600 });
  for (const begin of parts) if (begin !== end) await rm(join(folder, nameOf(begin)), { force: true });
}

/** The whole length of a log, with what is not kept. */
export async function logEnd(folder: string): Promise<number> {
  const last = (await partsOf(folder)).at(-1);
  if (last === undefined) return 0;
  const handle = await open(join(folder, nameOf(last))).catch(() => undefined);
  if (handle === undefined) return last;
  try {
    return last + (await handle.stat()).size;
  } finally {
    await handle.close();
  }
}
