/** The loops that a pool of npm can run: the same shapes as those of this project, with promises where it has references. */
import { setTimeout } from "node:timers/promises";
import type { LoopMaker, Loops, Sized } from "../definitions.ts";
import type { Pool } from "./pools.ts";

const WARM_CALLS = 100;
const CLOSE_MS = 3000;

/** poolifier's threads do not always say that they have ended; the driver's own end takes them along. */
async function close(pool: Pool): Promise<void> {
  await Promise.race([pool.close(), setTimeout(CLOSE_MS, undefined, { ref: true })]);
}

export function poolLoops(make: () => Pool): Loops {
  let shared: Pool | undefined;
  const pool = (): Pool => (shared ??= make());
  const loop =
    (once: (size: Sized) => Promise<unknown>): LoopMaker =>
    (size) => ({ once: () => once(size), close: closeShared });
  const closeShared = async (): Promise<void> => {
    const closing = shared;
    shared = undefined;
    if (closing !== undefined) await close(closing);
  };
  const batch = (count: number): Promise<unknown> => Promise.all(Array.from({ length: count }, () => pool().run("smallValue")));

  const chain = async (size: Sized): Promise<void> => {
    const length = size(1000);
    let value: unknown = 0;
    for (let i = 0; i < length; i++) value = await pool().run("increment", value);
    if (value !== length) throw new Error(`a chain of ${length} ended in ${String(value)}`);
  };
  const tree = async (size: Sized): Promise<void> => {
    const leaves = size(1024) < 1024 ? 8 : 1024;
    let layer: unknown[] = Array.from({ length: leaves }, () => 1);
    while (layer.length > 1) {
      const pairs = Array.from({ length: layer.length / 2 }, (_, i) => [layer[2 * i], layer[2 * i + 1]]);
      layer = await Promise.all(pairs.map((pair) => pool().run("add", pair)));
    }
    if (layer[0] !== leaves) throw new Error(`${leaves} ones add up to ${String(layer[0])}`);
  };
  const fairness: LoopMaker = async (size) => {
    await batch(WARM_CALLS);
    const measure = async (): Promise<number> => {
      const startedAt = performance.now();
      const long = pool().run("busy", size(2000));
      await batch(size(1000));
      const elapsed = performance.now() - startedAt;
      await long;
      return elapsed;
    };
    return { measure, close: closeShared };
  };
  const firstResult: LoopMaker = () => ({
    measure: async () => {
      const startedAt = performance.now();
      const fresh = make();
      await fresh.run("smallValue");
      const elapsed = performance.now() - startedAt;
      await close(fresh);
      return elapsed;
    },
  });
  return {
    A9: loop(() => pool().run("smallValue")),
    A10: loop((size) => batch(size(1000))),
    chain: loop(chain),
    tree: loop(tree),
    fairness,
    "first-result": firstResult,
  };
}
