/**
 * The machine that fetches: objects that somebody on this node waits for and that are on others. One pull for many who wait. It asks
 * the object's home where it is, gets space, chooses a source, goes on at another from the byte where one broke off, and says
 * in the end why an object does not come. It moves no bytes itself: see its port, in types.ts.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { NodeId, ObjectId } from "../../protocol/ids.ts";
import { Pull } from "./pull.ts";
import { priorities, pullLimits } from "./types.ts";
import type { Holding, PullLimits, PullPort, PullPriority, PullStatistics } from "./types.ts";

/** Nodes that send us on, one to the next, before one of them has to serve. */
const REDIRECTS_MAX = 32;

export class PullMachine {
  readonly #self: NodeId;
  readonly #port: PullPort;
  readonly #limits: PullLimits;
  readonly #pulls = new Map<ObjectId, Pull>();
  readonly #byNumber = new Map<number, Pull>();
  readonly #byAttempt = new Map<number, Pull>();
  /** Attempts under way at each node. */
  readonly #load = new Map<NodeId, number>();
  /** Waiting for their turn, by rank, in the order in which they came. */
  readonly #smallQueues = priorities.map(() => new Set<Pull>());
  readonly #largeQueues = priorities.map(() => new Set<Pull>());
  readonly #admitted = new Set<Pull>();
  /** They need a source. */
  readonly #choosing = new Set<Pull>();
  #number = 0;
  #bytes = 0;
  #small = 0;

  constructor(self: NodeId, port: PullPort, limits: Partial<PullLimits> = {}) {
    this.#self = self;
    this.#port = port;
    this.#limits = { ...pullLimits, ...limits };
  }

  // ── who wants what ──

