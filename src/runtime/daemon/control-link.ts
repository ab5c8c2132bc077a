/**
 * A node's side of control where that is a process of its own: what the machines and processes of the node say to control goes over
 * one link, what control says comes back by events. It has the methods of `Control` (src/core/control), so a daemon can have either.
 *
 * A control that was started again is told everything that it must know of this node: what its processes want news of, what they have
 * asked and not been answered, and what runs here. So this remembers those, and nothing else; what is not acknowledged the link keeps.
 *
 * The hub is the daemon's, which other nodes use too. Its owner passes on what concerns the peer `CONTROL_ID`.
 */
import type { LinkEnd } from "../../core/link/sender.ts";
import { ClusterView } from "../../core/cluster/view.ts";
import type { KillQuestion } from "../../core/control/actor.ts";
import type { GroupQuestion } from "../../core/node/node.ts";
import type { ActorRequest } from "../../core/node/admission.ts";
import type { ActorPlacement } from "../../core/node/state.ts";
import { explain, NodeDiedError } from "../../errors/index.ts";
import { prefixOf } from "../../protocol/ids.ts";
import type { ActorId, JobId, NodeId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { GroupView, JobDescription, LivingActor, NodeView, ReservedBundle } from "../../protocol/cluster.ts";
import type { Between, Body, DeathReason, Failure, JobUse, MessageName } from "../../protocol/messages.ts";
import { isToProcess } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { codeOf, decodeBody, encodeBody } from "../../protocol/wire.ts";
import { CONTROL_ID, formatAddress } from "../network/index.ts";
import type { Address, LinkHub } from "../network/index.ts";

type FromControl = Between<"control", "node">;
/** What a process says to control. */
type Said = "actorDeclare" | "actorCreate" | "actorAbandon" | "actorWatch" | "actorStarted" | "actorStartFailed" | "actorExit" | "ask";

export type GroupMessage = "groupPrepare" | "groupCommit" | "groupCancel" | "groupRemove";

/** What this node is, as others are to know it; control adds the rest. */
export type OwnView = Omit<NodeView, "state" | "version">;

export interface ControlLinkEvents {
  /** To a process of this node. */
  message(to: ProcessId, name: MessageName, body: never): void;
  place(request: ActorRequest): void;
  unplace(actorId: ActorId, epoch: number, end: { kill: DeathReason } | { gently: string }): void;
  // To this node as the home of an actor (src/core/refs).
  over(actorId: ActorId): void;
  give(body: Body<"actorGive">): void;
  alias(body: Body<"actorAlias">): void;
  actorNews(body: Body<"actorNews">): void;
  givenInAll(body: Body<"actorsGiven">): void;
  /** To the node machine: what control asks of its part of placement groups. */
  group<N extends GroupMessage>(name: N, body: Body<N>): void;
  /** Where the bundles of placement groups are: to the lease router. Those that are over, to the node machine as well. */
  groupsChanged(groups: readonly GroupView[]): void;
  jobEnded(jobId: JobId): void;
  /** Of submitted jobs, whose entry points run here. */
  jobOrder(body: Body<"jobOrder">): void;
  /** To the node machine: what a job may use here. */
  jobShare(body: Body<"jobShare">): void;
  /** Another control counts what it says of jobs anew. */
  controlChanged(): void;
  drain(timeoutMs: number): void;
  /** Where control is or may be has changed: `host:port`. */
  controlAt(addresses: readonly string[]): void;
  /** The view has news of these. Nodes that are gone are told by `nodeGone` as well. */
  viewChanged(nodes: readonly NodeView[]): void;
  /** A node is dead, with everything on it. */
  nodeGone(node: NodeView): void;
  /** This node is a member; after each new control again. */
  joined(epoch: number): void;
  /** This node is not a member any more, or never becomes one: it has to end. */
  lost(error: Error): void;
}

export interface ControlLinkOptions {
  readonly nodeId: NodeId;
  readonly hub: Pick<LinkHub, "link">;
  /** Where control is, or will be: tried in turn. */
  readonly addresses: readonly Address[];
  readonly events: ControlLinkEvents;
  /** How this node is now, for joining. */
  self(): OwnView;
  /** Its living processes, the actors that have a worker, the bundles that are reserved here, and what jobs with limits use. */
  living(): {
    readonly processes: ProcessId[];
    readonly actors: LivingActor[];
    readonly bundles: ReservedBundle[];
    readonly entries?: JobId[];
    /** Actors whose log is kept here. */
    readonly journals?: ActorId[];
    readonly uses: JobUse[];
  };
  status(): Body<"nodeStatus">;
  /** Control may be away for so long. */
  readonly waitMs?: number;
}

/** A node that says nothing for five seconds is dead. */
const HEARTBEAT_MS = 1000;
/** What is free is told so soon after it has changed. */
const STATUS_MS = 50;
const WAIT_MS = 60_000;
/** Control is looked for often: whoever waits for it waits for that. */
const LINK_LIMITS = { backoffMinMs: 50, backoffMaxMs: 500, silenceMs: 3000 };

export class ControlLink {
  readonly view: ClusterView;
  readonly #options: ControlLinkOptions;
  readonly #events: ControlLinkEvents;
  #addresses: readonly Address[];
  #address = 0;
  #epoch: number | undefined;
  /** The control at the end of its link; undefined as long as it is the first one. */
  #control: number | undefined;
  #state: "new" | "joining" | "joined" | "over" = "new";
  #joiningSince = 0;
  /** When control last took something. */
  #takenAt = 0;
  #taken = 0;
  #heartbeat: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #trouble: Error | undefined;
  readonly #jobs = new Map<JobId, JobDescription>();
  /** Who wants news of actors that are not known to be dead. */
  readonly #watches = new Map<ActorId, Set<ProcessId>>();
  /** Questions without an answer, oldest first. */
  readonly #open = new Map<string, { readonly from: ProcessId; readonly body: Body<"ask"> }>();
  /** Workers that were told which actor they are: a new control may tell them again. */
  readonly #started = new Map<ProcessId, string>();
  /** Processes whose end was told as that of a worker. */
  readonly #ended = new Set<ProcessId>();

  constructor(options: ControlLinkOptions) {
    this.#options = options;
    this.#events = options.events;
    this.#addresses = options.addresses;
    this.view = new ClusterView(options.nodeId);
  }

  get isMember(): boolean {
    return this.#state === "joined";
  }

  /** How many addresses of control it knows. */
  get controls(): number {
    return this.#addresses.length;
  }

  start(): void {
    this.#state = "joining";
    this.#takenAt = this.#joiningSince = performance.now();
    this.#join();
    this.#heartbeat = setInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  /** It leaves by its own will. What was said before still goes out, as long as the hub lives. */
  leave(reason: string): void {
    if (this.#state === "over" || this.#state === "new") return this.stop();
    this.#send("nodeLeave", { reason });
    this.stop();
  }

  stop(): void {
    this.#state = "over";
    clearInterval(this.#heartbeat);
    clearTimeout(this.#soon);
  }

  /** What is free, or waits, has changed. */
  statusChanged(): void {
    if (this.#state !== "joined") return;
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined;
      this.#sayStatus();
    }, STATUS_MS);
  }

  // ── what the owner of the hub passes on ──────────────────────────────────────────────────────

  /** A message from control. */
  receive(name: MessageName, body: never): void {
    if (this.#state === "over") return;
    const as = <N extends FromControl>(_name: N): Body<N> => body;
    const events = this.#events;
    switch (name as FromControl) {
      case "joined":
        return this.#joined(as("joined"));
      case "controlsKnown":
        return this.#alsoAt(as("controlsKnown").addresses);
      case "hearAll":
        // What processes had sent by now is read in the next turn of the event loop, and goes first.
        setImmediate(() => setImmediate(() => this.#send("heardAll", { round: as("hearAll").round })));
        return;
      case "nodesChanged":
        return this.#news(as("nodesChanged").nodes);
      case "fromControl":
        return this.#toProcess(as("fromControl"));
      case "actorPlace":
        return events.place(as("actorPlace"));
      case "actorUnplace": {
        const { actorId, epoch, end } = as("actorUnplace");
        return events.unplace(actorId, epoch, end.kind === "kill" ? { kill: end.reason } : { gently: end.why });
      }
      case "actorOver":
        return events.over(as("actorOver").actorId);
      case "actorGive":
        return events.give(as("actorGive"));
      case "actorAlias":
        return events.alias(as("actorAlias"));
      case "actorNews":
        return events.actorNews(as("actorNews"));
      case "actorsGiven":
        return events.givenInAll(as("actorsGiven"));
      case "groupPrepare":
      case "groupCommit":
      case "groupCancel":
      case "groupRemove":
        return events.group(name as GroupMessage, body);
      case "groupsChanged":
        return events.groupsChanged(as("groupsChanged").groups);
      case "jobEnded":
        this.#jobs.delete(as("jobEnded").jobId);
        return events.jobEnded(as("jobEnded").jobId);
      case "jobOrder":
        return events.jobOrder(as("jobOrder"));
      case "jobShare":
        return events.jobShare(as("jobShare"));
      case "drain":
        return events.drain(as("drain").timeoutMs);
      default:
        throw new MalformedMessage(name, "a message of control to a node", undefined);
    }
  }

  /** Control is a new process: what was not acknowledged has been sent again, and this follows it. */
  peerRestarted(incarnation: number): void {
    if (this.#state === "over") return;
    this.#state = "joining";
    this.#joiningSince = performance.now();
    this.#events.controlChanged();
    this.#control = incarnation;
    this.#join();
    for (const { from, body } of this.#open.values()) this.#toControl(from, "ask", body);
  }

  linkEnded(reason: LinkEnd): void {
    if (this.#state === "over" || reason === "stopped") return;
    const why =
      reason === "fenced"
        ? "control has given it up: it was not heard in time"
        : reason === "overflow"
          ? "control takes nothing, and too much waits for it"
          : "control has forgotten what it had been told";
    this.#lose(why, "Start it again; it will be a new node");
  }

  /** A connection could not be made, or broke: the next address is tried. */
  linkTrouble(error: Error): void {
    this.#trouble = error;
    if (this.#state === "over" || this.#addresses.length < 2) return;
    this.#address = (this.#address + 1) % this.#addresses.length;
    this.#link();
  }

  /** An answer to a question came to a process by another way: from an actor's home. False when it had been answered before. */
  answered(to: ProcessId, call: number): boolean {
    return this.#open.delete(`${to} ${call}`);
  }

  /** What is said to a process in the name of control, by whichever way. False: it has had it already. */
  passes(to: ProcessId, name: MessageName, body: never): boolean {
    if (name === "actorState") {
      const { actorId, status } = body as Body<"actorState">;
      const watchers = this.#watches.get(actorId);
      if (status.kind === "dead" && watchers?.delete(to) === true && watchers.size === 0) this.#watches.delete(actorId);
    }
    if (name !== "actorStart") return true;
    const { actorId, epoch } = body as Body<"actorStart">;
    if (this.#started.get(to) === `${actorId} ${epoch}`) return false;
    this.#started.set(to, `${actorId} ${epoch}`);
    return true;
  }

  // ── the methods of Control ───────────────────────────────────────────────────────────────────

  jobStart(job: JobDescription): void {
    this.#jobs.set(job.jobId, job);
    this.#send("jobStart", { job });
  }

  jobNews(body: Body<"jobNews">): void {
    this.#send("jobNews", body);
  }

  workerLost(worker: ProcessId, reason: DeathReason): void {
    this.#ended.add(worker);
    this.#started.delete(worker);
    this.#send("processEnd", { processId: worker, reason });
  }

  /** Follows `workerLost` for a worker. The job that ends with a driver is told by control. */
  processLost(process: ProcessId): undefined {
    for (const [actorId, watchers] of this.#watches) if (watchers.delete(process) && watchers.size === 0) this.#watches.delete(actorId);
    for (const [key, { from }] of this.#open) if (from === process) this.#open.delete(key);
    if (this.#ended.delete(process)) return;
    for (const [jobId, { driver }] of this.#jobs) if (driver === process) this.#jobs.delete(jobId);
    this.#send("processEnd", { processId: process, reason: { cause: "exit", message: "it has ended" } });
  }

  declare(from: ProcessId, body: Body<"actorDeclare">): void {
    this.#watch(from, body.actorId);
    this.#toControl(from, "actorDeclare", body);
  }

  create(from: ProcessId, body: Body<"actorCreate">): void {
    this.#toControl(from, "actorCreate", body);
  }

  abandon(from: ProcessId, body: Body<"actorAbandon">): void {
    this.#toControl(from, "actorAbandon", body);
  }

  watch(from: ProcessId, body: Body<"actorWatch">): void {
    this.#watch(from, body.actorId);
    this.#toControl(from, "actorWatch", body);
  }

  kill(from: ProcessId, call: number, question: KillQuestion): void {
    this.#ask(from, { call, question });
  }

  byName(from: ProcessId, call: number, name: string, namespace: string): void {
    this.#ask(from, { call, question: { kind: "actorByName", name, namespace } });
  }

  askGroup(from: ProcessId, call: number, question: GroupQuestion): void {
    this.#ask(from, { call, question });
  }

  started(from: ProcessId, body: Body<"actorStarted">): void {
    this.#toControl(from, "actorStarted", body);
  }

  startFailed(from: ProcessId, body: Body<"actorStartFailed">): void {
    this.#toControl(from, "actorStartFailed", body);
  }

  exit(from: ProcessId, body: Body<"actorExit">): void {
    this.#toControl(from, "actorExit", body);
  }

  placed(actorId: ActorId, epoch: number, { worker, assigned, gpuIds }: ActorPlacement): void {
    this.#send("actorPlaced", { actorId, epoch, worker, assigned, gpuIds });
  }

  unplaced(actorId: ActorId, epoch: number, failure: Failure, reason: DeathReason | undefined): void {
    this.#send("actorUnplaced", { actorId, epoch, failure, reason });
  }

  bundlesPrepared(groupId: PlacementGroupId, attempt: number, ok: boolean): void {
    this.#send("groupPrepared", { groupId, attempt, ok });
  }

  unheld(actorId: ActorId, given: number): void {
    this.#send("actorUnheld", { actorId, given });
  }

  // ── inside ───────────────────────────────────────────────────────────────────────────────────

  #link(): ReturnType<LinkHub["link"]> {
    return this.#options.hub.link(CONTROL_ID, this.#addresses[this.#address]!, LINK_LIMITS);
  }

  #send<N extends Between<"node", "control">>(name: N, body: Body<N>): void {
    if (this.#state !== "over") this.#link().send(name, body);
  }

  #toControl<N extends Said>(from: ProcessId, name: N, body: Body<N>): void {
    this.#send("toControl", { from, code: codeOf(name), body: encodeBody(name, body) });
  }

  #ask(from: ProcessId, body: Body<"ask">): void {
    this.#open.set(`${from} ${body.call}`, { from, body });
    this.#toControl(from, "ask", body);
  }

  #watch(from: ProcessId, actorId: ActorId): void {
    const watchers = this.#watches.get(actorId);
    if (watchers) watchers.add(from);
    else this.#watches.set(actorId, new Set([from]));
  }

  #join(): void {
    const { self, living } = this.#options;
    const watches = [...this.#watches].flatMap(([actorId, watchers]) => [...watchers].map((from) => ({ from, actorId })));
    const view = { ...self(), state: "alive" as const, version: 0 };
    this.#send("nodeJoin", { view, to: this.#control, jobs: [...this.#jobs.values()], watches, ...living() });
  }

  #joined({ epoch, nodes, groups, refused }: Body<"joined">): void {
    if (refused !== undefined) return this.#lose(refused.message);
    this.#state = "joined";
    const anew = this.#epoch !== epoch;
    this.#epoch = epoch;
    const there = new Set(nodes.map(({ nodeId }) => nodeId));
    const gone = [...this.view.nodes].filter(({ view }) => !there.has(view.nodeId)).map(({ view }) => view);
    if (anew) this.view.renumber();
    this.#news(nodes);
    for (const view of gone) {
      this.view.forget(view.nodeId);
      if (view.state !== "dead") this.#events.nodeGone({ ...view, state: "dead" });
    }
    if (groups.length > 0) this.#events.groupsChanged(groups);
    this.#events.joined(epoch);
    this.#sayStatus();
  }

  /** Where control may be later: what was given first stays. */
  #alsoAt(addresses: readonly Address[]): void {
    const now = this.#addresses[this.#address]!;
    const all = new Map([...this.#options.addresses, now, ...addresses].map((address) => [formatAddress(address), address]));
    this.#addresses = [...all.values()];
    this.#events.controlAt([...all.keys()]);
    this.#address = this.#addresses.findIndex((address) => formatAddress(address) === formatAddress(now));
  }

  #news(nodes: readonly NodeView[]): void {
    const news = nodes.filter((node) => this.view.update(node));
    if (news.some(({ nodeId, state }) => nodeId === this.#options.nodeId && state === "dead")) {
      return this.#lose("control has given it up", "Start it again; it will be a new node");
    }
    for (const node of news) if (node.state === "dead") this.#events.nodeGone(node);
    if (news.length > 0) this.#events.viewChanged(news);
  }

  #toProcess({ to, code, body: bytes }: Body<"fromControl">): void {
    if (prefixOf(to) !== prefixOf(this.#options.nodeId)) throw new MalformedMessage("fromControl.to", "a process of this node", to);
    const { name, body } = decodeBody(code, bytes);
    if (!isToProcess(name)) throw new MalformedMessage("fromControl.code", "one that a node says to a process", name);
    if (name === "answer" && !this.answered(to, (body as Body<"answer">).call)) return;
    if (this.passes(to, name, body)) this.#events.message(to, name, body);
  }

  #sayStatus(): void {
    if (this.#state === "joined") this.#send("nodeStatus", this.#options.status());
  }

  #beat(): void {
    const now = performance.now();
    const { sentMessages, keptMessages } = this.#link().statistics();
    const joined = this.#state === "joined";
    if (keptMessages === 0 || sentMessages - keptMessages > this.#taken) this.#takenAt = now;
    this.#taken = sentMessages - keptMessages;
    const waitMs = this.#options.waitMs ?? WAIT_MS;
    if (now - (joined ? this.#takenAt : this.#joiningSince) < waitMs) {
      if (joined) return this.#sayStatus();
      // The control that took what this node had said of itself may have ended before it answered, and a link that has nothing to say does
      // not look for the next one.
      if (keptMessages === 0) this.#join();
      return;
    }
    const where = this.#addresses.map(formatAddress).join(" and ");
    const why = this.#trouble === undefined ? "it does not answer" : this.#trouble.message;
    this.#lose(`control at ${where} has been away for ${Math.round(waitMs / 1000)} s: ${why}`);
  }

  #lose(why: string, todo?: string): void {
    if (this.#state === "over") return;
    this.stop();
    const { nodeId } = this.#options;
    this.#events.lost(new NodeDiedError(explain(`Node ${nodeId} is not part of its cluster any more`, sentence(why), todo), { nodeId }));
  }
}

const sentence = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
