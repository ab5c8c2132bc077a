/** Which way imports go: ARCHITECTURE.md has the list, this test reads the sources and fails on an arrow against it. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { codeOnly, filesBelow, importsOf, readText } from "./sources.ts";

const SOURCE = /\.[cm]?ts$/;

/** What the files of a folder may import, besides their own folder. Longer paths are looked up first. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  "src/errors": [],
  "src/protocol": ["src/errors"],
  "src/core": ["src/errors", "src/protocol"],
  "src/values": ["src/errors", "src/protocol"],
  "src/functions": ["src/errors", "src/protocol", "src/values"],
  "src/memory": ["src/errors", "src/protocol", "src/core"],
  "src/runtime/transport": ["src/errors", "src/protocol"],
  "src/runtime/network": ["src/errors", "src/protocol", "src/core", "src/runtime/transport"],
  "src/runtime/environments": ["src/errors", "src/protocol"],
  "src/runtime/stores": ["src/errors", "src/protocol", "src/core", "src/memory"],
  "src/runtime": [
    "src/errors",
    "src/protocol",
    "src/core",
    "src/values",
    "src/functions",
    "src/memory",
    "src/runtime/transport",
    "src/runtime/network",
    "src/runtime/environments",
    "src/runtime/stores",
  ],
  "src/api": ["src/errors", "src/protocol", "src/core", "src/values", "src/functions", "src/memory", "src/runtime"],
  "src/client": ["src/errors", "src/protocol"],
  "src/util": ["src/errors", "src/api"],
  "src/state": ["src/api", "src/runtime"],
  "src/cli": [
    "src/errors",
    "src/protocol",
    "src/memory",
    "src/runtime",
    "src/runtime/network",
    "src/runtime/environments",
    "src/api",
    "src/client",
    "src/index.ts",
  ],
  "src/worker": ["src/errors", "src/protocol", "src/core", "src/values", "src/functions", "src/memory", "src/runtime", "src/api"],
  "src/index.ts": ["src/errors", "src/protocol", "src/core", "src/values", "src/functions", "src/memory", "src/runtime", "src/api"],
  sim: ["src/errors", "src/protocol", "src/core"],
  examples: [],
};

/** Packages that a folder may import; every other folder may import none. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "src/functions": ["acorn"],
  "src/memory": ["koffi"],
  "src/protocol": ["msgpackr/pack"],
  "src/runtime": ["koffi", "msgpackr"],
  "src/runtime/environments": ["ignore"],
  "src/values": ["msgpackr"],
  sim: ["fast-check"],
  examples: ["mobula", "mobula/util", "mobula/state", "mobula/client", "acorn", "vitest", "vitest/config"],
};

/** Pure folders: no I/O, no clock, no chance, nothing that happens later. */
const PURE = ["src/core", "src/protocol"];
const IMPURE: Readonly<Record<string, RegExp>> = {
  Date: /(?<![.\w])Date\b(?!\s*:)/,
  Promise: /(?<![.\w])Promise\b/,
  async: /(?<![.\w])async\b(?!\s*:)/,
  await: /(?<![.\w])await\b/,
  timers: /(?<![.\w])(set(Timeout|Interval|Immediate)|queueMicrotask)\b/,
  performance: /(?<![.\w])performance\s*\./,
  // A variable may have the name; what Node's global has is not asked for.
  process: /(?<![.\w])process\s*\.\s*(env|exit|pid|nextTick|hrtime|memoryUsage|on|once|emit|argv|kill|platform|cwd|uptime|stdout|stderr)\b/,
  console: /(?<![.\w])console\s*\./,
  "Math.random": /\bMath\s*\.\s*random\b/,
};

const layerOf = (file: string): string | undefined =>
  Object.keys(LAYERS).find((folder) => file === folder || file.startsWith(`${folder}/`));