  /** `wanter` names who waits; one name may raise its priority. */
  want(id: ObjectId, wanter: string, priority: PullPriority): void {
    const known = this.#pulls.get(id);
    if (known !== undefined) {
      const queue = known.state === "queued" ? this.#queueOf(known) : undefined;
      known.wanters.set(wanter, priority);
      if (queue?.delete(known)) this.#queueOf(known).add(known);
      return;
    }
    const pull = new Pull(++this.#number, id);
    pull.wanters.set(wanter, priority);
    this.#pulls.set(id, pull);
    this.#byNumber.set(pull.number, pull);
    this.#port.locate(id);
  }

  unwant(id: ObjectId, wanter: string, now: number): void {
    const pull = this.#pulls.get(id);
    if (pull?.wanters.has(wanter) !== true) return;
    // The last one stays until it is over: where it waits follows from who wants it.
    if (pull.wanters.size > 1) {
      const queue = pull.state === "queued" ? this.#queueOf(pull) : undefined;
      pull.wanters.delete(wanter);
      if (queue?.delete(pull)) this.#queueOf(pull).add(pull);
      return;
    }
    this.#over(pull);
    this.#pump(now);
  }

  /** What is here of an object that is on its way. */
  holding(id: ObjectId): Holding | undefined {
    const pull = this.#pulls.get(id);
    return pull?.hasSpace === true ? { whole: false, size: pull.size, received: pull.received } : undefined;
  }

  isUnderWay(attempt: number): boolean {
    return this.#byAttempt.has(attempt);
  }

  // ── answers of the home ──

  located(id: ObjectId, size: number, nodes: readonly NodeId[], failure: string | undefined, now: number): void {
    const pull = this.#pulls.get(id);
    if (pull === undefined || pull.state !== "locating") return;
    if (failure !== undefined) return this.#fail(pull, failure, now);
    if (pull.size !== size) {
      this.#giveBack(pull);
      pull.size = size;
    }
    pull.nodes = nodes;
    pull.tried.clear();
    pull.suggested = [];
    pull.referrers = [];
    pull.deadline = Infinity;
    if (pull.hasSpace) this.#needsSource(pull);
    else {
      pull.state = "queued";
      this.#queueOf(pull).add(pull);
    }
    this.#pump(now);
  }

  /** A node is gone, with all that it has. */
  nodeLost(node: NodeId, now: number): void {
    for (const pull of [...this.#pulls.values()]) {
      if (pull.state === "locating" && prefixOf(pull.id) === prefixOf(node)) {
        this.#fail(pull, `its home, node ${node}, is gone`, now);
        continue;
      }
      if (pull.node === node) this.#elsewhere(pull, "the node is gone");
      pull.nodes = pull.nodes.filter((other) => other !== node);
      pull.suggested = pull.suggested.filter((other) => other !== node);
      pull.referrers = pull.referrers.filter((other) => other !== node);
    }
    this.#pump(now);
  }

  // ── answers of the store ──

  granted(number: number, now: number): void {
    const pull = this.#byNumber.get(number);
    if (pull?.state !== "allocating") return;
    pull.hasSpace = true;
    this.#needsSource(pull);
    this.#pump(now);
  }

  refused(number: number, reason: string, now: number): void {
    const pull = this.#byNumber.get(number);
    if (pull?.state === "allocating") this.#fail(pull, reason, now);
  }

  // ── answers of a source ──

  began(attempt: number, size: number, origin: string, now: number): void {
    const pull = this.#byAttempt.get(attempt);
    if (pull === undefined) return;
    if (size !== pull.size) {
      this.#elsewhere(pull, `it has ${size} bytes there, and ${pull.size} at its home`);
      return this.#pump(now);
    }
    if (pull.origin !== undefined && pull.origin !== origin && pull.received > 0) {
      pull.received = 0;
      this.#port.restart(pull.number);
    }
    pull.origin = origin;
    this.advanced(attempt, pull.received, now);
  }

  /** All bytes before `upTo` are there, and right. */
  advanced(attempt: number, upTo: number, now: number): void {
    const pull = this.#byAttempt.get(attempt);
    if (pull === undefined) return;
    if (upTo > pull.received) pull.rounds = 0;
    pull.received = upTo;
    pull.deadline = now + this.#limits.stallMs;
    if (upTo < pull.size) return;
    this.#endAttempt(pull, false);
    this.#forget(pull);
    this.#port.seal(pull.number, pull.id, pull.origin!);
    this.#pump(now);
  }

  redirected(attempt: number, nodes: readonly NodeId[], now: number): void {
    const pull = this.#byAttempt.get(attempt);
    if (pull === undefined) return;
    const from = pull.node!;
    if (pull.insists) this.#elsewhere(pull, "it sends us away again and again", false);
    else {
      this.#endAttempt(pull, false);
      pull.tried.add(from);
      pull.referrers.push(from);
      const others = nodes.filter((node) => node !== this.#self && !pull.tried.has(node));
      if (pull.referrers.length < REDIRECTS_MAX) pull.suggested.push(...others.reverse());
    }
    this.#pump(now);
  }

  failed(attempt: number, reason: string, now: number): void {
    const pull = this.#byAttempt.get(attempt);
    if (pull === undefined) return;
    this.#elsewhere(pull, reason, false);
    this.#pump(now);
  }

  // ── time ──

  tick(now: number): void {
    for (const pull of [...this.#admitted]) {
      if (pull.deadline > now) continue;
      pull.deadline = Infinity;
      if (pull.state === "fetching") this.#elsewhere(pull, `nothing came from there for ${this.#limits.stallMs} ms`);
      else if (pull.state === "resting") {
        pull.state = "locating";
        pull.deadline = now + this.#limits.stallMs;
        this.#port.locate(pull.id);
        // It is nowhere, and perhaps for long: others need the space.
      } else this.#giveBack(pull);
    }
    this.#pump(now);
  }

  nextDeadline(): number | undefined {
    let next = Infinity;
    for (const { deadline } of this.#admitted) next = Math.min(next, deadline);
    return next === Infinity ? undefined : next;
  }

  stats(): PullStatistics {
    let queued = 0;
    for (const queue of [...this.#smallQueues, ...this.#largeQueues]) queued += queue.size;
    return { pulls: this.#pulls.size, queued, fetching: this.#byAttempt.size, bytesInFlight: this.#bytes };
  }

  check(): void {
    let bytes = 0;
    let small = 0;
    const load = new Map<NodeId, number>();
    const insist = (right: boolean, story: string): void => {
      if (!right) throw new Error(`pulls: ${story}`);
    };
    for (const [id, pull] of this.#pulls) {
      insist(pull.id === id && this.#byNumber.get(pull.number) === pull, `${id} is filed wrongly`);
      insist(pull.wanters.size > 0, `${id} is wanted by nobody`);
      insist((pull.state === "fetching") === (this.#byAttempt.get(pull.attempt) === pull), `${id} is ${pull.state} by a wrong attempt`);
      insist(pull.hasSpace || pull.received === 0, `${id} was received into nothing`);
      insist((pull.state === "queued") === this.#queueOf(pull).has(pull), `${id} is ${pull.state}, and waits in a queue or not`);
      insist((pull.state === "choosing") === this.#choosing.has(pull), `${id} is ${pull.state}, and is to be given a source or not`);
      insist(pull.admitted === this.#admitted.has(pull) && (pull.admitted || pull.deadline === Infinity), `${id} has a time and no turn`);
      insist(pull.size < 0 || pull.received <= pull.size, `${id} has more bytes than it has`);
      if (pull.state === "fetching" || pull.state === "allocating") insist(pull.admitted, `${id} is ${pull.state} and was not admitted`);
      if (pull.state === "fetching") load.set(pull.node!, (load.get(pull.node!) ?? 0) + 1);
      if (!pull.admitted) continue;
      if (this.#isSmall(pull)) small++;
      else bytes += pull.size;
    }
    insist(bytes === this.#bytes && small === this.#small, `${bytes} bytes and ${small} small ones are under way, not as counted`);
    for (const [node, count] of this.#load) insist(load.get(node) === count, `${count} attempts at ${node} are counted, not as there are`);
    let queued = 0;
    for (const { state } of this.#pulls.values()) if (state === "queued") queued++;
    insist(queued === this.stats().queued && this.#byNumber.size === this.#pulls.size, "a pull that is over is remembered");
  }

  // ── inside ──

  #isSmall(pull: Pull): boolean {
    return pull.size <= this.#limits.smallBytes;
  }

  #queueOf(pull: Pull): Set<Pull> {
    return (this.#isSmall(pull) ? this.#smallQueues : this.#largeQueues)[pull.rank]!;
  }

  #needsSource(pull: Pull): void {
    pull.state = "choosing";
    this.#choosing.add(pull);
  }

  /** The attempt failed: another node, or the home again. `tell`: the source has to be told that nothing more is wanted. */
  #elsewhere(pull: Pull, reason: string, tell = true): void {
    pull.tell(`node ${pull.node}: ${reason}`);
    pull.tried.add(pull.node!);
    this.#endAttempt(pull, tell);
  }

  #endAttempt(pull: Pull, tell: boolean): void {
    this.#byAttempt.delete(pull.attempt);
    const load = this.#load.get(pull.node!)! - 1;
    if (load > 0) this.#load.set(pull.node!, load);
    else this.#load.delete(pull.node!);
    if (tell) this.#port.cancel(pull.attempt);
    pull.node = undefined;
    pull.deadline = Infinity;
    this.#needsSource(pull);
  }

  #fail(pull: Pull, reason: string, now: number): void {
    const { story } = pull;
    this.#over(pull);
    this.#port.notFound(pull.id, story === "" ? reason : `${reason} (${story})`);
    this.#pump(now);
  }

  /** It is over and there is no copy. */
  #over(pull: Pull): void {
    if (pull.state === "fetching") this.#endAttempt(pull, true);
    this.#giveBack(pull);
    this.#forget(pull);
  }

  #giveBack(pull: Pull): void {
    this.#leave(pull);
    if (pull.hasSpace || pull.state === "allocating") this.#port.release(pull.number);
    pull.hasSpace = false;
    pull.received = 0;
    pull.origin = undefined;
    pull.deadline = Infinity;
  }

  #forget(pull: Pull): void {
    this.#leave(pull);
    this.#choosing.delete(pull);
    this.#queueOf(pull).delete(pull);
    this.#pulls.delete(pull.id);
    this.#byNumber.delete(pull.number);
  }

  #leave(pull: Pull): void {
    if (!pull.admitted) return;
    pull.admitted = false;
    this.#admitted.delete(pull);
    if (this.#isSmall(pull)) this.#small--;
    else this.#bytes -= pull.size;
  }

  /** Whatever can go on does: those that wait for their turn, then those that need a source. */
  #pump(now: number): void {
    for (const queue of this.#smallQueues) {
      for (const pull of queue) {
        if (this.#small >= this.#limits.smallMax) break;
        this.#small++;
        this.#admit(pull, queue);
      }
    }
    this.#admitLarge();
    for (const pull of this.#choosing) this.#choose(pull, now);
  }

  /** In order: what is too large now is not overtaken for ever. */
  #admitLarge(): void {
    for (const queue of this.#largeQueues) {
      for (const pull of queue) {
        if (!this.#hasRoom(pull.size)) return;
        this.#bytes += pull.size;
        this.#admit(pull, queue);
      }
    }
  }

  #admit(pull: Pull, queue: Set<Pull>): void {
    queue.delete(pull);
    pull.admitted = true;
    this.#admitted.add(pull);
    pull.state = "allocating";
    this.#port.allocate(pull.number, pull.id, pull.size);
  }

  #hasRoom(size: number): boolean {
    return this.#bytes === 0 || this.#bytes + size <= this.#limits.bytesMax;
  }

  #choose(pull: Pull, now: number): void {
    while (pull.suggested.length > 0) {
      const node = pull.suggested.at(-1)!;
      if (pull.tried.has(node)) pull.suggested.pop();
      else if (this.#isFull(node)) return;
      else {
        pull.suggested.pop();
        return this.#fetch(pull, node, false, now);
      }
    }
    const referrer = pull.referrers.pop();
    if (referrer !== undefined) return this.#fetch(pull, referrer, true, now);
    const nodes = pull.nodes.filter((node) => node !== this.#self && !pull.tried.has(node));
    if (nodes.length === 0) return this.#again(pull, now);
    const free = nodes.filter((node) => !this.#isFull(node));
    // All are busy with this node's other pulls: as soon as one of these ends, it is looked at again.
    if (free.length === 0) return;
    const least = Math.min(...free.map((node) => this.#load.get(node) ?? 0));
    const best = free.filter((node) => (this.#load.get(node) ?? 0) === least);
    this.#fetch(pull, best[Math.floor(this.#port.chance() * best.length)]!, false, now);
  }

  #isFull(node: NodeId): boolean {
    return (this.#load.get(node) ?? 0) >= this.#limits.perNode;
  }

  #fetch(pull: Pull, node: NodeId, insist: boolean, now: number): void {
    this.#choosing.delete(pull);
    pull.state = "fetching";
    pull.insists = insist;
    pull.node = node;
    pull.attempt = ++this.#number;
    pull.deadline = now + this.#limits.stallMs;
    this.#byAttempt.set(pull.attempt, pull);
    this.#load.set(node, (this.#load.get(node) ?? 0) + 1);
    this.#port.fetch(pull.attempt, pull.number, node, pull.id, pull.received, insist);
  }

  /** Nobody is left to ask: after a rest the home may know others. */
  #again(pull: Pull, now: number): void {
    const others = pull.nodes.filter((node) => node !== this.#self);
    if (others.length === 0)
      pull.tell(pull.nodes.length > 0 ? "its home says that it is on this node" : "its home knows no node that has it");
    if (pull.rounds >= this.#limits.rounds) {
      const asked = `its home was asked ${pull.rounds + 1} times, and no node that it named gave it`;
      return this.#fail(pull, asked, now);
    }
    this.#choosing.delete(pull);
    pull.state = "resting";
    pull.deadline = now + Math.min(this.#limits.restMs * 2 ** pull.rounds, this.#limits.restMaxMs);
    pull.rounds++;
  }
}
