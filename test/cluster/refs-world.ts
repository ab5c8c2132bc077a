/**
 * Several nodes with their tables of references, and processes that make, pass on, store, fetch and drop refs, on a virtual network that
 * delivers each connection in order and all of them in any order among each other. Processes and nodes die at any moment.
 *
 * After each step: whatever a living process can reach, and whose home lives, has its record there. When all is quiet: nothing else has.
 */
import assert from "node:assert/strict";
import { WayEnd } from "../../src/core/refs/way-end.ts";
import { RefTable } from "../../src/core/refs/refs.ts";
import type { RefId } from "../../src/core/refs/record.ts";
import { homeOf, putId, wayId, workerId } from "../../src/protocol/ids.ts";
import type { ActorId, NodeId, NodePrefix, ObjectId, ProcessId, WayId } from "../../src/protocol/ids.ts";
import type { Payload } from "../../src/protocol/messages.ts";
import { chanceFrom } from "./nodes.ts";

/** A connection: what is under way on it, in order. */
interface Wire {
  readonly queue: (() => void)[];
  cut: boolean;
}

interface Proc {
  readonly id: ProcessId;
  readonly node: Node;
  readonly toNode: Wire;
  alive: boolean;
  made: number;
  /** Handles, and how often the node counts this process for them. */
  readonly handles: Map<RefId, { handles: number; counted: number }>;
  readonly ways: Map<Proc, { end: WayEnd; out: Wire }>;
}

interface Node {
  readonly prefix: NodePrefix;
  readonly table: RefTable;
  readonly procs: Proc[];
  readonly links: Map<NodePrefix, Wire>;
  readonly bytes: Set<ObjectId>;
  alive: boolean;
}

export class RefsWorld {
  readonly nodes: Node[] = [];
  readonly #chance: () => number;
  readonly #wires: Wire[] = [];
  readonly #known = new Set<RefId>();
  /** What is inside of what, and the node that has its bytes. */
  readonly #contents = new Map<RefId, { at: Node; inside: readonly RefId[] }>();
  /** Values on ways: what is in them, while they are under way to a living process. */
  readonly #flying = new Map<object, { ids: readonly RefId[]; from: Proc; to: Proc }>();
  /** Results that have not come to their owners. */
  readonly #awaited = new Map<ObjectId, { owner: Proc; worker: Proc }>();
  readonly lostFor: string[] = [];
  #ways = 0;

