/**
 * Control: the directory of actors, their names and their life, and the jobs. It says when an actor is placed, started,
 * started again and over; where it runs is the node machine's choice, and who holds it the RefTable's knowledge.
 */
import type { ActorId, JobId, NodePrefix, ProcessId } from "../../protocol/ids.ts";
import { homeOf, makerOf, prefixOf } from "../../protocol/ids.ts";
import type { LivingActor } from "../../protocol/cluster.ts";
import type { Body, DeathReason, Failure, MessageName } from "../../protocol/messages.ts";
import { childStrategy } from "../children.ts";
import type { ActorRequest } from "../node/admission.ts";
import type { ActorPlacement } from "../node/state.ts";
import { Aliases } from "./aliases.ts";
import { checkActors } from "./check.ts";
import { fromRecord, listed, nameKey, newActor, numberOf, recordOf, requestOf, statusOf, unknownState } from "./actor.ts";
import type { ActorRecord, KillQuestion, ListedActor } from "./actor.ts";
import { Remembered } from "./remembered.ts";
import { saved } from "./tables.ts";
import type { Keep, SavedTables, TableName } from "./tables.ts";

export interface ControlPort {
  send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void;
  /** To the node machine: `placeActor` and `unplaceActor`. */
  place(request: ActorRequest): void;
  unplace(actorId: ActorId, epoch: number, end: { kill: DeathReason } | { gently: string }, worker: ProcessId | undefined): void;
  // To the actor's home, which is where its references are counted (src/core/refs):
  /** It does not start again: what it was made from is not needed any more. */
  over(id: ActorId): void;
  /** A process that asked for it by name holds it from now on, and gets this message. */
  give<N extends MessageName>(id: ActorId, given: number, to: ProcessId, name: N, body: Body<N>): void;
  /**
   * What a process is to hear of an actor that saves its state, or to start it from, where its log is elsewhere than here: it goes by the
   * home, which logs nothing of incarnations before `epoch` from then on. `after`: behind what this process had said, which is gone.
   */
  news?<N extends MessageName>(id: ActorId, epoch: number, after: ProcessId | undefined, to: ProcessId, name: N, body: Body<N>): void;
  /** `alias` was declared and means it: who holds the one holds the other. `given` numbers both of these, by actor. */
  alias(id: ActorId, given: number, alias: ActorId): void;
}

export interface ControlOptions {
  /** Told of every record that changes, where control's state is to outlast its process. */
  readonly keep?: Keep;
  /** Whether a process may be there: false when its whole node is gone. */
  readonly mayLive?: (process: ProcessId) => boolean;
}

const DEAD_MAX = 100_000;
/** A death so soon after the start is one of a crash loop. */
const QUICK_MS = 1000;
const PAUSE_MIN_MS = 100;
const PAUSE_MAX_MS = 5000;

const killed = (message: string): DeathReason => ({ cause: "killed", message });
const ended = (message: string): DeathReason => ({ cause: "exit", message });

