/**
 * One run of npm: its settings are the user's own, what it prints is kept for the error, and it ends with this process or in time,
 * whatever ends this process.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import path from "node:path";
import { environmentError } from "./limits.ts";

const LAST_LINES = 20;
const LINE_MAX = 400;

/** A process between this one and npm, which ends npm and what that started when its stdin ends: when this process is gone. */
const GUARD = `
const { spawn } = require("node:child_process");
const [command, ...args] = process.argv.slice(1);
const child = spawn(command, args, { stdio: ["ignore", "inherit", "inherit"], detached: true });
const stop = () => { try { process.kill(-child.pid, "SIGKILL"); } catch {} process.exit(1); };
process.stdin.on("end", stop).on("error", stop).resume();
process.on("SIGTERM", stop);
child.on("error", (error) => {
  console.error(error.code === "ENOENT" ? "npm was not found on this machine" : error.message);
  process.exit(127);
});
child.on("exit", (code) => process.exit(code ?? 1));
`;

export interface NpmRun {
  readonly args: readonly string[];
  readonly folder: string;
  readonly timeoutMs: number;
  /** Ends it. */
  readonly signal: AbortSignal;
  /** For messages. */
  readonly what: string;
}

/** Rejects with RuntimeEnvError that has npm's last lines. */
export async function runNpm({ args, folder, timeoutMs, signal, what }: NpmRun): Promise<void> {
  if (signal.aborted) throw environmentError(`${what} were not installed`, "The node is ending");
  const child = spawn(process.execPath, ["-e", GUARD, ...npmCommand(), ...args], {
    cwd: folder,
    env: npmEnvironment(process.env),
    stdio: ["pipe", "pipe", "pipe"],
  });
  const lines = lastLinesOf(child);
  let late = false;
  const end = (): void => void child.stdin!.end();
  const timer = setTimeout(() => ((late = true), end()), timeoutMs);
  signal.addEventListener("abort", end, { once: true });
  child.stdin!.on("error", () => {});
  const code = await new Promise<number | string>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (exit, by) => resolve(exit ?? by ?? 1));
  });
  clearTimeout(timer);
  signal.removeEventListener("abort", end);
  if (code === 0) return;
  const said = lines();
  const why = late
    ? `npm did not end within ${Math.round(timeoutMs / 1000)} s`
    : signal.aborted
      ? "The node is ending"
      : `npm ended with ${code}${reasonIn(said)}`;
  const tail = said.length === 0 ? "" : `\nThe last that npm said:\n${said.map((line) => `  ${line}`).join("\n")}`;
  throw environmentError(`${what} could not be installed: ${why}${tail}`, "", "", undefined, said);
}

/** What npm's codes mean and ask for, in short. */
function reasonIn(said: readonly string[]): string {
  const code = said.map((line) => /^npm (?:ERR!|error) code (\w+)/.exec(line)?.[1]).find((found) => found !== undefined);
  return code === undefined ? "" : `, ${REASONS[code] ?? code}`;
}

const UNREACHED = "the registry cannot be reached: check this machine's network and its .npmrc";
const REASONS: Readonly<Record<string, string>> = {
  E404: "the registry has no such package: check its name",
  ETARGET: "the registry has no version of it in that range: check the range",
  ERESOLVE: "two of them need versions of a third that do not agree: change their ranges",
  ENOSPC: "the disk of this machine is full",
  EAI_AGAIN: UNREACHED,
  ENOTFOUND: UNREACHED,
  ECONNREFUSED: UNREACHED,
  ETIMEDOUT: UNREACHED,
};

function lastLinesOf(child: ChildProcess): () => string[] {
  let text = "";
  const keep = (part: string): void => void (text = (text + part).slice(-LAST_LINES * LINE_MAX));
  child.stdout!.setEncoding("utf8").on("data", keep);
  child.stderr!.setEncoding("utf8").on("data", keep);
  // The name of the log file says nothing on another machine.
  return () =>
    text
      .split("\n")
      .filter((line) => line.trim() !== "" && !/A complete log of this run can be found|^npm (ERR!|error) +\S+-debug-\d+\.log$/.test(line))
      .slice(-LAST_LINES)
      .map((line) => line.slice(0, LINE_MAX));
}

/** The npm that came with this Node, so that it runs by it; else the one on the PATH. */
function npmCommand(): string[] {
  const beside = path.join(path.dirname(process.execPath), "../lib/node_modules/npm/bin/npm-cli.js");
  return existsSync(beside) ? [process.execPath, beside] : ["npm"];
}

/** Of this program or of an npm that has started it: nothing that another npm, or a script that it runs, should have. */
const STRANGE = [
  /^MOBULA_(TOKEN|TOKEN_FILE|ADDRESS|DAEMON_CONFIG|WORKER_CONFIG)$/,
  /^NODE_(OPTIONS|PATH)$/,
  /^(INIT_CWD|npm_package_.*|npm_lifecycle_.*|npm_config_local_prefix|npm_command|npm_execpath)$/i,
];

/** The user's own, so that settings of npm hold. */
function npmEnvironment(own: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(own).filter(([name]) => !STRANGE.some((pattern) => pattern.test(name))));
}
