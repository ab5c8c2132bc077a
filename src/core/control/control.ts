/**
 * Control: the directory of actors, their names and their life, and the jobs. It says when an actor is placed, started,
 * started again and over; where it runs is the node machine's choice, and who holds it the RefTable's knowledge.
 */
import type { ActorId, JobId, ProcessId } from "../../protocol/ids.ts";
import { makerOf } from "../../protocol/ids.ts";
import type { Body, DeathReason, Failure, MessageName } from "../../protocol/messages.ts";
import { childStrategy } from "../children.ts";
import type { ActorRequest } from "../node/admission.ts";
import type { ActorPlacement } from "../node/state.ts";
import { newActor, statusOf } from "./actor.ts";
import type { ActorRecord } from "./actor.ts";

export interface ControlPort {
  send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void;
  /** To the node machine: `placeActor` and `unplaceActor`. */
  place(request: ActorRequest): void;
  unplace(actorId: ActorId, epoch: number, end: { kill: DeathReason } | { gently: string }): void;
  // To the actor's home, which is where its references are counted (src/core/refs):
  /** It does not start again: what it was made from is not needed any more. */
  over(id: ActorId): void;
  /** A process that asked for it by name holds it from now on, and gets this message. */
  give<N extends MessageName>(id: ActorId, to: ProcessId, name: N, body: Body<N>): void;
  /** `alias` was declared and means it: who holds the one holds the other. */
  alias(id: ActorId, alias: ActorId): void;
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
  /** Declared ids that mean an actor declared before under the same name. */
  readonly #aliases = new Map<ActorId, ActorId>();
  /** Aliases that nobody holds any more: a late repeat of their declaration must not make an actor (sim seed 46). */
  readonly #pastAliases = new Set<ActorId>();
  /** Actors that somebody has a handle to and whose declaration is still under way, and who asked for them (sim seed 911). */
  readonly #awaited = new Map<ActorId, Set<ProcessId>>();
  /** The number of the last actor that each process has declared. */
  readonly #lastDeclared = new Map<ProcessId, number>();
  readonly #lost = new Set<ProcessId>();
  readonly #names = new Map<string, ActorId>();
  readonly #byWorker = new Map<ProcessId, ActorRecord>();
  /** Oldest first. */
  readonly #dead = new Set<ActorId>();
  readonly #pausing = new Set<ActorRecord>();
  readonly #jobs = new Map<JobId, ProcessId>();

  constructor(port: ControlPort) {
    this.#port = port;
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
    this.#incarnationLost(actor, reason, now);
  }

  // ── from owners ──────────────────────────────────────────────────────────────────────────────

  declare(from: ProcessId, body: Body<"actorDeclare">): void {
    this.#declare(from, body);
    this.#lastDeclared.set(from, Math.max(this.#lastDeclared.get(from) ?? -1, numberOf(body.actorId) || 0));
    const awaiting = this.#awaited.get(body.actorId);
    this.#awaited.delete(body.actorId);
    for (const watcher of awaiting ?? []) this.watch(watcher, body);
  }

  #declare(from: ProcessId, body: Body<"actorDeclare">): void {
    if (this.#actors.has(body.actorId) || this.#aliases.has(body.actorId) || this.#pastAliases.has(body.actorId)) return;
    const actor = newActor(from, body);
    const { name, namespace } = body.options;
    const key = name === undefined ? undefined : nameKey(name, namespace);
    const holder = key === undefined ? undefined : this.#actors.get(this.#names.get(key)!);
    if (holder !== undefined && body.options.getIfExists) return this.#alias(from, body.actorId, holder);
    this.#actors.set(actor.id, actor);
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
    this.#place(actor);
  }

  abandon(from: ProcessId, body: Body<"actorAbandon">): void {
    const actor = this.#actors.get(body.actorId);
    if (actor === undefined || actor.phase !== "declared" || actor.creator !== from) return;
    this.#die(actor, { cause: "start-failed", message: `an argument of actor ${actor.className} failed` }, { error: body.error });
  }

