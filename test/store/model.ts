/**
 * A world around the store machine for property tests: processes that hold grants and pins, a disk that takes its time.
 * It keeps its own list of the ranges that someone uses, and objects when the machine gives one of them to another.
 */
import assert from "node:assert/strict";
import { StoreMachine } from "../../src/core/store/machine.ts";
import { alignmentOf, roundUp } from "../../src/core/store/arena.ts";
import type { Grant, ObjectKey, Place, Refusal, StorePort, StoreAccount } from "../../src/core/store/types.ts";
import type { ObjectId, ProcessId } from "../../src/protocol/ids.ts";

export const PROCESSES = ["aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"] as ProcessId[];

interface HeldGrant {
  readonly process: ProcessId;
  readonly grant: Grant;
  next: number;
}
interface HeldPin {
  readonly process: ProcessId;
  readonly key: ObjectKey;
  readonly place: Place | undefined;
}

export class World implements StorePort {
  readonly machine: StoreMachine;
  now = 0;
  grants: HeldGrant[] = [];
  pins: HeldPin[] = [];
  /** Disk operations under way. */
  disk: { kind: "spill" | "restore"; key: ObjectKey; place: Place }[] = [];
  readonly files = new Set<ObjectKey>();
  readonly ids: ObjectId[] = [];
  readonly refusals: Refusal[] = [];
  readonly lostIds: ObjectId[] = [];
  readonly evictedIds: ObjectId[] = [];
  readonly discards: Place[] = [];
  /** Objects that are wanted from elsewhere. */
  readonly missingIds = new Set<ObjectId>();
  spaceWanted = 0;
  readonly asked = new Map<number, ProcessId>();
  readonly calls = new Map<number, ProcessId>();
  failedPins: string[] = [];
  diskPins = 0;
  #number = 0;

  constructor(capacity: number) {
    this.machine = new StoreMachine(capacity, this);
  }

  charged(): void {}

  // ── what processes do ──

  allocate(process: ProcessId, size: number, slab = 0, waitMs: number | undefined = 10, account?: StoreAccount): number {
    const request = ++this.#number;
    this.asked.set(request, process);
    const deadline = waitMs === undefined ? undefined : this.now + waitMs;
    this.machine.allocate({ request, process, size, slab, deadline, account }, this.now);
    return request;
  }

  /** Seals an object of `size` in a grant, at its next place, if it has room. */
  seal(
    held: HeldGrant,
    size: number,
    options: { pin?: boolean; copy?: boolean; announced?: boolean; id?: ObjectId } = {},
  ): ObjectId | undefined {
    const offset = roundUp(held.next, alignmentOf(size));
    const end = offset + roundUp(Math.max(size, 1), 64);
    if (end > held.grant.offset + held.grant.size) return undefined;
    held.next = end;
    if (!held.grant.slab) this.grants = this.grants.filter((other) => other !== held);
    const id = options.id ?? (`o${++this.#number}` as ObjectId);
    const { serial } = held.grant;
    const pin = options.pin ?? false;
    if (pin) this.pins.push({ process: held.process, key: `${serial}-${offset}`, place: { serial, offset, size } });
    const sealed = this.machine.seal(
      { process: held.process, id, serial, offset, size, pin, copy: options.copy ?? false, announced: options.announced ?? true },
      this.now,
    );
    assert.ok(sealed, "a seal in a grant that is held");
    this.ids.push(id);
    return id;
  }

  put(process: ProcessId, size: number, options: Parameters<World["seal"]>[2] = {}): ObjectId {
    const before = this.grants.length;
    this.allocate(process, size, 0, undefined);
    assert.equal(this.grants.length, before + 1, `no space for ${size}`);
    return this.seal(this.grants.at(-1)!, size, options)!;
  }

  pin(process: ProcessId, id: ObjectId, waitMs = 10): void {
    const call = ++this.#number;
    this.calls.set(call, process);
    this.machine.pin(call, process, id, this.now + waitMs, this.now);
  }

  unpin(pin: HeldPin): void {
    this.pins = this.pins.filter((other) => other !== pin);
    this.machine.unpin(pin.process, pin.key, 1, this.now);
  }

  release(held: HeldGrant): void {
    this.grants = this.grants.filter((other) => other !== held);
    this.machine.release(held.process, held.grant.serial, this.now);
  }

  free(id: ObjectId): void {
    this.machine.free(id, this.now);
  }

