/**
 * The members of a cluster: which nodes there are, what each has free, and which are gone. Part of control. It hears every node at
 * least every few seconds; one that is silent for too long is dead, and stays dead: a node that comes back is a new one.
 *
 * Silence alone says little before long: the node may be stopped for a while, or cut off. But where its machine answers that nobody listens
 * at its port, its daemon is gone, for that listens as long as it lives. So a node that is silent is looked for by dialling it, and is dead
 * as soon as it was not there twice.
 *
 * Nodes are told of each other in batches, so that the cost of news is that of its readers, not of its number.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { NodeId, NodePrefix } from "../../protocol/ids.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import type { Body, DeathReason, Failure } from "../../protocol/messages.ts";
import { equal } from "../resources.ts";
import { saved } from "./tables.ts";

export interface MembersPort {
  joined(to: NodeId, body: Omit<Body<"joined">, "groups">): void;
  changed(to: NodeId, body: Body<"nodesChanged">): void;
  /** With everything on it. The link to it is to be given up. */
  nodeGone(id: NodeId, reason: DeathReason): void;
  /** To be looked for by dialling it, as it is not heard: `absent` if its machine says that it is not there, else nothing. */
  probe(id: NodeId): void;
  /** Its record has changed in what has to outlast control, or is gone. What a node has free is not of that kind. */
  kept(id: NodeId): void;
  /** For people: the event log of the cluster. */
  event(kind: "node-joined" | "node-left" | "node-died", nodeId: NodeId, message: string): void;
}

/** A node that says nothing for so long is dead (decision 12 of the design: within five seconds). */
export const SILENT_MS = 5_000;
/** Nodes from before control was started again get so long to find it. */
export const RETURN_MS = 20_000;
/** But once another of them has, no longer than that: what kept both from it is over. A node may be stopped for some seconds meanwhile. */
export const RETURN_AFTER_OTHERS_MS = 10_000;
/** One that is silent for so long is looked for, and again after a while for as long as it is. */
export const DOUBT_MS = 1_500;
export const PROBE_AGAIN_MS = 500;
/** One look may be wrong: a port is not held for a moment where a machine changes its addresses. */
const ABSENCES = 2;
/** News is gathered for so long. */
export const NEWS_MS = 100;
/** Dead nodes are listed for so long, and at most so many of them. */
const DEAD_LISTED_MS = 3_600_000;
const DEAD_MAX = 10_000;

interface Member {
  view: NodeView;
  heardAt: number;
  /** It is dead if it is not heard until then. */
  awaitedUntil: number;
  /** When it is looked for next, if it is not heard until then. */
  probeAt: number;
  /** How often it was not there since it was last heard. */
  absences: number;
  /** Of before this control, and not heard by it. */
  unheard: boolean;
  deadAt: number | undefined;
}

export class Members {
  readonly #port: MembersPort;
  /** Counts incarnations of control, for nodes to tell them apart. */
  readonly epoch: number;
  readonly #members = new Map<NodeId, Member>();
  readonly #prefixes = new Map<NodePrefix, NodeId>();
  readonly #news = new Set<NodeId>();
  #newsAt: number | undefined;

  constructor(port: MembersPort, epoch: number) {
    this.#port = port;
    this.epoch = epoch;
  }

  get(id: NodeId): NodeView | undefined {
    return this.#members.get(id)?.view;
  }

