/**
 * Placement groups of this node: all bundles are reserved together or none, each bundle a pool of its own. Requests for
 * a group wait in the queue like others; here is what happens to it before and after.
 */
import type { JobId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { Body, Failure, JobTerms, ResourceAmounts } from "../../protocol/messages.ts";
import { describeResources, sumOf } from "../resources.ts";
import { describeLimit, limitsOf } from "./jobs.ts";
import { Ledger } from "./ledger.ts";
import type { Allocation } from "./ledger.ts";
import { remember, TOMBSTONES_MAX } from "./state.ts";
import type { Group, NodeState } from "./state.ts";

type Question<K> = Extract<Body<"ask">["question"], { kind: K }>;

/** Groups that are over are remembered, so that a late question has its answer. */
const REMEMBERED_MAX = 10_000;

const placementFailure = (message: string): Failure => ({ code: "PLACEMENT", message });
export const groupLabel = (group: { id: string; name?: string | undefined }): string =>
  group.name === undefined ? `placement group ${group.id}` : `placement group ${group.name}`;

export function createGroup(s: NodeState, from: ProcessId, call: number, q: Question<"groupCreate">, now: number): void {
  const known = s.groups.get(q.groupId);
  if (known !== undefined) return answerState(s, from, call, known);
  const taken = q.name !== undefined && s.groupNames.has(q.name);
  if (taken) return answer(s, from, call, placementFailure(`the name of ${groupLabel({ id: q.groupId, name: q.name })} is taken`));
  const group: Group = {
    id: q.groupId,
    name: q.name,
    jobId: q.jobId,
    strategy: q.strategy,
    detached: q.detached,
    bundles: q.bundles,
    indices: q.bundles.map((_bundle, index) => index),
    count: q.bundles.length,
    attempt: 0,
    state: "pending",
    failure: impossible(s, q),
    reserved: [],
    ledgers: [],
    waiting: [],
  };
  s.groups.set(group.id, group);
  if (group.failure !== undefined) {
    over(s, group, "failed");
    return answerState(s, from, call, group);
  }
  if (group.name !== undefined) s.groupNames.set(group.name, group.id);
  s.queue.add({
    kind: "group",
    id: group.id,
    classKey: `group ${group.id}`,
    owner: from,
    account: s.jobs.of(q.jobId),
    priority: 0,
    demand: sumOf(q.bundles),
    env: "",
    strategy: { kind: "default" },
    labelSelector: undefined,
    what: groupLabel(group),
    since: now,
    group,
  });
  answerState(s, from, call, group);
}

/** Why no set of nodes can ever serve it, if so. */
function impossible(s: NodeState, q: Question<"groupCreate">): Failure | undefined {
  const never = (why: string): Failure =>
    placementFailure(`${groupLabel({ id: q.groupId, name: q.name })}: no set of nodes can ever serve it: ${why}`);
  if (q.bundles.length === 0) return never("it has no bundle");
  if (q.strategy === "STRICT_SPREAD" && q.bundles.length > 1) {
    return never(`STRICT_SPREAD asks for ${q.bundles.length} nodes, this cluster has 1`);
  }
  const whole = (amounts: ResourceAmounts): string =>
    `${describeResources(amounts)}, this cluster has ${describeResources(s.ledger.total)}`;
  const bundle = q.bundles.find((each) => !s.ledger.couldEver(each));
  if (bundle !== undefined) return never(`a bundle asks for ${whole(bundle)}`);
  const empty = new Ledger(s.ledger.total);
  if (!q.bundles.every((each) => empty.take(each, undefined) !== undefined))
    return never(`its bundles ask together for ${whole(sumOf(q.bundles))}`);
  const limit = beyondLimits(s.jobs.of(q.jobId).terms, q.bundles);
  return limit === undefined ? undefined : never(limit);
}

/** Whether bundles ask together for more than their job may ever have at a time: then how. */
export function beyondLimits(terms: JobTerms, bundles: readonly Readonly<ResourceAmounts>[]): string | undefined {
  const limits = limitsOf(terms);
  const sum = sumOf(bundles);
  for (const name in limits) {
    if ((sum[name] ?? 0) <= limits[name]!) continue;
    return `its bundles ask together for ${describeResources(sum)}, and its job may have ${describeLimit(name, limits[name]!)} at a time`;
  }
  return undefined;
}

export function groupPlaced(s: NodeState, group: Group, reserved: Allocation[]): void {
  group.state = "ready";
  group.reserved = reserved;
  group.ledgers = reserved.map((allocation) => new Ledger(allocation.amounts, allocation.gpus));
  answerWaiting(s, group);
}

/** Answered when the group is ready, or never will be. */
export function awaitGroup(s: NodeState, from: ProcessId, call: number, id: PlacementGroupId): void {
  const group = s.groups.get(id);
  if (group === undefined) return answer(s, from, call, placementFailure(`placement group ${id} is not known: it was removed`));
  if (group.state === "pending") group.waiting.push({ from, call });
  else answerState(s, from, call, group);
}

export function findGroup(s: NodeState, from: ProcessId, call: number, name: string): void {
  const id = s.groupNames.get(name);
  const group = id === undefined ? undefined : s.groups.get(id);
  if (group === undefined) return answer(s, from, call, placementFailure(`there is no placement group named ${JSON.stringify(name)}`));
  answerState(s, from, call, group);
}

export function removeGroup(s: NodeState, id: PlacementGroupId): void {
  const group = s.groups.get(id);
  if (group === undefined || (group.state !== "pending" && group.state !== "ready")) return;
  const before = group.state;
  group.failure = placementFailure(`${groupLabel(group)} was removed`);
  if (group.name !== undefined) s.groupNames.delete(group.name);
  s.queue.remove(group.id);
  for (const want of [...s.queue.wants]) {
    if (want.strategy.kind === "group" && want.strategy.groupId === id) refuse(s, want.id, group.failure);
  }
  if (before === "pending") return over(s, group, "removed");
  group.state = "removing";
  for (const lease of s.leases.values()) if (lease.group === group) s.pool.kill(lease.worker, killed(group));
  for (const hold of s.actors.values()) if (hold.group === group) s.pool.kill(hold.worker, killed(group));
  releaseGroup(s, group);
}

/** Gives the reservation back once nothing inside is held any more. */
export function releaseGroup(s: NodeState, group: Group): void {
  if (group.state !== "removing") return;
  // A task in it that waits for others may hold nothing now, and still go on until its worker is gone.
  for (const lease of s.leases.values()) if (lease.group === group) return;
  for (const hold of s.actors.values()) if (hold.group === group) return;
  for (const allocation of group.reserved) s.ledger.give(allocation);
  group.reserved = [];
  group.ledgers = [];
  over(s, group, "removed");
}

export function removeGroupsOf(s: NodeState, jobId: JobId): void {
  for (const group of [...s.groups.values()]) if (group.jobId === jobId && !group.detached) removeGroup(s, group.id);
}

/** A waiting request will never be served. */
export function refuse(s: NodeState, wantId: string, failure: Failure, reason?: Body<"leaseReject">["reason"]): void {
  const want = s.queue.remove(wantId);
  if (want?.lease !== undefined) {
    const body = { requestId: want.lease.requestId, failure, reason };
    remember(s.tombstones, want.lease.requestId, body, TOMBSTONES_MAX);
    s.port.send(want.owner, "leaseReject", body);
  } else if (want?.actor !== undefined) s.port.actorUnplaced(want.actor.actorId, want.actor.epoch, failure, reason);
}

function over(s: NodeState, group: Group, state: "removed" | "failed"): void {
  group.state = state;
  answerWaiting(s, group);
  s.groupsOver.add(group.id);
  if (s.groupsOver.size <= REMEMBERED_MAX) return;
  const [first] = s.groupsOver;
  s.groupsOver.delete(first!);
  s.groups.delete(first!);
}

function answerWaiting(s: NodeState, group: Group): void {
  for (const { from, call } of group.waiting.splice(0)) answerState(s, from, call, group);
}

const killed = (group: Group) => ({ cause: "killed" as const, message: `${groupLabel(group)} was removed` });

function answerState(s: NodeState, from: ProcessId, call: number, group: Group): void {
  if (group.failure !== undefined) return answer(s, from, call, group.failure);
  answer(s, from, call, undefined, {
    groupId: group.id,
    state: group.state,
    name: group.name,
    strategy: group.strategy,
    bundles: group.bundles,
    detached: group.detached,
  });
}

function answer(s: NodeState, from: ProcessId, call: number, failure: Failure | undefined, body?: unknown): void {
  s.port.send(from, "answer", { call, failure, body: body === undefined ? undefined : JSON.stringify(body) });
}
