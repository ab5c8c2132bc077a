/**
 * A program file run as a reader would run it: TypeScript through tsx, JavaScript as it is, each in a process of its own
 * with a deadline, its output kept, and everything below it findable by its mark. Ends with its test at the latest.
 */
import { spawn } from "node:child_process";
import path from "node:path";
import type { TestContext } from "node:test";
import { fileMark, prepareTemp, tempFolder } from "./leaks.ts";
import { kill, MARK, processesWith } from "./processes.ts";
import type { LiveProcess } from "./processes.ts";
import { waitUntil } from "./wait.ts";

const root = path.resolve(import.meta.dirname, "../..");
const tsx = import.meta.resolve("tsx");

export interface ProgramOptions {
  readonly args?: readonly string[];
  /** Laid over the environment of the test; `undefined` takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Killed after this long, and `ended` rejects. Default 60 s. */
  readonly timeoutMs?: number;
  /** Another node than this one. */
  readonly node?: string;
  /** Flags for node itself, before the file. */
  readonly nodeArgs?: readonly string[];
  /** `tsx` for .ts and .tsx files by default; `none` leaves them to node's own type stripping. */
  readonly loader?: "tsx" | "none";
  /** What it reads from stdin; without it stdin is empty. */
  readonly input?: string;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly durationMs: number;
}

export interface Program {
  readonly pid: number;
  readonly mark: string;
  /** Settles when the program's own process has ended and its output is whole, whatever its exit code. */
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
  /** Resolves when stdout and stderr together match, rejects when the program ends before. */
  output(pattern: RegExp | string, timeoutMs?: number): Promise<string>;
  /** Live processes below it: daemon and workers, not itself. They may outlive it. */
  children(): LiveProcess[];
  /** Sends a signal to the program alone, SIGKILL by default. */
  kill(signal?: NodeJS.Signals): void;
}

let count = 0;

/** Starts `file` (absolute, or relative to the package root). The test's end kills whatever is left of it. */
export function startProgram(t: TestContext | undefined, file: string, options: ProgramOptions = {}): Program {
  const target = path.resolve(root, file);
  const viaTsx = /\.[cm]?tsx?$/.test(target) && options.loader !== "none";
  const mark = `${fileMark}.${++count}`;
  // Short names: a Unix socket's path has at most 107 bytes. The folder's prefix is known to the leak check.
  const temp = path.join(tempFolder, `p-${count}`);
  prepareTemp(temp);
  const env: NodeJS.ProcessEnv = { ...process.env, NODE_OPTIONS: undefined, ...options.env, [MARK]: mark, TMPDIR: temp };
  // The test runner marks its children, and a program would then speak the runner's protocol.
  delete env["NODE_TEST_CONTEXT"];
  const args = [...(options.nodeArgs ?? []), ...(viaTsx ? ["--import", tsx] : []), target, ...(options.args ?? [])];
  const startedAt = performance.now();
  const child = spawn(options.node ?? process.execPath, args, { cwd: options.cwd ?? root, env, stdio: ["pipe", "pipe", "pipe"] });
  const pid = child.pid;
  if (pid === undefined) throw new Error(`could not start ${target}`);

  let stdout = "";
  let stderr = "";
  let over = false;
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.on("error", () => {}).end(options.input ?? ""); // A program may end without reading its input.

  const timeoutMs = options.timeoutMs ?? 60_000;
  const ended = new Promise<Ended>((resolve, reject) => {
    let late = false;
    const deadline = setTimeout(() => {
      late = true;
      kill(pid);
      // What it started may hold its output open for ever.
      for (const { pid: below } of processesWith(mark)) kill(below);
    }, timeoutMs);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(deadline);
      over = true;
      if (late) reject(new Error(`${path.basename(target)} did not end within ${timeoutMs} ms\n${stdout}\n${stderr}`));
      else resolve({ code, signal, stdout, stderr, durationMs: performance.now() - startedAt });
    });
  });
  ended.catch(() => {}); // Whoever awaits it sees the rejection; a test that failed before must not end the file.
  t?.after(() => {
    if (!over) kill(pid);
  });

  return {
    pid,
    mark,
    ended,
    stdout: () => stdout,
    stderr: () => stderr,
    children: () => processesWith(mark).filter((p) => p.pid !== pid),
    kill: (signal = "SIGKILL") => kill(pid, signal),
    output: (pattern, waitMs = timeoutMs) => {
      const matches = (): boolean => (typeof pattern === "string" ? (stdout + stderr).includes(pattern) : pattern.test(stdout + stderr));
      const seen = (): boolean => {
        if (matches()) return true;
        if (over) throw new Error(`${path.basename(target)} ended before it wrote ${pattern}\n${stdout}\n${stderr}`);
        return false;
      };
      return waitUntil(seen, `${path.basename(target)} writes ${pattern}`, { timeoutMs: waitMs, story: () => stdout + stderr }).then(
        () => stdout + stderr,
      );
    },
  };
}

/** Starts a program and waits for its end. */
export function runProgram(t: TestContext | undefined, file: string, options: ProgramOptions = {}): Promise<Ended> {
  return startProgram(t, file, options).ended;
}
