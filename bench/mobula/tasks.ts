/** Loops of tasks: Ray's A5, A9, A10, A11, and what has grown beside them. */
import * as ray from "mobula";
import type { LoopMaker, Loops } from "../definitions.ts";
import { cluster, WORKERS } from "./cluster.ts";

/** Ray's small value is two bytes that never change; the same in JavaScript is a short string. */
const smallTask = () => ray.remote(() => "ok");

const oneByOne: LoopMaker = async () => {
  await cluster();
  const task = smallTask();
  return { once: () => ray.get(task.remote()) };
};

const batch: LoopMaker = async (size) => {
  await cluster();
  const task = smallTask();
  const count = size(1000);
  const once = (): Promise<unknown> => {
    const refs: ray.ObjectRef<string>[] = [];
    for (let i = 0; i < count; i++) refs.push(task.remote());
    return ray.get(refs);
  };
  return { once };
};

const fromActors: LoopMaker = async (size) => {
  await cluster();
  const task = smallTask();
  class Submitter {
    async run(count: number): Promise<void> {
      const refs: ray.ObjectRef<string>[] = [];
      for (let i = 0; i < count; i++) refs.push(task.remote());
      await ray.get(refs);
    }
  }
  const RemoteSubmitter = ray.remote(Submitter, { numCpus: 0 });
  const actors = Array.from({ length: 4 }, () => RemoteSubmitter.remote());
  const once = (): Promise<unknown> => ray.get(actors.map((actor) => actor.run.remote(size(10_000))));
  return { once, close: () => Promise.all(actors.map((actor) => ray.kill(actor))) };
};

/** Each task takes the reference of the one before it. */
const chain: LoopMaker = async (size) => {
  await cluster();
  const increment = ray.remote((x: number) => x + 1);
  const length = size(1000);
  const once = async (): Promise<void> => {
    let ref = increment.remote(0);
    for (let i = 1; i < length; i++) ref = increment.remote(ref);
    const end = await ray.get(ref);
    if (end !== length) throw new Error(`a chain of ${length} ended in ${end}`);
  };
  return { once };
};

/** Adds up 1024 numbers, two by two: 1023 tasks in ten layers. */
const treeReduce: LoopMaker = async (size) => {
  await cluster();
  const add = ray.remote((a: number, b: number) => a + b);
  const leaves = size(1024, 1024) < 1024 ? 8 : 1024;
  const once = async (): Promise<void> => {
    let layer: (number | ray.ObjectRef<number>)[] = Array.from({ length: leaves }, () => 1);
    while (layer.length > 1) {
      const next: ray.ObjectRef<number>[] = [];
      for (let i = 0; i < layer.length; i += 2) next.push(add.remote(layer[i]!, layer[i + 1]!));
      layer = next;
    }
    const sum = await ray.get(layer[0] as ray.ObjectRef<number>);
    if (sum !== leaves) throw new Error(`${leaves} ones add up to ${sum}`);
  };
  return { once };
};

/** One task of two seconds, then a thousand tiny ones: how long until the tiny ones are done, in ms. */
const fairness: LoopMaker = async (size) => {
  await cluster();
  const task = smallTask();
  const busy = ray.remote((ms: number) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  });
  // Both workers are there, and have run the function before.
  await ray.get(Array.from({ length: 50 * WORKERS }, () => task.remote()));
  const measure = async (): Promise<number> => {
    const startedAt = performance.now();
    const long = busy.remote(size(2000, 2000));
    await ray.get(Array.from({ length: size(1000) }, () => task.remote()));
    const elapsed = performance.now() - startedAt;
    await ray.get(long);
    return elapsed;
  };
  return { measure };
};

export const loops: Loops = { A5: batch, A9: oneByOne, A10: batch, A11: fromActors, chain, tree: treeReduce, fairness };
