/** How each contender is started, which version it is, and why it is missing when it is. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { ContenderName } from "./definitions.ts";
import type { Program } from "./runner/driver.ts";

const here = import.meta.dirname;

export interface ContenderInfo {
  readonly name: ContenderName;
  /** What its workers are. */
  readonly kind: string;
  readonly version: string;
  /** Why it takes no part, for the column. */
  readonly missing?: string;
  readonly program: Program;
}

/** A driver in TypeScript. */
const node = (file: string, ...args: string[]): Program => ({
  command: process.execPath,
  args: ["--import", "tsx", path.join(here, file), ...args],
});

function packageVersion(name: string): string | undefined {
  const file = path.join(here, "..", name === "mobula" ? "" : `node_modules/${name}`, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version : undefined;
}

const ours = (): ContenderInfo => ({
  name: "mobula",
  kind: "processes",
  version: packageVersion("mobula")!,
  program: node("mobula/main.ts"),
});

const limit = (): ContenderInfo => ({ name: "limit", kind: "raw limit", version: process.version, program: node("limits/main.ts") });

/** A peer from npm; its packages are development dependencies. */
const peer = (name: ContenderName, kind: string, missing?: string) => (): ContenderInfo => {
  const version = packageVersion(name.replace("-processes", ""));
  const why = version === undefined ? "the package is not installed: npm ci" : missing;
  return { name, kind, version: version ?? "", program: node("peers/main.ts", name), ...(why === undefined ? {} : { missing: why }) };
};

/** The first line that a program prints, or undefined when it cannot be run. */
function output(command: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return undefined; // It is not there, which is what was asked.
  }
}

function bullmq(): ContenderInfo {
  const redis = output("redis-server", "--version");
  const found = peer("bullmq", "processes", redis === undefined ? "there is no redis-server: bash bench/peers/setup" : undefined)();
  const redisVersion = /v=([\d.]+)/.exec(redis ?? "")?.[1];
  return redisVersion === undefined ? found : { ...found, version: `${found.version} on redis-server ${redisVersion}` };
}

/** Where ray/setup puts Ray. */
const PYTHON = path.join(here, "..", ".tmp/ray/bin/python");

function ofRay(): ContenderInfo {
  const [python, version] = (output(PYTHON, "-c", "import platform, ray; print(platform.python_version(), ray.__version__)") ?? "").split(
    " ",
  );
  const program: Program = { command: PYTHON, args: [path.join(here, "ray/main.py")] };
  const info = { name: "ray" as const, kind: "processes", program };
  if (version === undefined) return { ...info, version: "", missing: "it is not installed: bash bench/ray/setup" };
  return { ...info, version: `${version} on Python ${python}` };
}

const MAKERS: Readonly<Record<ContenderName, () => ContenderInfo>> = {
  mobula: ours,
  limit,
  piscina: peer("piscina", "threads"),
  tinypool: peer("tinypool", "threads"),
  "tinypool-processes": peer("tinypool-processes", "processes"),
  workerpool: peer("workerpool", "threads"),
  "workerpool-processes": peer("workerpool-processes", "processes"),
  poolifier: peer("poolifier", "threads"),
  "poolifier-processes": peer("poolifier-processes", "processes"),
  bullmq,
  ray: ofRay,
};

export const contenderInfo = (name: ContenderName): ContenderInfo => MAKERS[name]();
