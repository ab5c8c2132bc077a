/**
 * `npm run bench:guard`: a minute's worth of rows against the ratios to the raw limit that bench/guard.json holds. Says what fell by
 * more than its noise, and ends with 1 then. `npm run bench:guard -- --record` writes the file anew.
 */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { contenderInfo } from "./contenders.ts";
import { moreIsBetter } from "./definitions.ts";
import { compare } from "./report/fallen.ts";
import type { RecordedRatio } from "./report/fallen.ts";
import { figure } from "./report/figures.ts";
import { rows } from "./rows/index.ts";
import { innerRatio } from "./runner/statistics.ts";
import { Suite } from "./runner/suite.ts";

const ROWS = ["A9", "A10", "A12", "A13", "A15", "A19", "worker-start"];
const OPTIONS = { effort: "quick", rounds: 7, seconds: 0.4, warmSeconds: 0.5 } as const;
const file = path.join(import.meta.dirname, "guard.json");

const contenders = new Map((["mobula", "limit"] as const).map((name) => [name, contenderInfo(name)]));
const suite = new Suite(contenders, OPTIONS, (line) => console.error(line));
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void suite.end().then(() => process.exit(1)));
const measured = await suite.run(rows.filter((row) => ROWS.includes(row.id)));

const now: Record<string, RecordedRatio> = {};
for (const { row, results } of measured) {
  const [ours, limit] = [results.get("mobula"), results.get("limit")];
  const why = ours?.failed ?? limit?.failed;
  const ratio = innerRatio(ours?.values ?? [], limit?.values ?? [], moreIsBetter(row.unit));
  if (why !== undefined || ratio === undefined) throw new Error(`${row.id} was not measured: ${why ?? "a contender is missing"}`);
  now[row.id] = ratio;
}

if (process.argv.includes("--record")) {
  const commit = execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8", cwd: import.meta.dirname }).trim();
  writeFileSync(file, `${JSON.stringify({ commit, node: process.version, rows: now }, undefined, 2)}\n`);
  console.log(`recorded ${Object.keys(now).length} ratios in bench/guard.json`);
} else if (!existsSync(file)) {
  console.error("there is no bench/guard.json to compare with: npm run bench:guard -- --record");
  process.exitCode = 2;
} else {
  const recorded = (JSON.parse(readFileSync(file, "utf8")) as { rows: Record<string, RecordedRatio> }).rows;
  for (const { id, before, after, noise, fallen } of compare(recorded, now)) {
    const change = `${figure(before)} to ${figure(after)} x the limit, noise ${Math.round(noise * 100)}%`;
    console.log(`${fallen ? "FELL" : "ok  "} ${id.padEnd(14)}${change}`);
    if (fallen) process.exitCode = 1;
  }
}
