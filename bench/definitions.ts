/** What a benchmark is made of: areas, rows, bars, contenders. The rows themselves are in rows/, the loops beside each contender. */

export const AREAS = ["tasks", "actors", "objects", "start", "groups", "scale", "memory", "nodes", "plots"] as const;
export type Area = (typeof AREAS)[number];

/** Rates are better when more, times and sizes when less. */
export type Unit = "per s" | "GB/s" | "us" | "ms" | "s" | "MB" | "bytes" | "%";

export const moreIsBetter = (unit: Unit): boolean => unit === "per s" || unit === "GB/s";

/** Who is measured. `limit` is what the machine could do at best with no engine at all. */
export const CONTENDERS = [
  "mobula",
  "limit",
  "piscina",
  "tinypool",
  "tinypool-processes",
  "workerpool",
  "workerpool-processes",
  "poolifier",
  "poolifier-processes",
  "bullmq",
  "ray",
] as const;
export type ContenderName = (typeof CONTENDERS)[number];

export const POOLS = CONTENDERS.filter((name) => !["mobula", "limit", "bullmq", "ray"].includes(name));
/** Pools of threads: faster to reach than a process, and ended by what a process would survive. */
export const THREAD_POOLS: readonly ContenderName[] = ["piscina", "tinypool", "workerpool", "poolifier"];

/** A group of contenders that a bar speaks of; of several the best one counts. */
export type Rival = "limit" | "npm" | "npm processes" | "ray";

/**
 * What a row must reach. `times`: this project is so many times as fast as the rival (so many times as small, for sizes). `bound`: a figure
 * of its own, in the unit of the row. `wanted` is where we would like to be; the bar is met without it.
 */
export type Bar =
  | { readonly kind: "times"; readonly rival: Rival; readonly times: number; readonly wanted?: number }
  | { readonly kind: "bound"; readonly bound: number }
  /** The limit's figure and so much more, in the unit of the row. */
  | { readonly kind: "above limit"; readonly margin: number };

export interface Row {
  /** As Ray names it (A1 to A23), or a name of our own. Unique. */
  readonly id: string;
  readonly area: Area;
  /** What one call does. */
  readonly title: string;
  readonly unit: Unit;
  /** How many units one call of the loop counts for; for rows whose loop says its own figure it has no meaning. */
  readonly perCall: number;
  readonly contenders: readonly ContenderName[];
  /** Ray's own published figure, in the unit of the row, on 64 vCPU. */
  readonly published?: number;
  readonly bars: readonly Bar[];
  /** Fewer rounds than asked for, for what takes minutes. */
  readonly rounds?: number;
  /** More about how it is measured, for the page. */
  readonly note?: string;
}

/** How much is done: all of it, the same loops for a shorter time and smaller sizes where a row says its own figure, or once and tiny. */
export type Effort = "full" | "quick" | "smoke";

/** One benchmark of one contender, prepared. Either `once` is timed, or `measure` gives the figure itself in the unit of the row. */
export interface Loop {
  readonly once?: () => Promise<unknown>;
  readonly measure?: () => Promise<number>;
  readonly close?: () => Promise<unknown>;
}

/** Sizes for the effort: the number for `full`, for `quick` (default: the same), and for `smoke` at most 10. */
export type Sized = (full: number, quick?: number) => number;

export type LoopMaker = (size: Sized) => Promise<Loop> | Loop;
export type Loops = Readonly<Record<string, LoopMaker>>;
