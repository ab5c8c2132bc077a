/** Cost of one unit over the decades: each family is a plot, and each of its sizes a row that only the plots show. */
import type { Row, Unit } from "../definitions.ts";

export interface Plot {
  readonly name: string;
  readonly title: string;
  readonly across: string;
  readonly unit: Unit;
  readonly sizes: readonly number[];
}

export const plots: readonly Plot[] = [
  { name: "in-flight", title: "Cost of a task", across: "tasks in flight", unit: "us", sizes: [10, 100, 1000, 10_000, 100_000] },
  { name: "refs", title: "Cost of a reference in a value that is read", across: "references", unit: "us", sizes: [10, 100, 1000, 10_000] },
  { name: "args", title: "Cost of an argument by reference", across: "arguments", unit: "us", sizes: [10, 100, 1000, 10_000] },
  {
    name: "waited",
    title: "Cost of a reference in a list that wait goes through",
    across: "references",
    unit: "us",
    sizes: [10, 100, 1000, 10_000],
  },
  {
    name: "cancelled",
    title: "Cost of cancelling a task that waits",
    across: "tasks that wait",
    unit: "us",
    sizes: [100, 1000, 10_000, 100_000],
  },
  { name: "actors", title: "Cost of a new actor and its first answer", across: "actors", unit: "ms", sizes: [1, 3, 10, 30, 100] },
];

/** Loops that say their own figure, for one. */
const OWN_FIGURE = ["actors", "cancelled"];
const perCall = (plot: Plot, size: number): number => (OWN_FIGURE.includes(plot.name) ? 1 : size);

export const plotRows: readonly Row[] = plots.flatMap((plot) =>
  plot.sizes.map((size): Row => ({
    id: `${plot.name}/${size}`,
    area: "plots",
    title: `${plot.title}, ${size} ${plot.across}`,
    unit: plot.unit,
    perCall: perCall(plot, size),
    contenders: ["mobula"],
    bars: [],
    ...(plot.name === "actors" ? { rounds: 1 } : {}),
  })),
);
