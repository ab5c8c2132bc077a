/**
 * `npm test`: builds, lints, checks types, then runs the tests group by group. A group is a folder of test/.
 *
 *   npm test                        everything
 *   npm test -- memory house        these groups (and the build)
 *   npm test -- unit                the groups that start no engine
 *   npm test -- test/api/x.test.ts  these files
 *   npm test -- --no-checks         no lint, no type check
 *   npm test -- --no-build          the dist/ that is there
 *   npm test -- --once              no second try: for the hunt for flakes
 *
 * Tests of processes share the machine with whatever else runs there. A few files that failed are run once more when all else is done:
 * what passes then is no failure, and is listed as flaky, which is a bug too.
 *
 * The last line is `N passed, N failed, N skipped`. It ends whatever processes the tests left, and counts them as a failure.
 */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { run } from "node:test";
import { inspect, parseArgs } from "node:util";
import { binaryOf, VERSIONS } from "./node-binaries.ts";
import { kill, processesWith } from "../test/harness/processes.ts";
import { ensureRedis } from "./ensure-redis.ts";

const root = path.resolve(import.meta.dirname, "..");
process.chdir(root);

/** Groups that start the engine or many processes: last, and a few files at a time. The rest comes first, by name. */
const PROCESS_GROUPS = [
  "bench",
  "functions",
  "nodes",
  "cli",
  "jobs",
  "control",
  "transfer",
  "runtime",
  "stores",
  "api",
  "util",
  "rows",
  "examples",
  "chaos",
];
/** Of these groups most of the time is spent waiting, for leases, time limits and other processes: so many of their files run at a time. */
const WAITING_GROUPS: Readonly<Record<string, number>> = {
  stores: 4,
  transfer: 2,
  cli: 2,
  jobs: 2,
  examples: 2,
  rows: 2,
  control: 2,
  chaos: 2,
};
/** Groups of a long file each, which fill each other's second processor. */
const TOGETHER = ["bench", "functions", "nodes"];
/** Of the others, those that take longest, the longest last. */
const LONG_FILES = [
  "test/hosts/hosts.test.ts",
  "test/environments/programs.test.ts",
  "test/node/daemon.test.ts",
  "test/sim/planted.test.ts",
  "test/sim/simulation.test.ts",
  "test/store/store.test.ts",
];
/** They run on the newer lines of Node too. */
const NODES_GROUPS = ["functions", "nodes"];
const FILE_TIMEOUT_MS = 240_000;
/** How much of a file's stderr is shown when it fails as a whole, in characters. */
const STDERR_KEPT = 4000;
const RUN_MARK = "MOBULA_TEST_RUN";
/** More files than this do not fail by chance. */
const SECOND_TRIES_MAX = 3;

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { "no-checks": { type: "boolean" }, "no-build": { type: "boolean" }, once: { type: "boolean" }, verbose: { type: "boolean" } },
});

const totals = { passed: 0, failed: 0, skipped: 0 };
const failures: string[] = [];
/** Files with tests that failed, and what each counted: its failures are void if a second try passes. */
const failedFiles = new Map<string, string[]>();

/** Runs a tool of this package; false when it fails. */
function step(title: string, command: string, args: string[]): boolean {
  const startedAt = performance.now();
  const { status, error } = spawnSync(path.join(root, "node_modules/.bin", command), args, { stdio: "inherit" });
  const ok = status === 0;
  if (!ok) {
    totals.failed++;
    failures.push(`${title}: ${error?.message ?? `${command} ended with ${status}`}`);
  }
  console.log(`${ok ? "ok  " : "FAIL"} ${title} (${Math.round(performance.now() - startedAt)} ms)`);
  return ok;
}

/** Tells the tests of the newer lines of Node where those are. Without a registry they are skipped, and say so. */
async function fetchNodes(): Promise<void> {
  const startedAt = performance.now();
  const fetched = await Promise.allSettled(Object.values(VERSIONS).map(binaryOf));
  const binaries = fetched.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const missing = fetched.flatMap((one) => (one.status === "rejected" ? [String((one.reason as Error).message)] : []));
  process.env["MOBULA_TEST_NODES"] = binaries.join(path.delimiter);
  const story = missing.length === 0 ? Object.values(VERSIONS).join(", ") : missing.join("; ");
  console.log(`${missing.length === 0 ? "ok  " : "skip"} newer lines of Node: ${story} (${Math.round(performance.now() - startedAt)} ms)`);
}

