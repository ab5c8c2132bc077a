/** The limit of objects: a plain copy of memory that is warm on both sides, by one thread. */
import type { LoopMaker, Loops } from "../definitions.ts";

const LARGE_LENGTH = 100 * 2 ** 20;

const copyLarge: LoopMaker = (size) => {
  const from = new BigInt64Array(size(LARGE_LENGTH)).fill(1n);
  const to = new BigInt64Array(from.length).fill(2n);
  return {
    once: () => {
      to.set(from);
      return Promise.resolve();
    },
  };
};

export const loops: Loops = { A4: copyLarge, "create-buffer": copyLarge };
