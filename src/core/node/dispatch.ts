/**
 * Who gets resources and workers now. One pass: first the tasks that have what they waited for go on, then the waiting
 * requests take turns. A request that fits but lacks a worker keeps its place within the pass (a promise), so that
 * nobody takes the resources from it, and gets the first worker of its environment that comes: workers are bound late.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { LeaseId } from "../../protocol/ids.ts";
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { excessOf } from "../resources.ts";
import { bundlesReserved } from "./bundles.ts";
import { groupPlaced } from "./groups.ts";
import type { JobAccount } from "./jobs.ts";
import { matches } from "./labels.ts";
import { become } from "./lease-states.ts";
import type { Allocation, Ledger } from "./ledger.ts";
import type { Turn, WaitingClass } from "./queue.ts";
import { revoke, wantBack } from "./revoke.ts";
import type { Group, Lease, NodeState, Want, Worker } from "./state.ts";

/** How long at a time a class that was passed over, or a task that could go on, may gather what becomes free. */
const GATHER_MS = 500;

interface Place {
  readonly ledger: Ledger;
  readonly group: Group | undefined;
  readonly allocation: Allocation;
}

interface Pass {
  readonly now: number;
  /** Held until the end of the pass: for promises, for tasks that go on next, for classes that gather. */
  readonly held: { readonly ledger: Ledger; readonly allocation: Allocation }[];
  /** Promises by environment. */
  readonly promises: Map<string, number>;
  /** Environments for which no process is started yet, because tasks that wait may soon go on. */
  readonly heldBack: Set<string>;
  /** Actors that count on a worker that was asked whether they can have it, by environment. */
  readonly asking: Map<string, number>;
  /** How many of the promises need a process that is not starting yet. */
  planned: number;
  readonly blocked: WaitingClass[];
  /** Classes that lack room in their job's limits. */
  readonly limited: WaitingClass[];
  served: boolean;
}

export function dispatch(s: NodeState, now: number): void {
  const tables = { promises: new Map<string, number>(), heldBack: new Set<string>(), asking: new Map<string, number>() };
  const pass: Pass = { now, held: [], ...tables, planned: 0, blocked: [], limited: [], served: false };
  s.jobs.advance(now);
  resumeTasks(s, pass);
  s.queue.serve((waiting, promised) => serveOne(s, pass, waiting, promised));
  for (const { ledger, allocation } of pass.held) ledger.give(allocation);
  if (pass.served) for (const waiting of [...pass.blocked, ...pass.limited]) passedOver(s, waiting, now);
  for (const [env, wanted] of pass.promises) startFor(s, env, wanted, now);
  s.pool.heldBack(pass.heldBack);
  revoke(s, pass.blocked, pass.limited, now);
  s.environments.sweep(s.pool, s.queue);
}

/** The pools that may serve it; none while it matches nothing here. */
export function ledgersFor(s: NodeState, want: Want): { ledger: Ledger; group: Group | undefined }[] {
  const { strategy } = want;
  if (strategy.kind === "group") {
    const group = s.groups.get(strategy.groupId);
    if (group?.state !== "ready") return [];
    const { bundleIndex } = strategy;
    const ledgers = group.ledgers.filter((_ledger, i) => bundleIndex < 0 || group.indices[i] === bundleIndex);
    return ledgers.map((ledger) => ({ ledger, group }));
  }
  return labelsFit(s, want) ? [{ ledger: s.ledger, group: undefined }] : [];
}

export function labelsFit(s: NodeState, want: Want): boolean {
  if (want.strategy.kind === "labels" && !matches(want.strategy.hard, s.config.labels)) return false;
  return want.labelSelector === undefined || matches(want.labelSelector, s.config.labels);
}

/** CPUs that a task which goes on takes: no more than it can ever have while the actors and groups that there are live. */
export function resumeDemand(lease: Lease): ResourceAmounts {
  const all = lease.grant.assigned.CPU ?? 0;
  const possible = (lease.ledger.total.CPU ?? 0) - (lease.ledger.life.CPU ?? 0);
  const limit = lease.kept.account?.limits.CPU ?? Infinity;
  const cpu = Math.min(all, possible, limit - (lease.kept.account?.lifeOf("CPU") ?? 0));
  return cpu > 0 ? { CPU: cpu } : {};
}

