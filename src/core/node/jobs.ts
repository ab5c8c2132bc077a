/**
 * The jobs that have work on a node: what each was given (weight, priority, limits), what it has of this node, and whose turn it is.
 *
 * Turns: each job has a clock that runs by what it has of the node, divided by its weight (its dominant share: of the resource of which
 * it has most). Whose clock is behind comes first, so over time all get of the node by their weights, whatever the length of their tasks.
 *
 * Limits hold over the whole cluster. Control divides them (src/core/control/quotas.ts): a node may use what it was `granted`, and is
 * told the `share` that this is to become. A larger share is granted at once; a smaller one as soon as what is used allows it. So the
 * sum of what is granted never exceeds the limit, without a word on the way of a task.
 */
import type { JobId } from "../../protocol/ids.ts";
import type { JobTerms, JobUse, ResourceAmounts } from "../../protocol/messages.ts";
import type { StoreAccount } from "../store/types.ts";
import { SCALE, addTo, copyOf, excessOf, fits, isEmpty, subtractFrom, sumOf } from "../resources.ts";

/** What a job that holds the whole node for so long is ahead of one with nothing: how much a turn is worth. Milliseconds. */
const SLICE_MS = 100;
/** A job that wants nothing for a while keeps no more of a claim than this. Milliseconds of its clock. */
const CREDIT_MS = 200;
const JOBS_MAX = 10_000;
const STORE = "objectStoreMemory";

export const DEFAULT_TERMS: JobTerms = { weight: 1, priority: 0 };

export function isUsual({ weight, priority, maxCpus, maxMemory, maxStore }: JobTerms): boolean {
  return weight === 1 && priority === 0 && [maxCpus, maxMemory, maxStore].every((limit) => limit === undefined);
}

/** What a program says of its job itself, where it does. */
export type OwnTerms = { readonly [K in keyof JobTerms]?: JobTerms[K] | undefined };

/** What a job was submitted with wins over what its program says; of limits the lower one counts. */
export function termsOf(submitted: OwnTerms | undefined, own: OwnTerms): JobTerms {
  const lower = (a: number | undefined, b: number | undefined): number | undefined =>
    a === undefined ? b : b === undefined ? a : Math.min(a, b);
  return {
    weight: submitted?.weight ?? own.weight ?? 1,
    priority: submitted?.priority ?? own.priority ?? 0,
    maxCpus: lower(submitted?.maxCpus, own.maxCpus),
    maxMemory: lower(submitted?.maxMemory, own.maxMemory),
    maxStore: lower(submitted?.maxStore, own.maxStore),
  };
}

/** Limits as amounts. Bytes beyond what amounts can say are no limit. */
export function limitsOf({ maxCpus, maxMemory, maxStore }: JobTerms): ResourceAmounts {
  const limits: ResourceAmounts = Object.create(null);
  const set = (name: string, value: number | undefined): void => {
    const units = value === undefined ? NaN : Math.floor(value * SCALE + 1e-6);
    if (Number.isSafeInteger(units)) limits[name] = units;
  };
  set("CPU", maxCpus);
  set("memory", maxMemory);
  set(STORE, maxStore);
  return limits;
}

export class JobAccount implements StoreAccount {
  readonly jobId: JobId;
  terms: JobTerms = DEFAULT_TERMS;
  /** Of the whole cluster, by resource; those that are not there are not limited. */
  limits: Readonly<ResourceAmounts> = {};
  /** Of this node: what its leases, actors and groups have. */
  readonly used: ResourceAmounts = Object.create(null);
  /** The part of it that is held for as long as actors and groups live. */
  readonly life: ResourceAmounts = Object.create(null);
  /** Of the limits: the most that it may use here now, and what that is to become. */
  readonly granted: ResourceAmounts = Object.create(null);
  share: Readonly<ResourceAmounts> = {};
  /** What actors and groups of it hold on all nodes. */
  lifeEverywhere: Readonly<ResourceAmounts> = {};
  /** Number of the last share that was heard of. */
  seen = 0;
  /** Requests that wait here. */
  waiting = 0;
  /** Bytes in the store that its processes wait for, in amounts. */
  storeWanted = 0;
  /** Its driver is gone. */
  over = false;
  /** Its drivers and leases here. */
  members = 0;
  readonly #total: Readonly<ResourceAmounts>;
  #clock = 0;
  #at = 0;
  #rate = 0;

