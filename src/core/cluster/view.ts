/**
 * The cluster as one node sees it: every node with what it has and has free, a moment old. Control sends the changes. What this
 * node has sent elsewhere since is counted against what is free there, until news of that node comes.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { NodeId, NodePrefix } from "../../protocol/ids.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { addTo, copyOf, fits, subtractFrom } from "../resources.ts";

export interface KnownNode {
  view: NodeView;
  /** Sent there since the last news of it. */
  readonly debit: ResourceAmounts;
  /** When it was last chosen in turn. */
  turn: number;
  /** It has not been heard since control was started, and may be gone: nothing new goes there while others have room. */
  unheard: boolean;
}

export class ClusterView {
  readonly self: NodeId;
  readonly #nodes = new Map<NodeId, KnownNode>();
  #turns = 0;
  readonly #byPrefix = new Map<NodePrefix, NodeId>();

  constructor(self: NodeId) {
    this.self = self;
    this.#byPrefix.set(prefixOf(self), self);
  }

  get nodes(): Iterable<KnownNode> {
    return this.#nodes.values();
  }

  get(id: NodeId): NodeView | undefined {
    return this.#nodes.get(id)?.view;
  }

  isAlive(id: NodeId): boolean {
    const state = this.get(id)?.state;
    return state === "alive" || state === "draining";
  }

  /** Takes the news of a node; false for what is not newer than what is known. */
  update(view: NodeView): boolean {
    const known = this.#nodes.get(view.nodeId);
    if (known !== undefined && (view.version <= known.view.version || known.view.state === "dead")) return false;
    this.#byPrefix.set(prefixOf(view.nodeId), view.nodeId);
    if (known === undefined) {
      this.#nodes.set(view.nodeId, { view, debit: Object.create(null) as ResourceAmounts, turn: 0, unheard: false });
    } else {
      known.view = view;
      known.unheard = false;
      for (const name in known.debit) delete known.debit[name];
    }
    return true;
  }

  /** A node of which an earlier control knew. */
  remember(view: NodeView): void {
    if (this.update(view)) this.#nodes.get(view.nodeId)!.unheard = true;
  }

  /** Another control counts the changes of nodes anew. */
  renumber(): void {
    for (const known of this.#nodes.values()) if (known.view.state !== "dead") known.view = { ...known.view, version: -1 };
  }

  /** Nodes of which control says nothing any more. */
  forget(id: NodeId): void {
    this.#nodes.delete(id);
    this.#byPrefix.delete(prefixOf(id));
  }

  /** The node of a process, or of what it has made; undefined for one that is not known here. */
  nodeOf(id: Parameters<typeof prefixOf>[0]): NodeId | undefined {
    return this.#byPrefix.get(prefixOf(id));
  }

  /** The node with that prefix. */
  nodeWith(prefix: NodePrefix): NodeId | undefined {
    return this.#byPrefix.get(prefix);
  }

  /** What this node has free and what waits here, which it knows before control does. */
  ownIs(free: ResourceAmounts, queued: ResourceAmounts): void {
    const own = this.#nodes.get(this.self);
    if (own === undefined) return;
    own.view = { ...own.view, free, queued };
    for (const name in own.debit) delete own.debit[name];
  }

  /** Of these nodes the one that was chosen longest ago. */
  nextInTurn(nodes: readonly KnownNode[]): KnownNode {
    const next = nodes.reduce((a, b) => (b.turn < a.turn ? b : a));
    next.turn = ++this.#turns;
    return next;
  }

  /** What is free there as far as is known here. */
  freeOf({ view, debit }: KnownNode): ResourceAmounts {
    const free = copyOf(view.free);
    subtractFrom(free, debit);
    return free;
  }

  /** Work was sent there. */
  charge(id: NodeId, demand: Readonly<ResourceAmounts>): void {
    const known = this.#nodes.get(id);
    if (known !== undefined) addTo(known.debit, demand);
  }

  /** What all living nodes have, or have free. */
  sum(what: "total" | "free"): ResourceAmounts {
    const sum: ResourceAmounts = Object.create(null) as ResourceAmounts;
    for (const { view } of this.#nodes.values()) if (view.state === "alive") addTo(sum, view[what]);
    return sum;
  }

  couldEver(demand: Readonly<ResourceAmounts>): boolean {
    for (const { view } of this.#nodes.values()) if (view.state === "alive" && fits(demand, view.total)) return true;
    return false;
  }
}
