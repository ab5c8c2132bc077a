/**
 * Control of a cluster: its machines wired to each other, between messages from nodes and messages to nodes. It is pure; its runner
 * (src/runtime/control) sees to it that what has changed is durable before anything goes out.
 *
 * A node joins with everything that a new control must know of it, and says again what it has not had acknowledged. What control had
 * decided and not yet said when it ended follows from its records: each join is answered with what the node should do now.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { ActorId, JobId, NodeId, NodePrefix, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { JobDescription, NodeView, Submission } from "../../protocol/cluster.ts";
import type { JobTerms, JobUse, ResourceAmounts } from "../../protocol/parts.ts";
import type { Between, Body, DeathReason, MessageName } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { codeOf, decodeBody, encodeBody } from "../../protocol/wire.ts";
import { ClusterView } from "../cluster/view.ts";
import { DEFAULT_TERMS, describeLimit, isUsual, limitsOf, termsOf } from "../node/jobs.ts";
import type { ActorRequest } from "../node/admission.ts";
import type { ActorPlacement } from "../node/state.ts";
import type { GroupQuestion } from "../node/node.ts";
import { Groups } from "./groups.ts";
import { Control } from "./control.ts";
import { Members } from "./members.ts";
import { ActorPlacer } from "./placer.ts";
import type { ActorEnd } from "./placer.ts";
import { History } from "./history.ts";
import { Quotas } from "./quotas.ts";
import { Jobs } from "./jobs.ts";
import { KeyValue } from "./key-value.ts";
import { Submissions } from "./submissions.ts";
import { Rounds } from "./rounds.ts";
import type { Keep, SavedTables, TableName } from "./tables.ts";
import { UnplacedWarnings } from "./unplaced.ts";
import type { Unplaced } from "./unplaced.ts";

export type FromNode = Between<"node", "control">;
export type ToNode = Between<"control", "node">;

export interface ClusterControlPort {
  /** Over the link to the node, in order. */
  send<N extends ToNode>(to: NodeId, name: N, body: Body<N>): void;
  /** The node was given up: nothing more goes to it or is taken from it. */
  fence(id: NodeId): void;
  /** It is not heard: it is to be dialled, and `absent` called if nobody, or another, listens there. */
  probe(id: NodeId): void;
  readonly keep: Keep;
  /** The node whose daemon keeps this control running; without one it is whichever says that it is the head. */
  readonly keptBy?: NodeId;
  /** A number from 0 to 1. */
  chance(): number;
  /** Milliseconds since 1970, for people. */
  clock(): number;
}

/** What a process may say to control. */
type Said = Extract<
  MessageName,
  "actorDeclare" | "actorCreate" | "actorAbandon" | "actorWatch" | "actorStarted" | "actorStartFailed" | "actorExit" | "ask"
>;

/** What an actor is made from is one record of the store. */
const CREATION_BYTES_MAX = 32 * 1024 * 1024;

export class ClusterControl {
  readonly members: Members;
  readonly actors: Control;
  readonly placer: ActorPlacer;
  readonly groups: Groups;
  readonly jobs: Jobs;
  readonly submissions: Submissions;
  readonly quotas: Quotas;
  readonly #unplaced = new UnplacedWarnings((jobId, message) => this.#warn(jobId, message));
  readonly history: History;
  readonly keyValue: KeyValue;
  readonly #rounds: Rounds;
  readonly view = new ClusterView("" as NodeId);
  readonly #port: ClusterControlPort;
  readonly #later: (() => void)[] = [];
  #running = false;
  #now = 0;

