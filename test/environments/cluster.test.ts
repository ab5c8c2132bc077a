/** Environments over nodes that have nothing of the program but what it uploads. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import { Home } from "../cli/home.ts";
import { leakChecked } from "../harness/index.ts";
import { folderFor } from "./folders.ts";
import { packageArchive, writeFiles } from "./projects.ts";

leakChecked("at the end");

test("a working directory, packages and a setup hook reach every node; the program's own files are not needed there", async (t) => {
  const home = new Home(t);
  const cpus = ["--num-cpus", "2", "--resources"];
  const head = home.json<{ address: string; nodeId: string }>("start", "--head", "--port", "0", ...cpus, '{"a":1}');
  home.json("start", "--address", head.address, ...cpus, '{"b":1}');
  const project = writeFiles(path.join(folderFor(t), "project"), {
    "package.json": '{"type":"module"}',
    "lib/where.js": `import { version } from "tiny"; import * as ray from "mobula"; import fs from "node:fs";
      export const where = () => ({ cwd: process.cwd(), big: fs.statSync("big.bin").size, version, ready: globalThis.ready,
        node: ray.getRuntimeContext().nodeId });`,
    // Of several parts, and not to be compressed.
    "big.bin": Array.from({ length: 300_000 }, () => Math.random().toString(36).slice(2)).join(""),
  });
  fs.mkdirSync(path.join(project, "node_modules"));
  fs.symlinkSync(path.resolve(import.meta.dirname, "../.."), path.join(project, "node_modules/mobula"));
  writeFiles(project, { "node_modules/tiny/package.json": '{"name":"tiny","version":"0.0.1","type":"module","exports":"./i.js"}' });
  writeFiles(project, { "node_modules/tiny/i.js": 'export const version = "of the program";' });
  const tiny = path.join(project, "../tiny.tgz");
  fs.writeFileSync(tiny, packageArchive("tiny", "1.2.3"));
  const { code, stdout, stderr } = await home.program(
    `import { rmSync } from "node:fs";
    const { where } = await import(${JSON.stringify(pathToFileURL(path.join(project, "lib/where.js")).href)});
    const runtimeEnv = { workingDir: ${JSON.stringify(project)}, npm: [${JSON.stringify(tiny)}], setup: () => { globalThis.ready = 1; } };
    const on = (name) => ray.remote(where, { runtimeEnv, resources: { [name]: 0.01 } });
    const first = await ray.get(on("a").remote());
    rmSync(${JSON.stringify(project)}, { recursive: true });
    const [other, again] = await ray.get([on("b").remote(), on("b").remote()]);
    const lost = ray.remote(() => 1, { runtimeEnv: { workingDir: "./nothing" }, resources: { b: 0.01 } });
    const failed = await ray.get(lost.remote()).catch((error) => error.name);
    console.log(JSON.stringify({ first, other, again, failed }));
    await ray.shutdown();`,
    head.address,
    { npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0" },
  );
  assert.equal(code, 0, stderr);
  const size = (JSON.parse(stdout) as { first: { big: number } }).first.big;
  const { first, other, again, failed } = JSON.parse(stdout) as Record<string, Record<string, unknown>>;
  assert.ok(size > 1 << 21, String(size));
  assert.notEqual(first!["node"], other!["node"]);
  assert.notEqual(first!["cwd"], other!["cwd"]);
  for (const { big, version, ready } of [first!, other!]) assert.deepEqual([big, version, ready], [size, "1.2.3", 1]);
  assert.equal(again!["cwd"], other!["cwd"]);
  assert.equal(failed, "RuntimeEnvError");
});
