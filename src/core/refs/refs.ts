/**
 * The table of escaped and stored objects, and of actors as far as they are held: who holds what, what contains what,
 * and what a pending object became. A record lives exactly as long as a process or a living record holds it.
 *
 * Connections are read in any order among each other, so news of an id may come before the record itself: whatever
 * comes first makes the record. News of a freed id is told from that by a bounded memory of freed ids.
 */
import { makerOf } from "../../protocol/ids.ts";
import type { ActorId, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Body, Failure, Payload } from "../../protocol/messages.ts";
import { isActor, RefRecord } from "./record.ts";
import type { RefId } from "./record.ts";
import { Ways } from "./ways.ts";

export interface RefPort {
  send<N extends "objectState" | "refLost" | "taskCancel">(to: ProcessId, name: N, body: Body<N>): void;
  /** The store may take its bytes back. */
  freeStored(id: ObjectId): void;
  /** Nobody holds the actor any more. */
  actorUnheld(id: ActorId): void;
}

const FREED_MAX = 100_000;
const LOST_MAX = 100_000;

/** Ids by process; empty sets are dropped. */
class Index {
  readonly #sets = new Map<ProcessId, Set<RefId>>();

  add(process: ProcessId, id: RefId): void {
    const set = this.#sets.get(process);
    if (set === undefined) this.#sets.set(process, new Set([id]));
    else set.add(id);
  }

  delete(process: ProcessId, id: RefId): void {
    const set = this.#sets.get(process);
    if (set?.delete(id) && set.size === 0) this.#sets.delete(process);
  }

  has(process: ProcessId, id: RefId): boolean {
    return this.#sets.get(process)?.has(id) ?? false;
  }

  take(process: ProcessId): RefId[] {
    const set = this.#sets.get(process);
    this.#sets.delete(process);
    return set === undefined ? [] : [...set];
  }

  get size(): number {
    let size = 0;
    for (const set of this.#sets.values()) size += set.size;
    return size;
  }
}

export class RefTable {
  readonly #port: RefPort;
  readonly #records = new Map<RefId, RefRecord>();
  /** Freed ids, and whether their owner had made them known: only then is another escape a repeat. */
  readonly #freed = new Map<RefId, boolean>();
  readonly #lost = new Set<ProcessId>();
  readonly #heldBy = new Index();
  readonly #fetchedBy = new Index();
  /** Objects that their maker has yet to settle. */
  readonly #pendingOf = new Index();
  readonly #ways: Ways;

  constructor(port: RefPort) {
    this.#port = port;
    this.#ways = new Ways(
      {
        hold: (ids) => this.#parcelled(ids),
        release: (ids) => this.#arrived(ids),
        ask: (receiver, way, opener, from) => port.send(receiver, "refLost", { way, opener, from }),
      },
      (process) => this.#lost.has(process),
    );
  }

  get size(): number {
    return this.#records.size;
  }

  // ── what objects are ─────────────────────────────────────────────────────────────────────────

