/** The engine under vitest, with the configuration and the tests that docs/vitest.md shows. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

const root = path.resolve(import.meta.dirname, "../..");

test("tests that use the engine run under vitest", async (t) => {
  const { code, stdout, stderr } = await runProgram(t, "node_modules/vitest/vitest.mjs", {
    args: ["run", "--root", "examples/vitest", "--reporter", "verbose"],
    env: { NODE_OPTIONS: "--import tsx", NO_COLOR: "1" },
    timeoutMs: 120_000,
  });
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /Tests\s+4 passed \(4\)/);
});

test("the configuration on the page is the one that is tried", () => {
  const page = fs.readFileSync(path.join(root, "docs/vitest.md"), "utf8");
  for (const setting of [`pool: "forks"`, "fileParallelism: false", "testTimeout: 30_000"]) {
    assert.ok(page.includes(setting), setting);
    assert.ok(fs.readFileSync(path.join(root, "examples/vitest/vitest.config.ts"), "utf8").includes(setting), setting);
  }
});
