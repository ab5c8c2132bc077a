/**
 * `npm run nodes`: the suite on each supported line of Node, with binaries from npm, kept in .tmp/nodes between runs.
 *
 *   npm run nodes                  every line, everything
 *   npm run nodes -- 24 26         these lines
 *   npm run nodes -- 24 api util   these groups on Node 24
 */
import { spawnSync } from "node:child_process";
import path from "node:path";
import { binaryOf, VERSIONS } from "./node-binaries.ts";

const root = path.resolve(import.meta.dirname, "..");

const words = process.argv.slice(2);
const asked = words.filter((word) => word in VERSIONS);
const rest = words.filter((word) => !(word in VERSIONS));
const results: string[] = [];

for (const line of asked.length > 0 ? asked : Object.keys(VERSIONS)) {
  const version = VERSIONS[line]!;
  console.log(`\n── Node ${version} ──`);
  const binary = await binaryOf(version);
  const startedAt = performance.now();
  // First on the path too, for what runs `node` by name.
  const env = { ...process.env, MOBULA_TEST_NODES: "", PATH: `${path.dirname(binary)}${path.delimiter}${process.env["PATH"]}` };
  const args = ["--import", "tsx", "scripts/test.ts", "--no-checks", ...rest];
  const { status } = spawnSync(binary, args, { stdio: "inherit", cwd: root, env });
  if (status !== 0) process.exitCode = 1;
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  results.push(`${status === 0 ? "ok  " : "FAIL"} Node ${version} (${seconds} s)`);
}
console.log(`\n${results.join("\n")}`);
