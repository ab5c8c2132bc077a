/**
 * The store of a cluster with one head: a log in a folder of its machine. A commit is one write and one fdatasync. When the
 * log has grown to several times what it holds, a snapshot of it begins a new file, beside the running commits; the new
 * file takes the old one's place by a rename, when both say the same. docs/decisions/0014-control-stores.md says why.
 */
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { ControlStoreError, explain } from "../../errors/index.ts";
import type { Backend, Change, Leader, Loaded } from "./contract.ts";
import { FolderLock, leaderOf } from "./folder-lock.ts";
import { encodeChanges, encodeRecord, FORMAT, Kind, Tables } from "./log-format.ts";
import { readLog } from "./log-reader.ts";

const write = promisify(fs.write);
const fdatasync = promisify(fs.fdatasync);

const LOG = "control.log";
/** A snapshot that is not whole yet; worth nothing after a crash. */
const NEXT = "control.log.next";
/** A log below this size is left as it is. */
const COMPACT_MIN_BYTES = 4 * 1024 * 1024;
/** How many times what it holds a log may be. */
const COMPACT_FACTOR = 3;
/** Entries of a snapshot that go into one record, in bytes: so long the event loop is busy. */
const SNAPSHOT_RECORD_BYTES = 1024 * 1024;

/** A file that is written at its end. */
interface Log {
  fd: number;
  end: number;
  sequence: number;
}

export interface DurableOptions {
  readonly folder: string;
  /** A log below this size is left as it is. For tests. */
  readonly compactMinBytes?: number;
}

export class DurableBackend implements Backend {
  readonly place: string;
  readonly #compactMin: number;
  #lock: FolderLock | undefined;
  #log: Log | undefined;
  #tables = new Tables();
  #epoch = 0;
  #compaction: Promise<void> | undefined;
  /** Commits since the snapshot was taken, which have to follow it into the new file. */
  #since: Change[][] = [];
  /** The new file, complete but for `#since`: the next commit moves over to it. */
  #next: Log | undefined;
  #compactAgainAt = 0;
  #closing = false;

  constructor({ folder, compactMinBytes = COMPACT_MIN_BYTES }: DurableOptions) {
    this.place = path.resolve(folder);
    this.#compactMin = compactMinBytes;
  }

  async open(holder: string): Promise<Loaded> {
    try {
      fs.mkdirSync(this.place, { recursive: true, mode: 0o700 });
      if ((fs.statSync(this.place).mode & 0o077) !== 0) fs.chmodSync(this.place, 0o700);
      this.#lock = await FolderLock.take(this.place);
      const loaded = await this.#load(holder);
      this.#lock.name({ epoch: this.#epoch, holder });
      return loaded;
    } catch (error) {
      this.#letGo();
      throw error instanceof ControlStoreError ? error : failure(this.place, "cannot be opened", error);
    }
  }

