/**
 * The first worker of a program's own cluster. The program starts it, side by side with the daemon, so that the first result waits for
 * two starts of Node at once and not for one after the other. From then on it is the daemon's as any other: what it prints comes by
 * pipes that the daemon has inherited. Only how it ended is told to its parent: the program says that on the daemon's stdin, and while it
 * computes, the kernel's list of processes shows it.
 */
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { constants } from "node:os";
import type { Exit, Started } from "./worker-process.ts";

/** Where the daemon finds the ends of its pipes. */
export const FIRST_STDOUT_FD = 3;
export const FIRST_STDERR_FD = 4;

/** A line on the daemon's stdin. */
export interface FirstExit {
  readonly firstExit: { readonly code: number | null; readonly signal: NodeJS.Signals | null };
}

/** Then twice as long each time, up to the second: a process that has only closed its output runs on. */
const POLL_MS = 20;
const POLL_MAX_MS = 1000;
/** What only its parent knows is waited for so long when the process is gone from the list. */
const TOLD_MS = 250;

export function inherited(pid: number): Started {
  let listener: ((exit: Exit) => void) | undefined;
  let exit: Exit | undefined;
  let timer: NodeJS.Timeout | undefined;
  let goneAt: number | undefined;
  let pause = POLL_MS;
  const exited = (code: number | null, signal: NodeJS.Signals | null): void => {
    if (exit !== undefined) return;
    clearTimeout(timer);
    exit = { code, signal, error: undefined };
    listener?.(exit);
  };
  const look = (): void => {
    timer = undefined;
    if (exit !== undefined) return;
    const status = statusOf(pid);
    if (typeof status === "number") return exited(...decoded(status));
    if (status === "gone") {
      goneAt ??= performance.now();
      if (performance.now() - goneAt > TOLD_MS) return exited(null, null);
    } else pause = Math.min(2 * pause, POLL_MAX_MS);
    timer = setTimeout(look, pause).unref();
  };
  const suspect = (): void => {
    clearTimeout(timer);
    pause = POLL_MS;
    timer = setTimeout(look, pause).unref();
  };
  const pipe = (fd: number): Socket => new Socket({ fd, readable: true, writable: false }).on("close", suspect).on("error", suspect);
  let text = "";
  // Paused: whoever watches for the driver's end lets it flow.
  process.stdin.setEncoding("utf8").pause();
  process.stdin.on("data", (chunk: string) => {
    text += chunk;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
      const { code, signal } = (JSON.parse(text.slice(0, end)) as FirstExit).firstExit;
      text = text.slice(end + 1);
      exited(code, signal);
    }
  });
  return {
    pid,
    stdout: pipe(FIRST_STDOUT_FD),
    stderr: pipe(FIRST_STDERR_FD),
    onExit(heard) {
      listener = heard;
      if (exit !== undefined) heard(exit);
    },
    suspect,
  };
}

/** How a process ended that its parent has not asked for yet, as `waitpid` would say; or that it runs, or is not there. */
function statusOf(pid: number): number | "runs" | "gone" {
  try {
    process.kill(pid, 0);
  } catch {
    return "gone";
  }
  try {
    // The name may have spaces and brackets. The state is the third field, the status the 52nd.
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1").split(") ").at(-1)!.split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? Number(fields[49]) : "runs";
  } catch {
    return "runs";
  }
}

function decoded(status: number): [code: number | null, signal: NodeJS.Signals | null] {
  const number = status & 0x7f;
  if (number === 0) return [(status >> 8) & 0xff, null];
  const name = Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
  return [null, (name ?? "SIGKILL") as NodeJS.Signals];
}
