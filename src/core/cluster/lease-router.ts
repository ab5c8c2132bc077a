/**
 * Where lease requests go: a node serves its own processes as long as it can, and sends on what it cannot. No one place sees all of
 * them. Grants go from the node that serves straight to the owner; what is said of a lease goes to its node, which its id names.
 *
 * A request that waits here is looked at again when other nodes have room, so that a queue does not outlast its reason.
 */
import type { LeaseRequestId, NodeId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { GroupView } from "../../protocol/cluster.ts";
import type { Body, Strategy } from "../../protocol/messages.ts";
import type { NodeMachine } from "../node/node.ts";
import { remember } from "../node/state.ts";
import { fits, sumOf } from "../resources.ts";
import { chooseNode, nodesFor } from "./policy.ts";
import type { Choice, Demand } from "./policy.ts";
import type { ClusterView } from "./view.ts";

export interface LeaseRouterPort {
  forward(to: NodeId, from: ProcessId, hops: number, body: Body<"leaseRequest">): void;
  relay<N extends "leaseCancel" | "leaseReturn" | "killProcess">(to: NodeId, from: ProcessId, name: N, body: Body<N>): void;
  reject(to: ProcessId, body: Body<"leaseReject">): void;
  /** A process of a node that is gone: whoever asks to have it ended is told that it is. */
  processIsGone(to: ProcessId, process: ProcessId): void;
  chance(): number;
}

interface Forwarded {
  readonly from: ProcessId;
  readonly body: Body<"leaseRequest">;
  readonly hops: number;
  readonly to: NodeId;
}

type InGroup = Extract<Strategy, { kind: "group" }>;

interface WaitsForGroup {
  readonly from: ProcessId;
  readonly body: Body<"leaseRequest">;
  readonly strategy: InGroup;
  readonly since: number;
}

/** A request is sent on at most so often; where it is then it waits. */
export const HOPS_MAX = 4;
/** A placement group that control has not told of is waited for so long. */
const UNKNOWN_GROUP_MS = 5_000;
const GROUPS_OVER_MAX = 10_000;
const FORWARDED_MAX = 100_000;
/** A request waits so long before it is looked at again. */
const AGAIN_MS = 50;
const LOOKED_AT_MAX = 64;
/** Where nobody has room a request waits so long in one queue, then in another: each job is to be heard on all nodes. */
const WANDER_MS = 300;

export class LeaseRouter {
  readonly #node: NodeMachine;
  readonly #view: ClusterView;
  readonly #port: LeaseRouterPort;
  readonly #forwarded = new Map<LeaseRequestId, Forwarded>();
  /** Of those: how many of each owner are where. */
  readonly #asked = new Map<ProcessId, Map<NodeId, number>>();
  /** Requests that came from elsewhere and how far they have come. */
  readonly #hops = new Map<LeaseRequestId, number>();

  /** Where the bundles of placement groups are. */
  readonly #groups = new Map<PlacementGroupId, GroupView>();
  readonly #groupsOver = new Map<PlacementGroupId, string>();
  /** Requests for bundles that are nowhere yet. */
  readonly #inGroups = new Map<LeaseRequestId, WaitsForGroup>();

  constructor(node: NodeMachine, view: ClusterView, port: LeaseRouterPort) {
    this.#node = node;
    this.#view = view;
    this.#port = port;
  }

  /** Sent on and not answered, as far as is known here. */
  get forwarded(): number {
    return this.#forwarded.size;
  }

  leaseRequest(from: ProcessId, body: Body<"leaseRequest">, now: number, hops = 0): void {
    const before = this.#forwarded.get(body.requestId);
    // A repeat; but one that has come further than it was sent has come back.
    if (before !== undefined && before.hops > hops) return this.#port.forward(before.to, from, before.hops, body);
    this.#forget(body.requestId);
    const { strategy, resources } = body.shape;
    if (strategy.kind === "group") return this.#inGroup(from, body, strategy, hops, now);
    if (hops > 0) {
      this.#node.ownerKnown(from);
      remember(this.#hops, body.requestId, hops, FORWARDED_MAX);
      // Whoever sent it has chosen this node: it is chosen again only if there is no room after all.
      if (fits(sumOf([resources, this.#node.queued()]), this.#node.free)) return this.#node.leaseRequest(from, body, now);
    }
    // Nowhere it can run, and here it is told.
    if (this.#node.isBeyondLimits(body)) return this.#node.leaseRequest(from, body, now);
    if (hops >= HOPS_MAX) return this.#node.leaseRequest(from, body, now);
    const request = body.shape.strategy.kind === "spread" && body.over === undefined ? { ...body, over: this.#open(body) } : body;
    const choice = this.#choose(from, request);
    switch (choice.kind) {
      case "never":
        return this.#port.reject(from, { requestId: body.requestId, failure: choice.failure });
      case "nowhere":
        return this.#node.leaseRequest(from, body, now);
      case "go":
      case "queue":
        if (choice.nodeId === this.#view.self) return this.#local(from, request, now);
        // What came from elsewhere to wait here does not go round.
        if (choice.kind === "queue" && hops > 0) return this.#local(from, request, now);
        return this.#forward(choice.nodeId, from, hops + 1, request);
      default:
        choice satisfies never;
    }
  }

  leaseCancel(from: ProcessId, body: Body<"leaseCancel">, now: number): void {
    if (this.#inGroups.delete(body.requestId)) return;
    const forwarded = this.#forwarded.get(body.requestId);
    if (forwarded === undefined) return this.#node.leaseCancel(from, body, now);
    this.#forget(body.requestId);
    this.#port.relay(forwarded.to, from, "leaseCancel", body);
  }

  leaseReturn(from: ProcessId, body: Body<"leaseReturn">, now: number): void {
    const to = this.#view.nodeOf(body.leaseId);
    if (to === this.#view.self) this.#node.leaseReturn(from, body, now);
    else if (to !== undefined) this.#port.relay(to, from, "leaseReturn", body);
  }

  killProcess(from: ProcessId, body: Body<"killProcess">, now: number): void {
    const to = this.#view.nodeOf(body.processId);
    if (to === this.#view.self) this.#node.killProcess(from, body, now);
    else if (to !== undefined && this.#view.isAlive(to)) this.#port.relay(to, from, "killProcess", body);
    else this.#port.processIsGone(from, body.processId);
  }

  /** A grant or a refusal went to its owner through here. */
  settled(requestId: LeaseRequestId): void {
    this.#forget(requestId);
  }

  /** What had been sent to a node that is gone finds another. */
  nodeLost(id: NodeId, now: number): void {
    for (const [requestId, { from, body, hops, to }] of [...this.#forwarded]) {
      if (to !== id) continue;
      this.#forget(requestId);
      this.leaseRequest(from, body, now, Math.max(0, hops - 1));
    }
  }

  /** Control says where the bundles of these are. */
  groupsChanged(groups: readonly GroupView[], now: number): void {
    for (const group of groups) {
      const { groupId, state, message } = group;
      if (state !== "removed" && state !== "failed") {
        this.#groups.set(groupId, group);
        continue;
      }
      this.#groups.delete(groupId);
      const why = message ?? `placement group ${groupId} was removed`;
      remember(this.#groupsOver, groupId, why, GROUPS_OVER_MAX);
      this.#node.groupGone(groupId, why, now);
    }
    this.#lookForGroups(now);
  }

  /** After news of other nodes, and now and then: what waits here and could run there goes there. */
  rebalance(now: number): void {
    this.#lookForGroups(now);
    let looked = 0;
    for (const { owner, body, since, mayWander } of this.#node.waitingLeases()) {
      if (now - since < AGAIN_MS) continue;
      if (++looked > LOOKED_AT_MAX) return;
      const hops = this.#hops.get(body.requestId) ?? 0;
      const { strategy } = body.shape;
      if (mayWander && now - since >= WANDER_MS && this.#wander(owner, body, hops, now)) continue;
      if (hops >= HOPS_MAX) continue;
      if (strategy.kind === "group") {
        // The bundles here are full; whether others are is known where they are.
        const to = strategy.bundleIndex < 0 ? this.#nodeInGroup(strategy) : undefined;
        if (to !== undefined && this.#node.withdrawLease(body.requestId, now)) this.#forward(to, owner, hops + 1, body);
        continue;
      }
      const choice = this.#choose(owner, body);
      if (choice.kind !== "go" || choice.nodeId === this.#view.self) continue;
      if (this.#node.withdrawLease(body.requestId, now)) this.#forward(choice.nodeId, owner, hops + 1, body);
    }
  }

  #inGroup(from: ProcessId, body: Body<"leaseRequest">, strategy: InGroup, hops: number, now: number): void {
    if (hops > 0) {
      this.#node.ownerKnown(from);
      remember(this.#hops, body.requestId, hops, FORWARDED_MAX);
    }
    const { groupId, bundleIndex } = strategy;
    if (this.#node.hasBundle(groupId, bundleIndex)) return this.#node.leaseRequest(from, body, now);
    const over = this.#groupsOver.get(groupId);
    if (over !== undefined) return this.#refuse(from, body, over);
    const bundles = this.#groups.get(groupId)?.nodes.length ?? Infinity;
    if (bundleIndex >= bundles)
      return this.#refuse(from, body, `placement group ${groupId} has ${bundles} bundles, not ${bundleIndex + 1}`);
    const to = hops < HOPS_MAX ? this.#nodeInGroup(strategy) : undefined;
    if (to !== undefined) return this.#forward(to, from, hops + 1, body);
    const { since } = this.#inGroups.get(body.requestId) ?? { since: now };
    this.#inGroups.set(body.requestId, { from, body, strategy, since });
  }

  /** Another node that has the bundle, or one of them. */
  #nodeInGroup({ groupId, bundleIndex }: InGroup): NodeId | undefined {
    const all = this.#groups.get(groupId)?.nodes ?? [];
    const nodes = (bundleIndex < 0 ? [...new Set(all)] : all.slice(bundleIndex, bundleIndex + 1)) as NodeId[];
    const others = nodes.filter((node) => node !== this.#view.self && this.#view.isAlive(node));
    return others[Math.floor(this.#port.chance() * others.length)];
  }

  #lookForGroups(now: number): void {
    for (const [requestId, { from, body, strategy, since }] of [...this.#inGroups]) {
      const known = this.#groups.has(strategy.groupId) || this.#groupsOver.has(strategy.groupId);
      if (!known && now - since < UNKNOWN_GROUP_MS) continue;
      if (!known) {
        this.#inGroups.delete(requestId);
        this.#refuse(from, body, `placement group ${strategy.groupId} is not there: it was removed`);
      } else if (this.#groupsOver.has(strategy.groupId) || this.#placeable(strategy)) {
        this.#inGroups.delete(requestId);
        this.leaseRequest(from, body, now);
      }
    }
  }

  #placeable(strategy: InGroup): boolean {
    return this.#node.hasBundle(strategy.groupId, strategy.bundleIndex) || this.#nodeInGroup(strategy) !== undefined;
  }

  #refuse(from: ProcessId, body: Body<"leaseRequest">, why: string): void {
    const failure = { code: "PLACEMENT", message: `task ${body.shape.name} cannot run: ${why}` };
    this.#port.reject(from, { requestId: body.requestId, failure });
  }

  #local(from: ProcessId, body: Body<"leaseRequest">, now: number): void {
    this.#view.charge(this.#view.self, body.shape.resources);
    this.#node.leaseRequest(from, body, now);
  }

  #forward(to: NodeId, from: ProcessId, hops: number, body: Body<"leaseRequest">): void {
    this.#view.charge(to, body.shape.resources);
    this.#forget(body.requestId);
    if (this.#forwarded.size >= FORWARDED_MAX) this.#forget(this.#forwarded.keys().next().value as LeaseRequestId);
    this.#forwarded.set(body.requestId, { from, body, hops, to });
    const asked = this.#asked.get(from);
    if (asked === undefined) this.#asked.set(from, new Map([[to, 1]]));
    else asked.set(to, (asked.get(to) ?? 0) + 1);
    this.#port.forward(to, from, hops, body);
  }

  #forget(requestId: LeaseRequestId): void {
    const forwarded = this.#forwarded.get(requestId);
    if (forwarded === undefined) return;
    this.#forwarded.delete(requestId);
    const { from, to } = forwarded;
    const asked = this.#asked.get(from)!;
    const rest = asked.get(to)! - 1;
    if (rest > 0) asked.set(to, rest);
    else if (asked.size > 1) asked.delete(to);
    else this.#asked.delete(from);
  }

  #choose(from: ProcessId, body: Body<"leaseRequest">): Choice {
    const there = this.#asked.get(from);
    const asked = (node: NodeId): number => (node === this.#view.self ? this.#node.waitingOf(from) : (there?.get(node) ?? 0));
    const near = body.near === undefined ? undefined : this.#view.nodeWith(body.near);
    return chooseNode(this.#view, { ...demandOf(body), asked, near }, () => this.#port.chance());
  }

  /** How many nodes have room for it. */
  #open(body: Body<"leaseRequest">): number {
    const { resources } = body.shape;
    return nodesFor(this.#view, demandOf(body)).filter((node) => fits(resources, this.#view.freeOf(node))).length;
  }

  /** To another queue, where that is as good as this one. */
  #wander(owner: ProcessId, body: Body<"leaseRequest">, hops: number, now: number): boolean {
    if (body.shape.strategy.kind === "group" || body.shape.strategy.kind === "affinity") return false;
    const others = nodesFor(this.#view, demandOf(body)).filter(({ view }) => view.nodeId !== this.#view.self);
    const to = others[Math.floor(this.#port.chance() * others.length)]?.view.nodeId;
    if (to === undefined || !this.#node.withdrawLease(body.requestId, now)) return false;
    this.#forward(to, owner, Math.min(hops + 1, HOPS_MAX), body);
    return true;
  }

  check(): void {
    let counted = 0;
    for (const asked of this.#asked.values()) for (const count of asked.values()) counted += count;
    if (counted !== this.#forwarded.size) throw new Error(`${this.#forwarded.size} requests were sent on, ${counted} are counted`);
  }
}

export function demandOf({ shape }: Body<"leaseRequest">): Demand {
  const { resources, strategy, labelSelector, name } = shape;
  return { what: `task ${name}`, resources, strategy, labelSelector };
}
