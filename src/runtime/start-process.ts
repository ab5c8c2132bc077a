/**
 * Starts a process of this package and waits for what it says of its start: a line of JSON on its stdout, `{"error"}` or a report. Used by
 * whatever starts a daemon or control. Every program loads it, so it imports next to nothing.
 */
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import type { Readable } from "node:stream";

/** A folder that is not there yet, for a daemon to make. Short: sockets in it have paths of at most 107 bytes. */
export const newSessionDir = (): string => `${tmpdir()}/mobula-${randomBytes(4).toString("hex")}`;

export interface StartOptions<R> {
  readonly file: string;
  readonly flags: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** "pipe" where it is to end with this process, by the end of its stdin. */
  readonly stdin: "pipe" | "ignore";
  /** Where its stderr goes: this process's, or an open file. */
  readonly stderr: "inherit" | number;
  /** Streams with descriptors, that it has as 3 and on. */
  readonly inherits?: readonly Readable[];
  /** It has said something within this time, or it is killed. */
  readonly startMs: number;
  /** What it says after its first report. Absent: nobody reads it. */
  readonly onMore?: (said: R | Failed) => void;
}

/** A daemon or control has its token from a file; what it starts, workers, hooks and npm, has its environment and is to have none. */
export const NO_TOKEN = { MOBULA_TOKEN: undefined, MOBULA_TOKEN_FILE: undefined };

export interface Failed {
  readonly error: string;
}

export interface StartedProcess<R> {
  readonly child: ChildProcess;
  /** Its first report. Rejects with what it said when it could not start, or how it ended before it said anything. */
  readonly report: Promise<R>;
}

export function startProcess<R extends object>(options: StartOptions<R>): StartedProcess<R> {
  const { file, flags, env, cwd, stdin, stderr, inherits = [], startMs, onMore } = options;
  const child = spawn(process.execPath, [...flags, file], {
    env: { ...env, ...NO_TOKEN },
    stdio: [stdin, "pipe", stderr, ...inherits],
    // No Ctrl-C of the terminal reaches it.
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
  });
  child.stdin?.on("error", () => {});
  const report = new Promise<R>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`it did not serve within ${startMs / 1000} s`));
      child.kill("SIGKILL");
    }, startMs);
    let text = "";
    let first = true;
    child.stdout!.setEncoding("utf8");
    child.stdout!.on("data", (chunk: string) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop()!;
      // Tracing flags of Node make it print more than its reports.
      for (const line of lines.filter((each) => each.startsWith("{"))) {
        clearTimeout(timer);
        const said = JSON.parse(line) as R | Failed;
        if (!first) onMore?.(said);
        else if ("error" in said) reject(new Error(said.error));
        else resolve(said);
        first = false;
        if (onMore === undefined) return void child.stdout!.destroy();
      }
    });
    child.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      reject(new Error(`it ended with ${signal ?? `code ${code}`}`));
    });
  });
  return { child, report };
}
