/**
 * What the chaos runs see of a cluster from outside: its processes and their memory, by /proc, and whether it is back to where
 * it started. Linux only.
 */
import fs from "node:fs";
import * as ray from "mobula";
import { collectGarbage, counts, objectStore } from "mobula/state";

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly command: string;
}

function processOf(pid: number): Process | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, "latin1");
    const [state = "", parent = ""] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const command = fs.readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
    return { pid, parent: Number(parent), state, command };
  } catch {
    return undefined; // It ended meanwhile.
  }
}

/** Live processes whose parent is `parent`. */
export function childrenOf(parent: number): Process[] {
  const found: Process[] = [];
  for (const name of fs.readdirSync("/proc")) {
    const child = /^\d+$/.test(name) ? processOf(Number(name)) : undefined;
    if (child?.parent === parent && child.state !== "Z" && child.state !== "X") found.push(child);
  }
  return found;
}

/** The daemon that this program has started. */
export function daemonPid(): number {
  const daemon = childrenOf(process.pid).find(({ command }) => /daemon\/main\.[jt]s/.test(command));
  if (!daemon) throw new Error("this program has no daemon");
  return daemon.pid;
}

/** The workers of this program's node: children of its daemon, and the first one its own. */
export function workerProcesses(): Process[] {
  return [...childrenOf(daemonPid()), ...childrenOf(process.pid).filter(({ command }) => /worker\/main\.[jt]s/.test(command))];
}

/** Resident memory of a process, MiB. */
export function residentMiB(pid: number): number {
  try {
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(fs.readFileSync(`/proc/${pid}/status`, "latin1"))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** Memory of a process that is its own: without what it shares with others, such as the arena. MiB. */
export function ownMiB(pid: number): number {
  try {
    const rollup = fs.readFileSync(`/proc/${pid}/smaps_rollup`, "latin1");
    const private_ = [...rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm)];
    return private_.reduce((sum, [, kb]) => sum + Number(kb), 0) / 1024;
  } catch {
    return residentMiB(pid);
  }
}

export interface Rest {
  readonly workers: number;
  readonly processes: number;
  readonly actors: number;
  readonly leases: number;
  readonly waiting: number;
  readonly references: number;
  readonly objects: number;
  readonly usedBytes: number;
  readonly spilledBytes: number;
  readonly missingCpus: number;
}

/** What is still in use of the cluster. */
export async function rest(): Promise<Rest> {
  const [node] = await counts();
  const [store] = await objectStore();
  const [total, free] = [await ray.clusterResources(), await ray.availableResources()];
  return {
    workers: node!.workers,
    processes: workerProcesses().length,
    actors: node!.actors,
    leases: node!.leases,
    waiting: node!.waiting,
    references: node!.references,
    objects: store!.objects,
    usedBytes: store!.used,
    spilledBytes: store!.spilled,
    missingCpus: (total["CPU"] ?? 0) - (free["CPU"] ?? 0),
  };
}

/**
 * Waits until nothing of what ran is left: workers back to the pool of `pool`, no actor, lease, request, reference or object,
 * and every processor free. Returns what is left when that does not come true in time.
 */
export async function settled(pool: number, timeoutMs = 20_000): Promise<{ ok: boolean; left: Rest; ms: number }> {
  const startedAt = performance.now();
  for (;;) {
    await collectGarbage();
    await new Promise<void>((resolve) => setTimeout(resolve, 50));
    const left = await rest();
    const { workers, processes, missingCpus, usedBytes: _, ...others } = left;
    // As many again stay for a while: the next burst of work would start them anew.
    const pooled = workers >= pool && workers <= 2 * pool && processes === workers;
    const ok = pooled && missingCpus === 0 && Object.values(others).every((count) => count === 0);
    const ms = performance.now() - startedAt;
    if (ok || ms > timeoutMs) return { ok, left, ms };
  }
}
