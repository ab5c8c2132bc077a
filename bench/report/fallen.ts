/** Which ratios to the raw limit fell by more than their noise. */
import type { Ratio } from "../runner/statistics.ts";

export type RecordedRatio = Ratio;

export interface Comparison {
  readonly id: string;
  readonly before: number;
  readonly after: number;
  /** As a part of `before`. */
  readonly noise: number;
  readonly fallen: boolean;
}

/** Below this, on a shared machine, a difference says nothing. */
const NOISE_MIN = 0.15;

const halfSpread = ({ median, low, high }: Ratio): number => (high - low) / 2 / median;

/** Each recorded row beside what it is now; a row that is gone has fallen. */
export function compare(recorded: Readonly<Record<string, Ratio>>, now: Readonly<Record<string, Ratio>>): Comparison[] {
  return Object.entries(recorded).map(([id, before]) => {
    const after = now[id];
    if (after === undefined) return { id, before: before.median, after: 0, noise: NOISE_MIN, fallen: true };
    // A half is the most that is forgiven, however restless the machine.
    const noise = Math.min(0.5, Math.max(NOISE_MIN, halfSpread(before), halfSpread(after)));
    return { id, before: before.median, after: after.median, noise, fallen: after.median < before.median * (1 - noise) };
  });
}
