/**
 * Control with real node machines in virtual time. Messages take a while and keep their order; control may end at any moment, with
 * what it had not sent lost, and another goes on from what was kept. Workers start and end at once, constructors take a while.
 */
import { ClusterControl } from "../../src/core/control/cluster-control.ts";
import type { FromNode, ToNode } from "../../src/core/control/cluster-control.ts";
import { SavedTables } from "../../src/core/control/tables.ts";
import type { TableName } from "../../src/core/control/tables.ts";
import { DEFAULT_TERMS } from "../../src/core/node/jobs.ts";
import { NodeMachine } from "../../src/core/node/node.ts";
import { actorId, driverId } from "../../src/protocol/ids.ts";
import type { ActorId, FunctionId, JobId, NodeId, PlacementGroupId, ProcessId } from "../../src/protocol/ids.ts";
import type { ActorOptions, ActorStatus, Body, DeathReason, JobTerms, MessageName } from "../../src/protocol/messages.ts";
import type { GroupView, LivingActor } from "../../src/protocol/cluster.ts";
import { codeOf, decodeBody, encodeBody } from "../../src/protocol/wire.ts";
import { chanceFrom, nodeIdOf, viewOf } from "../cluster/nodes.ts";
import { amounts, shape } from "../node/node-harness.ts";

interface Event {
  readonly at: number;
  readonly run: () => void;
}

export class WorldNode {
  readonly id: NodeId;
  readonly driver: ProcessId;
  readonly total: Record<string, number>;
  readonly machine: NodeMachine;
  readonly processes = new Set<ProcessId>();
  readonly placed = new Map<ActorId, LivingActor>();
  readonly states = new Map<ActorId, ActorStatus>();
  readonly warnings: string[] = [];
  readonly answers = new Map<number, Body<"answer">>();
  readonly over = new Set<ActorId>();
  readonly groups = new Map<PlacementGroupId, GroupView>();
  readonly gone: NodeId[] = [];
  /** As a home counts: how often each of its actors was given to somebody. */
  readonly given = new Map<ActorId, number>();
  /** As ControlLink keeps them. */
  readonly watches = new Map<ActorId, ProcessId>();
  readonly open = new Map<number, Body<"ask">>();
  readonly started = new Set<string>();
  /** Said to control and not heard by it. */
  readonly outbox: { name: FromNode; body: never }[] = [];
  alive = true;
  hasJob = false;
  terms: JobTerms = DEFAULT_TERMS;
  /** Each message to and from it is under way for so long besides. */
  delayMs = 0;

  constructor(id: NodeId, total: Record<string, number>, machine: NodeMachine) {
    this.id = id;
    this.total = total;
    this.machine = machine;
    this.driver = driverId(id, "000001");
    this.processes.add(this.driver);
  }
}

export class World {
  now = 0;
  control: ClusterControl;
  readonly nodes: WorldNode[] = [];
  readonly kept = new Map<string, { table: TableName; key: string; value: Uint8Array }>();
  readonly #dirty = new Map<string, [TableName, string]>();
  readonly #chance: () => number;
  /** What is done to every new control before it begins. */
  plant: (control: ClusterControl) => void = () => {};
  /** Called after every event. */
  watch: () => void = () => {};
  #queue: Event[] = [];
  readonly #ways = new Map<string, number>();
  #epoch = 1;
  #calls = 0;
  #actors = 0;

  constructor(seed: number, sizes: readonly Record<string, number>[]) {
    this.#chance = chanceFrom(seed);
    this.control = this.#make();
    for (const total of sizes) this.add(total);
    this.run(200);
  }

  chance(): number {
    return this.#chance();
  }

  // ── what happens ─────────────────────────────────────────────────────────────────────────────

