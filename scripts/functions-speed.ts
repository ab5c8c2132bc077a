/**
 * What capturing and rebuilding a function costs: the first one of a process, which loads the parser and the inspector, and the median
 * afterwards. For people: `npx tsx scripts/functions-speed.ts`.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { build } from "esbuild";

const rounds = 400;

const kinds: Readonly<Record<string, string>> = {
  "no free variables": "(x) => x * 2",
  "a captured number": "(x) => x * factor",
  "an import": "(x) => join('a', x)",
  recursion: "fib",
  "a class": "Counter",
};

const program = (make: string): string => `
import { functionCodec, importModules } from "./codec.mjs";
import { join } from "node:path";
const factor = 3 + process.argv.length;
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
const made = () => { class Counter { #n = 0; add(by = factor) { return (this.#n += by); } } return ${make}; };
const start = performance.now();
const record = functionCodec.capture(made(), "f");
const first = performance.now() - start;
const captures = [], rebuilds = [];
const moduleOf = await importModules(record.modules);
for (let i = 0; i < ${rounds}; i++) {
  const fn = made();
  const a = performance.now();
  functionCodec.capture(fn, "f");
  const b = performance.now();
  const again = functionCodec.rebuild(record, moduleOf);
  again.fill(record.captures, record.properties);
  again.start();
  captures.push(b - a);
  rebuilds.push(performance.now() - b);
}
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
console.log([first, median(captures), median(rebuilds)].map((ms) => ms.toFixed(2).padStart(10)).join(""));
`;

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "mobula-functions-speed-"));
try {
  const entryPoints = [path.resolve(import.meta.dirname, "../src/functions/index.ts")];
  await build({ entryPoints, outfile: path.join(folder, "codec.mjs"), bundle: true, format: "esm", platform: "node" });
  console.log(`${"milliseconds".padEnd(20)}${"first".padStart(10)}${"capture".padStart(10)}${"rebuild".padStart(10)}`);
  for (const [name, make] of Object.entries(kinds)) {
    const file = path.join(folder, "program.mjs");
    fs.writeFileSync(file, program(make));
    const { stdout, stderr } = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 60_000 });
    console.log(`${name.padEnd(20)}${(stdout || stderr).trimEnd()}`);
  }
} finally {
  fs.rmSync(folder, { recursive: true, force: true });
}
