/**
 * The simulator on the command line. Each seed runs twice, and both runs must leave the same trace.
 *
 *   npm run sim                      100 seeds, from 0
 *   npm run sim -- --seeds 5000 --from 100
 *   npm run sim -- --seed 42         this one, with its story if it fails
 *   npm run sim -- --seed 42@25      as it was when there were 25 workloads
 *   npm run sim -- --seed 42 --verbose
 *   npm run sim -- --seed 42 --plant <name>
 */
import { parseArgs } from "node:util";
import { configOf } from "./config.ts";
import { PLANTS } from "./planted.ts";
import { simulate } from "./simulation.ts";

const { values: flags } = parseArgs({
  options: {
    seed: { type: "string" },
    seeds: { type: "string", default: "100" },
    from: { type: "string", default: "0" },
    plant: { type: "string" },
    verbose: { type: "boolean", default: false },
    once: { type: "boolean", default: false },
    "keep-going": { type: "boolean", default: false },
  },
});

const first = Number(flags.from);
const seeds = flags.seed === undefined ? Array.from({ length: Number(flags.seeds) }, (_, i) => String(first + i)) : [flags.seed];
const plantNamed = (): ReturnType<(typeof PLANTS)[string]["make"]> | undefined => {
  if (flags.plant === undefined) return undefined;
  const planted = PLANTS[flags.plant];
  if (!planted) throw new Error(`no planted bug ${flags.plant}; there are ${Object.keys(PLANTS).join(", ")}`);
  return planted.make();
};

function runSeed(seed: string): boolean {
  const single = seeds.length === 1;
  if (single || flags.verbose) console.log(`seed ${seed}: ${JSON.stringify(configOf(seed))}`);
  const result = simulate(seed, { plant: plantNamed(), stories: single });
  const again = flags.once ? result : simulate(seed, { plant: plantNamed() });
  const { broken, steps, virtualMs, starts, failures, hash } = result;
  if (single || flags.verbose) {
    const ends = JSON.stringify(Object.fromEntries(failures));
    console.log(`  ${hash}: ${steps} events, ${virtualMs.toFixed(0)} ms, ${starts} calls begun, failures ${ends}`);
  }
  if (again.hash !== hash) console.log(`seed ${seed} FAILED: two runs differ: ${hash} and ${again.hash}`);
  else if (!broken) return true;
  else {
    if (single) console.log(broken.story.join("\n"));
    else console.log(`seed ${seed}: ${JSON.stringify(configOf(seed))}`);
    console.log(`seed ${seed} FAILED: ${single ? broken.error.stack : broken.error.message}`);
  }
  console.log(`  repeat it: npm run sim -- --seed ${seed}${flags.plant === undefined ? "" : ` --plant ${flags.plant}`}`);
  return false;
}

let failed = 0;
const startedAt = performance.now();
for (const seed of seeds) {
  if (runSeed(seed)) continue;
  failed++;
  if (!flags["keep-going"]) break;
}
console.log(`${seeds.length} seeds, ${failed} failed, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
process.exitCode = failed > 0 ? 1 : 0;
