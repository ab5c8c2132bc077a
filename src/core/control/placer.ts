/**
 * Where actors go: control chooses a node by the same policy as for leases and asks it; the node finds a worker when it has room.
 * An actor that no node has room for waits in the queue of one, as tasks do, and is asked for elsewhere when there is room before.
 * One that no node can serve waits here until a node comes.
 *
 * A node that was asked before may still answer: the first that has a worker is taken, the others are told that it is not needed.
 */
import type { ActorId, JobId, NodeId, PlacementGroupId } from "../../protocol/ids.ts";
import type { DeathReason, Failure, LeaseShape, ResourceAmounts } from "../../protocol/messages.ts";
import { chooseNode } from "../cluster/policy.ts";
import type { Choice } from "../cluster/policy.ts";
import type { ClusterView } from "../cluster/view.ts";
import type { ActorRequest } from "../node/admission.ts";
import { describeResources } from "../resources.ts";
import type { Unplaced } from "./unplaced.ts";

export type ActorEnd = { readonly kill: DeathReason } | { readonly gently: string };

export interface PlacerPort {
  place(to: NodeId, request: ActorRequest): void;
  unplace(to: NodeId, actorId: ActorId, epoch: number, end: ActorEnd): void;
  /** It is asked for there now, by another incarnation: answered by `placeAt` if it is still wanted. */
  moves(actorId: ActorId, epoch: number, to: NodeId): void;
  /** It can never be placed. */
  refused(actorId: ActorId, epoch: number, failure: Failure): void;
  /** A number from 0 to 1. */
  chance(): number;
  /** Why its job's limits can never let that in, if so. */
  beyondLimits(jobId: JobId, demand: Readonly<ResourceAmounts>): string | undefined;
  /** Where the bundles of a placement group are. */
  groupNode(groupId: PlacementGroupId, bundleIndex: number, demand: Readonly<ResourceAmounts>): Choice;
}

/** It waits on a node for so long before another is looked for. */
const AGAIN_MS = 200;
/** After so long another is looked for without news too: it would wait for one that is full while others are free. */
const STILL_MS = 2_000;
/** Of labels in a message to people, characters. */
const LABELS_MAX = 1000;

interface Waiting {
  readonly request: ActorRequest;
  readonly demand: Readonly<ResourceAmounts>;
  /** Actors of one class fit in the same places. */
  readonly classKey: string;
  /** The node that was asked last. */
  node: NodeId | undefined;
  askedAt: number;
}

/** For listings: what waits and why. */
export interface PendingActor {
  readonly actorId: ActorId;
  readonly demand: Readonly<ResourceAmounts>;
  readonly node: NodeId | undefined;
}

export class ActorPlacer {
  readonly #view: ClusterView;
  readonly #port: PlacerPort;
  readonly #waiting = new Map<ActorId, Waiting>();
  /** What is free in placement groups is no news: actors that wait in one are looked at now and then. */
  #lookAt: number | undefined;

  constructor(view: ClusterView, port: PlacerPort) {
    this.#view = view;
    this.#port = port;
  }

