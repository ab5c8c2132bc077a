/**
 * Workers killed at random while every kind of work runs. Everything that may run again gives the right result, and in the end
 * nothing is left: no reference, object, actor, process or processor in use.
 */
import { setTimeout as pause } from "node:timers/promises";
import * as ray from "mobula";
import { daemonPid, ownMiB, settled, workerProcesses } from "./cluster.ts";
import { jobs } from "./jobs.ts";
import { Random } from "./random.ts";
import type { Figures, RunOptions } from "./report.ts";

const CPUS = 4;
const BESIDE_EACH_OTHER = 24;
const STORE_BYTES = 96 << 20;
/** Between two kills, milliseconds. */
const PAUSE_MAX = 300;

export async function kills({ count, seed, only }: RunOptions): Promise<Figures> {
  await ray.init({ numCpus: CPUS, objectStoreMemory: STORE_BYTES, logToDriver: false });
  const random = new Random(seed);
  const daemon = daemonPid();
  const kinds = Object.keys(jobs).filter((name) => only === undefined || only.includes(name));
  const done = new Map<string, number>();
  const failures: string[] = [];
  let killed = 0;
  let over = false;
  const working = async (): Promise<void> => {
    while (!over && failures.length === 0) {
      const name = random.pick(kinds);
      try {
        await jobs[name]!(random);
        done.set(name, (done.get(name) ?? 0) + 1);
      } catch (error) {
        failures.push(`${name}: ${error instanceof Error ? error.stack : String(error)}`);
      }
    }
  };
  const startedAt = performance.now();
  const workers = Array.from({ length: BESIDE_EACH_OTHER }, working);
  const memory: number[] = [];
  while (killed < count && failures.length === 0) {
    await pause(random.int(0, PAUSE_MAX));
    const victims = workerProcesses();
    if (victims.length === 0) continue;
    try {
      process.kill(random.pick(victims).pid, "SIGKILL");
    } catch {
      continue; // It was on its way out already.
    }
    killed++;
    // Work goes on between the deaths, or all that dies is processes that start.
    const until = total(done) + random.int(0, 3);
    for (let i = 0; i < 100 && total(done) < until && failures.length === 0; i++) await pause(20);
    if (killed % Math.max(1, Math.floor(count / 8)) === 0) memory.push(ownMiB(daemon));
  }
  over = true;
  await withinTime(Promise.all(workers), 120_000, () => `of ${kinds.join(", ")} some do not end`);
  const workMs = performance.now() - startedAt;
  const { ok, left, ms } = await settled(CPUS);
  if (!ok) failures.push(`left over: ${JSON.stringify(left)}`);
  if (failures.length === 0) await ray.shutdown();
  return {
    failures: failures.slice(0, 3),
    figures: {
      kills: killed,
      "jobs done": total(done),
      ...Object.fromEntries([...done].map(([name, times]) => [`  ${name}`, times])),
      "seconds under load": Number((workMs / 1000).toFixed(1)),
      "ms until all was let go of": Math.round(ms),
      "memory of the daemon, MiB": memory.map(Math.round).join(" "),
      "left over": JSON.stringify(left),
    },
  };
}

const total = (done: ReadonlyMap<string, number>): number => [...done.values()].reduce((a, b) => a + b, 0);

async function withinTime(promise: Promise<unknown>, ms: number, what: () => string): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => (timer = setTimeout(() => reject(new Error(`after ${ms} ms ${what()}`)), ms)));
  try {
    await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
