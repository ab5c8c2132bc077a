/**
 * `npm run bench:docs`: writes docs/benchmarks.md and the excerpt in README.md from the full runs in bench/results. No figure of either
 * is typed by hand.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { AREAS } from "../definitions.ts";
import type { Area } from "../definitions.ts";
import { rows as allRows } from "../rows/index.ts";
import { plots } from "../rows/plots.ts";
import { median, pairRatio } from "../runner/statistics.ts";
import { figure, withUnit } from "./figures.ts";
import { read } from "./results.ts";
import type { ResultRow, Results } from "./results.ts";
import { cells, markdown, verdictWord } from "./table.ts";

const root = path.join(import.meta.dirname, "..", "..");
const EXCERPT = ["A9", "A10", "A13", "get-crossing", "A4", "first-result"];
const START = "<!-- bench:start, written by npm run bench:docs -->";
const END = "<!-- bench:end -->";

const TITLES: Readonly<Record<Area, string>> = {
  tasks: "Tasks",
  actors: "Actors",
  objects: "Objects",
  start: "Start",
  groups: "Placement groups",
  scale: "Scale in one process",
  memory: "Memory",
  nodes: "Several nodes",
  plots: "Cost over the decades",
};

/** The bars that are not met, a line each. */
export function behind(results: Results): string[] {
  return results.rows.flatMap((row) =>
    row.bars
      .filter((bar) => bar.met === false)
      .map((bar) => {
        const now = bar.ratio === undefined ? "" : `, now ${figure(bar.ratio.median)} x`;
        const ours = row.results.mobula;
        const own = ours === undefined || ours.values.length === 0 ? "failed" : withUnit(ours.median, row.unit);
        return `- **${row.id}**, ${row.title}: ${own}. The bar is ${bar.text}${now}.`;
      }),
  );
}

/** Half of the median between the lowest and the highest round: more than that, and a single figure says little. */
const RESTLESS = 0.5;

/** How many rows were measured by this project, and in how many of them its rounds lie far apart. */
export function restless(results: Results): { rows: number; far: number; busy: boolean } {
  const spreads = results.rows.flatMap(({ results: { mobula } }) =>
    mobula === undefined || mobula.values.length < 2 ? [] : [mobula.spread],
  );
  const far = spreads.filter((value) => value > RESTLESS).length;
  return { rows: spreads.length, far, busy: far * 4 > spreads.length };
}

/** Said on the page when the machine was not quiet, so that nobody takes its figures for more than they are. */
function warning(results: Results): string {
  const { rows, far, busy } = restless(results);
  if (!busy) return "";
  const load = results.load === undefined ? "" : ` (load average ${results.load} on ${results.machine.cores} cores)`;
  return `
**This run was disturbed**${load}: in ${far} of ${rows} rows the rounds of this project lie further apart than half of their median.
Other work on the machine does that, or an uneven engine; this run cannot tell them apart. Neither its single figures nor its verdicts, met
or behind, are to be relied on before a run on a quiet machine.
`;
}

function where(results: Results): string {
  const { cpu, cores, memoryGiB, kernel } = results.machine;
  const commit = `${results.commit.slice(0, 12)}${results.changed ? " with changes that were not committed" : ""}`;
  return (
    `${results.date.slice(0, 16).replace("T", " ")} UTC, commit ${commit}, Node ${results.node}, ${cpu}, ${cores} cores, ` +
    `${memoryGiB} GiB, ${kernel}; ${results.rounds} rounds of at least ${figure(results.seconds)} s for each contender, in turn.`
  );
}

function contenders(results: Results): string {
  const lines = results.contenders.map(
    ({ name, kind, version, missing }) => `| ${name} | ${kind} | ${version} | ${missing ?? "measured"} |`,
  );
  return ["| contender | workers are | version | |", "| --- | --- | --- | --- |", ...lines].join("\n");
}

