/**
 * The machines of a node, wired to each other. Where the node is the whole cluster it has control as well, else that is reached by
 * `ClusterSide`. A machine's port may not call back into it, so what one machine asks of another is put off until the one that runs now is
 * done; `run` is the way in for every event.
 */
import { Control } from "../../core/control/control.ts";
import { Journals, loggedRefs, restoredRefs, stateRefs } from "../../core/journals.ts";
import type { JournalPort } from "../../core/journals.ts";
import { NodeMachine } from "../../core/node/node.ts";
import type { NodeConfig } from "../../core/node/state.ts";
import { creditedRefs } from "../../core/refs/creation.ts";
import { RefTable } from "../../core/refs/refs.ts";
import type { RefPort } from "../../core/refs/refs.ts";
import type { RefId } from "../../core/refs/record.ts";
import { replyParcel } from "../../protocol/direct.ts";
import { homeOf, prefixOf, taskId } from "../../protocol/ids.ts";
import type { ActorId, NodePrefix, ObjectId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { Body, DeathReason, MessageName } from "../../protocol/messages.ts";
import { codeOf, decodeBody } from "../../protocol/wire.ts";
import type { OfLog, Router } from "../cluster/router.ts";

export interface MachineWorld {
  send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void;
  spawnWorker(id: ProcessId, envVars: Readonly<Record<string, string>>, environment: string | undefined): void;
  prepareEnvironment(environment: string): void;
  releaseEnvironment(environment: string): void;
  killWorker(id: ProcessId, reason: DeathReason): void;
  freeStored(id: ObjectId): void;
  /** The bytes of this object are to lie here, as the primary. Answers by an event of its own: undefined, or why they will not. */
  keepHere(id: ObjectId, answer: (why: string | undefined) => void): void;
}

/** The methods of control that nodes use, wherever it is. */
export type ControlSide = Pick<
  Control,
  | "declare"
  | "create"
  | "abandon"
  | "watch"
  | "kill"
  | "byName"
  | "started"
  | "startFailed"
  | "exit"
  | "placed"
  | "unplaced"
  | "unheld"
  | "workerLost"
  | "processLost"
>;

/** What a node of a cluster has others for. */
export interface ClusterSide extends Pick<RefPort, "tell" | "relayCame"> {
  readonly self: NodePrefix;
  readonly router: Pick<Router, "relay" | "sendHeld" | "pass">;
  readonly control: ControlSide & { bundlesPrepared(id: PlacementGroupId, attempt: number, ok: boolean): void };
}

/** Holds what is in the journals: no process has this id. */
const JOURNALS = "journals" as ProcessId;

type ToldByJournals = Parameters<JournalPort["send"]>[1];

const refsOfLog = (name: OfLog, body: Body<OfLog>): readonly RefId[] => {
  if (name === "actorLog") return loggedRefs(body as Body<"actorLog">);
  return name === "actorCheckpoint" ? stateRefs(body as Body<"actorCheckpoint">) : [];
};

const alone = (): never => {
  throw new Error("there is no other node");
};

export class Machines {
  readonly node: NodeMachine;
  /** Where control is here. */
  readonly ownControl: Control | undefined;
  readonly #cluster: ClusterSide | undefined;
  readonly refs: RefTable;
  readonly journals: Journals;
  readonly #later: (() => void)[] = [];
  #running = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(config: NodeConfig, world: MachineWorld, cluster?: ClusterSide) {
    const later = (event: () => void): void => void this.#later.push(event);
    const send = <N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void => world.send(to, name, body);
    const { tell = alone, relayCame = alone, self } = cluster ?? {};
    this.refs = new RefTable(
      {
        send,
        freeStored: (id) => later(() => world.freeStored(id)),
        actorUnheld: (id, given) => later(() => this.control.unheld(id, given)),
        actorAlone: (id, holder) => {
          if (this.node.runsActor(holder, id)) send(holder, "actorAlone", { actorId: id });
        },
        tell,
        relayCame,
      },
      self,
    );
    this.journals = new Journals(
      {
        send: (to, name, body) => this.#fromJournal(to, name, body, send),
        hold: (ids) => ids.forEach((id) => this.refs.add(id, JOURNALS)),
        release: (ids) => ids.forEach((id) => this.refs.drop(JOURNALS, { id, count: 1 })),
        copy: (actor, id) =>
          later(() =>
            world.keepHere(id, (why) => {
              if (why === undefined) this.refs.promoted(id);
              this.journals.copied(actor, id, why);
            }),
          ),
      },
      self,
    );
    this.#cluster = cluster;
    this.ownControl = cluster === undefined ? this.#makeControl(send, later) : undefined;
    this.node = new NodeMachine(config, {
      send,
      spawnWorker: (id, envVars, environment) => world.spawnWorker(id, envVars, environment),
      prepareEnvironment: (environment) => world.prepareEnvironment(environment),
      releaseEnvironment: (environment) => world.releaseEnvironment(environment),
      killWorker: (id, reason) => world.killWorker(id, reason),
      actorPlaced: (actor, epoch, placement) => later(() => this.control.placed(actor, epoch, placement)),
      actorUnplaced: (actor, epoch, failure, reason) => later(() => this.control.unplaced(actor, epoch, failure, reason)),
      bundlesPrepared: (id, attempt, ok) => later(() => cluster?.control.bundlesPrepared(id, attempt, ok)),
    });
  }

  get control(): ControlSide {
    return this.ownControl ?? this.#cluster!.control;
  }

  #makeControl(send: MachineWorld["send"], later: (event: () => void) => void): Control {
    return new Control({
      send: (to, name, body) => {
        send(to, name, body);
      },
      place: (request) => later(() => this.node.placeActor(request, this.now())),
      unplace: (actorId, epoch, end) => later(() => this.node.unplaceActor(actorId, epoch, end, this.now())),
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
  }

  /** Nothing is under way in the actor of this worker, and all that it has said before is known. Held by nobody else, it is over. */
  actorIdle(worker: ProcessId, id: ActorId): void {
    const given = this.refs.aloneWith(id, worker);
    if (given !== undefined && this.node.runsActor(worker, id)) this.control.unheld(id, given);
  }

  /** What a worker is given with its actor it holds at once. Gives what the actor goes on from, where it saves its state. */
  actorStarts(worker: ProcessId, body: Body<"actorStart">): Body<"actorStart">["restore"] {
    for (const id of creditedRefs(body)) this.refs.add(id, worker);
    if (body.options.checkpoint === undefined) return undefined;
    // On a cluster its home has given it that.
    const restore = this.#cluster === undefined ? this.journals.begin(body.actorId, body.epoch, worker) : body.restore;
    for (const id of restoredRefs(restore)) this.refs.add(id, worker);
    return restore;
  }

  // ── the logs of actors that save their state ─────────────────────────────────────────────────

  /** What a process of this node says of an actor's log, which lies at the home of the actor. */
  ofLog<N extends OfLog>(from: ProcessId, name: N, body: Body<N>): void {
    const home = homeOf((body as Body<OfLog>).actorId);
    if (this.#cluster === undefined || home === this.#cluster.self) return this.logged(from, name, body);
    this.#cluster.router.relay(home, from, name, body, refsOfLog(name, body as Body<OfLog>));
  }

  /** The same, at that home; of a process of any node. */
  logged<N extends OfLog>(from: ProcessId, name: N, message: Body<N>): void {
    const { journals } = this;
    const body = message as never;
    if (name === "actorLog") journals.log(from, body);
    else if (name === "actorCheckpoint") journals.checkpoint(from, body);
    else if (name === "callsLost") journals.callsLost(from, body);
    else journals.callsOver(from, body);
  }

  /** Of a cluster: what a process is to hear of an actor of this home, or to start it from. */
  news(news: Body<"actorNews">): void {
    const { actorId, epoch, after, to, code, body } = news;
    const { router } = this.#cluster!;
    this.journals.news(actorId, epoch, after, () => {
      if (code !== codeOf("actorStart")) return this.refs.afterHolds(() => router.pass(news));
      const start = decodeBody(code, body).body as Body<"actorStart">;
      const restore = this.journals.begin(actorId, start.epoch, to);
      router.sendHeld(to, "actorStart", { ...start, restore }, restoredRefs(restore));
      // Of one that has ended before it began nothing more is heard (test/cluster/logs.test.ts).
      if (this.refs.hasEnded(to)) this.journals.processGone(to);
    });
  }

  /** What an answer by way of another node holds, its receiver holds at once; and others may wait for it. */
  answered(to: ProcessId, { counter, answer }: Body<"actorAnswer">): void {
    for (const id of replyParcel(answer)) this.refs.add(id, to);
    if (answer.kind === "returned" && this.#cluster !== undefined) this.refs.answered(taskId(to, counter), answer.results);
  }

  #fromJournal<N extends ToldByJournals>(to: ProcessId, name: N, body: Body<N>, send: MachineWorld["send"]): void {
    const answer = name === "actorAnswer" ? (body as Body<"actorAnswer">) : undefined;
    if (this.#cluster !== undefined && prefixOf(to) !== this.#cluster.self) {
      return this.#cluster.router.sendHeld(to, name, body, answer === undefined ? [] : replyParcel(answer.answer));
    }
    if (answer !== undefined) this.answered(to, answer);
    this.refs.afterHolds(() => send(to, name, body));
  }

  now(): number {
    return performance.now();
  }

  /** An event, and everything that follows from it between the machines. */
  run(event: () => void): void {
    this.#later.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#later.shift(); next !== undefined; next = this.#later.shift()) next();
    } finally {
      this.#running = false;
    }
  }

  /** Sets the clock for the machines' next own act. After events, once a batch. */
  arm(): void {
    const at = Math.min(this.node.nextDeadline() ?? Infinity, this.ownControl?.nextDeadline() ?? Infinity);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (at === Infinity) return;
    const wait = Math.min(Math.max(0, Math.ceil(at - this.now())), 0x7fff_ffff);
    this.#timer = setTimeout(() => {
      this.run(() => {
        this.node.tick(this.now());
        this.ownControl?.tick(this.now());
      });
      this.arm();
    }, wait);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  check(): void {
    this.node.check(this.now());
    this.ownControl?.check();
    this.refs.check();
    this.journals.check();
  }
}
