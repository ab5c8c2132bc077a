/**
 * Live processes as /proc tells them, found by a mark in their environment that children inherit, and the verbs that
 * hurt one by its id. Linux only. It never touches a process that a test of this run did not start.
 */
import fs from "node:fs";

/** The variable by which every process below a test is found again. */
export const MARK = "MOBULA_TEST_MARK";

export interface LiveProcess {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
  /** The environment it was started with. */
  readonly env: Readonly<Record<string, string>>;
}

function read(file: string): string {
  try {
    return fs.readFileSync(file, "latin1");
  } catch {
    return ""; // It ended, or belongs to another user.
  }
}

/** The processes that carry `mark`, or `mark` and more, in that variable; zombies and this process are left out. */
export function processesWith(mark: string, variable: string = MARK): LiveProcess[] {
  const found: LiveProcess[] = [];
  for (const name of fs.readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const environ = read(`/proc/${pid}/environ`);
    if (!environ.includes(`${variable}=${mark}`)) continue;
    const env: Record<string, string> = {};
    for (const line of environ.split("\0")) {
      const at = line.indexOf("=");
      if (at > 0) env[line.slice(0, at)] = line.slice(at + 1);
    }
    const own = env[variable];
    if (own !== mark && !own?.startsWith(`${mark}.`)) continue;
    // The command in brackets may itself hold spaces and brackets: what follows the last one is fixed.
    const stat = read(`/proc/${pid}/stat`);
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (state === undefined || state === "Z" || state === "X") continue;
    const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
    found.push({ pid, parent: Number(parent), command, env });
  }
  return found;
}

/** Sends a signal, SIGKILL unless told otherwise; a process that is already gone is no error. */
export function kill(pid: number, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Stops a process where it is: sockets stay open, nothing is answered. */
export const freeze = (pid: number): void => kill(pid, "SIGSTOP");

/** Lets a frozen process go on. */
export const thaw = (pid: number): void => kill(pid, "SIGCONT");
