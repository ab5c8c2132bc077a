/**
 * Metrics of this process: counters, gauges and histograms, with tags. Read as a snapshot, or as text in Prometheus' format.
 * Not gathered from other processes.
 */
import { InvalidOptionError } from "../api/index.ts";
import { suggest } from "../errors/index.ts";

export type Tags = Readonly<Record<string, string>>;

/** Options of a metric. */
export interface MetricOptions {
  /** What it counts, for people. */
  readonly description?: string;
  /** Names of its tags. A value given without one of them counts under "". */
  readonly tagKeys?: readonly string[];
}

/** Options of a histogram. */
export interface HistogramOptions extends MetricOptions {
  /** Upper bounds of its buckets, ascending. Default: 0.001 to 60, for seconds. */
  readonly boundaries?: readonly number[];
}

/** One combination of tags and its value. */
export interface Sample {
  readonly tags: Tags;
  /** Count, level, or sum of what was observed. */
  readonly value: number;
  /** Of a histogram: how many were observed. */
  readonly count?: number;
  /** Of a histogram: by upper bound, how many were at most that. The last is for Infinity. */
  readonly buckets?: ReadonlyArray<readonly [bound: number, count: number]>;
}

/** A metric at one time. */
export interface MetricSnapshot {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly description: string;
  readonly samples: readonly Sample[];
}

interface Series {
  readonly tags: Tags;
  value: number;
  count: number;
  readonly buckets: number[];
}

interface Family {
  readonly name: string;
  readonly kind: MetricSnapshot["kind"];
  readonly description: string;
  readonly tagKeys: readonly string[];
  readonly boundaries: readonly number[];
  readonly series: Map<string, Series>;
}

const SECONDS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60];
const families = new Map<string, Family>();

/** The family of this name. A second metric of the same name and kind adds to the first: a task may make its metrics anew each time. */
function family(name: string, kind: Family["kind"], options: HistogramOptions): Family {
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name)) {
    throw new InvalidOptionError(`name must be letters, digits and _, and not begin with a digit, got ${JSON.stringify(name)}.`, {
      option: "name",
      value: name,
    });
  }
  const boundaries = options.boundaries ?? SECONDS;
  if (
    boundaries.length === 0 ||
    boundaries.some((bound, i) => !Number.isFinite(bound) || bound <= (boundaries[i - 1] ?? Number.NEGATIVE_INFINITY))
  ) {
    throw new InvalidOptionError("boundaries must be finite numbers, each above the one before.", {
      option: "boundaries",
      value: boundaries,
    });
  }
  const tagKeys = options.tagKeys ?? [];
  const known = families.get(name);
  if (known === undefined) {
    const made: Family = {
      name,
      kind,
      description: options.description ?? "",
      tagKeys: [...tagKeys],
      boundaries: [...boundaries],
      series: new Map(),
    };
    families.set(name, made);
    return made;
  }
  if (known.kind !== kind || known.tagKeys.join() !== tagKeys.join() || known.boundaries.join() !== boundaries.join()) {
    throw new InvalidOptionError(`There is a ${known.kind} named ${name} already, with other tags or boundaries. Choose another name.`, {
      option: "name",
      value: name,
    });
  }
  return known;
}

function seriesOf(of: Family, tags: Tags): Series {
  for (const key of Object.keys(tags)) {
    if (!of.tagKeys.includes(key)) {
      throw new InvalidOptionError(`${of.name} has no tag "${key}". ${suggest(key, of.tagKeys)}`, {
        option: `tags.${key}`,
        value: tags[key],
      });
    }
  }
  const values = of.tagKeys.map((key) => tags[key] ?? "");
  const id = JSON.stringify(values);
  let series = of.series.get(id);
  if (series === undefined) {
    const named = Object.fromEntries(of.tagKeys.map((key, i) => [key, values[i] ?? ""]));
    series = { tags: named, value: 0, count: 0, buckets: of.kind === "histogram" ? of.boundaries.map(() => 0) : [] };
    of.series.set(id, series);
  }
  return series;
}

function number(value: unknown, min = Number.NEGATIVE_INFINITY): number {
  if (typeof value === "number" && !Number.isNaN(value) && value >= min) return value;
  throw new InvalidOptionError(`value must be a number${min === 0 ? " of at least 0" : ""}, got ${String(value)}.`, {
    option: "value",
    value,
  });
}

