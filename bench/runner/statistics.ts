/** Medians, spread and ratios pair by pair: all the arithmetic of the suite. */

export function median(values: readonly number[]): number {
  if (values.length === 0) return NaN;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How far the values lie apart, as a part of their median: 0.1 is ten per cent from the lowest to the highest. */
export function spread(values: readonly number[]): number {
  const middle = median(values);
  if (!(middle > 0)) return 0;
  return (Math.max(...values) - Math.min(...values)) / middle;
}

export interface Ratio {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/**
 * How many times as good `ours` is as `theirs`: round by round, so that what disturbs the machine for a while disturbs both sides of a
 * pair. A contender that has fewer rounds is paired with its median for the rest.
 */
export function pairRatio(ours: readonly number[], theirs: readonly number[], moreIsBetter: boolean): Ratio | undefined {
  const ratios = pairs(ours, theirs, moreIsBetter);
  return ratios.length === 0 ? undefined : { median: median(ratios), low: Math.min(...ratios), high: Math.max(...ratios) };
}

/** The same without the lowest and the highest, where there are five or more: one disturbed round says nothing about the others. */
export function innerRatio(ours: readonly number[], theirs: readonly number[], moreIsBetter: boolean): Ratio | undefined {
  const ratios = pairs(ours, theirs, moreIsBetter).toSorted((a, b) => a - b);
  const inner = ratios.length < 5 ? ratios : ratios.slice(1, -1);
  return inner.length === 0 ? undefined : { median: median(ratios), low: inner[0]!, high: inner.at(-1)! };
}

function pairs(ours: readonly number[], theirs: readonly number[], moreIsBetter: boolean): number[] {
  if (ours.length === 0 || theirs.length === 0) return [];
  const ratios: number[] = [];
  for (let i = 0; i < Math.max(ours.length, theirs.length); i++) {
    const a = ours[i] ?? median(ours);
    const b = theirs[i] ?? median(theirs);
    ratios.push(moreIsBetter ? a / b : b / a);
  }
  return ratios;
}