  constructor(jobId: JobId, total: Readonly<ResourceAmounts>) {
    this.jobId = jobId;
    this.#total = total;
  }

  get limited(): boolean {
    for (const _name in this.limits) return true;
    return false;
  }

  /** Whether its limits leave room for that here and now. */
  fits(demand: Readonly<ResourceAmounts>): boolean {
    for (const name in this.limits) {
      const wanted = demand[name] ?? 0;
      if (wanted > 0 && (this.used[name] ?? 0) + wanted > (this.granted[name] ?? 0)) return false;
    }
    return true;
  }

  /** Whether its limits could ever let that in. */
  couldEver(demand: Readonly<ResourceAmounts>): boolean {
    for (const name in this.limits) if ((demand[name] ?? 0) > this.limits[name]!) return false;
    return true;
  }

  /** Whether its limits would let that in once all its tasks have ended. */
  couldNow(demand: Readonly<ResourceAmounts>): boolean {
    for (const name in this.limits) if ((demand[name] ?? 0) > this.limits[name]! - this.lifeOf(name)) return false;
    return true;
  }

  /** What actors and groups hold of a limit, as far as is known here. */
  lifeOf(name: string): number {
    return Math.max(this.life[name] ?? 0, this.lifeEverywhere[name] ?? 0);
  }

  /** Up to the demand, what its limits leave. */
  room(demand: Readonly<ResourceAmounts>): ResourceAmounts {
    const room = copyOf(demand);
    for (const name in this.limits) {
      if (room[name] !== undefined) room[name] = Math.max(0, Math.min(room[name], (this.granted[name] ?? 0) - (this.used[name] ?? 0)));
    }
    return room;
  }

  add(amounts: Readonly<ResourceAmounts>, life: boolean): void {
    addTo(this.used, amounts);
    if (life) addTo(this.life, amounts);
    this.#measure();
  }

  remove(amounts: Readonly<ResourceAmounts>, life: boolean): void {
    subtractFrom(this.used, amounts);
    if (life) subtractFrom(this.life, amounts);
    this.#measure();
    this.settle();
  }

  /** What was granted follows the share down, as far as what is used allows. */
  settle(): void {
    for (const name in this.limits) {
      const share = this.share[name] ?? 0;
      if ((this.granted[name] ?? 0) > share) this.granted[name] = Math.max(share, this.used[name] ?? 0);
    }
  }

  /** Beyond its share, what it uses here; undefined when nothing is. */
  excess(): ResourceAmounts | undefined {
    if (!this.limited) return undefined;
    const over: ResourceAmounts = Object.create(null);
    for (const name in this.limits) {
      const more = (this.used[name] ?? 0) - (this.share[name] ?? 0);
      if (more > 0 && name !== STORE) over[name] = more;
    }
    return isEmpty(over) ? undefined : over;
  }

  // ── the store, in bytes ──────────────────────────────────────────────────────────────────────

  get storeLimit(): number {
    return (this.limits[STORE] ?? Number.MAX_SAFE_INTEGER) / SCALE;
  }

  get storeUsed(): number {
    return (this.used[STORE] ?? 0) / SCALE;
  }

  storeFits(bytes: number): boolean {
    return this.fits({ [STORE]: bytes * SCALE });
  }

  storeCharge(bytes: number): void {
    if (bytes > 0) this.add({ [STORE]: bytes * SCALE }, false);
    else this.remove({ [STORE]: -bytes * SCALE }, false);
    if (this.used[STORE] === 0) delete this.used[STORE];
  }

  storeWaits(bytes: number): void {
    this.storeWanted += bytes * SCALE;
  }

  // ── turns ────────────────────────────────────────────────────────────────────────────────────