  add(total: Record<string, number>): WorldNode {
    const i = this.nodes.length;
    const id = nodeIdOf(i);
    const machine: NodeMachine = new NodeMachine(
      { nodeId: id, total: amounts(total), labels: {}, limitsDivided: true, workers: Math.max(1, total["CPU"] ?? 1) },
      {
        send: () => {},
        spawnWorker: (worker) =>
          this.later(3, () => {
            if (!node.alive || !machine.workerJoined({ processId: worker, pid: 1, socket: "s" }, this.now)) return;
            node.processes.add(worker);
          }),
        killWorker: (worker, reason) => this.later(2, () => this.endWorker(node, worker, reason)),
        actorPlaced: (actor, epoch, placement) => {
          node.placed.set(actor, { actorId: actor, epoch, ...placement });
          this.say(node, "actorPlaced", { actorId: actor, epoch, ...placement });
        },
        actorUnplaced: (actor, epoch, failure, reason) => this.say(node, "actorUnplaced", { actorId: actor, epoch, failure, reason }),
        prepareEnvironment: () => {},
        releaseEnvironment: () => {},
        bundlesPrepared: (groupId, attempt, ok) => this.say(node, "groupPrepared", { groupId, attempt, ok }),
      },
    );
    const node = new WorldNode(id, total, machine);
    this.nodes.push(node);
    machine.driverJoined(node.driver, this.jobOf(node));
    this.join(node);
    this.#clock(node);
    return node;
  }

  jobOf(node: WorldNode): JobId {
    return `job-${node.id}` as JobId;
  }

  startJob(node: WorldNode, terms: JobTerms = DEFAULT_TERMS): void {
    node.hasJob = true;
    node.terms = terms;
    node.machine.jobKnown(this.jobOf(node), terms);
    this.say(node, "jobStart", { job: this.#job(node) });
  }

  endWorker(node: WorldNode, worker: ProcessId, reason: DeathReason): void {
    if (!node.alive || !node.processes.delete(worker)) return;
    for (const [id, actor] of node.placed) if (actor.worker.processId === worker) node.placed.delete(id);
    this.say(node, "processEnd", { processId: worker, reason });
    node.machine.workerLost(worker, reason, this.now);
    node.machine.ownerLost(worker, this.now);
  }

  /** Without a word. */
  kill(node: WorldNode): void {
    node.alive = false;
  }

  leave(node: WorldNode): void {
    this.say(node, "nodeLeave", { reason: "it was told to" });
    this.later(20, () => (node.alive = false));
  }

  actor(node: WorldNode, options: Partial<ActorOptions> = {}, more: Partial<Body<"actorDeclare">> = {}): ActorId {
    const id = actorId(node.driver, this.#actors++);
    node.watches.set(id, node.driver);
    this.#process(node, "actorDeclare", {
      actorId: id,
      jobId: this.jobOf(node),
      className: "A",
      shape: shape({}),
      options: {
        namespace: "n",
        detached: false,
        getIfExists: false,
        maxRestarts: 0,
        maxConcurrency: 1,
        resources: amounts({ CPU: 1 }),
        placementResources: amounts({ CPU: 1 }),
        ...options,
      },
      ...more,
    });
    const empty = new Uint8Array();
    this.#process(node, "actorCreate", { actorId: id, functionId: "f" as FunctionId, definition: empty, args: empty, argPayloads: [] });
    return id;
  }

  killActor(node: WorldNode, id: ActorId): void {
    this.ask(node, { kind: "actorKill", actorId: id, noRestart: true });
  }

  ask(node: WorldNode, question: Body<"ask">["question"]): number {
    const call = this.#calls++;
    node.open.set(call, { call, question });
    this.#process(node, "ask", { call, question });
    return call;
  }

  group(
    node: WorldNode,
    id: string,
    strategy: "PACK" | "SPREAD" | "STRICT_PACK" | "STRICT_SPREAD",
    bundles: Record<string, number>[],
    more = {},
  ): number {
    const groupId = id as PlacementGroupId;
    const jobId = this.jobOf(node);
    this.ask(node, { kind: "groupCreate", groupId, jobId, bundles: bundles.map(amounts), strategy, detached: false, ...more });
    return this.ask(node, { kind: "groupReady", groupId });
  }

  // ── control ──────────────────────────────────────────────────────────────────────────────────

  /** It ends; what it had not sent is lost, and what it had not heard is said to the next. */
  restart(): void {
    this.#queue = this.#queue.filter(({ run }) => !this.#fromControl.has(run));
    this.control = this.#make();
    this.plant(this.control);
    this.control.restore(new SavedTables([...this.kept.values()]), this.now);
    this.#commit();
    for (const node of this.nodes) {
      if (!node.alive) continue;
      node.machine.controlChanged();
      this.#deliver(node);
      this.join(node, this.control.members.epoch);
      for (const body of node.open.values()) this.#process(node, "ask", body);
    }
  }

  readonly #fromControl = new Set<() => void>();

  #make(): ClusterControl {
    return new ClusterControl(
      {
        send: (to, name, body) => {
          const run = (): void => {
            this.#fromControl.delete(run);
            this.#heard(to, name, body);
          };
          this.#fromControl.add(run);
          this.#message(`control ${to}`, run, this.nodes.find(({ id }) => id === to)?.delayMs);
        },
        fence: () => {},
        probe: (id) => {
          if (!this.nodes.some((node) => node.id === id && node.alive)) this.later(1, () => this.#absent(id));
        },
        keep: (table, key) => void this.#dirty.set(`${table} ${key}`, [table, key]),
        chance: this.#chance,
        clock: () => this.now,
      },
      this.#epoch++,
    );
  }

  #commit(): void {
    for (const [name, [table, key]] of this.#dirty) {
      const value = this.control.saved(table, key);
      if (value === undefined) this.kept.delete(name);
      else this.kept.set(name, { table, key, value });
    }
    this.#dirty.clear();
    this.control.check();
  }

