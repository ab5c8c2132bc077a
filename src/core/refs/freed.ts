/**
 * The ids that were freed last, and whether their owner had made them known. A ring says which goes next: a Map would tell as well,
 * but only by going over the places of all that it has dropped.
 */
import type { RefId } from "./record.ts";

export const FREED_MAX = 100_000;

interface Freed {
  /** Where the ring has it: an older place of the same id is not looked at any more. */
  readonly place: number;
  readonly escaped: boolean;
}

export class FreedIds {
  readonly #freed = new Map<RefId, Freed>();
  readonly #ring: RefId[] = [];
  #next = 0;

  has(id: RefId): boolean {
    return this.#freed.has(id);
  }

  /** Whether its owner had made it known: only then is another escape a repeat. */
  wasKnown(id: RefId): boolean {
    return this.#freed.get(id)?.escaped === true;
  }

  add(id: RefId, escaped: boolean): void {
    const place = this.#next;
    const oldest = this.#ring[place];
    if (oldest !== undefined && this.#freed.get(oldest)?.place === place) this.#freed.delete(oldest);
    this.#ring[place] = id;
    this.#freed.set(id, { place, escaped });
    this.#next = (place + 1) % FREED_MAX;
  }

  delete(id: RefId): void {
    this.#freed.delete(id);
  }
}