function filesBelow(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  const names = fs.readdirSync(folder, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => name.endsWith(".test.ts"))
    .sort()
    .map((name) => path.join(folder, name));
}

/** Every group with its files, in the order in which they run. */
function allGroups(): Map<string, string[]> {
  const folders = fs
    .readdirSync("test", { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  const rank = (name: string): number => PROCESS_GROUPS.indexOf(name);
  folders.sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const groups = new Map(folders.map((name) => [name, filesBelow(path.join("test", name))]));
  const simulations = filesBelow("sim");
  if (simulations.length > 0) groups.set("sim", simulations);
  return new Map([...groups].filter(([, files]) => files.length > 0));
}

/** The groups, or the single files, that were asked for. */
function chosenGroups(): Map<string, string[]> {
  const all = allGroups();
  if (positionals.length === 0) return all;
  const chosen = new Map<string, string[]>();
  for (const word of positionals) {
    if (word === "unit") {
      for (const [name, files] of all) if (!PROCESS_GROUPS.includes(name)) chosen.set(name, files);
    } else if (all.has(word)) chosen.set(word, all.get(word)!);
    else if (fs.existsSync(word)) chosen.set("files", [...(chosen.get("files") ?? []), word]);
    else {
      console.error(`no group and no file is called ${word}; groups: ${[...all.keys()].join(", ")}, unit`);
      process.exit(2);
    }
  }
  return chosen;
}

/** What went wrong, as the test saw it, without the runner's own frames. */
function storyOf(error: Error & { cause?: unknown }): string {
  const cause = error.cause ?? error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : typeof cause === "string" ? cause : inspect(cause);
  return text
    .split("\n")
    .filter((line) => !/node:internal/.test(line))
    .join("\n");
}

/** The test file in which something failed: what a hook of the harness says names it. */
function fileOf(file: string | undefined, error: Error): string {
  const where = path.relative(root, file ?? "");
  if (where.endsWith(".test.ts")) return where;
  return /\b(test|sim)\/\S+\.test\.ts/.exec(storyOf(error))?.[0] ?? where;
}

/** Runs files, so many at a time, each in a process of its own, and adds up what they say. */
async function runGroup(name: string, files: string[], concurrency: number): Promise<void> {
  const before = { ...totals };
  const startedAt = performance.now();
  const written = new Map<string, string>();
  const stream = run({ files: files.map((file) => path.resolve(file)), concurrency, timeout: FILE_TIMEOUT_MS });
  stream.on("test:pass", (data) => {
    if (data.details.type === "suite") return;
    if (data.skip !== undefined && data.skip !== false) totals.skipped++;
    else totals.passed++;
    if (flags.verbose === true) console.log(`  ok ${data.name} (${Math.round(data.details.duration_ms)} ms)`);
  });
  stream.on("test:fail", (data) => {
    const error = data.details.error as Error & { cause?: unknown; failureType?: string };
    // A suite, or a test with subtests, fails with its parts, which are counted already.
    if (error.failureType === "subtestsFailed") return;
    totals.failed++;
    const where = fileOf(data.file ?? data.name, error);
    // A file that fails as a whole did not get to its tests: what it wrote says why.
    const whole = path.resolve(data.name) === path.resolve(where);
    const title = whole ? where : `${where}: ${data.name}`;
    failures.push(title);
    failedFiles.set(where, [...(failedFiles.get(where) ?? []), title]);
    const story = storyOf(error) + (whole ? `\n${(written.get(path.resolve(where)) ?? "").slice(-STDERR_KEPT)}` : "");
    console.log(`  FAIL ${title}\n${story.trim().replaceAll(/^/gm, "       ")}`);
  });
  stream.on("test:stderr", (data) => {
    written.set(data.file, (written.get(data.file) ?? "") + data.message);
    if (flags.verbose === true) process.stderr.write(data.message);
  });
  stream.resume();
  await new Promise<void>((resolve, reject) => stream.once("end", resolve).once("error", reject));
  const failed = totals.failed - before.failed;
  const passed = totals.passed - before.passed;
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${failed === 0 ? "ok  " : "FAIL"} ${name}: ${passed} passed${failed === 0 ? "" : `, ${failed} failed`} (${seconds} s)`);
}

/** Runs the files that failed once more. What all passes then was no failure, but is named. */
async function tryAgain(): Promise<string[]> {
  const again = [...failedFiles];
  if (flags.once === true || again.length > SECOND_TRIES_MAX) return [];
  const flaky: string[] = [];
  for (const [file, titles] of again) {
    const before = { ...totals };
    const known = failures.length;
    await runGroup(`${file}, once more`, [file], 1);
    const passed = totals.failed === before.failed && totals.passed > before.passed;
    failures.splice(known);
    Object.assign(totals, before);
    if (!passed) continue;
    totals.failed -= titles.length;
    totals.passed += titles.filter((title) => title !== file).length;
    for (const title of titles) failures.splice(failures.indexOf(title), 1);
    flaky.push(...titles);
  }
  return flaky;
}

/** Ends what the tests left running. */
function endLeftovers(mark: string): void {
  const left = processesWith(mark, RUN_MARK);
  if (left.length === 0) return;
  totals.failed++;
  failures.push(`${left.length} processes were left running: ${left.map((p) => `${p.pid} ${p.command}`).join("; ")}`);
  for (const { pid } of left) kill(pid);
}

async function main(): Promise<void> {
  const groups = chosenGroups();
  let flaky: string[] = [];
  // While all else begins.
  const wanted = NODES_GROUPS.some((name) => groups.has(name)) && process.env["MOBULA_TEST_NODES"] === undefined;
  const nodes = wanted ? fetchNodes() : undefined;
  const built = flags["no-build"] === true || (cleanDist(), step("build", "tsc", ["-p", "tsconfig.build.json"]));
  if (built && flags["no-checks"] !== true) {
    step("lint", "oxlint", ["--type-aware", "--deny-warnings"]);
    step("format", "oxfmt", ["--check"]);
    step("types", "tsc", ["-p", "tsconfig.json"]);
  }
  if (built) {
    // Everything that a test starts inherits this, so that it can be found at the end.
    const mark = randomBytes(6).toString("hex");
    process.env[RUN_MARK] = mark;
    process.on("exit", () => endLeftovers(mark));
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(1));
    if ([...groups.values()].flat().some((file) => file.includes("stores"))) ensureRedis();
    // Those that start no engine fill each other's waits, the long ones first.
    const light = [...groups].filter(([name]) => !PROCESS_GROUPS.includes(name));
    const files = light.flatMap(([, ofGroup]) => ofGroup).sort((a, b) => LONG_FILES.indexOf(b) - LONG_FILES.indexOf(a));
    if (files.length > 0) await runGroup(light.map(([name]) => name).join(", "), files, os.availableParallelism() + 1);
    await nodes;
    const together = [...groups].filter(([name]) => TOGETHER.includes(name));
    const long = together.flatMap(([, ofGroup]) => ofGroup);
    if (long.length > 0) await runGroup(together.map(([name]) => name).join(", "), long, os.availableParallelism());
    for (const [name, ofGroup] of groups) {
      if (PROCESS_GROUPS.includes(name) && !TOGETHER.includes(name)) await runGroup(name, ofGroup, WAITING_GROUPS[name] ?? 1);
    }
    flaky = await tryAgain();
    endLeftovers(mark);
  }
  if (flaky.length > 0) console.log(`\nFlaky, passed the second time only:\n${flaky.map((line) => `  ${line}`).join("\n")}\n`);
  if (failures.length > 0) console.log(`\nFailed:\n${failures.map((line) => `  ${line}`).join("\n")}\n`);
  console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
  process.exitCode = totals.failed === 0 && totals.passed > 0 ? 0 : 1;
}

function cleanDist(): void {
  fs.rmSync("dist", { recursive: true, force: true });
}

await main();
