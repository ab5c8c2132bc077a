/** Loops of objects: Ray's A1 to A4, A6 to A8, the put without a copy, and gets of one size after another. */
import * as ray from "mobula";
import type { LoopMaker, Loops } from "../definitions.ts";
import { cluster } from "./cluster.ts";

const MIB = 2 ** 20;
/** Ray's array: 100 Mi numbers of 8 bytes. */
const LARGE_LENGTH = 100 * MIB;

const getSmall: LoopMaker = async () => {
  await cluster();
  const ref = ray.put(0);
  return { once: () => ray.get(ref) };
};

const putSmall: LoopMaker = async () => {
  await cluster();
  return {
    once: () => {
      ray.put(0);
      return Promise.resolve();
    },
  };
};

/** Small objects of a worker, read here for the first time. */
const getCrossing: LoopMaker = async (size) => {
  await cluster();
  const make = ray.remote((count: number) => Array.from({ length: count }, (_, i) => ray.put(i)));
  const count = size(1000);
  const once = async (): Promise<void> => {
    const values = await ray.get(await ray.get(make.remote(count)));
    if (values.length !== count || values[count - 1] !== count - 1) throw new Error("not every object arrived");
  };
  return { once };
};

/** Small objects of this process, each read by a task. */
const putCrossing: LoopMaker = async (size) => {
  await cluster();
  const same = ray.remote((x: number) => x);
  const count = size(1000);
  const once = async (): Promise<void> => {
    const values = await ray.get(Array.from({ length: count }, (_, i) => same.remote(ray.put(i))));
    if (values[count - 1] !== count - 1) throw new Error("not every object arrived");
  };
  return { once };
};

const putSmallInTasks: LoopMaker = async (size) => {
  await cluster();
  const task = ray.remote((count: number) => {
    for (let i = 0; i < count; i++) ray.put(0);
  });
  return { once: () => ray.get(Array.from({ length: 10 }, () => task.remote(size(100)))) };
};

/** The store frees what was dropped when the collector has seen it; a program that puts in a loop lets it. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

const putLarge: LoopMaker = async (size) => {
  await cluster();
  const array = new BigInt64Array(size(LARGE_LENGTH));
  return {
    once: () => {
      ray.put(array);
      return turn();
    },
  };
};

const putLargeInTasks: LoopMaker = async (size) => {
  await cluster();
  const task = ray.remote((length: number) => {
    for (let i = 0; i < 10; i++) ray.put(new BigInt64Array(length));
  });
  return { once: () => ray.get(Array.from({ length: 10 }, () => task.remote(size(10 * MIB)))) };
};

/** Space for the large array, and its seal: with no copy there is next to nothing to do. */
const createLarge: LoopMaker = async (size) => {
  await cluster();
  const length = size(LARGE_LENGTH);
  const once = async (): Promise<void> => {
    const { array, seal } = await ray.createBuffer(length, BigInt64Array);
    seal();
    if (array.length !== length) throw new Error(`asked for ${length} elements, got ${array.length}`);
    await turn();
  };
  return { once };
};

/** A get of an array that a task has made, in us; every get has a view of its own. */
const getSized =
  (bytes: number): LoopMaker =>
  async (size) => {
    await cluster();
    const make = ray.remote((length: number) => new Uint8Array(length).fill(1));
    const ref = make.remote(size(bytes));
    await ray.get(ref);
    const once = async (): Promise<void> => {
      const array = await ray.get(ref);
      if (array[array.length - 1] !== 1) throw new Error("the array is not the one that was made");
    };
    return { once };
  };

const getManyRefs: LoopMaker = async (size) => {
  await cluster();
  const make = ray.remote((count: number) => Array.from({ length: count }, () => ray.put(1)));
  const count = size(10_000);
  const ref = make.remote(count);
  const once = async (): Promise<void> => {
    const refs = await ray.get(ref);
    if (refs.length !== count) throw new Error(`expected ${count} refs, got ${refs.length}`);
  };
  return { once };
};

const waitOneByOne: LoopMaker = async (size) => {
  await cluster();
  const task = ray.remote(() => "ok");
  const count = size(1000);
  const once = async (): Promise<void> => {
    let pending: ray.ObjectRef<string>[] = Array.from({ length: count }, () => task.remote());
    let fetchLocal = true;
    while (pending.length > 0) {
      [, pending] = await ray.wait(pending, { fetchLocal });
      fetchLocal = false;
    }
  };
  return { once };
};

export const loops: Loops = {
  A1: getSmall,
  A2: putSmall,
  "get-crossing": getCrossing,
  "put-crossing": putCrossing,
  A3: putSmallInTasks,
  A4: putLarge,
  A6: putLargeInTasks,
  A7: getManyRefs,
  A8: waitOneByOne,
  "create-buffer": createLarge,
  "get-1MiB": getSized(MIB),
  "get-16MiB": getSized(16 * MIB),
  "get-128MiB": getSized(128 * MIB),
  "get-1GiB": getSized(1024 * MIB),
};