  /** Lets its clock run until now. */
  advance(now: number): void {
    if (now > this.#at) this.#clock += ((now - this.#at) * this.#rate) / this.terms.weight;
    this.#at = Math.max(this.#at, now);
  }

  get clock(): number {
    return this.#clock;
  }

  /** It comes to others that have gone on: what it did not use meanwhile is gone. */
  wakes(clock: number): void {
    this.#clock = Math.max(this.#clock, clock);
  }

  /** Its place among those that wait, the least first: with what it has now, and `more` or without `less`. */
  turn(more: Readonly<ResourceAmounts> = NOTHING, less: Readonly<ResourceAmounts> = NOTHING): number {
    const rate = more === NOTHING && less === NOTHING ? this.#rate : this.#rateOf(more, less);
    return this.#clock + (SLICE_MS * rate) / this.terms.weight;
  }

  /** How fast its clock runs. */
  get speed(): number {
    return this.#rate / this.terms.weight;
  }

  check(): void {
    for (const name in this.limits) {
      const used = this.used[name] ?? 0;
      const granted = this.granted[name] ?? 0;
      if (used > granted) throw new Error(`job ${this.jobId} uses ${used} of ${name} here and was granted ${granted}`);
      if (granted > Math.max(used, this.share[name] ?? 0)) throw new Error(`job ${this.jobId} keeps more of ${name} than its share`);
    }
    if (!fits(this.life, this.used)) throw new Error(`job ${this.jobId} has actors with more than it has`);
  }

  #measure(): void {
    this.#rate = this.#rateOf(NOTHING, NOTHING);
  }

  #rateOf(more: Readonly<ResourceAmounts>, less: Readonly<ResourceAmounts>): number {
    let most = 0;
    for (const name in this.#total) {
      const total = this.#total[name]!;
      // The store is used by bytes, for as long as objects live.
      if (total <= 0 || name === STORE) continue;
      most = Math.max(most, ((this.used[name] ?? 0) + (more[name] ?? 0) - (less[name] ?? 0)) / total);
    }
    return most;
  }
}

const NOTHING: Readonly<ResourceAmounts> = Object.freeze(Object.create(null) as ResourceAmounts);

export class JobAccounts {
  readonly #total: Readonly<ResourceAmounts>;
  /** Control divides the limits; else this node has them whole. */
  readonly #divided: boolean;
  readonly #jobs = new Map<JobId, JobAccount>();

  constructor(total: Readonly<ResourceAmounts>, divided: boolean) {
    this.#total = total;
    this.#divided = divided;
  }

  get all(): Iterable<JobAccount> {
    return this.#jobs.values();
  }

  find(id: JobId): JobAccount | undefined {
    return this.#jobs.get(id);
  }

