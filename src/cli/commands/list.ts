/** `mobula list`: nodes and workers. */
import type { ClusterStatus, NodeStatus } from "../../runtime/control/questions.ts";
import { command, UsageError } from "../command.ts";
import type { Output } from "../output.ts";
import { askAt, askControl, targetOf } from "../target.ts";
import { number } from "../values.ts";
import { ADDRESS, DIR, TLS_DIR } from "./options.ts";
import { nodeTable } from "./status.ts";

const OPTIONS = {
  address: ADDRESS,
  dir: DIR,
  "tls-dir": TLS_DIR,
  filter: { value: "KEY=VALUE", about: "Only what has this value; may be given more than once", many: true },
  limit: { value: "N", about: "At most so many (default 100)" },
} as const;

interface WorkerStatus {
  readonly workerId: string;
  readonly nodeId: string;
  readonly pid: number | null;
  readonly state: string;
  readonly leases: number;
  readonly actorId?: string;
  readonly title: string;
}

export const listNodes = command({
  name: "list nodes",
  about: "The nodes of the cluster, dead ones for an hour.",
  options: OPTIONS,
  example: "mobula list nodes --filter alive=true",
  async run({ options, output }) {
    const { nodes } = (await askControl(targetOf(options), { kind: "status" })) as ClusterStatus;
    show(nodes, options, output, (chosen) => nodeTable(chosen, output));
    return 0;
  },
});

export const listWorkers = command({
  name: "list workers",
  about: "The worker processes of all nodes.",
  options: OPTIONS,
  example: "mobula list workers --filter state=ready --limit 20",
  async run({ options, output }) {
    const target = targetOf(options);
    const { nodes } = (await askControl(target, { kind: "status" })) as ClusterStatus;
    const found = await Promise.all(nodes.filter(({ alive }) => alive).map(({ address }) => askAt(target, address, { kind: "workers" })));
    show(found.flat() as WorkerStatus[], options, output, (chosen) =>
      output.table(
        ["WORKER", "NODE", "PID", "STATE", "LEASES", "RUNS"],
        chosen.map(({ workerId, nodeId, pid, state, leases, title }) => [
          workerId,
          nodeId,
          String(pid ?? ""),
          state,
          String(leases),
          title,
        ]),
      ),
    );
    return 0;
  },
});

function show<T extends NodeStatus | WorkerStatus>(
  all: readonly T[],
  { filter, limit }: { readonly filter?: readonly string[]; readonly limit?: string },
  output: Output,
  text: (chosen: readonly T[]) => string,
): void {
  const wanted = (filter ?? []).map((each) => {
    const at = each.indexOf("=");
    if (at < 1) throw new UsageError(`--filter must be KEY=VALUE, and is ${each}`);
    return [each.slice(0, at), each.slice(at + 1)] as const;
  });
  const first = all[0] as Readonly<Record<string, unknown>> | undefined;
  for (const [key] of wanted) {
    if (first !== undefined && !all.some((each) => key in each)) {
      throw new UsageError(`--filter ${key}: there is no such key. Keys: ${Object.keys(first).join(", ")}`);
    }
  }
  const chosen = all.filter((each) => wanted.every(([key, value]) => String((each as unknown as Record<string, unknown>)[key]) === value));
  output.result(chosen.slice(0, number("limit", limit, 1) ?? 100), text);
}