/**
 * A number that only grows.
 *
 * @example
 * ```ts
 * import { Counter, metrics } from "mobula/util";
 *
 * const requests = new Counter("requests_total", { tagKeys: ["route"] });
 * requests.inc(1, { route: "/" });
 * console.log(metrics()[0]?.samples[0]?.value); // 1
 * ```
 */
export class Counter {
  readonly #family: Family;

  constructor(name: string, options: MetricOptions = {}) {
    this.#family = family(name, "counter", options);
  }

  /** Adds `value`, at least 0. */
  inc(value = 1, tags: Tags = {}): void {
    seriesOf(this.#family, tags).value += number(value, 0);
  }
}

/**
 * A level that goes up and down.
 *
 * @example
 * ```ts
 * import { Gauge } from "mobula/util";
 *
 * new Gauge("queue_length").set(3);
 * ```
 */
export class Gauge {
  readonly #family: Family;

  constructor(name: string, options: MetricOptions = {}) {
    this.#family = family(name, "gauge", options);
  }

  set(value: number, tags: Tags = {}): void {
    seriesOf(this.#family, tags).value = number(value);
  }
}

/**
 * How values are spread: counts by upper bound.
 *
 * @example
 * ```ts
 * import { Histogram } from "mobula/util";
 *
 * new Histogram("latency_seconds", { boundaries: [0.1, 1] }).observe(0.25);
 * ```
 */
export class Histogram {
  readonly #family: Family;

  constructor(name: string, options: HistogramOptions = {}) {
    this.#family = family(name, "histogram", options);
  }

  observe(value: number, tags: Tags = {}): void {
    const observed = number(value);
    const series = seriesOf(this.#family, tags);
    series.value += observed;
    series.count++;
    const at = this.#family.boundaries.findIndex((bound) => observed <= bound);
    if (at !== -1) series.buckets[at] = (series.buckets[at] ?? 0) + 1;
  }
}

function sampleOf(of: Family, series: Series): Sample {
  const { tags, value, count } = series;
  if (of.kind !== "histogram") return { tags, value };
  let below = 0;
  const buckets = of.boundaries.map((bound, i): readonly [number, number] => [bound, (below += series.buckets[i] ?? 0)]);
  return { tags, value, count, buckets: [...buckets, [Number.POSITIVE_INFINITY, count]] };
}

/**
 * All metrics of this process, as they are now.
 *
 * @example
 * ```ts
 * import { Gauge, metrics } from "mobula/util";
 *
 * new Gauge("depth").set(2);
 * console.log(metrics().some((metric) => metric.name === "depth")); // true
 * ```
 */
export function metrics(): MetricSnapshot[] {
  return [...families.values()].map((one) => {
    const { name, kind, description } = one;
    return { name, kind, description, samples: [...one.series.values()].map((series) => sampleOf(one, series)) };
  });
}

/**
 * All metrics of this process as text, in the format that Prometheus reads.
 *
 * @example
 * ```ts
 * import { Counter, metricsText } from "mobula/util";
 *
 * new Counter("jobs_total").inc();
 * console.log(metricsText().includes("jobs_total 1")); // true
 * ```
 */
export function metricsText(): string {
  const lines: string[] = [];
  for (const { name, kind, description, samples } of metrics()) {
    if (description !== "") lines.push(`# HELP ${name} ${description.replaceAll("\\", "\\\\").replaceAll("\n", "\\n")}`);
    lines.push(`# TYPE ${name} ${kind}`);
    for (const { tags, value, count, buckets } of samples) {
      for (const [bound, below] of buckets ?? []) lines.push(`${name}_bucket${labels({ ...tags, le: bounds(bound) })} ${below}`);
      if (buckets === undefined) lines.push(`${name}${labels(tags)} ${bounds(value)}`);
      else lines.push(`${name}_sum${labels(tags)} ${bounds(value)}`, `${name}_count${labels(tags)} ${count}`);
    }
  }
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

function bounds(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}

function labels(tags: Tags): string {
  const quoted = (text: string): string => text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  const parts = Object.entries(tags).map(([key, value]) => `${key}="${quoted(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}
