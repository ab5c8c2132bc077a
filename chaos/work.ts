/**
 * What the workers of the chaos runs import. Every task can be run again and gives the same result, so that a run knows what is
 * right whatever was killed meanwhile.
 */
import * as ray from "mobula";

/** Elements of an array made by `large`; its element i is `seed + i`. */
export function large(seed: number, length: number): Float64Array {
  return Float64Array.from({ length }, (_, i) => seed + i);
}

export function sumOf(seed: number, length: number): number {
  return seed * length + (length * (length - 1)) / 2;
}

/** Keeps the processor busy for so many milliseconds. */
export function burn(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

export function square(x: number, ms: number): number {
  burn(ms);
  return x * x;
}

export function makeLarge(seed: number, length: number): Float64Array {
  return large(seed, length);
}

export function sum(...arrays: Float64Array[]): number {
  return arrays.reduce((total, array) => total + array.reduce((a, b) => a + b, 0), 0);
}

export function thrower(x: number): never {
  throw Object.assign(new RangeError(`no ${x}`), { x });
}

export function* items(seed: number, count: number, length: number): Generator<Float64Array | number> {
  for (let i = 0; i < count; i++) yield i % 4 === 3 ? large(seed + i, length) : seed + i;
}

/** Bytes that a seed decides. */
export function fill(seed: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = seed + i * 7 + (i >> 8);
  return bytes;
}

export function checksum(bytes: Uint8Array): number {
  return bytes.reduce((a, b) => a + b, 0);
}

const remoteSquare = ray.remote(square, { maxRetries: -1 });
const remoteLarge = ray.remote(makeLarge, { maxRetries: -1 });

/** A tree of tasks: the number of its leaves. */
export async function tree(depth: number): Promise<number> {
  if (depth === 0) return 1;
  const [left, right] = await ray.get([remoteTree.remote(depth - 1), remoteTree.remote(depth - 1)]);
  return left + right;
}
const remoteTree: ray.RemoteFunction<typeof tree> = ray.remote(tree, { maxRetries: -1 });

export interface Nested {
  readonly small: ray.ObjectRef<number>;
  readonly stored: ray.ObjectRef<Float64Array>;
  readonly made: ray.ObjectRef<number>;
}

/** References inside a result: to what was put, small and large, and to what a task of its own has made. */
export async function nested(x: number, length: number): Promise<Nested> {
  const made = remoteSquare.remote(x, 0);
  await ray.wait([made]);
  return { small: ray.put(x), stored: ray.put(large(x, length)), made };
}

/** Several results, each with a reference or large. */
export function several(x: number, length: number): [ray.ObjectRef<number>[], Float64Array, number] {
  return [[ray.put(x), ray.put(x + 1)], large(x, length), x];
}

/** A stream whose items are references, small and large. */
export async function* refItems(x: number, count: number, length: number): AsyncGenerator<{ ref: ray.ObjectRef<unknown> }> {
  for (let i = 0; i < count; i++) yield { ref: i % 2 === 0 ? ray.put(x + i) : ray.put(large(x + i, length)) };
}

/** Takes references inside a value. */
export async function total(box: { refs: ray.ObjectRef<number>[]; arrays: ray.ObjectRef<Float64Array>[] }): Promise<number> {
  const numbers = await ray.get(box.refs);
  const arrays = await ray.get(box.arrays);
  return numbers.reduce((a, b) => a + b, 0) + sum(...arrays);
}

/** Its calls are harmless to repeat, so it may be restarted at any moment. */
export class Machine {
  readonly #held: ray.ObjectRef<Float64Array>[];

  constructor(held: ray.ObjectRef<Float64Array>[] = []) {
    this.#held = held;
  }

  square(x: number): number {
    return x * x;
  }

  large(seed: number, length: number): Float64Array {
    return large(seed, length);
  }

  async boxed(x: number, length: number): Promise<{ ref: ray.ObjectRef<Float64Array> }> {
    return { ref: ray.put(large(x, length)) };
  }

  async held(): Promise<number> {
    return sum(...(await ray.get(this.#held)));
  }

  async ask(x: number): Promise<number> {
    return ray.get(remoteSquare.remote(x, 1));
  }

  *count(from: number, to: number): Generator<number> {
    for (let i = from; i < to; i++) yield i;
  }
}

/** Uses what it is given: an actor's handle as an argument. */
export async function viaActor(machine: ray.ActorHandle<Machine>, x: number): Promise<number> {
  return ray.get(machine.square.remote(x));
}

export const remotes = {
  square: remoteSquare,
  large: remoteLarge,
  fill: ray.remote(fill, { maxRetries: -1 }),
  checksum: ray.remote(checksum, { maxRetries: -1 }),
  tree: remoteTree,
  sum: ray.remote(sum, { maxRetries: -1 }),
  thrower: ray.remote(thrower, { maxRetries: -1 }),
  items: ray.remote(items, { maxRetries: -1 }),
  nested: ray.remote(nested, { maxRetries: -1 }),
  several: ray.remote(several, { maxRetries: -1, numReturns: 3 }),
  refItems: ray.remote(refItems, { maxRetries: -1 }),
  total: ray.remote(total, { maxRetries: -1 }),
  viaActor: ray.remote(viaActor, { maxRetries: -1 }),
  burn: ray.remote(burn, { maxRetries: -1 }),
  Machine: ray.remote(Machine, { maxRestarts: -1, maxTaskRetries: -1 }),
  Fragile: ray.remote(Machine, { maxRestarts: 0 }),
};
