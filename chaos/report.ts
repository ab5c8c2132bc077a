/** What a chaos run is told, and what it gives back. Types only. */

export interface RunOptions {
  readonly count: number;
  readonly seed: number;
  /** Only these kinds of work. */
  readonly only: readonly string[] | undefined;
}

export interface Figures {
  /** What went wrong; empty when all was right. */
  readonly failures: readonly string[];
  readonly figures: Readonly<Record<string, number | string>>;
}
