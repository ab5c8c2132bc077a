/**
 * What goes from this node to others, and comes from them. A process speaks with its own node only: what it says to another node, or that
 * says to it, is relayed here, with its name. Which node a process, an object or a lease belongs to is in its id.
 *
 * Everything between two nodes goes over one link, in order. So when a process is gone, the nodes that ever heard of it are told on their
 * links, behind its last words.
 */
import type { LeaseRouter } from "../../core/cluster/lease-router.ts";
import type { ClusterView } from "../../core/cluster/view.ts";
import type { NodeMachine } from "../../core/node/node.ts";
import { Parcels } from "../../core/refs/parcels.ts";
import type { RefId } from "../../core/refs/record.ts";
import type { RefTable } from "../../core/refs/refs.ts";
import type { ActorId, NodePrefix, ObjectId, ProcessId } from "../../protocol/ids.ts";
import { nodeOfHolder, prefixOf } from "../../protocol/ids.ts";
import type { Between, Body, DeathReason, MessageName } from "../../protocol/messages.ts";
import { isToProcess } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { codeOf, decodeBody, encodeBody } from "../../protocol/wire.ts";
import { Waiting } from "./waiting.ts";

export type NodeMessage = Between<"node", "node">;
/** What a process says that concerns another node. */
export type Relayed = "leaseCancel" | "leaseReturn" | "killProcess" | "objectResult" | "refCame" | OfLog;
/** Of the log of an actor, which lies at the actor's home. */
export type OfLog = "actorLog" | "actorCheckpoint" | "callsLost" | "callsOver";
/** What a node says to a process of another. */
export type ToProcess = Between<"node", "owner"> | Between<"node", "worker">;

export interface RouterHost {
  readonly self: NodePrefix;
  readonly view: ClusterView;
  readonly node: NodeMachine;
  readonly refs: RefTable;
  readonly leases: LeaseRouter;
  /** Over the link to that node, which is known and not dead. */
  link<N extends NodeMessage>(to: NodePrefix, name: N, body: Body<N>): void;
  /** False when there is no such process here (any more). */
  deliver(to: ProcessId, name: MessageName, body: never): boolean;
  lives(process: ProcessId): boolean;
  located(body: Body<"objectLocated">): void;
  /** This node's copy is the primary from now on. False: it has none any more, and has said so. */
  promote(id: ObjectId): boolean;
  /** Of an actor's log, which this node keeps; `from` may be a process of another. */
  logged<N extends OfLog>(from: ProcessId, name: N, body: Body<N>): void;
  /** What is in a message to a process of this node, from another node, is held by that process. */
  credit(to: ProcessId, name: MessageName, body: never): void;
  /** Whether a process is to have what another node says to it in the name of control; not what it has had already. */
  passes(to: ProcessId, name: MessageName, body: never): boolean;
  /** A process of another node is gone, and all that it had said has come. */
  processGone(process: ProcessId): void;
  /** A process's question to control was answered by way of an actor's home; false when it had been answered before. */
  questionAnswered(to: ProcessId, call: number): boolean;
  /** Calls back with JSON. */
  ask(question: Body<"nodeAsk">["question"], answer: (body: string) => void): void;
  answered(from: NodePrefix, body: Body<"nodeAnswer">): void;
  readonly packages: {
    wanted(from: NodePrefix, body: Body<"packageWant">): void;
    keepHere(body: Body<"packageKeep">): void;
    came(from: NodePrefix, body: Body<"packagePart">): void;
  };
  now(): number;
}

/** A node that control has not told of is waited for so long. */
const UNKNOWN_MS = 5_000;
const WATCHED_MAX = 100_000;
/** Holds what is in parcels to other nodes: no process has this id. */
const PARCELS = "parcels" as ProcessId;

export class Router {
  readonly #host: RouterHost;
  readonly #parcels: Parcels;
  /** The nodes that have heard of each process of this node. */
  readonly #told = new Map<ProcessId, Set<NodePrefix>>();
  /** Processes of other nodes whose end this node is to be told of. */
  readonly #watched = new Set<ProcessId>();
  /** Messages to nodes that the view does not have yet. */
  readonly #unknown: Waiting<NodePrefix, () => void>;

