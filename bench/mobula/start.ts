/** What it costs to start: a whole program up to its first result, one more worker, and an idle worker's memory. */
import { spawn } from "node:child_process";
import path from "node:path";
import * as ray from "mobula";
import type { LoopMaker, Loops } from "../definitions.ts";
import { median } from "../runner/statistics.ts";
import { cluster } from "./cluster.ts";

/** Runs a program of its own in plain JavaScript, and gives the number that it prints. */
function numberFrom(program: string): Promise<number> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, program)], { stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => (code === 0 ? resolve(Number(printed)) : reject(new Error(`${program} ended with ${code}`))));
  });
}

/** An actor on a process that did not run before, from `.remote()` to its first answer, in ms. */
const workerStart: LoopMaker = async (size) => {
  await cluster();
  class Fresh {
    pid(): number {
      return process.pid;
    }
  }
  const RemoteFresh = ray.remote(Fresh, { numCpus: 0 });
  const seen = new Set<number>();
  // What is started ahead is used up: then each actor needs a process of its own.
  const kept = Array.from({ length: 4 }, () => RemoteFresh.remote());
  for (const pid of await ray.get(kept.map((actor) => actor.pid.remote()))) seen.add(pid);
  const startOne = async (): Promise<number> => {
    const startedAt = performance.now();
    const actor = RemoteFresh.remote();
    const pid = await ray.get(actor.pid.remote());
    const elapsed = performance.now() - startedAt;
    if (seen.has(pid)) throw new Error("an actor got the process of another one");
    seen.add(pid);
    kept.push(actor);
    return elapsed;
  };
  const measure = async (): Promise<number> => {
    const times: number[] = [];
    for (let i = 0; i < size(5); i++) times.push(await startOne());
    return median(times);
  };
  return { measure, close: () => Promise.all(kept.map((actor) => ray.kill(actor))) };
};

export const loops: Loops = {
  "first-result": () => ({ measure: () => numberFrom("first-result.mjs") }),
  "worker-start": workerStart,
  "worker-memory": () => ({ measure: () => numberFrom("idle-worker.mjs") }),
};
