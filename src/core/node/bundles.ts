/**
 * This node's part of placement groups that control spreads over nodes (src/core/control/groups.ts): bundles are reserved, together and
 * in the queue like every other request, and become pools of the group when control says that all nodes have reserved theirs.
 */
import type { PlacementGroupId } from "../../protocol/ids.ts";
import type { ReservedBundle } from "../../protocol/cluster.ts";
import type { Body } from "../../protocol/messages.ts";
import { sumOf } from "../resources.ts";
import { groupLabel, refuse, removeGroup } from "./groups.ts";
import { Ledger } from "./ledger.ts";
import type { Group, NodeState } from "./state.ts";

const keyOf = (groupId: PlacementGroupId, attempt: number): string => `bundles ${groupId} ${attempt}`;

export function prepareBundles(s: NodeState, body: Body<"groupPrepare">, now: number): void {
  const { groupId, jobId, name, attempt, bundles, patient, terms } = body;
  const key = keyOf(groupId, attempt);
  if (s.prepared.has(key)) return;
  s.jobs.known(jobId, terms);
  const part: Group = {
    id: groupId,
    name,
    jobId,
    strategy: "PACK",
    // Its job's end is told to control, which ends it.
    detached: true,
    bundles: bundles.map(({ resources }) => resources),
    indices: bundles.map(({ index }) => index),
    count: body.count,
    attempt,
    state: "pending",
    failure: undefined,
    reserved: [],
    ledgers: [],
    waiting: [],
  };
  s.prepared.set(key, part);
  if (patient && couldHold(s, part)) return wait(s, part, key, now);
  for (const bundle of part.bundles) {
    const allocation = s.ledger.take(bundle, s.jobs.of(jobId), true);
    if (allocation === undefined) break;
    part.reserved.push(allocation);
  }
  const ok = part.reserved.length === part.bundles.length;
  if (ok) part.state = "prepared";
  else {
    for (const allocation of part.reserved.splice(0)) s.ledger.give(allocation);
    s.prepared.delete(key);
  }
  s.port.bundlesPrepared(groupId, attempt, ok);
}

function couldHold(s: NodeState, part: Group): boolean {
  const sum = sumOf(part.bundles);
  return s.ledger.couldNow(sum) && s.jobs.of(part.jobId).couldNow(sum);
}

function wait(s: NodeState, part: Group, key: string, now: number): void {
  s.queue.add({
    kind: "group",
    id: key,
    classKey: key,
    owner: key as never,
    account: s.jobs.of(part.jobId),
    priority: 0,
    demand: sumOf(part.bundles),
    env: "",
    strategy: { kind: "default" },
    labelSelector: undefined,
    what: groupLabel(part),
    since: now,
    group: part,
  });
}

/** It had waited, and has what it needs. */
export function bundlesReserved(s: NodeState, part: Group): void {
  part.state = "prepared";
  s.port.bundlesPrepared(part.id, part.attempt, true);
}

export function commitBundles(s: NodeState, { groupId, attempt }: Body<"groupCommit">): void {
  const part = s.prepared.get(keyOf(groupId, attempt));
  if (part?.state !== "prepared") return;
  s.prepared.delete(keyOf(groupId, attempt));
  let group = s.groups.get(groupId);
  if (group === undefined || group.state === "removed" || group.state === "failed") {
    group = { ...part, bundles: [], indices: [], reserved: [], ledgers: [], state: "ready" };
    s.groups.set(groupId, group);
    s.groupsOver.delete(groupId);
  }
  group.attempt = attempt;
  for (const [i, allocation] of part.reserved.entries()) {
    group.bundles.push(part.bundles[i]!);
    group.indices.push(part.indices[i]!);
    group.reserved.push(allocation);
    group.ledgers.push(new Ledger(allocation.amounts, allocation.gpus));
  }
}

export function cancelBundles(s: NodeState, { groupId, attempt }: Body<"groupCancel">): void {
  const key = keyOf(groupId, attempt);
  const part = s.prepared.get(key);
  if (part === undefined) return;
  s.prepared.delete(key);
  s.queue.remove(key);
  for (const allocation of part.reserved) s.ledger.give(allocation);
}

/** Control has removed the group. */
export function removeBundles(s: NodeState, { groupId }: Body<"groupRemove">): void {
  for (const { id, attempt } of [...s.prepared.values()]) if (id === groupId) cancelBundles(s, { groupId, attempt });
  removeGroup(s, groupId);
}

/** The group is over, and what waits for it here waits in vain. */
export function refuseGroup(s: NodeState, id: PlacementGroupId, message: string): void {
  for (const want of [...s.queue.wants]) {
    if (want.strategy.kind === "group" && want.strategy.groupId === id) refuse(s, want.id, { code: "PLACEMENT", message });
  }
}

/** For control, when this node joins again. */
export function reservedBundles(s: NodeState): ReservedBundle[] {
  const ready = [...s.groups.values()].filter(({ state, attempt }) => state === "ready" && attempt > 0);
  return [...s.prepared.values(), ...ready].flatMap(({ id, attempt, indices, state }) =>
    state === "pending" ? [] : indices.map((index) => ({ groupId: id, attempt, index, ready: state === "ready" })),
  );
}
