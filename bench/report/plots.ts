/** Writes bench/plots/ from the rows of a run that belong to plots. */
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { plots } from "../rows/plots.ts";
import type { Plot } from "../rows/plots.ts";
import { svg } from "./plot.ts";
import type { Results } from "./results.ts";

const folder = path.join(import.meta.dirname, "..", "plots");

/** What this project measured in each size of a plot; sizes that failed are left out. */
export function pointsOf(plot: Plot, results: Results): (readonly [number, number])[] {
  return plot.sizes.flatMap((size) => {
    const measured = results.rows.find((row) => row.id === `${plot.name}/${size}`)?.results.mobula;
    return measured === undefined || measured.values.length === 0 ? [] : [[size, measured.median] as const];
  });
}

/** Draws every plot that the run has measured in more than one size; gives their names. */
export function drawPlots(results: Results): string[] {
  mkdirSync(folder, { recursive: true });
  const drawn = plots.filter((plot) => pointsOf(plot, results).length > 1);
  for (const plot of drawn) writeFileSync(path.join(folder, `${plot.name}.svg`), svg({ ...plot, points: pointsOf(plot, results) }));
  return drawn.map((plot) => plot.name);
}
