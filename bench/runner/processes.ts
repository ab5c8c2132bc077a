/** What /proc says of processes below one: for rows about memory. Linux only, as is the engine. */
import { readdirSync, readFileSync } from "node:fs";

function read(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return ""; // It has ended.
  }
}

/** Every process below `root`, itself among them, whose command holds `word`. */
export function processesBelow(root: number, word: string): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    const stat = read(`/proc/${pid}/stat`);
    const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
    children.set(parent, [...(children.get(parent) ?? []), pid]);
  }
  const found = [root];
  for (let i = 0; i < found.length; i++) found.push(...(children.get(found[i]!) ?? []));
  return found.filter((pid) => pid === root || read(`/proc/${pid}/cmdline`).includes(word));
}

/** Resident memory in MB. */
export const residentMegabytes = (pid: number): number => Number(/VmRSS:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) / 1000;
