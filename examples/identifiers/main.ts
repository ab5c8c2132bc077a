/**
 * The job that `npm start` runs: which identifiers are the most frequent in the code that this package depends on? Tasks
 * read and tokenise the files, a tree of tasks adds up their counts, an actor keeps the progress. Then one process does the
 * same work, to compare: same functions, same files, and the counts have to be the same.
 *
 *   node --import tsx examples/identifiers/main.ts [--folder node_modules] [--limit 300]
 */
import path from "node:path";
import { parseArgs } from "node:util";
import * as ray from "mobula";
import { ProgressBar } from "mobula/util";
import { deal, sourceFiles } from "./files.ts";
import type { SourceFile } from "./files.ts";
import { addTo, mostFrequent } from "./table.ts";
import { countAll, countFiles, merge, Progress } from "./work.ts";

/** So many parts are merged by one task. */
const FAN_IN = 4;
/**
 * Small enough that the last task to end is not waited for alone; large enough that a name which is in every file is not merged
 * dozens of times, for merging is what one process does not have to do at all.
 */
const BATCH_BYTES = 2 * 1024 * 1024;
const SHOWN = 15;

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;

interface Outcome {
  readonly counts: Map<string, number>;
  readonly ms: number;
}

interface ParallelOutcome extends Outcome {
  readonly tasks: number;
  readonly moved: number;
  /** What the progress actor had counted at the end. */
  readonly seen: { readonly files: number; readonly bytes: number };
}

/** The job as tasks. */
async function inParallel(files: readonly SourceFile[], bytes: number): Promise<ParallelOutcome> {
  const leaf = ray.remote(countFiles);
  const branch = ray.remote(merge);
  const progress = ray.remote(Progress).remote();
  const startedAt = performance.now();

  let level = deal(files, Math.ceil(bytes / BATCH_BYTES)).map((batch) => leaf.remote(batch, progress));
  while (level.length > 1) {
    const groups = Array.from({ length: Math.ceil(level.length / FAN_IN) }, (_, i) => level.slice(i * FAN_IN, (i + 1) * FAN_IN));
    level = groups.map((group) => branch.remote(...group));
  }

  const root = level[0]!;
  const bar = new ProgressBar({ total: files.length, label: "files" });
  let seen = { files: 0, bytes: 0 };
  let done = false;
  while (!done) {
    done = (await ray.wait([root], { timeoutMs: 100 }))[0].length > 0;
    seen = await ray.get(progress.read.remote());
    bar.set(seen.files);
  }
  bar.stop();
  const { table, tasks, moved } = await ray.get(root);
  const counts = new Map<string, number>();
  addTo(counts, table);
  return { counts, tasks, moved, seen, ms: performance.now() - startedAt };
}

/** The same in this process alone. */
function inOneProcess(files: readonly SourceFile[]): Outcome {
  const startedAt = performance.now();
  const counts = countAll(files);
  return { counts, ms: performance.now() - startedAt };
}

/** What to make of it when the tasks were no faster. */
function verdict(parallelMs: number, aloneMs: number): string {
  if (parallelMs < aloneMs) return "";
  return `
                       Too little work for the processors that were free: each worker compiles the code anew, and counts are merged.
                       Give it more files, or look with top at what else runs.`;
}

function sameCounts(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean {
  return a.size === b.size && [...a].every(([name, count]) => b.get(name) === count);
}

const { values } = parseArgs({ options: { folder: { type: "string", default: "node_modules" }, limit: { type: "string" } } });
const folder = path.resolve(values.folder);
const files = sourceFiles(folder).slice(0, values.limit === undefined ? undefined : Number(values.limit));
const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
if (files.length === 0) {
  console.error(`no JavaScript or TypeScript files below ${values.folder}: run npm ci first, or name another --folder`);
  process.exit(1);
}
console.log(`${files.length} files, ${megabytes(bytes)}, below ${values.folder}\n`);

const startedAt = performance.now();
await ray.init();
const startMs = performance.now() - startedAt;
const cpus = (await ray.clusterResources())["CPU"] ?? 0;

const parallel = await inParallel(files, bytes);
await ray.shutdown();
const alone = inOneProcess(files);

const top = mostFrequent(parallel.counts, SHOWN);
const width = Math.max(...top.map(([name]) => name.length));
console.log("The most frequent identifiers:");
for (const [name, count] of top) console.log(`  ${name.padEnd(width)} ${String(count).padStart(8)}`);

console.log(`
distinct identifiers   ${parallel.counts.size}
tasks run              ${parallel.tasks}
read by tasks          ${parallel.seen.files} files, ${megabytes(parallel.seen.bytes)}
moved as counts        ${megabytes(parallel.moved)}
start of the cluster   ${seconds(startMs)}
${`wall time, ${cpus} CPUs`.padEnd(22)} ${seconds(parallel.ms)}
wall time, one process ${seconds(alone.ms)}   (${(alone.ms / parallel.ms).toFixed(2)} times as long)${verdict(parallel.ms, alone.ms)}
same counts            ${sameCounts(parallel.counts, alone.counts) ? "yes" : "NO"}

What to try next:
  npm start -- --folder ../some-project     count the identifiers of other code
  npx tsx examples/quick-start.ts           tasks and actors in thirty lines
  npx tsx examples/parameter-server.ts      state, workers and references together
  README.md, docs/api.md                    all there is`);
if (!sameCounts(parallel.counts, alone.counts)) process.exitCode = 1;
