/**
 * A short run on each newer line of Node; `npm run nodes` is the whole one. The binaries are named in MOBULA_TEST_NODES, which
 * `npm test` sets after it has fetched them.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { freshFolder, leakChecked, runProgram } from "../harness/index.ts";
import { fencesOf } from "../house/documents.ts";
import { readText } from "../house/sources.ts";

leakChecked();

const binaries = (process.env["MOBULA_TEST_NODES"] ?? "").split(path.delimiter).filter((binary) => binary !== "");
const versionOf = (binary: string): string => spawnSync(binary, ["--version"], { encoding: "utf8" }).stdout.trim();

test(
  "there are newer lines of Node to try",
  { skip: binaries.length === 0 && "MOBULA_TEST_NODES names none: npm test fetches them" },
  () => {
    for (const binary of binaries) assert.match(versionOf(binary), /^v2[2-9]\./);
  },
);

const quickStart = fencesOf(readText("README.md")).find((fence) => fence.info === "ts run")!.body;
const commonJs = `const ray = require("mobula");
class Counter { #n = 0; add(by) { return (this.#n += by); } }
(async () => {
  const square = ray.remote((x) => x * x);
  console.log(await ray.get([1, 2].map((x) => square.remote(x))));
  console.log(await ray.get(ray.remote(Counter).remote().add.remote(1)));
})();`;

for (const binary of binaries) {
  test(`${versionOf(binary)}: the quick start as TypeScript and as JavaScript, without a loader`, async (t) => {
    const folder = freshFolder(t);
    const programs = {
      "program.ts": [quickStart, "[ 0, 1, 4, 9 ]\n1\n"],
      "program.mjs": [quickStart.replace("x: number", "x"), "[ 0, 1, 4, 9 ]\n1\n"],
      "program.cjs": [commonJs, "[ 1, 4 ]\n1\n"],
    } as const;
    for (const [name, [source, prints]] of Object.entries(programs)) {
      const file = path.join(folder, name);
      fs.writeFileSync(file, source);
      const { code, stdout, stderr } = await runProgram(t, file, { node: binary, loader: "none" });
      assert.deepEqual({ code, stdout }, { code: 0, stdout: prints }, `${name}: ${stderr}`);
    }
  });

  test(`${versionOf(binary)}: the rows of start and end`, async (t) => {
    const { code, stdout, stderr } = await runProgram(t, "test/rows/lifecycle.test.ts", { node: binary, timeoutMs: 120_000 });
    assert.equal(code, 0, stdout + stderr);
    assert.match(stdout, /^\S+ pass [1-9]/m);
  });
}