  async #load(holder: string): Promise<Loaded> {
    fs.rmSync(this.#file(NEXT), { force: true });
    if (!fs.existsSync(this.#file(LOG))) {
      const empty = await this.#writeSnapshot([], 0);
      await this.#rename();
      fs.closeSync(empty.fd);
    }
    const fd = fs.openSync(this.#file(LOG), "r+");
    this.#log = { fd, end: 0, sequence: 0 };
    const { tables, epoch, sequence, end } = readLog(fd, LOG, this.place);
    // A torn tail must be gone before anything is written over a part of it.
    if (end < fs.fstatSync(fd).size) fs.ftruncateSync(fd, end);
    this.#log = { fd, end, sequence };
    this.#tables = tables;
    this.#epoch = epoch + 1;
    await append(this.#log, encodeRecord(sequence + 1, Kind.Leader, { epoch: this.#epoch, holder }));
    return { epoch: this.#epoch, entries: tables.all(), warnings: [] };
  }

  #file(name: string): string {
    return path.join(this.place, name);
  }

  async commit(changes: readonly Change[]): Promise<void> {
    try {
      if (this.#next !== undefined) await this.#moveOver(this.#next);
      if (changes.length > 0) await append(this.#log!, encodeChanges(this.#log!.sequence + 1, changes));
      if (fs.fstatSync(this.#log!.fd).nlink === 0) throw new Error("the file was deleted while it was in use");
    } catch (error) {
      // What was written of it was never acknowledged; without the room for it, not even that has to stay.
      tryTruncate(this.#log!);
      throw failure(this.place, "cannot be written", error);
    }
    for (const change of changes) this.#tables.apply(change);
    if (this.#compaction !== undefined) this.#since.push([...changes]);
    else if (this.#log!.end > Math.max(this.#compactMin, this.#compactAgainAt, COMPACT_FACTOR * this.#tables.bytes)) this.#compact();
  }

  /** Begins a new file beside the running commits. That it fails costs nothing but room; it is tried again later. */
  #compact(): void {
    const entries = this.#tables.all();
    this.#since = [];
    this.#compaction = this.#writeSnapshot(entries, this.#epoch).then(
      (next) => void (this.#next = next),
      () => {
        this.#compactAgainAt = 2 * this.#log!.end;
        this.#giveUpCompaction();
      },
    );
  }

  #giveUpCompaction(): void {
    this.#compaction = undefined;
    this.#since = [];
    fs.rmSync(this.#file(NEXT), { force: true });
  }

  /** The file NEXT with these entries, synced. Gives the event loop back between its records. */
  async #writeSnapshot(entries: readonly Change[], epoch: number): Promise<Log> {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_TRUNC;
    const next: Log = { fd: fs.openSync(this.#file(NEXT), flags, 0o600), end: 0, sequence: 0 };
    try {
      await extend(next, encodeRecord(1, Kind.Head, { format: FORMAT, epoch }));
      for (let from = 0, to = 0; from < entries.length; from = to) {
        for (let bytes = 0; to < entries.length && (to === from || bytes < SNAPSHOT_RECORD_BYTES); to++) {
          bytes += entries[to]!.key.length + entries[to]!.value!.byteLength;
        }
        if (this.#closing) throw new Error("closed");
        await extend(next, encodeChanges(next.sequence + 1, entries.slice(from, to)));
      }
      await append(next, encodeRecord(next.sequence + 1, Kind.SnapshotEnd));
      return next;
    } catch (error) {
      fs.closeSync(next.fd);
      throw error;
    }
  }

  /** Between two commits: the new file gets what came since its snapshot, and the old one's name. */
  async #moveOver(next: Log): Promise<void> {
    this.#next = undefined;
    try {
      for (const changes of this.#since) await extend(next, encodeChanges(next.sequence + 1, changes));
      await fdatasync(next.fd);
    } catch (error) {
      // The old file is still the whole truth.
      fs.closeSync(next.fd);
      this.#compactAgainAt = 2 * this.#log!.end;
      this.#giveUpCompaction();
      if (isFull(error)) return;
      throw error;
    }
    const old = this.#log!;
    this.#log = next;
    this.#compaction = undefined;
    this.#since = [];
    this.#compactAgainAt = 0;
    fs.closeSync(old.fd);
    await this.#rename();
  }

  /** NEXT becomes LOG, and that it did is on the disk. */
  async #rename(): Promise<void> {
    fs.renameSync(this.#file(NEXT), this.#file(LOG));
    const folder = fs.openSync(this.place, "r");
    try {
      await promisify(fs.fsync)(folder);
    } finally {
      fs.closeSync(folder);
    }
  }

  leads(): boolean {
    return this.#lock !== undefined;
  }

  async leader(): Promise<Leader | undefined> {
    return leaderOf(this.place);
  }

  async close(): Promise<void> {
    this.#closing = true;
    await this.#compaction;
    if (this.#next !== undefined) fs.closeSync(this.#next.fd);
    this.#next = undefined;
    if (this.#lock !== undefined) fs.rmSync(this.#file(NEXT), { force: true });
    this.#letGo();
  }

  #letGo(): void {
    if (this.#log !== undefined) fs.closeSync(this.#log.fd);
    this.#log = undefined;
    this.#lock?.release();
    this.#lock = undefined;
  }
}

/** Writes at the end, not synced. A write may be cut short by the system, and goes on then. */
async function extend(log: Log, record: Buffer): Promise<void> {
  for (let done = 0; done < record.length;) {
    const { bytesWritten } = await write(log.fd, record, done, record.length - done, log.end + done);
    done += bytesWritten;
  }
  log.end += record.length;
  log.sequence++;
}

/** Writes at the end; resolved when it is on the disk. A failed sync is never repeated: the kernel may have dropped the pages. */
async function append(log: Log, record: Buffer): Promise<void> {
  const { end, sequence } = log;
  try {
    await extend(log, record);
    await fdatasync(log.fd);
  } catch (error) {
    log.end = end;
    log.sequence = sequence;
    throw error;
  }
}

function tryTruncate(log: Log): void {
  try {
    fs.ftruncateSync(log.fd, log.end);
  } catch {
    return; // The disk is gone; the next reader finds a torn tail and drops it.
  }
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException | undefined)?.code ?? "";
const isFull = (error: unknown): boolean => ["ENOSPC", "EDQUOT", "EFBIG"].includes(codeOf(error));

function failure(place: string, what: string, error: unknown): ControlStoreError {
  const why = error instanceof Error ? error.message : String(error);
  const full = isFull(error);
  const refused = ["EACCES", "EPERM", "EROFS"].includes(codeOf(error));
  const todo = full
    ? "Make room on that disk and start again; nothing that was acknowledged is lost."
    : "See to that folder and start again.";
  const reason = full ? "full" : refused ? "refused" : "failed";
  return new ControlStoreError(explain(`The control store at ${place} ${what}`, why, todo), { reason, place, cause: error });
}
