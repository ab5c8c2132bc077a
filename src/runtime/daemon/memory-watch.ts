/**
 * Looks at the memory of the machine, or of its control group, and asks for a worker to be ended before the kernel
 * ends one by chance.
 */
import { readFileSync } from "node:fs";

const POLL_MS = 250;
/** After an end, memory needs a moment to come back. */
const PAUSE_MS = 1000;

export interface MemoryUse {
  readonly used: number;
  readonly total: number;
}

export class MemoryWatch {
  readonly #timer: NodeJS.Timeout;

  /** `tooMuch` returns whether it ended something. */
  constructor(threshold: number, tooMuch: (use: MemoryUse) => boolean, read: () => MemoryUse | undefined = memoryUse) {
    let pausedUntil = 0;
    this.#timer = setInterval(() => {
      const now = performance.now();
      if (now < pausedUntil) return;
      const use = read();
      if (use !== undefined && use.used > threshold * use.total && tooMuch(use)) pausedUntil = now + PAUSE_MS;
    }, POLL_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Whom to end: the first of the large, its end helps. With the newest first it is the one that has lost least. */
export function victimOf<P extends { readonly size: number }>(processes: readonly P[]): P | undefined {
  const largest = Math.max(0, ...processes.map(({ size }) => size));
  return processes.find(({ size }) => size > 0 && size >= largest / 2);
}

/** The tighter of the machine and the control group; undefined where neither can be read. */
export function memoryUse(): MemoryUse | undefined {
  const uses = [machineUse(), groupUse()].filter((use) => use !== undefined);
  return uses.sort((a, b) => b.used / b.total - a.used / a.total)[0];
}

/** Resident bytes of a process, 0 if it is gone. */
export function residentBytes(pid: number): number {
  const status = text(`/proc/${pid}/status`);
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

function machineUse(): MemoryUse | undefined {
  const info = text("/proc/meminfo");
  const total = Number(/^MemTotal:\s+(\d+) kB$/m.exec(info)?.[1] ?? 0) * 1024;
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(info)?.[1] ?? 0) * 1024;
  return total === 0 ? undefined : { used: total - available, total };
}

function groupUse(): MemoryUse | undefined {
  const total = Number(text("/sys/fs/cgroup/memory.max"));
  const current = Number(text("/sys/fs/cgroup/memory.current"));
  if (!(total > 0) || !(current > 0)) return undefined;
  // Pages of files that nobody used lately are given up before anything is killed.
  const idle = Number(/^inactive_file (\d+)$/m.exec(text("/sys/fs/cgroup/memory.stat"))?.[1] ?? 0);
  return { used: current - idle, total };
}

function text(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}
