/**
 * The object store in the daemon: drives the store machine with what processes say, real time and real disks. The
 * rules are the machine's (src/core/store), the bytes the backend's.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { StoreMachine } from "../core/store/machine.ts";
import { keyOf } from "../core/store/types.ts";
import type { Grant, ObjectKey, Place, Refusal, StoreAccount, StorePort, StoreStatistics } from "../core/store/types.ts";
import type { ActorId, ObjectId, ProcessId } from "../protocol/ids.ts";
import type { Body } from "../protocol/messages.ts";
import type { FromStore, NodeBackend, NodeEvents, SpaceReport, ToStore } from "./backend.ts";
import { capacityOnFiles, slabBytesFor } from "./capacity.ts";
import { libc } from "./ffi.ts";
import { FileNodeBackend } from "./file-node.ts";
import { makeOwnFolder, removeDeadFolders } from "./own-folder.ts";
import { SharedNodeBackend } from "./shared-node.ts";
import { SpillFileDamaged, SpillFileSource, readSpillFile, writeSpillFile } from "./spill-file.ts";
import type { ByteSink, ByteSource } from "./spill-file.ts";

export interface StoreServiceOptions {
  /** Where spill files go unless `spillDir` says otherwise. */
  readonly sessionDir: string;
  readonly capacityBytes: number;
  readonly spillDir?: string;
  /** Default: shared memory, and files where there is none. */
  readonly backend?: "files";
  /** Where the file backend keeps objects: default /dev/shm, or `sessionDir` where there is none. */
  readonly objectDir?: string;
  send<N extends FromStore>(to: ProcessId, name: N, body: Body<N>): void;
  onSealed(id: ObjectId, holder: ProcessId, size: number, contains: readonly (ObjectId | ActorId)[]): void;
  onLost(id: ObjectId, reason: string): void;
  /** Where what a process puts is charged; undefined: nowhere. */
  accountOf?(process: ProcessId): StoreAccount | undefined;
  /** What jobs have in the store, or wait for, has changed. */
  onCharged?(): void;
}

/** What knows other nodes. Called after the store's event, never from within. */
export interface Elsewhere {
  /** Somebody here waits for an object that is not here: make a copy, or call `notFound`. */
  missing(id: ObjectId): void;
  /** Nobody waits for it any more, whether it came or not. */
  unwanted(id: ObjectId): void;
  /** A copy was dropped for space. */
  evicted(id: ObjectId): void;
}

/** Bytes of an object in the store, to be sent to another node. They stay where they are until it is closed. */
export interface StoredSource {
  readonly size: number;
  /** Names the run of the task that made these bytes; undefined: they were made here, as this key. */
  readonly origin: string | undefined;
  readonly key: ObjectKey;
  /** At most 1 MiB at a time, in order; valid until the next call. */
  read(at: number, length: number): Promise<Uint8Array> | Uint8Array;
  close(): void;
}

/** Space for a copy of another node's object. */
export interface IncomingCopy {
  readonly size: number;
  /** At most 1 MiB at a time. What is put into `buffer` is in the copy once `write` is done. */
  buffer(at: number, length: number): Uint8Array;
  write(at: number, bytes: Uint8Array): Promise<void> | void;
  /** What has been written, for a node that gets its copy from this one. */
  source(): ByteSource & { close(): Promise<void> };
  /** It is complete. Its bytes stay where they are until `close`. False: the store is closed. */
  seal(id: ObjectId, origin: string): Promise<boolean>;
  /** Gives the space back, or, after `seal`, leaves the copy to the store. */
  close(): void;
}

/** The one who holds copies under way, and reads what is sent. */
const TRANSFER = "transfer" as ProcessId;

/** How long a reader waits for space to restore an object in, before it reads it from disk. */
const RESTORE_WAIT_MS = 1000;
/** Processes are asked to collect garbage at most this often. */
const GARBAGE_PAUSE_MS = 1000;
/** Disk operations under way at a time. */
const DISK_OPERATIONS = 3;
/** Reports are acknowledged in steps of this many. */
const HEARD_STEP = 32;

interface Process {
  /** Last report that was taken, and last one that came over the connection. */
  heard: number;
  announced: number;
}

type Asker =
  | { readonly kind: "message"; readonly process: ProcessId; readonly call: number }
  | { readonly kind: "blocked"; readonly process: ProcessId; readonly number: number }
  | { readonly kind: "reserve"; readonly process: ProcessId }
  | { readonly kind: "copy"; readonly process: ProcessId; readonly size: number; answer(result: IncomingCopy | Refusal): void };

