/**
 * Requests that wait, by job, class and owner. Served in turns: the job of higher priority first; among jobs of equal priority the one
 * whose clock is behind (jobs.ts). Within a job higher priority first; among classes of equal priority the one served longest ago,
 * within a class the owner served longest ago, within an owner in order. So a long queue of one kind of task delays the others by one
 * grant, not by its length. It decides who is next, not whether it fits.
 */
import type { ProcessId } from "../../protocol/ids.ts";
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { addTo, equal, subtractFrom, sumOf } from "../resources.ts";
import type { JobAccount, JobAccounts } from "./jobs.ts";
import type { Want } from "./state.ts";

/** Grants to others, while a class that could have what it asks waits, after which it may gather what becomes free. */
const PASSED_OVER_MAX = 8;

export class WaitingClass {
  readonly key: string;
  readonly account: JobAccount;
  readonly priority: number;
  /** First the owner whose turn it is. */
  readonly owners = new Map<ProcessId, Map<string, Want>>();
  size = 0;
  lastServed = 0;
  /** Passes in which others got something and this class did not. */
  passedOver = 0;
  /** Until when it gathers what becomes free; 0 when it does not. */
  gatherUntil = 0;

  constructor({ classKey, account, priority }: Want) {
    this.key = classKey;
    this.account = account;
    this.priority = priority;
  }

  get head(): Want {
    for (const wants of this.owners.values()) for (const want of wants.values()) return want;
    throw new Error(`class ${this.key} is empty`);
  }

  get starving(): boolean {
    return this.passedOver >= PASSED_OVER_MAX;
  }
}

interface JobClasses {
  readonly account: JobAccount;
  readonly classes: WaitingClass[];
}

/** What became of a class's turn: served, given a place that still lacks its worker, or nothing fits. */
export type Turn = "served" | "promised" | "blocked";

export class RequestQueue {
  readonly #jobs: JobAccounts;
  readonly #wants = new Map<string, Want>();
  readonly #classes = new Map<string, WaitingClass>();
  readonly #demand: ResourceAmounts = Object.create(null);
  #turns = 0;

  constructor(jobs: JobAccounts) {
    this.#jobs = jobs;
  }

  /** The sum of what waits. */
  get demand(): Readonly<ResourceAmounts> {
    return this.#demand;
  }

  get size(): number {
    return this.#wants.size;
  }

  get classes(): Iterable<WaitingClass> {
    return this.#classes.values();
  }

  get wants(): Iterable<Want> {
    return this.#wants.values();
  }

  get(id: string): Want | undefined {
    return this.#wants.get(id);
  }

  /** Requests of one owner in one class. */
  waiting(classKey: string, owner: ProcessId): number {
    return this.#classes.get(classKey)?.owners.get(owner)?.size ?? 0;
  }