export class Control {
  readonly #port: ControlPort;
  readonly #actors = new Map<ActorId, ActorRecord>();
  readonly #aliases = new Aliases((table, key) => this.#keep(table, key));
  /** Actors that somebody has a handle to and whose declaration is still under way, and who asked for them (sim seed 911). */
  readonly #awaited = new Map<ActorId, Set<ProcessId>>();
  /** The number of the last actor that each process has declared. */
  readonly #lastDeclared = new Map<ProcessId, number>();
  readonly #lost = new Remembered<ProcessId>(DEAD_MAX, (id) => this.#keep("gone", id));
  readonly #names = new Map<string, ActorId>();
  readonly #byWorker = new Map<ProcessId, ActorRecord>();
  readonly #dead = new Remembered<ActorId>(DEAD_MAX, (id) => {
    this.#actors.delete(id);
    this.#keep("actor", id);
  });
  readonly #pausing = new Set<ActorRecord>();
  readonly #jobs = new Map<JobId, ProcessId>();

  readonly #keep: Keep;
  readonly #mayLive: (process: ProcessId) => boolean;

  constructor(port: ControlPort, { keep = () => {}, mayLive = () => true }: ControlOptions = {}) {
    this.#port = port;
    this.#keep = keep;
    this.#mayLive = mayLive;
  }

  // ── jobs and processes ───────────────────────────────────────────────────────────────────────

  driverJoined(driver: ProcessId, jobId: JobId): void {
    this.#jobs.set(jobId, driver);
  }

  /** A process is gone, in its part as a client. Returns the job that ended with it, if it was its driver. */
  processLost(process: ProcessId): JobId | undefined {
    this.#makerLost(process);
    for (const actor of this.#actors.values()) {
      actor.watchers.delete(process);
      for (const watchers of actor.aliases.values()) watchers.delete(process);
      if (actor.phase !== "declared" || actor.creator !== process) continue;
      const message = `the process that made actor ${actor.className} is gone, and its arguments with it`;
      this.#die(actor, { cause: "start-failed", message }, { failure: { code: "OWNER_DIED", message } });
    }
    for (const [jobId, driver] of this.#jobs) {
      if (driver !== process) continue;
      this.#jobEnded(jobId);
      return jobId;
    }
    return undefined;
  }

  /** A worker process is gone. */
  workerLost(worker: ProcessId, reason: DeathReason, now: number): void {
    const actor = this.#byWorker.get(worker);
    this.#byWorker.delete(worker);
    if (actor === undefined || actor.worker?.processId !== worker) return;
    // Callers have a connection of their own to it, and are told the same as owners of leases.
    const callers = new Set([...actor.watchers, ...[...actor.aliases.values()].flatMap((watchers) => [...watchers])]);
    for (const caller of callers) this.#port.send(caller, "processLost", { processId: worker, reason });
    this.#incarnationLost(actor, reason, now, worker);
  }

  // ── from owners ──────────────────────────────────────────────────────────────────────────────

  declare(from: ProcessId, body: Body<"actorDeclare">): void {
    this.#declare(from, body);
    this.#lastDeclared.set(from, Math.max(this.#lastDeclared.get(from) ?? -1, numberOf(body.actorId) || 0));
    this.#keep("declared", from);
    const awaiting = this.#awaited.get(body.actorId);
    this.#awaited.delete(body.actorId);
    for (const watcher of awaiting ?? []) this.watch(watcher, body);
  }

  #declare(from: ProcessId, body: Body<"actorDeclare">): void {
    if (this.#actors.has(body.actorId) || this.#aliases.has(body.actorId) || this.#aliases.isPast(body.actorId)) return;
    const actor = newActor(from, body);
    const { name, namespace } = body.options;
    const key = name === undefined ? undefined : nameKey(name, namespace);
    const holder = key === undefined ? undefined : this.#actors.get(this.#names.get(key)!);
    if (holder !== undefined && body.options.getIfExists) return this.#alias(from, body.actorId, holder);
    this.#actors.set(actor.id, actor);
    this.#keep("actor", actor.id);
    if (holder !== undefined) {
      const message =
        `actor ${actor.className} cannot be named ${JSON.stringify(name)}: ` +
        `an actor of class ${holder.className} has that name in namespace ${JSON.stringify(namespace)}`;
      return this.#die(actor, { cause: "start-failed", message }, { failure: { code: "ACTOR_NAME_TAKEN", message } });
    }
    if (key !== undefined) this.#names.set(key, actor.id);
  }

  create(from: ProcessId, body: Body<"actorCreate">): void {
    const actor = this.#actors.get(body.actorId);
    if (actor === undefined || actor.phase === "dead") return this.#port.over(body.actorId);
    if (actor.phase !== "declared" || actor.creator !== from) return;
    actor.creation = body;
    if (body.environment !== undefined) actor.shape = { ...actor.shape, environment: body.environment };
    this.#keep("creation", actor.id);
    this.#place(actor);
  }

  /** It cannot be made as it was asked for. */
  refuse(from: ProcessId, id: ActorId, failure: Failure): void {
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.phase !== "declared" || actor.creator !== from) return;
    this.#die(actor, { cause: "start-failed", message: failure.message }, { failure });
  }

  abandon(from: ProcessId, body: Body<"actorAbandon">): void {
    const actor = this.#actors.get(body.actorId);
    if (actor === undefined || actor.phase !== "declared" || actor.creator !== from) return;
    const { error, failure } = body;
    const message = failure?.message ?? `an argument of actor ${actor.className} failed`;
    this.#die(actor, { cause: "start-failed", message }, { error, failure });
  }

  watch(from: ProcessId, body: Body<"actorWatch">): void {
    const { actorId } = body;
    const actor = this.#find(actorId);
    if (actor === undefined) {
      if (!this.#mayCome(actorId)) return this.#port.send(from, "actorState", unknownState(actorId));
      const awaiting = this.#awaited.get(actorId);
      if (awaiting) awaiting.add(from);
      else this.#awaited.set(actorId, new Set([from]));
      return;
    }
    // Of a dead one there will be no more news, unless what its home was to tell is lost with that.
    if (actor.phase === "dead" && actor.options.checkpoint === undefined) return this.#tell(from, actorId, actor);
    if (actor.id === actorId) actor.watchers.add(from);
    else actor.aliases.get(actorId)?.add(from);
    this.#tell(from, actorId, actor);
  }

  /** Answered behind the news of its end: calls from then on find it dead, or wait for the next incarnation. */
  kill(from: ProcessId, call: number, { actorId, noRestart, epoch }: KillQuestion): void {
    const actor = this.#find(actorId);
    const reason = killed("it was ended by kill()");
    if (noRestart || actor?.worker === undefined || (epoch ?? actor.epoch) !== actor.epoch) {
      if (noRestart && actor !== undefined && actor.phase !== "dead") this.#end(actor, reason, { kill: reason });
      return this.#port.send(from, "answer", { call, body: "{}" });
    }
    // As a crash: its end is seen like any other, and its restarts apply.
    actor.killers.push({ from, call });
    this.#port.unplace(actor.id, actor.epoch, { kill: reason }, actor.worker.processId);
  }

  isKnown(id: ActorId): boolean {
    return this.#find(id) !== undefined;
  }

  isNamed(name: string, namespace: string): boolean {
    return this.#names.has(nameKey(name, namespace));
  }

  /** The actor's id and what a handle needs, as JSON. */
  byName(from: ProcessId, call: number, name: string, namespace: string): void {
    const actor = this.#actors.get(this.#names.get(nameKey(name, namespace))!);
    if (actor === undefined) {
      const message = `there is no actor named ${JSON.stringify(name)} in namespace ${JSON.stringify(namespace)}`;
      return this.#port.send(from, "answer", { call, failure: { code: "ACTOR_NOT_FOUND", message } });
    }
    actor.given++;
    this.#keep("actor", actor.id);
    const { id: actorId, className, options } = actor;
    this.#port.give(actorId, actor.given, from, "answer", { call, body: JSON.stringify({ actorId, className, options }) });
  }

  // ── from workers ─────────────────────────────────────────────────────────────────────────────

  started(from: ProcessId, body: Body<"actorStarted">, now: number): void {
    const actor = this.#incarnation(from, body.actorId, body.epoch);
    if (actor?.phase !== "starting") return;
    actor.phase = "alive";
    actor.startedAt = now;
    this.#keep("actor", actor.id);
    this.#publish(actor);
  }

  startFailed(from: ProcessId, body: Body<"actorStartFailed">): void {
    const actor = this.#incarnation(from, body.actorId, body.epoch);
    if (actor?.phase !== "starting" && actor?.phase !== "alive") return;
    const what = actor.phase === "starting" ? `the constructor of actor ${actor.className} failed` : `its state could not be saved`;
    this.#end(actor, { cause: "start-failed", message: what }, { gently: what }, { error: body.error }, from);
  }

  exit(from: ProcessId, body: Body<"actorExit">): void {
    const actor = this.#byWorker.get(from);
    if (actor === undefined || actor.id !== body.actorId || actor.worker?.processId !== from) return;
    this.#end(actor, ended("exited by exitActor()"), { gently: "its actor has exited" }, {}, from);
  }

  // ── from the machines beside ─────────────────────────────────────────────────────────────────

  placed(id: ActorId, epoch: number, placement: ActorPlacement): void {
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.epoch !== epoch || actor.phase !== "placing") {
      return this.#port.unplace(id, epoch, { gently: "its actor is over" }, placement.worker.processId);
    }
    actor.phase = "starting";
    actor.worker = placement.worker;
    actor.assigned = placement.assigned;
    actor.gpuIds = placement.gpuIds;
    this.#byWorker.set(placement.worker.processId, actor);
    this.#keep("actor", actor.id);
    this.#start(actor);
  }

  #start(actor: ActorRecord): void {
    const { functionId, definition, args, argPayloads, argRefs } = actor.creation!;
    this.#say(actor, actor.worker!.processId, "actorStart", {
      actorId: actor.id,
      epoch: actor.epoch,
      className: actor.className,
      functionId,
      definition,
      args,
      argPayloads,
      argRefs,
      options: actor.options,
      jobId: actor.jobId,
      assigned: actor.assigned,
      gpuIds: [...actor.gpuIds],
      children: childStrategy(actor.shape.strategy),
    });
  }

  unplaced(id: ActorId, epoch: number, failure: Failure, reason: DeathReason | undefined): void {
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.epoch !== epoch || actor.phase !== "placing") return;
    this.#die(actor, reason ?? { cause: "start-failed", message: failure.message }, { failure });
  }

  /** It is asked for elsewhere: an answer on its way, of a worker that is to end, is not for this incarnation. Undefined: it is over. */
  again(id: ActorId, epoch: number): ActorRequest | undefined {
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.epoch !== epoch || actor.phase !== "placing") return undefined;
    actor.epoch++;
    this.#keep("actor", id);
    return requestOf(actor);
  }

  /** No process holds it, and so none has a call open; after it was given to somebody so many times. */
  unheld(id: ActorId, given: number): void {
    const aliased = this.#aliases.get(id);
    if (aliased !== undefined) {
      this.#aliases.end(id);
      this.#actors.get(aliased)?.aliases.delete(id);
      return;
    }
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.phase === "dead" || actor.given !== given) return;
    this.#end(actor, ended("no handle to it was left"), { gently: "no handle to its actor was left" });
  }

  // ── nodes, where control is a process of its own ─────────────────────────────────────────────

  /** A node has joined again after control or its way to it was away, with these actors, and the logs of those. */
  rejoined(node: NodePrefix, living: readonly LivingActor[], now: number, journals: readonly ActorId[] = []): void {
    for (const id of journals) if (!this.#actors.has(id)) this.#port.over(id);
    const reported = new Set<ProcessId>();
    for (const { actorId, epoch, worker } of living) {
      const actor = this.#actors.get(actorId);
      // Its worker may not have got what it was sent; the node drops what it has had.
      if (actor?.epoch === epoch && actor.phase === "starting" && actor.worker?.processId === worker.processId) this.#start(actor);
      else if (actor?.epoch !== epoch || actor.phase !== "alive" || actor.worker?.processId !== worker.processId) {
        this.#port.unplace(actorId, epoch, { gently: "its actor is over" }, worker.processId);
        continue;
      }
      reported.add(worker.processId);
    }
    for (const worker of [...this.#byWorker.keys()]) {
      if (prefixOf(worker) !== node || reported.has(worker)) continue;
      this.workerLost(worker, { cause: "killed", message: "it was gone when its node joined again" }, now);
    }
    for (const actor of this.#actors.values()) if (actor.phase === "dead" && homeOf(actor.id) === node) this.#port.over(actor.id);
  }

  /**
   * What a home may not have heard of when control ended: how often each of its living actors was given to somebody, and as which
   * aliases. Of what it has heard it takes no notice.
   */
  givenAt(home: NodePrefix): Body<"actorsGiven">["actors"] {
    const living = [...this.#actors.values()].filter(({ id, phase, given }) => phase !== "dead" && given > 0 && homeOf(id) === home);
    return living.map(({ id: actorId, given, aliases }) => {
      const numbered = [...aliases.keys()].map((alias) => ({ alias, given: this.#aliases.givenOf(alias) }));
      return { actorId, given, aliases: numbered.sort((a, b) => a.given - b.given) };
    });
  }

  /** A node is gone with all its processes. Returns the jobs that ended with them. */
  nodeLost(node: NodePrefix, reason: DeathReason, now: number): JobId[] {
    for (const actor of this.#actors.values()) {
      // Who still holds it was known there only.
      const { detached, checkpoint } = actor.options;
      if (actor.phase === "dead" && homeOf(actor.id) === node) this.#toldByHome(actor);
      if (actor.phase === "dead" || homeOf(actor.id) !== node || (detached && checkpoint === undefined)) continue;
      const what = detached ? "the checkpoints and the log of" : "the record of who holds";
      const message = `${reason.message}, and with it ${what} actor ${actor.className}`;
      this.#end(actor, { cause: "node-died", message }, { kill: killed(message) });
    }
    for (const worker of [...this.#byWorker.keys()]) if (prefixOf(worker) === node) this.workerLost(worker, reason, now);
    const jobs = [...this.processesOf(node)].map((process) => this.processLost(process));
    return jobs.filter((jobId) => jobId !== undefined);
  }

  /** Whether this is where the incarnation is already. */
  isAt(id: ActorId, epoch: number, worker: ProcessId): boolean {
    return this.#incarnation(worker, id, epoch) !== undefined;
  }

  /** Whether it is known that a process has ended. */
  isGone(process: ProcessId): boolean {
    return this.#lost.has(process);
  }

  /** The nodes of all that is not over. */
  prefixes(): Set<NodePrefix> {
    const found = new Set<NodePrefix>();
    for (const process of [...this.#lastDeclared.keys(), ...this.#jobs.values(), ...this.#byWorker.keys()]) found.add(prefixOf(process));
    for (const { id, phase, options } of this.#actors.values()) {
      if (phase !== "dead" && (!options.detached || options.checkpoint !== undefined)) found.add(homeOf(id));
    }
    return found;
  }

  /** Processes of a node that control knows. */
  processesOf(node: NodePrefix): Set<ProcessId> {
    const found = new Set<ProcessId>();
    const look = (processes: Iterable<ProcessId>): void => {
      for (const process of processes) if (prefixOf(process) === node) found.add(process);
    };
    look(this.#lastDeclared.keys());
    look(this.#jobs.values());
    look(this.#byWorker.keys());
    for (const watchers of this.#awaited.values()) look(watchers);
    for (const { watchers, aliases, phase, creator } of this.#actors.values()) {
      look(watchers);
      for (const each of aliases.values()) look(each);
      if (phase === "declared") look([creator]);
    }
    return found;
  }

  /** The record of one of its tables as it is now; undefined when it is not there any more. */
  saved(table: TableName, key: string): Uint8Array | undefined {
    const id = key as ActorId;
    const actor = this.#actors.get(id);
    const process = key as ProcessId;
    switch (table) {
      case "actor":
        return actor && saved("actor", recordOf(actor, this.#dead.numberOf(id) ?? 0));
      case "creation":
        return actor?.creation && saved("creation", actor.creation);
      case "alias":
      case "pastAlias":
        return this.#aliases.saved(table, id);
      case "declared":
        return this.#lastDeclared.has(process) ? saved("declared", { last: this.#lastDeclared.get(process)! }) : undefined;
      case "gone": {
        const number = this.#lost.numberOf(process);
        return number === undefined ? undefined : saved("gone", { number });
      }
      default:
        throw new Error(`control keeps no table ${table}`);
    }
  }

  /** Into a new one: what was kept. Jobs are told by `driverJoined`. */
  restore(tables: SavedTables, now: number): void {
    const dead: [ActorId, number][] = [];
    for (const [key, record] of tables.read("actor")) {
      const id = key as ActorId;
      const creation = record.phase === "dead" ? undefined : tables.get("creation", key);
      const actor = fromRecord(id, record, creation, now);
      this.#actors.set(id, actor);
      if (actor.phase === "dead") dead.push([id, record.over]);
      else if (actor.options.name !== undefined) this.#names.set(nameKey(actor.options.name, actor.options.namespace), id);
      if (actor.worker !== undefined) this.#byWorker.set(actor.worker.processId, actor);
      if (actor.phase === "pausing") this.#pausing.add(actor);
    }
    this.#dead.restore(dead);
    this.#lost.restore([...tables.read("gone")].map(([key, { number }]) => [key as ProcessId, number]));
    for (const [key, { last }] of tables.read("declared")) this.#lastDeclared.set(key as ProcessId, last);
    this.#aliases.restore(tables);
    for (const [id, actorId] of this.#aliases) this.#actors.get(actorId)?.aliases.set(id, new Set());
    for (const actor of this.#actors.values()) if (actor.phase === "placing") this.#place(actor);
  }

  // ── time and questions ───────────────────────────────────────────────────────────────────────

  nextDeadline(): number | undefined {
    let at: number | undefined;
    for (const actor of this.#pausing) at = Math.min(at ?? Infinity, actor.resumeAt);
    return at;
  }

  tick(now: number): void {
    for (const actor of this.#pausing) if (actor.resumeAt <= now) this.#place(actor);
  }

  /** Actors in each phase, for listings and tests. */
  actors(): ListedActor[] {
    return [...this.#actors.values()].map(listed);
  }

  check(): void {
    checkActors({ actors: this.#actors, names: this.#names, byWorker: this.#byWorker, pausing: this.#pausing, dead: this.#dead });
    for (const [alias, id] of this.#aliases) {
      const actor = this.#actors.get(id);
      if (actor !== undefined && !actor.aliases.has(alias)) throw new Error(`alias ${alias} is not known to actor ${id}`);
    }
    if (this.#dead.size > DEAD_MAX) throw new Error(`${this.#dead.size} dead actors are kept`);
  }

  /** Whether its declaration may be under way: its maker lives, and has not declared a later one. */
  #mayCome(id: ActorId): boolean {
    const maker = makerOf(id);
    return this.#mayLive(maker) && !this.#lost.has(maker) && numberOf(id) > (this.#lastDeclared.get(maker) ?? -1);
  }

  #makerLost(process: ProcessId): void {
    this.#lost.add(process);
    this.#keep("gone", process);
    if (this.#lastDeclared.delete(process)) this.#keep("declared", process);
    for (const [id, watchers] of this.#awaited) {
      watchers.delete(process);
      if (makerOf(id) !== process) continue;
      this.#awaited.delete(id);
      for (const watcher of watchers) this.#port.send(watcher, "actorState", unknownState(id));
    }
  }

  #find(id: ActorId): ActorRecord | undefined {
    return this.#actors.get(this.#aliases.get(id) ?? id);
  }

  #incarnation(worker: ProcessId, id: ActorId, epoch: number): ActorRecord | undefined {
    const actor = this.#actors.get(id);
    return actor !== undefined && actor.epoch === epoch && actor.worker?.processId === worker ? actor : undefined;
  }

  #alias(from: ProcessId, id: ActorId, actor: ActorRecord): void {
    const given = ++actor.given;
    this.#aliases.add(id, { actorId: actor.id, given });
    actor.aliases.set(id, new Set([from]));
    this.#keep("actor", actor.id);
    this.#port.alias(actor.id, given, id);
    this.#tell(from, id, actor);
  }

  #place(actor: ActorRecord): void {
    this.#pausing.delete(actor);
    actor.phase = "placing";
    this.#keep("actor", actor.id);
    this.#port.place(requestOf(actor));
  }

  #incarnationLost(actor: ActorRecord, reason: DeathReason, now: number, worker: ProcessId): void {
    const { maxRestarts } = actor.options;
    const quick = actor.phase !== "alive" || now - actor.startedAt < QUICK_MS;
    actor.worker = undefined;
    this.#keep("actor", actor.id);
    if (maxRestarts >= 0 && actor.restarts >= maxRestarts) return this.#die(actor, reason, {}, worker);
    actor.restarts++;
    actor.epoch++;
    actor.reason = reason;
    actor.quickDeaths = quick ? actor.quickDeaths + 1 : 0;
    const pause = actor.quickDeaths <= 1 ? 0 : Math.min(PAUSE_MAX_MS, PAUSE_MIN_MS * 2 ** (actor.quickDeaths - 2));
    if (pause === 0) this.#place(actor);
    else {
      actor.phase = "pausing";
      actor.resumeAt = now + pause;
      this.#pausing.add(actor);
    }
    this.#publish(actor, worker);
  }

  /** It is over by someone's will: its worker ends too. */
  #end(
    actor: ActorRecord,
    reason: DeathReason,
    how: { kill: DeathReason } | { gently: string },
    why: { error?: Uint8Array } = {},
    after?: ProcessId,
  ): void {
    const { epoch } = actor;
    const worker = actor.worker?.processId;
    const placed = worker !== undefined || actor.phase === "placing";
    this.#die(actor, reason, why, after);
    if (placed) this.#port.unplace(actor.id, epoch, how, worker);
  }

  #die(actor: ActorRecord, reason: DeathReason, why: { error?: Uint8Array; failure?: Failure } = {}, after?: ProcessId): void {
    const { options } = actor;
    if (actor.worker !== undefined) this.#byWorker.delete(actor.worker.processId);
    this.#pausing.delete(actor);
    actor.phase = "dead";
    actor.worker = undefined;
    actor.creation = undefined;
    actor.reason = reason;
    actor.error = why.error;
    actor.failure = why.failure;
    const named = options.name !== undefined && this.#names.get(nameKey(options.name, options.namespace)) === actor.id;
    if (named) this.#names.delete(nameKey(options.name!, options.namespace));
    this.#publish(actor, after);
    this.#port.over(actor.id);
    if (options.checkpoint === undefined) actor.watchers.clear();
    this.#keep("creation", actor.id);
    this.#keep("actor", actor.id);
    this.#dead.add(actor.id);
  }

  #jobEnded(jobId: JobId): void {
    this.#jobs.delete(jobId);
    for (const actor of this.#actors.values()) {
      if (actor.jobId !== jobId || actor.phase === "dead" || actor.options.detached) continue;
      const reason = killed(`job ${jobId}, which made it, has ended`);
      this.#end(actor, reason, { kill: reason });
    }
  }

  /** `after`: behind what this worker of it, which is gone, had said. */
  #publish(actor: ActorRecord, after?: ProcessId): void {
    for (const watcher of actor.watchers) this.#tell(watcher, actor.id, actor, after);
    for (const [alias, watchers] of actor.aliases) for (const watcher of watchers) this.#tell(watcher, alias, actor, after);
    if (actor.worker === undefined)
      for (const { from, call } of actor.killers.splice(0)) this.#port.send(from, "answer", { call, body: "{}" });
  }

  /** Its home is gone, and maybe before it could tell those who wanted to know that the actor is dead. */
  #toldByHome(actor: ActorRecord): void {
    this.#publish(actor);
    for (const watchers of [actor.watchers, ...actor.aliases.values()]) watchers.clear();
  }

  #tell(to: ProcessId, id: ActorId, actor: ActorRecord, after?: ProcessId): void {
    const actualId = id === actor.id ? undefined : actor.id;
    this.#say(actor, to, "actorState", { actorId: id, status: statusOf(actor), className: actor.className, actualId }, after);
  }

  #say<N extends MessageName>(actor: ActorRecord, to: ProcessId, name: N, body: Body<N>, after?: ProcessId): void {
    if (actor.options.checkpoint === undefined || this.#port.news === undefined) return this.#port.send(to, name, body);
    // Of one that is over nothing is logged any more.
    this.#port.news(actor.id, actor.phase === "dead" ? actor.epoch + 1 : actor.epoch, after, to, name, body);
  }
}
