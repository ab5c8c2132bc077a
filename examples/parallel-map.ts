/** The plain loop and the same work as tasks: one function, three ways to call it. Times go to stderr: they differ each time. */
import * as ray from "mobula";
import { Pool } from "mobula/util";

/** Work that keeps a processor busy: how many primes lie in [from, to)? */
function countPrimes(from: number, to: number): number {
  let count = 0;
  for (let n = Math.max(2, from); n < to; n++) {
    let prime = true;
    for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0;
    if (prime) count++;
  }
  return count;
}

const SPAN = 60_000;
const ranges = Array.from({ length: 16 }, (_, i): [number, number] => [i * SPAN, (i + 1) * SPAN]);
const total = (counts: number[]) => counts.reduce((a, b) => a + b, 0);

/** Runs `work`, and writes how long it took. */
async function timed<T>(what: string, work: () => T | Promise<T>): Promise<T> {
  const startedAt = performance.now();
  const result = await work();
  console.error(`${what}: ${Math.round(performance.now() - startedAt)} ms`);
  return result;
}

await ray.init();

const loop = await timed("plain loop", () => ranges.map(([from, to]) => countPrimes(from, to)));
console.log("loop: ", total(loop));

const remoteCount = ray.remote(countPrimes);
const tasks = await timed("tasks", () => ray.get(ranges.map(([from, to]) => remoteCount.remote(from, to))));
console.log("tasks:", total(tasks));

// The same in one line, for those who come from a worker pool.
const pool = new Pool();
const mapped = await timed("pool", () => pool.starmap(countPrimes, ranges));
console.log("pool: ", total(mapped));
await pool.close();

await ray.shutdown();
