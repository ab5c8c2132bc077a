/**
 * The machines of a node, wired to each other. Where the node is the whole cluster it has control as well, else that is reached by
 * `ClusterSide`. A machine's port may not call back into it, so what one machine asks of another is put off until the one that runs now is
 * done; `run` is the way in for every event.
 */
import { Control } from "../../core/control/control.ts";
import { Journals } from "../../core/journals.ts";
import { NodeMachine } from "../../core/node/node.ts";
import type { NodeConfig } from "../../core/node/state.ts";
import { creditedRefs } from "../../core/refs/creation.ts";
import { RefTable } from "../../core/refs/refs.ts";
import type { RefPort } from "../../core/refs/refs.ts";
import type { ActorId, NodePrefix, ObjectId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { Body, DeathReason, MessageName } from "../../protocol/messages.ts";

export interface MachineWorld {
  send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void;
  spawnWorker(id: ProcessId, envVars: Readonly<Record<string, string>>, environment: string | undefined): void;
  prepareEnvironment(environment: string): void;
  releaseEnvironment(environment: string): void;
  killWorker(id: ProcessId, reason: DeathReason): void;
  freeStored(id: ObjectId): void;
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
  readonly control: ControlSide & { bundlesPrepared(id: PlacementGroupId, attempt: number, ok: boolean): void };
}

/** Holds what is in the journals: no process has this id. */
const JOURNALS = "journals" as ProcessId;
/** Its journal would be lost with the node, and another node would not know of it. */
const NOT_ON_A_CLUSTER =
  "checkpoint is not there yet for actors of a cluster of several machines. Leave it out there, and keep what must survive elsewhere.";

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
    this.journals = new Journals({
      send,
      hold: (ids) => ids.forEach((id) => this.refs.add(id, JOURNALS)),
      release: (ids) => ids.forEach((id) => this.refs.drop(JOURNALS, { id, count: 1 })),
      credit: (to, ids) => ids.forEach((id) => this.refs.add(id, to)),
    });
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
    if (this.#cluster !== undefined) return { kind: "refused", why: NOT_ON_A_CLUSTER };
    return this.journals.begin(body.actorId, body.epoch, worker);
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
