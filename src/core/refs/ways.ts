/**
 * What is under way between two processes: values with refs inside, on their direct connection (a way). The sender says first
 * which ids are in the next value (a parcel), and the way holds them; the receiver holds for itself what it keeps, and then says how
 * many parcels have come. A way that has ended holds nothing, so whatever dies in between, nothing stays held.
 *
 * Parcels of one direction are numbered by counting, on both sides. News of the two processes come in any order among each
 * other. Not who holds an object for good: that is the table's.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { NodePrefix, ProcessId, WayId } from "../../protocol/ids.ts";
import type { Body } from "../../protocol/messages.ts";
import type { RefId } from "./record.ts";

export interface WaysPort {
  /** Gives those that are held by it. */
  hold(ids: readonly RefId[]): readonly RefId[];
  release(ids: readonly RefId[]): void;
  /** `sender` is gone: the receiver is to say what has come of it. */
  ask(receiver: ProcessId, way: WayId, opener: boolean, sender: ProcessId): void;
}

/** One end of a way, and what it has sent. */
interface End {
  readonly process: ProcessId;
  /** Parcels that are held, oldest first: numbers `sent - parcels.length` and on. */
  parcels: (readonly RefId[])[];
  sent: number;
  /** Parcels that have come to the other end. */
  came: number;
  /** It has read the way to its end, or is gone: it gets nothing more, and sends nothing more. */
  over: boolean;
}

/** Who has opened it is first. */
type Way = readonly [opener: End, other: End];

const newEnd = (process: ProcessId): End => ({ process, parcels: [], sent: 0, came: 0, over: false });

export class Ways {
  readonly #port: WaysPort;
  readonly #isLost: (process: ProcessId) => boolean;
  readonly #ways = new Map<WayId, Way>();
  readonly #of = new Map<ProcessId, Set<WayId>>();

  constructor(port: WaysPort, isLost: (process: ProcessId) => boolean) {
    this.#port = port;
    this.#isLost = isLost;
  }

  get size(): number {
    return this.#ways.size;
  }

  sent(from: ProcessId, { way: id, opener, to, ids }: Body<"refSent">): void {
    if (this.#isLost(from) || this.#isLost(to)) return;
    const [sender, receiver] = this.#way(id, opener, from, to);
    if (sender.sent++ < sender.came || receiver.over) return;
    sender.parcels.push(this.#port.hold(ids));
  }

  came(from: ProcessId, { way: id, opener, to: other, count, over }: Body<"refCame">): void {
    // Of a lost sender nothing more comes: either it is known, or it has sent nothing.
    if (this.#isLost(from) || (this.#isLost(other) && !this.#ways.has(id))) return;
    const [receiver, sender] = this.#way(id, opener, from, other);
    sender.came = Math.max(sender.came, count);
    this.#release(sender, over ? Infinity : sender.came);
    if (!over) return;
    receiver.over = true;
    if (sender.over) this.#forget(id);
  }

  processLost(process: ProcessId): void {
    for (const id of this.#of.get(process) ?? []) {
      const way = this.#ways.get(id)!;
      for (const end of way) {
        if (end.process !== process) continue;
        end.over = true;
        this.#release(end === way[0] ? way[1] : way[0], Infinity);
      }
      const [opener, other] = way;
      const lost = opener.over ? opener : other;
      if (opener.over && other.over) this.#forget(id);
      else if (lost.parcels.length === 0) this.#forget(id);
      else this.#port.ask(opener.over ? other.process : opener.process, id, !opener.over, process);
    }
  }

  /** A node is gone with all its processes. */
  nodeLost(node: NodePrefix): void {
    for (const process of [...this.#of.keys()]) if (prefixOf(process) === node) this.processLost(process);
  }

  /** Throws unless all is as it should be; tells each id that is held. */
  check(held: (id: RefId) => void): void {
    for (const [id, way] of this.#ways) {
      if (way.every(({ over }) => over)) throw new Error(`way ${id} has ended on both sides and is kept`);
      for (const end of way) {
        if (!this.#of.get(end.process)?.has(id)) throw new Error(`way ${id} is not in the index of ${end.process}`);
        if (end.parcels.length > end.sent) throw new Error(`way ${id} holds more than was sent`);
        for (const ids of end.parcels) ids.forEach(held);
      }
    }
  }

  /** The ends of a way, that of `mine` first. */
  #way(id: WayId, opener: boolean, mine: ProcessId, other: ProcessId): readonly [End, End] {
    let way = this.#ways.get(id);
    if (way === undefined) {
      this.#ways.set(id, (way = opener ? [newEnd(mine), newEnd(other)] : [newEnd(other), newEnd(mine)]));
      for (const process of [mine, other]) {
        const of = this.#of.get(process);
        if (of === undefined) this.#of.set(process, new Set([id]));
        else of.add(id);
      }
    }
    return opener ? way : [way[1], way[0]];
  }

  /** What was sent before number `until` is not under way any more. */
  #release(end: End, until: number): void {
    const count = Math.min(end.parcels.length, until - (end.sent - end.parcels.length));
    if (count > 0) this.#port.release(end.parcels.splice(0, count).flat());
  }

  #forget(id: WayId): void {
    for (const { process } of this.#ways.get(id)!) {
      const of = this.#of.get(process);
      if (of?.delete(id) && of.size === 0) this.#of.delete(process);
    }
    this.#ways.delete(id);
  }
}
