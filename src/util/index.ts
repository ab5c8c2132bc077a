/**
 * The package `mobula/util`: helpers on top of the public API.
 */
export { ActorPool } from "./actor-pool.ts";
export type { NextOptions } from "./actor-pool.ts";
export { asCompleted } from "./as-completed.ts";
export { Counter, Gauge, Histogram, metrics, metricsText } from "./metrics.ts";
export type { HistogramOptions, MetricOptions, MetricSnapshot, Sample, Tags } from "./metrics.ts";
export { Pool } from "./pool.ts";
export type { ImapOptions, MapOptions, PoolTaskOptions } from "./pool.ts";
export { ProgressBar } from "../api/progress.ts";
export type { ProgressOptions, ProgressStream } from "../api/progress.ts";
export { Queue } from "./queue.ts";
export type { QueueOptions, QueueWaitOptions } from "./queue.ts";
export { QueueEmptyError, QueueFullError } from "../errors/index.ts";
