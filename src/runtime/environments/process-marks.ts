/**
 * Who a process is, so that files can name the one that made or uses them, and others see whether it still lives: a pid alone may be
 * that of a later process.
 */
import { readFileSync, readlinkSync } from "node:fs";

export interface ProcessMark {
  readonly pid: number;
  readonly started: string;
  /** Pids of another space, such as a container's, say nothing here. */
  readonly space: string;
}

export function ownMark(): ProcessMark {
  return { pid: process.pid, started: startOf(process.pid), space: pidSpace() };
}

/** Undefined where that cannot be known. */
export function isLiving(mark: ProcessMark): boolean | undefined {
  return mark.space === pidSpace() ? startOf(mark.pid) === mark.started : undefined;
}

/** When a process was started, in the kernel's count. "" if it is gone. */
export function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? "" : fields[19]!;
  } catch {
    return isAlive(pid) ? "unknown" : "";
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function pidSpace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "unknown";
  }
}

export const printMark = (mark: ProcessMark): string => JSON.stringify(mark);

/** Undefined for what is no mark, such as one that is being written. */
export function parseMark(text: string): ProcessMark | undefined {
  try {
    const { pid, started, space } = JSON.parse(text) as ProcessMark;
    return { pid, started, space };
  } catch {
    return undefined;
  }
}
