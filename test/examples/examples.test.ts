/** Every example runs as a reader would run it, prints what it should, and leaves nothing behind. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

const folder = path.resolve(import.meta.dirname, "../../examples");

/** What each prints. The figures come from running the same programs without any engine, as plain calls. */
const EXPECTED: Readonly<Record<string, string>> = {
  "quick-start": `[ 0, 1, 4, 9 ]
counted to 10
3² + 2² = 13`,
  counters: `anna counted to 5
berta counted to 10
clara counted to 15
anna counted to 25`,
  "parallel-map": `loop:  75618
tasks: 75618
pool:  75618`,
  aggregation: `linear: 1240 after 15 additions in a row
tree:   1240 after 4 additions in a row`,
  "tree-reduce": `arrays left: 8
arrays left: 4
arrays left: 2
arrays left: 1
every element is 0 + 1 + ... + 15 = 120: true
the first array is what it was: true`,
  "multiple-returns": `below: [ 3, 1 ]
equal: [ 5, 5 ]
above: [ 8, 9, 7 ]
sums:  [ 4, 10, 24 ]
refused: InvalidOptionError`,
  "message-actor": `ada: hello how are you? goodbye
ben: hello how are you? goodbye
cleo: hello how are you? goodbye`,
  "parameter-server": `round 10: 1.958 -2.956 0.484
round 20: 1.999 -2.999 0.500
round 30: 2.000 -3.000 0.500`,
  simulators: `reward before: 0.16
reward after 100 steps: 0.81
chance to go right: 0.82 0.81 0.87 0.92 0.94 0.94`,
  "first-k": `mirror 1 answered
mirror 3 answered
called off: TaskCancelledError
called off: TaskCancelledError
called off: TaskCancelledError
after 50 ms: 0 ready, 1 pending`,
  nested: `sorted: true
numbers: 16000, tasks: 63`,
  streaming: `25 lines, 101 words
50 lines, 201 words
75 lines, 301 words
100 lines, 400 words
100 lines in all, 400 words`,
};

test("every example is tried here", () => {
  const names = fs.readdirSync(folder).filter((name) => name.endsWith(".ts"));
  assert.deepEqual(
    Object.keys(EXPECTED)
      .map((name) => `${name}.ts`)
      .sort(),
    names.sort(),
  );
});

for (const [name, expected] of Object.entries(EXPECTED)) {
  test(`examples/${name}.ts`, async (t) => {
    const { code, signal, stdout, stderr } = await runProgram(t, path.join(folder, `${name}.ts`), { timeoutMs: 60_000 });
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, stderr);
    assert.equal(stdout.trimEnd(), expected, stderr);
  });
}
