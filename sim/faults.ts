/** The faults of a simulation, by its config: crashes and pauses of processes, lost objects, a driver's death. */
import type { SimDriver } from "./driver.ts";
import type { SimNode } from "./node.ts";
import type { SimProcess } from "./process.ts";
import type { World } from "./world.ts";

export function scheduleFaults(world: World, node: SimNode, drivers: readonly SimDriver[]): { stop(): void } {
  const { config, clock } = world;
  const rng = world.rng.fork("faults");
  let over = false;
  const every = (ms: number, fault: () => void): void => {
    if (ms === 0) return;
    clock.after(rng.int(ms * 200, ms * 1800), () => {
      if (over) return;
      fault();
      every(ms, fault);
    });
  };
  const someWorker = (): SimProcess | undefined => {
    const alive = node.children.filter((process) => process.alive);
    return alive.length > 0 ? rng.pick(alive) : undefined;
  };
  every(config.crashEveryMs, () => someWorker()?.die(rng.chance(config.abrupt)));
  every(config.pauseEveryMs, () => {
    const processes = [node.process, ...drivers.map(({ process }) => process)];
    const victim = rng.chance(0.7) ? someWorker() : rng.pick(processes);
    victim?.pause(rng.tailed(20_000, 400_000, 10));
    world.tell(() => `${victim?.id} is paused`);
  });
  every(config.loseObjectEveryMs, () => {
    const { ids } = node.store;
    if (ids.length > 0) node.process.post(() => node.loseObject(rng.pick(ids)));
  });
  if (config.driverCrash) {
    const victim = drivers.at(-1)!;
    clock.after(rng.int(0, config.safetyMs * 1000), () => victim.process.die(rng.chance(config.abrupt)));
  }
  return { stop: () => (over = true) };
}
