/**
 * Reads a log file, and tells a torn tail from damage. A record is synced before the next one is written, so only the last one
 * can be torn by the end of a process or of the machine, and it was never acknowledged: it is dropped. Anything else that
 * does not check out is damage to what was acknowledged: the file is refused with the place, and not changed.
 */
import fs from "node:fs";
import { ControlStoreError, explain } from "../../errors/index.ts";
import { decodeChanges, FORMAT, HEADER_BYTES, headerAt, isWhole, Kind, MAGIC, Tables } from "./log-format.ts";
import type { FileHead } from "./log-format.ts";
import type { Leader } from "./contract.ts";

/** What disks write as one. A sector that never reached the disk reads as zeros. */
const SECTOR = 512;
const READ_BYTES = 8 * 1024 * 1024;

export interface LogContent {
  readonly tables: Tables;
  /** The highest that is written down. */
  readonly epoch: number;
  /** Of the last record. */
  readonly sequence: number;
  /** Where the last whole record ends. What is behind it is torn. */
  readonly end: number;
}

/** Reads the file with a window that grows with the largest record. */
class Window {
  readonly size: number;
  readonly #fd: number;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(fd: number) {
    this.#fd = fd;
    this.size = fs.fstatSync(fd).size;
  }

  /** Up to `length` bytes at an offset; fewer at the end of the file. */
  at(offset: number, length: number): Buffer {
    const wanted = Math.min(length, this.size - offset);
    if (offset < this.#start || offset + wanted > this.#start + this.#bytes.length) {
      // A new buffer each time: values are views of the old ones.
      const bytes = Buffer.allocUnsafe(Math.min(Math.max(wanted, READ_BYTES), this.size - offset));
      let read = 0;
      while (read < bytes.length) {
        const count = fs.readSync(this.#fd, bytes, read, bytes.length - read, offset + read);
        if (count === 0) throw new Error("the file became shorter while it was read");
        read += count;
      }
      this.#bytes = bytes;
      this.#start = offset;
    }
    return this.#bytes.subarray(offset - this.#start, offset - this.#start + wanted);
  }
}

/** Reads all. Throws a ControlStoreError with reason `corrupt` when acknowledged data is damaged. */
export function readLog(fd: number, file: string, place: string): LogContent {
  const window = new Window(fd);
  const tables = new Tables();
  let [at, sequence, epoch, whole] = [0, 0, 0, false];
  const damaged = (why: string): ControlStoreError => corrupt(place, `${file} at byte ${at}: ${why}`);
  while (at < window.size) {
    const header = headerAt(window.at(at, HEADER_BYTES), 0);
    if (header !== undefined && header.sequence !== sequence + 1) {
      throw damaged(`record ${header.sequence} follows record ${sequence}`);
    }
    const payload = header === undefined ? undefined : window.at(at + HEADER_BYTES, header.length);
    if (header === undefined || payload!.length < header.length || !isWhole(header, payload!)) {
      const end = header === undefined ? window.size : at + HEADER_BYTES + payload!.length;
      if (!isTorn(window, at, end, sequence, header !== undefined && payload!.length < header.length)) {
        throw damaged(header === undefined ? "no record begins here" : "the checksum of a record is wrong");
      }
      break;
    }
    const kind = payload![0];
    if (sequence === 0) epoch = headOf(kind, payload!, damaged).epoch;
    else if (kind === Kind.Changes) applyAll(tables, payload!, damaged);
    else if (kind === Kind.SnapshotEnd) whole = true;
    else if (kind === Kind.Leader) epoch = (json(payload!, damaged) as Leader).epoch;
    else throw damaged(`a record is of the unknown kind ${kind}`);
    sequence = header.sequence;
    at += HEADER_BYTES + header.length;
  }
  // The snapshot was synced before the file got its name.
  if (!whole) throw damaged("the snapshot at its beginning is not whole");
  return { tables, epoch, sequence, end: at };
}

function applyAll(tables: Tables, payload: Buffer, damaged: (why: string) => ControlStoreError): void {
  try {
    for (const change of decodeChanges(payload)) tables.apply(change);
  } catch (error) {
    throw damaged(error instanceof Error ? error.message : String(error));
  }
}

function json(payload: Buffer, damaged: (why: string) => ControlStoreError): unknown {
  try {
    return JSON.parse(payload.toString("utf8", 1));
  } catch {
    throw damaged("a record that should be JSON is not");
  }
}

function headOf(kind: number | undefined, payload: Buffer, damaged: (why: string) => ControlStoreError): FileHead {
  if (kind !== Kind.Head) throw damaged("the file does not begin as a log");
  const head = json(payload, damaged) as FileHead;
  if (head.format !== FORMAT) throw damaged(`its format is ${head.format}, and this version of mobula reads ${FORMAT}`);
  return head;
}

/**
 * Whether the broken record at `at` is the torn end of the file. It is when nothing whole follows it, and either the file ends
 * inside the record, or a sector of it was never written.
 */
function isTorn(window: Window, at: number, end: number, sequence: number, short: boolean): boolean {
  if (at === 0) return false;
  const rest = window.at(at, window.size - at);
  for (let i = rest.indexOf(MAGIC, 1); i !== -1; i = rest.indexOf(MAGIC, i + 1)) {
    const header = headerAt(rest, i);
    if (header !== undefined && header.sequence > sequence) return false;
  }
  if (short || rest.length < HEADER_BYTES) return true;
  for (let from = at; from < end; from = from - (from % SECTOR) + SECTOR) {
    const sector = rest.subarray(from - at, Math.min(from - (from % SECTOR) + SECTOR, end) - at);
    // The first and the last piece may be a few bytes: only a real piece of a sector says something.
    if (sector.length >= 8 && sector.every((byte) => byte === 0)) return true;
  }
  return false;
}

function corrupt(place: string, why: string): ControlStoreError {
  const message = explain(
    `The control store at ${place} is damaged`,
    why,
    "Nothing was changed. Put back a copy of the folder, or start with --fresh, which forgets the cluster's state.",
  );
  return new ControlStoreError(message, { reason: "corrupt", place });
}