function resumeTasks(s: NodeState, pass: Pass): void {
  const short: Lease[] = [];
  for (const lease of s.resuming) {
    if (lease.worker.active !== undefined) continue;
    const cpu = lease.ledger.take(resumeDemand(lease), lease.kept.account);
    if (cpu === undefined) {
      short.push(lease);
      continue;
    }
    lease.cpu = cpu;
    become(s, lease, "active");
    s.port.send(lease.worker.id, "taskResumed", { leaseId: lease.id, turn: lease.turn });
    // With less than its shape asks for it ends this task and no other (sim seed 174).
    if ((cpu.amounts.CPU ?? 0) < (lease.grant.assigned.CPU ?? 0) && !s.wanted.has(lease)) wantBack(s, lease);
  }
  // What is free now is kept for those that need more of it, but not for ever: they may wait for a task that never ends.
  for (const lease of short) {
    const end = (round: number): number => lease.resumingSince + (round + 1) * GATHER_MS;
    // As the alarm is set: rounded, a round could still last when its alarm goes, which would be set for now for ever (sim seed 20835).
    let round = Math.floor((pass.now - lease.resumingSince) / GATHER_MS);
    if (pass.now >= end(round)) round++;
    s.alarm.set(end(round));
    if (round % 2 !== 0) continue;
    pass.held.push({ ledger: lease.ledger, allocation: lease.ledger.takePartial(resumeDemand(lease), lease.kept.account) });
  }
}

function serveOne(s: NodeState, pass: Pass, waiting: WaitingClass, promised: number): Turn {
  const want = waiting.head;
  if (want.kind === "group") return serveGroup(s, pass, waiting, want);
  const place = findPlace(s, want);
  if (place === undefined) return block(s, pass, waiting, want);
  // Workers come first to those who were promised one before.
  const worker = promised > 0 ? undefined : findWorker(s, pass, want);
  if (worker === undefined) {
    const kept = promise(s, pass, want);
    if (kept) pass.held.push(place);
    else place.ledger.give(place.allocation);
    return kept ? "promised" : "blocked";
  }
  pass.served = true;
  if (want.lease !== undefined) grantLease(s, want, place, worker, pass.now);
  else placeActor(s, want, place, worker);
  // Not before it counts for its job as granted: a job with nothing is forgotten (sim seed 51278).
  s.queue.remove(want.id);
  if (want.kind === "actor") s.pool.refill(want.env, pass.now);
  return "served";
}

function findPlace(s: NodeState, want: Want): Place | undefined {
  for (const { ledger, group } of ledgersFor(s, want)) {
    const allocation = ledger.take(want.demand, accountOf(want, group));
    if (allocation !== undefined) return { ledger, group, allocation };
  }
  return undefined;
}

function serveGroup(s: NodeState, pass: Pass, waiting: WaitingClass, want: Want): Turn {
  const group = want.group!;
  const reserved: Allocation[] = [];
  for (const bundle of group.bundles) {
    const allocation = s.ledger.take(bundle, want.account, true);
    if (allocation === undefined) break;
    reserved.push(allocation);
  }
  if (reserved.length < group.bundles.length) {
    for (const allocation of reserved) s.ledger.give(allocation);
    return block(s, pass, waiting, want);
  }
  s.queue.remove(want.id);
  pass.served = true;
  if (group.attempt === 0) groupPlaced(s, group, reserved);
  else {
    group.reserved = reserved;
    bundlesReserved(s, group);
  }
  return "served";
}

/** In a bundle it has what its group's job has already. */
const accountOf = (want: Want, group: Group | undefined): JobAccount | undefined => (group === undefined ? want.account : undefined);

/** Its job's limits do not let it run here and now. */
export const isLimited = (want: Want): boolean => want.strategy.kind !== "group" && !want.account.fits(want.demand);

/** Nothing fits. A class that was passed over too often gathers what is free, for a while: of what it lacks. */
function block(s: NodeState, pass: Pass, waiting: WaitingClass, want: Want): Turn {
  (isLimited(want) ? pass.limited : pass.blocked).push(waiting);
  if (waiting.gatherUntil <= pass.now) return "blocked";
  for (const { ledger, group } of ledgersFor(s, want).slice(0, 1)) {
    const account = accountOf(want, group);
    if (ledger.couldNow(want.demand) && account?.couldNow(want.demand) !== false) {
      pass.held.push({ ledger, allocation: ledger.takePartial(want.demand, account) });
    }
  }
  return "blocked";
}

