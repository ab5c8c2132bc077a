/**
 * What this node holds of other nodes' objects and actors, and when it lets go. Each is held once at its home, in this node's name,
 * for as long as anything here holds it.
 *
 * One rule answers the races between three nodes: nothing that lets go elsewhere is said before every hold that was asked for earlier is
 * confirmed. So whatever kept an id alive while a hold on it was under way goes on keeping it until that hold has come.
 */
import type { NodePrefix, ObjectId } from "../../protocol/ids.ts";
import { homeOf } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";
import type { RefId } from "./record.ts";

export interface BorrowsPort {
  tell<N extends "refsHold" | "refsDrop" | "objectFree">(to: NodePrefix, name: N, body: Body<N>): void;
}

/** What waits until the holds before it are confirmed. */
interface Release {
  /** Holds with a lower number were asked for before. */
  readonly after: number;
  readonly run: () => void;
}

/** An object may hold as many refs as it likes; a message is of bounded size. */
const IDS_MAX = 10_000;

export class Borrows {
  readonly #port: BorrowsPort;
  /** Asked for since the last flush. */
  readonly #wanted = new Map<NodePrefix, RefId[]>();
  readonly #dropped = new Map<NodePrefix, Map<RefId, number>>();
  readonly #freed = new Map<NodePrefix, ObjectId[]>();
  /** Of each node: how many `refsHold` it was sent. */
  readonly #sent = new Map<NodePrefix, number>();
  /** Not confirmed, oldest first, by a number over all nodes. */
  readonly #open = new Map<number, { readonly home: NodePrefix; readonly seq: number }>();
  #next = 0;
  readonly #releases: Release[] = [];
  readonly #gone: (home: NodePrefix) => boolean;

  constructor(port: BorrowsPort, gone: (home: NodePrefix) => boolean) {
    this.#port = port;
    this.#gone = gone;
  }

  /** Holds that are not confirmed, and releases that wait for them. */
  get waiting(): number {
    return this.#open.size + this.#releases.length;
  }

  hold(id: RefId): void {
    const home = homeOf(id);
    const ids = this.#wanted.get(home);
    if (ids === undefined) this.#wanted.set(home, [id]);
    else ids.push(id);
  }

  drop(id: RefId, count: number): void {
    const home = homeOf(id);
    let counts = this.#dropped.get(home);
    if (counts === undefined) this.#dropped.set(home, (counts = new Map()));
    counts.set(id, (counts.get(id) ?? 0) + count);
  }

  /** The bytes that `at` has of an object of this node are not needed any more: what is inside them is let go of there. */
  free(at: NodePrefix, id: ObjectId): void {
    const ids = this.#freed.get(at);
    if (ids === undefined) this.#freed.set(at, [id]);
    else ids.push(id);
  }

  /** Something else that lets go: as soon as what is held by now is confirmed. */
  release(run: () => void): void {
    this.#ask();
    this.#releases.push({ after: this.#next, run });
    this.#advance();
  }

  /** After each event: what it wanted and let go of goes out. */
  flush(): void {
    if (this.#wanted.size > 0) this.#ask();
    if (this.#dropped.size === 0 && this.#freed.size === 0) return;
    const dropped = [...this.#dropped];
    const freed = [...this.#freed];
    this.#dropped.clear();
    this.#freed.clear();
    this.release(() => {
      for (const [home, counts] of dropped) {
        for (const refs of slices([...counts])) {
          this.#tell(home, "refsDrop", { refs: refs.map(([id, count]) => ({ id, count })) });
        }
      }
      for (const [at, all] of freed) for (const ids of slices(all)) this.#tell(at, "objectFree", { ids });
    });
  }

  /** Every hold that this node was asked for up to `seq` is confirmed. */
  held(home: NodePrefix, seq: number): void {
    for (const [number, open] of this.#open) if (open.home === home && open.seq <= seq) this.#open.delete(number);
    this.#advance();
  }

  /** Nothing is held there any more, and nothing comes from there. */
  homeLost(home: NodePrefix): void {
    this.#wanted.delete(home);
    this.held(home, Infinity);
    this.#sent.delete(home);
  }

  #ask(): void {
    for (const [home, all] of this.#wanted) {
      for (const ids of slices(all)) {
        if (this.#gone(home)) continue;
        const seq = this.#sent.get(home) ?? 0;
        this.#sent.set(home, seq + 1);
        this.#open.set(this.#next++, { home, seq });
        this.#port.tell(home, "refsHold", { seq, ids });
      }
    }
    this.#wanted.clear();
  }

  #advance(): void {
    // One by one: what runs may add others, which come behind those that wait.
    for (let first = this.#releases[0]; first !== undefined; first = this.#releases[0]) {
      if (first.after > (this.#open.keys().next().value ?? Infinity)) return;
      this.#releases.shift();
      first.run();
    }
  }

  #tell<N extends "refsDrop" | "objectFree">(to: NodePrefix, name: N, body: Body<N>): void {
    if (!this.#gone(to)) this.#port.tell(to, name, body);
  }
}

function* slices<T>(all: readonly T[]): Iterable<T[]> {
  for (let at = 0; at < all.length; at += IDS_MAX) yield all.slice(at, at + IDS_MAX);
}
