/**
 * Adding up sixteen results, one after another and as a tree. Both make fifteen additions; in the chain each waits for
 * the one before, in the tree half of those that are left can run at the same time.
 */
import * as ray from "mobula";

interface Sum {
  readonly value: number;
  /** The longest way from a leaf to here: so many additions had to wait for each other. */
  readonly depth: number;
}

const measure = ray.remote((sensor: number): Sum => ({ value: sensor * sensor, depth: 0 }));
const add = ray.remote((a: Sum, b: Sum): Sum => ({ value: a.value + b.value, depth: Math.max(a.depth, b.depth) + 1 }));

const leaves = Array.from({ length: 16 }, (_, sensor) => measure.remote(sensor));

// Linear: ((a + b) + c) + d ...
const chain = leaves.slice(1).reduce((sum, leaf) => add.remote(sum, leaf), leaves[0]!);

// Tree: (a + b) + (c + d) ...; a pair goes from the front to the back of the queue as one.
const queue = [...leaves];
while (queue.length > 1) {
  const [a, b] = queue.splice(0, 2);
  queue.push(add.remote(a!, b!));
}

// Nothing has been waited for so far: the whole graph was described first.
const [linear, tree] = await ray.get([chain, queue[0]!]);
console.log(`linear: ${linear.value} after ${linear.depth} additions in a row`);
console.log(`tree:   ${tree.value} after ${tree.depth} additions in a row`);

await ray.shutdown();
