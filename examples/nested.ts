/**
 * Tasks that call tasks: a merge sort which splits until the parts are small. A task gives its processor back while it
 * waits for others, so a tree that is much deeper than the machine has processors goes through.
 */
import * as ray from "mobula";

const SMALL = 500;

function merge(a: Int32Array, b: Int32Array): Int32Array {
  const out = new Int32Array(a.length + b.length);
  for (let i = 0, j = 0, k = 0; k < out.length; k++) {
    out[k] = j >= b.length || (i < a.length && a[i]! <= b[j]!) ? a[i++]! : b[j++]!;
  }
  return out;
}

/** Sorts, and counts the tasks that it took. */
const sort = ray.remote(async (numbers: Int32Array): Promise<{ sorted: Int32Array; tasks: number }> => {
  if (numbers.length <= SMALL) return { sorted: numbers.sort(), tasks: 1 };
  const middle = numbers.length >> 1;
  const [left, right] = await ray.get([sort.remote(numbers.slice(0, middle)), sort.remote(numbers.slice(middle))]);
  return { sorted: merge(left.sorted, right.sorted), tasks: left.tasks + right.tasks + 1 };
});

const numbers = Int32Array.from({ length: 16_000 }, (_, i) => (i * 7_919) % 16_001);
const { sorted, tasks } = await ray.get(sort.remote(numbers));

console.log(`sorted: ${sorted.every((n, i) => i === 0 || sorted[i - 1]! <= n)}`);
console.log(`numbers: ${sorted.length}, tasks: ${tasks}`);

await ray.shutdown();
