/** What a worker has loaded when its first task begins. Each module costs every worker its time and its memory: one more needs a reason. */
import assert from "node:assert/strict";
import fs from "node:fs";
import module from "node:module";
import path from "node:path";
import { test } from "node:test";
import { freshFolder, leakChecked, runProgram } from "../harness/index.ts";

leakChecked();

/** CommonJS packages, and why: koffi maps the object store. Acorn is for whoever captures a function. */
const PACKAGES = ["@koromix/koffi", "koffi"];
/** Modules of Node that are slow to load, and that nothing needs before a first task. */
const LATER = ["crypto", "dns", "http", "https", "inspector", "readline", "repl", "tls", "zlib"];

/** Plain JavaScript: a loader of TypeScript would load more. */
const PROGRAM = `
import * as ray from "mobula";
const look = ray.remote(() => ({
  files: Object.keys(process.getBuiltinModule("node:module")._cache),
  builtins: process.moduleLoadList,
}));
console.log(JSON.stringify(await ray.get(look.remote())));
await ray.shutdown();
`;

test("a worker has loaded nothing before its first task that the task may not need", async (t) => {
  const file = path.join(freshFolder(t), "program.mjs");
  fs.writeFileSync(file, PROGRAM);
  const { code, stdout, stderr } = await runProgram(t, file);
  assert.equal(code, 0, stderr);
  const { files, builtins } = JSON.parse(stdout) as { files: string[]; builtins: string[] };
  const packages = files.flatMap((loaded) => /.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(loaded)?.[1] ?? []);
  assert.deepEqual([...new Set(packages.map((name) => name.replace(/^(@koromix\/koffi)-.*/, "$1")))].sort(), PACKAGES);
  assert.ok(builtins.includes("NativeModule net"), "the list names what is loaded");
  const early = LATER.filter((name) => builtins.includes(`NativeModule ${name}`));
  assert.deepEqual(early, []);
});

test("a program's first task loads none of the globals that Node loads late", async (t) => {
  const file = path.join(freshFolder(t), "program.mjs");
  const program = `
import * as ray from "mobula";
const loaded = () => process.moduleLoadList.filter((name) => /undici|webstreams|webcrypto/.test(name)).length;
const before = loaded();
await ray.get(ray.remote(() => 1).remote());
const after = loaded();
void Response;
console.log(after - before, loaded() > after);
await ray.shutdown();
`;
  fs.writeFileSync(file, program);
  const { code, stdout, stderr } = await runProgram(t, file);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "0 true\n");
});

test("flags that trace or profile the program do not keep its cluster from starting", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "program.mjs");
  fs.writeFileSync(file, PROGRAM);
  const nodeArgs = ["--trace-gc", "--cpu-prof", "--cpu-prof-interval", "1000", "--cpu-prof-dir", folder];
  const { code, stdout, stderr } = await runProgram(t, file, { nodeArgs });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /"files":/);
});

/** What to load first, by the flags of the program; where it must not fail the processes are told by a folder's file. */
const preloaded = (folder: string, workers: string): string[] => {
  fs.writeFileSync(path.join(folder, "first.cjs"), `globalThis.order = ["first"];`);
  fs.writeFileSync(path.join(folder, "second.mjs"), `globalThis.order.push("second"); if (process.ppid !== ${process.pid}) { ${workers} }`);
  return ["--import", "./second.mjs", "--require", "./first.cjs"];
};

test("workers load the modules that the flags of the program name, before any code of the program", async (t) => {
  const folder = freshFolder(t);
  const nodeArgs = preloaded(folder, "");
  const file = path.join(folder, "program.mjs");
  fs.writeFileSync(
    file,
    `import * as ray from "mobula";
     const look = ray.remote(() => [globalThis.order, process.execArgv]);
     console.log(JSON.stringify(await ray.get(look.remote())));
     await ray.shutdown();`,
  );
  const { code, stdout, stderr } = await runProgram(t, file, { nodeArgs, cwd: folder });
  assert.equal(code, 0, stderr);
  assert.deepEqual(JSON.parse(stdout), [["first", "second"], nodeArgs]);
});

test("a module of the flags that fails in the workers is said so, with its error", async (t) => {
  const folder = freshFolder(t);
  const nodeArgs = preloaded(folder, `throw new RangeError("not in workers");`);
  const file = path.join(folder, "program.mjs");
  fs.writeFileSync(
    file,
    `import * as ray from "mobula";
     await ray.get(ray.remote(() => 1).remote()).catch((error) => console.log(error.code, error.message));
     await ray.shutdown();`,
  );
  const { code, stdout, stderr } = await runProgram(t, file, { nodeArgs, cwd: folder });
  assert.equal(code, 0, stderr);
  assert.match(stdout, /RangeError: not in workers/);
});

test("compiled code is kept where Node can, and a folder that cannot be written is no error", async (t) => {
  const folder = freshFolder(t);
  const file = path.join(folder, "program.mjs");
  fs.writeFileSync(file, PROGRAM);
  const cache = path.join(folder, "cache");
  for (const XDG_CACHE_HOME of [cache, path.join(file, "not-a-folder")]) {
    const { code, stdout, stderr } = await runProgram(t, file, { env: { XDG_CACHE_HOME, NODE_DISABLE_COMPILE_CACHE: undefined } });
    assert.equal(code, 0, stderr);
    assert.equal(stderr, "");
    assert.match(stdout, /"files":/);
  }
  const kept = "enableCompileCache" in module;
  assert.equal(fs.existsSync(path.join(cache, "mobula")), kept);
});