function passedOver(s: NodeState, waiting: WaitingClass, now: number): void {
  if (waiting.gatherUntil > now) return;
  if (waiting.gatherUntil > 0) {
    waiting.gatherUntil = 0;
    waiting.passedOver = 0;
  }
  waiting.passedOver++;
  if (!waiting.starving) return;
  waiting.gatherUntil = now + GATHER_MS;
  s.alarm.set(waiting.gatherUntil);
}

function findWorker(s: NodeState, pass: Pass, want: Want): Worker | undefined {
  const idle = s.pool.takeIdle(want.env, want.kind === "actor");
  if (idle !== undefined || want.kind === "actor") return idle;
  if (s.pool.starting(want.env) > (pass.promises.get(want.env) ?? 0)) return undefined;
  if (s.pool.taskWorkers + pass.planned < s.pool.softCap) return undefined;
  return s.pool.takeStackable(want.env, (want.demand.GPU ?? 0) > 0);
}

/** False when no process will be started for it. */
function promise(s: NodeState, pass: Pass, want: Want): boolean {
  if (!s.environments.want(want.env)) return false;
  const asking = pass.asking.get(want.env) ?? 0;
  if (want.kind === "actor" && s.pool.askSpare(want.env, asking, pass.now)) {
    pass.asking.set(want.env, asking + 1);
    return true;
  }
  const promises = pass.promises.get(want.env) ?? 0;
  if (s.pool.starting(want.env) <= promises) {
    if (s.pool.paused(want.env, pass.now) || pass.planned >= s.pool.startsMax) return false;
    if (want.kind === "lease" && s.pool.taskWorkers + pass.planned >= s.pool.hardCap) return false;
    if (want.kind === "lease" && !s.pool.worthStarting(want.env, pass.now)) {
      pass.heldBack.add(want.env);
      return true;
    }
    pass.planned++;
  }
  pass.promises.set(want.env, promises + 1);
  return true;
}

function startFor(s: NodeState, env: string, wanted: number, now: number): void {
  for (let missing = wanted - s.pool.starting(env); missing > 0 && s.pool.mayStart; missing--) {
    if (s.pool.taskWorkers >= s.pool.softCap) s.pool.makeRoom(env, now);
    s.pool.start(env, now);
  }
}

function grantLease(s: NodeState, want: Want, place: Place, worker: Worker, now: number): void {
  const { requestId, over } = want.lease!;
  const id = `${prefixOf(s.config.nodeId)}-l${(s.leaseCount++).toString(36)}` as LeaseId;
  const { allocation } = place;
  const cpu: ResourceAmounts = allocation.amounts.CPU === undefined ? {} : { CPU: allocation.amounts.CPU };
  const lease: Lease = {
    id,
    requestId,
    owner: want.owner,
    account: want.account,
    classKey: want.classKey,
    priority: want.priority,
    grantedAt: now,
    worker,
    grant: {
      requestId,
      leaseId: id,
      worker: worker.address!,
      claims: -1,
      assigned: { ...allocation.amounts },
      gpuIds: gpuIdsOf(allocation),
      over,
    },
    ledger: place.ledger,
    group: place.group,
    kept: { amounts: excessOf(allocation.amounts, cpu), gpus: allocation.gpus, life: false, account: allocation.account },
    cpu: { amounts: cpu, gpus: [], life: false, account: allocation.account },
    state: "active",
    turn: -1,
    resumingSince: 0,
  };
  want.account.members++;
  worker.spare = "unknown";
  s.leases.set(id, lease);
  become(s, lease, "active");
  s.byRequest.set(requestId, lease);
  s.port.send(want.owner, "leaseGrant", lease.grant);
}

function placeActor(s: NodeState, want: Want, place: Place, worker: Worker): void {
  const { actorId, epoch, life } = want.actor!;
  // What it needed only to be placed is free again: it had to be there, no more.
  place.ledger.give(place.allocation);
  const allocation = place.ledger.take(life, place.allocation.account, true);
  if (allocation === undefined) throw new Error(`actor ${actorId} keeps more than it asked for`);
  worker.actor = { actorId, epoch, worker, ledger: place.ledger, group: place.group, allocation };
  s.actors.set(want.id, worker.actor);
  s.port.actorPlaced(actorId, epoch, {
    worker: worker.address!,
    assigned: { ...allocation.amounts },
    gpuIds: gpuIdsOf(allocation),
  });
}

const gpuIdsOf = (allocation: Allocation): number[] => allocation.gpus.map((share) => share.index);
