/**
 * Which leases are asked back (`leaseWanted`). Owners keep leases warm; when others wait for the resources, as many are
 * asked for as those need, from whom holds most, and never sooner than a quantum after the grant, so that two kinds of
 * work that compete take turns of some length instead of one task each.
 */
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { addTo, copyOf, fits, subtractFrom } from "../resources.ts";
import { ledgersFor, resumeDemand } from "./dispatch.ts";
import type { Ledger } from "./ledger.ts";
import type { WaitingClass } from "./queue.ts";
import type { Lease, NodeState } from "./state.ts";

const QUANTUM_MS = 10;

/** What is free, and what leases that were asked for will give back. Claimed as needs are covered. */
type Prospects = Map<Ledger, ResourceAmounts>;

export function revoke(s: NodeState, blocked: readonly WaitingClass[], now: number): void {
  if (s.resuming.size === 0 && blocked.length === 0) return;
  const prospects: Prospects = new Map();
  for (const lease of s.resuming) revokeForTask(s, prospects, lease);
  if (blocked.length > 0) revokeForRequests(s, prospects, blocked, now);
}

function prospectOf(s: NodeState, prospects: Prospects, ledger: Ledger): ResourceAmounts {
  let prospect = prospects.get(ledger);
  if (prospect !== undefined) return prospect;
  prospect = copyOf(ledger.free);
  for (const lease of s.leases.values()) if (lease.wanted && lease.ledger === ledger) addHeld(prospect, lease);
  prospects.set(ledger, prospect);
  return prospect;
}

function addHeld(sum: ResourceAmounts, lease: Lease): void {
  addTo(sum, lease.kept.amounts);
  if (lease.cpu !== undefined) addTo(sum, lease.cpu.amounts);
}

export function wantBack(s: NodeState, lease: Lease): void {
  lease.wanted = true;
  s.port.send(lease.owner, "leaseWanted", { leaseId: lease.id });
}

/** A task that could go on comes before leases that may be idle, at once. */
function revokeForTask(s: NodeState, prospects: Prospects, waiting: Lease): void {
  const inTheWay = s.pool.active(waiting.worker);
  if (inTheWay !== undefined) {
    if (!inTheWay.wanted) wantBack(s, inTheWay);
    return;
  }
  const candidates = [...s.leases.values()].filter((lease) => !lease.wanted && lease.state === "active" && lease.ledger === waiting.ledger);
  cover(s, prospectOf(s, prospects, waiting.ledger), resumeDemand(waiting), candidates);
}

function revokeForRequests(s: NodeState, prospects: Prospects, blocked: readonly WaitingClass[], now: number): void {
  const shares = new Map<string, number>();
  for (const lease of s.leases.values()) {
    if (lease.state === "active") shares.set(shareKey(lease), (shares.get(shareKey(lease)) ?? 0) + 1);
  }
  for (const waiting of blocked) {
    const want = waiting.head;
    for (const { ledger } of ledgersFor(s, want)) {
      if (!ledger.couldNow(want.demand)) continue;
      const own = shares.get(shareKey(want)) ?? 0;
      const candidates: Lease[] = [];
      for (const lease of s.leases.values()) {
        if (lease.ledger !== ledger || lease.wanted || lease.state !== "active" || shareKey(lease) === shareKey(want)) continue;
        const share = shares.get(shareKey(lease))!;
        // One that asks for more itself is busy: it gives up only what is beyond an equal share.
        if (own > 0 && share <= own + 1 && s.queue.waiting(lease.classKey, lease.owner) > 0) continue;
        if (lease.grantedAt + QUANTUM_MS <= now) candidates.push(lease);
        else s.alarm.set(lease.grantedAt + QUANTUM_MS);
      }
      candidates.sort((a, b) => shares.get(shareKey(b))! - shares.get(shareKey(a))! || a.grantedAt - b.grantedAt);
      if (cover(s, prospectOf(s, prospects, ledger), want.demand, candidates)) break;
    }
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
