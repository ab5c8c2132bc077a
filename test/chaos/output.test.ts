/** What workers print, whatever it is, reaches the program's terminal with a prefix, bounded, and not lost in a crash. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { leakChecked, runProgram } from "../harness/index.ts";
import type { Ended } from "../harness/index.ts";

leakChecked();

const noise = (t: Parameters<typeof runProgram>[0], how: string, env: Record<string, string> = {}): Promise<Ended> =>
  runProgram(t, "test/chaos/programs/noise.ts", { args: [how], env, timeoutMs: 120_000 });

test("a line has a prefix with name and pid, coloured only on a terminal or when told", async (t) => {
  const plain = await noise(t, "plain", { NO_COLOR: "1" });
  assert.match(plain.stdout, /^\(plain pid=\d+\) hello from a task$/m);
  const coloured = await noise(t, "plain", { FORCE_COLOR: "1" });
  assert.ok(coloured.stdout.includes("\u001b[36m(plain pid="), coloured.stdout);
});

test("identical lines are folded and counted, those of stdout and of stderr apart", async (t) => {
  const { stdout, stderr } = await noise(t, "repeated");
  for (const [text, times] of [
    [stdout, 499],
    [stderr, 19],
  ] as const) {
    assert.equal(text.match(/the same line$/gm)?.length, 1);
    assert.match(text, new RegExp(`the same line \\[repeated ${times}x\\]`));
  }
});

test("a line without an end, bytes that are no text and very long lines", async (t) => {
  assert.match((await noise(t, "partial")).stdout, /\) no newline at its end\n[^]*done/);
  const binary = await noise(t, "binary");
  assert.equal(binary.code, 0);
  assert.match(binary.stdout, /done/);
  const long = await noise(t, "long");
  assert.match(long.stdout, /x+… \(cut\)\n/);
  assert.match(long.stdout, /after the long line/);
  assert.ok(long.stdout.length < 200_000);
});

test("100 MB of output fill no memory and lose nothing", async (t) => {
  const { stdout, code } = await noise(t, "much");
  assert.equal(code, 0);
  for (const i of [0, 50, 99]) assert.match(stdout, new RegExp(`\\) ${i}y+\n`));
});

test("what was printed right before a crash is shown, and is in the error", async (t) => {
  const { stdout, stderr } = await noise(t, "crash");
  assert.match(stderr, /\(crash pid=\d+\) the last line before the end/);
  assert.match(stdout, /rejected: [^]*SIGKILL[^]*the last line before the end/);
});
