/** Whole programs with an environment of their own: from `init` to the end, whatever that is. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { kill, leakChecked, startProgram, waitUntil } from "../harness/index.ts";
import type { Program } from "../harness/index.ts";
import { packageArchive, writeFiles } from "./projects.ts";
import { folderFor } from "./folders.ts";

leakChecked();

interface Project {
  readonly folder: string;
  readonly home: string;
  start(file: string): Program;
  /** What its environments have left: installs may stay, nothing else. */
  left(): string[];
}

function project(t: TestContext, files: Readonly<Record<string, string>>): Project {
  const folder = writeFiles(path.join(folderFor(t), "project"), files);
  const home = folderFor(t);
  fs.mkdirSync(path.join(folder, "node_modules"));
  fs.symlinkSync(path.resolve(import.meta.dirname, "../.."), path.join(folder, "node_modules/mobula"));
  const env = {
    MOBULA_HOME: home,
    npm_config_registry: "http://127.0.0.1:9/",
    npm_config_fetch_retries: "0",
    npm_config_cache: `${home}/cache`,
  };
  return {
    folder,
    home,
    start: (file) => startProgram(t, path.join(folder, file), { cwd: folder, env }),
    left: () => {
      const places = [path.join(home, "environments"), path.join(home, "environments/npm")];
      const names = places.flatMap((place) => (fs.existsSync(place) ? fs.readdirSync(place) : []));
      return names.filter((name) => name !== "npm" && !/^[0-9a-f]{32}(\.uses)?$/.test(name));
    },
  };
}

const WHERE = `import { readdirSync } from "node:fs";
  export const where = () => [process.cwd(), readdirSync(".").join(" "), import.meta.url];
`;

test("init gives all workers its environment, calls before it is done too, and nothing of it is left", async (t) => {
  const { home, start, left } = project(t, {
    "lib/where.mjs": WHERE,
    "main.mjs": `import * as ray from "mobula";
      import { where } from "./lib/where.mjs";
      const setup = () => { globalThis.ready = 1; };
      const starting = ray.init({ numCpus: 2, runtimeEnv: { workingDir: ".", envVars: { A: "1" }, setup } });
      const early = ray.remote(where).remote();
      await starting;
      const nested = ray.remote(async () => [...(await ray.get(ray.remote(where).remote())), process.env.A, globalThis.ready]);
      console.log(JSON.stringify([await ray.get(early), await ray.get(nested.remote())]));`,
  });
  const { code, stdout, stderr } = await start("main.mjs").ended;
  assert.equal(code, 0, stderr);
  const [early, nested] = JSON.parse(stdout) as [string[], unknown[]];
  assert.ok(early[0]!.startsWith(fs.realpathSync(home)), early[0]);
  assert.equal(early[1], "lib main.mjs");
  assert.equal(early[2], `file://${early[0]!}/lib/where.mjs`);
  assert.deepEqual(nested, [...early, "1", 1]);
  assert.deepEqual(left(), []);
});

test("a program in TypeScript through tsx runs in its working directory, which has no tsx of its own", async (t) => {
  const { start, home } = project(t, {
    "package.json": '{"type":"module"}',
    "lib/where.ts": 'export enum Side { Left = "left" }\nexport const where = (): string => `${Side.Left} ${process.cwd()}`;',
    "main.ts": `import * as ray from "mobula";
      import { where } from "./lib/where.ts";
      await ray.init({ numCpus: 1, runtimeEnv: { workingDir: "." } });
      const own = (by: string): string => by + " " + where();
      console.log(JSON.stringify(await ray.get([ray.remote(where).remote(), ray.remote(own).remote("own")])));`,
  });
  const { code, stdout, stderr } = await start("main.ts").ended;
  assert.equal(code, 0, stderr);
  const [where, own] = JSON.parse(stdout) as string[];
  assert.ok(where!.startsWith(`left ${fs.realpathSync(home)}`), where);
  assert.equal(own, `own ${where}`);
});

test("init rejects with RuntimeEnvError when its environment cannot be uploaded, and can be called again", async (t) => {
  const { start, left } = project(t, {
    "main.mjs": `import * as ray from "mobula";
      const failed = await ray.init({ runtimeEnv: { workingDir: "./nothing" } }).catch((error) => error);
      console.log(failed instanceof ray.RuntimeEnvError, failed.message, ray.isInitialized());
      await ray.init({ numCpus: 1, runtimeEnv: { workingDir: "." } });
      console.log(await ray.get(ray.remote(() => "fine").remote()));`,
  });
  const { code, stdout } = await start("main.mjs").ended;
  assert.equal(code, 0);
  assert.match(stdout, /^true .*nothing cannot be used\. There is no such file or folder.* false\nfine\n$/);
  assert.deepEqual(left(), []);
});

const SLOW = `import * as ray from "mobula";
  await ray.init({ numCpus: 1, runtimeEnv: { workingDir: ".", npm: ["./slow.tgz"], npmScripts: true } });
  console.log("started");
  await ray.get(ray.remote(() => 1).remote()).catch((error) => console.log(error.name));`;

/** An install that never ends. */
async function installing(t: TestContext): Promise<{ project: Project; program: Program }> {
  const made = project(t, { "main.mjs": SLOW });
  const scripts = { postinstall: 'node -e "setInterval(() => {}, 1000)" slow-install-script' };
  fs.writeFileSync(path.join(made.folder, "slow.tgz"), packageArchive("slow", "1.0.0", { scripts }));
  const program = made.start("main.mjs");
  await waitUntil(() => program.children().some(({ command }) => command.includes("slow-install-script")), "the install runs", {
    timeoutMs: 30_000,
    story: () => program.stdout() + program.stderr(),
  });
  return { project: made, program };
}

const noneLeft = (program: Program): Promise<unknown> =>
  waitUntil(() => program.children().length === 0, "no process is left", {
    story: () =>
      program
        .children()
        .map(({ command }) => command)
        .join("\n"),
  });

test("a program that is killed in the middle of an install leaves no process and nothing half made", async (t) => {
  const { project, program } = await installing(t);
  program.kill();
  await noneLeft(program);
  await waitUntil(() => project.left().length === 0, "nothing is left", { story: () => project.left().join() });
});

test("a daemon that is killed in the middle of an install takes npm along, and the next program clears up", async (t) => {
  const { project, program } = await installing(t);
  kill(program.children().find(({ command }) => /daemon\/main/.test(command))!.pid);
  assert.match((await program.ended).stdout, /NodeDiedError|ConnectionError/);
  await noneLeft(program);
  fs.writeFileSync(path.join(project.folder, "slow.tgz"), packageArchive("slow", "1.0.0"));
  const { code, stdout } = await project.start("main.mjs").ended;
  assert.equal(code, 0, stdout);
  assert.equal(stdout, "started\n");
  assert.deepEqual(project.left(), []);
});
