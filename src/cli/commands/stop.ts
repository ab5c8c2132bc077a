/** `mobula stop`: the end of the nodes here. */
import { nodesHere } from "../../runtime/client/nodes-here.ts";
import { homeFolder } from "../../runtime/network/home.ts";
import { command, CommandError } from "../command.ts";
import { stopNode } from "../daemons.ts";
import { namedAddress } from "../target.ts";
import { number } from "../values.ts";
import { DIR } from "./options.ts";

export const stop = command({
  name: "stop",
  about: "End the nodes that you started on this machine, of one cluster or of all.",
  options: {
    address: {
      value: "HOST:PORT",
      about: "Only nodes of the cluster whose control is there. Default: MOBULA_ADDRESS, else all of the folder",
    },
    all: { about: "Nodes of every cluster of the folder, whatever MOBULA_ADDRESS says" },
    "grace-ms": { value: "N", about: "How long a node may take before it is killed (default 10000)" },
    dir: DIR,
  },
  example: "mobula stop --grace-ms 2000",
  async run({ options, output }) {
    const dir = options.dir ?? homeFolder();
    const graceMs = number("grace-ms", options["grace-ms"]) ?? 10_000;
    const address = options.all === true ? undefined : namedAddress(options);
    const nodes = nodesHere(dir).filter(
      ({ control }) => address === undefined || address.split(",").some((each) => control.includes(each)),
    );
    if (nodes.length === 0) {
      throw new CommandError(`no node of ${address ?? dir} runs here. See: mobula status; or name its folder by --dir`);
    }
    // The head last: the others leave while there is somebody to tell.
    nodes.sort((a, b) => Number(a.head) - Number(b.head));
    const stopped: { nodeId: string; pid: number; how: string }[] = [];
    for (const node of nodes) stopped.push({ nodeId: node.nodeId, pid: node.pid, how: await stopNode(node, graceMs) });
    output.result({ stopped }, () => stopped.map(({ nodeId, pid, how }) => `Node ${nodeId}, process ${pid}: ${how}.`).join("\n"));
    return 0;
  },
});
