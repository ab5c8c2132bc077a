/** What one seed decides before anything happens: the size of the node, the faults and their rates, the work. Printed first. */
import { Rng } from "./rng.ts";
import { WORKLOADS } from "./workloads/index.ts";

export interface NetworkConfig {
  /** Of a packet: lost, sent twice; typical and worst delay. */
  readonly loss: number;
  readonly duplicate: number;
  readonly delayUs: number;
  readonly worstUs: number;
  /** Of a message with a key: said again, after at most so long. */
  readonly repeat: number;
  readonly repeatLateUs: number;
}

export interface SimConfig {
  readonly seed: string;
  readonly cpus: number;
  readonly gpus: number;
  readonly workers: number;
  readonly softCap: number;
  readonly drivers: number;
  /** Blocks of claim words a process has; 0: none, calls cannot be taken back. */
  readonly claimBlocks: number;
  /** Larger values are stored. Bytes. */
  readonly inlineMax: number;
  readonly network: NetworkConfig;
  /** Of a start of a worker: it fails; it takes long. */
  readonly startFails: number;
  readonly startSlow: number;
  readonly startUs: number;
  /** Mean time between faults of a kind, milliseconds; 0: never. */
  readonly crashEveryMs: number;
  /** Of a crash: what was not yet on its way is lost. */
  readonly abrupt: number;
  readonly pauseEveryMs: number;
  readonly loseObjectEveryMs: number;
  readonly driverCrash: boolean;
  /** Of a way to a worker: it takes a while to come, and then it does not. */
  readonly openLate: number;
  readonly unreachable: number;
  /** How long faults last. */
  readonly safetyMs: number;
  /** A process's collector runs about so often. */
  readonly collectMs: number;
  readonly work: readonly { readonly driver: number; readonly name: string; readonly size: number }[];
}

/** What chance grows from: numbers are the usual ones. In "7@25" 25 is how many workloads there were when it was tried. */
export function rootOf(seed: string): { readonly root: string; readonly workloads: number } {
  const [root, count] = seed.split("@");
  return { root: root!, workloads: count === undefined ? Infinity : Number(count) };
}

/** A seed without a number of workloads is another with each workload more. */
export function configOf(seed: string): SimConfig {
  const { root, workloads } = rootOf(seed);
  const rng = new Rng(`config ${root}`);
  const faulty = rng.chance(0.75);
  const cpus = rng.int(1, 4);
  const drivers = rng.chance(0.5) ? 1 : rng.int(2, 3);
  const sometimes = (probability: number, value: () => number): number => (rng.chance(probability) ? value() : 0);
  const names = Object.keys(WORKLOADS).slice(0, workloads);
  const chosen = names.filter(() => rng.chance(0.35));
  if (chosen.length === 0) chosen.push(rng.pick(names));
  const driverCrash = faulty && drivers > 1 && rng.chance(0.4);
  return {
    seed,
    cpus,
    gpus: sometimes(0.3, () => rng.int(1, 2)),
    workers: rng.chance(0.7) ? cpus : rng.int(1, cpus + 2),
    softCap: rng.chance(0.5) ? Math.max(4 * cpus, 8) : rng.int(1, cpus + 2),
    drivers,
    claimBlocks: rng.pick([0, 1, 3, 64]),
    inlineMax: rng.pick([60, 120, 1_000_000]),
    network: {
      loss: sometimes(0.6, () => rng.float() * 0.25),
      duplicate: sometimes(0.6, () => rng.float() * 0.3),
      delayUs: rng.pick([20, 100, 800, 3000]),
      worstUs: rng.pick([1000, 20_000, 100_000]),
      repeat: sometimes(0.6, () => rng.float() * 0.3),
      repeatLateUs: rng.pick([1000, 50_000, 500_000]),
    },
    startFails: faulty ? sometimes(0.3, () => rng.float() * 0.3) : 0,
    startSlow: sometimes(0.3, () => rng.float() * 0.2),
    startUs: rng.pick([500, 20_000, 60_000]),
    crashEveryMs: faulty ? sometimes(0.7, () => rng.int(20, 300)) : 0,
    abrupt: sometimes(0.4, () => rng.float()),
    pauseEveryMs: sometimes(0.4, () => rng.int(20, 200)),
    loseObjectEveryMs: faulty ? sometimes(0.4, () => rng.int(20, 200)) : 0,
    driverCrash,
    safetyMs: rng.int(200, 1500),
    collectMs: rng.pick([5, 50, 300]),
    work: chosen.flatMap((name) =>
      Array.from({ length: rng.int(1, 2) }, () => ({ driver: rng.int(0, drivers - 1), name, size: rng.int(1, 12) })),
    ),
    openLate: sometimes(0.5, () => rng.pick([0.1, 0.5, 1])),
    unreachable: faulty ? sometimes(0.4, () => rng.float() * 0.3) : 0,
  };
}

/** Whether workers may be killed: also by the work itself, and with one task goes what waits on the same worker. */
export const mayCrash = (config: SimConfig): boolean =>
  isFaulty(config) || config.work.some(({ name }) => name === "cancels" || name === "foreignCancels" || name === "placement");

/** Whether anything may fail that no user code failed. */
export const isFaulty = (config: SimConfig): boolean =>
  config.startFails > 0 || config.unreachable > 0 || config.crashEveryMs > 0 || config.loseObjectEveryMs > 0 || config.driverCrash;
