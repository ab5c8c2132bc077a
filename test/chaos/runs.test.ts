/** The chaos runs in their short form: what `npm run chaos` does for minutes, for seconds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

async function run(t: TestContext, name: string, count: number): Promise<void> {
  const args = [name, "--count", String(count), "--seed", "1"];
  const { code, stdout, stderr } = await runProgram(t, "chaos/run.ts", { args, timeoutMs: 150_000 });
  assert.equal(code, 0, `${stdout}\n${stderr}`);
  assert.match(stdout, new RegExp(`${name}: ok`));
}

test("workers are killed at random under load: every result is right, and nothing is left", (t) => run(t, "kills", 20));

test("puts and gets of all sizes in a store that is too small: every value is right, and the store ends empty", (t) =>
  run(t, "objects", 3_000));
