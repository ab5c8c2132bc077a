/**
 * Which leases are asked back (`leaseWanted`). Owners keep leases warm; when others wait for the resources, as many are
 * asked for as those need, from whom holds most, and never sooner than a quantum after the grant, so that two kinds of
 * work that compete take turns of some length instead of one task each.
 *
 * Between jobs: one of higher priority gets whatever leases of lower ones it needs, and never the other way round. Among equals a job
 * gets a lease of another whose clock would still be ahead without it (jobs.ts).
 */
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { addTo, copyOf, excessOf, fits, isEmpty, subtractFrom, sumOf } from "../resources.ts";
import { ledgersFor, resumeDemand } from "./dispatch.ts";
import type { JobAccount } from "./jobs.ts";
import type { Ledger } from "./ledger.ts";
import type { WaitingClass } from "./queue.ts";
import type { Lease, NodeState, Want } from "./state.ts";

const QUANTUM_MS = 10;
/** Between jobs that take turns: each switch costs a way to the owners and back, and another process. */
const JOB_QUANTUM_MS = 50;
/** When a lease that another job is to get is looked at again, at the soonest. */
const LOOK_MS = 2;

/** What is free, and what leases that were asked for will give back. Claimed as needs are covered. */
type Prospects = Map<Ledger, ResourceAmounts>;

export function revoke(s: NodeState, blocked: readonly WaitingClass[], limited: readonly WaitingClass[], now: number): void {
  for (const account of s.jobs.all) {
    const excess = account.excess();
    if (excess !== undefined) revokeExcess(s, account, excess, now);
  }
  if (limited.length > 0) revokeForLimits(s, limited, now);
  if (s.resuming.size === 0 && blocked.length === 0) return;
  const prospects: Prospects = new Map();
  for (const lease of s.resuming) revokeForTask(s, prospects, lease);
  if (blocked.length > 0) revokeForRequests(s, prospects, blocked, now);
}

function prospectOf(s: NodeState, prospects: Prospects, ledger: Ledger): ResourceAmounts {
  let prospect = prospects.get(ledger);
  if (prospect !== undefined) return prospect;
  prospect = copyOf(ledger.free);
  for (const lease of s.wanted) if (lease.ledger === ledger) addHeld(prospect, lease);
  prospects.set(ledger, prospect);
  return prospect;
}

function addHeld(sum: ResourceAmounts, lease: Lease): void {
  addTo(sum, lease.kept.amounts);
  if (lease.cpu !== undefined) addTo(sum, lease.cpu.amounts);
}

export function wantBack(s: NodeState, lease: Lease): void {
  s.wanted.add(lease);
  s.port.send(lease.owner, "leaseWanted", { leaseId: lease.id });
}

/** A task that could go on comes before leases that may be idle, at once. */
function revokeForTask(s: NodeState, prospects: Prospects, waiting: Lease): void {
  const inTheWay = waiting.worker.active;
  if (inTheWay !== undefined) {
    if (!s.wanted.has(inTheWay)) wantBack(s, inTheWay);
    return;
  }
  const { account } = waiting.kept;
  const demand = resumeDemand(waiting);
  const limited = account?.fits(demand) === false;
  const candidates = [...s.active].filter(
    (lease) => !s.wanted.has(lease) && lease.ledger === waiting.ledger && (!limited || lease.kept.account === account),
  );
  if (limited) return void coverLimit(s, account!, demand, candidates);
  candidates.sort((a, b) => a.account.terms.priority - b.account.terms.priority);
  cover(s, prospectOf(s, prospects, waiting.ledger), demand, candidates);
}

function sharesOf(s: NodeState): Map<string, number> {
  const shares = new Map<string, number>();
  for (const lease of s.active) shares.set(shareKey(lease), (shares.get(shareKey(lease)) ?? 0) + 1);
  return shares;
}

function revokeForRequests(s: NodeState, prospects: Prospects, blocked: readonly WaitingClass[], now: number): void {
  const shares = sharesOf(s);
  const going = goingOf(s);
  for (const waiting of blocked) {
    const want = waiting.head;
    for (const { ledger } of ledgersFor(s, want)) {
      if (!ledger.couldNow(want.demand)) continue;
      const candidates: Lease[] = [];
      for (const lease of s.active) {
        if (lease.ledger !== ledger || s.wanted.has(lease)) continue;
        const gives = lease.account === want.account ? givesWithin(s, shares, lease, want) : givesTo(s, going, lease, want, now);
        if (!gives) continue;
        const from = lease.grantedAt + quantumOf(lease, want);
        if (from <= now) candidates.push(lease);
        else s.alarm.set(from);
      }
      candidates.sort(
        (a, b) =>
          a.account.terms.priority - b.account.terms.priority ||
          (a.account === b.account ? 0 : b.account.turn() - a.account.turn()) ||
          shares.get(shareKey(b))! - shares.get(shareKey(a))! ||
          a.grantedAt - b.grantedAt,
      );
      const prospect = prospectOf(s, prospects, ledger);
      if (!cover(s, prospect, want.demand, candidates)) continue;
      // Whatever else waits in its class gets what jobs of lower priority have, too.
      const { priority } = want.account.terms;
      const lower = candidates.filter(({ account }) => account.terms.priority < priority);
      for (let more = waiting.size - 1; more > 0 && lower.length > 0; more--) {
        const left = lower.filter((lease) => !s.wanted.has(lease));
        if (!cover(s, prospect, want.demand, left)) break;
      }
      break;
    }
  }
}

