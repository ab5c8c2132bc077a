/**
 * The records of a RefTable and what is counted in them: holders, containers, parcels, and what is held of other nodes. What the messages
 * do is in refs.ts; a method here leaves every count right, and nothing is freed before `done` or `freeUnheld`.
 */
import { holderOf, homeOf, makerOf, nodeOfHolder, prefixOf } from "../../protocol/ids.ts";
import type { ActorId, NodePrefix, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Body, Failure, Payload } from "../../protocol/messages.ts";
import { Borrows } from "./borrows.ts";
import { FreedIds } from "./freed.ts";
import { Holdings } from "./holdings.ts";
import { isActor, RefRecord } from "./record.ts";
import type { RefId } from "./record.ts";
import type { RefPort } from "./refs.ts";

export class Records {
  readonly port: RefPort;
  /** This node; undefined where there is no other. */
  readonly self: NodePrefix | undefined;
  readonly records = new Map<RefId, RefRecord>();
  readonly freed = new FreedIds();
  /** Processes that are gone. */
  readonly lost = new Set<ProcessId>();
  readonly goneNodes = new Set<NodePrefix>();
  readonly heldBy = new Holdings();
  readonly fetchedBy = new Holdings();
  /** Objects that their maker has yet to settle. */
  readonly pendingOf = new Holdings();
  readonly borrows: Borrows;
  /** How often control has given an actor of this home to somebody, as far as is known here. */
  readonly given = new Map<ActorId, number>();

  constructor(port: RefPort, self: NodePrefix | undefined) {
    this.port = port;
    this.self = self;
    this.borrows = new Borrows(port, (node) => this.goneNodes.has(node));
  }

  get keeper(): ProcessId {
    return holderOf(this.self ?? ("" as NodePrefix));
  }

  isHere(process: ProcessId): boolean {
    return this.self === undefined || prefixOf(process) === this.self;
  }

  add(id: RefId, holder: ProcessId): void {
    // What was stored and freed may be made again by another run, and is known to its owner before the news of it is here.
    if (!this.lost.has(holder) && !this.freed.wasKnown(id)) this.credit(this.record(id), holder, 1);
  }

  fetch(from: ProcessId, id: ObjectId): void {
    if (this.freed.has(id)) return this.#tell(from, { id, failure: freedFailure(id) });
    const record = this.record(id);
    if (record.settled) {
      this.#answer(record, from);
      return this.#freeUnheld([record]);
    }
    (record.fetchers ??= new Set()).add(from);
    this.fetchedBy.add(from, id);
    this.#borrow(record);
    if (!record.borrowed || record.asked) return;
    record.asked = true;
    this.port.tell(homeOf(id), "refFetch", { id });
  }

  /** The record, also if its id was freed before: it is made again. */
  revived(id: RefId): RefRecord {
    const record = this.record(id);
    if (this.freed.has(id)) record.freedBefore = { known: this.freed.wasKnown(id) };
    this.freed.delete(id);
    return record;
  }

  record(id: RefId): RefRecord {
    let record = this.records.get(id);
    if (record !== undefined) return record;
    const home = homeOf(id);
    record = new RefRecord(id, this.self !== undefined && home !== this.self);
    this.records.set(id, record);
    if (isActor(id)) return record;
    if (record.borrowed) {
      if (this.goneNodes.has(home)) record.failure = ownerGone(id, home);
    } else if (this.lost.has(makerOf(id))) {
      record.failure = { code: "OWNER_DIED", message: `the process that owned object ${id} is gone` };
    } else this.pendingOf.add(makerOf(id), id);
    return record;
  }

  credit(record: RefRecord, holder: ProcessId, count: number): void {
    if (count === 0 || this.lost.has(holder)) return;
    const sum = (record.holders.get(holder) ?? 0) + count;
    if (sum === 0) {
      record.holders.delete(holder);
      this.heldBy.delete(holder, record.id);
    } else {
      record.holders.set(holder, sum);
      this.heldBy.add(holder, record.id);
      this.#borrow(record);
    }
  }

