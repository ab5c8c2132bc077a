/** `mobula status`: the cluster at a glance. */
import type { ClusterStatus, NodeStatus } from "../../runtime/control/questions.ts";
import { command } from "../command.ts";
import type { Output } from "../output.ts";
import { askControl, targetOf } from "../target.ts";
import { DIR, ADDRESS, TLS_DIR } from "./options.ts";

export const status = command({
  name: "status",
  about: "What the cluster has, what of it is free, and what waits for what.",
  options: { address: ADDRESS, dir: DIR, "tls-dir": TLS_DIR },
  example: "mobula status --json",
  async run({ options, output }) {
    const found = (await askControl(targetOf(options), { kind: "status" })) as ClusterStatus;
    output.result(found, () => describe(found, output));
    return 0;
  },
});

function describe({ control, nodes, resources, pending }: ClusterStatus, output: Output): string {
  const lines = [
    `control at ${control.address}, process ${control.pid}, ${control.role}${standing(control.standbys)}`,
    "",
    nodeTable(nodes, output),
    "",
    output.style("bold", "Resources"),
  ];
  for (const [name, total] of Object.entries(resources.total)) {
    lines.push(`  ${name}: ${amount(name, resources.available[name] ?? 0)} of ${amount(name, total)} free`);
  }
  if (pending.length > 0) lines.push("", output.style("bold", "Waiting"));
  for (const { count, reason } of pending) lines.push(`  ${count} x ${reason}`);
  return lines.join("\n");
}

const standing = (standbys: readonly string[]): string => (standbys.length === 0 ? "" : `; standing by: ${standbys.join(", ")}`);

export function nodeTable(nodes: readonly NodeStatus[], output: Output): string {
  const rows = nodes.map(({ nodeId, address, state, head, resources }) => [
    nodeId,
    address,
    head ? "head" : "",
    state === "alive" ? output.style("green", state) : output.style("red", state),
    `${resources.available["CPU"] ?? 0} of ${resources.total["CPU"] ?? 0}`,
  ]);
  return output.table(["NODE", "ADDRESS", "", "STATE", "CPUS FREE"], rows);
}

/** Bytes are easier to read in binary units. */
function amount(name: string, value: number): string {
  if (name !== "memory" && name !== "objectStoreMemory") return String(value);
  return value >= 2 ** 30 ? `${(value / 2 ** 30).toFixed(1)} GiB` : `${(value / 2 ** 20).toFixed(1)} MiB`;
}
