/**
 * The simulated daemon: the node's machines wired to each other as in production, its connections, its worker processes, and its
 * clock. Every event ends with a check of all machines.
 */
import type { Control, ControlPort } from "../src/core/control/control.ts";
import type { GroupQuestion, NodeMachine } from "../src/core/node/node.ts";
import type { NodeConfig } from "../src/core/node/state.ts";
import { creationRefs, creditedRefs } from "../src/core/refs/creation.ts";
import { restoredRefs } from "../src/core/journals.ts";
import type { Journals } from "../src/core/journals.ts";
import { replyParcel } from "../src/protocol/direct.ts";
import type { RefTable } from "../src/core/refs/refs.ts";
import type { ActorId, JobId, NodeId, ObjectId, ProcessId } from "../src/protocol/ids.ts";
import type { Body, DeathReason, MessageName } from "../src/protocol/messages.ts";
import type { Timer } from "./clock.ts";
import type { ConnectionHandler, End } from "./network.ts";
import type { SimProcess } from "./process.ts";
import { amounts } from "./program.ts";
import type { Rng } from "./rng.ts";
import { SimStore } from "./store.ts";
import { SimWorker } from "./worker.ts";
import type { World } from "./world.ts";

const alone = (): never => {
  throw new Error("there is no other node");
};
/** The job whose worker processes these are. */
export const JOB = "job0" as JobId;
/** Holds what is in the journals. */
const JOURNALS = "journals" as ProcessId;
type SimMachineSend = ControlPort["send"];
const MUTE_US = 2_000_000;
const NODE = "aaaaaa00000f" as NodeId;

interface Child {
  readonly process: SimProcess;
  worker: SimWorker | undefined;
  registered: boolean;
  exited: boolean;
  killedFor: DeathReason | undefined;
}

interface Peer {
  readonly id: ProcessId;
  readonly end: End;
  readonly role: "driver" | "worker";
}

export class SimNode {
  readonly world: World;
  readonly process: SimProcess;
  readonly node: NodeMachine;
  readonly control: Control;
  readonly refs: RefTable;
  readonly journals: Journals;
  readonly store: SimStore;
  readonly #rng: Rng;
  readonly #peers = new Map<ProcessId, Peer>();
  readonly #children = new Map<ProcessId, Child>();
  readonly #exits = new Map<ProcessId, DeathReason>();
  readonly #made = new Set<string>();
  readonly #later: (() => void)[] = [];
  #running = false;
  #timer: Timer | undefined;
  /** Nothing is done to new workers any more. */
  calm = false;
  /** Processes at a time, at most. */
  childrenMost = 0;