  constructor(port: ClusterControlPort, epoch: number) {
    this.#port = port;
    const { keep } = port;
    const later = (event: () => void): void => void this.#later.push(event);
    this.history = new History(keep);
    this.keyValue = new KeyValue(keep);
    this.jobs = new Jobs(keep, undefined, (id) => later(() => this.submissions.forgotten(id)));
    this.submissions = new Submissions(this.jobs, {
      order: (to, body) => port.send(to, "jobOrder", body),
      head: () => this.#head(),
      endDriver: ({ jobId, driver }) => {
        const node = this.view.nodeOf(driver);
        if (node !== undefined && this.members.isAlive(node)) port.send(node, "jobEnded", { jobId });
      },
      event: (kind, jobId, message) => this.history.add({ at: port.clock(), kind, message, jobId }),
      clock: () => port.clock(),
    });
    this.quotas = new Quotas({ share: (to, body) => port.send(to, "jobShare", body) });
    this.#rounds = new Rounds({
      ask: (to, round) => port.send(to, "hearAll", { round }),
      alive: () => this.members.alive.map(({ nodeId }) => nodeId),
    });
    this.members = new Members(
      {
        joined: (to, body) => port.send(to, "joined", { ...body, groups: this.groups.views }),
        changed: (to, body) => port.send(to, "nodesChanged", body),
        nodeGone: (id, reason) => later(() => this.#nodeGone(id, reason)),
        probe: (id) => port.probe(id),
        kept: (id) => keep("node", id),
        event: (kind, nodeId, message) => this.history.add({ at: port.clock(), kind, message, nodeId }),
      },
      epoch,
    );
    this.placer = new ActorPlacer(this.view, {
      place: (to, request) => this.#placeActor(to, request),
      unplace: (to, actorId, epochOf, end) => port.send(to, "actorUnplace", { actorId, epoch: epochOf, end: endOf(end) }),
      moves: (actorId, epochOf, to) =>
        later(() => {
          const request = this.actors.again(actorId, epochOf);
          if (request !== undefined) this.placer.placeAt(request, to, this.#now);
        }),
      refused: (actorId, epochOf, failure) => later(() => this.actors.unplaced(actorId, epochOf, failure, undefined)),
      chance: () => port.chance(),
      beyondLimits: (jobId, demand) => this.#beyondLimits(jobId, demand),
      groupNode: (id, index, demand) => this.groups.nodeFor(id, index, demand),
    });
    this.groups = new Groups(
      this.view,
      {
        prepare: (to, body) => port.send(to, "groupPrepare", body),
        termsOf: (jobId) => this.#termsOf(jobId),
        commit: (to, body) => port.send(to, "groupCommit", body),
        cancel: (to, body) => port.send(to, "groupCancel", body),
        remove: (to, body) => port.send(to, "groupRemove", body),
        changed: (groups) => {
          for (const { nodeId } of this.members.alive) port.send(nodeId, "groupsChanged", { groups });
          later(() => this.placer.look(this.#now));
        },
        answer: (to, body) => this.#toProcess(to, "answer", body),
      },
      keep,
    );
    this.actors = this.#makeActors(later);
  }

  #makeActors(later: (event: () => void) => void): Control {
    return new Control(
      {
        send: (to, name, body) => this.#toProcess(to, name, body),
        place: (request) => later(() => this.placer.place(request, this.#now)),
        unplace: (id, epochOf, end, worker) =>
          later(() => this.placer.unplace(id, epochOf, end, worker === undefined ? undefined : this.view.nodeOf(worker))),
        over: (id) => void this.#toHome(id, "actorOver", { actorId: id }),
        give: (id, given, to, name, body) => {
          const message = { actorId: id, given, to, code: codeOf(name), body: encodeBody(name, body) };
          // Of one whose home is gone nobody counts who holds it: it is detached.
          if (!this.#toHome(id, "actorGive", message)) this.#toProcess(to, name, body);
        },
        news: (id, epochOf, after, to, name, body) => {
          const message = { actorId: id, epoch: epochOf, after, to, code: codeOf(name), body: encodeBody(name, body) };
          // One whose home is gone is over, or about to be.
          if (!this.#toHome(id, "actorNews", message) && name !== "actorStart") this.#toProcess(to, name, body);
        },
        alias: (id, given, alias) => void this.#toHome(id, "actorAlias", { actorId: id, given, alias }),
      },
      { keep: this.#port.keep, mayLive: (process) => this.#mayLive(process) },
    );
  }

  // ── events ───────────────────────────────────────────────────────────────────────────────────

  /** A message of a node, in order and, but for a control that ended meanwhile, once. */
  receive<N extends FromNode>(from: NodeId, name: N, body: Body<N>, now: number): void {
    if (name !== "nodeJoin" && !this.members.isAlive(from)) return this.#port.fence(from);
    this.#run(now, () => {
      this.members.heard(from, now);
      this.#handle(from, name, body);
    });
  }

  tick(now: number): void {
    this.#run(now, () => {
      this.members.tick(now);
      this.actors.tick(now);
      this.groups.tick(now);
      this.placer.tick(now);
      this.quotas.tick(now);
      this.#lookForUnplaced();
      this.#rounds.tick(now);
      this.#forgetNodes();
    });
  }

  nextDeadline(): number | undefined {
    const machines = [this.members, this.actors, this.groups, this.placer, this.quotas, this.#rounds, this.#unplaced];
    const at = Math.min(...machines.map((machine) => machine.nextDeadline() ?? Infinity));
    return at === Infinity ? undefined : at;
  }

  /** Nothing that is said to a node arrives any more. */
  unreachable(id: NodeId, why: string, now: number): void {
    this.#run(now, () => this.members.lost(id, why, now));
  }

  /** Nobody listens where it does, or somebody else. */
  absent(id: NodeId, why: string, now: number): void {
    this.#run(now, () => this.members.absent(id, why, now));
  }

  drain(id: NodeId, timeoutMs: number, now: number): boolean {
    let there = false;
    this.#run(now, () => {
      there = this.members.drain(id, now);
      if (there) this.#port.send(id, "drain", { timeoutMs });
    });
    return there;
  }

  /** Does something with submitted jobs. */
  submitted<T>(event: (submissions: Submissions) => T, now: number): T {
    let result: T;
    this.#run(now, () => (result = event(this.submissions)));
    return result!;
  }

  // ── what is kept ─────────────────────────────────────────────────────────────────────────────

  /** A record as it is now, undefined when it is gone. */
  saved(table: TableName, key: string): Uint8Array | undefined {
    switch (table) {
      case "node":
        return this.members.saved(key as NodeId);
      case "job":
        return this.jobs.saved(key as JobId);
      case "group":
        return this.groups.saved(key as PlacementGroupId);
      case "event":
        return this.history.saved(key);
      case "value":
        return this.keyValue.saved(key);
      default:
        return this.actors.saved(table, key);
    }
  }

  /** Into a new one. */
  restore(tables: SavedTables, now: number): void {
    this.#run(now, () => {
      for (const [, { view }] of tables.read("node")) {
        this.members.restore(view, now);
        this.view.remember(view);
      }
      this.history.restore(tables);
      this.keyValue.restore(tables);
      this.jobs.restore(tables);
      this.groups.restore(tables);
      for (const { jobId, driver } of this.jobs.drivers) this.actors.driverJoined(driver, jobId);
      this.actors.restore(tables, now);
      this.quotas.awaits(this.members.alive.map(({ nodeId }) => nodeId));
      this.#endWhatIsGone(now);
    });
  }

  check(): void {
    this.members.check();
    this.actors.check();
    this.placer.check();
    this.groups.check();
    this.jobs.check();
    this.quotas.check();
    this.history.check();
    this.keyValue.check();
  }

  // ── inside ───────────────────────────────────────────────────────────────────────────────────

  #run(now: number, event: () => void): void {
    this.#now = now;
    this.#later.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      for (let next = this.#later.shift(); next !== undefined; next = this.#later.shift()) next();
    } finally {
      this.#running = false;
      this.#later.length = 0;
    }
  }

  #handle(from: NodeId, name: FromNode, body: Body<FromNode>): void {
    const as = <N extends FromNode>(_name: N): Body<N> => body as Body<N>;
    switch (name) {
      case "nodeJoin":
        return this.#join(from, as("nodeJoin"));
      case "nodeStatus":
        this.members.status(from, as("nodeStatus"), this.#now);
        this.quotas.reported(from, this.#ofRunning(as("nodeStatus").uses), this.#now);
        return this.#seen(from);
      case "nodeLeave":
        return this.members.leave(from, as("nodeLeave").reason, this.#now);
      case "jobStart":
        return this.#jobStarted(from, as("jobStart").job);
      case "processEnd":
        return this.#processEnd(from, as("processEnd"));
      case "toControl":
        this.#unplaced.wake(this.#now);
        return this.#said(from, as("toControl"));
      case "actorPlaced": {
        const { actorId, epoch, ...placement } = as("actorPlaced");
        return this.#placed(from, actorId, epoch, placement);
      }
      case "actorUnplaced": {
        const { actorId, epoch, failure, reason } = as("actorUnplaced");
        if (this.placer.unplaced(from, actorId, epoch)) this.actors.unplaced(actorId, epoch, failure, reason);
        return;
      }
      case "jobNews":
        return this.submissions.news(from, as("jobNews"));
      case "groupPrepared":
        return this.groups.prepared(from, as("groupPrepared"), this.#now);
      case "heardAll":
        return this.#rounds.heardAll(from, as("heardAll").round, this.#now);
      case "actorUnheld":
        return this.actors.unheld(as("actorUnheld").actorId, as("actorUnheld").given);
      default:
        name satisfies never;
    }
  }

  #join(from: NodeId, { view, to, jobs, processes, actors, watches, bundles, entries, uses, journals }: Body<"nodeJoin">): void {
    if (view.nodeId !== from) throw new MalformedMessage("nodeJoin.view.nodeId", `the sender, ${from}`, view.nodeId);
    // What it said to one before tells how it was then: it says it anew to this one.
    if (to === undefined ? this.members.isAlive(from) : to !== this.members.epoch) return;
    const now = this.#now;
    if (!this.members.join(view, now)) return;
    const node = prefixOf(from);
    this.#later.push(() => {
      // Drivers of submitted jobs count only while these do.
      this.submissions.rejoined(from, entries ?? []);
      for (const job of jobs) this.#jobStarted(from, job);
      this.quotas.joined(from, this.#ofRunning(uses), now);
      for (const { jobId } of jobs) if (!this.jobs.isRunning(jobId)) this.#port.send(from, "jobEnded", { jobId });
      for (const { actorId, epoch, ...placement } of actors) {
        if (this.placer.isWaiting(actorId, epoch)) this.#placed(from, actorId, epoch, placement);
      }
      this.actors.rejoined(node, actors, now, journals);
      const given = this.actors.givenAt(node);
      if (given.length > 0) this.#port.send(from, "actorsGiven", { actors: given });
      const living = new Set(processes);
      for (const process of this.actors.processesOf(node)) if (!living.has(process)) this.#processGone(process);
      for (const { from: watcher, actorId } of watches) this.actors.watch(watcher, { actorId });
      this.placer.rejoined(from);
      this.groups.rejoined(from, bundles, now);
      this.#seen(from);
    });
  }

  #placed(from: NodeId, actorId: ActorId, epoch: number, placement: ActorPlacement): void {
    if (this.actors.isAt(actorId, epoch, placement.worker.processId)) return;
    if (this.placer.placed(from, actorId, epoch)) this.actors.placed(actorId, epoch, placement);
  }

  /** The policy's view of a node follows that of the members. */
  #seen(id: NodeId): void {
    const view = this.members.get(id);
    if (view === undefined || !this.view.update(view)) return;
    this.placer.look(this.#now);
    this.groups.look(this.#now);
  }

  #jobStarted(from: NodeId, job: JobDescription): void {
    if (prefixOf(job.driver) !== prefixOf(from) || this.actors.isGone(job.driver)) return;
    const { submission } = job;
    if (submission !== undefined && !this.jobs.isOpen(submission)) return this.#port.send(from, "jobEnded", { jobId: job.jobId });
    const known = submission === undefined ? job : ofSubmission(job, this.jobs.submittedJob(submission)!.submission);
    if (this.jobs.driverJoined(known, this.#port.clock())) this.actors.driverJoined(job.driver, job.jobId);
  }

  #processEnd(from: NodeId, { processId, reason }: Body<"processEnd">): void {
    if (prefixOf(processId) !== prefixOf(from)) return;
    this.actors.workerLost(processId, reason, this.#now);
    this.#processGone(processId);
  }

  #processGone(process: ProcessId): void {
    this.groups.processLost(process);
    const jobId = this.actors.processLost(process);
    if (jobId !== undefined) this.#jobEnded(jobId);
  }

  #jobEnded(jobId: JobId): void {
    this.jobs.driverGone(jobId, this.#port.clock());
    this.quotas.jobEnded(jobId);
    this.groups.jobEnded(jobId, this.#now);
    for (const { nodeId } of this.members.alive) this.#port.send(nodeId, "jobEnded", { jobId });
  }

  #said(from: NodeId, { from: process, code, body: bytes }: Body<"toControl">): void {
    if (prefixOf(process) !== prefixOf(from)) return;
    const { name, body } = decodeBody(code, bytes) as { name: Said; body: never };
    const as = <N extends Said>(_name: N): Body<N> => body as Body<N>;
    const { actors } = this;
    switch (name) {
      case "actorDeclare":
        return actors.declare(process, as(name));
      case "actorCreate":
        if (bytes.byteLength > CREATION_BYTES_MAX) return actors.refuse(process, as(name).actorId, tooLarge(bytes.byteLength));
        return actors.create(process, as(name));
      case "actorAbandon":
        return actors.abandon(process, as(name));
      case "actorWatch":
        return actors.watch(process, as(name));
      case "actorStarted":
        return actors.started(process, as(name), this.#now);
      case "actorStartFailed":
        return actors.startFailed(process, as(name));
      case "actorExit":
        return actors.exit(process, as(name));
      case "ask":
        return this.#ask(process, as(name));
      default:
        name satisfies never;
        throw new MalformedMessage("toControl.code", "what a process says to control", code);
    }
  }

  #ask(from: ProcessId, { call, question }: Body<"ask">): void {
    if (question.kind === "actorByName") {
      const { name, namespace } = question;
      return this.#found(this.actors.isNamed(name, namespace), () => this.actors.byName(from, call, name, namespace));
    }
    if (question.kind === "actorKill") {
      // Who has the handle may be heard before who has made it.
      return this.#found(this.actors.isKnown(question.actorId), () => this.actors.kill(from, call, question));
    }
    if (isGroupQuestion(question)) {
      const there = question.kind !== "groupByName" || this.groups.isNamed(question.name);
      return this.#found(there, () => this.groups.ask(from, call, question, this.#now));
    }
    const message = `control has no answer to the question ${question.kind}`;
    this.#toProcess(from, "answer", { call, failure: { code: "INVALID_OPTION", message } });
  }

  /** Answers; if it would be in the negative, once all nodes have been heard. */
  #found(there: boolean, answer: () => void): void {
    if (there) answer();
    else this.#rounds.wait(() => this.#later.push(answer), this.#now);
  }

  #nodeGone(id: NodeId, reason: DeathReason): void {
    this.#port.fence(id);
    this.#rounds.nodeLost(id, this.#now);
    const view = this.members.get(id);
    if (view !== undefined) this.view.update(view);
    const jobs = this.actors.nodeLost(prefixOf(id), reason, this.#now);
    for (const jobId of jobs) this.#jobEnded(jobId);
    this.#later.push(() => {
      this.submissions.nodeLost(id, reason.message);
      this.groups.nodeLost(id, this.#now);
      this.quotas.nodeLost(id, this.#now);
      this.placer.nodeLost(id, this.#now);
    });
  }

  /** What ended with a node whose end had been stored and not all that follows from it. */
  #endWhatIsGone(now: number): void {
    for (const nodeId of this.submissions.nodes()) if (!this.members.isAlive(nodeId)) this.submissions.nodeLost(nodeId, "it has left");
    for (const nodeId of this.groups.nodes()) if (!this.members.isAlive(nodeId)) this.groups.nodeLost(nodeId, now);
    const known = new Set<NodePrefix>(this.members.alive.map(({ nodeId }) => prefixOf(nodeId)));
    const reason: DeathReason = { cause: "node-died", message: "its node has left the cluster" };
    for (const prefix of this.actors.prefixes()) {
      if (known.has(prefix)) continue;
      for (const jobId of this.actors.nodeLost(prefix, reason, now)) this.#jobEnded(jobId);
    }
  }

  #lookForUnplaced(): void {
    const { placer, groups } = this;
    const all = function* (): Generator<Unplaced> {
      yield* placer.placeless();
      yield* groups.placeless();
    };
    this.#unplaced.look(all(), this.#now);
  }

  #warn(jobId: JobId, message: string): void {
    const driver = this.jobs.all.get(jobId)?.driver?.driver;
    if (driver !== undefined) this.#toProcess(driver, "warning", { code: "INFEASIBLE", message });
  }

  /** Why a job's limits can never let that in, if so. */
  #beyondLimits(jobId: JobId, demand: Readonly<ResourceAmounts>): string | undefined {
    const limits = limitsOf(this.#termsOf(jobId) ?? DEFAULT_TERMS);
    const name = Object.keys(limits).find((each) => (demand[each] ?? 0) > limits[each]!);
    return name === undefined ? undefined : `its job may have ${describeLimit(name, limits[name]!)} at a time`;
  }

  #placeActor(to: NodeId, request: ActorRequest): void {
    const { jobId, resources, placementResources } = request;
    const copies = { resources: { ...resources }, placementResources: { ...placementResources } };
    this.#port.send(to, "actorPlace", { ...request, terms: this.#termsOf(jobId), ...copies });
  }

  /** What the driver of a job said that it was given; undefined for the usual. */
  #termsOf(id: JobId): JobTerms | undefined {
    const driver = this.jobs.all.get(id)?.driver;
    if (driver === undefined) return undefined;
    const { weight, priority, maxCpus, maxMemory, maxStore } = driver;
    return isUsual(driver) ? undefined : { weight, priority, maxCpus, maxMemory, maxStore };
  }

  #ofRunning(uses: readonly JobUse[]): JobUse[] {
    return uses.filter(({ jobId }) => this.jobs.isRunning(jobId));
  }

  #forgetNodes(): void {
    for (const { view } of [...this.view.nodes]) if (this.members.get(view.nodeId) === undefined) this.view.forget(view.nodeId);
  }

  #head(): NodeView | undefined {
    const { keptBy } = this.#port;
    const { views } = this.members;
    return views.findLast(({ nodeId, head, state }) => state === "alive" && (keptBy === undefined ? head : nodeId === keptBy));
  }

  #mayLive(process: ProcessId): boolean {
    const node = this.view.nodeOf(process);
    return node !== undefined && this.members.isAlive(node);
  }

  #toProcess<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void {
    const node = this.view.nodeOf(to);
    if (node === undefined || !this.members.isAlive(node)) return;
    this.#port.send(node, "fromControl", { to, code: codeOf(name), body: encodeBody(name, body) });
  }

  #toHome<N extends ToNode>(id: ActorId, name: N, body: Body<N>): boolean {
    const node = this.view.nodeOf(id);
    if (node === undefined || !this.members.isAlive(node)) return false;
    this.#port.send(node, name, body);
    return true;
  }
}

const isGroupQuestion = (question: Body<"ask">["question"]): question is GroupQuestion => question.kind.startsWith("group");

/** What a driver's job has of the submitted job that has started it. */
function ofSubmission(job: JobDescription, submission: Submission): JobDescription {
  const { name, metadata } = submission;
  return { ...job, name, metadata, ...termsOf(submission, job) };
}

function endOf(end: ActorEnd): Body<"actorUnplace">["end"] {
  return "kill" in end ? { kind: "kill", reason: end.kill } : { kind: "gently", why: end.gently };
}

const tooLarge = (size: number) => ({
  code: "INVALID_OPTION",
  message:
    `an actor's class and constructor arguments may have ${CREATION_BYTES_MAX} bytes together, these have ${size}: ` +
    `put what is large into the object store and pass a reference`,
});