  of(id: JobId): JobAccount {
    let account = this.#jobs.get(id);
    if (account !== undefined) return account;
    account = new JobAccount(id, this.#total);
    account.wakes(this.#reference());
    this.#jobs.set(id, account);
    if (this.#jobs.size > JOBS_MAX) this.#sweep();
    return account;
  }

  /** What a job was given, as its driver or whoever sent its work here says. It is said once and does not change. */
  known(id: JobId, terms: JobTerms | undefined): void {
    if (terms === undefined || isUsual(terms)) return;
    const account = this.of(id);
    if (account.over || account.terms !== DEFAULT_TERMS) return;
    const limits = limitsOf(terms);
    account.terms = terms.weight > 0 ? terms : { ...terms, weight: 1 };
    account.limits = limits;
    // What it had before that was said counts.
    for (const name in limits) account.granted[name] = Math.max(account.granted[name] ?? 0, account.used[name] ?? 0);
    if (!this.#divided) this.#share(account, limits);
  }

  /** For whoever gets work of this job from here; undefined: it is like any other. */
  termsOf(id: JobId): JobTerms | undefined {
    const terms = this.#jobs.get(id)?.terms;
    return terms === DEFAULT_TERMS ? undefined : terms;
  }

  /** Control's word. */
  shared(id: JobId, number: number, share: Readonly<ResourceAmounts>, life: Readonly<ResourceAmounts>): void {
    const account = this.#jobs.get(id);
    if (account === undefined) return;
    account.seen = number;
    account.lifeEverywhere = life;
    this.#share(account, share);
  }

  /** Another control counts its shares anew. */
  renumber(): void {
    for (const account of this.#jobs.values()) account.seen = 0;
  }

  /** Its driver is gone: what is left of it is not limited any more. */
  ended(id: JobId): void {
    const account = this.#jobs.get(id);
    if (account === undefined) return;
    account.over = true;
    account.limits = {};
    for (const name in account.granted) delete account.granted[name];
    this.#release(account);
  }

  /** A request of it waits. */
  waits(account: JobAccount): void {
    if (account.waiting === 0) account.wakes(this.#reference() - CREDIT_MS);
    account.waiting++;
  }

  /** Where the clock of a job that comes to the others begins: with those that wait; where none does, with those that have something. */
  #reference(): number {
    let waiting = Infinity;
    let active = 0;
    for (const account of this.#jobs.values()) {
      if (account.waiting > 0) waiting = Math.min(waiting, account.clock);
      else if (!isEmpty(account.used)) active = Math.max(active, account.clock);
    }
    return waiting === Infinity ? active : waiting;
  }

  waitsNoMore(account: JobAccount): void {
    account.waiting--;
    this.#release(account);
  }

  advance(now: number): void {
    for (const account of this.#jobs.values()) account.advance(now);
  }

  /** A driver or a lease of it is gone. */
  left(account: JobAccount): void {
    account.members--;
    this.#release(account);
  }

  /** For control: what jobs with limits have here, and what they would use besides. `waits`: demands that wait, by job, in their order. */
  uses(waits: (account: JobAccount) => Iterable<Readonly<ResourceAmounts>>, room: (account: JobAccount) => ResourceAmounts): JobUse[] {
    const uses: JobUse[] = [];
    for (const account of this.#jobs.values()) if (account.limited) uses.push(useOf(account, waits(account), room(account)));
    return uses;
  }

  check(): void {
    for (const [id, account] of this.#jobs) {
      if (account.jobId !== id) throw new Error(`job ${account.jobId} is filed under ${id}`);
      account.check();
    }
  }

  #share(account: JobAccount, share: Readonly<ResourceAmounts>): void {
    account.share = share;
    for (const name in account.limits) account.granted[name] = Math.max(account.granted[name] ?? 0, share[name] ?? 0);
    account.settle();
  }

  #release(account: JobAccount): void {
    if (account.waiting > 0 || account.members > 0 || !isEmpty(account.used)) return;
    if (this.#jobs.get(account.jobId) !== account) return;
    if (account.terms === DEFAULT_TERMS || account.over) this.#jobs.delete(account.jobId);
  }

  /** Too many are known: those go that have nothing here. */
  #sweep(): void {
    for (const [id, account] of this.#jobs) {
      if (this.#jobs.size <= JOBS_MAX / 2) return;
      // Control counts what it has granted until it hears otherwise.
      if (account.waiting === 0 && account.members === 0 && isEmpty(account.used) && !account.limited) this.#jobs.delete(id);
    }
  }
}

/** `room`: of the node, what it could have besides what it has, were it alone with the actors and groups that there are. */
function useOf(account: JobAccount, waits: Iterable<Readonly<ResourceAmounts>>, room: ResourceAmounts): JobUse {
  const { jobId, limits, seen } = account;
  const only = (amounts: Readonly<ResourceAmounts>): ResourceAmounts => {
    const part: ResourceAmounts = Object.create(null);
    for (const name in limits) if ((amounts[name] ?? 0) > 0) part[name] = amounts[name]!;
    return part;
  };
  let wanted: ResourceAmounts = Object.create(null);
  let next: ResourceAmounts | undefined;
  for (const demand of waits) {
    const part = only(demand);
    // Once there is enough to use the whole limit, the rest makes no difference.
    if (isEmpty(part) || !fits(demand, room) || isEmpty(excessOf(limits, wanted))) continue;
    next ??= part;
    wanted = sumOf([wanted, part]);
    subtractFrom(room, demand);
  }
  if (account.storeWanted > 0) {
    wanted[STORE] = account.storeWanted;
    next = { ...next, [STORE]: Math.min(account.storeWanted, limits[STORE] ?? 0) };
  }
  const used = only(account.used);
  return { jobId, limits: { ...limits }, seen, granted: only(account.granted), used, life: only(account.life), wanted, next: next ?? {} };
}

/** For messages to people: `4 CPUs`, `2 bytes of memory`. */
export function describeLimit(name: string, units: number): string {
  const amount = units / SCALE;
  if (name === "CPU") return `${amount} CPU${amount === 1 ? "" : "s"}`;
  return `${amount} bytes of ${name === STORE ? "the object store" : name}`;
}