  /** Requests of one owner. */
  waitingOf(owner: ProcessId): number {
    let waiting = 0;
    for (const { owners } of this.#classes.values()) waiting += owners.get(owner)?.size ?? 0;
    return waiting;
  }

  /** Whether its class gathers nothing here. */
  mayLeave(want: Want): boolean {
    return this.#classes.get(want.classKey)?.gatherUntil === 0;
  }

  add(want: Want): void {
    this.#wants.set(want.id, want);
    addTo(this.#demand, want.demand);
    this.#jobs.waits(want.account);
    let waiting = this.#classes.get(want.classKey);
    if (waiting === undefined) {
      waiting = new WaitingClass(want);
      // A class that is new waits behind those that waited before, not in front of them.
      waiting.lastServed = this.#turns;
      this.#classes.set(want.classKey, waiting);
    }
    let wants = waiting.owners.get(want.owner);
    if (wants === undefined) waiting.owners.set(want.owner, (wants = new Map()));
    wants.set(want.id, want);
    waiting.size++;
  }

  remove(id: string): Want | undefined {
    const want = this.#wants.get(id);
    if (want === undefined) return undefined;
    this.#wants.delete(id);
    subtractFrom(this.#demand, want.demand);
    for (const name in want.demand) if (this.#demand[name] === 0) delete this.#demand[name];
    this.#jobs.waitsNoMore(want.account);
    const waiting = this.#classes.get(want.classKey)!;
    const wants = waiting.owners.get(want.owner)!;
    wants.delete(id);
    if (wants.size === 0) waiting.owners.delete(want.owner);
    if (--waiting.size === 0) this.#classes.delete(want.classKey);
    return want;
  }

  /** Takes turns until no class can be served. `promised` counts the places of this class that only lack a worker. */
  serve(serveOne: (waiting: WaitingClass, promised: number) => Turn): void {
    for (const jobs of this.#bands()) {
      // A job drops out once nothing of it can be served.
      const open = new Map(jobs.map((job) => [job, this.#turnsOf(job.classes, serveOne)]));
      while (open.size > 0) {
        const [first] = [...open.keys()].sort((a, b) => a.account.turn() - b.account.turn());
        if (open.get(first!)!.next().done === true) open.delete(first!);
      }
    }
  }

  /** The classes that wait by job, jobs of the same priority together and the higher ones first. */
  #bands(): JobClasses[][] {
    const jobs = new Map<JobAccount, JobClasses>();
    for (const waiting of this.#classes.values()) {
      const job = jobs.get(waiting.account);
      if (job === undefined) jobs.set(waiting.account, { account: waiting.account, classes: [waiting] });
      else job.classes.push(waiting);
    }
    const bands = new Map<number, JobClasses[]>();
    for (const job of jobs.values()) {
      const { priority } = job.account.terms;
      const band = bands.get(priority);
      if (band === undefined) bands.set(priority, [job]);
      else band.push(job);
    }
    return [...bands].sort(([a], [b]) => b - a).map(([, band]) => band);
  }

  /** Yields after each turn that was not in vain. */
  *#turnsOf(classes: WaitingClass[], serveOne: (waiting: WaitingClass, promised: number) => Turn): Generator<void> {
    const order = classes.sort((a, b) => b.priority - a.priority || a.lastServed - b.lastServed);
    for (let from = 0; from < order.length;) {
      let to = from;
      while (to < order.length && order[to]!.priority === order[from]!.priority) to++;
      yield* this.#turnsOfBand(order.slice(from, to), serveOne);
      from = to;
    }
  }

  check(): void {
    let size = 0;
    for (const waiting of this.#classes.values()) {
      let inClass = 0;
      for (const wants of waiting.owners.values()) {
        if (wants.size === 0) throw new Error(`class ${waiting.key} keeps an owner without requests`);
        inClass += wants.size;
      }
      if (inClass !== waiting.size || inClass === 0) throw new Error(`class ${waiting.key}: ${waiting.size} counted, ${inClass} found`);
      size += inClass;
    }
    if (size !== this.#wants.size) throw new Error(`${this.#wants.size} requests wait, ${size} are in classes`);
    const demand = sumOf([...this.#wants.values()].map((want) => want.demand));
    if (!equal(demand, this.#demand)) throw new Error(`${JSON.stringify(demand)} waits, ${JSON.stringify(this.#demand)} is counted`);
    const waits = new Map<JobAccount, number>();
    for (const { account } of this.#wants.values()) waits.set(account, (waits.get(account) ?? 0) + 1);
    for (const account of this.#jobs.all) {
      const found = waits.get(account) ?? 0;
      if (found !== account.waiting) throw new Error(`job ${account.jobId} has ${found} requests that wait, ${account.waiting} counted`);
    }
    for (const { jobId } of waits.keys()) if (this.#jobs.find(jobId) === undefined) throw new Error(`job ${jobId} waits and is not known`);
  }

  *#turnsOfBand(band: WaitingClass[], serveOne: (waiting: WaitingClass, promised: number) => Turn): Generator<void> {
    const promised = new Map<WaitingClass, number>();
    let round = band;
    while (round.length > 0) {
      const next: WaitingClass[] = [];
      for (const waiting of round) {
        const places = promised.get(waiting) ?? 0;
        if (waiting.size <= places) continue;
        const owner = waiting.head.owner;
        const turn = serveOne(waiting, places);
        if (turn === "blocked") continue;
        if (turn === "served") this.#served(waiting, owner);
        else promised.set(waiting, places + 1);
        next.push(waiting);
        yield;
      }
      round = next;
    }
  }

  #served(waiting: WaitingClass, owner: ProcessId): void {
    waiting.lastServed = ++this.#turns;
    waiting.passedOver = 0;
    waiting.gatherUntil = 0;
    const wants = waiting.owners.get(owner);
    if (wants === undefined) return;
    waiting.owners.delete(owner);
    waiting.owners.set(owner, wants);
  }
}
