/**
 * Leases whose owner is gone. What runs on one is of no use to anybody, but its process may be: tasks that other calls have left behind
 * are in it, and tasks that wait. So the process is asked to end the calls of that lease, and is ended itself only if they run on.
 */
import type { Lease, NodeState } from "./state.ts";

/** A call that was cancelled has so long to end. */
const ORPHAN_MS = 500;

export function orphan(s: NodeState, lease: Lease, now: number): void {
  if (s.orphans.has(lease)) return;
  s.orphans.set(lease, now + ORPHAN_MS);
  s.alarm.set(now + ORPHAN_MS);
  // It comes back.
  s.wanted.add(lease);
  s.port.send(lease.worker.id, "leaseOrphaned", { leaseId: lease.id });
}

/** Ends the workers of those that run on. */
export function endOrphans(s: NodeState, now: number): void {
  for (const [lease, until] of s.orphans) {
    if (until > now) s.alarm.set(until);
    else s.pool.kill(lease.worker, { cause: "killed", message: "the process that its task belonged to is gone" });
  }
}
