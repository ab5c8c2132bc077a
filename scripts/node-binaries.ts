/**
 * Binaries of the newer lines of Node, from npm, kept in .tmp/nodes between runs.
 */
import { execFile } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";

const root = path.resolve(import.meta.dirname, "..");
/** A registry that does not answer is not waited for any longer. */
const FETCH_MS = 120_000;

/** Of each line that is supported beside the oldest, the version that the suite runs on. */
export const VERSIONS: Readonly<Record<string, string>> = { 22: "22.23.3", 24: "24.21.0", 26: "26.10.0" };

/** The path of that Node's binary, installed first if need be; rejects with what npm said. */
export async function binaryOf(version: string): Promise<string> {
  const name = `node-${process.platform}-${process.arch}`;
  const folder = path.join(root, ".tmp/nodes", version);
  const binary = path.join(folder, "node_modules", name, "bin/node");
  if (fs.existsSync(binary)) return binary;
  fs.mkdirSync(folder, { recursive: true });
  // A package of its own, so that npm does not take it for a part of this one.
  fs.writeFileSync(path.join(folder, "package.json"), `{ "private": true }\n`);
  const args = ["install", "--prefix", folder, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund", `${name}@${version}`];
  let why: string;
  try {
    const { stderr } = await promisify(execFile)("npm", args, { cwd: folder, timeout: FETCH_MS });
    why = stderr;
  } catch (error) {
    why = (error as { stderr?: string }).stderr || (error as Error).message;
  }
  if (fs.existsSync(binary)) return binary;
  throw new Error(`could not fetch ${name}@${version} from npm: ${why.trim().split("\n")[0]}`);
}
