/** One object that is on its way to this node. Its fields are PullMachine's. */
import type { NodeId, ObjectId } from "../../protocol/ids.ts";
import { priorities } from "./types.ts";
import type { PullPriority } from "./types.ts";

/**
 * locating -> queued -> allocating -> choosing <-> fetching -> sealed; resting before it is located again, with what is there
 * already.
 */
export type PullState = "locating" | "queued" | "allocating" | "choosing" | "fetching" | "resting";

const STORY_MAX = 12;

export class Pull {
  readonly number: number;
  readonly id: ObjectId;
  readonly wanters = new Map<string, PullPriority>();
  state: PullState = "locating";
  size = -1;
  /** It counts among those under way, and its size, if it is large. */
  admitted = false;
  hasSpace = false;
  /** Which run of its task the received bytes are from. */
  origin: string | undefined;
  received = 0;
  /** Where it is, as its home said last. */
  nodes: readonly NodeId[] = [];
  /** Named by nodes that serve others already; the next one to ask is at the end. */
  suggested: NodeId[] = [];
  /** Who named them, likewise: they are asked once more, and then serve. */
  referrers: NodeId[] = [];
  /** Not to be asked again until the home has been. */
  readonly tried = new Set<NodeId>();
  attempt = 0;
  node: NodeId | undefined;
  /** The node that is asked has sent us away before. */
  insists = false;
  /** When the attempt has stalled, or the rest is over, or the space is given back because the home is silent. */
  deadline = Infinity;
  /** Times that the home was asked since something came. */
  rounds = 0;
  readonly #story: string[] = [];
  #left = 0;

  constructor(number: number, id: ObjectId) {
    this.number = number;
    this.id = id;
  }

  /** Its place among the priorities, 0 first. */
  get rank(): number {
    let rank = priorities.length - 1;
    for (const priority of this.wanters.values()) rank = Math.min(rank, priorities.indexOf(priority));
    return rank;
  }

  tell(what: string): void {
    if (this.#story.at(-1) === what) return;
    this.#story.push(what);
    if (this.#story.length > STORY_MAX) {
      this.#story.splice(1, 1);
      this.#left++;
    }
  }

  get story(): string {
    const [first, ...rest] = this.#story;
    const middle = this.#left > 0 ? [`(${this.#left} more)`] : [];
    return [first, ...middle, ...rest].filter((part) => part !== undefined).join("; ");
  }
}
