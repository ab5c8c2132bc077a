/** However a program ends, within seconds no process, socket, shared memory, spill or other temporary file of it is left. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import { freeze, kill, leakChecked, startProgram, thaw, waitUntil } from "../harness/index.ts";
import type { Program } from "../harness/index.ts";

leakChecked();

const PROGRAM = "test/chaos/programs/ends.ts";
const daemonOf = (program: Program): number => program.children().find(({ command }) => /daemon\/main/.test(command))!.pid;
const workersOf = (program: Program): number[] =>
  program.children().flatMap(({ command, pid }) => (/worker\/main/.test(command) ? [pid] : []));

/** Nothing of it runs; what lies about is looked for by `leakChecked` after each test. */
async function allGone(program: Program): Promise<void> {
  await waitUntil(() => program.children().length === 0, "no process is left", {
    story: () =>
      program
        .children()
        .map(({ pid, command }) => `${pid} ${command}`)
        .join("\n"),
  });
}

const OWN_ENDS: readonly [how: string, code: number][] = [
  ["return", 0],
  ["throw", 1],
  ["reject", 1],
  ["exit", 3],
];
for (const [how, code] of OWN_ENDS) {
  test(`nothing is left of a program that ends by ${how}`, async (t) => {
    const program = startProgram(t, PROGRAM, { args: [how] });
    assert.equal((await program.ended).code, code);
    await allGone(program);
  });
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL"] as const) {
  test(`nothing is left of a program that ends by ${signal}`, async (t) => {
    const program = startProgram(t, PROGRAM, { args: ["wait"] });
    await program.output("ready");
    program.kill(signal);
    assert.equal((await program.ended).signal, signal);
    await allGone(program);
  });
}

test("nothing is left of a program that is killed while it starts", async (t) => {
  for (const after of [0, 40, 120, 250]) {
    const program = startProgram(t, PROGRAM, { args: ["wait"] });
    await program.output("starting");
    await new Promise((resolve) => setTimeout(resolve, after));
    program.kill();
    await program.ended;
    await allGone(program);
  }
});

test("nothing is left of a program that is killed while it puts", async (t) => {
  const program = startProgram(t, PROGRAM, { args: ["put"] });
  await program.output("ready");
  program.kill();
  await program.ended;
  await allGone(program);
});

test("nothing is left of a program that is killed while its workers compute, or are stopped", async (t) => {
  for (const stopped of [false, true]) {
    const program = startProgram(t, PROGRAM, { args: ["busy"] });
    await program.output("ready");
    if (stopped) for (const pid of workersOf(program)) freeze(pid);
    program.kill();
    await program.ended;
    await allGone(program);
  }
});

test("of a program that is killed while its daemon is stopped nothing is left once the daemon goes on", async (t) => {
  const program = startProgram(t, PROGRAM, { args: ["wait"] });
  await program.output("ready");
  const daemon = daemonOf(program);
  freeze(daemon);
  program.kill();
  // Its output is whole only when the daemon, which inherits it, has ended.
  thaw(daemon);
  await program.ended;
  await allGone(program);
});

test("when the daemon is killed its workers end, stopped ones too, and the program can end", async (t) => {
  const program = startProgram(t, PROGRAM, { args: ["busy"] });
  const [, folder] = /ready in (.*)/.exec(await program.output(/ready in .*\n/))!;
  freeze(workersOf(program)[0]!);
  kill(daemonOf(program));
  await allGone(program);
  await waitUntil(() => !fs.existsSync(folder!), "the program has removed what its daemon left");
  program.kill("SIGTERM");
  await program.ended;
});
