/**
 * Declared ids that mean an actor declared before under the same name (`getIfExists`), and those that did: a late repeat of a declaration
 * must not make an actor (sim seed 46). Part of control.
 */
import type { ActorId } from "../../protocol/ids.ts";
import { Remembered } from "./remembered.ts";
import { saved } from "./tables.ts";
import type { Keep, SavedTables } from "./tables.ts";

const PAST_MAX = 100_000;

interface Alias {
  readonly actorId: ActorId;
  /** Which giving of the actor it was: see `ActorRecord.given`. */
  readonly given: number;
}

export class Aliases {
  readonly #all = new Map<ActorId, Alias>();
  readonly #past: Remembered<ActorId>;
  readonly #keep: Keep;

  constructor(keep: Keep) {
    this.#keep = keep;
    this.#past = new Remembered(PAST_MAX, (id) => keep("pastAlias", id));
  }

  /** The actor that it means. */
  get(id: ActorId): ActorId | undefined {
    return this.#all.get(id)?.actorId;
  }

  has(id: ActorId): boolean {
    return this.#all.has(id);
  }

  /** Whether it was one. */
  isPast(id: ActorId): boolean {
    return this.#past.has(id);
  }

  add(id: ActorId, alias: Alias): void {
    this.#all.set(id, alias);
    this.#keep("alias", id);
  }

  /** Nobody holds it any more. */
  end(id: ActorId): void {
    this.#all.delete(id);
    this.#past.add(id);
    this.#keep("alias", id);
    this.#keep("pastAlias", id);
  }

  givenOf(id: ActorId): number {
    return this.#all.get(id)!.given;
  }

  *[Symbol.iterator](): Generator<[id: ActorId, actorId: ActorId]> {
    for (const [id, { actorId }] of this.#all) yield [id, actorId];
  }

  saved(table: "alias" | "pastAlias", id: ActorId): Uint8Array | undefined {
    const alias = this.#all.get(id);
    if (table === "alias") return alias && saved("alias", alias);
    const number = this.#past.numberOf(id);
    return number === undefined ? undefined : saved("pastAlias", { number });
  }

  restore(tables: SavedTables): void {
    this.#past.restore([...tables.read("pastAlias")].map(([key, { number }]) => [key as ActorId, number]));
    for (const [key, alias] of tables.read("alias")) this.#all.set(key as ActorId, alias);
  }
}
