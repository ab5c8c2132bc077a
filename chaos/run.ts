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
import { checkpoints } from "./checkpoints.ts";
import { kills } from "./kills.ts";
import { network } from "./network.ts";
import { objects } from "./objects.ts";
import type { Figures, RunOptions } from "./report.ts";

const RUNS: Readonly<Record<string, { readonly run: (options: RunOptions) => Promise<Figures>; readonly count: number }>> = {
  kills: { run: kills, count: 1000 },
  objects: { run: objects, count: 100_000 },
  network: { run: network, count: 200 },
  checkpoints: { run: checkpoints, count: 100 },
};

const USAGE = `npm run chaos -- [RUN...] [--count N] [--seed N] [--only KIND,KIND]

The engine under load while something is done to it, and what is left afterwards. The build in dist/ is what runs.
Runs, each in its full form without --count: ${Object.entries(RUNS)
  .map(([name, { count }]) => `${name} (${count})`)
  .join(", ")}. --only is for kills.`;

function parsed() {
  const flag = { type: "string" } as const;
  try {
    const options = { count: flag, seed: flag, only: flag, help: { type: "boolean", short: "h" } } as const;
    const { values, positionals } = parseArgs({ allowPositionals: true, options });
    const wrong = positionals.find((name) => !Object.hasOwn(RUNS, name));
    if (wrong !== undefined) throw new Error(`there is no run ${wrong}`);
    for (const name of ["count", "seed"] as const) {
      if (values[name] !== undefined && !/^\d+$/.test(values[name])) throw new Error(`--${name} must be a whole number`);
    }
    return { flags: values, positionals };
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${USAGE}`);
    process.exit(2);
  }
}

const { flags, positionals } = parsed();
if (flags.help === true) {
  console.log(USAGE);
  process.exit(0);
}
let failed = 0;
for (const name of positionals.length > 0 ? positionals : Object.keys(RUNS)) {
  const chosen = RUNS[name]!;
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