  get views(): NodeView[] {
    return [...this.#members.values()].map(({ view }) => view);
  }

  get alive(): NodeView[] {
    return this.views.filter(({ state }) => state !== "dead");
  }

  isAlive(id: NodeId): boolean {
    const member = this.#members.get(id);
    return member !== undefined && member.view.state !== "dead";
  }

  /** A node from before this incarnation: it has some time to come back. */
  restore(view: NodeView, now: number): void {
    const deadAt = view.state === "dead" ? now : undefined;
    this.#members.set(view.nodeId, { ...heardNow(now), view, awaitedUntil: now + RETURN_MS, unheard: true, deadAt });
    this.#prefixes.set(prefixOf(view.nodeId), view.nodeId);
  }

  /** Returns whether it is a member now. A repeat of one that is, and lives, says what it has anew. */
  join(view: NodeView, now: number): boolean {
    const refused = this.#refusal(view);
    if (refused !== undefined) {
      this.#port.joined(view.nodeId, { epoch: this.epoch, nodes: [], refused });
      return false;
    }
    const known = this.#members.get(view.nodeId);
    const version = (known?.view.version ?? 0) + 1;
    const state = known?.view.state === "draining" ? "draining" : view.state;
    if (known?.unheard === true) this.#returned(now);
    this.#members.set(view.nodeId, { ...heardNow(now), view: { ...view, state, version }, deadAt: undefined });
    this.#prefixes.set(prefixOf(view.nodeId), view.nodeId);
    this.#port.kept(view.nodeId);
    if (known === undefined) this.#port.event("node-joined", view.nodeId, `node ${view.nodeId} joined from ${view.host}:${view.port}`);
    this.#changed(view.nodeId, now);
    this.#port.joined(view.nodeId, { epoch: this.epoch, nodes: this.views });
    return true;
  }

  /** It was heard; what it says of itself goes to the others if it differs. */
  status(id: NodeId, { free, queued, pending, dashboardUrl }: Omit<Body<"nodeStatus">, "uses">, now: number): void {
    const member = this.#members.get(id);
    if (member === undefined || member.deadAt !== undefined) return;
    this.heard(id, now);
    const { view } = member;
    const same = equal(view.free, free) && equal(view.queued, queued);
    member.view = { ...view, free, queued, pending, dashboardUrl, version: view.version + (same ? 0 : 1) };
    if (!same) this.#changed(id, now);
  }

  /** Anything at all came from it. */
  heard(id: NodeId, now: number): void {
    const member = this.#members.get(id);
    if (member === undefined || member.deadAt !== undefined) return;
    if (member.unheard) this.#returned(now);
    Object.assign(member, heardNow(now));
  }

  /** Its machine says that nobody listens where it does, or somebody else does. */
  absent(id: NodeId, why: string, now: number): void {
    const member = this.#members.get(id);
    if (member === undefined || member.deadAt !== undefined || now - member.heardAt < DOUBT_MS) return;
    if (++member.absences >= ABSENCES) this.lost(id, `it is not there any more: ${why}`, now);
  }

  /** Control itself heard nobody for so long: it was stopped, or busy. */
  excuse(ms: number): void {
    for (const member of this.#members.values()) {
      member.awaitedUntil += ms;
      member.probeAt += ms;
    }
  }

  /** It gets nothing new from now on. False for a node that is not there. */
  drain(id: NodeId, now: number): boolean {
    const member = this.#members.get(id);
    if (member === undefined || member.deadAt !== undefined) return false;
    member.view = { ...member.view, state: "draining", version: member.view.version + 1 };
    this.#port.kept(id);
    this.#changed(id, now);
    return true;
  }

  leave(id: NodeId, reason: string, now: number): void {
    this.#gone(id, { cause: "node-died", message: `node ${id} has left the cluster: ${reason}` }, "node-left", now);
  }

  /** It is known to be gone, without a word of its own. */
  lost(id: NodeId, why: string, now: number): void {
    this.#gone(id, { cause: "node-died", message: `node ${id} was given up: ${why}` }, "node-died", now);
  }

  nextDeadline(): number | undefined {
    let at = this.#newsAt;
    for (const { awaitedUntil, probeAt, deadAt } of this.#members.values()) {
      const due = deadAt === undefined ? Math.min(awaitedUntil, probeAt) : deadAt + DEAD_LISTED_MS;
      if (at === undefined || due < at) at = due;
    }
    return at;
  }

  tick(now: number): void {
    for (const [id, member] of [...this.#members]) {
      const { heardAt, awaitedUntil, deadAt } = member;
      if (deadAt === undefined && now >= awaitedUntil) {
        const seconds = ((now - heardAt) / 1000).toFixed(1);
        this.#gone(id, { cause: "node-died", message: `node ${id} has not been heard for ${seconds} s` }, "node-died", now);
      } else if (deadAt !== undefined && now - deadAt >= DEAD_LISTED_MS) this.#forget(id);
      else if (deadAt === undefined && now >= member.probeAt) {
        member.probeAt = now + PROBE_AGAIN_MS;
        this.#port.probe(id);
      }
    }
    if (this.#newsAt !== undefined && now >= this.#newsAt) this.#tell();
  }

  saved(id: NodeId): Uint8Array | undefined {
    const view = this.get(id);
    return view && saved("node", { view });
  }

  check(): void {
    for (const [id, { view, deadAt }] of this.#members) {
      if ((view.state === "dead") !== (deadAt !== undefined)) throw new Error(`node ${id} is ${view.state} and counted otherwise`);
      if (deadAt === undefined && this.#prefixes.get(prefixOf(id)) !== id) throw new Error(`the prefix of node ${id} is not its own`);
    }
    if (this.#news.size > 0 && this.#newsAt === undefined) throw new Error("there is news and no time to tell it");
  }

  #refusal({ nodeId }: NodeView): Failure | undefined {
    const known = this.#members.get(nodeId);
    if (known?.deadAt !== undefined) {
      return {
        code: "NODE_DIED",
        message: `node ${nodeId} was given up: it was not heard in time, or it had left. Start it again; it will be a new node`,
      };
    }
    const holder = this.#prefixes.get(prefixOf(nodeId));
    if (holder === undefined || holder === nodeId) return undefined;
    return { code: "NODE_ID_TAKEN", message: `the first digits of node ${nodeId} are those of node ${holder}: it needs another id` };
  }

  #gone(id: NodeId, reason: DeathReason, kind: "node-left" | "node-died", now: number): void {
    const member = this.#members.get(id);
    if (member === undefined || member.deadAt !== undefined) return;
    member.deadAt = now;
    const { version } = member.view;
    member.view = { ...member.view, state: "dead", reason: reason.message, free: {}, queued: {}, pending: [], version: version + 1 };
    this.#port.kept(id);
    this.#changed(id, now);
    this.#port.event(kind, id, reason.message);
    this.#port.nodeGone(id, reason);
    // Others must not wait for a batch to stop waiting for it.
    this.#tell();
    this.#limitDead();
  }

  /** One of before has found this control: the others have had the same chance. */
  #returned(now: number): void {
    const until = now + RETURN_AFTER_OTHERS_MS;
    for (const member of this.#members.values()) if (member.unheard) member.awaitedUntil = Math.min(member.awaitedUntil, until);
  }

  #limitDead(): void {
    const dead = [...this.#members].filter(([, { deadAt }]) => deadAt !== undefined);
    for (const [id] of dead.slice(0, Math.max(0, dead.length - DEAD_MAX))) this.#forget(id);
  }

  #forget(id: NodeId): void {
    this.#members.delete(id);
    this.#port.kept(id);
    if (this.#prefixes.get(prefixOf(id)) === id) this.#prefixes.delete(prefixOf(id));
  }

  #changed(id: NodeId, now: number): void {
    this.#news.add(id);
    this.#newsAt ??= now + NEWS_MS;
  }

  #tell(): void {
    this.#newsAt = undefined;
    const nodes = [...this.#news].map((id) => this.#members.get(id)?.view).filter((view) => view !== undefined);
    this.#news.clear();
    if (nodes.length === 0) return;
    for (const { nodeId } of this.alive) this.#port.changed(nodeId, { nodes });
  }
}

const heardNow = (now: number): Omit<Member, "view" | "deadAt"> => ({
  heardAt: now,
  awaitedUntil: now + SILENT_MS,
  probeAt: now + DOUBT_MS,
  absences: 0,
  unheard: false,
});
