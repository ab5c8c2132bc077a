/**
 * The object store of a node, as a pure machine: who has which bytes, who reads what, what goes to disk and what comes
 * back, who waits. It moves no bytes itself: see its port, in types.ts.
 *
 * An object is resident -> spilling -> spilled -> restoring -> resident, and freed from any of these. One that was
 * spilled keeps its file for as long as it lives: objects never change, so giving its memory up again costs nothing.
 */
import type { ObjectId, ProcessId } from "../../protocol/ids.ts";
import { Arena, GRAIN, PAGE, alignmentOf, roundUp } from "./arena.ts";
import type { Segment } from "./arena.ts";
import { checkStore } from "./check.ts";
import { jobRefusal, LimitedRequests } from "./limited.ts";
import type { LimitedRequest, WaitingRequest } from "./limited.ts";
import { GrantedSpace, StoredObject } from "./stored.ts";
import type { Holder, ObjectState, Waiter } from "./stored.ts";
import { keyOf } from "./types.ts";
import type { AllocateRequest, ObjectKey, Place, Refusal, SealRequest, StoreAccount, StorePort, StoreStatistics } from "./types.ts";

/**
 * How long a reader waits for the seal of an object that the store does not have yet: its maker has sealed it, and the news may be
 * behind much else that it said. One that was here is gone, unless it is made again: of it the news is waited for less long.
 */
const SEAL_WAIT_MS = 30_000;
const AGAIN_WAIT_MS = 3000;
const GONE_MAX = 10_000;
/** How long spilling rests after the disk refused. */
const SPILL_RETRY_MS = 1000;

export class StoreMachine {
  readonly #port: StorePort;
  readonly #arena: Arena<Holder>;
  readonly #grants = new Map<number, GrantedSpace>();
  readonly #objects = new Map<ObjectKey, StoredObject>();
  readonly #byId = new Map<ObjectId, StoredObject>();
  /** Resident and unpinned, least recently used first. Copies go before primaries do. */
  readonly #idle = new Map<ObjectKey, StoredObject>();
  readonly #idleCopies = new Map<ObjectKey, StoredObject>();
  /** Readers of objects whose seal has not been heard of. */
  readonly #early = new Map<ObjectId, Waiter[]>();
  /** The last that were here and are not any more. */
  readonly #gone = new Set<ObjectId>();
  #queue: WaitingRequest[] = [];
  readonly #limited: LimitedRequests;
  /** Objects that wait for space to be restored in, in order. They come before the queue: what they free, others wait for. */
  #restores: StoredObject[] = [];
  #serial = 0;
  #spillingBytes = 0;
  #spilled = 0;
  #spilledBytes = 0;
  #restUntil = -Infinity;
  #spillFailure: string | undefined;
  /** There are other nodes: what is missing here is asked of them. */
  elsewhere = false;