  get pending(): PendingActor[] {
    return [...this.#waiting.values()].map(({ request, demand, node }) => ({ actorId: request.actorId, demand, node }));
  }

  /** Those that no node can ever have, as nodes are. */
  *placeless(): Generator<Unplaced> {
    for (const { request, demand, node } of this.#waiting.values()) {
      const { actorId, jobId, className, shape } = request;
      if (node !== undefined || shape.strategy.kind === "group") continue;
      const limit = this.#port.beyondLimits(jobId, demand);
      const labels = describeLabels(shape);
      const why =
        limit !== undefined
          ? `${limit}. It will never run; kill it, ask for less, or start the job with a higher limit.`
          : `no node of this cluster has that${labels}. It will wait for such a node; kill it, or ask for less.`;
      yield { key: actorId, jobId, message: `actor ${className} waits: it needs ${describeResources(demand)}, and ${why}` };
    }
  }

  place(request: ActorRequest, now: number): void {
    this.#choose(this.#waits(request, now), now);
  }

  /** On a node that was chosen before. */
  placeAt(request: ActorRequest, node: NodeId, now: number): void {
    const waiting = this.#waits(request, now);
    if (this.#view.isAlive(node)) this.#ask(waiting, node, now);
    else this.#choose(waiting, now);
  }

  /** Whether this incarnation waits for a node to have it. */
  isWaiting(actorId: ActorId, epoch: number): boolean {
    return this.#waiting.get(actorId)?.request.epoch === epoch;
  }

  /** The incarnation is not wanted any more. `at` is the node where it runs, if it does. */
  unplace(actorId: ActorId, epoch: number, end: ActorEnd, at: NodeId | undefined): void {
    const waiting = this.#waiting.get(actorId);
    const asked = waiting?.request.epoch === epoch ? waiting.node : undefined;
    if (waiting?.request.epoch === epoch) this.#waiting.delete(actorId);
    for (const node of new Set([asked, at])) {
      if (node !== undefined && this.#view.isAlive(node)) this.#port.unplace(node, actorId, epoch, end);
    }
  }

  /** A node has a worker for it. Returns whether that is wanted: else the node is told to give it up. */
  placed(from: NodeId, actorId: ActorId, epoch: number): boolean {
    const waiting = this.#waiting.get(actorId);
    if (waiting?.request.epoch !== epoch) {
      this.#port.unplace(from, actorId, epoch, { gently: "its actor is over, or runs elsewhere" });
      return false;
    }
    this.#waiting.delete(actorId);
    const { node } = waiting;
    if (node !== undefined && node !== from) this.#port.unplace(node, actorId, epoch, { gently: "its actor runs elsewhere" });
    return true;
  }

  /** A node will not have it. Returns whether that is the last word: a node that is not asked any more has none. */
  unplaced(from: NodeId, actorId: ActorId, epoch: number): boolean {
    const waiting = this.#waiting.get(actorId);
    if (waiting?.request.epoch !== epoch || waiting.node !== from) return false;
    this.#waiting.delete(actorId);
    return true;
  }

  /** The node has joined again and says that it does not have these: what it was asked may have been lost. */
  rejoined(id: NodeId): void {
    for (const { request, node } of this.#waiting.values()) if (node === id) this.#port.place(id, request);
  }

  nodeLost(id: NodeId, now: number): void {
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.node !== id) continue;
      waiting.node = undefined;
      this.#choose(waiting, now);
    }
  }

  nextDeadline(): number | undefined {
    return this.#lookAt;
  }

  tick(now: number): void {
    if (this.#lookAt !== undefined && now >= this.#lookAt) this.look(now);
  }

  /** After news of nodes, or of placement groups. */
  look(now: number): void {
    this.#lookAt = undefined;
    const blocked = new Set<string>();
    for (const waiting of [...this.#waiting.values()]) {
      if (waiting.request.shape.strategy.kind === "group" && waiting.node !== undefined) this.#lookBy(now + AGAIN_MS);
      if (blocked.has(waiting.classKey)) continue;
      if (waiting.node !== undefined && now - waiting.askedAt < AGAIN_MS) {
        this.#lookBy(waiting.askedAt + STILL_MS);
        continue;
      }
      const { node } = waiting;
      this.#choose(waiting, now);
      if (this.#waiting.has(waiting.request.actorId) && waiting.node === node) blocked.add(waiting.classKey);
    }
  }

  check(): void {
    for (const [actorId, { request }] of this.#waiting) {
      if (request.actorId !== actorId) throw new Error(`actor ${actorId} waits under another id`);
    }
  }

  #waits(request: ActorRequest, now: number): Waiting {
    const demand = demandOf(request);
    const { strategy, labelSelector } = request.shape;
    const classKey = JSON.stringify([strategy, labelSelector, demand]);
    const waiting: Waiting = { request, demand, classKey, node: undefined, askedAt: now };
    this.#waiting.set(request.actorId, waiting);
    return waiting;
  }

  #choose(waiting: Waiting, now: number): void {
    const { request } = waiting;
    const choice = this.#choice(waiting);
    switch (choice.kind) {
      case "never":
        this.#waiting.delete(request.actorId);
        if (waiting.node !== undefined) {
          this.#port.unplace(waiting.node, request.actorId, request.epoch, { gently: "no node may run its actor" });
        }
        return this.#port.refused(request.actorId, request.epoch, choice.failure);
      case "nowhere":
        return;
      case "go":
        if (waiting.node === undefined) this.#ask(waiting, choice.nodeId, now);
        else if (choice.nodeId !== waiting.node) this.#move(waiting, waiting.node, choice.nodeId);
        return;
      case "queue":
        if (waiting.node === undefined) this.#ask(waiting, choice.nodeId, now);
        return;
      default:
        choice satisfies never;
    }
  }

  #choice({ request, demand }: Waiting): Choice {
    const { strategy, labelSelector } = request.shape;
    if (this.#port.beyondLimits(request.jobId, demand) !== undefined && strategy.kind !== "group") return { kind: "nowhere" };
    if (strategy.kind === "group") return this.#port.groupNode(strategy.groupId, strategy.bundleIndex, demand);
    const what = `actor ${request.className}`;
    return chooseNode(this.#view, { what, resources: demand, strategy, labelSelector }, () => this.#port.chance());
  }

  #move({ request: { actorId, epoch } }: Waiting, from: NodeId, to: NodeId): void {
    this.#waiting.delete(actorId);
    this.#port.unplace(from, actorId, epoch, { gently: "its actor is placed elsewhere" });
    this.#port.moves(actorId, epoch, to);
  }

  #lookBy(at: number): void {
    this.#lookAt = Math.min(this.#lookAt ?? Infinity, at);
  }

  #ask(waiting: Waiting, node: NodeId, now: number): void {
    const { request, demand } = waiting;
    waiting.node = node;
    waiting.askedAt = now;
    this.#lookBy(now + (request.shape.strategy.kind === "group" ? AGAIN_MS : STILL_MS));
    this.#view.charge(node, demand);
    this.#port.place(node, request);
  }
}

function describeLabels({ strategy, labelSelector }: LeaseShape): string {
  const labels = strategy.kind === "labels" ? { ...strategy.hard, ...labelSelector } : labelSelector;
  return labels === undefined ? "" : ` with the labels ${JSON.stringify(labels).slice(0, LABELS_MAX)}`;
}

/** What it needs to be placed: what it keeps, and what it needs only for its start. */
function demandOf({ resources, placementResources }: ActorRequest): ResourceAmounts {
  const demand: ResourceAmounts = Object.create(null) as ResourceAmounts;
  for (const amounts of [resources, placementResources]) {
    for (const name in amounts) if (amounts[name]! > (demand[name] ?? 0)) demand[name] = amounts[name]!;
  }
  return demand;
}
