/** The pools of npm behind one face, each with two workers and otherwise as it comes. */
import cluster from "node:cluster";
import path from "node:path";
import { Piscina } from "piscina";
import { FixedClusterPool, FixedThreadPool } from "poolifier";
import { Tinypool } from "tinypool";
import workerpool from "workerpool";

const WORKERS = 2;
const file = (name: string): string => path.join(import.meta.dirname, name);

/** The functions of functions.cjs. */
export type FunctionName = "smallValue" | "increment" | "add" | "busy";

export interface Pool {
  run(name: FunctionName, argument?: unknown): Promise<unknown>;
  close(): Promise<unknown>;
}

function piscina(): Pool {
  const pool = new Piscina({ filename: file("functions.cjs"), minThreads: WORKERS, maxThreads: WORKERS });
  return { run: (name, argument) => pool.run(argument, { name }), close: () => pool.destroy() };
}

function tinypool(runtime: "worker_threads" | "child_process"): Pool {
  const pool = new Tinypool({ filename: file("functions.cjs"), runtime, minThreads: WORKERS, maxThreads: WORKERS, execArgv: [] });
  return { run: (name, argument) => pool.run(argument, { name }) as Promise<unknown>, close: () => pool.destroy() };
}

function ofWorkerpool(workerType: "thread" | "process"): Pool {
  const pool = workerpool.pool(file("worker-of-workerpool.mjs"), {
    workerType,
    minWorkers: WORKERS,
    maxWorkers: WORKERS,
    forkOpts: { execArgv: [] },
    workerThreadOpts: { execArgv: [] },
  });
  // Its promise is a class of its own, which await understands.
  return {
    run: async (name, argument) => (await pool.exec(name, [argument])) as unknown,
    close: async () => void (await pool.terminate()),
  };
}

function poolifierThreads(): Pool {
  const pool = new FixedThreadPool<unknown, unknown>(WORKERS, file("worker-of-poolifier-threads.mjs"), { workerOptions: { execArgv: [] } });
  return { run: (name, argument) => pool.execute(argument, name), close: () => pool.destroy() };
}

function poolifierProcesses(): Pool {
  cluster.setupPrimary({ execArgv: [] });
  const pool = new FixedClusterPool<unknown, unknown>(WORKERS, file("worker-of-poolifier-processes.cjs"));
  return { run: (name, argument) => pool.execute(argument, name), close: () => pool.destroy() };
}

export const POOL_MAKERS: Readonly<Record<string, () => Pool>> = {
  piscina,
  tinypool: () => tinypool("worker_threads"),
  "tinypool-processes": () => tinypool("child_process"),
  workerpool: () => ofWorkerpool("thread"),
  "workerpool-processes": () => ofWorkerpool("process"),
  poolifier: poolifierThreads,
  "poolifier-processes": poolifierProcesses,
};
