/** A task with several results: each has a reference of its own, and goes its own way. */
import * as ray from "mobula";

/** Splits numbers at a pivot into those below, those equal and those above. */
function partition(numbers: number[], pivot: number): [number[], number[], number[]] {
  return [numbers.filter((n) => n < pivot), numbers.filter((n) => n === pivot), numbers.filter((n) => n > pivot)];
}

const remotePartition = ray.remote(partition, { numReturns: 3 });
const sum = ray.remote((numbers: number[]) => numbers.reduce((a, b) => a + b, 0));

const numbers = [8, 3, 5, 9, 5, 1, 7];
const [below, equal, above] = remotePartition.remote(numbers, 5);

console.log("below:", await ray.get(below));
console.log("equal:", await ray.get(equal));
console.log("above:", await ray.get(above));
console.log("sums: ", await ray.get([sum.remote(below), sum.remote(equal), sum.remote(above)]));

// The number is a promise: a function that returns another one fails, with an error that says so.
const wrong = ray.remote(partition as (numbers: number[], pivot: number) => number[][], { numReturns: 2 });
await ray.get(wrong.remote(numbers, 5)[0]!).catch((error: unknown) => console.log("refused:", (error as Error).name));

await ray.shutdown();
