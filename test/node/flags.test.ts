/** Flags of Node: which of a driver's a daemon and a worker get, and which modules a worker loads itself. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { daemonFlags, splitPreloads, workerFlags } from "../../src/runtime/flags.ts";

test("a worker gets the driver's flags, but for those of its debugger, its profile and its entry", () => {
  const flags = [
    "--inspect=0",
    "--import",
    "tsx",
    "--cpu-prof-dir",
    "profiles",
    "-e",
    "--not-a-flag",
    "--max-old-space-size=100",
    "--test",
  ];
  assert.deepEqual(workerFlags(flags), ["--import", "tsx", "--max-old-space-size=100"]);
});

test("modules to load first are told apart, in the order in which Node loads them", () => {
  const { flags, preloads } = splitPreloads([
    "--import",
    "tsx",
    "-r",
    "./a.cjs",
    "--stack-size=900",
    "--require=./b.cjs",
    "--import=data:,x",
  ]);
  assert.deepEqual(flags, ["--stack-size=900"]);
  assert.deepEqual(preloads, [
    { kind: "require", specifier: "./a.cjs" },
    { kind: "require", specifier: "./b.cjs" },
    { kind: "import", specifier: "tsx" },
    { kind: "import", specifier: "data:,x" },
  ]);
});

test("a daemon loads none of the program's modules and loaders", () => {
  assert.deepEqual(daemonFlags(["--require", "./a.cjs", "--loader", "./l.mjs", "--experimental-loader=./m.mjs", "--no-warnings"]), [
    "--no-warnings",
  ]);
  assert.deepEqual(daemonFlags(["--loader=./l.mjs", "--no-warnings", "--import", "tsx"]), ["--no-warnings"]);
});
