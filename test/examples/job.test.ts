/** The main job on a part of its real input: its counts are those of one process, and it says what it did. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { deal, sourceFiles } from "../../examples/identifiers/files.ts";
import { addTo, mostFrequent, pack } from "../../examples/identifiers/table.ts";
import { countIdentifiers } from "../../examples/identifiers/tokenise.ts";
import { countAll, merge } from "../../examples/identifiers/work.ts";
import { leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

const root = path.resolve(import.meta.dirname, "../..");

test("the job counts what one process counts, and reports it", async (t) => {
  const { code, stdout, stderr } = await runProgram(t, "examples/identifiers/main.ts", { args: ["--limit", "200"], timeoutMs: 90_000 });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^200 files, [\d.]+ MB/);
  assert.match(stdout, /same counts +yes/);
  assert.match(stdout, /tasks run +\d+/);
  assert.match(stdout, /read by tasks +200 files, [\d.]+ MB/);
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

test("identifiers are counted, comments, strings, numbers and keywords are not", () => {
  const counts = new Map<string, number>();
  const found = countIdentifiers(
    `// comment one
     /* two */ const alpha = "three" + 'fo\\'ur' + 0x5f; function beta($c, _d) { return alpha + \`text \${alpha}\`; }`,
    counts,
  );
  assert.deepEqual(
    [...counts],
    [
      ["alpha", 3],
      ["beta", 1],
      ["$c", 1],
      ["_d", 1],
    ],
  );
  assert.equal(found, 6);
});

test("types are read too, regular expressions are none, and what cannot be read ends there", () => {
  const counts = new Map<string, number>();
  countIdentifiers(
    `interface Box<T> { readonly item?: T }\nexport const quote = /"/g as RegExp;\nlet after = "it";\nlet broken = "open`,
    counts,
  );
  assert.deepEqual([...counts.keys()], ["Box", "T", "item", "quote", "RegExp", "after", "broken"]);
});

test("a table holds what the Map held, and merging adds up", () => {
  const a = new Map([
    ["x", 1],
    ["é", 2],
  ]);
  const b = new Map([["x", 10]]);
  const part = (counts: Map<string, number>) => ({ table: pack(counts), tasks: 1, moved: 0 });
  const merged = merge(part(a), part(b), part(new Map()));
  const sum = new Map<string, number>();
  addTo(sum, merged.table);
  assert.deepEqual(
    sum,
    new Map([
      ["x", 11],
      ["é", 2],
    ]),
  );
  assert.equal(merged.tasks, 4);
  assert.equal(merged.moved, "x\né".length + 1 + 8 + 1 + 4);
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
