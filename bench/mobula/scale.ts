/** Loops of what grows: tasks queued, tasks run through, arguments, returns, objects of one get, actors, and placement groups. */
import * as ray from "mobula";
import type { LoopMaker, Loops } from "../definitions.ts";
import { processesBelow, residentMegabytes } from "../runner/processes.ts";
import { cluster } from "./cluster.ts";

const MILLION = 1_000_000;
/** Arguments, returns and objects of these rows are lists of ten numbers, as Ray's are lists. */
const list = (): number[] => [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

/** Submits `count` tasks in one turn; `queued` looks while all of them wait. Gives us per task. */
async function runQueued(count: number, queued: () => void = () => undefined): Promise<number> {
  const task = ray.remote(() => "ok");
  await ray.get(task.remote());
  const startedAt = performance.now();
  const refs: ray.ObjectRef<string>[] = new Array(count);
  for (let i = 0; i < count; i++) refs[i] = task.remote();
  queued();
  await ray.get(refs);
  return ((performance.now() - startedAt) / count) * 1000;
}

const queuedMemory: LoopMaker = async (size) => {
  await cluster();
  await runQueued(size(1000));
  const count = size(MILLION, MILLION / 10);
  const measure = async (): Promise<number> => {
    const before = process.memoryUsage.rss();
    let after = before;
    await runQueued(count, () => (after = process.memoryUsage.rss()));
    return Math.max(0, after - before) / count;
  };
  return { measure };
};

const queuedTime: LoopMaker = async (size) => {
  await cluster();
  return { measure: () => runQueued(size(MILLION, MILLION / 10)) };
};

/** How much a task of a million costs beside one of a tenth of them, in per cent. */
const queuedLinear: LoopMaker = async (size) => {
  await cluster();
  const many = size(MILLION, MILLION / 5);
  const measure = async (): Promise<number> => {
    const few = await runQueued(Math.max(1, many / 10));
    return ((await runQueued(many)) / few) * 100;
  };
  return { measure };
};

/** Runs tasks through, ten thousand in flight; how much all processes together grow after the first hundredth, in per cent. */
const memoryFlat: LoopMaker = async (size) => {
  await cluster();
  const task = ray.remote(() => "ok");
  const total = size(10 * MILLION, MILLION);
  const inFlight = Math.min(10_000, total);
  const everyone = (): number => processesBelow(process.pid, "/dist/").reduce((sum, pid) => sum + residentMegabytes(pid), 0);
  const measure = async (): Promise<number> => {
    let first = 0;
    let highest = 0;
    const step = total / 100;
    for (let done = 0, next = step; done < total;) {
      await ray.get(Array.from({ length: inFlight }, () => task.remote()));
      done += inFlight;
      if (done < next) continue;
      next = done + step;
      const now = everyone();
      if (first === 0) first = now;
      highest = Math.max(highest, now);
    }
    return (highest / first - 1) * 100;
  };
  return { measure };
};

const manyArguments =
  (full: number): LoopMaker =>
  async (size) => {
    await cluster();
    const count = ray.remote((...args: unknown[]) => args.length);
    const refs = Array.from({ length: size(full) }, () => ray.put(list()));
    const once = async (): Promise<void> => {
      if ((await ray.get(count.remote(...refs))) !== refs.length) throw new Error("not every argument arrived");
    };
    return { once };
  };

const manyReturns: LoopMaker = async (size) => {
  await cluster();
  const count = size(3000);
  const numbers = ray.remote((n: number) => Array.from({ length: n }, (_, i) => i), { numReturns: count });
  return { once: () => ray.get(numbers.remote(count) as unknown as ray.ObjectRef<number>[]) };
};

const manyObjects: LoopMaker = async (size) => {
  await cluster();
  const refs = Array.from({ length: size(10_000) }, () => ray.put(list()));
  return { once: () => ray.get(refs) };
};

const groups: LoopMaker = async (size) => {
  await cluster();
  const once = async (): Promise<void> => {
    const made = Array.from({ length: size(100) }, () => ray.placementGroup([{ custom: 0.001 }]));
    for (const group of made) await group.wait(30_000);
    for (const group of made) await group.remove();
  };
  return { once };
};

const inFlight =
  (count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const task = ray.remote(() => "ok");
    return { once: () => ray.get(Array.from({ length: size(count) }, () => task.remote())) };
  };

const refsInObject =
  (count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const make = ray.remote((n: number) => Array.from({ length: n }, () => ray.put(1)));
    const ref = make.remote(size(count));
    return { once: () => ray.get(ref) };
  };

/** One wait over so many references, all of them ready. */
const waitOver =
  (count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const refs = Array.from({ length: size(count) }, (_, i) => ray.put(i));
    return { once: () => ray.wait(refs) };
  };

/** Tasks that are cancelled before they begin, in us each. */
const cancelled =
  (count: number): LoopMaker =>
  async (size) => {
    await cluster();
    const task = ray.remote(() => "ok");
    const measure = async (): Promise<number> => {
      const refs = Array.from({ length: size(count) }, () => task.remote());
      const startedAt = performance.now();
      await Promise.all(refs.map((ref) => ray.cancel(ref)));
      const elapsed = performance.now() - startedAt;
      await Promise.allSettled(refs.map((ref) => ray.get(ref)));
      return (elapsed / refs.length) * 1000;
    };
    return { measure };
  };

/** New actors, each called once, in ms each. */
const newActors =
  (full: number): LoopMaker =>
  async (size) => {
    await cluster();
    class Fresh {
      ok(): string {
        return "ok";
      }
    }
    const RemoteFresh = ray.remote(Fresh, { numCpus: 0 });
    const count = size(full) < full ? 1 : full;
    const measure = async (): Promise<number> => {
      const startedAt = performance.now();
      const actors = Array.from({ length: count }, () => RemoteFresh.remote());
      await ray.get(actors.map((actor) => actor.ok.remote()));
      const elapsed = performance.now() - startedAt;
      await Promise.all(actors.map((actor) => ray.kill(actor)));
      return elapsed / count;
    };
    return { measure };
  };

const family = (name: string, sizes: readonly number[], make: (count: number) => LoopMaker): Loops =>
  Object.fromEntries(sizes.map((count) => [`${name}/${count}`, make(count)]));

export const loops: Loops = {
  "queued-memory": queuedMemory,
  "queued-time": queuedTime,
  "queued-linear": queuedLinear,
  "memory-flat": memoryFlat,
  "args-10000": manyArguments(10_000),
  "returns-3000": manyReturns,
  "objects-10000": manyObjects,
  A23: groups,
  ...family("in-flight", [10, 100, 1000, 10_000, 100_000], inFlight),
  ...family("refs", [10, 100, 1000, 10_000], refsInObject),
  ...family("args", [10, 100, 1000, 10_000], manyArguments),
  ...family("waited", [10, 100, 1000, 10_000], waitOver),
  ...family("cancelled", [100, 1000, 10_000, 100_000], cancelled),
  ...family("actors", [1, 3, 10, 30, 100], newActors),
};