function area(name: Area, results: Results): string {
  const rows = results.rows.filter((row) => row.area === name);
  if (rows.length === 0) return "";
  if (name === "plots") {
    const drawn = plots.filter((plot) => existsSync(path.join(root, "bench/plots", `${plot.name}.svg`)));
    return `## ${TITLES[name]}\n\n${drawn.map((plot) => `![${plot.title}](../bench/plots/${plot.name}.svg)`).join("\n\n")}\n`;
  }
  const notes = rows.filter((row) => row.note !== undefined).map((row) => `- ${row.id}: ${row.note}`);
  const failed = rows.flatMap((row) =>
    Object.entries(row.results).flatMap(([who, { failed: why }]) =>
      why === undefined ? [] : [`- ${row.id}, ${who} failed: ${firstLine(why)}`],
    ),
  );
  const list = [...notes, ...failed];
  return `## ${TITLES[name]}\n\n${markdown(rows, results)}\n${list.length === 0 ? "" : `\n${list.join("\n")}\n`}`;
}

/** Without places of the machine that it was measured on. */
const firstLine = (message: string): string => message.split("\n")[0]!.replaceAll(/(?:\/[\w.@-]+){2,}/g, "...");

export function page(results: Results): string {
  const late = behind(results);
  const unmeasured = results.rows.flatMap((row) => row.bars.filter((bar) => bar.met === undefined).map((bar) => `${row.id} (${bar.text})`));
  const measured = new Set(results.rows.map((row) => row.id));
  const missing = allRows.filter((row) => row.area !== "plots" && !measured.has(row.id)).map((row) => row.id);
  return `# Benchmarks

This page is written by \`npm run bench:docs\` from bench/results, the last full run:

\`\`\`console
$ ${results.command}
\`\`\`

${where(results)}
${session(results)}${warning(results)}
A figure is the median of its rounds, ± half of what lies between the lowest and the highest. Behind the colon of a rival stands how many
times as good this project is, pair by pair: the median of the ratios of the rounds, and the lowest and highest. "Raw limit" is what the
machine does with no engine at all: an echo over Unix sockets, a copy of memory, a bare fork. Ray's published figures are of release
2.55.0 on 64 vCPU and stand beside for orientation only. [bench/README.md](../bench/README.md) says how to run it.

${contenders(results)}

## Where this project is behind

${late.length === 0 ? "Nowhere: every bar that could be measured is met." : late.join("\n")}
${unmeasured.length === 0 ? "" : `\nBars that this run could not measure: ${unmeasured.join(", ")}.\n`}${
    missing.length === 0 ? "" : `\nThe run did not reach: ${missing.join(", ")}.\n`
  }
${AREAS.map((name) => area(name, results))
  .filter((part) => part !== "")
  .join("\n")}`;
}

function rival(row: ResultRow, name: "limit" | "ray"): string {
  const measured = row.results[name];
  const ours = row.results.mobula?.values ?? [];
  if (measured === undefined || measured.values.length === 0) return "";
  const ratio = pairRatio(ours, measured.values, row.unit === "per s" || row.unit === "GB/s");
  return ratio === undefined ? "" : `${withUnit(median(measured.values), row.unit)} (${figure(ratio.median)} x)`;
}

/** The few rows of README.md. */
export function excerpt(results: Results): string {
  const rows = EXCERPT.flatMap((id) => results.rows.filter((row) => row.id === id));
  const lines = rows.map((row) => {
    const all = cells(row, results);
    return `| ${row.title} | ${all[2]} | ${rival(row, "limit")} | ${all[4]!.replace(/: .*/, "")} | ${rival(row, "ray")} |`;
  });
  const bars = results.rows.flatMap((row) => row.bars);
  const count = (word: string): number => bars.filter((bar) => verdictWord(bar).startsWith(word)).length;
  if (restless(results).busy) {
    const why = "was disturbed, so no figure of it is repeated here";
    return [START, `The last full run of \`npm run bench\` ${why}: [docs/benchmarks.md](docs/benchmarks.md) has it as it was.`, END].join(
      "\n",
    );
  }
  return [
    START,
    `Measured by \`npm run bench\` on ${results.machine.cores} cores, Node ${results.node}, everything in turn:`,
    "",
    "| | mobula | raw limit | best npm pool | Ray, same machine |",
    "| --- | --- | --- | --- | --- |",
    ...lines,
    "",
    `Of ${bars.length} bars ${count("met")} are met and ${count("BEHIND")} are not: [docs/benchmarks.md](docs/benchmarks.md).`,
    END,
  ].join("\n");
}

