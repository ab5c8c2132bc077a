/** Draws a plot of cost over size as SVG, both axes logarithmic, by plain code. */

export interface Curve {
  readonly title: string;
  readonly across: string;
  readonly unit: string;
  readonly points: readonly (readonly [size: number, cost: number])[];
}

const WIDTH = 640;
const HEIGHT = 360;
const LEFT = 70;
const RIGHT = 20;
const TOP = 44;
const BOTTOM = 52;

/** The powers of ten that hold all values between them. */
export function decades(values: readonly number[]): number[] {
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  return Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
}

/** Where a value lies between the first and the last tick, from 0 to 1. */
const part = (value: number, ticks: readonly number[]): number =>
  (Math.log10(value) - Math.log10(ticks[0]!)) / (Math.log10(ticks.at(-1)!) - Math.log10(ticks[0]!));

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const text = (x: number, y: number, content: string, more = ""): string => `<text x="${x}" y="${y}" ${more}>${escape(content)}</text>`;
const tickText = (value: number): string => (value >= 1 ? value.toLocaleString("en-US") : String(Number(value.toPrecision(1))));

export function svg({ title, across, unit, points }: Curve): string {
  if (points.length === 0) throw new Error(`${title}: there is nothing to draw`);
  const xTicks = decades(points.map(([size]) => size));
  const yTicks = decades(points.map(([, cost]) => cost));
  const x = (size: number): number => Math.round(LEFT + part(size, xTicks) * (WIDTH - LEFT - RIGHT));
  const y = (cost: number): number => Math.round(HEIGHT - BOTTOM - part(cost, yTicks) * (HEIGHT - TOP - BOTTOM));
  const grid = [
    ...xTicks.map((tick) => `<path d="M${x(tick)} ${TOP}V${HEIGHT - BOTTOM}"/>`),
    ...yTicks.map((tick) => `<path d="M${LEFT} ${y(tick)}H${WIDTH - RIGHT}"/>`),
  ];
  const dots = points.map(([size, cost]) => `<circle cx="${x(size)}" cy="${y(cost)}" r="4"/>`);
  const labels = points.map(([size, cost]) => text(x(size), y(cost) - 10, String(Number(cost.toPrecision(3))), 'text-anchor="middle"'));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    text(LEFT, 24, `${title} (${unit})`, 'font-size="15"'),
    `<g stroke="#ddd">${grid.join("")}</g>`,
    ...xTicks.map((tick) => text(x(tick), HEIGHT - BOTTOM + 18, tickText(tick), 'text-anchor="middle"')),
    ...yTicks.map((tick) => text(LEFT - 8, y(tick) + 4, tickText(tick), 'text-anchor="end"')),
    text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, across, 'text-anchor="middle"'),
    `<polyline fill="none" stroke="#1664c0" stroke-width="2" points="${points.map(([size, cost]) => `${x(size)},${y(cost)}`).join(" ")}"/>`,
    `<g fill="#1664c0">${dots.join("")}</g>`,
    ...labels,
    "</svg>",
    "",
  ].join("\n");
}