  /** Something here holds it: so does the node, at its home. */
  #borrow(record: RefRecord): void {
    if (!record.borrowed || record.credits > 0 || this.goneNodes.has(homeOf(record.id))) return;
    record.credits = 1;
    this.borrows.hold(record.id);
  }

  settle(record: RefRecord, payload: Payload): void {
    // What lies in the store under this very id is there once it is sealed, and that news may be under way.
    if (record.payload !== undefined || (payload.kind === "stored" && payload.id === record.id)) return;
    this.contain(record, contentsOf(record.id, payload));
    this.become(record, payload, undefined);
  }

  isStored(record: RefRecord, size: number, contains: readonly RefId[]): void {
    if (record.payload === undefined) {
      this.contain(record, contains);
      this.become(record, { kind: "stored", id: record.id as ObjectId, size }, undefined);
    } else this.tellLocators(record);
  }

  /** It was stored by a process of a node that is gone, and that was not heard. */
  neverCame(record: RefRecord, node: NodePrefix): void {
    if (record.settled || record.somewhere) return;
    this.become(record, undefined, { code: "OBJECT_LOST", message: `object ${record.id} is lost: node ${node}, which had it, is gone` });
  }

  /** The primary is gone, and a copy is somewhere: it is the primary now, which its node does not drop for want of space. */
  promoteOther(record: RefRecord): void {
    record.primaryAt = undefined;
    if (record.stored) return;
    for (const node of record.locations ?? []) {
      record.primaryAt = node;
      return this.port.tell(node, "objectPromote", { id: record.id as ObjectId });
    }
  }

  /** Nobody has its bytes. Gives what may be held by nothing else now. */
  lose(record: RefRecord, why: string): RefRecord[] {
    if (record.payload?.kind !== "stored" || record.payload.id !== record.id) return [];
    const contents = this.uncontain(record);
    this.become(record, undefined, { code: "OBJECT_LOST", message: `object ${record.id} is lost: ${why}` });
    return [record, ...contents];
  }

  become(record: RefRecord, payload: Payload | undefined, failure: Failure | undefined): void {
    record.payload = payload;
    record.failure = failure;
    this.pendingOf.delete(makerOf(record.id), record.id);
    this.tellLocators(record);
    const { fetchers } = record;
    if (fetchers === undefined) return;
    record.fetchers = undefined;
    for (const process of fetchers) {
      this.fetchedBy.delete(process, record.id);
      this.#answer(record, process);
    }
  }

  #answer(record: RefRecord, to: ProcessId): void {
    const { payload, failure } = record;
    // What a process is given by its own connection it is said to hold at once. A node holds for itself what it keeps.
    const here = nodeOfHolder(to) === undefined;
    if (here && payload !== undefined && payload.kind !== "stored") for (const ref of new Set(payload.refs)) this.add(ref, to);
    this.#tell(to, { id: record.id as ObjectId, payload, failure });
  }

  #tell(to: ProcessId, state: Body<"objectState">): void {
    const node = nodeOfHolder(to);
    if (node === undefined) this.port.send(to, "objectState", state);
    else this.port.tell(node, "refState", state);
  }

  /** Answers those who asked where its bytes are, if there is an answer. */
  tellLocators(record: RefRecord): void {
    if (!record.locators?.size || (!record.settled && !record.somewhere)) return;
    const id = record.id as ObjectId;
    const { locators, payload } = record;
    record.locators = undefined;
    const nodes = [...(record.locations ?? [])];
    if (record.stored && this.self !== undefined) nodes.push(this.self);
    const size = payload?.kind === "stored" ? payload.size : 0;
    const failure = nodes.length > 0 ? undefined : (record.failure ?? { code: "OBJECT_LOST", message: `object ${id} is in no store` });
    for (const node of locators) this.port.tell(node, "objectLocated", { id, size, nodes, failure });
  }

  /** They are in a parcel. Gives those that it holds: what was freed already is not held again. */
  parcelled(ids: readonly RefId[]): readonly RefId[] {
    const held = ids.filter((id) => !this.freed.wasKnown(id));
    for (const id of held) {
      const record = this.record(id);
      record.parcels++;
      this.#borrow(record);
    }
    return held;
  }

  /** The parcel is not under way any more. */
  arrived(ids: readonly RefId[]): void {
    const touched = ids.map((id) => this.records.get(id)!);
    for (const record of touched) record.parcels--;
    this.#freeUnheld(touched);
  }

  contain(record: RefRecord, contents: readonly RefId[]): void {
    for (const id of contents) {
      const content = this.revived(id);
      content.containers++;
      this.#borrow(content);
    }
    record.contents = contents;
  }

  /** Returns what it contained, to be freed if nothing else holds it. */
  uncontain(record: RefRecord): RefRecord[] {
    const contents = record.contents.map((id) => this.records.get(id)!);
    for (const content of contents) content.containers--;
    record.contents = [];
    return contents;
  }

  /** The end of each event. */
  done(candidates: RefRecord[]): void {
    this.#freeUnheld(candidates);
    this.borrows.flush();
  }

  #freeUnheld(candidates: RefRecord[]): void {
    for (let record = candidates.pop(); record !== undefined; record = candidates.pop()) {
      const { id } = record;
      if (this.records.get(id) !== record) continue;
      if (record.held) {
        if (isActor(id) && !record.borrowed && record.holder !== undefined) this.port.actorAlone?.(id, record.holder);
        continue;
      }
      if (record.borrowed) {
        // What it is may be on its way here, with refs inside that its home holds until then.
        if (record.fetchers?.size) continue;
        candidates.push(...this.#letGo(record));
        continue;
      }
      if (!record.escaped && !record.somewhere && record.awaited) continue;
      this.records.delete(id);
      // Before its maker's own news, that nobody holds it now says nothing: more credits may be under way (sim seed 61).
      // What was stored and is lost is known as well: a fetch that comes later would wait for ever (sim seed 20788).
      // And so is what was freed before, and came back with a repeated message alone (sim seed 504@26).
      const { freedBefore } = record;
      if (record.escaped || record.somewhere || record.settled || freedBefore !== undefined)
        this.freed.add(id, record.escaped || freedBefore?.known === true);
      this.pendingOf.delete(makerOf(id), id);
      for (const process of record.fetchers ?? []) {
        this.fetchedBy.delete(process, id);
        this.#tell(process, { id: id as ObjectId, failure: freedFailure(id as ObjectId) });
      }
      const freed = { id: id as ObjectId, size: 0, nodes: [], failure: freedFailure(id as ObjectId) };
      for (const node of record.locators ?? []) this.port.tell(node, "objectLocated", freed);
      candidates.push(...this.uncontain(record));
      this.freeBytes(record);
      for (const node of record.locations ?? []) this.borrows.free(node, id as ObjectId);
      if (isActor(id)) this.port.actorUnheld(id, this.given.get(id) ?? 0);
    }
  }

  /** Nothing here holds it. */
  #letGo(record: RefRecord): RefRecord[] {
    if (record.credits > 0) this.borrows.drop(record.id, record.credits);
    record.credits = 0;
    if (record.primary) return [];
    this.records.delete(record.id);
    return this.uncontain(record);
  }

  freeBytes(record: RefRecord): void {
    if (record.stored || record.borrowed) this.port.freeStored(record.id as ObjectId);
    record.stored = false;
    record.primary = false;
  }

  /** Throws unless every count is what a recount gives. */
  check(parcels: ReadonlyMap<RefId, number>): void {
    const containers = new Map<RefId, number>();
    const counts = { holds: 0, fetches: 0, pending: 0 };
    for (const record of this.records.values()) {
      for (const content of record.contents) containers.set(content, (containers.get(content) ?? 0) + 1);
      this.#checkRecord(record, counts);
    }
    for (const [id, record] of this.records) {
      const found = parcels.get(id) ?? 0;
      if (record.parcels !== found) throw new Error(`object ${id} is in ${found} parcels, ${record.parcels} counted`);
    }
    for (const [id, count] of containers) {
      const found = this.records.get(id)?.containers;
      if (found !== count) throw new Error(`object ${id} is contained ${count} times, ${found} counted`);
    }
    for (const [id, record] of this.records) {
      if (record.containers !== (containers.get(id) ?? 0)) throw new Error(`object ${id} counts ${record.containers} containers`);
    }
    if (counts.holds !== this.heldBy.size || counts.fetches !== this.fetchedBy.size || counts.pending !== this.pendingOf.size) {
      throw new Error("an index names objects that are freed");
    }
  }

  #checkRecord(record: RefRecord, counts: { holds: number; fetches: number; pending: number }): void {
    const { id } = record;
    if (!record.held && !record.primary && !record.awaited) throw new Error(`object ${id} is held by nobody and not freed`);
    const wanted = record.held || (record.fetchers?.size ?? 0) > 0;
    if (record.borrowed && wanted !== record.credits > 0 && !this.goneNodes.has(homeOf(id))) {
      throw new Error(`object ${id} is ${record.held ? "" : "not "}held here, and ${record.credits} times at its home`);
    }
    for (const [process, count] of record.holders) {
      if (count <= 0) throw new Error(`object ${id} keeps a count of ${count} for ${process}`);
      if (!this.heldBy.has(process, id)) throw new Error(`object ${id} is not in the index of its holder ${process}`);
      if (this.lost.has(process)) throw new Error(`object ${id} is held by ${process}, which is gone`);
      counts.holds++;
    }
    for (const process of record.fetchers ?? []) {
      if (record.settled) throw new Error(`object ${id} is settled and ${process} was not told`);
      if (!this.fetchedBy.has(process, id)) throw new Error(`the fetch of ${id} by ${process} is not in the index`);
      counts.fetches++;
    }
    if (this.pendingOf.has(makerOf(id), id)) {
      if (record.settled) throw new Error(`object ${id} is settled and listed as pending`);
      counts.pending++;
    }
  }
}

export const contentsOf = (id: RefId, payload: Payload): readonly RefId[] => {
  if (payload.kind !== "stored") return payload.refs ?? [];
  return payload.id === id ? [] : [payload.id];
};

export const freedFailure = (id: ObjectId): Failure => ({
  code: "OBJECT_LOST",
  message: `object ${id} was freed: every process had let go of its refs`,
});

export const ownerGone = (id: RefId, node: NodePrefix): Failure => ({
  code: "OWNER_DIED",
  message: `node ${node}, where the process that owned object ${id} ran, is gone`,
});
