/**
 * The table of escaped and stored objects, and of actors as far as they are held: who holds what, what contains what,
 * and what a pending object became. A record lives exactly as long as a process or a living record holds it.
 *
 * Connections are read in any order among each other, so news of an id may come before the record itself: whatever
 * comes first makes the record. News of a freed id is told from that by a bounded memory of freed ids.
 *
 * On a cluster each node has a table, which is the whole truth for the node's own processes. The home of an id is the node of its
 * maker. Of an id with another home the table has a borrowed record: who holds it here; what it is, its home knows and is asked. As long as
 * something here holds it the node holds it at its home, in its own name (borrows.ts).
 */
import { holderOf, homeOf, makerOf, prefixOf, returnId } from "../../protocol/ids.ts";
import type { ActorId, NodePrefix, ObjectId, ProcessId, TaskId } from "../../protocol/ids.ts";
import type { Body, MessageName, Payload } from "../../protocol/messages.ts";
import { isActor } from "./record.ts";
import type { RefRecord } from "./record.ts";
import { contentsOf, freedFailure, ownerGone, Records } from "./records.ts";
import type { RefId } from "./record.ts";
import { Ways } from "./ways.ts";

export interface RefPort {
  send<N extends "objectState" | "refLost" | "taskCancel">(to: ProcessId, name: N, body: Body<N>): void;
  /** The store may take its bytes back. */
  freeStored(id: ObjectId): void;
  /** Nobody holds the actor any more. `given`: how often control has said so far that it gave it to somebody. */
  actorUnheld(id: ActorId, given: number): void;
  /** Only this process holds the actor. May be said again. */
  actorAlone?(id: ActorId, holder: ProcessId): void;
  /** To the table of another node. */
  tell<N extends RefNews>(to: NodePrefix, name: N, body: Body<N>): void;
  /** What a process of this node says goes on to another. */
  relayCame(to: NodePrefix, from: ProcessId, body: Body<"refCame">): void;
}

/** What tables say to each other. */
export type RefNews = Extract<
  MessageName,
  | "refsHold"
  | "refsHeld"
  | "refsDrop"
  | "refFetch"
  | "refState"
  | "objectSealed"
  | "objectCopy"
  | "objectPromote"
  | "objectFree"
  | "objectLocated"
  | "refAlias"
>;

const LOST_MAX = 100_000;

export class RefTable {
  readonly #port: RefPort;
  readonly #r: Records;
  readonly #ways: Ways;
  readonly #forgotten = new Set<NodePrefix>();

