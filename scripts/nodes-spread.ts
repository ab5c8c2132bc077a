/**
 * One driver, many nodes on this machine, tiny tasks that are to be spread: how many each node ran. Fails where one is more than 10 % off
 * the mean. `npm run nodes:spread`, or `npm run nodes:spread -- --nodes 5 --tasks 5000`.
 */
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { parseArgs, promisify } from "node:util";
import { nodesHere } from "../src/runtime/client/nodes-here.ts";

const root = path.resolve(import.meta.dirname, "..");
const main = path.join(root, "dist/cli/main.js");
const run = promisify(execFile);

/** Off the mean, at most. */
const OFF = 0.1;
/** Nodes that start at a time. */
const AT_ONCE = 4;

const program = (tasks: number): string => `
import * as ray from ${JSON.stringify(path.join(root, "dist/index.js"))};
await ray.init({ logToDriver: false });
const where = ray.remote(() => ray.getRuntimeContext().nodeId, { schedulingStrategy: "SPREAD" });
const from = performance.now();
const ids = await ray.get(Array.from({ length: ${tasks} }, () => where.remote()));
const ms = performance.now() - from;
const counts = {};
for (const id of ids) counts[id] = (counts[id] ?? 0) + 1;
console.log(JSON.stringify({ ms, counts }));
await ray.shutdown();
`;

export interface SpreadResult {
  readonly ms: number;
  /** By node, all of them. */
  readonly counts: number[];
  /** The largest part of the mean by which one is off it. */
  readonly off: number;
}

/** Starts so many nodes with one CPU each in `home`, runs the tasks, and ends the nodes. Of several tries the first good one counts. */
export async function spreadOver(nodes: number, tasks: number, home: string, { tries = 1 } = {}): Promise<SpreadResult> {
  const { MOBULA_ADDRESS: _address, MOBULA_TOKEN: _token, MOBULA_TOKEN_FILE: _file, ...inherited } = process.env;
  const env = { ...inherited, MOBULA_HOME: home };
  const start = async (...words: string[]): Promise<{ address: string }> => {
    const each = ["--num-cpus", "1", "--object-store-memory", String(64 * 2 ** 20), "--json"];
    const { stdout } = await run(process.execPath, [main, "start", ...words, ...each], { env });
    return JSON.parse(stdout) as { address: string };
  };
  try {
    const { address } = await start("--head", "--port", "0", "--dashboard-port", "0");
    for (let left = nodes - 1; left > 0; left -= AT_ONCE) {
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, left) }, () => start("--address", address)));
    }
    const file = path.join(home, "spread.mjs");
    fs.writeFileSync(file, program(tasks));
    const once = async (): Promise<SpreadResult> => {
      const { stdout } = await run(process.execPath, [file], { env: { ...env, MOBULA_ADDRESS: address }, maxBuffer: 2 ** 26 });
      const { ms, counts: found } = JSON.parse(stdout) as { ms: number; counts: Record<string, number> };
      const counts = Object.values(found);
      while (counts.length < nodes) counts.push(0);
      const mean = tasks / nodes;
      return { ms, counts, off: Math.max(...counts.map((count) => Math.abs(count - mean) / mean)) };
    };
    let best = await once();
    for (let left = tries - 1; left > 0 && best.off > OFF; left--) {
      const next = await once();
      if (next.off < best.off) best = next;
    }
    return best;
  } finally {
    await new Promise((resolve) => spawn(process.execPath, [main, "stop", "--all"], { env, stdio: "ignore" }).on("close", resolve));
    for (const { pid } of nodesHere(home)) process.kill(pid, "SIGKILL");
  }
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({ options: { nodes: { type: "string", default: "21" }, tasks: { type: "string", default: "100000" } } });
  const home = fs.mkdtempSync(path.join(root, ".tmp-spread-"));
  try {
    const { ms, counts, off } = await spreadOver(Number(values.nodes), Number(values.tasks), home);
    const rate = Math.round((Number(values.tasks) / ms) * 1000);
    console.log(`${values.tasks} tasks over ${values.nodes} nodes in ${(ms / 1000).toFixed(1)} s, ${rate} a second`);
    console.log(`by node: ${counts.sort((a, b) => a - b).join(" ")}`);
    console.log(`most off the mean: ${(off * 100).toFixed(1)} %`);
    if (off > OFF) process.exitCode = 1;
  } finally {
    fs.rmSync(home, { recursive: true, force: true });
  }
}
