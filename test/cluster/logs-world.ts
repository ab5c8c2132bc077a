/**
 * An actor that saves its state, its owners and its workers on several nodes, with the machines, routers and tables of production, over
 * connections that deliver each in order and all in any order among each other. Workers, owners, nodes and connections die at any moment.
 *
 * What every owner was told is held against the state that the actor has in the end: a call that was answered is in it once and where the
 * answer says, one that failed is not, and each owner's are in their order.
 */
import assert from "node:assert/strict";
import { Control } from "../../src/core/control/control.ts";
import { Owner } from "../../src/core/owner/owner.ts";
import type { OwnerPort } from "../../src/core/owner/port.ts";
import type { Task } from "../../src/core/owner/task.ts";
import { actorId, checkpointId, driverId, homeOf, prefixOf, putId, workerId } from "../../src/protocol/ids.ts";
import type { ActorId, JobId, NodePrefix, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, DeathReason, MessageName, Payload } from "../../src/protocol/messages.ts";
import { codeOf, encodeBody } from "../../src/protocol/wire.ts";
import type { OfLog } from "../../src/runtime/cluster/router.ts";
import { shape } from "../node/node-harness.ts";
import { addressOf, bytesOf, checkTold, valueOf } from "./logs-ledger.ts";
import { makeNode, passes } from "./logs-nodes.ts";
import type { NodeWorld, SimNode, SimOwner, SimWorker, Way, Wire } from "./logs-nodes.ts";
import { chanceFrom, viewOf } from "./nodes.ts";

const JOB = "job" as JobId;
const NONE = new Uint8Array();
const DIED: DeathReason = { cause: "signal", message: "it was killed" };
const JOURNALS = "journals" as ProcessId;

export class LogsWorld {
  readonly nodes: SimNode[] = [];
  readonly owners: SimOwner[] = [];
  readonly control: Control;
  readonly actor: ActorId;
  readonly #chance: () => number;
  readonly #retries: number;
  readonly #wires: Wire[] = [];
  readonly #ways: Way[] = [];
  /** What happens some time: in any order. */
  readonly #later: (() => void)[] = [];
  readonly #refs = new Set<ObjectId>();
  readonly #deadToControl = new Set<NodePrefix>();
  #placing: { node: SimNode; run: () => void } | undefined;
  #now = 0;

  constructor(seed: number, maxTaskRetries: number) {
    this.#chance = chanceFrom(seed * 7919 + 29);
    this.#retries = maxTaskRetries;
    this.control = this.#makeControl();
    const world: NodeWorld = {
      nodes: this.nodes,
      wire: () => this.#wire(),
      deliver: (node, to, name, body) => this.#deliver(node, to, name, body),
      keepHere: (node, id, answer) => this.#keepHere(node, id, answer),
      now: () => this.#now,
    };
    for (let i = 0; i < 4; i++) this.nodes.push(makeNode(world, i));
    for (const node of this.nodes) {
      for (const other of this.nodes) {
        node.links.set(other.prefix, this.#wire());
        node.view.update(viewOf(this.nodes.indexOf(other), { version: 1 }));
      }
    }
    // The first node is the home, the second has an owner only, and the others may die with theirs.
    this.actor = actorId(driverId(this.nodes[0]!.nodeId, "000001"), 0);
    for (const [i, node] of [this.nodes[0]!, this.nodes[1]!, this.nodes[2]!].entries()) this.#addOwner(node, i);
    const [first] = this.owners;
    const actorOptions = {
      namespace: "",
      detached: true,
      getIfExists: false,
      maxRestarts: -1,
      maxConcurrency: 1,
      resources: {},
      placementResources: {},
      checkpoint: { everyCalls: 3, everyMs: 0 },
    };
    const declare = { actorId: this.actor, jobId: JOB, className: "Ledger", options: actorOptions, shape: shape({}) };
    this.nodes[0]!.machines.refs.declared(this.actor, first!.id, true);
    this.control.declare(first!.id, declare);
    this.control.create(first!.id, { actorId: this.actor, functionId: "f" as never, definition: NONE, args: NONE, argPayloads: [] });
    for (const owner of this.owners) this.control.watch(owner.id, { actorId: this.actor });
  }

  // ── what happens ─────────────────────────────────────────────────────────────────────────────

  call(): void {
    const sim = this.#pick(this.owners.filter(({ alive }) => alive));
    if (sim === undefined) return;
    const id = putId(sim.id, 1_000_000 + sim.puts++);
    this.#say(sim, () => {
      sim.node.machines.refs.escape(sim.id, { id, payload: { kind: "inline", bytes: NONE } });
      // From here on it is known, and must not be freed.
      this.#refs.add(id);
    });
    const options = { numReturns: 1, maxRetries: this.#retries, retryExceptions: false, retryRule: undefined };
    const more = { streamBuffer: undefined, maxCalls: 0, concurrencyGroup: undefined };
    const spec = {
      callable: { name: "write", meanUs: undefined },
      args: { kind: "inline" as const, bytes: bytesOf(sim.puts), refs: [id] },
      refArgs: undefined,
      holds: [id as unknown as object],
      options: { ...options, ...more },
    };
    sim.tasks.push(sim.owner.submit(spec, sim.client));
  }

