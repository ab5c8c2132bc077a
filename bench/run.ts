/**
 * `npm run bench`: every contender in turn, a table, and the same as JSON in bench/results/.
 *
 *   npm run bench                              all rows; what docs/benchmarks.md is made of
 *   npm run bench -- tasks actors              these areas, or single rows by their name (A10 chain)
 *   npm run bench -- --quick tasks             shorter rounds and smaller sizes, to steer by
 *   npm run bench -- --only mobula,limit A10   these contenders
 *   npm run bench -- --rounds 8 --seconds 2    more and longer rounds
 *   npm run bench -- --part tasks A12          part of a full run, for docs/benchmarks.md, where one call cannot last as long as all takes
 *   npm run bench -- --smoke                   every row once and tiny, no figures: does it run at all?
 */
import { parseArgs } from "node:util";
import { contenderInfo } from "./contenders.ts";
import { AREAS, CONTENDERS } from "./definitions.ts";
import type { ContenderName, Effort, Row } from "./definitions.ts";
import { drawPlots } from "./report/plots.ts";
import { collect, commitNow, write } from "./report/results.ts";
import type { Results } from "./report/results.ts";
import { printed } from "./report/table.ts";
import { rows as allRows } from "./rows/index.ts";
import { Suite } from "./runner/suite.ts";
import type { RowResult, SuiteOptions } from "./runner/suite.ts";

const EFFORTS: Readonly<Record<Effort, SuiteOptions>> = {
  full: { effort: "full", rounds: 4, seconds: 2, warmSeconds: 1 },
  quick: { effort: "quick", rounds: 4, seconds: 0.5, warmSeconds: 0.5 },
  smoke: { effort: "smoke", rounds: 1, seconds: 0, warmSeconds: 0 },
};

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: "boolean" },
    smoke: { type: "boolean" },
    part: { type: "boolean" },
    rounds: { type: "string" },
    seconds: { type: "string" },
    only: { type: "string" },
  },
});

function fail(message: string): never {
  console.error(message);
  process.exit(2);
}

function chosenRows(): readonly Row[] {
  if (positionals.length === 0) return allRows;
  for (const word of positionals) {
    if ((AREAS as readonly string[]).includes(word) || allRows.some((row) => row.id === word)) continue;
    fail(`no area and no row is called ${word}; areas: ${AREAS.join(", ")}; rows: ${allRows.map((row) => row.id).join(", ")}`);
  }
  return allRows.filter((row) => positionals.includes(row.area) || positionals.includes(row.id));
}

function chosenContenders(): readonly ContenderName[] {
  if (flags.only === undefined) return CONTENDERS;
  const names = flags.only.split(",");
  for (const name of names) {
    if (!(CONTENDERS as readonly string[]).includes(name)) fail(`no contender is called ${name}; contenders: ${CONTENDERS.join(", ")}`);
  }
  return names as ContenderName[];
}

function positive(name: "rounds" | "seconds", otherwise: number): number {
  const value = flags[name] === undefined ? otherwise : Number(flags[name]);
  if (!(value > 0) && flags[name] !== undefined) fail(`--${name} must be a number above 0`);
  return value;
}

const effort: Effort = flags.smoke === true ? "smoke" : flags.quick === true ? "quick" : "full";
const defaults = EFFORTS[effort];
const options = {
  ...defaults,
  rounds: positive("rounds", defaults.rounds),
  seconds: positive("seconds", defaults.seconds),
};
const chosen = chosenRows();
const infos = chosenContenders()
  .filter((name) => chosen.some((row) => row.contenders.includes(name)))
  .map(contenderInfo);

const suite = new Suite(new Map(infos.map((info) => [info.name, info])), options, (line) => console.error(line));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void suite.end().then(() => process.exit(1)));

const command = ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" ");
// What the page is made of: whole areas at full length, and what was asked for as a part of it.
const areasOnly = positionals.every((word) => (AREAS as readonly string[]).includes(word));
const whole = effort === "full" && flags.only === undefined && (areasOnly || flags.part === true);
if (flags.part === true && !whole) fail("a part of the full run is at full length and has all contenders: no --quick, --smoke or --only");
const name = whole ? ["full", ...positionals].join("-") : `partial-${new Date().toISOString().replaceAll(/[:.]/g, "-")}`;
// As it is now: a run takes long enough for a checkout to move on.
const started = commitNow();
const save = (list: readonly RowResult[]): Results => {
  const results = collect(list, infos, { ...started, command, rounds: options.rounds, seconds: options.seconds });
  write(results, name);
  return results;
};

const measured = await suite.run(chosen, effort === "smoke" ? undefined : save);
const failed = measured.flatMap(({ row, results }) =>
  [...results].flatMap(([contender, { failed: why }]) => (why === undefined ? [] : [`${row.id}, ${contender}: ${why}`])),
);
if (effort === "smoke") {
  console.log(`${measured.length} rows ran${failed.length === 0 ? "" : `, ${failed.length} failed:\n${failed.join("\n")}`}`);
} else {
  const results = save(measured);
  drawPlots(results);
  console.log(`${printed(results)}\n\nwritten to bench/results/${name}.json`);
}
if (failed.length > 0) process.exitCode = 1;
