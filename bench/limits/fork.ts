/** The limit of starts: bare processes of Node, that do nothing but say that they are there. */
import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import type { Loops } from "../definitions.ts";
import { median } from "../runner/statistics.ts";

/** A bare child, once it has said that it runs. Without the loader of TypeScript that this process has. */
async function bareFork(): Promise<ChildProcess> {
  const child = fork(path.join(import.meta.dirname, "bare.mjs"), { execArgv: [] });
  await new Promise<void>((resolve, reject) => {
    child.once("message", () => resolve());
    child.once("exit", (code) => reject(new Error(`a bare fork ended with ${code}`)));
  });
  return child;
}

async function forksInARow(count: number): Promise<number> {
  const startedAt = performance.now();
  const children: ChildProcess[] = [];
  for (let i = 0; i < count; i++) children.push(await bareFork());
  const elapsed = performance.now() - startedAt;
  for (const child of children) child.disconnect();
  return elapsed;
}

async function idleMemory(): Promise<number> {
  const child = await bareFork();
  await setTimeout(1000);
  const status = readFileSync(`/proc/${child.pid}/status`, "latin1");
  child.disconnect();
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)![1]) / 1000;
}

export const loops: Loops = {
  "first-result": () => ({ measure: () => forksInARow(3) }),
  "worker-start": (size) => ({
    measure: async () => {
      const times: number[] = [];
      for (let i = 0; i < size(5); i++) times.push(await forksInARow(1));
      return median(times);
    },
  }),
  "worker-memory": () => ({ measure: idleMemory }),
};
