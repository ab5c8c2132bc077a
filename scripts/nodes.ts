/**
 * `npm run nodes`: the suite on each supported line of Node, with binaries from npm, kept in .tmp/nodes between runs.
 *
 *   npm run nodes                  every line, everything
 *   npm run nodes -- 24 26         these lines
 *   npm run nodes -- 24 api util   these groups on Node 24
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "..");

/** The newest of each line that the suite is known to pass on. */
const VERSIONS: Readonly<Record<string, string>> = { 22: "22.23.3", 24: "24.21.0", 26: "26.10.0" };

/** The path of that Node's binary, installed first if need be. */
function binaryOf(version: string): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = `node-${platform}`;
  const folder = path.join(root, ".tmp/nodes", version);
  const binary = path.join(folder, "node_modules", name, "bin/node");
  if (!fs.existsSync(binary)) {
    fs.mkdirSync(folder, { recursive: true });
    // A package of its own, so that npm does not take it for a part of this one.
    fs.writeFileSync(path.join(folder, "package.json"), `{ "private": true }\n`);
    const { status } = spawnSync("npm", ["install", "--prefix", folder, "--no-save", "--ignore-scripts", `${name}@${version}`], {
      stdio: "inherit",
      cwd: folder,
    });
    if (status !== 0 || !fs.existsSync(binary)) throw new Error(`could not install ${name}@${version} from npm`);
  }
  return binary;
}

const words = process.argv.slice(2);
const asked = words.filter((word) => word in VERSIONS);
const rest = words.filter((word) => !(word in VERSIONS));
const results: string[] = [];

for (const line of asked.length > 0 ? asked : Object.keys(VERSIONS)) {
  const version = VERSIONS[line]!;
  const binary = binaryOf(version);
  console.log(`\n── Node ${version} ──`);
  // First on the path too, for what runs `node` by name.
  const env = { ...process.env, PATH: `${path.dirname(binary)}${path.delimiter}${process.env["PATH"]}` };
  const args = ["--import", "tsx", "scripts/test.ts", "--no-checks", ...rest];
  const { status } = spawnSync(binary, args, { stdio: "inherit", cwd: root, env });
  if (status !== 0) process.exitCode = 1;
  results.push(`Node ${version}: ${status === 0 ? "passed" : "failed"}`);
}
console.log(`\n${results.join("\n")}`);
