/** Results as a table: in a terminal by columns, on a page as Markdown. */
import { POOLS, THREAD_POOLS, moreIsBetter } from "../definitions.ts";
import type { ContenderName } from "../definitions.ts";
import { median, pairRatio } from "../runner/statistics.ts";
import { figure, withUnit } from "./figures.ts";
import type { Verdict } from "./figures.ts";
import type { ResultRow, Results } from "./results.ts";

export const HEADINGS = ["", "benchmark", "mobula", "raw limit", "best npm pool", "BullMQ", "Ray, here", "Ray, published (64 vCPU)", "bar"];

const percent = (part: number): string => `±${Math.round(part * 50)}%`;

function valuesOf(row: ResultRow, name: ContenderName): readonly number[] {
  return row.results[name]?.values ?? [];
}

function bestPool(row: ResultRow): ContenderName | undefined {
  const measured = POOLS.filter((name) => valuesOf(row, name).length > 0);
  const sign = moreIsBetter(row.unit) ? 1 : -1;
  return measured.toSorted((a, b) => sign * (median(valuesOf(row, b)) - median(valuesOf(row, a))))[0];
}

/** A figure and how many times as good ours is, from pair to pair. */
function rivalCell(row: ResultRow, name: ContenderName | undefined, missing: string | undefined): string {
  if (name === undefined) return "";
  const measured = row.results[name];
  if (measured === undefined) return missing === undefined ? "" : "absent";
  if (measured.values.length === 0) return "failed";
  const ratio = pairRatio(valuesOf(row, "mobula"), measured.values, moreIsBetter(row.unit));
  const times = ratio === undefined ? "" : `: ${figure(ratio.median)} x (${figure(ratio.low)} to ${figure(ratio.high)})`;
  const who = POOLS.includes(name) ? `${name}${THREAD_POOLS.includes(name) ? ", threads" : ""} ` : "";
  return `${who}${withUnit(measured.median, row.unit)}${times}`;
}

export function verdictWord({ met, wanted }: Verdict): string {
  if (met === undefined) return "not measured";
  if (!met) return "BEHIND";
  return wanted === false ? "met, not yet what is wanted" : "met";
}

export const verdictText = (verdict: Verdict): string => `${verdict.text}: ${verdictWord(verdict)}`;

export function cells(row: ResultRow, results: Results): string[] {
  const missing = (name: ContenderName): string | undefined => results.contenders.find((contender) => contender.name === name)?.missing;
  const ours = row.results.mobula;
  const own = ours === undefined || ours.values.length === 0 ? "failed" : `${withUnit(ours.median, row.unit)} ${percent(ours.spread)}`;
  return [
    row.id,
    row.title,
    own,
    rivalCell(row, "limit", missing("limit")),
    rivalCell(row, bestPool(row), undefined),
    rivalCell(row, "bullmq", missing("bullmq")),
    rivalCell(row, "ray", missing("ray")),
    row.published === undefined ? "" : withUnit(row.published, row.unit),
    row.bars.map(verdictText).join("; "),
  ];
}

/** For a terminal: a block a row, since nine columns fit on no screen. */
export function printed(results: Results): string {
  const lines: string[] = [];
  let area: string | undefined;
  for (const row of results.rows) {
    if (row.area === "plots") continue;
    if (row.area !== area) lines.push("", `== ${row.area}`);
    area = row.area;
    const [id, title, own, ...rest] = cells(row, results) as [string, string, string, ...string[]];
    lines.push(`${id.padEnd(16)}${own.padEnd(24)}${title}`);
    for (const [i, cell] of rest.entries()) {
      if (cell === "" || i === rest.length - 1) continue;
      lines.push(`${"".padEnd(16)}${HEADINGS[i + 3]!.padEnd(26)}${cell}`);
    }
    for (const verdict of row.bars) lines.push(`${"".padEnd(16)}${"bar".padEnd(26)}${verdictText(verdict)}`);
    for (const [name, measured] of Object.entries(row.results)) {
      if (measured.failed !== undefined) lines.push(`${"".padEnd(16)}${`${name} failed`.padEnd(26)}${measured.failed.split("\n")[0]}`);
    }
  }
  for (const { name, missing } of results.contenders) if (missing !== undefined) lines.push("", `${name} is absent: ${missing}`);
  return lines.join("\n");
}

const escape = (text: string): string => text.replaceAll("|", "\\|");

export function markdown(rows: readonly ResultRow[], results: Results): string {
  const line = (list: readonly string[]): string => `| ${list.map(escape).join(" | ")} |`;
  return [line(HEADINGS), line(HEADINGS.map(() => "---")), ...rows.map((row) => line(cells(row, results)))].join("\n");
}
