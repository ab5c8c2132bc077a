/** From what was measured to what is shown: one figure per contender, ratios, and whether each bar is met. No formatting of tables here. */
import { moreIsBetter, POOLS, THREAD_POOLS } from "../definitions.ts";
import type { Bar, ContenderName, Rival, Row, Unit } from "../definitions.ts";
import { median, pairRatio } from "../runner/statistics.ts";
import type { Ratio } from "../runner/statistics.ts";

export type Values = Readonly<Partial<Record<ContenderName, readonly number[]>>>;

/** The contenders that a bar may mean. */
export function membersOf(rival: Rival): readonly ContenderName[] {
  if (rival === "npm") return POOLS;
  if (rival === "npm processes") return POOLS.filter((name) => !THREAD_POOLS.includes(name));
  return [rival];
}

/** The best of some contenders by its median; undefined when none was measured. */
export function bestOf(row: Row, values: Values, names: readonly ContenderName[]): ContenderName | undefined {
  let best: ContenderName | undefined;
  let bestMedian = NaN;
  for (const name of names) {
    const list = values[name];
    if (list === undefined || list.length === 0) continue;
    const middle = median(list);
    const better = moreIsBetter(row.unit) ? middle > bestMedian : middle < bestMedian;
    if (best === undefined || better) [best, bestMedian] = [name, middle];
  }
  return best;
}

export interface Verdict {
  /** As it is written in the table. */
  readonly text: string;
  /** undefined: what it compares with was not measured. */
  readonly met: boolean | undefined;
  /** undefined where there is no better one, or it was not measured. */
  readonly wanted?: boolean;
  readonly against?: ContenderName;
  readonly ratio?: Ratio;
}

const RIVALS: Readonly<Record<Rival, string>> = {
  limit: "the limit",
  npm: "the best npm pool",
  "npm processes": "the best npm pool of processes",
  ray: "Ray",
};

/** Three digits that matter, thousands apart. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

export const withUnit = (value: number, unit: Unit): string => (unit === "per s" ? `${figure(value)}/s` : `${figure(value)} ${unit}`);

export function judge(row: Row, bar: Bar, values: Values): Verdict {
  const ours = values.mobula ?? [];
  const more = moreIsBetter(row.unit);
  if (bar.kind === "bound") {
    const text = `${more ? "at least" : "at most"} ${withUnit(bar.bound, row.unit)}`;
    if (ours.length === 0) return { text, met: undefined };
    return { text, met: more ? median(ours) >= bar.bound : median(ours) <= bar.bound };
  }
  if (bar.kind === "above limit") {
    const text = `the limit and ${withUnit(bar.margin, row.unit)}`;
    const limit = values.limit ?? [];
    if (ours.length === 0 || limit.length === 0) return { text, met: undefined };
    return { text, met: median(ours) <= median(limit) + bar.margin };
  }
  const wantedText = bar.wanted === undefined ? "" : ` (wanted ${figure(bar.wanted)} x)`;
  const text = `${figure(bar.times)} x ${RIVALS[bar.rival]}${wantedText}`;
  const against = bestOf(row, values, membersOf(bar.rival));
  const ratio = against === undefined ? undefined : pairRatio(ours, values[against]!, more);
  if (against === undefined || ratio === undefined) return { text, met: undefined };
  const wanted = bar.wanted === undefined ? {} : { wanted: ratio.median >= bar.wanted };
  return { text, met: ratio.median >= bar.times, against, ratio, ...wanted };
}