  constructor(seed: number, nodes: number, procs: number) {
    this.#chance = chanceFrom(seed * 7919 + 13);
    for (let i = 0; i < nodes; i++) this.#addNode(i, procs);
    for (const node of this.nodes) for (const other of this.nodes) node.links.set(other.prefix, this.#wire());
  }

  // ── what happens ─────────────────────────────────────────────────────────────────────────────

  /** One random act of one random process. */
  act(): void {
    const proc = this.#pick(this.nodes.filter(({ alive }) => alive).flatMap(({ procs }) => procs.filter(({ alive }) => alive)));
    if (proc === undefined) return;
    // What its owner has not made known does not leave it.
    const known = [...proc.handles].filter(([, { counted }]) => counted > 0).map(([id]) => id);
    const held = [...proc.handles.keys()];
    const roll = this.#chance();
    if (roll < 0.2) this.#put(proc, this.#some(known, 2));
    else if (roll < 0.3) this.#result(proc, known);
    else if (roll < 0.6 && known.length > 0) this.#pass(proc, this.#some(known, 3));
    else if (roll < 0.8 && known.length > 0) this.#fetch(proc, this.#pick(known)!);
    else if (held.length > 0) this.#drop(proc, this.#pick(held)!);
    this.check();
  }

  /** Delivers one message of a random connection; false when there is none. */
  deliver(): boolean {
    const wire = this.#pick(this.#wires.filter(({ queue }) => queue.length > 0));
    if (wire === undefined) return false;
    wire.queue.shift()!();
    this.check();
    return true;
  }

  killProcess(): void {
    const proc = this.#pick(this.nodes.filter(({ alive }) => alive).flatMap(({ procs }) => procs.filter(({ alive }) => alive)));
    if (proc !== undefined) this.#processDies(proc);
  }

  killNode(): void {
    const living = this.nodes.filter(({ alive }) => alive);
    const node = living.length > 1 ? this.#pick(living) : undefined;
    if (node === undefined) return;
    node.alive = false;
    for (const proc of node.procs) {
      proc.alive = false;
      proc.toNode.queue.length = 0;
      for (const [other, { out }] of proc.ways) this.#closeWay(proc, other, out);
    }
    for (const other of this.nodes) {
      // Some of what it had sent still comes; nothing after the others have given it up.
      const link = node.links.get(other.prefix)!;
      link.queue.length = Math.floor(this.#chance() * (link.queue.length + 1));
      link.queue.push(() => {
        if (other.alive) other.table.nodeLost(node.prefix);
      });
      other.links.get(node.prefix)!.cut = true;
    }
  }

  dropAll(): void {
    for (const node of this.nodes)
      for (const proc of node.procs) if (proc.alive) for (const id of proc.handles.keys()) this.#dropAllOf(proc, id);
  }

  /** All that is under way arrives; then dead nodes are forgotten. */
  settleDown(): void {
    while (this.deliver());
    for (const { alive, table } of this.nodes) {
      if (alive) for (const other of this.nodes) if (!other.alive) table.nodeForgotten(other.prefix);
    }
    while (this.deliver());
  }

  /** Nothing is under way: what has a record is held, and nothing waits. */
  checkQuiet(): void {
    const reachable = this.#reachable(true);
    for (const { prefix, table, alive, bytes } of this.nodes) {
      if (!alive) continue;
      assert.equal(table.unconfirmed, 0, `node ${prefix} waits for something`);
      for (const id of this.#known) {
        if (homeOf(id) === prefix && !reachable.has(id)) assert.equal(table.holders(id), undefined, `${id} is held by nobody and kept`);
      }
      for (const id of bytes) assert.ok(reachable.has(id), `the bytes of ${id} are kept by ${prefix}`);
    }
  }

  check(): void {
    for (const { table, alive } of this.nodes) if (alive) table.check();
    const homes = new Map(this.nodes.filter(({ alive }) => alive).map((node) => [node.prefix, node]));
    for (const id of this.#known) {
      const home = homes.get(homeOf(id));
      if (home !== undefined && home.table.holders(id) === undefined) {
        assert.ok(!this.#reachable().has(id), `${id} was freed and is held`);
        this.#known.delete(id);
      }
    }
  }

  // ── acts ─────────────────────────────────────────────────────────────────────────────────────

  /** An object of its own, inline or stored, with refs inside. */
  #put(proc: Proc, inside: readonly RefId[]): void {
    const id = putId(proc.id, proc.made++);
    this.#contents.set(id, { at: proc.node, inside });
    proc.handles.set(id, { handles: 1, counted: 1 });
    if (this.#chance() < 0.5) {
      const payload: Payload = { kind: "inline", bytes: new Uint8Array(1), refs: [...inside] };
      this.#say(proc, (table) => {
        table.escape(proc.id, { id, payload });
        this.#known.add(id);
      });
    } else this.#seal(proc, id, inside);
  }

