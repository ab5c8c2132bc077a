/**
 * SPREAD: which of a queue's leases gets the next task, so that all nodes get equally many, whatever their speed. The node that was given
 * fewest comes first; none is ahead of it by more than a part of what it was given, so the first tasks go round exactly.
 *
 * Nodes whose workers are being started are waited for, as far as is known how many there are (`over` of a grant). One that does not get
 * on with what it has is not waited for; it catches up afterwards, as fast as it can, while the others go on. It knows counts, not tasks.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { NodePrefix } from "../../protocol/ids.ts";
import type { Lease } from "./leases.ts";

/** How far others may be ahead of the last one: of what that was given, and at least one task. */
const LEAD_PART = 1 / 32;
/** A node that does not answer for so long, with all its leases full, is not waited for. */
const STUCK_MS = 200;
/** Nodes that are to come are waited for so long after the last one that came, by tasks that are shorter than that. */
const COMING_MS = 10_000;
const BRIEF_US = 20_000;
/** Time after which what could not be pushed is looked at again. */
export const SPREAD_LOOK_MS = 5;

interface Node {
  /** Tasks that it was given. */
  given: number;
  /** It did not get on, and has not caught up yet: nobody waits for it. */
  behind: boolean;
}

export class Spread {
  readonly #nodes = new Map<NodePrefix, Node>();
  /** How many nodes have room for work like this. */
  #over = 0;
  #cameAt = 0;
  #here = 0;
  /** When the last task was given to any. */
  #givenAt = 0;

  /** How many nodes are to come. */
  get missing(): number {
    return Math.max(0, this.#over - this.#here);
  }

  /** A lease has come; so many nodes had room when it was asked for. */
  granted(over: number, now: number): void {
    this.#over = Math.max(this.#over, over);
    this.#cameAt = now;
  }

  /** A task was given to that lease (1), or taken back (-1). */
  given(lease: Lease, count: number, now: number): void {
    this.#givenAt = now;
    const node = this.#nodes.get(prefixOf(lease.processId));
    if (node !== undefined) node.given += count;
  }

  /**
   * The lease of `open`, which have room, that is to get the next task; undefined: it has to wait. `all`: the leases of the queue.
   * `meanUs`: how long it will take, as far as is known.
   */
  choose(open: readonly Lease[], all: readonly Lease[], now: number, meanUs: number | undefined): Lease | undefined {
    const least = this.#least(all, now, meanUs ?? 0);
    let best: Lease | undefined;
    let fewest = Infinity;
    for (const lease of open) {
      const { given } = this.#nodes.get(prefixOf(lease.processId))!;
      // Of the leases of one node the one that has least to do.
      if (given > fewest || (given === fewest && lease.channel.count >= best!.channel.count)) continue;
      best = lease;
      fewest = given;
    }
    if (fewest < least + Math.max(1, Math.floor(least * LEAD_PART))) return best;
    // All wait for nodes that do not come, and may be kept from it by what this queue holds: one goes on.
    const idle = now - this.#givenAt > STUCK_MS && all.every(({ channel }) => channel.count === 0);
    return idle ? best : undefined;
  }

  /** What the node was given that was given least, of those that get on. Whoever comes late begins there. */
  #least(all: readonly Lease[], now: number, meanUs: number): number {
    const moving = new Map<NodePrefix, boolean>();
    for (const lease of all) {
      if (lease.opening) continue;
      const prefix = prefixOf(lease.processId);
      moving.set(prefix, moving.get(prefix) === true || lease.room || now - lease.progressAt < STUCK_MS);
    }
    // Who was expected has been given nothing; who was not begins with the others.
    const expected = this.#here < this.#over && now - this.#cameAt <= COMING_MS;
    const before = this.#leastOf(moving);
    for (const prefix of moving.keys()) {
      if (!this.#nodes.has(prefix)) this.#nodes.set(prefix, { given: expected ? 0 : before, behind: false });
    }
    this.#here = moving.size;
    const least = this.#leastOf(moving);
    for (const [prefix, node] of this.#nodes) {
      if (moving.get(prefix) !== true) node.behind = true;
      else if (node.given >= least) node.behind = false;
    }
    // Those that are to come have been given nothing yet. What runs long enough to be seen there by then does not wait.
    return meanUs < BRIEF_US && this.#coming(now) ? 0 : least;
  }

  #leastOf(moving: ReadonlyMap<NodePrefix, boolean>): number {
    let least = Infinity;
    for (const [prefix, moves] of moving) {
      const node = this.#nodes.get(prefix);
      if (node !== undefined && moves && !node.behind) least = Math.min(least, node.given);
    }
    return least === Infinity ? 0 : least;
  }

  #coming(now: number): boolean {
    if (now - this.#cameAt > COMING_MS) this.#over = this.#here;
    return this.#here < this.#over;
  }
}
