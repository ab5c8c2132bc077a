/**
 * Counts in the form in which they travel: two buffers, which lie in shared memory and are read there in place. A Map of
 * a hundred thousand entries would have to be written and rebuilt entry by entry for every task that takes it.
 */
export interface Table {
  /** The names, one after another, with a newline between. */
  readonly names: Uint8Array;
  readonly counts: Uint32Array;
}

export function pack(counts: ReadonlyMap<string, number>): Table {
  return { names: new TextEncoder().encode([...counts.keys()].join("\n")), counts: Uint32Array.from(counts.values()) };
}

/** Adds a table to a Map. */
export function addTo(sum: Map<string, number>, table: Table): void {
  if (table.counts.length === 0) return;
  const names = new TextDecoder().decode(table.names).split("\n");
  names.forEach((name, i) => sum.set(name, (sum.get(name) ?? 0) + table.counts[i]!));
}

export const bytesOf = (table: Table): number => table.names.byteLength + table.counts.byteLength;

/** The `n` most frequent names; equals by the alphabet, so that the order is always the same. */
export function mostFrequent(counts: ReadonlyMap<string, number>, n: number): Array<[name: string, count: number]> {
  return [...counts].sort(([a, i], [b, j]) => j - i || (a < b ? -1 : 1)).slice(0, n);
}
