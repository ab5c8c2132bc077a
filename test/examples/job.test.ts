/** The main job on a part of its real input: its counts are those of one process, and it says what it did. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { deal, sourceFiles } from "../../examples/identifiers/files.ts";
import { addTo, mostFrequent, pack } from "../../examples/identifiers/table.ts";
import type { Counts } from "../../examples/identifiers/table.ts";
import { countIdentifiers, dropKeywords } from "../../examples/identifiers/tokenise.ts";
import { countAll, merge } from "../../examples/identifiers/work.ts";
import { leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

const root = path.resolve(import.meta.dirname, "../..");

test("the job counts what one process counts, and reports it", async (t) => {
  const { code, stdout, stderr } = await runProgram(t, "examples/identifiers/main.ts", {
    args: ["--limit", "200", "--rounds", "1"],
    timeoutMs: 90_000,
  });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^200 files, [\d.]+ MB/);
  assert.match(stdout, /same counts +yes, in every round/);
  assert.match(stdout, /tasks run +\d+, in 2 rounds/);
  assert.match(stdout, /read by tasks +400 files, [\d.]+ MB/);
  assert.match(stdout, /first round, cold +[\d.]+ s +[\d.]+ s/);
  assert.match(stdout, /warm, median of 1 +[\d.]+ s +[\d.]+ s +[\d.]+ times as fast/);
  assert.match(stdout, /moved as counts +[\d.]+ MB/);
  assert.match(stdout, /What to try next/);
  assert.equal(stderr, "", "the progress bar is quiet where there is no terminal");

  const counts = countAll(sourceFiles(path.join(root, "node_modules")).slice(0, 200));
  assert.match(stdout, new RegExp(`distinct identifiers +${counts.size}\\n`));
  const [[name, count]] = mostFrequent(counts, 1) as [[string, number]];
  assert.ok(
    stdout.split("\n").some((line) => line.trim().startsWith(`${name} `) && line.endsWith(` ${count}`)),
    stdout,
  );
});

test("a folder without sources is said so", async (t) => {
  const { code, stderr } = await runProgram(t, "examples/identifiers/main.ts", { args: ["--folder", "docs"] });
  assert.equal(code, 1);
  assert.match(stderr, /^no JavaScript or TypeScript files below docs/);
});

const counted = (source: string): [string, number][] => {
  const counts: Counts = new Map();
  countIdentifiers(source, counts);
  dropKeywords(counts);
  return mostFrequent(counts, Infinity);
};

test("identifiers are counted, comments, strings, numbers and keywords are not", () => {
  const source = `// comment one
     /* two */ const alpha = "three" + 'fo\\'ur' + 0x5f; async function beta($c, _d) { return alpha + \`text \${alpha}\`; }`;
  assert.deepEqual(counted(source), [
    ["alpha", 3],
    ["$c", 1],
    ["_d", 1],
    ["beta", 1],
  ]);
});

test("types are read too, regular expressions are none, and what cannot be read ends there", () => {
  const source = `interface Box<T> { readonly item?: T }\nexport const quote = /"/g as RegExp;\nlet after = "it";\nlet broken = "open`;
  assert.deepEqual(
    counted(source).map(([name]) => name),
    ["T", "Box", "RegExp", "after", "broken", "item", "quote"],
  );
});

test("a table holds what was counted, and merging adds up", () => {
  const part = (...names: [string, number][]) => {
    const counts: Counts = new Map(names.map(([name, n]) => [name, { n }]));
    return { table: pack(counts), work: { tasks: 1, moved: 10, countMs: 5, mergeMs: 0 } };
  };
  const merged = merge(part(["x", 1], ["é", 2]), part(["x", 10]), part());
  const sum: Counts = new Map();
  addTo(sum, merged.table);
  assert.deepEqual(
    [...sum],
    [
      ["x", { n: 11 }],
      ["é", { n: 2 }],
    ],
  );
  assert.equal(merged.work.tasks, 4);
  assert.equal(merged.work.countMs, 15);
  assert.equal(merged.work.moved, 30 + "x\né".length + 1 + 8);
});

test("batches hold every file once and weigh about the same", () => {
  const files = Array.from({ length: 40 }, (_, i) => ({ path: `f${i}`, bytes: (i * 37) % 50 }));
  const batches = deal(files, 4);
  assert.deepEqual(
    batches
      .flat()
      .map((file) => file.path)
      .sort(),
    files.map((file) => file.path).sort(),
  );
  const weights = batches.map((batch) => batch.reduce((sum, file) => sum + file.bytes, 0));
  assert.ok(Math.max(...weights) - Math.min(...weights) <= 49, weights.join());
  assert.equal(deal(files.slice(0, 2), 4).length, 2);
});
