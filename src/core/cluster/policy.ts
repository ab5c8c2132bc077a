/**
 * Which node gets a lease or an actor. Pure functions over a view of the cluster; chance is handed in.
 *
 * DEFAULT packs, then spreads (Ray's hybrid policy): a node counts as unused until half of its scarcest resource is, the local one
 * comes first among equals, and among the best a random one is taken, so that nodes which decide alone do not all choose alike.
 */
import type { NodeId } from "../../protocol/ids.ts";
import type { Failure, ResourceAmounts, Strategy } from "../../protocol/messages.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import { matches } from "../node/labels.ts";
import { SCALE, fits } from "../resources.ts";
import type { ClusterView, KnownNode } from "./view.ts";

/** Below this utilisation nodes are alike. */
const SPREAD_THRESHOLD = 0.5;
/** The part of the nodes among which chance decides. */
const TOP_PART = 0.2;

export interface Demand {
  /** For messages to people: "task f". */
  readonly what: string;
  readonly resources: Readonly<ResourceAmounts>;
  readonly strategy: Strategy;
  readonly labelSelector: Readonly<Record<string, string>> | undefined;
  /** Where most of its data lies. */
  readonly near?: NodeId | undefined;
  /** How many requests of the same owner wait at a node already. */
  readonly asked?: (node: NodeId) => number;
}

/**
 * `go`: it can run there now. `queue`: nobody has room; it waits best there. `never`: it cannot be right later either.
 * `nowhere`: no node there is can ever serve it, but one may come.
 */
export type Choice =
  | { readonly kind: "go" | "queue"; readonly nodeId: NodeId }
  | { readonly kind: "never"; readonly failure: Failure }
  | { readonly kind: "nowhere" };

export function chooseNode(view: ClusterView, demand: Demand, chance: () => number): Choice {
  const { strategy } = demand;
  if (strategy.kind === "affinity" && !strategy.soft && !livingNodes(view).some(({ view: node }) => node.nodeId === strategy.nodeId)) {
    return { kind: "never", failure: noSuchNode(demand, strategy.nodeId, view.get(strategy.nodeId)) };
  }
  const possible = nodesFor(view, demand);
  if (possible.length === 0) return { kind: "nowhere" };
  const heard = possible.filter(({ unheard }) => !unheard);
  const open = heard.filter((node) => fits(demand.resources, view.freeOf(node)));
  if (open.length === 0) return { kind: "queue", nodeId: leastQueued(view, heard.length > 0 ? heard : possible, demand).view.nodeId };
  return { kind: "go", nodeId: best(view, open, demand, chance).view.nodeId };
}

function best(view: ClusterView, open: readonly KnownNode[], demand: Demand, chance: () => number): KnownNode {
  const near = demand.near === undefined ? undefined : open.find((node) => node.view.nodeId === demand.near);
  if (near !== undefined) return near;
  if (demand.strategy.kind === "spread") return view.nextInTurn(open);
  const scored = open.map((node) => ({ node, score: scoreOf(view, node, demand.resources) }));
  const least = Math.min(...scored.map(({ score }) => score));
  const local = scored.find(({ node, score }) => node.view.nodeId === view.self && score <= least);
  if (local !== undefined) return local.node;
  scored.sort((a, b) => a.score - b.score || (a.node.view.nodeId < b.node.view.nodeId ? -1 : 1));
  const equals = scored.filter(({ score }) => score <= least).length;
  const top = Math.max(equals, Math.ceil(scored.length * TOP_PART));
  return scored[Math.floor(chance() * Math.min(top, scored.length))]!.node;
}

/** Utilisation of the resource of which it is highest, with the demand in place; small ones are alike. */
function scoreOf(view: ClusterView, node: KnownNode, demand: Readonly<ResourceAmounts>): number {
  const free = view.freeOf(node);
  let most = 0;
  for (const name in node.view.total) {
    const total = node.view.total[name]!;
    // The store is used by bytes, not by tasks.
    if (total <= 0 || name === "objectStoreMemory") continue;
    most = Math.max(most, 1 - ((free[name] ?? 0) - (demand[name] ?? 0)) / total);
  }
  return most <= SPREAD_THRESHOLD ? 0 : most;
}

/** All that may serve it once they have room. */
export function nodesFor(view: ClusterView, demand: Demand): KnownNode[] {
  const { strategy, resources } = demand;
  const possible = livingNodes(view).filter((node) => fits(resources, node.view.total));
  if (strategy.kind === "affinity") {
    const wanted = possible.filter((node) => node.view.nodeId === strategy.nodeId);
    if (!strategy.soft || wanted.length > 0) return wanted;
  }
  const fitting = possible.filter(({ view: node }) => labelsFit(demand, node));
  if (strategy.kind !== "labels") return fitting;
  const liked = fitting.filter(({ view: node }) => matches(strategy.soft, node.labels));
  return liked.length > 0 ? liked : fitting;
}

const livingNodes = (view: ClusterView): KnownNode[] => [...view.nodes].filter((node) => node.view.state === "alive");

/**
 * Where its owner waits least, so that a job is heard on all nodes, and then where the queue is shortest: for what the node has. The own
 * node among equals.
 */
function leastQueued(view: ClusterView, nodes: readonly KnownNode[], { asked }: Demand): KnownNode {
  const cpus = (node: KnownNode): number => Math.max(1, (node.view.total["CPU"] ?? SCALE) / SCALE);
  const own = (node: KnownNode): number => (asked?.(node.view.nodeId) ?? 0) / cpus(node);
  const length = (node: KnownNode): number => ((node.view.queued["CPU"] ?? 0) + (node.debit["CPU"] ?? 0)) / cpus(node);
  return nodes.reduce((a, b) => {
    const difference = own(b) - own(a) || length(b) - length(a);
    return difference < 0 || (difference === 0 && b.view.nodeId === view.self) ? b : a;
  });
}

export function labelsFit(demand: Demand, node: NodeView): boolean {
  if (demand.strategy.kind === "labels" && !matches(demand.strategy.hard, node.labels)) return false;
  return demand.labelSelector === undefined || matches(demand.labelSelector, node.labels);
}

const noSuchNode = (demand: Demand, nodeId: NodeId, known: NodeView | undefined): Failure => ({
  code: "NODE_DIED",
  message:
    `${demand.what} may only run on node ${nodeId}, which ` +
    (known?.state === "draining"
      ? "finishes its work to leave the cluster"
      : `is not part of this cluster (any more): ${known?.reason ?? "it is not known"}`),
});