  lose(process: ProcessId): void {
    this.grants = this.grants.filter((held) => held.process !== process);
    this.pins = this.pins.filter((pin) => pin.process !== process);
    this.machine.processLost(process, this.now);
  }

  /** The disk ends an operation. */
  finish(operation: World["disk"][number], good: boolean): void {
    this.disk = this.disk.filter((other) => other !== operation);
    const { key } = operation;
    if (operation.kind === "spill") {
      if (good) this.files.add(key);
      if (good) this.machine.spilled(key, this.now);
      else this.machine.spillFailed(key, "ENOSPC: no space left on device", this.now);
    } else if (good) this.machine.restored(key, this.now);
    else this.machine.restoreFailed(key, "damaged", this.now);
  }

  finishAll(): void {
    while (this.disk.length > 0) this.finish(this.disk[0]!, true);
  }

  sleep(ms: number): void {
    this.now += ms;
    this.machine.tick(this.now);
  }

  // ── what the machine does ──

  granted(request: number, grant: Grant): void {
    const process = this.asked.get(request);
    assert.ok(process !== undefined, "granted what was asked for, once");
    this.asked.delete(request);
    this.#mustBeUnused(grant.offset, grant.size);
    this.grants.push({ process, grant, next: grant.offset });
  }

  refused(request: number, refusal: Refusal): void {
    assert.ok(this.asked.delete(request), "refused what was asked for, once");
    this.refusals.push(refusal);
  }

  pinned(call: number, key: ObjectKey, place: Place): void {
    this.pins.push({ process: this.#caller(call), key, place });
  }

  pinnedOnDisk(call: number, key: ObjectKey): void {
    assert.ok(this.files.has(key), "offered on disk, and the file is there");
    this.diskPins++;
    this.pins.push({ process: this.#caller(call), key, place: undefined });
  }

  pinFailed(call: number, reason: string): void {
    this.#caller(call);
    this.failedPins.push(reason);
  }

  spill(key: ObjectKey, place: Place): void {
    this.disk.push({ kind: "spill", key, place });
  }

  restore(key: ObjectKey, place: Place): void {
    assert.ok(this.files.has(key), "restored from a file that is there");
    this.#mustBeUnused(place.offset, place.size);
    this.disk.push({ kind: "restore", key, place });
  }

  deleteFile(key: ObjectKey): void {
    assert.ok(this.files.delete(key), "a file is deleted once");
    assert.ok(!this.pins.some((pin) => pin.key === key && pin.place === undefined), "nobody reads the file");
  }

  discarded(place: Place): void {
    this.discards.push(place);
    for (const pin of this.pins) {
      if (pin.place) assert.ok(pin.place.serial !== place.serial || pin.place.offset !== place.offset, "what is discarded is not pinned");
    }
    assert.ok(
      !this.disk.some((operation) => operation.place.serial === place.serial && operation.place.offset === place.offset),
      "what is discarded is not on its way to or from disk",
    );
  }

  lost(id: ObjectId): void {
    this.lostIds.push(id);
  }

  evicted(id: ObjectId): void {
    this.evictedIds.push(id);
  }

  missing(id: ObjectId): void {
    assert.ok(!this.missingIds.has(id), "asked for once");
    this.missingIds.add(id);
  }

  unwanted(id: ObjectId): void {
    assert.ok(this.missingIds.delete(id), "what is not wanted any more was wanted");
  }

  wantSpace(): void {
    this.spaceWanted++;
  }

  #caller(call: number): ProcessId {
    const process = this.calls.get(call);
    assert.ok(process !== undefined, "a call is answered once");
    this.calls.delete(call);
    return process;
  }

  #mustBeUnused(offset: number, size: number): void {
    const clash = (other: { offset: number; size: number }) => offset < other.offset + other.size && other.offset < offset + size;
    for (const { grant, next } of this.grants) {
      // What was sealed in a slab may have been freed since; the rest is still its process's.
      if (!grant.slab || grant.offset + grant.size > next) {
        const rest = grant.slab ? { offset: next, size: grant.offset + grant.size - next } : grant;
        assert.ok(!clash(rest), `[${offset}, ${offset + size}) is granted to another`);
      }
    }
    for (const pin of this.pins) if (pin.place) assert.ok(!clash(pin.place), `[${offset}, ${offset + size}) is being read`);
    for (const operation of this.disk) assert.ok(!clash(operation.place), `[${offset}, ${offset + size}) is on its way to or from disk`);
  }
}
