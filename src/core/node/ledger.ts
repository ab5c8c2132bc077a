/**
 * The ledger of one pool of resources: a node's, or a bundle's of a placement group. It gives out allocations and
 * takes them back, never more than it has. GPUs are units with an index: whole ones are distinct, a fraction shares one.
 * It does not know who holds what for which reason.
 */
import type { ResourceAmounts } from "../../protocol/messages.ts";
import type { JobAccount } from "./jobs.ts";
import { SCALE, addTo, copyOf, equal, excessOf, fits, subtractFrom } from "../resources.ts";

export interface GpuShare {
  readonly index: number;
  readonly amount: number;
}

export interface Allocation {
  readonly amounts: Readonly<ResourceAmounts>;
  readonly gpus: readonly GpuShare[];
  /** Held for as long as an actor or a placement group lives, not just for a task. */
  readonly life: boolean;
  /** The job that has it, where it is of the node's own and not of a bundle, which its group's job has already. */
  readonly account: JobAccount | undefined;
}

interface Unit {
  readonly index: number;
  readonly capacity: number;
  free: number;
}

const wholeUnits = (amount: number): GpuShare[] =>
  Array.from({ length: Math.ceil(amount / SCALE) }, (_, index) => ({ index, amount: Math.min(SCALE, amount - index * SCALE) }));

export class Ledger {
  readonly #total: ResourceAmounts;
  readonly #free: ResourceAmounts;
  readonly #life: ResourceAmounts = Object.create(null);
  readonly #units: Unit[];

  constructor(total: Readonly<ResourceAmounts>, gpus: readonly GpuShare[] = wholeUnits(total.GPU ?? 0)) {
    this.#total = copyOf(total);
    this.#free = copyOf(total);
    this.#units = gpus.map(({ index, amount }) => ({ index, capacity: amount, free: amount }));
  }

  get total(): Readonly<ResourceAmounts> {
    return this.#total;
  }

  get free(): Readonly<ResourceAmounts> {
    return this.#free;
  }

  /** What actors and placement groups hold for as long as they live. */
  get life(): Readonly<ResourceAmounts> {
    return this.#life;
  }

  /** Whether it fits once everything is back. */
  couldEver(demand: Readonly<ResourceAmounts>): boolean {
    return fits(demand, this.#total) && pick(this.#units, demand.GPU ?? 0, (unit) => unit.capacity) !== undefined;
  }

  /** Whether it fits once all tasks have ended, with the actors and placement groups that there are. */
  couldNow(demand: Readonly<ResourceAmounts>): boolean {
    return this.couldEver(demand) && fits(demand, excessOf(this.#total, this.#life));
  }

  fits(demand: Readonly<ResourceAmounts>): boolean {
    return fits(demand, this.#free) && pick(this.#units, demand.GPU ?? 0, (unit) => unit.free) !== undefined;
  }

  take(demand: Readonly<ResourceAmounts>, account: JobAccount | undefined, life = false): Allocation | undefined {
    if (!fits(demand, this.#free) || account?.fits(demand) === false) return undefined;
    const gpus = pick(this.#units, demand.GPU ?? 0, (unit) => unit.free);
    if (gpus === undefined) return undefined;
    const allocation = { amounts: copyOf(demand), gpus, life, account };
    this.#apply(allocation);
    return allocation;
  }

  /** Takes of each resource what is free, up to the demand; of GPUs none unless all of them are there. */
  takePartial(demand: Readonly<ResourceAmounts>, account: JobAccount | undefined): Allocation {
    const amounts: ResourceAmounts = Object.create(null);
    const room = account?.room(demand) ?? demand;
    for (const name in demand) amounts[name] = Math.min(room[name]!, this.#free[name] ?? 0);
    const gpus = pick(this.#units, amounts.GPU ?? 0, (unit) => unit.free);
    if (gpus === undefined) delete amounts.GPU;
    const allocation = { amounts, gpus: gpus ?? [], life: false, account };
    this.#apply(allocation);
    return allocation;
  }

  give(allocation: Allocation): void {
    addTo(this.#free, allocation.amounts);
    if (allocation.life) subtractFrom(this.#life, allocation.amounts);
    allocation.account?.remove(allocation.amounts, allocation.life);
    for (const share of allocation.gpus) this.#unit(share.index).free += share.amount;
  }

  /** Throws if what is free and what is held do not add up to the total. */
  check(held: Iterable<Allocation>, whose: string): void {
    const sum = copyOf(this.#free);
    const units = new Map(this.#units.map((unit) => [unit.index, unit.free]));
    for (const allocation of held) {
      addTo(sum, allocation.amounts);
      for (const share of allocation.gpus) units.set(share.index, (units.get(share.index) ?? 0) + share.amount);
    }
    if (!equal(sum, this.#total)) {
      throw new Error(`${whose}: free and held are ${JSON.stringify(sum)}, the total is ${JSON.stringify(this.#total)}`);
    }
    for (const name in this.#free) if (this.#free[name]! < 0) throw new Error(`${whose}: ${name} is over-committed`);
    for (const unit of this.#units) {
      if (unit.free < 0 || units.get(unit.index) !== unit.capacity) throw new Error(`${whose}: GPU ${unit.index} does not add up`);
    }
  }

  #apply(allocation: Allocation): void {
    subtractFrom(this.#free, allocation.amounts);
    if (allocation.life) addTo(this.#life, allocation.amounts);
    allocation.account?.add(allocation.amounts, allocation.life);
    for (const share of allocation.gpus) this.#unit(share.index).free -= share.amount;
  }

  #unit(index: number): Unit {
    const unit = this.#units.find((candidate) => candidate.index === index);
    if (unit === undefined) throw new Error(`no GPU ${index} in this ledger`);
    return unit;
  }
}

/** Distinct whole units, and for the fraction the fullest unit that still has room, so that whole ones stay whole. */
function pick(units: readonly Unit[], amount: number, room: (unit: Unit) => number): GpuShare[] | undefined {
  const shares: GpuShare[] = [];
  let rest = amount;
  for (const unit of units) {
    if (rest < SCALE) break;
    if (room(unit) !== SCALE) continue;
    shares.push({ index: unit.index, amount: SCALE });
    rest -= SCALE;
  }
  if (rest >= SCALE) return undefined;
  if (rest === 0) return shares;
  let best: Unit | undefined;
  for (const unit of units) {
    if (room(unit) < rest || shares.some((share) => share.index === unit.index)) continue;
    if (best === undefined || room(unit) < room(best)) best = unit;
  }
  if (best === undefined) return undefined;
  shares.push({ index: best.index, amount: rest });
  return shares;
}
