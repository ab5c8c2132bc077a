/**
 * The chaos runs on the command line: the engine under load while something is done to it, and what is left afterwards.
 *
 *   npm run chaos                              every run in its full form
 *   npm run chaos -- kills                     this one
 *   npm run chaos -- kills --count 60 --seed 7
 *   npm run chaos -- kills --only stream,actor
 *
 * The build in dist/ is what runs: `npm run build` first.
 */
import { parseArgs } from "node:util";
import { kills } from "./kills.ts";
import { network } from "./network.ts";
import { objects } from "./objects.ts";
import type { Figures, RunOptions } from "./report.ts";

const RUNS: Readonly<Record<string, { readonly run: (options: RunOptions) => Promise<Figures>; readonly count: number }>> = {
  kills: { run: kills, count: 1000 },
  objects: { run: objects, count: 100_000 },
  network: { run: network, count: 200 },
};

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { count: { type: "string" }, seed: { type: "string" }, only: { type: "string" } },
});

let failed = 0;
for (const name of positionals.length > 0 ? positionals : Object.keys(RUNS)) {
  const chosen = RUNS[name];
  if (!chosen) throw new Error(`there is no run ${name}; there are ${Object.keys(RUNS).join(", ")}`);
  const seed = Number(flags.seed ?? Date.now() % 1_000_000);
  const count = Number(flags.count ?? chosen.count);
  console.log(`${name}: count ${count}, seed ${seed}`);
  const { failures, figures } = await chosen.run({ count, seed, only: flags.only?.split(",") });
  for (const [what, figure] of Object.entries(figures)) console.log(`  ${what}: ${figure}`);
  for (const failure of failures) console.log(`  FAILED ${failure}`);
  console.log(`${name}: ${failures.length === 0 ? "ok" : "FAILED"}`);
  if (failures.length > 0) failed++;
}
process.exit(failed > 0 ? 1 : 0);
