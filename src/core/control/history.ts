/** What happened in the cluster, for people: bounded, oldest first. */
import { saved } from "./tables.ts";
import type { Keep, RecordOf, SavedTables } from "./tables.ts";

export type ClusterEvent = RecordOf<"event">;

const EVENTS_MAX = 10_000;
const MESSAGE_MAX = 4096;

export class History {
  readonly #keep: Keep;
  readonly #max: number;
  readonly #events = new Map<number, ClusterEvent>();
  #next = 0;

  constructor(keep: Keep, max = EVENTS_MAX) {
    this.#keep = keep;
    this.#max = max;
  }

  /** The latest last. */
  get events(): ClusterEvent[] {
    return [...this.#events.values()];
  }

  add(event: ClusterEvent): void {
    const number = this.#next++;
    this.#events.set(number, { ...event, message: event.message.slice(0, MESSAGE_MAX) });
    this.#keep("event", keyOf(number));
    if (this.#events.size <= this.#max) return;
    const oldest = this.#events.keys().next().value as number;
    this.#events.delete(oldest);
    this.#keep("event", keyOf(oldest));
  }

  saved(key: string): Uint8Array | undefined {
    const event = this.#events.get(Number(key));
    return event && saved("event", event);
  }

  restore(tables: SavedTables): void {
    const all = [...tables.read("event")].map(([key, event]) => [Number(key), event] as const).sort(([a], [b]) => a - b);
    for (const [number, event] of all) {
      this.#events.set(number, event);
      this.#next = number + 1;
    }
  }

  check(): void {
    if (this.#events.size > this.#max) throw new Error(`${this.#events.size} events are kept`);
  }
}

const keyOf = (number: number): string => String(number);
