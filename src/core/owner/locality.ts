/** Where the arguments of a task lie: the node that has most bytes of them is the best place to run it. */
import { prefixOf } from "../../protocol/ids.ts";
import type { NodePrefix } from "../../protocol/ids.ts";
import type { Lease } from "./leases.ts";
import type { Task } from "./task.ts";

/** The node with most bytes of its stored arguments; undefined where it has none. */
export function nearOf(task: Task | undefined): NodePrefix | undefined {
  const args = task?.spec.refArgs;
  if (args === undefined) return undefined;
  const bytes = new Map<NodePrefix, number>();
  let most: NodePrefix | undefined;
  for (const { ref } of args) {
    if (ref.payload?.kind !== "stored") continue;
    // What was not made by a task of this process lies, as far as is known, where its maker is.
    const at = ref.at ?? prefixOf(ref.id);
    const sum = (bytes.get(at) ?? 0) + ref.payload.size;
    bytes.set(at, sum);
    if (most === undefined || sum > bytes.get(most)!) most = at;
  }
  return most;
}

/** The first of these leases that is on that node. */
export const leaseOn = (leases: readonly Lease[], node: NodePrefix): number =>
  leases.findIndex((lease) => lease.room && prefixOf(lease.processId) === node);
