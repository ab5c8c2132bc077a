/** The harness itself: a harness that has never caught a leak is not trusted. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { freeze, freshFolder, kill, leakChecked, leftovers, processesWith, runProgram, startProgram, thaw, waitUntil } from "./index.ts";
import { fileMark, tempFolder } from "./leaks.ts";

leakChecked();

test("a program's output, exit code and arguments come back", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "hello.ts");
  fs.writeFileSync(file, `const who: string = process.argv[2]!; console.log("hello " + who); console.error("oh"); process.exitCode = 3;`);
  const { code, signal, stdout, stderr } = await runProgram(t, file, { args: ["you"] });
  assert.deepEqual({ code, signal, stdout, stderr }, { code: 3, signal: null, stdout: "hello you\n", stderr: "oh\n" });
});

test("a program that does not end is killed with all that it started, and ended rejects with its output", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "stuck.cjs");
  fs.writeFileSync(
    file,
    `const { spawn } = require("node:child_process");
     spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "inherit" });
     console.log("stuck"); setInterval(() => {}, 1000);`,
  );
  const program = startProgram(t, file, { timeoutMs: 1_500 });
  await assert.rejects(program.ended, /stuck\.cjs did not end within 1500 ms[^]*stuck/);
  await waitUntil(() => processesWith(program.mark).length === 0, "all of it is gone");
});

test("the leak check sees a process, a file and nothing else, and names them", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "orphan.mjs");
  fs.writeFileSync(
    file,
    `import { spawn } from "node:child_process"; import fs from "node:fs"; import os from "node:os"; import path from "node:path";
     const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { detached: true, stdio: "ignore" });
     fs.writeFileSync(path.join(os.tmpdir(), "left.sock"), ""); child.unref();`,
  );
  assert.deepEqual(leftovers(), []);
  const { code } = await runProgram(t, file);
  assert.equal(code, 0);
  const left = leftovers();
  assert.equal(left.length, 2, left.join("\n"));
  assert.match(left[0]!, /^process \d+, child of \d+: .*setInterval/);
  assert.match(left[1]!, /^file .*left\.sock$/);
  for (const { pid } of processesWith(fileMark)) kill(pid);
  fs.rmSync(left[1]!.slice("file ".length));
  await waitUntil(() => leftovers().length === 0, "the check is quiet again");
});

test("a frozen process does not move until it is thawed", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "ticks.mjs");
  fs.writeFileSync(file, `setInterval(() => console.log("tick"), 5); console.log("ready");`);
  const program = startProgram(t, file);
  await program.output(/tick/);
  const state = (): string => fs.readFileSync(`/proc/${program.pid}/stat`, "latin1").split(") ")[1]!.charAt(0);
  freeze(program.pid);
  await waitUntil(() => state() === "T", "the process has stopped");
  thaw(program.pid);
  await waitUntil(() => state() !== "T", "the process goes on");
  program.kill();
  const { signal } = await program.ended;
  assert.equal(signal, "SIGKILL");
});

test("waiting for output of a program that ends without it fails at once with what it wrote", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "short.mjs");
  fs.writeFileSync(file, `console.log("something else");`);
  await assert.rejects(startProgram(t, file).output(/never/), /ended before it wrote[^]*something else/);
});

test("waitUntil gives the value, or rejects with the reason and the story", async () => {
  let n = 0;
  assert.equal(await waitUntil(() => (++n > 2 ? n : 0), "three"), 3);
  await assert.rejects(
    waitUntil(() => false, "pigs fly", { timeoutMs: 30, story: () => "no wings" }),
    /30 ms: pigs fly\nno wings/,
  );
});

test("a program's temporary folder is inside that of the file, on a path short enough for sockets", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "temp.cjs");
  fs.writeFileSync(file, `console.log(require("node:os").tmpdir())`);
  const { stdout } = await runProgram(t, file);
  assert.ok(stdout.startsWith(tempFolder) && stdout.length < 60, stdout);
});