  constructor(world: World) {
    this.world = world;
    this.process = world.process("node00000000" as ProcessId);
    this.#rng = world.rng.fork("node");
    const { cpus, gpus, workers, softCap } = world.config;
    const total = amounts({ CPU: cpus, GPU: gpus, special: 2 });
    const config: NodeConfig = {
      nodeId: NODE,
      total,
      labels: { zone: "a" },
      workers,
      idleTimeoutMs: 300,
      registerTimeoutMs: 2000,
      poolSoftCap: softCap,
    };
    const later = (event: () => void): void => void this.#later.push(event);
    const send = <N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void => this.#peers.get(to)?.end.send(name, body);
    this.refs = world.plant.refs({
      send,
      freeStored: (id) => later(() => this.store.free(id)),
      actorUnheld: (id, given) => later(() => this.control.unheld(id, given)),
      actorAlone: (id, holder) => {
        if (this.node.runsActor(holder, id)) send(holder, "actorAlone", { actorId: id });
      },
      tell: alone,
      relayCame: alone,
    });
    this.journals = this.#makeJournals(send);
    this.control = world.plant.control({
      send: (to, name, body) => {
        if (name === "actorStart") this.#actorStarts(to, body as Body<"actorStart">, send);
        else send(to, name, body);
      },
      place: (request) => later(() => this.node.placeActor(request, this.now)),
      unplace: (actorId, epoch, end) => later(() => this.node.unplaceActor(actorId, epoch, end, this.now)),
      over: (id) => {
        this.journals.over(id);
        this.refs.actorOver(id);
      },
      give: (id, given, to, name, body) => {
        this.refs.give(id, given, to);
        send(to, name, body);
      },
      alias: (id, given, alias) => this.refs.alias(alias, id, given),
    });
    this.node = world.plant.node(config, {
      send,
      spawnWorker: (id, envVars) => this.#spawn(id, envVars),
      prepareEnvironment: (environment) => this.#prepare(environment),
      releaseEnvironment: (environment) => {
        if (!this.#made.delete(environment)) throw new Error(`environment ${environment} is let go, and was not made`);
      },
      killWorker: (id, reason) => this.#kill(id, reason),
      actorPlaced: (actor, epoch, placement) => later(() => this.control.placed(actor, epoch, placement)),
      actorUnplaced: (actor, epoch, failure, reason) => later(() => this.control.unplaced(actor, epoch, failure, reason)),
      bundlesPrepared: () => {},
    });
    this.store = new SimStore({
      send,
      sealed: ({ id, holder, size, contains }) => this.refs.sealed(id, holder, size, contains),
      lost: (id, reason) => later(() => this.refs.objectLost(id, reason)),
    });
    this.process.post(() => this.event(() => this.node.prestart([], this.now)));
    this.#tickStore();
  }

  #makeJournals(send: SimMachineSend): Journals {
    return this.world.plant.journals({
      send: (to, name, body) => {
        if (name === "actorAnswer") for (const id of replyParcel((body as Body<"actorAnswer">).answer)) this.refs.add(id, to);
        send(to, name, body);
      },
      hold: (ids) => ids.forEach((id) => this.refs.add(id, JOURNALS)),
      release: (ids) => ids.forEach((id) => this.refs.drop(JOURNALS, { id, count: 1 })),
      copy: alone,
    });
  }

