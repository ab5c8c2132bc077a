/**
 * Small values by name, for what a cluster itself has to find again: durable as all of control's records are, and bounded, since all of it
 * lies in control's memory. Data of programs is objects, not this.
 */
import { saved } from "./tables.ts";
import type { Keep, SavedTables } from "./tables.ts";

/** Bytes of one value. */
export const VALUE_MAX = 512 * 1024;
/** Characters of a key, its namespace in front. */
export const KEY_MAX = 512;
const KEYS_MAX = 100_000;
/** Bytes of all values. */
const TOTAL_MAX = 64 * 1024 * 1024;

export interface KeyValueLimits {
  readonly keys: number;
  readonly bytes: number;
}

export class KeyValue {
  readonly #keep: Keep;
  readonly #limits: KeyValueLimits;
  readonly #values = new Map<string, Uint8Array>();
  #bytes = 0;

  constructor(keep: Keep, limits: KeyValueLimits = { keys: KEYS_MAX, bytes: TOTAL_MAX }) {
    this.#keep = keep;
    this.#limits = limits;
  }

  /** `exists`: it was to be new, and is not. `full`: there are too many, or too much. Then nothing has changed. */
  put(key: string, value: Uint8Array, onlyIfNew = false): "put" | "exists" | "full" {
    const before = this.#values.get(key);
    if (before !== undefined && onlyIfNew) return "exists";
    const bytes = this.#bytes + value.byteLength - (before?.byteLength ?? 0);
    const keys = this.#values.size + (before === undefined ? 1 : 0);
    if (value.byteLength > VALUE_MAX || key.length > KEY_MAX || bytes > this.#limits.bytes || keys > this.#limits.keys) return "full";
    this.#values.set(key, value);
    this.#bytes = bytes;
    this.#keep("value", key);
    return "put";
  }

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key);
  }

  /** False when there is none. */
  delete(key: string): boolean {
    const value = this.#values.get(key);
    if (value === undefined) return false;
    this.#values.delete(key);
    this.#bytes -= value.byteLength;
    this.#keep("value", key);
    return true;
  }

  /** Those that begin so and come after `after`, in order, `most` at most. */
  keys(prefix: string, { after = "", most = 1000 }: { after?: string; most?: number } = {}): string[] {
    const found = [...this.#values.keys()].filter((key) => key.startsWith(prefix) && key > after);
    return found.sort().slice(0, most);
  }

  saved(key: string): Uint8Array | undefined {
    const value = this.#values.get(key);
    return value && saved("value", { value });
  }

  restore(tables: SavedTables): void {
    for (const [key, { value }] of tables.read("value")) {
      this.#values.set(key, value);
      this.#bytes += value.byteLength;
    }
  }

  check(): void {
    let bytes = 0;
    for (const value of this.#values.values()) bytes += value.byteLength;
    if (bytes !== this.#bytes) throw new Error(`values have ${bytes} bytes, and ${this.#bytes} are counted`);
  }
}