  escape(from: ProcessId, body: Body<"objectEscape">): void {
    const { id } = body;
    if (this.#freed.get(id) === true || this.#lost.has(from)) return;
    const record = this.#revived(id);
    if (!record.escaped) {
      record.escaped = true;
      this.#credit(record, from, 1);
    }
    if (body.payload !== undefined) this.#settle(record, body.payload);
    this.#freeUnheld([record]);
  }

  settle(body: Body<"objectSettle">): void {
    const record = this.#records.get(body.id);
    if (record === undefined) return;
    this.#settle(record, body.payload);
    // Only those who asked may have kept it, and they have their answer.
    this.#freeUnheld([record]);
  }

  /**
   * What it is, from the worker that made it. That worker may be heard before the owner that let a ref of it escape: then it is
   * made known by this, as by the owner, whose own word is a repeat.
   */
  result(body: Body<"objectResult">): void {
    const { id, payload } = body;
    const maker = makerOf(id);
    if (this.#freed.get(id) === true || this.#lost.has(maker)) return;
    // What is inside is under way to the owner, or held by it, until the owner has settled this object itself.
    if (payload.kind !== "stored" && payload.refs?.some((ref) => !this.#records.has(ref))) return;
    const record = this.#revived(id);
    if (!record.escaped) {
      record.escaped = true;
      this.#credit(record, maker, 1);
    }
    // Of one that failed already its maker has died, and the refs inside may be gone.
    if (!record.settled) this.#settle(record, payload);
    this.#freeUnheld([record]);
  }

  /** The store has its bytes; `holder` holds it once. A second seal is another run of its task, and counts again. */
  sealed(id: ObjectId, holder: ProcessId, size: number, contains: readonly RefId[]): void {
    const record = this.#revived(id);
    record.stored = true;
    if (record.payload === undefined) {
      this.#contain(record, contains);
      this.#become(record, { kind: "stored", id, size }, undefined);
    }
    this.#credit(record, holder, 1);
    this.#freeUnheld([record]);
  }

  /** Its bytes are gone. It may be sealed again. */
  objectLost(id: ObjectId, why: string): void {
    const record = this.#records.get(id);
    if (record === undefined || record.payload?.kind !== "stored" || record.payload.id !== id) return;
    record.stored = false;
    const contents = this.#uncontain(record);
    this.#become(record, undefined, { code: "OBJECT_LOST", message: `object ${id} is lost: ${why}` });
    this.#freeUnheld(contents);
  }

  /** Of an actor, at its declaration: whoever made it holds it once. */
  declared(id: ActorId, holder: ProcessId): void {
    if (this.#freed.get(id) === true) return;
    const record = this.#revived(id);
    if (record.escaped) return;
    record.escaped = true;
    this.#credit(record, holder, 1);
    this.#freeUnheld([record]);
  }

  // ── who holds them ───────────────────────────────────────────────────────────────────────────

  add(id: RefId, holder: ProcessId): void {
    // What was stored and freed may be made again by another run, and is known to its owner before the news of it is here.
    if (!this.#lost.has(holder) && this.#freed.get(id) !== true) this.#credit(this.#record(id), holder, 1);
  }

  /** More than it holds is nothing: what it wanted to hold was freed before it said so. */
  drop(from: ProcessId, { id, count }: Body<"refDrop">): void {
    const record = this.#records.get(id);
    const held = record?.holders.get(from);
    if (record === undefined || held === undefined) return;
    this.#credit(record, from, -Math.min(held, count));
    this.#freeUnheld([record]);
  }

  /** Refs are on their way to a process: until they have come, the way holds them. */
  sent(from: ProcessId, body: Body<"refSent">): void {
    this.#ways.sent(from, body);
  }

  came(from: ProcessId, body: Body<"refCame">): void {
    this.#ways.came(from, body);
  }

  /** A process is gone: what it held is not held by it, and what only it could make will not come. */
  processLost(process: ProcessId): void {
    this.#lost.add(process);
    if (this.#lost.size > LOST_MAX) this.#lost.delete(this.#lost.values().next().value as ProcessId);
    const touched: RefRecord[] = [];
    this.#ways.processLost(process);
    for (const id of this.#fetchedBy.take(process)) {
      const record = this.#records.get(id)!;
      record.fetchers!.delete(process);
      touched.push(record);
    }
    for (const id of this.#pendingOf.take(process)) {
      const record = this.#records.get(id)!;
      const message = `the process that owned object ${id} is gone, so the object will never be made`;
      this.#become(record, undefined, { code: "OWNER_DIED", message });
      touched.push(record);
    }
    for (const id of this.#heldBy.take(process)) {
      const record = this.#records.get(id)!;
      record.holders.delete(process);
      touched.push(record);
    }
    this.#freeUnheld(touched);
  }

  // ── who asks for them ────────────────────────────────────────────────────────────────────────

  fetch(from: ProcessId, body: Body<"objectFetch">): void {
    const { id } = body;
    if (this.#freed.has(id)) return this.#port.send(from, "objectState", { id, failure: freedFailure(id) });
    const record = this.#record(id);
    if (record.settled) {
      this.#answer(record, from);
      return this.#freeUnheld([record]);
    }
    (record.fetchers ??= new Set()).add(from);
    this.#fetchedBy.add(from, id);
  }

  fetchCancel(from: ProcessId, body: Body<"objectFetchCancel">): void {
    const record = this.#records.get(body.id);
    if (!record?.fetchers?.delete(from)) return;
    this.#fetchedBy.delete(from, body.id);
    this.#freeUnheld([record]);
  }

  /** Its maker alone knows what makes it; of a maker that is gone there is nothing to cancel. */
  cancel(body: Body<"objectCancel">): void {
    const maker = makerOf(body.id);
    if (!this.#lost.has(maker)) this.#port.send(maker, "taskCancel", body);
  }

  /** Holders and their counts, for listings and tests. */
  holders(id: RefId): ReadonlyMap<ProcessId, number> | undefined {
    return this.#records.get(id)?.holders;
  }

  /** Throws unless every count is what a recount gives. */
  check(): void {
    const containers = new Map<RefId, number>();
    const parcels = new Map<RefId, number>();
    this.#ways.check((id) => parcels.set(id, (parcels.get(id) ?? 0) + 1));
    let holds = 0;
    let fetches = 0;
    let pending = 0;
    for (const [id, record] of this.#records) {
      if (!record.held && (record.fetchers?.size ?? 0) === 0) throw new Error(`object ${id} is held by nobody and not freed`);
      for (const content of record.contents) containers.set(content, (containers.get(content) ?? 0) + 1);
      for (const [process, count] of record.holders) {
        if (count <= 0) throw new Error(`object ${id} keeps a count of ${count} for ${process}`);
        if (!this.#heldBy.has(process, id)) throw new Error(`object ${id} is not in the index of its holder ${process}`);
        if (this.#lost.has(process)) throw new Error(`object ${id} is held by ${process}, which is gone`);
        holds++;
      }
      for (const process of record.fetchers ?? []) {
        if (record.settled) throw new Error(`object ${id} is settled and ${process} was not told`);
        if (!this.#fetchedBy.has(process, id)) throw new Error(`the fetch of ${id} by ${process} is not in the index`);
        fetches++;
      }
      if (this.#pendingOf.has(makerOf(id), id)) {
        if (record.settled) throw new Error(`object ${id} is settled and listed as pending`);
        pending++;
      }
    }
    for (const [id, record] of this.#records) {
      const found = parcels.get(id) ?? 0;
      if (record.parcels !== found) throw new Error(`object ${id} is in ${found} parcels, ${record.parcels} counted`);
    }
    for (const [id, count] of containers) {
      const found = this.#records.get(id)?.containers;
      if (found !== count) throw new Error(`object ${id} is contained ${count} times, ${found} counted`);
    }
    for (const [id, record] of this.#records) {
      if (record.containers !== (containers.get(id) ?? 0)) throw new Error(`object ${id} counts ${record.containers} containers`);
    }
    if (holds !== this.#heldBy.size || fetches !== this.#fetchedBy.size || pending !== this.#pendingOf.size) {
      throw new Error("an index names objects that are freed");
    }
  }

  /** The record, also if its id was freed before: it is made again. */
  #revived(id: RefId): RefRecord {
    this.#freed.delete(id);
    return this.#record(id);
  }

  #record(id: RefId): RefRecord {
    let record = this.#records.get(id);
    if (record !== undefined) return record;
    record = new RefRecord(id);
    this.#records.set(id, record);
    if (isActor(id)) return record;
    if (this.#lost.has(makerOf(id))) {
      record.failure = { code: "OWNER_DIED", message: `the process that owned object ${id} is gone` };
    } else this.#pendingOf.add(makerOf(id), id);
    return record;
  }

  #credit(record: RefRecord, holder: ProcessId, count: number): void {
    if (count === 0 || this.#lost.has(holder)) return;
    const sum = (record.holders.get(holder) ?? 0) + count;
    if (sum === 0) {
      record.holders.delete(holder);
      this.#heldBy.delete(holder, record.id);
    } else {
      record.holders.set(holder, sum);
      this.#heldBy.add(holder, record.id);
    }
  }

  #settle(record: RefRecord, payload: Payload): void {
    // What lies in the store under this very id is there once it is sealed, and that news may be under way.
    if (record.payload !== undefined || (payload.kind === "stored" && payload.id === record.id)) return;
    this.#contain(record, payload.kind === "stored" ? [payload.id] : (payload.refs ?? []));
    this.#become(record, payload, undefined);
  }

  #become(record: RefRecord, payload: Payload | undefined, failure: Failure | undefined): void {
    record.payload = payload;
    record.failure = failure;
    this.#pendingOf.delete(makerOf(record.id), record.id);
    const { fetchers } = record;
    if (fetchers === undefined) return;
    record.fetchers = undefined;
    for (const process of fetchers) {
      this.#fetchedBy.delete(process, record.id);
      this.#answer(record, process);
    }
  }

  #answer(record: RefRecord, to: ProcessId): void {
    const id = record.id as ObjectId;
    const { payload, failure } = record;
    // What it is given by its own connection it is said to hold at once.
    if (payload !== undefined && payload.kind !== "stored") for (const ref of new Set(payload.refs)) this.add(ref, to);
    this.#port.send(to, "objectState", { id, payload, failure });
  }

  /** They are in a parcel. Gives those that it holds: what was freed already is not held again. */
  #parcelled(ids: readonly RefId[]): readonly RefId[] {
    const held = ids.filter((id) => this.#freed.get(id) !== true);
    for (const id of held) this.#record(id).parcels++;
    return held;
  }

  /** The parcel is not under way any more. */
  #arrived(ids: readonly RefId[]): void {
    const touched = ids.map((id) => this.#records.get(id)!);
    for (const record of touched) record.parcels--;
    this.#freeUnheld(touched);
  }

  #contain(record: RefRecord, contents: readonly RefId[]): void {
    for (const id of contents) {
      this.#freed.delete(id);
      this.#record(id).containers++;
    }
    record.contents = contents;
  }

  /** Returns what it contained, to be freed if nothing else holds it. */
  #uncontain(record: RefRecord): RefRecord[] {
    const contents = record.contents.map((id) => this.#records.get(id)!);
    for (const content of contents) content.containers--;
    record.contents = [];
    return contents;
  }

  #freeUnheld(candidates: RefRecord[]): void {
    for (let record = candidates.pop(); record !== undefined; record = candidates.pop()) {
      const { id } = record;
      if (record.held || this.#records.get(id) !== record || (!record.escaped && !record.stored && record.fetchers?.size)) continue;
      this.#records.delete(id);
      // Before its maker's own news, that nobody holds it now says nothing: more credits may be under way (sim seed 61).
      if (record.escaped || record.stored) this.#rememberFreed(id, record.escaped);
      this.#pendingOf.delete(makerOf(id), id);
      for (const process of record.fetchers ?? []) {
        this.#fetchedBy.delete(process, id);
        this.#port.send(process, "objectState", { id: id as ObjectId, failure: freedFailure(id as ObjectId) });
      }
      candidates.push(...this.#uncontain(record));
      if (record.stored) this.#port.freeStored(id as ObjectId);
      if (isActor(id)) this.#port.actorUnheld(id);
    }
  }

  #rememberFreed(id: RefId, escaped: boolean): void {
    this.#freed.set(id, escaped);
    if (this.#freed.size > FREED_MAX) this.#freed.delete(this.#freed.keys().next().value as RefId);
  }
}

const freedFailure = (id: ObjectId): Failure => ({
  code: "OBJECT_LOST",
  message: `object ${id} was freed: every process had let go of its refs`,
});
