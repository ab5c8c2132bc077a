/**
 * The states of a lease, and what is looked up by them. Of a deep recursion thousands of leases wait, while no more are active than there
 * are CPUs: whoever asks for active ones looks at those alone.
 */
import type { Lease, NodeState } from "./state.ts";

/** The task of the lease runs, waits for others, could go on, or there is no lease any more. */
export function become(s: NodeState, lease: Lease, state: Lease["state"] | "over"): void {
  const { worker } = lease;
  leave(s, lease);
  if (state === "over") {
    s.wanted.delete(lease);
    worker.leases.delete(lease);
    return;
  }
  worker.leases.add(lease);
  lease.state = state;
  if (state === "suspended") return;
  worker.awake++;
  if (state === "resuming") return void s.resuming.add(lease);
  s.active.add(lease);
  worker.active = lease;
}

function leave(s: NodeState, lease: Lease): void {
  const { worker } = lease;
  const wasActive = s.active.delete(lease);
  if (wasActive) worker.active = undefined;
  if (wasActive || s.resuming.delete(lease)) worker.awake--;
}
