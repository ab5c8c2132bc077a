/**
 * A tree reduce of arrays that are made where they are needed. A megabyte lies in shared memory once; the tasks that take
 * it read it in place, and only references pass through this program.
 */
import * as ray from "mobula";

const LENGTH = 1 << 17; // A mebibyte of doubles.

const generate = ray.remote((seed: number): Float64Array => new Float64Array(LENGTH).fill(seed));

const add = ray.remote((a: Float64Array, b: Float64Array) => {
  // A private view, copy on write: this changes nobody else's `a`, and costs no second array.
  for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
  return a;
});

let level = Array.from({ length: 16 }, (_, seed) => generate.remote(seed));
const first = level[0]!;
while (level.length > 1) {
  const next: typeof level = [];
  for (let i = 0; i < level.length; i += 2) next.push(add.remote(level[i]!, level[i + 1]!));
  level = next;
  console.log(`arrays left: ${level.length}`);
}

const sum = await ray.get(level[0]!);
console.log(`every element is 0 + 1 + ... + 15 = ${sum[0]}: ${sum.every((x) => x === 120)}`);
console.log(`the first array is what it was: ${(await ray.get(first)).every((x) => x === 0)}`);

await ray.shutdown();