  /** `gone`: a node that nobody knows is taken for one that has died. */
  constructor(host: RouterHost, gone: (node: NodePrefix) => void) {
    this.#host = host;
    const { refs } = host;
    this.#parcels = new Parcels({
      hold: (ids) => ids.forEach((id) => refs.add(id, PARCELS)),
      release: (ids) => ids.forEach((id) => refs.drop(PARCELS, { id, count: 1 })),
    });
    this.#unknown = new Waiting(UNKNOWN_MS, gone);
  }

  stop(): void {
    this.#unknown.stop();
  }

  // ── out ──────────────────────────────────────────────────────────────────────────────────────

  /** To a process, wherever it is. */
  send<N extends ToProcess>(to: ProcessId, name: N, body: Body<N>): void {
    if (prefixOf(to) === this.#host.self) this.#host.deliver(to, name, body as never);
    else this.#relay(prefixOf(to), { from: to, to, ...encoded(name, body) });
  }

  /** The same, in the order of these calls and once all that is held here is held at its homes. What is in it is held until it has come. */
  sendHeld<N extends ToProcess>(to: ProcessId, name: N, body: Body<N>, holding: readonly RefId[]): void {
    const node = prefixOf(to);
    const { refs, self, passes } = this.#host;
    if (node === self) {
      return refs.afterHolds(() => {
        if (passes(to, name, body as never)) this.#host.deliver(to, name, body as never);
      });
    }
    const parcel = this.#parcel(node, holding);
    refs.afterHolds(() => this.#relay(node, { from: to, to, ...encoded(name, body), parcel }));
  }

  /** What a process of this node says, to the node that it concerns. */
  relay<N extends Relayed>(to: NodePrefix, from: ProcessId, name: N, body: Body<N>, holding: readonly RefId[] = []): void {
    this.#tells(from, to);
    this.#relay(to, { from, ...encoded(name, body), parcel: this.#parcel(to, holding) });
  }

  /** What a process is to hear of an actor of this home. */
  pass({ to, code, body }: Body<"actorNews">): void {
    const { name, body: message } = decodeBody(code, body);
    if (!isToProcess(name)) throw new MalformedMessage("actorNews.code", "one that a node says to a process", name);
    if (prefixOf(to) !== this.#host.self) this.#relay(prefixOf(to), { from: to, to, code, body });
    else if (this.#host.passes(to, name, message)) this.#host.deliver(to, name, message);
  }

  forward(to: NodePrefix, from: ProcessId, hops: number, body: Body<"leaseRequest">): void {
    this.#tells(from, to);
    this.tell(to, "leaseForward", { from, hops, terms: this.#host.node.termsOf(body.jobId), ...encoded("leaseRequest", body) });
  }

  /** An actor of this home, to a process that asked control for it. */
  give({ actorId, given, to, code, body }: Body<"actorGive">): void {
    const message = decodeBody(code, body);
    if (!isToProcess(message.name)) throw new MalformedMessage("actorGive.code", "one that a node says to a process", message.name);
    if (!this.#host.refs.give(actorId, given, to)) return;
    if (prefixOf(to) !== this.#host.self) return this.#relay(prefixOf(to), { from: to, to, code, body, gives: actorId });
    if (this.#answersAgain(to, message.name, message.body)) return this.#host.refs.drop(to, { id: actorId, count: 1 });
    this.#host.deliver(to, message.name, message.body);
  }

  /** From this node to another, or to itself. */
  tell<N extends NodeMessage>(to: NodePrefix, name: N, body: Body<N>): void {
    const { self, view, link } = this.#host;
    if (to === self) return this.receive(self, name, body as never);
    const node = view.nodeWith(to);
    if (node === undefined) return this.#unknown.add(to, () => link(to, name, body));
    if (view.isAlive(node)) link(to, name, body);
  }

  /** A process of this node opens a way to one of another: this node must hear of its end. */
  watch(process: ProcessId): void {
    const node = prefixOf(process);
    if (node === this.#host.self || this.#watched.has(process)) return;
    this.#watched.add(process);
    if (this.#watched.size > WATCHED_MAX) this.#watched.delete(this.#watched.values().next().value as ProcessId);
    this.tell(node, "processWatch", { processId: process });
  }

  // ── what happens here ────────────────────────────────────────────────────────────────────────

  /** A process of this node is gone, and everything that it said has been handled. */
  processEnded(processId: ProcessId, reason: DeathReason): void {
    const told = this.#told.get(processId);
    this.#told.delete(processId);
    for (const node of told ?? []) this.tell(node, "processGone", { processId, reason });
  }

  /** The view has news: of nodes that were waited for, too. */
  viewChanged(): void {
    for (const prefix of this.#unknown.keys())
      if (this.#host.view.nodeWith(prefix) !== undefined) this.#unknown.take(prefix, (send) => send());
  }

  nodeLost(node: NodePrefix): void {
    this.#unknown.take(node, () => {});
    for (const process of this.#watched) if (prefixOf(process) === node) this.#watched.delete(process);
    for (const told of this.#told.values()) told.delete(node);
  }

  /** Some seconds after `nodeLost`. */
  nodeForgotten(node: NodePrefix): void {
    this.#parcels.nodeForgotten(node);
  }

  // ── in ───────────────────────────────────────────────────────────────────────────────────────

  receive<N extends NodeMessage>(from: NodePrefix, name: N, body: Body<N>): void {
    const handle = this.#handlers[name] as (body: Body<N>, from: NodePrefix) => void;
    handle(body, from);
  }

  readonly #handlers: { readonly [N in NodeMessage]: (body: Body<N>, from: NodePrefix) => void } = {
    relay: (body, from) => this.#relayed(from, body),
    leaseForward: ({ from, hops, terms, code, body }) => {
      const request = expect(code, body, "leaseRequest");
      this.#host.node.jobKnown(request.jobId, terms);
      this.#host.leases.leaseRequest(from, request, this.#host.now(), hops);
    },
    processGone: ({ processId }) => this.#processGone(processId),
    parcelCame: ({ parcel }, from) => this.#parcels.came(from, parcel),
    processWatch: ({ processId }, from) => {
      if (this.#host.lives(processId)) this.#tells(processId, from);
      else this.tell(from, "processGone", { processId, reason: { cause: "exit", message: "it had ended" } });
    },
    refsHold: (body, from) => this.#host.refs.holdFor(from, body),
    refsHeld: (body, from) => this.#host.refs.holdConfirmed(from, body),
    refsDrop: (body, from) => this.#host.refs.dropFor(from, body),
    refFetch: ({ id }, from) => this.#host.refs.fetchFor(from, id),
    refState: (body) => this.#host.refs.state(body),
    refAlias: (body) => this.#host.refs.aliasOf(body),
    objectSealed: (body, from) => this.#host.refs.sealedAt(from, body),
    objectCopy: (body, from) => this.#host.refs.copiedAt(from, body),
    objectPromote: ({ id }) => {
      if (this.#host.promote(id)) this.#host.refs.promoted(id);
    },
    objectFree: (body) => this.#host.refs.freedAtHome(body),
    objectLocate: ({ id }, from) => this.#host.refs.locate(from, id),
    objectLocated: (body) => this.#host.located(body),
    nodeAsk: ({ call, question }, from) => this.#host.ask(question, (body) => this.tell(from, "nodeAnswer", { call, body })),
    nodeAnswer: (body, from) => this.#host.answered(from, body),
    packageWant: (body, from) => this.#host.packages.wanted(from, body),
    packageKeep: (body) => this.#host.packages.keepHere(body),
    packagePart: (body, from) => this.#host.packages.came(from, body),
  };

  #relayed(node: NodePrefix, body: Body<"relay">): void {
    this.#heard(node, body);
    const { parcel } = body;
    if (parcel !== undefined) this.#host.refs.afterHolds(() => this.tell(node, "parcelCame", { parcel }));
  }

  #heard(node: NodePrefix, { from, to, code, body, gives }: Body<"relay">): void {
    const message = decodeBody(code, body);
    if (to !== undefined) return this.#toProcess(node, to, message.name, message.body, gives);
    if (prefixOf(from) !== node) throw new MalformedMessage("from", "a process of the node that relays", from);
    const { leases, refs, now } = this.#host;
    const as = <N extends Relayed>(_name: N): Body<N> => message.body;
    switch (message.name as Relayed) {
      case "leaseCancel":
        return leases.leaseCancel(from, as("leaseCancel"), now());
      case "leaseReturn":
        return leases.leaseReturn(from, as("leaseReturn"), now());
      case "killProcess":
        return leases.killProcess(from, as("killProcess"), now());
      case "objectResult":
        return refs.result(as("objectResult"));
      case "refCame":
        return refs.came(from, as("refCame"));
      case "actorLog":
      case "actorCheckpoint":
      case "callsLost":
      case "callsOver":
        return this.#host.logged(from, message.name as OfLog, message.body);
      default:
        throw new MalformedMessage("message", "one that a process says to another node", message.name);
    }
  }

  /** Another node says something to a process of this one. */
  #toProcess(node: NodePrefix, to: ProcessId, name: MessageName, body: never, gives: ActorId | undefined): void {
    if (!isToProcess(name)) throw new MalformedMessage("relay.code", "one that a node says to a process", name);
    if (gives !== undefined) {
      this.#host.refs.adopt(gives, to);
      if (this.#answersAgain(to, name, body)) return this.#host.refs.drop(to, { id: gives, count: 1 });
    }
    if (name === "leaseGrant" || name === "leaseReject") this.#host.leases.settled((body as Body<"leaseGrant">).requestId);
    // It is gone as a receiver of what was sent to it as well.
    if (name === "processLost") this.#host.refs.processLost((body as Body<"processLost">).processId);
    this.#tells(to, node);
    if (!this.#host.passes(to, name, body)) return;
    this.#host.credit(to, name, body);
    if (this.#host.deliver(to, name, body)) return;
    this.#told.delete(to);
    this.tell(node, "processGone", { processId: to, reason: { cause: "exit", message: "it had ended" } });
  }

  /** Two controls have answered the same question: the process takes one, and would never let go of the other. */
  #answersAgain(to: ProcessId, name: MessageName, body: never): boolean {
    return name === "answer" && !this.#host.questionAnswered(to, (body as Body<"answer">).call);
  }

  #processGone(process: ProcessId): void {
    this.#watched.delete(process);
    this.#host.node.ownerLost(process, this.#host.now());
    this.#host.refs.processLost(process);
    this.#host.processGone(process);
  }

  #relay(to: NodePrefix, body: Body<"relay">): void {
    this.tell(to, "relay", body);
  }

  /** What is sent to a node that is gone is not under way. */
  #parcel(to: NodePrefix, holding: readonly RefId[]): number | undefined {
    return holding.length === 0 || this.#host.refs.isGone(to) ? undefined : this.#parcels.sent(to, holding);
  }

  #tells(process: ProcessId, node: NodePrefix): void {
    if (nodeOfHolder(process) !== undefined || prefixOf(process) !== this.#host.self) return;
    const told = this.#told.get(process);
    if (told === undefined) this.#told.set(process, new Set([node]));
    else told.add(node);
  }
}

function encoded<N extends MessageName>(name: N, body: Body<N>): { code: number; body: Uint8Array } {
  return { code: codeOf(name), body: encodeBody(name, body) };
}

function expect<N extends MessageName>(code: number, bytes: Uint8Array, name: N): Body<N> {
  const message = decodeBody(code, bytes);
  if (message.name !== name) throw new MalformedMessage("message", name, message.name);
  return message.body;
}