  /** One thing of what can happen; false when nothing can. */
  step(): boolean {
    const ready: (() => void)[] = this.#wires.filter(({ length }) => length > 0).map((wire) => () => wire.shift()!());
    for (const node of this.nodes) {
      for (const proc of node.procs.values()) {
        if (proc.kind === "worker" && proc.alive && proc.live && proc.queue.length > 0) ready.push(() => this.#work(proc));
      }
    }
    if (this.#later.length > 0) ready.push(() => this.#later.splice(Math.floor(this.#chance() * this.#later.length), 1)[0]!());
    const deadline = this.control.nextDeadline();
    if (deadline !== undefined) {
      ready.push(() => {
        this.#now = Math.max(this.#now, deadline);
        this.control.tick(this.#now);
      });
    }
    const event = this.#pick(ready);
    if (event === undefined) return false;
    this.#now += 1;
    event();
    this.check();
    return true;
  }

  killWorker(): void {
    const worker = this.#pick(this.#workers());
    if (worker !== undefined) this.#processDies(worker);
  }

  killOwner(): void {
    const living = this.owners.filter(({ alive }) => alive);
    if (living.length > 1) this.#processDies(this.#pick(living)!);
  }

  cutWay(): void {
    const way = this.#pick(
      this.#ways.filter(({ cut, worker, owner }) => !cut && worker.alive && owner.alive && owner.node !== worker.node),
    );
    if (way === undefined) return;
    this.#cut(way);
    // Its end notices at once, later, or never.
    if (this.#chance() < 0.5) way.closed = true;
  }

  killNode(home = false): void {
    const living = this.nodes.filter(({ alive }, i) => alive && (home ? i === 0 : i > 1));
    const node = this.#pick(living);
    if (node === undefined || this.nodes.filter(({ alive }, i) => alive && i > 0).length < 3) return;
    node.alive = false;
    for (const proc of node.procs.values()) {
      proc.alive = false;
      this.#cutAll(proc);
      proc.toNode.length = 0;
      proc.fromNode.length = 0;
    }
    // Some of what it had sent still comes.
    for (const link of node.links.values()) link.length = Math.floor(this.#chance() * (link.length + 1));
    for (const other of this.nodes) other.links.get(node.prefix)!.length = 0;
    node.fromControl.length = 0;
    node.toControl.length = Math.floor(this.#chance() * (node.toControl.length + 1));
    node.toControl.push(() => this.#controlLosesNode(node));
  }

  /** Another control has taken over, with the same records: a node joins with what it has. */
  rejoin(): void {
    const node = this.#pick(this.nodes.filter(({ alive }) => alive));
    node?.toControl.push(() => {
      if (this.#deadToControl.has(node.prefix)) return;
      const living = [...node.procs.values()].flatMap((proc) =>
        proc.kind === "worker" && proc.alive && proc.start !== undefined ? [{ worker: proc, epoch: proc.start.epoch }] : [],
      );
      const actors = living.map(({ worker, epoch }) => ({
        actorId: this.actor,
        epoch,
        worker: addressOf(worker),
        assigned: {},
        gpuIds: [],
      }));
      const known = this.#placedNotStarted(node);
      this.control.rejoined(node.prefix, [...actors, ...known], this.#now, node.machines.journals.ids);
      for (const owner of this.owners) if (owner.alive && owner.node === node) this.control.watch(owner.id, { actorId: this.actor });
    });
  }

  #placedNotStarted(node: SimNode): Body<"nodeJoin">["actors"] {
    const [record] = this.control.actors();
    const worker = record?.worker === undefined ? undefined : node.procs.get(record.worker);
    if (worker?.kind !== "worker" || !worker.alive || worker.start !== undefined) return [];
    return [{ actorId: this.actor, epoch: record!.epoch, worker: addressOf(worker), assigned: {}, gpuIds: [] }];
  }

  settle(): void {
    for (let i = 0; this.step(); i++) assert.ok(i < 200_000, "it goes on for ever");
    for (const node of this.nodes) {
      if (!node.alive) continue;
      for (const other of this.nodes) {
        if (other.alive) continue;
        node.machines.run(() => {
          node.machines.refs.nodeForgotten(other.prefix);
          node.router.nodeForgotten(other.prefix);
        });
      }
    }
    while (this.step());
  }

  // ── what must be ─────────────────────────────────────────────────────────────────────────────

  check(): void {
    for (const { alive, machines } of this.nodes) if (alive) machines.journals.check();
    const home = this.nodes[0]!;
    for (const id of this.#refs) {
      const at = this.#nodeOf(id);
      if (!at.alive || !home.alive) continue;
      const record = at.machines.refs.holders(id);
      const maker = at.procs.get(id.slice(0, 12) as ProcessId);
      // Of an owner that died with its calls under way nothing was held by them in this world.
      const sure = maker?.kind === "worker" || maker?.alive === true;
      const logged = home.machines.refs.holders(id)?.has(JOURNALS) === true;
      if (logged && sure) assert.ok(record, `${id} is in the log, and freed`);
      for (const owner of this.owners) if (owner.alive && owner.holds.has(id)) assert.ok(record, `${id} was answered, and is freed`);
    }
  }

  /** All is quiet: what owners know is what the actor has. */
  checkQuiet(): void {
    const [record] = this.control.actors();
    const worker = this.#workers().find(({ id }) => id === record?.worker);
    if (record?.phase !== "dead") assert.ok(worker?.live, `the actor is ${record?.phase}, and does not live`);
    const state = worker?.state ?? [];
    checkTold(this.owners, state, worker !== undefined);
  }

  /** The actor is over, and so is all that was kept for it. */
  checkOver(): void {
    this.control.kill(this.owners[0]!.id, 0, { kind: "actorKill", actorId: this.actor, noRestart: true });
    this.settle();
    for (const { alive, machines, bytes, prefix } of this.nodes) {
      if (!alive) continue;
      assert.equal(machines.journals.size, 0, `node ${prefix} keeps a log`);
      assert.equal(bytes.size, 0, `node ${prefix} keeps the bytes of ${[...bytes.keys()].join(", ")}`);
      for (const id of this.#refs) {
        const holders = machines.refs.holders(id);
        for (const holder of [JOURNALS, "parcels" as ProcessId])
          assert.ok(!holders?.has(holder), `${id} is held by ${holder} at ${prefix}`);
      }
    }
  }

  // ── nodes ────────────────────────────────────────────────────────────────────────────────────

  #deliver(node: SimNode, to: ProcessId, name: MessageName, body: unknown): boolean {
    const proc = node.procs.get(to);
    if (proc?.alive !== true) return false;
    const start = name === "actorStart" ? (body as Body<"actorStart">) : undefined;
    const given = start === undefined ? body : { ...start, restore: node.machines.actorStarts(to, start) };
    proc.fromNode.push(() => {
      if (!proc.alive) return;
      if (proc.kind === "owner") this.#ownerHears(proc, name, given as never);
      else this.#workerHears(proc, name, given as never);
    });
    return true;
  }

  /** A copy comes from a node that has its bytes, if there is one by then. */
  #keepHere(node: SimNode, id: ObjectId, answer: (why: string | undefined) => void): void {
    this.#later.push(() => {
      if (!node.alive) return;
      const from = this.nodes.find(({ alive, bytes }) => alive && bytes.has(id));
      node.machines.run(() => {
        if (from === undefined || this.#chance() < 0.1) return answer("no node has its bytes");
        node.bytes.set(id, from.bytes.get(id)!);
        node.router.tell(homeOf(id), "objectCopy", { id, there: true });
        answer(undefined);
      });
    });
  }

  #loses(node: SimNode, lost: SimNode): void {
    if (!node.alive || node.gone.has(lost.prefix)) return;
    node.gone.add(lost.prefix);
    node.view.update(viewOf(this.nodes.indexOf(lost), { version: 2, state: "dead" }));
    node.machines.run(() => {
      node.router.nodeLost(lost.prefix);
      node.machines.refs.nodeLost(lost.prefix);
      node.machines.journals.nodeLost(lost.prefix);
    });
  }

  // ── control ──────────────────────────────────────────────────────────────────────────────────

  #makeControl(): Control {
    const to = (prefix: NodePrefix, run: (node: SimNode) => void): boolean => {
      const node = this.nodes.find((each) => each.prefix === prefix)!;
      if (this.#deadToControl.has(prefix)) return false;
      node.fromControl.push(() => {
        if (node.alive) node.machines.run(() => run(node));
      });
      return true;
    };
    const send = (process: ProcessId, name: MessageName, body: unknown): void =>
      void to(prefixOf(process), (node) => {
        if (passes(node, process, name, body as never)) this.#deliver(node, process, name, body);
      });
    return new Control({
      send,
      place: ({ actorId: id, epoch }) => this.#later.push(() => this.#place(id, epoch)),
      unplace: (_id, _epoch, _end, worker) => {
        if (worker === undefined) return;
        to(prefixOf(worker), (node) => {
          const proc = node.procs.get(worker);
          if (proc?.alive === true) this.#processDies(proc);
        });
      },
      over: (id) =>
        void to(homeOf(id), ({ machines }) => {
          machines.refs.actorOver(id);
          machines.journals.over(id);
        }),
      give: () => {},
      alias: () => {},
      news: (id, epoch, after, process, name, body) => {
        const news = { actorId: id, epoch, after, to: process, code: codeOf(name), body: encodeBody(name, body) };
        if (!to(homeOf(id), ({ machines }) => machines.news(news)) && name !== "actorStart") send(process, name, body);
      },
    });
  }

  #place(id: ActorId, epoch: number): void {
    const [record] = this.control.actors();
    if (record?.epoch !== epoch || record.phase !== "placing") return;
    const node = this.#pick(this.nodes.filter(({ prefix }) => !this.#deadToControl.has(prefix)))!;
    this.#placing = { node, run: () => this.#place(id, epoch) };
    node.fromControl.push(() => {
      if (!node.alive) return;
      const worker = this.#addWorker(node);
      node.toControl.push(() => this.control.placed(id, epoch, { worker: addressOf(worker), assigned: {}, gpuIds: [] }));
    });
  }

  #controlLosesNode(node: SimNode): void {
    this.#deadToControl.add(node.prefix);
    for (const other of this.nodes) if (other.alive) other.fromControl.push(() => this.#loses(other, node));
    this.control.nodeLost(node.prefix, { cause: "node-died", message: "it is gone" }, this.#now);
    if (this.#placing?.node === node) this.#later.push(this.#placing.run);
  }

  // ── processes ────────────────────────────────────────────────────────────────────────────────

  #processDies(proc: SimOwner | SimWorker): void {
    const { node, id } = proc;
    proc.alive = false;
    this.#cutAll(proc);
    proc.fromNode.length = 0;
    // What it had written may not have gone out.
    if (this.#chance() < 0.5) proc.toNode.length = Math.floor(this.#chance() * (proc.toNode.length + 1));
    proc.toNode.push(() => {
      if (!node.alive) return;
      node.machines.run(() => {
        node.toControl.push(() => {
          if (this.#deadToControl.has(node.prefix)) return;
          this.control.workerLost(id, DIED, this.#now);
          this.control.processLost(id);
        });
        node.machines.refs.processLost(id);
        node.machines.journals.processGone(id);
        node.router.processEnded(id, DIED);
      });
    });
  }

  #cutAll(proc: SimOwner | SimWorker): void {
    for (const way of this.#ways) if (way.owner === proc || way.worker === proc) this.#cut(way);
  }

  #cut(way: Way): void {
    if (way.cut) return;
    way.cut = true;
    way.wire.length = Math.floor(this.#chance() * (way.wire.length + 1));
    this.#later.push(() => {
      if (way.owner.alive && this.#wayOf(way.owner) === way) way.owner.owner.disconnected(way.worker.id, DIED);
    });
  }

  #wayOf(owner: SimOwner): Way | undefined {
    return owner.client.way as Way | undefined;
  }

  #addOwner(node: SimNode, i: number): void {
    const id = driverId(node.nodeId, `00000${i + 1}`);
    const toNode = this.#wire();
    const failed = new Map<Task, string>();
    const unused = (): never => assert.fail("there are no leases");
    const port: OwnerPort = {
      requestLease: unused,
      cancelLeaseRequest: unused,
      openLease: unused,
      returnLease: unused,
      closeLease: unused,
      kill: unused,
      streamRead: unused,
      cancelPushed: unused,
      callShared: unused,
      takeBack: () => "unknown",
      openActor: (actor, { processId }) => {
        const worker = this.nodes.map(({ procs }) => procs.get(processId)).find((each) => each !== undefined) as SimWorker;
        const way: Way = { owner: sim, worker, wire: this.#wire(), cut: false, closed: false };
        this.#ways.push(way);
        actor.way = way;
        if (!worker.alive) this.#cut(way);
        return true;
      },
      closeActor: (actor) => {
        const way = actor.way as Way;
        // It is closed on both ends, once what was pushed on it is read.
        way.wire.push(() => void (way.closed = true));
        actor.way = undefined;
      },
      push: (to, task) => this.#push(to.way as Way, task),
      askCalls: (_actor, epoch) => this.#toNode(sim, "callsLost", { actorId: this.actor, epoch }),
      failure: (task, failure) => {
        failed.set(task!, `${failure.kind} ${"outcome" in failure ? failure.outcome : ""}`);
        return { kind: "error", bytes: bytesOf(failure.kind), refs: undefined };
      },
      sharedSettled: () => {},
      finished: (task) => {
        const [held] = (task.spec.args.refs ?? []) as ObjectId[];
        toNode.push(() => node.machines.run(() => node.machines.refs.drop(id, { id: held!, count: 1 })));
      },
    };
    const owner = new Owner(port, id, { available: false });
    const client = owner.actor(this.actor, true);
    const state = { tasks: [], failed, holds: new Set<ObjectId>(), alive: true, puts: 0 };
    const sim: SimOwner = { kind: "owner", id, node, owner, client, toNode, fromNode: this.#wire(), ...state };
    node.procs.set(id, sim);
    this.owners.push(sim);
  }

  #push(way: Way, task: Task): void {
    if (way.cut) return;
    const push = { seq: task.seq, counter: task.counter, attempt: task.attempt, args: task.spec.args };
    way.wire.push(() => {
      if (!way.worker.alive) return;
      const { worker } = way;
      for (const id of push.args.refs ?? []) this.#say(worker, () => worker.node.machines.refs.add(id, worker.id));
      worker.queue.push({ way, push });
    });
  }

  #ownerHears(sim: SimOwner, name: MessageName, body: never): void {
    const { owner } = sim;
    if (name === "actorState") return owner.actorChanged(this.actor, (body as Body<"actorState">).status);
    if (name === "callsSettled") return owner.callsSettled(this.actor, (body as Body<"callsSettled">).epoch);
    if (name !== "actorAnswer") return;
    const { seq, counter, attempt, answer } = body as Body<"actorAnswer">;
    if (answer.kind !== "returned") throw new Error("no call throws here");
    const task = owner.callInFlight(this.actor, seq, counter, attempt);
    for (const id of (answer.results[0] as Payload & { kind: "inline" }).refs ?? []) if (task) sim.holds.add(id as ObjectId);
    if (task?.actor) owner.replied(task.actor, seq, 0, answer);
  }

  #addWorker(node: SimNode): SimWorker {
    const id = workerId(node.nodeId, node.workers++);
    const state = { queue: [], start: undefined, state: [], live: false, since: 0, made: 0, alive: true };
    const worker: SimWorker = { kind: "worker", id, node, toNode: this.#wire(), fromNode: this.#wire(), ...state };
    node.procs.set(id, worker);
    return worker;
  }

  #workerHears(worker: SimWorker, name: MessageName, body: never): void {
    const { node, id } = worker;
    if (name === "actorStart") {
      const start = body as Body<"actorStart">;
      worker.start = start;
      if (start.restore !== undefined) {
        const { state, calls } = start.restore;
        const bytes = state.kind === "stored" ? this.#read(state.id) : state.bytes;
        if (bytes === undefined) return this.#say(worker, () => this.#failed(worker));
        worker.state = valueOf(bytes) as string[];
        for (const call of calls) {
          worker.state.push(`${call.owner} ${call.counter} ${call.attempt}`);
          for (const ref of (call.args as Payload & { kind: "inline" }).refs ?? []) {
            this.#say(worker, () => node.machines.refs.drop(id, { id: ref, count: 1 }));
          }
        }
      }
      const far = this.#save(worker);
      if (!far || homeOf(this.actor) === node.prefix) this.#lives(worker);
    } else if (name === "actorSaved") this.#lives(worker);
    else if (name === "actorSave") {
      const { failure } = body as Body<"actorSave">;
      if (failure === undefined) this.#save(worker);
      else this.#say(worker, () => this.#failed(worker));
    } else if (name === "callsCut") {
      const { owner, epoch } = body as Body<"callsCut">;
      for (const way of this.#ways) if (way.worker === worker && way.owner.id === owner && way.cut) way.closed = true;
      this.#toNode(worker, "callsOver", { actorId: this.actor, epoch, owner });
    }
  }

  /** The log holds them, so they are somewhere, as long as the node that has the log lives. */
  #read(id: ObjectId): Uint8Array | undefined {
    const found = this.nodes.find(({ alive, bytes }) => alive && bytes.has(id));
    assert.ok(found !== undefined || !this.nodes[0]!.alive, `the checkpoint ${id} is nowhere`);
    return found?.bytes.get(id);
  }

  #lives(worker: SimWorker): void {
    if (worker.live) return;
    worker.live = true;
    const { id, node } = worker;
    const { epoch } = worker.start!;
    this.#say(worker, () => node.toControl.push(() => this.control.started(id, { actorId: this.actor, epoch }, this.#now)));
  }

  #failed({ id, node, start }: SimWorker): void {
    const body = { actorId: this.actor, epoch: start!.epoch, error: NONE };
    node.toControl.push(() => this.control.startFailed(id, body));
  }

