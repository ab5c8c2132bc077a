/** What the job prints at its end: what it found, how long it took, and why not less. */
import type { Round } from "./main.ts";
import { mostFrequent, sameCounts } from "./table.ts";
import type { Counts } from "./table.ts";

export interface Outcome {
  readonly folder: string;
  readonly cpus: number;
  readonly startMs: number;
  /** The first round, from the making of the progress actor on. */
  readonly cold: Round;
  readonly coldAlone: { readonly ms: number; readonly counts: Counts };
  readonly rounds: readonly Round[];
  /** Times of one process, ms. */
  readonly alone: readonly number[];
  /** What the progress actor had counted at the end, over all rounds. */
  readonly read: { readonly files: number; readonly bytes: number };
}

const SHOWN = 15;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** Prints it all; gives whether tasks and one process counted the same, in every round. */
export function report(outcome: Outcome): boolean {
  const { cpus, startMs, cold, coldAlone, rounds, alone, read } = outcome;
  const all = [cold, ...rounds];
  const same = all.every(({ counts }) => sameCounts(counts, coldAlone.counts));

  const top = mostFrequent(cold.counts, SHOWN);
  const width = Math.max(...top.map(([name]) => name.length));
  console.log("The most frequent identifiers:");
  for (const [name, count] of top) console.log(`  ${name.padEnd(width)} ${String(count).padStart(8)}`);

  console.log(`
distinct identifiers    ${cold.counts.size}
tasks run               ${all.reduce((sum, { work }) => sum + work.tasks, 0)}, in ${all.length} rounds
read by tasks           ${read.files} files, ${megabytes(read.bytes)}
moved as counts         ${megabytes(all.reduce((sum, { work }) => sum + work.moved, 0))}
same counts             ${same ? "yes, in every round" : "NO"}

wall time               ${`${cpus} CPUs`.padEnd(12)}one process
  start of the cluster  ${seconds(startMs)}
  first round, cold     ${seconds(cold.ms).padEnd(12)}${seconds(coldAlone.ms)}`);
  if (rounds.length > 0) console.log(warm(cpus, rounds, alone));
  console.log(`
What to try next:
  npm start -- --folder ../some-project     count the identifiers of other code
  npx tsx examples/quick-start.ts           tasks and actors in thirty lines
  npx tsx examples/parameter-server.ts      state, workers and references together
  README.md, docs/api.md                    all there is`);
  return same;
}

/** The rounds after the first, and what their time is made of. */
function warm(cpus: number, rounds: readonly Round[], alone: readonly number[]): string {
  const ms = median(rounds.map((round) => round.ms));
  const aloneMs = median(alone);
  const countMs = median(rounds.map(({ work }) => work.countMs));
  const mergeMs = median(rounds.map(({ work }) => work.mergeMs));
  const shared = (countMs + mergeMs) / cpus;
  const rest = Math.max(0, ms - shared);
  const ratio = (aloneMs / ms).toFixed(2);
  return `  warm, median of ${rounds.length}     ${seconds(ms).padEnd(12)}${seconds(aloneMs)}       ${ratio} times as fast

Where the ${seconds(ms)} go: tasks were at work for ${seconds(countMs + mergeMs)} in all, ${seconds(mergeMs)} of it merging.
That is ${seconds(shared)} if ${cpus} processors share it evenly. The other ${seconds(rest)} are messages, waiting for the task
that ends last, and adding up the last parts, which is for one process alone.
${slower(countMs, aloneMs)}`;
}

/** Processors share caches and memory: what they do at the same time takes each of them longer. */
function slower(countMs: number, aloneMs: number): string {
  const ratio = countMs / aloneMs;
  if (ratio < 1.02) return "Counting was no slower for being done beside others.";
  return `Counting took the tasks ${ratio.toFixed(2)} times as long as one process alone: beside others, caches and memory are shared.`;
}