/** README.md with a new excerpt between its marks. */
export function withExcerpt(readme: string, text: string): string {
  const [from, to] = [readme.indexOf(START), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`README.md lacks the lines ${START} and ${END}`);
  return readme.slice(0, from) + text + readme.slice(to + END.length);
}

/** A run is one session if its calls came within so long of each other. */
const SESSION_MS = 3 * 3600_000;

/** What the calls of a run have in common, and what not: said on the page, so that nobody takes parts for a whole that they are not. */
export function session({ calls = [] }: Results): string {
  if (calls.length < 2) return "";
  const commits = [...new Set(calls.map(({ commit }) => commit.slice(0, 12)))];
  const dates = calls.map(({ date }) => Date.parse(date));
  const minutes = Math.round((Math.max(...dates) - Math.min(...dates)) / 60_000);
  const one = commits.length === 1 && minutes * 60_000 <= SESSION_MS && !calls.some(({ changed }) => changed);
  const verdict = one
    ? `one commit, the last written ${minutes} minutes after the first. Every row has all its contenders from one call, in turn`
    : `NOT one session: ${commits.length === 1 ? "one commit" : `commits ${commits.join(", ")}`}, ${minutes} minutes apart` +
      `${calls.some(({ changed }) => changed) ? ", with changes that were not committed" : ""}`;
  const lines = calls.map(({ date, command, commit, load, rounds, seconds }) => {
    const what = command.replace("npm run bench -- ", "");
    return `| \`${what}\` | ${date.slice(11, 16)} | ${commit.slice(0, 12)} | ${rounds} x ${figure(seconds)} s | ${load ?? ""} |`;
  });
  return `
The run was made in ${calls.length} calls: ${verdict}.

| call | ended, UTC | commit | rounds | load, 15 min |
| --- | --- | --- | --- | --- |
${lines.join("\n")}
`;
}

/** Areas may be measured in several calls, since all of them take long: the rows of a later one stand in for an earlier one's. */
export function merged(list: readonly Results[]): Results {
  const rows = new Map(list.flatMap((results) => results.rows.map((row) => [row.id, row])));
  const contenderList = new Map(list.flatMap((results) => results.contenders.map((contender) => [contender.name, contender])));
  return {
    ...list[0]!,
    ...(list.length < 2
      ? {}
      : {
          calls: list.map(({ date, command, commit, changed, load, rounds, seconds }) => ({
            ...{ date, command, commit, changed, rounds, seconds },
            ...(load === undefined ? {} : { load }),
          })),
        }),
    changed: list.some(({ changed }) => changed),
    command: list.map(({ command }) => command).join("\n$ "),
    rows: [...rows.values()],
    contenders: [...contenderList.values()],
  };
}

if (process.argv[1] === import.meta.filename) {
  const folder = path.join(root, "bench/results");
  const files = readdirSync(folder).filter((name) => /^full.*\.json$/.test(name));
  const runs = files.map((name) => read(path.join(folder, name)));
  const results = merged(runs.toSorted((a, b) => a.date.localeCompare(b.date)));
  writeFileSync(path.join(root, "docs/benchmarks.md"), page(results));
  const readme = path.join(root, "README.md");
  writeFileSync(readme, withExcerpt(readFileSync(readme, "utf8"), excerpt(results)));
  console.log("wrote docs/benchmarks.md and the excerpt in README.md");
}