  /** Runs the next call. */
  #work(worker: SimWorker): void {
    const { way, push } = worker.queue.shift()!;
    const { node, id, start } = worker;
    const { owner } = way;
    const drop = (ref: ObjectId): void => this.#say(worker, () => node.machines.refs.drop(id, { id: ref, count: 1 }));
    if (way.closed) return push.args.refs?.forEach((ref) => drop(ref as ObjectId));
    const place = worker.state.push(`${owner.id} ${push.counter} ${push.attempt}`) - 1;
    const made = putId(id, worker.made++);
    this.#say(worker, () => {
      node.machines.refs.escape(id, { id: made, payload: { kind: "inline", bytes: NONE } });
      this.#refs.add(made);
    });
    const call = { owner: owner.id, counter: push.counter, attempt: push.attempt, method: "write", args: push.args, payloads: [] };
    const results = [{ kind: "inline" as const, bytes: bytesOf(place), refs: [made] }];
    const to = { actorId: this.actor, seq: push.seq };
    this.#toNode(worker, "actorLog", { actorId: this.actor, epoch: start!.epoch, to, call, answer: { kind: "returned", results } });
    for (const ref of [...(push.args.refs ?? []), made]) drop(ref as ObjectId);
    if (++worker.since >= 3) this.#save(worker);
  }

  /** Returns whether the state lies in the store. */
  #save(worker: SimWorker): boolean {
    worker.since = 0;
    const { node, id } = worker;
    const bytes = bytesOf(worker.state);
    const stored = this.#chance() < 0.5;
    let state: Payload = { kind: "inline", bytes };
    if (stored) {
      const name = checkpointId(this.actor, id, worker.made++);
      state = { kind: "stored", id: name, size: bytes.byteLength };
      this.#say(worker, () => {
        node.bytes.set(name, bytes);
        node.machines.refs.sealed(name, id, bytes.byteLength, []);
      });
    }
    this.#toNode(worker, "actorCheckpoint", { actorId: this.actor, epoch: worker.start!.epoch, state });
    if (state.kind === "stored") {
      const { id: name } = state;
      this.#say(worker, () => node.machines.refs.drop(id, { id: name, count: 1 }));
    }
    return stored;
  }

  #toNode<N extends OfLog>(proc: SimOwner | SimWorker, name: N, body: Body<N>): void {
    this.#say(proc, () => proc.node.machines.ofLog(proc.id, name, body));
  }

  #say({ node, toNode }: SimOwner | SimWorker, run: () => void): void {
    toNode.push(() => {
      if (node.alive) node.machines.run(run);
    });
  }

  // ── small things ─────────────────────────────────────────────────────────────────────────────

  #workers(): SimWorker[] {
    return this.nodes.flatMap(({ procs }) => [...procs.values()].filter((each) => each.kind === "worker" && each.alive)) as SimWorker[];
  }

  #nodeOf(id: ObjectId): SimNode {
    return this.nodes.find(({ prefix }) => prefix === homeOf(id))!;
  }

  #wire(): Wire {
    const wire: Wire = [];
    this.#wires.push(wire);
    return wire;
  }

  #pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.#chance() * all.length)];
  }
}