  #actorIdle(worker: ProcessId, id: ActorId): void {
    const given = this.refs.aloneWith(id, worker);
    if (given !== undefined && this.node.runsActor(worker, id)) this.control.unheld(id, given);
  }

  #actorStarts(worker: ProcessId, start: Body<"actorStart">, send: SimMachineSend): void {
    const { actorId, epoch, options } = start;
    for (const id of creditedRefs(start)) this.refs.add(id, worker);
    const restore = options.checkpoint && this.journals.begin(actorId, epoch, worker);
    for (const id of restoredRefs(restore)) this.refs.add(id, worker);
    send(worker, "actorStart", { ...start, restore });
  }

  get now(): number {
    return this.world.clock.ms;
  }

  get children(): readonly SimProcess[] {
    return [...this.#children.values()].filter(({ exited }) => !exited).map(({ process }) => process);
  }

  /** A process connects: it says hello first. */
  accept(end: End): ConnectionHandler {
    let peer: Peer | undefined;
    return {
      message: (name, body) => {
        if (peer) this.event(() => this.#message(peer!, name, body));
        else peer = this.#hello(end, name, body);
      },
      closed: () => {
        if (peer) this.#closed(peer);
      },
    };
  }

  /** An event, and everything that follows from it between the machines. */
  event(event: () => void): void {
    this.#later.push(event);
    if (this.#running) return;
    this.#running = true;
    for (let next = this.#later.shift(); next !== undefined; next = this.#later.shift()) next();
    this.#running = false;
    this.node.check(this.now);
    this.control.check();
    this.refs.check();
    this.journals.check();
    this.#arm();
  }

  loseObject(id: ObjectId): void {
    this.event(() => this.store.lose(id));
  }

  #hello(end: End, name: MessageName, body: unknown): Peer | undefined {
    const { processId } = body as Body<"workerHello">;
    const role = name === "driverHello" ? "driver" : "worker";
    if (role === "worker") {
      const child = this.#children.get(processId);
      if (child === undefined || child.exited) {
        end.close();
        return undefined;
      }
      child.registered = true;
    }
    const jobId = role === "driver" ? (body as Body<"driverHello">).jobId : JOB;
    const peer: Peer = { id: processId, end, role };
    this.#peers.set(processId, peer);
    end.send("welcome", { nodeId: NODE, jobId, namespace: "sim", memory: {}, total: { ...this.node.total } });
    this.event(() => {
      if (role === "worker") {
        if (!this.node.workerJoined(body as Body<"workerHello">, this.now)) this.#closeLater(peer);
        return;
      }
      this.node.driverJoined(processId, jobId);
      this.control.driverJoined(processId, jobId);
    });
    return peer;
  }

  #closeLater(peer: Peer): void {
    this.process.post(() => {
      peer.end.close();
      this.#closed(peer);
    });
  }

  #message(peer: Peer, name: MessageName, message: unknown): void {
    const { node, refs, store, now } = this;
    const from = peer.id;
    const body = message as never;
    switch (name) {
      case "leaseRequest":
        return node.leaseRequest(from, body, now);
      case "leaseCancel":
        return node.leaseCancel(from, body, now);
      case "leaseReturn":
        return node.leaseReturn(from, body, now);
      case "taskBlocked":
        return node.taskBlocked(from, body, now);
      case "taskUnblocked":
        return node.taskUnblocked(from, body, now);
      case "killProcess":
        return node.killProcess(from, body, now);
      case "workerOwns":
        return node.workerOwns(from, body, now);
      case "spareAnswer":
        return node.spareAnswer(from, body, now);
      case "leaseOver":
        return node.leaseOver(from, body, now);
      case "exitDeclined":
        return node.exitDeclined(from, now);
      case "objectEscape":
        return refs.escape(from, body);
      case "objectSettle":
        return refs.settle(body);
      case "objectResult":
        return refs.result(body);
      case "refAdd":
        return refs.add((message as Body<"refAdd">).id, from);
      case "refDrop":
        return refs.drop(from, body);
      case "refSent":
        return refs.sent(from, body);
      case "refCame":
        return refs.came(from, body);
      case "objectFetch":
        return refs.fetch(from, body);
      case "objectFetchCancel":
        return refs.fetchCancel(from, body);
      case "objectCancel":
        return refs.cancel(body);
      case "ask":
        return this.#ask(peer, message as Body<"ask">);
      case "storeSealed":
        return store.sealed(from, message as Body<"storeSealed">);
      case "storePin":
        return store.pin(from, body, now);
      case "storeUnpin":
        return;
      default:
        return this.#actorMessage(from, name, message);
    }
  }

  #actorMessage(from: ProcessId, name: MessageName, message: unknown): void {
    const { control, refs, now } = this;
    const body = message as never;
    switch (name) {
      case "actorDeclare":
        refs.declared((message as Body<"actorDeclare">).actorId, from, (message as Body<"actorDeclare">).options.detached);
        return control.declare(from, body);
      case "actorCreate":
        refs.created((message as Body<"actorCreate">).actorId, creationRefs(message as Body<"actorCreate">));
        return control.create(from, body);
      case "actorAbandon":
        return control.abandon(from, body);
      case "actorWatch":
        return control.watch(from, body);
      case "actorStarted":
        return control.started(from, body, now);
      case "actorStartFailed":
        return control.startFailed(from, body);
      case "actorExit":
        return control.exit(from, body);
      case "actorIdle":
        return this.#actorIdle(from, (message as Body<"actorIdle">).actorId);
      case "actorLog":
        return this.journals.log(from, body);
      case "actorCheckpoint":
        return this.journals.checkpoint(from, body);
      default:
        throw new Error(`the node is sent ${name}`);
    }
  }

  #ask({ id, end }: Peer, { call, question }: Body<"ask">): void {
    switch (question.kind) {
      case "actorByName":
        return this.control.byName(id, call, question.name, question.namespace);
      case "actorKill":
        return this.control.kill(id, call, question);
      case "groupCreate":
      case "groupReady":
      case "groupRemove":
      case "groupByName":
        return this.node.askGroup(id, call, question satisfies GroupQuestion, this.now);
      default:
        return end.send("answer", { call, body: JSON.stringify(this.node.free) });
    }
  }

  #closed(peer: Peer): void {
    if (this.#peers.get(peer.id) !== peer) return;
    this.#peers.delete(peer.id);
    if (peer.role === "driver") return this.event(() => this.#clientLost(peer.id));
    const exit = this.#exits.get(peer.id);
    if (exit !== undefined) return this.#workerLost(peer.id, exit);
    const message = "it closed its connection to the node and did not end";
    this.process.after(MUTE_US, () => this.#kill(peer.id, { cause: "killed", message }));
  }

  #exited(child: Child): void {
    const { id } = child.process;
    const reason = deathOf(child);
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#workerLost(id, reason);
    this.#exits.set(id, reason);
    this.process.after(MUTE_US, () => {
      if (this.#peers.get(id) !== peer) return;
      peer.end.close();
      this.#closed(peer);
    });
  }

  #workerLost(id: ProcessId, reason: DeathReason): void {
    this.#exits.delete(id);
    this.#children.delete(id);
    this.event(() => {
      this.control.workerLost(id, reason, this.now);
      this.node.workerLost(id, reason, this.now);
      this.#clientLost(id);
    });
  }

  #clientLost(id: ProcessId): void {
    for (const body of this.world.memory.seals.get(id) ?? []) this.store.sealed(id, body);
    this.node.ownerLost(id, this.now);
    this.refs.processLost(id);
    const job = this.control.processLost(id);
    if (job !== undefined) this.node.jobEnded(job, this.now);
  }

  // ── worker processes ────────────────────────────────────────────────────────────────────────

  #prepare(environment: string): void {
    if (this.#made.has(environment)) throw new Error(`environment ${environment} is made twice`);
    this.process.after(this.#rng.int(10, this.calm ? 100_000 : 3_000_000), () => {
      this.#made.add(environment);
      this.event(() => this.node.environmentMade(environment, this.now));
    });
  }

  #spawn(id: ProcessId, env: Readonly<Record<string, string>>): void {
    const { world } = this;
    const { startFails, startSlow, startUs } = world.config;
    const process = world.process(id);
    const child: Child = { process, worker: undefined, registered: false, exited: false, killedFor: undefined };
    this.#children.set(id, child);
    this.childrenMost = Math.max(this.childrenMost, this.#children.size);
    world.trace.text(`spawn ${id}`);
    const { onDeath } = process;
    process.onDeath = (abrupt) => {
      onDeath(abrupt);
      world.history.processDied(id);
      world.clock.after(this.#rng.int(50, 5000), () => {
        child.exited = true;
        this.process.post(() => this.#exited(child));
      });
    };
    const broken = env.KIND === "broken" || (!this.calm && this.#rng.chance(startFails));
    const slow = !this.calm && this.#rng.chance(startSlow);
    const delay = slow ? this.#rng.int(100_000, 2_500_000) : this.#rng.int(startUs / 4, startUs);
    process.after(delay, () => {
      if (broken) return process.die(false);
      const worker = new SimWorker(world, process, JOB);
      child.worker = worker;
      world.workers.set(id, worker);
      const end = world.network.connect(process, this.process, (far) => this.accept(far));
      end.handler = {
        message: (name, body) => worker.client.message(name, body),
        batchEnd: () => worker.client.batchEnd(),
        closed: () => process.die(false),
      };
      worker.client.node = end;
      end.send("workerHello", { processId: id, pid: 1, socket: id });
    });
  }

  #kill(id: ProcessId, reason: DeathReason): void {
    const child = this.#children.get(id);
    if (child === undefined) return;
    if (!child.exited) child.killedFor ??= reason;
    this.world.clock.after(this.#rng.int(20, 1000), () => child.process.die(false));
  }

  // ── time ────────────────────────────────────────────────────────────────────────────────────

  #arm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const at = Math.min(this.node.nextDeadline() ?? Infinity, this.control.nextDeadline() ?? Infinity);
    if (at === Infinity) return;
    const wait = Math.max(0, Math.ceil(at - this.now));
    this.#timer = this.process.after(wait * 1000, () =>
      this.event(() => {
        this.node.tick(this.now);
        this.control.tick(this.now);
      }),
    );
  }

  #tickStore(): void {
    this.process.after(200_000, () => {
      this.store.tick(this.now);
      this.#tickStore();
    });
  }
}

function deathOf({ killedFor, registered, worker }: Child): DeathReason {
  if (killedFor !== undefined) return killedFor;
  if (!registered) return { cause: "start-failed", message: "it exited with code 1 before it was ready", exitCode: 1 };
  if (worker?.exitCode !== undefined) return { cause: "exit", message: "it exited", exitCode: worker.exitCode };
  return { cause: "signal", message: "it was killed by signal SIGKILL", signal: "SIGKILL" };
}
