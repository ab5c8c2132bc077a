/** Counts of names: as they are added up in a process, and in the form in which they travel. */

/** An object for each name: counting one more is one look-up, where a number would have to be put back by a second one. */
export type Counts = Map<string, { n: number }>;

/**
 * Two buffers, which lie in shared memory and are read there in place. A Map of a hundred thousand entries would have to be written and
 * rebuilt entry by entry for every task that takes it.
 */
export interface Table {
  /** The names, one after another, with a newline between. */
  readonly names: Uint8Array;
  readonly counts: Uint32Array;
}

export function add(counts: Counts, name: string, n: number): void {
  const count = counts.get(name);
  if (count === undefined) counts.set(name, { n });
  else count.n += n;
}

export function pack(counts: Counts): Table {
  const names = new TextEncoder().encode([...counts.keys()].join("\n"));
  return { names, counts: Uint32Array.from(counts.values(), ({ n }) => n) };
}

/** Adds a table to the counts. */
export function addTo(sum: Counts, table: Table): void {
  if (table.counts.length === 0) return;
  const names = new TextDecoder().decode(table.names).split("\n");
  names.forEach((name, i) => add(sum, name, table.counts[i]!));
}

export const bytesOf = (table: Table): number => table.names.byteLength + table.counts.byteLength;

/** The `n` most frequent names; equals by the alphabet, so that the order is always the same. */
export function mostFrequent(counts: Counts, n: number): Array<[name: string, count: number]> {
  const all = [...counts].map(([name, count]): [string, number] => [name, count.n]);
  return all.sort(([a, i], [b, j]) => j - i || (a < b ? -1 : 1)).slice(0, n);
}

export function sameCounts(a: Counts, b: Counts): boolean {
  return a.size === b.size && [...a].every(([name, { n }]) => b.get(name)?.n === n);
}
