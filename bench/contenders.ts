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

const MAKERS: Partial<Record<ContenderName, () => ContenderInfo>> = { mobula: ours, limit };

export function contenderInfo(name: ContenderName): ContenderInfo {
  const make = MAKERS[name];
  if (make === undefined) throw new Error(`no contender is called ${name}`);
  return make();
}
void execFileSync;