function quantumOf({ account: from }: Lease, { account: to }: Want): number {
  return from !== to && from.terms.priority === to.terms.priority ? JOB_QUANTUM_MS : QUANTUM_MS;
}

/**
 * Within a job. One of higher priority keeps what it has until it has nothing to do: its owner would take back a task that has not begun.
 * One that asks for more itself is busy: it gives up only what is beyond an equal share.
 */
function givesWithin(s: NodeState, shares: ReadonlyMap<string, number>, lease: Lease, want: Want): boolean {
  if (shareKey(lease) === shareKey(want) || lease.priority > want.priority) return false;
  const own = shares.get(shareKey(want)) ?? 0;
  return own === 0 || shares.get(shareKey(lease))! > own + 1 || s.queue.waiting(lease.classKey, lease.owner) === 0;
}

/** What each job will give back. */
function goingOf(s: NodeState): Map<JobAccount, ResourceAmounts> {
  const going = new Map<JobAccount, ResourceAmounts>();
  for (const lease of s.wanted) {
    if (lease.kept.account === undefined) continue;
    const sum = going.get(lease.account);
    if (sum === undefined) going.set(lease.account, heldBy(lease));
    else addHeld(sum, lease);
  }
  return going;
}

function heldBy(lease: Lease): ResourceAmounts {
  const held: ResourceAmounts = Object.create(null);
  addHeld(held, lease);
  return held;
}

/** From one job to another. What cannot be now and will be in a while is looked at then. */
function givesTo(s: NodeState, going: ReadonlyMap<JobAccount, ResourceAmounts>, lease: Lease, want: Want, now: number): boolean {
  const { account: from } = lease;
  const { account: to } = want;
  if (from.terms.priority !== to.terms.priority) return from.terms.priority < to.terms.priority;
  const ahead = from.turn(undefined, going.get(from)) - to.turn(want.demand);
  if (ahead >= 0) return true;
  const nearing = from.speed - to.speed;
  if (nearing > 0) s.alarm.set(now + Math.max(LOOK_MS, -ahead / nearing));
  return false;
}

/** Control wants some of a job's share for other nodes. */
function revokeExcess(s: NodeState, account: JobAccount, excess: ResourceAmounts, now: number): void {
  const rest = excessOf(excess, goingOf(s).get(account) ?? {});
  for (const lease of [...s.active].reverse()) {
    if (isEmpty(rest)) return;
    if (lease.kept.account !== account || s.wanted.has(lease)) continue;
    const held = heldBy(lease);
    if (!Object.keys(rest).some((name) => rest[name]! > 0 && (held[name] ?? 0) > 0)) continue;
    if (lease.grantedAt + QUANTUM_MS > now) {
      s.alarm.set(lease.grantedAt + QUANTUM_MS);
      continue;
    }
    wantBack(s, lease);
    for (const name in rest) rest[name] = Math.max(0, rest[name]! - (held[name] ?? 0));
  }
}

/** What waits for its job's limits gets what other kinds of work of that job have, as within a job. */
function revokeForLimits(s: NodeState, limited: readonly WaitingClass[], now: number): void {
  const shares = sharesOf(s);
  for (const { head: want } of limited) {
    const candidates: Lease[] = [];
    for (const lease of s.active) {
      if (lease.kept.account !== want.account || s.wanted.has(lease)) continue;
      if (!givesWithin(s, shares, lease, want)) continue;
      if (lease.grantedAt + QUANTUM_MS <= now) candidates.push(lease);
      else s.alarm.set(lease.grantedAt + QUANTUM_MS);
    }
    candidates.sort((a, b) => shares.get(shareKey(b))! - shares.get(shareKey(a))! || a.grantedAt - b.grantedAt);
    coverLimit(s, want.account, want.demand, candidates);
  }
}

/** As `cover`, for what the limits of a job leave. What is granted here may become more, so it need not cover all. */
function coverLimit(s: NodeState, account: JobAccount, demand: Readonly<ResourceAmounts>, candidates: readonly Lease[]): void {
  const reach = sumOf([account.room(account.limits), goingOf(s).get(account) ?? {}]);
  const lacks = (): boolean => Object.keys(account.limits).some((name) => (demand[name] ?? 0) > (reach[name] ?? 0));
  for (const lease of candidates) {
    if (!lacks()) return;
    wantBack(s, lease);
    addHeld(reach, lease);
  }
}

/** Asks for as many of the candidates as cover the demand with what is in prospect, or for none if all would not. */
function cover(s: NodeState, prospect: ResourceAmounts, demand: Readonly<ResourceAmounts>, candidates: readonly Lease[]): boolean {
  const reach = copyOf(prospect);
  const chosen: Lease[] = [];
  for (const lease of candidates) {
    if (fits(demand, reach)) break;
    addHeld(reach, lease);
    chosen.push(lease);
  }
  if (!fits(demand, reach)) return false;
  for (const lease of chosen) {
    wantBack(s, lease);
    addHeld(prospect, lease);
  }
  subtractFrom(prospect, demand);
  return true;
}

const shareKey = (holder: { readonly classKey: string; readonly owner: string }): string => `${holder.owner} ${holder.classKey}`;