  watch(from: ProcessId, body: Body<"actorWatch">): void {
    const { actorId } = body;
    const actor = this.#find(actorId);
    if (actor === undefined) {
      if (!this.#mayCome(actorId)) return this.#tellUnknown(from, actorId);
      const awaiting = this.#awaited.get(actorId);
      if (awaiting) awaiting.add(from);
      else this.#awaited.set(actorId, new Set([from]));
      return;
    }
    // Of a dead one there will be no more news.
    if (actor.phase === "dead") return this.#tell(from, actorId, actor);
    if (actor.id === actorId) actor.watchers.add(from);
    else actor.aliases.get(actorId)?.add(from);
    this.#tell(from, actorId, actor);
  }

  kill(body: Body<"actorKill">): void {
    const actor = this.#find(body.actorId);
    if (actor === undefined || actor.phase === "dead") return;
    const reason = killed("it was ended by kill()");
    if (body.noRestart) return this.#end(actor, reason, { kill: reason });
    // As a crash: its end is seen like any other, and its restarts apply.
    if (actor.worker !== undefined) this.#port.unplace(actor.id, actor.epoch, { kill: reason });
  }

  /** The actor's id and what a handle needs, as JSON. */
  byName(from: ProcessId, call: number, name: string, namespace: string): void {
    const actor = this.#actors.get(this.#names.get(nameKey(name, namespace))!);
    if (actor === undefined) {
      const message = `there is no actor named ${JSON.stringify(name)} in namespace ${JSON.stringify(namespace)}`;
      return this.#port.send(from, "answer", { call, failure: { code: "ACTOR_NOT_FOUND", message } });
    }
    actor.given++;
    const { id: actorId, className, options } = actor;
    this.#port.give(actorId, from, "answer", { call, body: JSON.stringify({ actorId, className, options }) });
  }

  // ── from workers ─────────────────────────────────────────────────────────────────────────────

  started(from: ProcessId, body: Body<"actorStarted">, now: number): void {
    const actor = this.#incarnation(from, body.actorId, body.epoch);
    if (actor?.phase !== "starting") return;
    actor.phase = "alive";
    actor.startedAt = now;
    this.#publish(actor);
  }

  startFailed(from: ProcessId, body: Body<"actorStartFailed">): void {
    const actor = this.#incarnation(from, body.actorId, body.epoch);
    if (actor?.phase !== "starting") return;
    const reason: DeathReason = { cause: "start-failed", message: `the constructor of actor ${actor.className} failed` };
    this.#end(actor, reason, { gently: "its actor's constructor failed" }, { error: body.error });
  }

  exit(from: ProcessId, body: Body<"actorExit">): void {
    const actor = this.#byWorker.get(from);
    if (actor === undefined || actor.id !== body.actorId || actor.worker?.processId !== from) return;
    this.#end(actor, ended("exited by exitActor()"), { gently: "its actor has exited" });
  }

  // ── from the machines beside ─────────────────────────────────────────────────────────────────

  placed(id: ActorId, epoch: number, placement: ActorPlacement): void {
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.epoch !== epoch || actor.phase !== "placing") {
      return this.#port.unplace(id, epoch, { gently: "its actor is over" });
    }
    actor.phase = "starting";
    actor.worker = placement.worker;
    this.#byWorker.set(placement.worker.processId, actor);
    const { functionId, definition, args, argPayloads, argRefs } = actor.creation!;
    this.#port.send(placement.worker.processId, "actorStart", {
      actorId: id,
      epoch,
      className: actor.className,
      functionId,
      definition,
      args,
      argPayloads,
      argRefs,
      options: actor.options,
      jobId: actor.jobId,
      assigned: placement.assigned,
      gpuIds: placement.gpuIds,
      children: childStrategy(actor.shape.strategy),
    });
  }

  unplaced(id: ActorId, epoch: number, failure: Failure, reason: DeathReason | undefined): void {
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.epoch !== epoch || actor.phase !== "placing") return;
    this.#die(actor, reason ?? { cause: "start-failed", message: failure.message }, { failure });
  }

  /** No process holds it, and so none has a call open; after it was given to somebody so many times. */
  unheld(id: ActorId, given: number): void {
    const aliased = this.#aliases.get(id);
    if (aliased !== undefined) {
      this.#aliases.delete(id);
      this.#pastAliases.add(id);
      if (this.#pastAliases.size > DEAD_MAX) this.#pastAliases.delete(this.#pastAliases.values().next().value as ActorId);
      this.#actors.get(aliased)?.aliases.delete(id);
      return;
    }
    const actor = this.#actors.get(id);
    if (actor === undefined || actor.phase === "dead" || actor.given !== given) return;
    this.#end(actor, ended("no handle to it was left"), { gently: "no handle to its actor was left" });
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
  actors(): {
    id: ActorId;
    className: string;
    phase: ActorRecord["phase"];
    epoch: number;
    name: string | undefined;
    worker: ProcessId | undefined;
  }[] {
    return [...this.#actors.values()].map(({ id, className, phase, epoch, options, worker }) => ({
      id,
      className,
      phase,
      epoch,
      name: options.name,
      worker: worker?.processId,
    }));
  }

  check(): void {
    for (const [key, id] of this.#names) {
      const actor = this.#actors.get(id);
      if (actor === undefined || actor.phase === "dead") throw new Error(`the name ${key} is that of an actor that is over`);
    }
    for (const [worker, actor] of this.#byWorker) {
      if (actor.phase !== "dead" && actor.worker?.processId !== worker) throw new Error(`actor ${actor.id} is not on ${worker}`);
    }
    for (const actor of this.#actors.values()) {
      const placed = actor.phase === "starting" || actor.phase === "alive";
      if (placed !== (actor.worker !== undefined)) throw new Error(`actor ${actor.id} is ${actor.phase} and its worker is not so`);
      if (placed && this.#byWorker.get(actor.worker!.processId) !== actor) throw new Error(`actor ${actor.id} is not found by its worker`);
      if ((actor.phase === "pausing") !== this.#pausing.has(actor))
        throw new Error(`actor ${actor.id} is ${actor.phase} and paused otherwise`);
      if ((actor.phase === "dead") !== this.#dead.has(actor.id))
        throw new Error(`actor ${actor.id} is ${actor.phase} and listed otherwise`);
      if (actor.phase === "dead" && (actor.creation !== undefined || actor.reason === undefined)) {
        throw new Error(`actor ${actor.id} is dead and keeps what it was made from, or no reason`);
      }
    }
    for (const [alias, id] of this.#aliases) {
      const actor = this.#actors.get(id);
      if (actor !== undefined && !actor.aliases.has(alias)) throw new Error(`alias ${alias} is not known to actor ${id}`);
    }
    if (this.#dead.size > DEAD_MAX) throw new Error(`${this.#dead.size} dead actors are kept`);
  }

  /** Whether its declaration may be under way: its maker lives, and has not declared a later one. */
  #mayCome(id: ActorId): boolean {
    const maker = makerOf(id);
    return !this.#lost.has(maker) && numberOf(id) > (this.#lastDeclared.get(maker) ?? -1);
  }

  #makerLost(process: ProcessId): void {
    this.#lost.add(process);
    if (this.#lost.size > DEAD_MAX) this.#lost.delete(this.#lost.values().next().value as ProcessId);
    this.#lastDeclared.delete(process);
    for (const [id, watchers] of this.#awaited) {
      watchers.delete(process);
      if (makerOf(id) !== process) continue;
      this.#awaited.delete(id);
      for (const watcher of watchers) this.#tellUnknown(watcher, id);
    }
  }

  #tellUnknown(to: ProcessId, actorId: ActorId): void {
    const message = `actor ${actorId} is not known: it ended long ago, or was never made`;
    const failure: Failure = { code: "ACTOR_NOT_FOUND", message };
    const status = { kind: "dead", epoch: 0, reason: ended(message), failure } as const;
    this.#port.send(to, "actorState", { actorId, className: "", status });
  }

  #find(id: ActorId): ActorRecord | undefined {
    return this.#actors.get(this.#aliases.get(id) ?? id);
  }

  #incarnation(worker: ProcessId, id: ActorId, epoch: number): ActorRecord | undefined {
    const actor = this.#actors.get(id);
    return actor !== undefined && actor.epoch === epoch && actor.worker?.processId === worker ? actor : undefined;
  }

  #alias(from: ProcessId, id: ActorId, actor: ActorRecord): void {
    this.#aliases.set(id, actor.id);
    actor.aliases.set(id, new Set([from]));
    actor.given++;
    this.#port.alias(actor.id, id);
    this.#tell(from, id, actor);
  }

  #place(actor: ActorRecord): void {
    this.#pausing.delete(actor);
    actor.phase = "placing";
    const { id: actorId, epoch, jobId, creator: owner, className, shape, options } = actor;
    this.#port.place({
      actorId,
      epoch,
      jobId,
      owner,
      className,
      shape,
      resources: options.resources,
      placementResources: options.placementResources,
    });
  }

  #incarnationLost(actor: ActorRecord, reason: DeathReason, now: number): void {
    const { maxRestarts } = actor.options;
    const quick = actor.phase !== "alive" || now - actor.startedAt < QUICK_MS;
    actor.worker = undefined;
    if (maxRestarts >= 0 && actor.restarts >= maxRestarts) return this.#die(actor, reason);
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
    this.#publish(actor);
  }

  /** It is over by someone's will: its worker ends too. */
  #end(actor: ActorRecord, reason: DeathReason, how: { kill: DeathReason } | { gently: string }, why: { error?: Uint8Array } = {}): void {
    const { epoch } = actor;
    const placed = actor.worker !== undefined || actor.phase === "placing";
    this.#die(actor, reason, why);
    if (placed) this.#port.unplace(actor.id, epoch, how);
  }

  #die(actor: ActorRecord, reason: DeathReason, why: { error?: Uint8Array; failure?: Failure } = {}): void {
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
    this.#port.over(actor.id);
    this.#publish(actor);
    actor.watchers.clear();
    this.#dead.add(actor.id);
    if (this.#dead.size <= DEAD_MAX) return;
    const oldest = this.#dead.values().next().value as ActorId;
    this.#dead.delete(oldest);
    this.#actors.delete(oldest);
  }

  #jobEnded(jobId: JobId): void {
    this.#jobs.delete(jobId);
    for (const actor of this.#actors.values()) {
      if (actor.jobId !== jobId || actor.phase === "dead" || actor.options.detached) continue;
      const reason = killed(`job ${jobId}, which made it, has ended`);
      this.#end(actor, reason, { kill: reason });
    }
  }

  #publish(actor: ActorRecord): void {
    for (const watcher of actor.watchers) this.#tell(watcher, actor.id, actor);
    for (const [alias, watchers] of actor.aliases) for (const watcher of watchers) this.#tell(watcher, alias, actor);
  }

  #tell(to: ProcessId, id: ActorId, actor: ActorRecord): void {
    const actualId = id === actor.id ? undefined : actor.id;
    this.#port.send(to, "actorState", { actorId: id, status: statusOf(actor), className: actor.className, actualId });
  }
}

const nameKey = (name: string, namespace: string): string => `${namespace}\0${name}`;

/** The number in an actor's id; those of one process are declared in order. NaN, which comes after nothing, for what is no such id. */
const numberOf = (id: ActorId): number => Number.parseInt(/^[0-9a-f]{12}-([0-9a-z]+)-a$/.exec(id)?.[1] ?? "", 36);