  /** Whose daemon is gone: its machine refuses the connection. */
  #absent(id: NodeId): void {
    this.control.absent(id, "nothing listens there", this.now);
    this.#commit();
  }

  // ── messages ─────────────────────────────────────────────────────────────────────────────────

  say<N extends FromNode>(node: WorldNode, name: N, body: Body<N>): void {
    node.outbox.push({ name, body: body as never });
    this.#deliver(node);
  }

  #deliver(node: WorldNode): void {
    const hear = (): void => {
      const next = node.outbox.shift();
      if (next === undefined || !node.alive) return;
      this.control.receive(node.id, next.name, next.body, this.now);
      this.#commit();
    };
    this.#message(`${node.id} control`, hear, node.delayMs);
  }

  #process<N extends MessageName>(node: WorldNode, name: N, body: Body<N>): void {
    this.say(node, "toControl", { from: node.driver, code: codeOf(name), body: encodeBody(name, body) });
  }

  join(node: WorldNode, to?: number): void {
    this.say(node, "nodeJoin", {
      to,
      view: { ...viewOf(0), nodeId: node.id, total: amounts(node.total), free: { ...node.machine.free } },
      jobs: node.hasJob ? [this.#job(node)] : [],
      processes: [...node.processes],
      actors: [...node.placed.values()],
      watches: [...node.watches].map(([id, from]) => ({ from, actorId: id })),
      bundles: node.machine.reservedBundles(),
      uses: node.machine.jobUses(),
    });
  }

  #job(node: WorldNode): Body<"jobStart">["job"] {
    return { jobId: this.jobOf(node), driver: node.driver, namespace: "n", execArgv: [], envVars: {}, ...node.terms };
  }

  #heard<N extends ToNode>(to: NodeId, name: N, body: Body<N>): void {
    const node = this.nodes.find(({ id }) => id === to)!;
    if (!node.alive) return;
    const { machine } = node;
    const as = <M extends ToNode>(_name: M): Body<M> => body as never;
    if (name === "actorPlace") machine.placeActor(as("actorPlace"), this.now);
    else if (name === "actorUnplace") {
      const { actorId: id, epoch, end } = as("actorUnplace");
      machine.unplaceActor(id, epoch, end.kind === "kill" ? { kill: end.reason } : { gently: end.why }, this.now);
      // A worker that is asked to end does so.
      const hold = node.placed.get(id);
      if (hold?.epoch === epoch) this.later(2, () => this.endWorker(node, hold.worker.processId, { cause: "exit", message: "asked to" }));
    } else if (name === "jobShare") machine.jobShare(as("jobShare"), this.now);
    else if (name === "actorOver") node.over.add(as("actorOver").actorId);
    else if (name === "actorGive") {
      const { actorId: id, given, to: asker, code, body: bytes } = as("actorGive");
      if (this.#counts(node, id, given))
        this.#told(
          this.nodes.find(({ driver }) => driver === asker)!,
          code,
          bytes,
        );
    } else if (name === "actorAlias") this.#counts(node, as("actorAlias").actorId, as("actorAlias").given);
    else if (name === "actorsGiven") for (const { actorId: id, given } of as("actorsGiven").actors) this.#counts(node, id, given);
    else if (name === "fromControl") this.#told(node, as("fromControl").code, as("fromControl").body, as("fromControl").to);
    else if (name.startsWith("group") && name !== "groupsChanged") machine.groupMessage(name as "groupPrepare", body as never, this.now);
    else if (name === "groupsChanged") for (const group of as("groupsChanged").groups) node.groups.set(group.groupId, group);
    else if (name === "joined") for (const group of as("joined").groups) node.groups.set(group.groupId, group);
    else if (name === "hearAll") this.say(node, "heardAll", as("hearAll"));
    else if (name === "nodesChanged") {
      for (const { nodeId, state } of as("nodesChanged").nodes) if (state === "dead") node.gone.push(nodeId);
    }
    machine.check(this.now);
  }

  #counts(node: WorldNode, id: ActorId, given: number): boolean {
    if (given <= (node.given.get(id) ?? 0)) return false;
    node.given.set(id, given);
    return true;
  }

  #told(node: WorldNode, code: number, bytes: Uint8Array, to: ProcessId = node.driver): void {
    const { name, body } = decodeBody(code, bytes) as { name: MessageName; body: never };
    if (name === "warning") node.warnings.push((body as Body<"warning">).message);
    else if (name === "answer") {
      const answer = body as Body<"answer">;
      if (node.open.delete(answer.call)) node.answers.set(answer.call, answer);
    } else if (name === "actorState") node.states.set((body as Body<"actorState">).actorId, (body as Body<"actorState">).status);
    else if (name === "actorStart") {
      const { actorId: id, epoch } = body as Body<"actorStart">;
      if (node.started.has(`${id} ${epoch}`)) return;
      node.started.add(`${id} ${epoch}`);
      this.later(5, () => {
        if (!node.processes.has(to)) return;
        this.say(node, "toControl", { from: to, code: codeOf("actorStarted"), body: encodeBody("actorStarted", { actorId: id, epoch }) });
      });
    }
  }

  // ── time ─────────────────────────────────────────────────────────────────────────────────────

  later(ms: number, run: () => void): void {
    this.#queue.push({ at: this.now + ms * (0.5 + this.#chance()), run });
  }

  #message(way: string, run: () => void, delayMs = 0): void {
    const at = Math.max(this.#ways.get(way) ?? 0, this.now + delayMs + 0.5 + this.#chance());
    this.#ways.set(way, at);
    this.#queue.push({ at, run });
  }

  run(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      let next: Event | undefined;
      for (const event of this.#queue) if (next === undefined || event.at < next.at) next = event;
      const due = this.control.nextDeadline() ?? Infinity;
      if (Math.min(next?.at ?? Infinity, due) > until) break;
      if (next === undefined || due < next.at) {
        this.now = Math.max(this.now, due);
        this.control.tick(this.now);
        this.#commit();
        continue;
      }
      this.#queue.splice(this.#queue.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
      this.watch();
    }
    this.now = until;
  }

  #clock(node: WorldNode): void {
    this.later(50, () => {
      if (!node.alive) return;
      const due = node.machine.nextDeadline();
      if (due !== undefined && due <= this.now) node.machine.tick(this.now);
      this.say(node, "nodeStatus", {
        free: { ...node.machine.free },
        queued: node.machine.queued(),
        pending: [],
        uses: node.machine.jobUses(),
      });
      this.#clock(node);
    });
  }
}
