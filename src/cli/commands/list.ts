/** `mobula list`: nodes and workers. */
import type { ClusterStatus, NodeStatus } from "../../runtime/control/questions.ts";
import { ConnectionError, suggest } from "../../errors/index.ts";
import { command, UsageError } from "../command.ts";
import { printError } from "../output.ts";
import { askAt, askControl, targetOf } from "../target.ts";
import type { Target } from "../target.ts";
import { number } from "../values.ts";
import { ADDRESS, DIR, TLS_DIR } from "./options.ts";
import { nodeTable } from "./status.ts";

const OPTIONS = {
  address: ADDRESS,
  dir: DIR,
  "tls-dir": TLS_DIR,
  filter: { value: "KEY=VALUE", about: "Only what has this value, such as labels.zone=a; may be given more than once", many: true },
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

const NODE_KEYS = [
  ...["nodeId", "address", "hostname", "alive", "state", "head", "pid"],
  ...["resources", "labels"],
] as const satisfies readonly (keyof NodeStatus)[];
const WORKER_KEYS = ["workerId", "nodeId", "pid", "state", "leases", "actorId", "title"] as const satisfies readonly (keyof WorkerStatus)[];

export const listNodes = command({
  name: "list nodes",
  about: "The nodes of the cluster, dead ones for an hour.",
  options: OPTIONS,
  example: "mobula list nodes --filter alive=true --filter labels.zone=a",
  async run({ options, output }) {
    const choose = choice<NodeStatus>(options, NODE_KEYS);
    const { nodes } = (await askControl(targetOf(options), { kind: "status" })) as ClusterStatus;
    output.result(choose(nodes), (chosen) => nodeTable(chosen, output));
    return 0;
  },
});

export const listWorkers = command({
  name: "list workers",
  about: "The worker processes of all nodes.",
  options: OPTIONS,
  example: "mobula list workers --filter state=ready --limit 20",
  async run({ options, output }) {
    const choose = choice<WorkerStatus>(options, WORKER_KEYS);
    const target = targetOf(options);
    const { nodes } = (await askControl(target, { kind: "status" })) as ClusterStatus;
    const found = await workersOf(
      target,
      nodes.filter(({ alive }) => alive),
    );
    output.result(choose(found), (chosen) =>
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

/** Of each node, so many at a time. One that has gone meanwhile has none. */
async function workersOf(target: Target, nodes: readonly NodeStatus[]): Promise<WorkerStatus[]> {
  const found: WorkerStatus[][] = nodes.map(() => []);
  const left = nodes.entries();
  const askOn = async (): Promise<void> => {
    for (const [i, { nodeId, address }] of left) {
      try {
        found[i] = (await askAt(target, address, { kind: "workers" })) as WorkerStatus[];
      } catch (error) {
        if (!(error instanceof ConnectionError)) throw error;
        printError(`node ${nodeId} is left out. ${error.message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(ASKED_AT_ONCE, nodes.length) }, askOn));
  return found.flat();
}

const ASKED_AT_ONCE = 32;

/** What `--filter` and `--limit` leave, checked before anybody is asked. */
function choice<T extends object>(
  { filter = [], limit }: { readonly filter?: readonly string[]; readonly limit?: string },
  keys: readonly string[],
): (all: readonly T[]) => T[] {
  const wanted = filter.map((each) => {
    const at = each.indexOf("=");
    if (at < 1) throw new UsageError(`--filter must be KEY=VALUE, and is ${JSON.stringify(each)}`);
    const key = each.slice(0, at);
    const [first = ""] = key.split(".");
    if (!keys.includes(first)) throw new UsageError(`--filter: there is no key ${JSON.stringify(first)}. ${suggest(first, keys)}`);
    return [key, each.slice(at + 1)] as const;
  });
  const most = number("limit", limit, 1) ?? 100;
  return (all) => all.filter((each) => wanted.every(([key, value]) => textAt(each, key) === value)).slice(0, most);
}

/** `labels.zone`: a name after a dot may have dots itself. */
function textAt(value: unknown, key: string): string | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  if (Object.hasOwn(value, key)) return String(Reflect.get(value, key));
  const dot = key.indexOf(".");
  return dot < 0 ? undefined : textAt(Reflect.get(value, key.slice(0, dot)), key.slice(dot + 1));
}
