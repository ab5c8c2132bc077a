/**
 * Functions and classes cross a process, under every way to run a program, as the tables in cases.ts and refusals.ts say.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import { after, before, describe, test } from "node:test";
import { refusals } from "./refusals.ts";
import { makeFolder, run, runners, typeStrippingTried } from "./runners.ts";
import type { Run, Runner } from "./runners.ts";

let folder = "";
before(async () => {
  folder = await makeFolder();
});
after(() => {
  if (folder !== "" && process.env["MOBULA_TEST_KEEP"] === undefined) fs.rmSync(folder, { recursive: true, force: true });
});

/** Two at a time: each is two processes, one after the other. */
describe("functions cross", { concurrency: 2 }, () => {
  for (const runner of runners) suite(runner);

  test(
    "type stripping",
    { skip: typeStrippingTried ? false : "NOT TRIED: needs Node 22.18 or later, or binaries in MOBULA_TEST_NODES" },
    () => {
      assert.ok(typeStrippingTried);
    },
  );
});

function suite(runner: Runner): void {
  describe(runner.name, () => {
    let done: Run;
    before(async () => {
      done = await run(runner, folder);
    });
    for (const { name, expected, except } of runner.cases) {
      if (except?.test(runner.name) === true) continue;
      test(name, () => {
        assert.equal(done.crossings.get(name)?.error, undefined);
        const outcome = done.outcomes.get(name);
        assert.equal(outcome?.error, undefined);
        assert.deepEqual(outcome?.result, expected);
        assert.deepEqual(outcome?.again, expected, "after a second crossing");
      });
    }
    if (!/bundle|vitest/.test(runner.name)) {
      test("exports of modules cross by reference, what is not exported by value", () => {
        assert.equal(done.crossings.get("an imported function by itself")?.kind, "reference");
        assert.equal(done.crossings.get("a function of a module that it does not export")?.kind, "value");
        assert.equal(done.crossings.get("a class by itself")?.kind, "value");
      });
    }
    for (const { name, says, path, except } of refusals) {
      if (except?.test(runner.name) === true) continue;
      test(`refused: ${name}`, () => {
        const error = done.crossings.get(name)?.error;
        assert.ok(error, "it was not refused");
        assert.equal(error.type, "SerializationError");
        // Minified, the names in the message are others.
        if (runner.name === "bundle minified") return;
        for (const part of says) assert.ok(error.message.includes(part), `"${part}" is not in: ${error.message}`);
        assert.equal(error.path, path);
        // tsx compiles to few, long lines: those of the user's file are named.
        const line = /\(program[^:]*:(\d+):/.exec(error.message)?.[1];
        if (line !== undefined && !/bundle|vitest/.test(runner.name)) assert.ok(Number(line) > 50, `line ${line} is not one of the file`);
      });
    }
  });
}
