/** What one request may take of time, bytes and places. */
export interface Limits {
  /** Until the headers are whole. */
  readonly headersMs: number;
  /** For all of a JSON body. */
  readonly jsonMs: number;
  readonly jsonBytes: number;
  /** Of an upload or a log: nothing has moved for so long. */
  readonly stallMs: number;
  /** What is still read of a request that was refused before its end: less, and its sender would not see why. */
  readonly lingerMs: number;
  readonly lingerBytes: number;
  readonly connections: number;
  readonly uploads: number;
  readonly readers: number;
}

export const defaultLimits: Limits = {
  headersMs: 10_000,
  jsonMs: 30_000,
  // What control is asked with is one line of at most a MiB.
  jsonBytes: 900 * 1024,
  stallMs: 60_000,
  lingerMs: 2_000,
  lingerBytes: 4 * 1024 * 1024,
  connections: 1024,
  uploads: 16,
  readers: 256,
};
