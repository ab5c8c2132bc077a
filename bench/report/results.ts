/** The results of a call, as they are written to results/: what was measured, where, on which commit, and what follows from it. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import type { ContenderInfo } from "../contenders.ts";
import type { Area, ContenderName, Row, Unit } from "../definitions.ts";
import type { RowResult } from "../runner/suite.ts";
import { median, spread } from "../runner/statistics.ts";
import { judge } from "./figures.ts";
import type { Values, Verdict } from "./figures.ts";

export interface MeasuredFigure {
  readonly values: readonly number[];
  readonly median: number;
  readonly spread: number;
  readonly failed?: string;
}

export interface ResultRow {
  readonly id: string;
  readonly area: Area;
  readonly title: string;
  readonly unit: Unit;
  readonly note?: string;
  readonly results: Readonly<Partial<Record<ContenderName, MeasuredFigure>>>;
  /** Ray's published figure on 64 vCPU. */
  readonly published?: number;
  readonly bars: readonly Verdict[];
}

/** One call of the suite. */
export interface Call {
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly changed: boolean;
  readonly load?: number;
  readonly rounds: number;
  readonly seconds: number;
}

export interface Results {
  /** The calls that the rows are from, where they are from more than one. */
  readonly calls?: readonly Call[];
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  /** Whether the work tree had changes that no commit holds. */
  readonly changed: boolean;
  readonly node: string;
  readonly machine: { readonly cpu: string; readonly cores: number; readonly memoryGiB: number; readonly kernel: string };
  /** How many processes wanted to run, on average over the last quarter of an hour, the suite's own among them. */
  readonly load?: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly contenders: readonly {
    readonly name: ContenderName;
    readonly kind: string;
    readonly version: string;
    readonly missing?: string;
  }[];
  readonly rows: readonly ResultRow[];
}

function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { cwd: import.meta.dirname, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return ""; // Not a checkout: the results say so by an empty commit.
  }
}

/** The commit that is checked out, and whether the work tree differs from it. */
export const commitNow = (): { commit: string; changed: boolean } => ({
  commit: git("rev-parse", "HEAD"),
  changed: git("status", "--porcelain", "--untracked-files=no") !== "",
});

export function resultRow({ row, results }: RowResult): ResultRow {
  const figures: Partial<Record<ContenderName, MeasuredFigure>> = {};
  const values: Partial<Record<ContenderName, readonly number[]>> = {};
  for (const [name, measured] of results) {
    // JSON has no NaN: what failed at once has a median of 0 and says why.
    const middle = measured.values.length === 0 ? 0 : median(measured.values);
    figures[name] = { ...measured, median: middle, spread: spread(measured.values) };
    if (measured.values.length > 0) values[name] = measured.values;
  }
  return {
    id: row.id,
    area: row.area,
    title: row.title,
    unit: row.unit,
    ...(row.note === undefined ? {} : { note: row.note }),
    results: figures,
    ...(row.published === undefined ? {} : { published: row.published }),
    bars: verdicts(row, values),
  };
}

const verdicts = (row: Row, values: Values): Verdict[] => row.bars.map((bar) => judge(row, bar, values));

export function collect(
  rows: readonly RowResult[],
  contenders: readonly ContenderInfo[],
  run: { command: string; rounds: number; seconds: number; commit: string; changed: boolean },
): Results {
  return {
    date: new Date().toISOString(),
    ...run,
    node: process.version,
    machine: {
      cpu: os.cpus()[0]?.model ?? "unknown",
      cores: os.availableParallelism(),
      memoryGiB: Math.round(os.totalmem() / 2 ** 30),
      kernel: `${os.type()} ${os.release()} ${os.arch()}`,
    },
    load: Number(os.loadavg()[2]!.toFixed(1)),
    contenders: contenders.map(({ name, kind, version, missing }) => ({
      name,
      kind,
      version,
      ...(missing === undefined ? {} : { missing }),
    })),
    rows: rows.map(resultRow),
  };
}

const folder = path.join(import.meta.dirname, "..", "results");

/** Writes results under a name of their own; gives the file. */
export function write(results: Results, name: string): string {
  mkdirSync(folder, { recursive: true });
  const file = path.join(folder, `${name}.json`);
  writeFileSync(file, `${JSON.stringify(results, undefined, 1)}\n`);
  return path.relative(process.cwd(), file);
}

export const read = (file: string): Results => JSON.parse(readFileSync(file, "utf8")) as Results;
