/** `mobula drain`: a node leaves in peace. */
import type { ClusterStatus } from "../../runtime/control/questions.ts";
import { command, CommandError } from "../command.ts";
import { askControl, targetOf } from "../target.ts";
import { number } from "../values.ts";
import { ADDRESS, DIR, TLS_DIR } from "./options.ts";

const LOOK_MS = 200;
/** Beyond the time that the node has. */
const MARGIN_MS = 15_000;

export const drain = command({
  name: "drain",
  arguments: "NODE_ID",
  takes: [1, 1],
  about: "Let a node finish what runs on it, take nothing new, and leave. Returns when it has left.",
  options: {
    address: ADDRESS,
    dir: DIR,
    "tls-dir": TLS_DIR,
    "timeout-ms": { value: "N", about: "How long what runs there may take before it is ended (default 60000)" },
  },
  example: "mobula drain 4f21aa90c3de --timeout-ms 30000",
  async run({ options, arguments: [nodeId], output }) {
    const timeoutMs = number("timeout-ms", options["timeout-ms"]) ?? 60_000;
    const target = targetOf(options);
    await askControl(target, { kind: "drain", nodeId, timeoutMs });
    for (const until = Date.now() + timeoutMs + MARGIN_MS; ;) {
      const { nodes } = (await askControl(target, { kind: "status" })) as ClusterStatus;
      if (nodes.find((node) => node.nodeId === nodeId)?.alive !== true) break;
      if (Date.now() > until)
        throw new CommandError(`node ${nodeId} has not left within ${timeoutMs + MARGIN_MS} ms. Look at its log, or stop it there`);
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
    }
    output.result({ nodeId, left: true }, () => `Node ${nodeId} has left.`);
    return 0;
  },
});