  /** `self`: this node, where there are others. */
  constructor(port: RefPort, self?: NodePrefix) {
    this.#port = port;
    this.#r = new Records(port, self);
    this.#ways = new Ways(
      {
        hold: (ids) => this.#r.parcelled(ids),
        release: (ids) => this.#r.arrived(ids),
        ask: (receiver, way, opener, from) => port.send(receiver, "refLost", { way, opener, from }),
      },
      (process) => this.#r.lost.has(process) || this.#forgotten.has(prefixOf(process)),
    );
  }

  get size(): number {
    return this.#r.records.size;
  }

  /** Holds elsewhere that are not confirmed, and what waits for them. */
  get unconfirmed(): number {
    return this.#r.borrows.waiting;
  }

  // ── what objects are ─────────────────────────────────────────────────────────────────────────

  escape(from: ProcessId, body: Body<"objectEscape">): void {
    const { id } = body;
    if (this.#r.freed.wasKnown(id) || this.#r.lost.has(from)) return;
    const record = this.#r.revived(id);
    if (!record.escaped) {
      record.escaped = true;
      this.#r.credit(record, from, 1);
    }
    if (body.payload !== undefined) this.#r.settle(record, body.payload);
    this.#r.done([record]);
  }

  settle(body: Body<"objectSettle">): void {
    const record = this.#r.records.get(body.id);
    if (record === undefined) return;
    if (body.by !== undefined) record.madeAt = prefixOf(body.by);
    this.#r.settle(record, body.payload);
    // The node that had made it has died before it could say so.
    if (record.madeAt !== undefined && this.#r.goneNodes.has(record.madeAt)) this.#r.neverCame(record, record.madeAt);
    // Only those who asked may have kept it, and they have their answer.
    this.#r.done([record]);
  }

  /**
   * What it is, from the worker that made it. That worker may be heard before the owner that let a ref of it escape: then it is
   * made known by this, as by the owner, whose own word is a repeat.
   */
  result(body: Body<"objectResult">): void {
    const { id, payload } = body;
    const maker = makerOf(id);
    if (this.#r.freed.wasKnown(id) || this.#r.lost.has(maker)) return;
    // What is inside is under way to the owner, or held by it, until the owner has settled this object itself.
    if (payload.kind !== "stored" && payload.refs?.some((ref) => !this.#r.records.has(ref))) return;
    const record = this.#r.revived(id);
    if (!record.escaped) {
      record.escaped = true;
      this.#r.credit(record, maker, 1);
    }
    // Of one that failed already its maker has died, and the refs inside may be gone.
    if (!record.settled) this.#r.settle(record, payload);
    this.#r.done([record]);
  }

  /** The results of a call of a process of this node, which is about to hear of them and may be computing: others may hold refs to them. */
  answered(task: TaskId, results: readonly Payload[]): void {
    for (const [index, payload] of results.entries()) {
      const id = returnId(task, index);
      const record = this.#r.records.get(id);
      if (payload.kind !== "stored" && record?.escaped === true && !record.settled) this.result({ id, payload });
    }
  }

  /** The store has its bytes; `holder` holds it once. A second seal is another run of its task, and counts again. */
  sealed(id: ObjectId, holder: ProcessId, size: number, contains: readonly RefId[]): void {
    const record = this.#r.revived(id);
    record.stored = true;
    this.#r.isStored(record, size, contains);
    this.#r.credit(record, holder, 1);
    if (record.borrowed) {
      record.primary = true;
      // Its home frees what it hears of and nobody holds.
      this.#r.borrows.flush();
      if (this.#r.goneNodes.has(homeOf(id))) this.#r.freeBytes(record);
      else this.#port.tell(homeOf(id), "objectSealed", { id, size, contains: [...contains] });
    }
    this.#r.done([record]);
  }

  /** Its bytes in this node's store are gone. It may be sealed again. */
  objectLost(id: ObjectId, why: string): void {
    const record = this.#r.records.get(id);
    if (record === undefined || record.payload?.kind !== "stored" || record.payload.id !== id) return;
    record.stored = false;
    if (record.borrowed) {
      record.primary = false;
      this.#port.tell(homeOf(id), "objectCopy", { id, there: false, reason: why });
      this.#r.done([record]);
    } else if (record.somewhere) this.#r.promoteOther(record);
    else this.#r.done(this.#r.lose(record, why));
  }

  /** Its home says so, and this node's store has made its copy the primary. */
  promoted(id: ObjectId): void {
    const record = this.#r.record(id);
    record.stored = true;
    if (record.borrowed) record.primary = true;
    else record.locations?.delete(this.#r.self!);
    this.#r.done([record]);
  }

  // ── actors ───────────────────────────────────────────────────────────────────────────────────

  /** At its declaration: whoever made it holds it once. One that is detached is held until it is over. */
  declared(id: ActorId, holder: ProcessId, detached: boolean): void {
    if (this.#r.freed.wasKnown(id)) return;
    const record = this.#r.revived(id);
    if (record.escaped) return;
    record.escaped = true;
    this.#r.credit(record, holder, 1);
    if (detached) this.#r.credit(record, this.#r.keeper, 1);
    this.#r.done([record]);
  }

  /** What it is made from, which is held until it is over: it may start again. */
  created(id: ActorId, refs: readonly RefId[]): void {
    const record = this.#r.records.get(id);
    if (record === undefined || record.alias || record.contents.length > 0) return;
    this.#r.contain(record, refs);
    this.#r.done([]);
  }

  /** It does not start again. */
  actorOver(id: ActorId): void {
    this.#r.given.delete(id);
    const record = this.#r.records.get(id);
    if (record === undefined || record.alias) return;
    const contents = this.#r.uncontain(record);
    this.#r.credit(record, this.#r.keeper, -(record.holders.get(this.#r.keeper) ?? 0));
    this.#r.done([record, ...contents]);
  }

  /** If only this process holds the actor, and nothing of it is under way: how often control had given it to somebody. */
  aloneWith(id: ActorId, process: ProcessId): number | undefined {
    const record = this.#r.records.get(id);
    return record?.holder === process ? (this.#r.given.get(id) ?? 0) : undefined;
  }

  /**
   * Control gives an actor of this home to a process that asked for it; false for what has been heard before. One of another node's
   * `adopts` it when it hears of that.
   */
  give(id: ActorId, given: number, to: ProcessId): boolean {
    if (!this.#isNext(id, given)) return false;
    this.#giveTo(id, this.#r.isHere(to) ? to : holderOf(prefixOf(to)));
    this.#r.done([]);
    return true;
  }

  /** A process of this node is given an id, which its home has counted as held by this node. */
  adopt(id: RefId, to: ProcessId): void {
    const record = this.#adopted(id);
    this.#r.credit(record, to, 1);
    this.#r.done([record]);
  }

  /** `alias` was declared and means an actor of this home: who holds the one holds the other. */
  alias(alias: ActorId, actual: ActorId, given: number): void {
    if (!this.#isNext(actual, given)) return;
    const home = homeOf(alias);
    if (this.#r.self !== undefined && home !== this.#r.self) {
      this.#giveTo(actual, holderOf(home));
      this.#port.tell(home, "refAlias", { alias, actorId: actual });
    } else {
      const record = this.#giveTo(actual, this.#r.keeper);
      this.#isAlias(alias, actual);
      this.#r.credit(record, this.#r.keeper, -1);
      this.#r.done([record]);
    }
  }

  /** Control has given the actor so often, and what has not been heard of here reached nobody. */
  givenInAll(id: ActorId, given: number): void {
    if (this.#isNext(id, given) && !this.#r.records.has(id)) this.#port.actorUnheld(id, given);
  }

  #isNext(id: ActorId, given: number): boolean {
    if (given <= (this.#r.given.get(id) ?? 0)) return false;
    this.#r.given.set(id, given);
    return true;
  }

  /** The same, of an actor of another home. */
  aliasOf({ alias, actorId }: Body<"refAlias">): void {
    const record = this.#adopted(actorId);
    this.#isAlias(alias, actorId);
    this.#r.done([record]);
  }

  #giveTo(id: ActorId, holder: ProcessId): RefRecord {
    const record = this.#r.revived(id);
    record.escaped = true;
    this.#r.credit(record, holder, 1);
    return record;
  }

  #adopted(id: RefId): RefRecord {
    const record = this.#r.record(id);
    if (record.borrowed && !this.#r.goneNodes.has(homeOf(id))) record.credits++;
    return record;
  }

  #isAlias(alias: ActorId, actual: ActorId): void {
    const record = this.#r.records.get(alias);
    if (record === undefined) return;
    const before = this.#r.uncontain(record);
    record.alias = true;
    this.#r.contain(record, [actual]);
    this.#r.credit(record, this.#r.keeper, -(record.holders.get(this.#r.keeper) ?? 0));
    this.#r.done([record, ...before]);
  }

  // ── who holds them ───────────────────────────────────────────────────────────────────────────

  add(id: RefId, holder: ProcessId): void {
    this.#r.add(id, holder);
    this.#r.borrows.flush();
  }

  /** More than it holds is nothing: what it wanted to hold was freed before it said so. */
  drop(from: ProcessId, { id, count }: Body<"refDrop">): void {
    const record = this.#r.records.get(id);
    const held = record?.holders.get(from);
    if (record === undefined || held === undefined) return;
    this.#r.credit(record, from, -Math.min(held, count));
    this.#r.done([record]);
  }

  /** Refs are on their way to a process: until they have come, the way holds them. */
  sent(from: ProcessId, body: Body<"refSent">): void {
    this.#ways.sent(from, body);
    this.#r.borrows.flush();
  }

  came(from: ProcessId, body: Body<"refCame">): void {
    this.#ways.came(from, body);
    // The parcels are held by the table of their sender: it hears of it when what they were kept as here is held at its home.
    if (!this.#r.isHere(body.to)) this.#r.borrows.release(() => this.#port.relayCame(prefixOf(body.to), from, body));
    this.#r.borrows.flush();
  }

  /** A process is gone: what it held is not held by it, and what only it could make will not come. */
  processLost(process: ProcessId): void {
    remember(this.#r.lost, process);
    this.#ways.processLost(process);
    const touched = [...this.#clearFetches(process), ...this.#clearHolds(process)];
    for (const id of this.#r.pendingOf.take(process)) {
      const record = this.#r.records.get(id)!;
      const message = `the process that owned object ${id} is gone, so the object will never be made`;
      this.#r.become(record, undefined, { code: "OWNER_DIED", message });
      touched.push(record);
    }
    this.#r.done(touched);
  }

  #clearFetches(of: ProcessId): RefRecord[] {
    const touched = this.#r.fetchedBy.take(of).map((id) => this.#r.records.get(id)!);
    for (const record of touched) record.fetchers!.delete(of);
    return touched;
  }

  #clearHolds(holder: ProcessId): RefRecord[] {
    const touched: RefRecord[] = [];
    for (const id of this.#r.heldBy.take(holder)) {
      const record = this.#r.records.get(id)!;
      record.holders.delete(holder);
      touched.push(record);
    }
    return touched;
  }

  /** Something that lets others let go: once all that is held here by now is held at its homes, in the order of these calls. */
  afterHolds(run: () => void): void {
    this.#r.borrows.release(run);
  }

  // ── who asks for them ────────────────────────────────────────────────────────────────────────

  fetch(from: ProcessId, body: Body<"objectFetch">): void {
    this.#r.fetch(from, body.id);
    this.#r.borrows.flush();
  }

  fetchCancel(from: ProcessId, body: Body<"objectFetchCancel">): void {
    const record = this.#r.records.get(body.id);
    if (!record?.fetchers?.delete(from)) return;
    this.#r.fetchedBy.delete(from, body.id);
    this.#r.done([record]);
  }

  /** Its maker alone knows what makes it; of a maker that is gone there is nothing to cancel. */
  cancel(body: Body<"objectCancel">): void {
    const maker = makerOf(body.id);
    if (!this.#r.lost.has(maker)) this.#port.send(maker, "taskCancel", body);
  }

  /**
   * Where are its bytes? Told to that node, which may be this one, by `objectLocated`: at once, or as soon as they are somewhere. A task
   * that takes it may ask from another node before its owner, whose own word goes first by a slower way, has been heard here.
   */
  locate(from: NodePrefix, id: ObjectId): void {
    if (this.#r.freed.has(id) && !this.#r.records.has(id)) {
      return this.#port.tell(from, "objectLocated", { id, size: 0, nodes: [], failure: freedFailure(id) });
    }
    const record = this.#r.record(id);
    (record.locators ??= new Set()).add(from);
    this.#r.tellLocators(record);
  }

  // ── what other tables say ────────────────────────────────────────────────────────────────────

  holdFor(from: NodePrefix, { seq, ids }: Body<"refsHold">): void {
    if (this.#r.goneNodes.has(from)) return;
    for (const id of ids) this.#r.add(id, holderOf(from));
    this.#port.tell(from, "refsHeld", { seq });
  }

  holdConfirmed(from: NodePrefix, { seq }: Body<"refsHeld">): void {
    this.#r.borrows.held(from, seq);
  }

  dropFor(from: NodePrefix, { refs }: Body<"refsDrop">): void {
    for (const body of refs) this.drop(holderOf(from), body);
  }

  fetchFor(from: NodePrefix, id: ObjectId): void {
    if (!this.#r.goneNodes.has(from)) this.#r.fetch(holderOf(from), id);
  }

  /** From its home: what it is. */
  state({ id, payload, failure }: Body<"refState">): void {
    const record = this.#r.records.get(id);
    if (!record?.borrowed) return;
    record.asked = false;
    if (payload !== undefined && record.payload === undefined) this.#r.contain(record, contentsOf(id, payload));
    this.#r.become(record, record.payload ?? payload, failure);
    // It may be made again: whoever asks later asks its home again.
    record.failure = undefined;
    this.#r.done([record]);
  }

  sealedAt(from: NodePrefix, { id, size, contains }: Body<"objectSealed">): void {
    if (this.#r.goneNodes.has(from)) return;
    const record = this.#r.revived(id);
    (record.locations ??= new Set()).add(from);
    record.primaryAt = from;
    this.#r.isStored(record, size, contains);
    this.#r.done([record]);
  }

  copiedAt(from: NodePrefix, { id, there, reason }: Body<"objectCopy">): void {
    const record = this.#r.records.get(id);
    if (there && !this.#r.goneNodes.has(from)) {
      if (record === undefined) this.#r.borrows.free(from, id);
      else (record.locations ??= new Set()).add(from);
    } else if (record?.locations?.delete(from)) {
      if (!record.somewhere) return this.#r.done(this.#r.lose(record, reason ?? `node ${from} does not have its bytes any more`));
      if (record.primaryAt === from) this.#r.promoteOther(record);
    }
    this.#r.borrows.flush();
  }

  /** From their home: nobody holds them. */
  freedAtHome({ ids }: Body<"objectFree">): void {
    for (const id of ids) {
      const record = this.#r.records.get(id);
      if (record === undefined) this.#port.freeStored(id);
      else {
        this.#r.freeBytes(record);
        this.#r.done([record]);
      }
    }
  }

  /**
   * A node is gone with all its processes, and every link to it has ended. What it held, and what was under way to it, is held until
   * `nodeForgotten`: its processes may have given it to others, whose own holds are under way.
   */
  nodeLost(node: NodePrefix): void {
    remember(this.#r.goneNodes, node);
    this.#r.borrows.homeLost(node);
    const touched = this.#clearFetches(holderOf(node));
    for (const record of this.#r.records.values()) {
      record.locators?.delete(node);
      if (record.madeAt === node) {
        this.#r.neverCame(record, node);
        touched.push(record);
      }
      if (record.locations?.delete(node) && !record.somewhere) touched.push(...this.#r.lose(record, `node ${node}, which had it, is gone`));
      else if (record.primaryAt === node) this.#r.promoteOther(record);
      if (!record.borrowed || homeOf(record.id) !== node) continue;
      record.credits = 0;
      if (record.primary) this.#r.freeBytes(record);
      if (!isActor(record.id) && (record.payload === undefined || record.payload.kind === "stored")) {
        touched.push(...this.#r.uncontain(record));
        this.#r.become(record, undefined, ownerGone(record.id, node));
      }
      touched.push(record);
    }
    this.#r.done(touched);
  }

  /** Some seconds after `nodeLost`. */
  nodeForgotten(node: NodePrefix): void {
    remember(this.#forgotten, node);
    this.#ways.nodeLost(node);
    this.#r.done(this.#clearHolds(holderOf(node)));
  }

  /** As far as is known here. */
  hasEnded(process: ProcessId): boolean {
    return this.#r.lost.has(process) || this.#r.goneNodes.has(prefixOf(process));
  }

  isGone(node: NodePrefix): boolean {
    return this.#r.goneNodes.has(node);
  }

  // ── for listings and tests ───────────────────────────────────────────────────────────────────

  /** Holders and their counts. */
  holders(id: RefId): ReadonlyMap<ProcessId, number> | undefined {
    return this.#r.records.get(id)?.holders;
  }

  /** Throws unless every count is what a recount gives. */
  check(): void {
    const parcels = new Map<RefId, number>();
    this.#ways.check((id) => parcels.set(id, (parcels.get(id) ?? 0) + 1));
    this.#r.check(parcels);
  }
}

/** Adds to a set of bounded size; the oldest goes. */
function remember<T>(set: Set<T>, item: T): void {
  set.add(item);
  if (set.size > LOST_MAX) set.delete(set.values().next().value as T);
}
