/**
 * The job that `npm start` runs: which identifiers are the most frequent in the code that this package depends on? Tasks
 * read and tokenise the files, a tree of tasks adds up their counts, an actor keeps the progress. Between its rounds one process
 * does the same work, to compare: same functions, same files, and the counts have to be the same.
 *
 *   node --import tsx examples/identifiers/main.ts [--folder node_modules] [--limit 300] [--rounds 5]
 */
import fs from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import * as ray from "mobula";
import type { ActorHandle } from "mobula";
import { ProgressBar } from "mobula/util";
import { deal, sourceFiles } from "./files.ts";
import type { SourceFile } from "./files.ts";
import { report } from "./report.ts";
import { addTo } from "./table.ts";
import type { Counts } from "./table.ts";
import { countAll, countFiles, merge, Progress, sum } from "./work.ts";
import type { Work } from "./work.ts";

/**
 * So many batches for each processor, none below a size. Enough that processors do not wait long for the one that ends last; few enough
 * that a name which is in every file is not merged dozens of times, for merging is what one process does not have to do at all.
 */
const BATCHES_PER_CPU = 8;
const BATCH_BYTES = 1e6;
/** So many parts are merged by one task. */
const FAN_IN = 8;

/** One round of the job as tasks. */
export interface Round {
  readonly ms: number;
  readonly counts: Counts;
  /** What the last parts of the tree have in common, without their tables. */
  readonly work: Work;
}

const countFilesRemote = ray.remote(countFiles);
const mergeRemote = ray.remote(merge);

/** The job as tasks. The bar shows what the actor has been told. */
async function inParallel(batches: readonly SourceFile[][], progress: ActorHandle<Progress>, label: string): Promise<Round> {
  const before = (await ray.get(progress.read.remote())).files;
  const total = batches.reduce((sum, batch) => sum + batch.length, 0);
  const bar = new ProgressBar({ total, label });
  const startedAt = performance.now();

  let parts = batches.map((batch) => countFilesRemote.remote(batch, progress));
  do {
    const groups = Array.from({ length: Math.ceil(parts.length / FAN_IN) }, (_, i) => parts.slice(i * FAN_IN, (i + 1) * FAN_IN));
    parts = groups.map((group) => mergeRemote.remote(...group));
  } while (parts.length > FAN_IN);

  while ((await ray.wait(parts, { numReturns: parts.length, timeoutMs: 100 }))[1].length > 0) {
    bar.set((await ray.get(progress.read.remote())).files - before);
  }
  // This process needs the counts as a Map: it adds up the last parts itself, instead of having one more task do it and taking that apart.
  const last = await ray.get(parts);
  const counts: Counts = new Map();
  for (const { table } of last) addTo(counts, table);
  const ms = performance.now() - startedAt;
  bar.set(total);
  bar.stop();
  return { ms, counts, work: sum(last.map(({ work }) => work)) };
}

/** The same in this process alone. */
function inOneProcess(files: readonly SourceFile[]): { ms: number; counts: Counts } {
  const startedAt = performance.now();
  const counts = countAll(files);
  return { ms: performance.now() - startedAt, counts };
}

/** Here or above: a job that was submitted has its packages beside its working directory. */
function nearest(name: string): string {
  let at = process.cwd();
  while (!fs.existsSync(path.join(at, name)) && at !== path.dirname(at)) at = path.dirname(at);
  return path.relative("", path.join(at, name));
}

const { values } = parseArgs({
  options: {
    folder: { type: "string", default: nearest("node_modules") },
    limit: { type: "string" },
    rounds: { type: "string", default: "5" },
  },
});
const folder = path.resolve(values.folder);
const files = (fs.existsSync(folder) ? sourceFiles(folder) : []).slice(0, values.limit === undefined ? undefined : Number(values.limit));
const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
if (files.length === 0) {
  console.error(`no JavaScript or TypeScript files below ${values.folder}: run npm ci first, or name another --folder`);
  process.exit(1);
}
console.log(`${files.length} files, ${(bytes / 1e6).toFixed(1)} MB, below ${values.folder}\n`);

const startedAt = performance.now();
await ray.init();
const startMs = performance.now() - startedAt;
const cpus = (await ray.clusterResources())["CPU"] ?? 1;
const batches = deal(files, Math.min(BATCHES_PER_CPU * cpus, Math.ceil(bytes / BATCH_BYTES)));

// The first round of both is cold: code is loaded and not yet compiled to machine code, files may not be in memory. Then they take turns.
const progress = ray.remote(Progress).remote();
const coldAt = performance.now();
const cold = await inParallel(batches, progress, "cold round");
const coldMs = performance.now() - coldAt;
const coldAlone = inOneProcess(files);
const rounds: Round[] = [];
const alone: number[] = [];
for (let i = 1; i <= Number(values.rounds); i++) {
  rounds.push(await inParallel(batches, progress, `round ${i} of ${values.rounds}`));
  alone.push(inOneProcess(files).ms);
}
const read = await ray.get(progress.read.remote());
await ray.shutdown();

const same = report({ folder: values.folder, cpus, startMs, cold: { ...cold, ms: coldMs }, coldAlone, rounds, alone, read });
if (!same) process.exitCode = 1;