type Pinned = { readonly key: ObjectKey; readonly size: number; readonly place?: Place };

export class StoreService {
  readonly #options: StoreServiceOptions;
  readonly #machine: StoreMachine;
  readonly #backend: NodeBackend;
  readonly #slabBytes: number;
  readonly #processes = new Map<ProcessId, Process>();
  readonly #askers = new Map<number, Asker>();
  /** Objects that are to stay here, while they come. */
  readonly #keeps = new Map<number, { id: ObjectId; answer(why: string | undefined): void }>();
  readonly #pinCalls = new Map<number, { process: ProcessId; call: number }>();
  #elsewhere: Elsewhere | undefined;
  #pinnedNow: Pinned | undefined;
  #number = 0;
  #timer: NodeJS.Timeout | undefined;
  #garbageAskedAt = -Infinity;
  #garbageTimer: NodeJS.Timeout | undefined;
  #spillFolder: string | undefined;
  readonly #diskQueue: (() => Promise<void>)[] = [];
  readonly #diskRunning = new Set<Promise<void>>();
  #chargedSoon = false;
  #closed = false;

  constructor(options: StoreServiceOptions) {
    this.#options = options;
    const library = options.backend === "files" ? undefined : libc();
    const objectDir = options.objectDir ?? (process.platform === "linux" ? "/dev/shm" : options.sessionDir);
    const wanted = library ? options.capacityBytes : capacityOnFiles(options.capacityBytes, objectDir);
    this.#machine = new StoreMachine(wanted, this.#port());
    const { capacity } = this.#machine;
    this.#slabBytes = slabBytesFor(capacity);
    const events: NodeEvents = {
      reports: (from, reports) => this.#run((now) => this.#reports(from, reports, now)),
      // What the process said on its connection before it rang is read in this turn: space that it has just freed comes first.
      request: (from, number, { size, slab, timeoutMs }) =>
        void setImmediate(() =>
          this.#run((now) => this.#allocate({ kind: "blocked", process: from, number }, size, slab, now + timeoutMs, now)),
        ),
      reserve: (from) =>
        this.#run((now) => this.#allocate({ kind: "reserve", process: from }, this.#slabBytes, this.#slabBytes, undefined, now)),
    };
    // One with files may have been killed there, and may never come back.
    if (library) removeDeadFolders(objectDir);
    this.#backend = library
      ? new SharedNodeBackend(library, capacity, this.#slabBytes, events)
      : new FileNodeBackend(objectDir, this.#slabBytes, events);
  }

  /** What that process needs to open its side: goes to it in `welcome`. */
  memoryDescription(to: ProcessId): Record<string, string> {
    if (!this.#processes.has(to)) this.#processes.set(to, { heard: 0, announced: 0 });
    return this.#backend.describe(to);
  }

  /** Index of a process's claim words (`leaseGrant.claims`), -1 where there are none. Its own until the process is lost. */
  claimIndex(process: ProcessId): number {
    return this.#backend.claimIndex(process);
  }

  /** The same words, as the daemon sees them. */
  claims(index: number): Int32Array | undefined {
    return this.#backend.claims(index);
  }

  /** A message from a process that has been described to. */
  handle<N extends ToStore>(from: ProcessId, name: N, body: Body<N>): void {
    const process = this.#processes.get(from);
    if (process) this.#run((now) => this.#handlers[name](from, process, body as never, now));
  }

  free(id: ObjectId): void {
    this.#run((now) => this.#machine.free(id, now));
  }

  processLost(id: ProcessId): void {
    if (!this.#processes.delete(id)) return;
    for (const [number, asker] of this.#askers) if (asker.process === id) this.#askers.delete(number);
    for (const [number, call] of this.#pinCalls) if (call.process === id) this.#pinCalls.delete(number);
    this.#run((now) => this.#machine.processLost(id, now));
    this.#backend.leave(id, () => this.#machine.livePlaces());
  }

  /** Control has divided the limits of jobs anew. */
  shareChanged(): void {
    this.#run((now) => this.#machine.tick(now));
  }

  // ── copies between nodes ──

  /** From now on there are other nodes. */
  attach(elsewhere: Elsewhere): void {
    this.#elsewhere = elsewhere;
    this.#machine.elsewhere = true;
  }

  notFound(id: ObjectId, reason: string): void {
    this.#run(() => this.#machine.notFound(id, reason));
  }

  /** Undefined: it is not here. */
  sizeOf(id: ObjectId): number | undefined {
    return this.#machine.sizeOf(id);
  }

  /** The primary is gone: this node's copy is the primary from now on. False: there is none. */
  promote(id: ObjectId): boolean {
    return this.#machine.promote(id);
  }

  /**
   * The object is to be here, as the primary, wherever it is now. Answers after this event: undefined when it is, else why it will not be.
   */
  keepHere(id: ObjectId, answer: (why: string | undefined) => void): void {
    const number = ++this.#number;
    this.#keeps.set(number, { id, answer });
    this.#run((now) => this.#machine.pin(number, TRANSFER, id, now + RESTORE_WAIT_MS, now));
  }

  #kept(number: number, at: Body<"storePinned">["at"]): boolean {
    const keep = this.#keeps.get(number);
    if (keep === undefined) return false;
    this.#keeps.delete(number);
    queueMicrotask(() => {
      if (at.kind === "lost") return keep.answer(at.reason);
      const there = this.#machine.promote(keep.id);
      this.#run((now) => this.#machine.unpin(TRANSFER, at.key, 1, now));
      keep.answer(there ? undefined : "its bytes were here, and are gone");
    });
    return true;
  }

  /** Space for a copy, when there is some. Returns what takes the request back. */
  allocateCopy(size: number, timeoutMs: number, answer: (result: IncomingCopy | Refusal) => void): () => void {
    const number = this.#number + 1;
    this.#run((now) => this.#allocate({ kind: "copy", process: TRANSFER, size, answer }, size, 0, now + timeoutMs, now));
    return () => {
      if (this.#askers.delete(number)) this.#run((now) => this.#machine.withdraw(number, now));
    };
  }

  /** Undefined: it is not here. */
  openSource(id: ObjectId): StoredSource | undefined {
    let pinned: Pinned | undefined;
    this.#run(() => {
      if (this.#machine.pinWhereItLies(-1, TRANSFER, id)) pinned = this.#pinnedNow;
    });
    if (pinned === undefined) return undefined;
    const { key, size, place } = pinned;
    const source = place === undefined ? new SpillFileSource(this.#fileOf(key), size) : this.#backend.source(place);
    const close = (): void => {
      void source.close().catch(() => undefined);
      this.#run((now) => this.#machine.unpin(TRANSFER, key, 1, now));
    };
    return { size, key, origin: this.#machine.originOf(id), read: (at, length) => source.read(at, length), close };
  }

  #incomingCopy(grant: Grant, size: number): IncomingCopy {
    const { serial, offset } = grant;
    const place = { serial, offset, size };
    const sink: ByteSink & { close(): Promise<void> } = this.#backend.sink(place);
    let sealed = false;
    return {
      size,
      buffer: (at, length) => sink.buffer(at, length),
      write: (at, bytes) => sink.write(at, bytes),
      source: () => this.#backend.source(place),
      seal: async (id, origin) => {
        await sink.close();
        const request = { process: TRANSFER, id, ...place, pin: true, copy: true, announced: true, origin };
        this.#run((now) => (sealed = this.#machine.seal(request, now)));
        return sealed;
      },
      close: () => {
        if (sealed) return this.#run((now) => this.#machine.unpin(TRANSFER, keyOf(serial, offset), 1, now));
        void sink.close().catch(() => undefined);
        this.#run((now) => this.#machine.release(TRANSFER, serial, now));
        // The file backend has a file for it, which no object names.
        this.#backend.discard(place);
      },
    };
  }

  stats(): StoreStatistics {
    return this.#machine.stats();
  }

  /** Asserts the machine's invariants. */
  check(): void {
    this.#machine.check();
  }

  /** Ends disk work and removes what lies on disk. Views that processes hold stay valid. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#garbageTimer);
    this.#diskQueue.length = 0;
    await Promise.all(this.#diskRunning);
    await this.#backend.close();
    if (this.#spillFolder !== undefined) await rm(this.#spillFolder, { recursive: true, force: true });
  }

  // ── events into the machine ──

  /** Everything that the machine is told goes through here: it may have moved its next deadline. */
  #run(event: (now: number) => void): void {
    if (this.#closed) return;
    event(performance.now());
    this.#backend.used(this.#machine.freshStart);
    const next = this.#machine.nextDeadline();
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (next === undefined) return;
    this.#timer = setTimeout(() => this.#run((now) => this.#machine.tick(now)), Math.max(0, next - performance.now()) + 1);
    this.#timer.unref();
  }

  readonly #handlers: { readonly [N in ToStore]: (from: ProcessId, process: Process, body: Body<N>, now: number) => void } = {
    storeAllocate: (from, _, { call, size, slab, timeoutMs }, now) =>
      this.#allocate({ kind: "message", process: from, call }, size, slab, now + timeoutMs, now),
    storeSealed: (from, process, body, now) => this.#sealed(from, process, body, now),
    storeReleased: (from, process, { seq, serial }, now) => {
      this.#reports(from, [{ seq, kind: "released", serial }], now);
      this.#acknowledge(from, process, seq);
    },
    storePin: (from, _, { call, id }, now) => {
      const number = ++this.#number;
      this.#pinCalls.set(number, { process: from, call });
      this.#machine.pin(number, from, id, now + RESTORE_WAIT_MS, now);
    },
    storeUnpin: (from, process, { seq, key }, now) => {
      this.#reports(from, [{ seq, kind: "unpinned", key }], now);
      this.#acknowledge(from, process, seq);
    },
  };

  #allocate(asker: Asker, size: number, slab: number, deadline: number | undefined, now: number): void {
    const number = ++this.#number;
    this.#askers.set(number, asker);
    const account = asker.kind === "copy" ? undefined : this.#options.accountOf?.(asker.process);
    const request = { request: number, process: asker.process, size, slab: Math.min(slab, this.#slabBytes), deadline };
    this.#machine.allocate({ ...request, account }, now);
  }

  /** Takes what has not been heard before; reports come in order, by two ways. */
  #reports(from: ProcessId, reports: readonly SpaceReport[], now: number): void {
    const process = this.#processes.get(from);
    if (!process) return;
    for (const report of reports) {
      if (report.seq <= process.heard) continue;
      process.heard = report.seq;
      if (report.kind === "released") this.#machine.release(from, report.serial, now);
      else if (report.kind === "unpinned") this.#machine.unpin(from, report.key, 1, now);
      else this.#machine.seal({ process: from, id: report.id, ...report.place, pin: report.pin, copy: false, announced: false }, now);
    }
  }

  #sealed(from: ProcessId, process: Process, body: Body<"storeSealed">, now: number): void {
    const { seq, id, serial, offset, size, pin, holder, contains } = body;
    if (seq <= process.announced) return;
    this.#acknowledge(from, process, seq);
    this.#reports(from, [{ seq, kind: "sealed", id, place: { serial, offset, size }, pin }], now);
    const there = this.#machine.announce(id);
    this.#options.onSealed(id, holder, size, contains);
    if (!there) this.#options.onLost(id, "the process that made it did not have the space");
  }

  #acknowledge(from: ProcessId, process: Process, seq: number): void {
    process.announced = Math.max(process.announced, seq);
    if (seq % HEARD_STEP === 0) this.#options.send(from, "storeHeard", { seq });
  }

  // ── effects of the machine ──

  #port(): StorePort {
    return {
      granted: (request, grant) => this.#answer(request, grant),
      refused: (request, refusal) => this.#answer(request, refusal),
      pinned: (call, key, place) => {
        if (call === -1) this.#pinnedNow = { key, size: place.size, place };
        else this.#pinAnswer(call, { kind: "memory", key, ...place });
      },
      pinnedOnDisk: (call, key, size) => {
        if (call === -1) this.#pinnedNow = { key, size };
        else this.#pinAnswer(call, { kind: "disk", key, file: this.#fileOf(key), size });
      },
      pinFailed: (call, reason) => this.#pinAnswer(call, { kind: "lost", reason }),
      spill: (key, place) => this.#disk(() => this.#spill(key, place)),
      restore: (key, place) => this.#disk(() => this.#restore(key, place), true),
      deleteFile: (key) => this.#disk(() => rm(this.#fileOf(key), { force: true })),
      discarded: (place) => this.#backend.discard(place),
      // After this event: who hears of it may say so to the store.
      lost: (id, reason) => queueMicrotask(() => this.#options.onLost(id, reason)),
      evicted: (id) => queueMicrotask(() => this.#elsewhere?.evicted(id)),
      missing: (id) => queueMicrotask(() => this.#elsewhere?.missing(id)),
      unwanted: (id) => queueMicrotask(() => this.#elsewhere?.unwanted(id)),
      charged: () => this.#charged(),
      wantSpace: () => this.#wantSpace(),
    };
  }

  #answer(request: number, result: Grant | Refusal): void {
    const asker = this.#askers.get(request);
    if (!asker) return;
    this.#askers.delete(request);
    const grant = "serial" in result ? result : undefined;
    let taken = true;
    if (asker.kind === "blocked") taken = this.#backend.answer(asker.process, asker.number, result);
    else if (asker.kind === "reserve") taken = this.#backend.putReserve(asker.process, grant);
    else if (asker.kind === "copy") queueMicrotask(() => asker.answer(grant ? this.#incomingCopy(grant, asker.size) : (result as Refusal)));
    else this.#options.send(asker.process, "storeAllocated", { call: asker.call, ...(grant ? { grant } : { refusal: result as Refusal }) });
    // Not waited for any more. After this event: the machine is in the middle of it.
    if (!taken && grant) queueMicrotask(() => this.#run((now) => this.#machine.release(asker.process, grant.serial, now)));
  }

  #pinAnswer(number: number, at: Body<"storePinned">["at"]): void {
    const call = this.#pinCalls.get(number);
    if (!call) return void this.#kept(number, at);
    this.#pinCalls.delete(number);
    this.#options.send(call.process, "storePinned", { call: call.call, at });
  }

  /** After this event. */
  #charged(): void {
    if (this.#chargedSoon) return;
    this.#chargedSoon = true;
    queueMicrotask(() => {
      this.#chargedSoon = false;
      if (!this.#closed) this.#options.onCharged?.();
    });
  }

  #wantSpace(): void {
    if (this.#closed || this.#garbageTimer) return;
    const wait = this.#garbageAskedAt + GARBAGE_PAUSE_MS - performance.now();
    if (wait > 0) {
      this.#garbageTimer = setTimeout(() => {
        this.#garbageTimer = undefined;
        if (this.#machine.stats().waiting > 0) this.#wantSpace();
      }, wait);
      this.#garbageTimer.unref();
      return;
    }
    this.#garbageAskedAt = performance.now();
    for (const process of this.#processes.keys()) this.#options.send(process, "collectGarbage", {});
  }

  // ── disk ──

  /** A few operations at a time; restores go first, for somebody waits for them. */
  #disk(operation: () => Promise<void>, first = false): void {
    if (this.#closed) return;
    if (first) this.#diskQueue.unshift(operation);
    else this.#diskQueue.push(operation);
    this.#nextDisk();
  }

  #nextDisk(): void {
    while (this.#diskRunning.size < DISK_OPERATIONS) {
      const operation = this.#diskQueue.shift();
      if (!operation) return;
      const running: Promise<void> = operation()
        .catch(() => undefined)
        .then(() => {
          this.#diskRunning.delete(running);
          this.#nextDisk();
        });
      this.#diskRunning.add(running);
    }
  }

  #fileOf(key: ObjectKey): string {
    this.#spillFolder ??= makeOwnFolder(this.#options.spillDir ?? join(this.#options.sessionDir, "spill"));
    return join(this.#spillFolder, `${key}.object`);
  }

  async #spill(key: ObjectKey, place: Place): Promise<void> {
    const source = this.#backend.source(place);
    try {
      await writeSpillFile(this.#fileOf(key), place.size, source);
      await source.close();
      this.#run((now) => this.#machine.spilled(key, now));
    } catch (error) {
      await source.close().catch(() => undefined);
      const why = `${error instanceof Error ? error.message : String(error)} (in ${this.#spillFolder})`;
      this.#run((now) => this.#machine.spillFailed(key, why, now));
    }
  }

  async #restore(key: ObjectKey, place: Place): Promise<void> {
    const sink = this.#backend.sink(place);
    try {
      await readSpillFile(this.#fileOf(key), place.size, sink);
      await sink.close();
      this.#run((now) => this.#machine.restored(key, now));
    } catch (error) {
      await sink.close().catch(() => undefined);
      const what = error instanceof SpillFileDamaged ? "its spill file is damaged" : "its spill file cannot be read";
      this.#run((now) => this.#machine.restoreFailed(key, `${what}: ${error instanceof Error ? error.message : String(error)}`, now));
    }
  }
}