/** What is wrong with the imports of one file, a line each. */
function wrongImports(file: string, source: string): string[] {
  const layer = layerOf(file);
  if (layer === undefined) return [`${file}: lies in no layer that ARCHITECTURE.md names`];
  const wrong: string[] = [];
  for (const specifier of importsOf(source)) {
    if (specifier.startsWith("node:")) {
      if (PURE.includes(layer)) wrong.push(`${file}: ${layer} is pure, and imports ${specifier}`);
      continue;
    }
    if (!specifier.startsWith(".")) {
      if (!(PACKAGES[layer] ?? []).includes(specifier)) wrong.push(`${file}: ${layer} may not import the package ${specifier}`);
      continue;
    }
    const target = path.posix.join(path.posix.dirname(file), specifier);
    const targetLayer = layerOf(target);
    if (targetLayer === layer || (targetLayer !== undefined && LAYERS[layer]!.includes(targetLayer))) continue;
    wrong.push(`${file}: ${layer} may not import ${target}`);
  }
  return wrong;
}

/** What a pure file uses that it may not, a line each. */
function impurities(file: string, source: string): string[] {
  const code = codeOnly(source);
  const words = Object.keys(IMPURE).filter((word) => IMPURE[word]!.test(code));
  return words.map((word) => `${file}: pure code uses ${word}`);
}

test("imports go one way", () => {
  const files = [...filesBelow("src", SOURCE), ...filesBelow("sim", SOURCE), ...filesBelow("examples", SOURCE)];
  assert.ok(files.length >= 5, `read ${files.length} files`);
  assert.deepEqual(
    files.flatMap((file) => wrongImports(file, readText(file))),
    [],
  );
});

test("core and protocol have no clock, no chance and nothing that happens later", () => {
  const files = PURE.flatMap((folder) => filesBelow(folder, SOURCE));
  assert.ok(files.length > 0);
  assert.deepEqual(
    files.flatMap((file) => impurities(file, readText(file))),
    [],
  );
});

test("the reader of imports sees every form, and not what is only written about", () => {
  const source = `/** import "./comment.ts" */
import a from "./a.ts";
import type { B } from './b.ts';
import {
  c,
  type D,
} from "../c/c.ts";
import "./e.ts"; export * from "./f.ts"; export { g } from "./g.ts";
const h = await import("./h.ts"); // from "./no.ts"
const i = require("i");
const text = \`import x from "./template.ts"\`;`;
  const found = importsOf(source);
  for (const name of ["./a.ts", "./b.ts", "../c/c.ts", "./e.ts", "./f.ts", "./g.ts", "./h.ts", "i"]) assert.ok(found.includes(name), name);
  assert.ok(!found.includes("./comment.ts") && !found.includes("./no.ts"), found.join());
});

test("an arrow that runs the wrong way is found", () => {
  assert.deepEqual(wrongImports("src/core/owner/owner.ts", `import { x } from "../../runtime/x.ts";`), [
    "src/core/owner/owner.ts: src/core may not import src/runtime/x.ts",
  ]);
  assert.deepEqual(wrongImports("src/core/owner/owner.ts", `import fs from "node:fs";`), [
    "src/core/owner/owner.ts: src/core is pure, and imports node:fs",
  ]);
  assert.deepEqual(wrongImports("src/values/codec.ts", `import koffi from "koffi";`), [
    "src/values/codec.ts: src/values may not import the package koffi",
  ]);
  assert.deepEqual(
    wrongImports("src/core/owner/owner.ts", `import { x } from "../refs/refs.ts"; import type { Y } from "../../protocol/ids.ts";`),
    [],
  );
});

test("a clock in pure code is found, a word in a comment or a field's name is not", () => {
  const found = impurities(
    "src/core/x.ts",
    `const t = Date.now(); const r = Math.random(); async function f() { await g(); process.exit(); }`,
  );
  assert.deepEqual(
    found.map((line) => line.split("uses ")[1]),
    ["Date", "async", "await", "process", "Math.random"],
  );
  assert.deepEqual(
    impurities("src/core/x.ts", `// no Promise here\nconst s = "Date"; x.process; const y = { process: 1 }; process.task = y;`),
    [],
  );
});
