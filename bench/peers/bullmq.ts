/** BullMQ on a redis-server of its own that keeps nothing on disk, with two worker processes. Jobs go out in bulk where a loop has many. */
import { fork, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout } from "node:timers/promises";
import { Queue, QueueEvents } from "bullmq";
import type { Loops } from "../definitions.ts";

const WORKERS = 2;
const QUEUE = "bench";
/** How long the first job may take, before another is tried. */
const FIRST_MS = 2000;
/** A job that takes longer is lost. */
const JOB_MS = 60_000;
/** Finished jobs that Redis keeps: more than are in flight, since a job that is gone cannot be awaited. */
const KEPT = { removeOnComplete: { count: 5000 } };

interface Running {
  readonly queue: Queue;
  readonly events: QueueEvents;
  readonly children: readonly ChildProcess[];
  readonly folder: string;
}

let running: Promise<Running> | undefined;

async function startRedis(folder: string): Promise<{ redis: ChildProcess; socket: string }> {
  const socket = path.join(folder, "redis.sock");
  const args = ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", folder];
  const redis = spawn("redis-server", args, { stdio: "ignore" });
  redis.on("error", () => undefined); // The socket that never comes says so.
  for (let i = 0; !existsSync(socket); i++) {
    if (i > 500) throw new Error("redis-server did not open its socket within 5 s");
    await setTimeout(10);
  }
  return { redis, socket };
}

async function start(): Promise<Running> {
  const folder = mkdtempSync(path.join(os.tmpdir(), "bench-redis-"));
  const { redis, socket } = await startRedis(folder);
  const connection = { path: socket };
  const children: ChildProcess[] = [];
  for (let i = 0; i < WORKERS; i++) {
    const child = fork(path.join(import.meta.dirname, "worker-of-bullmq.mjs"), [socket, QUEUE], { execArgv: [] });
    await new Promise<void>((resolve, reject) => {
      child.once("message", () => resolve());
      child.once("exit", (code) => reject(new Error(`a worker of BullMQ ended with ${code}`)));
    });
    children.push(child);
  }
  const queue = new Queue(QUEUE, { connection });
  const events = new QueueEvents(QUEUE, { connection });
  await Promise.all([queue.waitUntilReady(), events.waitUntilReady()]);
  // Ready is not yet listening: a job that ends before the first read of events is never heard of. So the first one may be late.
  for (let i = 0; i < 5; i++) {
    const job = await queue.add("job", {}, KEPT);
    if (await job.waitUntilFinished(events, FIRST_MS).then(Boolean, () => false)) break;
  }
  return { queue, events, children: [...children, redis], folder };
}

const system = (): Promise<Running> => (running ??= start());

export async function close(): Promise<void> {
  if (running === undefined) return;
  const { queue, events, children, folder } = await running;
  await Promise.all([queue.close(), events.close()]);
  for (const child of children.toReversed()) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
}

export const loops: Loops = {
  A9: async () => {
    const { queue, events } = await system();
    return { once: async () => (await queue.add("job", {}, KEPT)).waitUntilFinished(events, JOB_MS) };
  },
  A10: async (size) => {
    const { queue, events } = await system();
    const once = async (): Promise<unknown> => {
      const jobs = await queue.addBulk(Array.from({ length: size(1000) }, () => ({ name: "job", data: {}, opts: KEPT })));
      return Promise.all(jobs.map((job) => job.waitUntilFinished(events, JOB_MS)));
    };
    return { once };
  },
};
