/** The first worker is started by the program itself, beside the daemon: how it ends is told all the same, and it never outlives them. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { freshFolder, leakChecked, runProgram, startProgram, waitUntil } from "../harness/index.ts";

leakChecked();

/** Of one processor there is one worker, the first. */
function program(t: TestContext, body: string): string {
  const file = path.join(freshFolder(t), "program.mjs");
  const start = `import * as ray from "mobula";
const ends = ray.remote((how) => (typeof how === "number" ? process.exit(how) : process.kill(process.pid, how)), { maxRetries: 0 });
const story = (ref) => ray.get(ref).then(() => "no error", (error) => [error.code, error.exitCode, error.signal].join(" "));
const block = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
await ray.init({ numCpus: 1, logToDriver: false });
const where = ray.remote(() => [process.pid, process.ppid]);
`;
  fs.writeFileSync(file, start + body);
  return file;
}

test("its exit code and its signal are told, and another comes in its place", async (t) => {
  const file = program(
    t,
    `const [first, parent] = await ray.get(where.remote());
console.log(parent === process.pid, await story(ends.remote(7)));
const [second] = await ray.get(where.remote());
console.log(second !== first, await story(ends.remote("SIGSEGV")));
await ray.shutdown();`,
  );
  const { stdout, stderr, code } = await runProgram(t, file);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "true WORKER_CRASHED 7 \ntrue WORKER_CRASHED  SIGSEGV\n");
});

test("also by a program that computes while it ends", { skip: process.platform !== "linux" }, async (t) => {
  for (const [how, told] of [
    ["7", "7 "],
    ['"SIGSEGV"', " SIGSEGV"],
  ]) {
    const file = program(
      t,
      `await ray.get(where.remote());
const ref = ends.remote(${how});
// It goes out, and then nothing is heard here for a while.
await new Promise((resolve) => setTimeout(resolve, 5));
block(1500);
console.log(await story(ref));
await ray.shutdown();`,
    );
    const { stdout, stderr, code } = await runProgram(t, file);
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `WORKER_CRASHED ${told}\n`);
  }
});

test("what it prints reaches the terminal, as that of others does", async (t) => {
  const file = program(
    t,
    `await ray.shutdown();
await ray.init({ numCpus: 1 });
await ray.get(ray.remote(() => { console.log("to stdout"); console.error("to stderr"); }).remote());
await ray.shutdown();`,
  );
  const { stdout, stderr } = await runProgram(t, file);
  assert.match(`${stdout}${stderr}`, /to stdout/);
  assert.match(`${stdout}${stderr}`, /to stderr/);
});

test("a program that is killed at any moment of its start leaves nothing", async (t) => {
  for (const after of [0, 20, 60, 120, 200, 300]) {
    const started = startProgram(t, program(t, "setInterval(() => {}, 1000);"), { loader: "none" });
    started.ended.catch(() => {});
    if (after > 0) await waitUntil(() => started.children().length > 0, "its processes start");
    await new Promise((resolve) => setTimeout(resolve, after));
    started.kill();
    await waitUntil(() => started.children().length === 0, `nothing is left of one that was killed after ${after} ms`, {
      timeoutMs: 20_000,
    });
  }
});

test("a daemon that cannot start, or is killed, takes it along", async (t) => {
  // The socket's path would be too long.
  const long = path.join(freshFolder(t), "x".repeat(100));
  fs.mkdirSync(long);
  const file = program(t, "");
  const failed = startProgram(t, file, {
    loader: "none",
    nodeArgs: ["--import", `data:text/javascript,process.env.TMPDIR=${JSON.stringify(long)}`],
  });
  assert.notEqual((await failed.ended).code, 0);
  await waitUntil(() => failed.children().length === 0, "no worker is left of a failed start");

  const lives = program(
    t,
    "console.log(JSON.stringify(await ray.get(where.remote())));\nblock(3000);\nconsole.log(await story(where.remote()));",
  );
  const started = startProgram(t, lives, { loader: "none" });
  const [worker] = JSON.parse((await started.output(/\[\d+,\d+\]/)).match(/\[\d+,\d+\]/)![0]) as [number, number];
  const daemon = started
    .children()
    .find(({ pid }) => pid !== worker && fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("daemon"))!;
  process.kill(daemon.pid, "SIGKILL");
  await started.ended;
  await waitUntil(() => started.children().length === 0, "no worker is left of a daemon that was killed");
});