  /** A task of another process that this one runs: it stores the result, and gives it to its owner. */
  #result(worker: Proc, held: readonly RefId[]): void {
    const owner = this.#pick(this.#others(worker));
    if (owner === undefined) return;
    const id = putId(owner.id, owner.made++);
    const inside = this.#some(held, 2);
    this.#contents.set(id, { at: worker.node, inside });
    owner.handles.set(id, { handles: 1, counted: 0 });
    this.#seal(worker, id, inside);
    this.#awaited.set(id, { owner, worker });
    this.#onWay(worker, owner, [id], () => {
      this.#awaited.delete(id);
      const entry = owner.handles.get(id);
      if (entry === undefined) return;
      entry.counted++;
      this.#say(owner, (table) => table.add(id, owner.id));
      this.#say(owner, (table) => table.settle({ id, payload: { kind: "stored", id, size: 1 }, by: worker.id }));
    });
    this.#say(worker, (table) => table.drop(worker.id, { id, count: 1 }));
  }

  #seal(proc: Proc, id: ObjectId, inside: readonly RefId[]): void {
    const { node } = proc;
    this.#say(proc, (table) => {
      node.bytes.add(id);
      table.sealed(id, proc.id, 1, inside);
      if (homeOf(id) === node.prefix) this.#known.add(id);
    });
  }

  #pass(proc: Proc, ids: readonly RefId[]): void {
    const to = this.#pick(this.#others(proc));
    if (to !== undefined && ids.length > 0) this.#onWay(proc, to, ids, () => ids.forEach((id) => this.#gets(to, id)));
  }

  #fetch(proc: Proc, id: RefId): void {
    this.#say(proc, (table) => table.fetch(proc.id, { id: id as ObjectId }));
  }

  #gets(proc: Proc, id: RefId): void {
    const entry = proc.handles.get(id);
    if (entry === undefined) {
      proc.handles.set(id, { handles: 1, counted: 1 });
      this.#say(proc, (table) => table.add(id, proc.id));
    } else entry.handles++;
  }

  #drop(proc: Proc, id: RefId): void {
    const entry = proc.handles.get(id)!;
    if (--entry.handles === 0) this.#dropAllOf(proc, id);
  }

  #dropAllOf(proc: Proc, id: RefId): void {
    const { counted } = proc.handles.get(id)!;
    proc.handles.delete(id);
    if (counted > 0) this.#say(proc, (table) => table.drop(proc.id, { id, count: counted }));
  }

  #processDies(proc: Proc): void {
    const { node } = proc;
    proc.alive = false;
    for (const [other, { out }] of proc.ways) this.#closeWay(proc, other, out);
    proc.toNode.queue.push(() => {
      if (!node.alive) return;
      node.table.processLost(proc.id);
      for (const other of this.nodes) {
        if (other !== node) this.#tell(node, other.prefix, () => other.table.processLost(proc.id));
      }
    });
  }

  /** Some of what it had sent still comes; then the other end has read it to its end. */
  #closeWay(proc: Proc, other: Proc, out: Wire): void {
    out.queue.length = Math.floor(this.#chance() * (out.queue.length + 1));
    for (const [key, { from, to }] of this.#flying)
      if (from === proc && to === other && !out.queue.some((run) => run === key)) this.#flying.delete(key);
    const back = other.ways.get(proc)!;
    // What is on its way to the one that died is lost.
    for (const run of back.out.queue.splice(0)) this.#flying.delete(run);
    back.out.cut = true;
    out.queue.push(() => {
      if (!other.alive) return;
      back.end.end();
      // What it was to get from there fails.
      for (const [id, { owner, worker }] of this.#awaited) {
        if (owner !== other || worker !== proc) continue;
        this.#awaited.delete(id);
        this.#say(owner, (table) => table.settle({ id, payload: { kind: "error", bytes: new Uint8Array(1) } }));
      }
    });
  }

  // ── the network ──────────────────────────────────────────────────────────────────────────────

  #addNode(i: number, procs: number): void {
    const nodeId = `${i.toString(16).padStart(6, "0")}00000f` as NodeId;
    const prefix = nodeId.slice(0, 6) as NodePrefix;
    const bytes = new Set<ObjectId>();
    const table = new RefTable(
      {
        send: (to, name, body) => this.#hears(node, to, name, body),
        freeStored: (id) => void bytes.delete(id),
        actorUnheld: (_id: ActorId) => {},
        tell: (to, name, body) => this.#tell(node, to, () => this.#news(this.#node(to)!, prefix, name, body as never)),
        relayCame: (to, from, body) => this.#tell(node, to, () => this.#node(to)!.table.came(from, body)),
      },
      prefix,
    );
    const node: Node = { prefix, table, procs: [], links: new Map(), bytes, alive: true };
    this.nodes.push(node);
    for (let k = 0; k < procs; k++) {
      node.procs.push({ id: workerId(nodeId, k), node, toNode: this.#wire(), alive: true, made: 0, handles: new Map(), ways: new Map() });
    }
  }

  #news(to: Node, from: NodePrefix, name: string, body: never): void {
    const { table } = to;
    if (name === "refsHold") table.holdFor(from, body);
    else if (name === "refsHeld") table.holdConfirmed(from, body);
    else if (name === "refsDrop") table.dropFor(from, body);
    else if (name === "refFetch") table.fetchFor(from, (body as { id: ObjectId }).id);
    else if (name === "refState") table.state(body);
    else if (name === "objectSealed") {
      table.sealedAt(from, body);
      this.#known.add((body as { id: ObjectId }).id);
    } else if (name === "objectCopy") table.copiedAt(from, body);
    else if (name === "objectPromote") assert.fail("no node has copies here");
    else if (name === "objectFree") table.freedAtHome(body);
    else throw new Error(name);
  }

  /** What a table says to a process, at once: its connection delivers in order, and nothing else is said on it. */
  #hears(node: Node, to: ProcessId, name: string, body: unknown): void {
    const at = this.#node(to.slice(0, 6) as NodePrefix);
    if (at !== node) return this.#tell(node, to.slice(0, 6) as NodePrefix, () => this.#hears(at!, to, name, body));
    const proc = node.procs.find(({ id }) => id === to);
    if (proc?.alive !== true) return;
    if (name === "refLost") {
      const { way, from } = body as { way: WayId; from: ProcessId };
      const other = this.nodes.flatMap(({ procs }) => procs).find(({ id }) => id === from)!;
      // It answers when it has read to the end, which the closing of the way does.
      assert.ok(proc.ways.has(other), way);
    } else if (name === "objectState") {
      const { payload, failure, id } = body as { id: ObjectId; payload?: Payload; failure?: { code: string; message: string } };
      const homeLives = this.#node(homeOf(id))!.alive;
      if (failure !== undefined && proc.handles.has(id) && homeLives && /was freed/.test(failure.message))
        this.lostFor.push(`${id}: ${failure.message}`);
      if (payload === undefined || payload.kind === "stored") return;
      for (const ref of new Set(payload.refs)) {
        // Credited.
        const entry = proc.handles.get(ref);
        if (entry === undefined) proc.handles.set(ref, { handles: 1, counted: 1 });
        else {
          entry.handles++;
          entry.counted++;
        }
      }
    }
  }

  #say(proc: Proc, act: (table: RefTable) => void): void {
    proc.toNode.queue.push(() => {
      if (proc.node.alive) act(proc.node.table);
    });
  }

  #tell(from: Node, to: NodePrefix, run: () => void): void {
    const wire = from.links.get(to)!;
    if (!wire.cut) {
      wire.queue.push(() => {
        if (this.#node(to)!.alive) run();
      });
    }
  }

  #onWay(from: Proc, to: Proc, ids: readonly RefId[], arrived: () => void): void {
    const { end, out } = this.#wayOf(from, to);
    if (out.cut) return;
    end.sends(ids);
    const run = (): void => {
      this.#flying.delete(run);
      if (!to.alive) return;
      const back = to.ways.get(from)!;
      back.end.came(ids);
      arrived();
      back.end.tell();
    };
    this.#flying.set(run, { ids, from, to });
    out.queue.push(run);
  }

  #wayOf(from: Proc, to: Proc): { end: WayEnd; out: Wire } {
    const known = from.ways.get(to);
    if (known !== undefined) return known;
    const id = wayId(from.id, this.#ways++);
    const end = (proc: Proc, other: Proc, opener: boolean): WayEnd =>
      new WayEnd(id, opener, other.id, (name, body) =>
        this.#say(proc, (table) => (name === "refSent" ? table.sent(proc.id, body as never) : table.came(proc.id, body as never))),
      );
    from.ways.set(to, { end: end(from, to, true), out: this.#wire() });
    to.ways.set(from, { end: end(to, from, false), out: this.#wire() });
    return from.ways.get(to)!;
  }

  // ── what is so ───────────────────────────────────────────────────────────────────────────────

  /** `lax`: also through objects of dead nodes, of which a living one may know the value. */
  #reachable(lax = false): Set<RefId> {
    const todo: RefId[] = [];
    for (const { procs } of this.nodes)
      for (const { alive, handles } of procs) if (alive) for (const [id, { counted }] of handles) if (counted > 0) todo.push(id);
    for (const { ids, to } of this.#flying.values()) if (to.alive) todo.push(...ids);
    const found = new Set<RefId>();
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
      if (found.has(id)) continue;
      found.add(id);
      // What a dead node's objects contained is gone with it.
      const { at, inside } = this.#contents.get(id)!;
      if (lax || (this.#node(homeOf(id))!.alive && at.alive)) todo.push(...inside);
    }
    return found;
  }

  #node(prefix: NodePrefix): Node | undefined {
    return this.nodes.find((node) => node.prefix === prefix);
  }

  #others(proc: Proc): Proc[] {
    return this.nodes.flatMap(({ alive, procs }) => (alive ? procs.filter((other) => other.alive && other !== proc) : []));
  }

  #wire(): Wire {
    const wire: Wire = { queue: [], cut: false };
    this.#wires.push(wire);
    return wire;
  }

  #pick<T>(list: readonly T[]): T | undefined {
    return list[Math.floor(this.#chance() * list.length)];
  }

  #some(list: readonly RefId[], most: number): RefId[] {
    const some = new Set<RefId>();
    for (let i = Math.floor(this.#chance() * (most + 1)); i > 0 && list.length > 0; i--) some.add(this.#pick(list)!);
    return [...some];
  }
}