  constructor(capacity: number, port: StorePort) {
    this.#arena = new Arena(capacity);
    this.#port = port;
    this.#limited = new LimitedRequests(
      (size) => this.#sizeFor(size),
      () => port.charged(),
    );
  }

  get capacity(): number {
    return this.#arena.capacity;
  }

  get freshStart(): number {
    return this.#arena.freshStart;
  }

  allocate(request: AllocateRequest, now: number): void {
    if (this.#sizeFor(request.size) > this.capacity) return this.#port.refused(request.request, this.#refusal("too-large"));
    if (this.#limited.holds(request)) return this.#limit(request);
    const nobodyWaits = this.#queue.length === 0 && this.#restores.length === 0;
    if (nobodyWaits && this.#grant(request)) return;
    if (request.deadline === undefined) return this.#port.refused(request.request, this.#refusal("full"));
    this.#queue.push(request as WaitingRequest);
    this.#port.wantSpace();
    this.#pump(now);
  }

  /** Beyond what its job may have: it waits until that has less, or may have more here. */
  #limit(request: AllocateRequest & { readonly account: StoreAccount }): void {
    const waits = request.deadline !== undefined && !this.#limited.never(request);
    if (!waits) return this.#port.refused(request.request, jobRefusal(request.account));
    this.#limited.add(request as LimitedRequest);
    this.#port.wantSpace();
  }

  /** Who asked does not wait for it any more. */
  withdraw(request: number, now: number): void {
    this.#queue = this.#queue.filter((other) => other.request !== request);
    this.#limited.drop((other) => other.request === request);
    this.#pump(now);
  }

  /** An object is complete. False: its process does not have that space (any more), and nothing happens. */
  seal(request: SealRequest, now: number): boolean {
    const grant = this.#grants.get(request.serial);
    if (!grant || grant.process !== request.process) return false;
    const place = this.#placeIn(grant, request);
    if (!place) return false;
    grant.segments.delete(place.segment);
    const object = new StoredObject(request, place.segment);
    const { taken, left } = this.#arena.carve(place.segment, request.offset, place.length, object);
    object.segment = taken;
    object.account = grant.account;
    object.charged = taken.size;
    for (const rest of left) grant.segments.add(rest);
    if (grant.segments.size === 0) this.#grants.delete(grant.serial);
    this.#objects.set(object.key, object);
    // A task that ran again made an object again that is there: who reads the first one goes on, and it stays.
    const twin = this.#byId.get(request.id);
    if (twin) {
      object.freed = true;
      object.unannouncedBy = undefined;
      if (!request.copy) this.promote(request.id);
    } else this.#byId.set(request.id, object);
    if (request.pin) object.pins.set(request.process, 1);
    this.#pinEarly(request.id);
    this.#settle(object);
    this.#pump(now);
    return true;
  }

  /**
   * A reader may be faster than the seal: who made the object told the reader's process of it on another connection. The seal
   * is on its way then; of an object that is gone it never comes. Where there are other nodes it may as well be on one of them.
   */
  #awaitSeal(id: ObjectId, call: number, process: ProcessId, now: number): void {
    const waiter = { call, process, deadline: this.#sealDeadline(id, now) };
    const others = this.#early.get(id);
    if (others) return void others.push(waiter);
    this.#early.set(id, [waiter]);
    if (this.elsewhere) this.#port.missing(id);
  }

  #sealDeadline(id: ObjectId, now: number): number {
    return this.elsewhere ? Infinity : now + (this.#gone.has(id) ? AGAIN_WAIT_MS : SEAL_WAIT_MS);
  }

  #takeEarly(id: ObjectId): readonly Waiter[] {
    const waiters = this.#early.get(id);
    if (!waiters) return [];
    this.#early.delete(id);
    if (this.elsewhere) this.#port.unwanted(id);
    return waiters;
  }

  #forget(id: ObjectId): void {
    this.#byId.delete(id);
    this.#gone.delete(id);
    this.#gone.add(id);
    if (this.#gone.size > GONE_MAX) this.#gone.delete(this.#gone.values().next().value!);
  }

  #pinEarly(id: ObjectId): void {
    const object = this.#byId.get(id);
    if (!object) return;
    for (const { call, process } of this.#takeEarly(id)) this.#pinResident(object, call, process);
  }

  /** It was looked for on other nodes, in vain. */
  notFound(id: ObjectId, reason: string): void {
    for (const { call } of this.#takeEarly(id)) this.#port.pinFailed(call, reason);
  }

  /** Takes those waiters out that are to go. */
  #leaveEarly(goes: (waiter: Waiter) => boolean): Waiter[] {
    const gone: Waiter[] = [];
    for (const [id, waiters] of this.#early) {
      const kept = waiters.filter((waiter) => !goes(waiter));
      if (kept.length === waiters.length) continue;
      gone.push(...waiters.filter(goes));
      if (kept.length > 0) this.#early.set(id, kept);
      else this.#takeEarly(id);
    }
    return gone;
  }

  /** The holders of a sealed object are known now. False: there is no such object. */
  announce(id: ObjectId): boolean {
    const object = this.#byId.get(id);
    if (object) object.unannouncedBy = undefined;
    return object !== undefined;
  }

  /** A process gives back what is left of a grant. */
  release(process: ProcessId, serial: number, now: number): void {
    const grant = this.#grants.get(serial);
    if (!grant || grant.process !== process) return;
    this.#dropGrant(grant);
    this.#pump(now);
  }

  /** Until `deadline` a spilled object may wait for space; then it is offered on disk. */
  pin(call: number, process: ProcessId, id: ObjectId, deadline: number, now: number): void {
    const object = this.#byId.get(id);
    if (!object) return this.#awaitSeal(id, call, process, now);
    if (object.state === "resident" || object.state === "spilling") return this.#pinResident(object, call, process);
    object.waiters.push({ call, process, deadline });
    if (object.state === "restoring") return;
    object.state = "restoring";
    this.#restores.push(object);
    this.#pump(now);
  }

  /** For who sends it to another node: it is read where it lies, from its file too. False: it is not here. */
  pinWhereItLies(call: number, process: ProcessId, id: ObjectId): boolean {
    const object = this.#byId.get(id);
    if (!object) return false;
    if (object.state === "resident" || object.state === "spilling") this.#pinResident(object, call, process);
    else this.#pinOnDisk(object, call, process);
    return true;
  }

  /** Names the run of its task that these bytes are from; undefined for a primary. */
  originOf(id: ObjectId): string | undefined {
    return this.#byId.get(id)?.origin;
  }

  /** Undefined: it is not here. */
  sizeOf(id: ObjectId): number | undefined {
    return this.#byId.get(id)?.size;
  }

  /** The primary is gone: from now on this copy is it. False: there is none. */
  promote(id: ObjectId): boolean {
    const object = this.#byId.get(id);
    if (!object) return false;
    if (!object.copy) return true;
    this.#idleCopies.delete(object.key);
    object.copy = false;
    this.#settle(object);
    return true;
  }

  unpin(process: ProcessId, key: ObjectKey, count: number, now: number): void {
    const object = this.#objects.get(key);
    const held = object?.pins.get(process);
    if (!object || held === undefined) return;
    if (held > count) object.pins.set(process, held - count);
    else object.pins.delete(process);
    this.#settle(object);
    this.#pump(now);
  }

  free(id: ObjectId, now: number): void {
    const object = this.#byId.get(id);
    if (!object) return;
    this.#forget(id);
    object.freed = true;
    object.unannouncedBy = undefined;
    this.#failWaiters(object, "it was freed");
    this.#settle(object);
    this.#pump(now);
  }

  spilled(key: ObjectKey, now: number): void {
    const object = this.#inState(key, "spilling");
    if (!object) return;
    this.#spillingBytes -= object.segment!.size;
    this.#spillFailure = undefined;
    object.onDisk = true;
    object.state = "resident";
    if (object.pins.size === 0 && !object.freed) this.#giveUpMemory(object);
    else this.#settle(object);
    this.#pump(now);
  }

  /** The disk refused: it stays in memory, and spilling rests for a moment. */
  spillFailed(key: ObjectKey, detail: string, now: number): void {
    const object = this.#inState(key, "spilling");
    if (!object) return;
    this.#spillingBytes -= object.segment!.size;
    this.#spillFailure = detail;
    this.#restUntil = now + SPILL_RETRY_MS;
    object.state = "resident";
    this.#settle(object);
    this.#pump(now);
  }

  restored(key: ObjectKey, now: number): void {
    const object = this.#inState(key, "restoring");
    if (!object?.segment) return;
    object.state = "resident";
    this.#spilled--;
    this.#spilledBytes -= object.size;
    const waiters = object.waiters;
    object.waiters = [];
    for (const waiter of waiters) this.#pinResident(object, waiter.call, waiter.process);
    this.#settle(object);
    this.#pump(now);
  }

  /** Its file cannot be read: the object is gone. */
  restoreFailed(key: ObjectKey, reason: string, now: number): void {
    const object = this.#inState(key, "restoring");
    if (!object?.segment) return;
    this.#arena.release(object.segment);
    object.segment = undefined;
    object.state = "spilled";
    this.#failWaiters(object, reason);
    if (!object.freed) {
      this.#forget(object.id);
      object.freed = true;
      object.unannouncedBy = undefined;
      this.#port.lost(object.id, reason);
    }
    this.#settle(object);
    this.#pump(now);
  }

  /** A process is gone: its space, its pins, what it waits for, and what it sealed that nobody has heard of. */
  processLost(process: ProcessId, now: number): void {
    this.#queue = this.#queue.filter((request) => request.process !== process);
    this.#limited.drop((request) => request.process === process);
    this.#leaveEarly((waiter) => waiter.process === process);
    for (const grant of this.#grants.values()) if (grant.process === process) this.#dropGrant(grant);
    for (const object of this.#objects.values()) {
      if (object.waiters.length > 0) object.waiters = object.waiters.filter((waiter) => waiter.process !== process);
      const had = object.pins.delete(process);
      if (object.unannouncedBy === process) {
        object.unannouncedBy = undefined;
        object.freed = true;
        this.#forget(object.id);
        this.#failWaiters(object, "the process that made it is gone");
      } else if (!had) continue;
      this.#settle(object);
    }
    this.#pump(now);
  }

  /** To be called when the time of `nextDeadline` has come, and when jobs may have more here. */
  tick(now: number): void {
    if (now >= this.#restUntil) this.#restUntil = -Infinity;
    for (const { request, account } of this.#limited.drop((each) => each.deadline <= now)) this.#port.refused(request, jobRefusal(account));
    const late = this.#queue.filter((request) => request.deadline <= now);
    if (late.length > 0) {
      this.#queue = this.#queue.filter((request) => request.deadline > now);
      for (const request of late) this.#port.refused(request.request, this.#refusal(this.#spillFailure ? "spill-failed" : "full"));
    }
    for (const { call } of this.#leaveEarly((waiter) => waiter.deadline <= now))
      this.#port.pinFailed(call, "the store does not have it: it was freed, or its maker died before the node had heard of it");
    for (const object of [...this.#restores]) {
      const waiting = object.waiters.filter((waiter) => waiter.deadline > now);
      for (const waiter of object.waiters) if (waiter.deadline <= now) this.#pinOnDisk(object, waiter.call, waiter.process);
      object.waiters = waiting;
    }
    this.#pump(now);
  }

  nextDeadline(): number | undefined {
    let next = Infinity;
    for (const request of [...this.#queue, ...this.#limited.all]) next = Math.min(next, request.deadline);
    for (const object of this.#restores) for (const waiter of object.waiters) next = Math.min(next, waiter.deadline);
    for (const waiters of this.#early.values()) for (const waiter of waiters) next = Math.min(next, waiter.deadline);
    if (next !== Infinity && this.#restUntil > -Infinity) next = Math.min(next, this.#restUntil);
    return next === Infinity ? undefined : next;
  }

  /** Whose bytes are still of use: serials of grants, and places of objects in memory (named like keys). */
  livePlaces(): { grants: ReadonlySet<number>; objects: ReadonlySet<string> } {
    const objects = new Set<string>();
    for (const object of this.#objects.values()) if (object.segment) objects.add(keyOf(object.serial, object.segment.offset));
    return { grants: new Set(this.#grants.keys()), objects };
  }

  stats(): StoreStatistics {
    let reserved = 0;
    for (const grant of this.#grants.values()) if (grant.slab) for (const segment of grant.segments) reserved += segment.size;
    return {
      capacity: this.capacity,
      used: this.capacity - this.#arena.freeBytes - reserved,
      reserved,
      objects: this.#byId.size,
      spilled: this.#spilled,
      spilledBytes: this.#spilledBytes,
      pinned: this.#pinnedBytes(),
      waiting: this.#queue.length + this.#limited.all.length + this.#restores.length,
    };
  }

  check(): void {
    checkStore({
      arena: this.#arena,
      grants: this.#grants,
      limited: this.#limited.all,
      objects: this.#objects,
      byId: this.#byId,
      idle: this.#idle,
      idleCopies: this.#idleCopies,
      restores: this.#restores,
      spillingBytes: this.#spillingBytes,
      spilled: this.#spilled,
      spilledBytes: this.#spilledBytes,
    });
  }

  /** Whole pages: what a process gets can be mapped, and it may cut it as it likes. */
  #sizeFor(size: number): number {
    return roundUp(Math.max(size, 1), PAGE);
  }

  #grant(request: AllocateRequest): boolean {
    const { account } = request;
    const slab = request.slab > 0 && account === undefined;
    const space = new GrantedSpace(this.#serial + 1, request.process, slab);
    let segment = slab ? this.#arena.allocate(this.#sizeFor(request.slab), PAGE, space) : undefined;
    let granted = space;
    if (!segment) {
      granted = new GrantedSpace(space.serial, request.process, false, account);
      segment = this.#arena.allocate(this.#sizeFor(request.size), PAGE, granted);
    }
    if (!segment) return false;
    this.#serial = granted.serial;
    this.#charge(account, segment.size);
    granted.segments.add(segment);
    this.#grants.set(granted.serial, granted);
    this.#port.granted(request.request, { serial: granted.serial, offset: segment.offset, size: segment.size, slab: granted.slab });
    return true;
  }

  /** Which segment of the grant the object lies in, and how much of it it takes; undefined if it does not fit there. */
  #placeIn(grant: GrantedSpace, request: SealRequest): { segment: Segment<Holder>; length: number } | undefined {
    const length = roundUp(Math.max(request.size, 1), GRAIN);
    for (const segment of grant.segments) {
      if (request.offset < segment.offset || request.offset + length > segment.offset + segment.size) continue;
      if (request.offset % alignmentOf(request.size) !== 0) return undefined;
      if (grant.slab) return { segment, length };
      // What is given for one object is that object's, whole pages of it.
      return request.offset === segment.offset ? { segment, length: segment.size } : undefined;
    }
    return undefined;
  }

  #dropGrant(grant: GrantedSpace): void {
    for (const segment of grant.segments) {
      this.#charge(grant.account, -segment.size);
      this.#arena.release(segment);
    }
    this.#grants.delete(grant.serial);
  }

  #pinResident(object: StoredObject, call: number, process: ProcessId): void {
    this.#idle.delete(object.key);
    this.#idleCopies.delete(object.key);
    object.pins.set(process, (object.pins.get(process) ?? 0) + 1);
    this.#port.pinned(call, object.key, this.#place(object));
  }

  #pinOnDisk(object: StoredObject, call: number, process: ProcessId): void {
    object.pins.set(process, (object.pins.get(process) ?? 0) + 1);
    this.#port.pinnedOnDisk(call, object.key, object.size);
  }

  #place(object: StoredObject): Place {
    return { serial: object.serial, offset: object.segment!.offset, size: object.size };
  }

  #inState(key: ObjectKey, state: ObjectState): StoredObject | undefined {
    const object = this.#objects.get(key);
    return object?.state === state ? object : undefined;
  }

  #failWaiters(object: StoredObject, reason: string): void {
    const waiters = object.waiters;
    object.waiters = [];
    for (const waiter of waiters) this.#port.pinFailed(waiter.call, reason);
  }

  /** After any change: puts the object into the list where it belongs, or lets it go. */
  #settle(object: StoredObject): void {
    const idle = object.copy ? this.#idleCopies : this.#idle;
    idle.delete(object.key);
    if (object.pins.size > 0 || object.state === "spilling") return;
    if (object.state === "restoring") {
      if (object.segment || object.waiters.length > 0) return;
      this.#leaveRestores(object);
    }
    if (!object.freed) {
      if (object.state === "resident") idle.set(object.key, object);
      return;
    }
    this.#objects.delete(object.key);
    this.#charge(object.account, -object.charged);
    if (object.state !== "resident") {
      this.#spilled--;
      this.#spilledBytes -= object.size;
    }
    if (object.segment) {
      this.#port.discarded(this.#place(object));
      this.#arena.release(object.segment);
      object.segment = undefined;
    }
    if (object.onDisk) this.#port.deleteFile(object.key);
  }

  #charge(account: StoreAccount | undefined, bytes: number): void {
    if (account === undefined || bytes === 0) return;
    account.storeCharge(bytes);
    this.#port.charged();
  }

  #leaveRestores(object: StoredObject): void {
    this.#restores = this.#restores.filter((other) => other !== object);
    object.state = "spilled";
  }

  /** Its file is complete and nobody reads it. */
  #giveUpMemory(object: StoredObject): void {
    this.#idle.delete(object.key);
    this.#port.discarded(this.#place(object));
    this.#arena.release(object.segment!);
    object.segment = undefined;
    object.state = "spilled";
    this.#spilled++;
    this.#spilledBytes += object.size;
  }

  /** Serves who waits, in order, as far as there is space; makes space for the first one that stays. */
  #pump(now: number): void {
    while (this.#restores.length > 0) {
      const object = this.#restores[0]!;
      if (object.waiters.length === 0) {
        this.#leaveRestores(object);
        this.#settle(object);
        continue;
      }
      if (this.#startRestore(object)) continue;
      if (!this.#makeSpace(this.#sizeFor(object.size), now)) return;
    }
    this.#queue.push(...this.#limited.admit());
    while (this.#queue.length > 0) {
      const request = this.#queue[0]!;
      // One before it took what its job may have.
      if (this.#limited.holds(request)) {
        this.#queue.shift();
        this.#limit(request);
        continue;
      }
      if (this.#grant(request)) this.#queue.shift();
      else if (!this.#makeSpace(this.#sizeFor(request.size), now)) return;
    }
  }

  #startRestore(object: StoredObject): boolean {
    const segment = this.#arena.allocate(this.#sizeFor(object.size), PAGE, object);
    if (!segment) return false;
    this.#restores.shift();
    object.serial = ++this.#serial;
    object.segment = segment;
    this.#port.restore(object.key, this.#place(object));
    return true;
  }

  /** Drops copies, then gives up primaries, least recently used first. True: some space is free at once, try again. */
  #makeSpace(size: number, now: number): boolean {
    for (const copy of this.#idleCopies.values()) {
      this.#forget(copy.id);
      copy.freed = true;
      copy.unannouncedBy = undefined;
      this.#settle(copy);
      this.#port.evicted(copy.id);
      return true;
    }
    let started = false;
    for (const object of this.#idle.values()) {
      // What is on its way out is counted as free, until nothing is: then space is there but not in one piece.
      if (this.#spillingBytes > 0 && this.#arena.freeBytes + this.#spillingBytes >= size) break;
      if (object.onDisk) {
        this.#giveUpMemory(object);
        return true;
      }
      if (now < this.#restUntil) continue;
      started = true;
      this.#idle.delete(object.key);
      object.state = "spilling";
      this.#spillingBytes += object.segment!.size;
      this.#port.spill(object.key, this.#place(object));
    }
    if (!started && this.#spillingBytes === 0) this.#port.wantSpace();
    return false;
  }

  #pinnedBytes(): number {
    let bytes = 0;
    for (const object of this.#objects.values()) if (object.pins.size > 0) bytes += object.size;
    return bytes;
  }

  #refusal(reason: Refusal["reason"]): Refusal {
    const { capacity, used, pinned } = this.stats();
    return { reason, capacity, used, pinned, detail: this.#spillFailure };
  }
}
