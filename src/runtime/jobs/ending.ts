/** Ends what a job has started: its process group, and what has left that, which its environment shows. */
import { readdirSync, readFileSync } from "node:fs";
import { WATCHER } from "./entry-shell.ts";
import { JOB_ID } from "./folders.ts";

export function signalGroup(leader: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-leader, signal);
  } catch {
    // Nobody is left in it.
  }
}

/** Whether anybody is left of a job besides the watcher of its group. Where that cannot be seen, nobody is. */
export function anyLeft(leader: number, jobId: string): boolean {
  const pids = new Set([...processesOfGroup(leader), ...processesOfJob(jobId)]);
  return [...pids].some((pid) => !isWatcher(pid));
}

function processesOfGroup(leader: number): number[] {
  return processes().filter((pid) => {
    const fields = read(pid, "stat")
      .replace(/^.*\) /s, "")
      .split(" ");
    // State, parent, group; what has ended and was not asked for its exit yet does not count.
    return Number(fields[2]) === leader && fields[0] !== "Z";
  });
}

/** Processes of this user that were started with the job's id in their environment. Empty where that cannot be seen. */
export function processesOfJob(jobId: string): number[] {
  const wanted = `${JOB_ID}=${jobId}`;
  return processes().filter((pid) => pid !== process.pid && read(pid, "environ").split("\0").includes(wanted));
}

const isWatcher = (pid: number): boolean => read(pid, "cmdline").includes(WATCHER);

function processes(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

/** Empty where it is another user's, or gone. */
function read(pid: number, file: "stat" | "environ" | "cmdline"): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "latin1");
  } catch {
    return "";
  }
}

/** All of them, whatever group they are in; how many there were. */
export function signalJob(jobId: string, signal: NodeJS.Signals): number {
  const pids = processesOfJob(jobId);
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch {
      // It has ended by itself.
    }
  }
  return pids.length;
}

/** At once. What they start meanwhile is found by looking again. */
export function killJob(jobId: string): void {
  for (let round = 0; round < 5 && signalJob(jobId, "SIGKILL") > 0; round++);
}
