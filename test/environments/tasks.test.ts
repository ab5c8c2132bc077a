/** Environments of tasks and actors as programs have them: files, packages, hooks, inheritance, and what goes wrong. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import type { TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import * as ray from "mobula";
import { counts } from "mobula/state";
import { processesWith } from "../harness/index.ts";
import { fileMark } from "../harness/leaks.ts";
import { rejectionOf, sharedCluster } from "../rows/cluster.ts";
import { packageArchive, writeFiles } from "./projects.ts";
import { folderFor } from "./folders.ts";

const home = folderFor({ after });
process.env["MOBULA_HOME"] = home;
// npm looks nowhere, and does not wait for what does not answer.
Object.assign(process.env, { npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0", npm_config_cache: `${home}/npm` });
sharedCluster({ numCpus: 2, runtimeEnv: { envVars: { JOB: "job", BOTH: "job" } } });

const FILES = {
  "package.json": '{"type":"module"}',
  "lib/math.js": `import fs from "node:fs";
    import { remote } from "mobula";
    export const square = (x) => x * x;
    export const where = () => ({ cwd: process.cwd(), url: import.meta.url, mobula: typeof remote, files: fs.readdirSync(".").sort() });
    export class Counter { #n = 0; add(by) { this.#n += by; return [this.#n, process.cwd(), import.meta.url]; } }
    export const same = (fn) => fn === square;`,
  "data.txt": "data",
  "secret.txt": "secret",
};

interface Where {
  readonly cwd: string;
  readonly url: string;
  readonly mobula: string;
  readonly files: string[];
}
interface Project {
  readonly folder: string;
  readonly math: {
    square(x: number): number;
    where(): Where;
    same(fn: unknown): boolean;
    Counter: new () => { add(by: number): [number, string, string] };
  };
  /** From here on its files are only in workers. */
  remove(): void;
}

async function project(t: TestContext): Promise<Project> {
  const folder = writeFiles(path.join(folderFor(t), "project"), FILES);
  fs.mkdirSync(path.join(folder, "node_modules"));
  fs.symlinkSync(path.resolve(import.meta.dirname, "../.."), path.join(folder, "node_modules/mobula"));
  const math = (await import(pathToFileURL(path.join(folder, "lib/math.js")).href)) as Project["math"];
  return { folder, math, remove: () => fs.rmSync(folder, { recursive: true }) };
}

test("functions of a module run in the copy of the working directory, where the program's own is not there", async (t) => {
  const { folder, math, remove } = await project(t);
  const where = ray.remote(math.where, { runtimeEnv: { workingDir: folder, excludes: ["secret*"] } });
  const { cwd, url, mobula, files } = await ray.get(where.remote());
  assert.ok(cwd.startsWith(fs.realpathSync(home)), cwd);
  assert.equal(url, pathToFileURL(path.join(cwd, "lib/math.js")).href);
  assert.equal(mobula, "function");
  assert.deepEqual(files, ["data.txt", "lib", "package.json"]);
  remove();
  const all = await ray.get(Array.from({ length: 20 }, () => where.remote()));
  assert.deepEqual(new Set(all.map((each) => each.cwd)), new Set([cwd]), "one copy for all");
});

test("functions by value find their modules there, and functions that come and go are the same ones", async (t) => {
  const { folder, math, remove } = await project(t);
  const { square } = math;
  const runtimeEnv = { workingDir: folder };
  const far = ray.remote(
    async (given: (x: number) => number, file: string) => {
      const own = (await import(pathToFileURL(path.resolve(file)).href)) as Project["math"];
      return {
        same: own.same(given),
        captured: own.same(square),
        value: given(3),
        back: own.square,
        made: (x: number) => own.square(x) + 1,
      };
    },
    { runtimeEnv, captures: { pathToFileURL, path, square } },
  );
  const warm = far.remote(square, "lib/math.js");
  await ray.get(warm);
  const kept = fs.readFileSync(path.join(folder, "lib/math.js"));
  remove();
  const { same, captured, value, back } = await ray.get(far.remote(square, "lib/math.js"));
  assert.deepEqual([same, captured, value], [true, true, 9]);
  assert.equal(back, square, "what comes back is the program's own function");
  writeFiles(folder, { "lib/math.js": kept.toString() });
});

test("an actor lives in its environment, after a restart too", async (t) => {
  const { folder, math, remove } = await project(t);
  const Counter = ray.remote(math.Counter, { runtimeEnv: { workingDir: folder }, maxRestarts: 1, maxTaskRetries: 1 });
  const counter = Counter.remote();
  const [one, cwd, url] = await ray.get(counter.add.remote(2));
  assert.equal(one, 2);
  assert.ok(cwd.startsWith(fs.realpathSync(home)) && url.startsWith(pathToFileURL(cwd).href), url);
  remove();
  await ray.kill(counter, { noRestart: false });
  assert.deepEqual(await ray.get(counter.add.remote(5)), [5, cwd, url]);
  await ray.kill(counter);
});

test("tasks of tasks inherit, variables are added, and what a task says itself wins part by part", async (t) => {
  const { folder } = await project(t);
  const other = writeFiles(path.join(folderFor(t), "other"), { "other.txt": "" });
  const read = (): unknown => ({
    cwd: process.cwd().split("/").at(-1),
    files: fs.readdirSync(".").sort().join(" "),
    vars: [process.env["JOB"], process.env["BOTH"], process.env["TASK"], process.env["INNER"]].map(String).join(" "),
    hook: String(Reflect.get(globalThis, "hooked")),
  });
  const setup = (): void => void Reflect.set(globalThis, "hooked", "outer");
  const outer = ray.remote(
    async (next: string) => {
      const inherits = ray.remote(read);
      const changes = ray.remote(read, { runtimeEnv: { workingDir: next, envVars: { INNER: "inner", TASK: "changed" } } });
      return ray.get([inherits.remote(), changes.remote()]);
    },
    { runtimeEnv: { workingDir: folder, excludes: ["secret.txt"], envVars: { TASK: "task", BOTH: "task" }, setup } },
  );
  const [inherited, changed] = await ray.get(outer.remote(other));
  assert.deepEqual(inherited, { cwd: "work", files: "data.txt lib package.json", vars: "job task task undefined", hook: "outer" });
  assert.deepEqual(changed, { cwd: "work", files: "other.txt", vars: "job task changed inner", hook: "outer" });
  const plain = await ray.get(ray.remote(read).remote());
  assert.deepEqual([(plain as { vars: string }).vars, (plain as { hook: string }).hook], ["job job undefined undefined", "undefined"]);
});

test("packages of npm are found from the working directory, and from the program's own modules without one", async (t) => {
  const { folder } = await project(t);
  const archive = path.join(folder, "../tiny.tgz");
  fs.writeFileSync(archive, packageArchive("tiny", "1.2.3"));
  writeFiles(folder, { "uses.js": 'export { version as default } from "tiny";' });
  const load = async (file: string): Promise<unknown> => {
    const { createRequire } = process.getBuiltinModule("node:module");
    const name = "tiny";
    const { version } = (await import(name)) as { version: string };
    const uses = (await import(file)) as { default: string };
    return [version, uses.default, typeof createRequire(`${process.cwd()}/x.js`).resolve];
  };
  const inFolder = ray.remote(() => load(pathToFileURL(path.resolve("uses.js")).href), {
    runtimeEnv: { workingDir: folder, npm: [archive] },
    captures: { load, pathToFileURL, path },
  });
  assert.deepEqual(await ray.get(inFolder.remote()), ["1.2.3", "1.2.3", "function"]);
  const without = ray.remote(load, { runtimeEnv: { npm: [archive] } });
  assert.deepEqual(await ray.get(without.remote(pathToFileURL(path.join(folder, "uses.js")).href)), ["1.2.3", "1.2.3", "function"]);
  await assert.rejects(ray.get(ray.remote(load).remote(pathToFileURL(path.join(folder, "uses.js")).href)), /tiny/);
});

test("an archive is a working directory as well", async (t) => {
  const { folder } = await project(t);
  const archive = path.join(folder, "../project.tar.gz");
  assert.equal(spawnSync("tar", ["-czf", archive, "--exclude=node_modules", "-C", folder, "."]).status, 0);
  const list = ray.remote(() => fs.readdirSync(".").sort().join(" "), { runtimeEnv: { workingDir: archive } });
  assert.equal(await ray.get(list.remote()), "data.txt lib package.json secret.txt");
});

test("a setup hook runs once in each worker before its first task, a function or a module", async (t) => {
  const { folder } = await project(t);
  writeFiles(folder, { "hooks/setup.js": "globalThis.runs = 0; export default async () => { await null; globalThis.runs++; };" });
  const runs = (): unknown => Reflect.get(globalThis, "runs");
  const byModule = ray.remote(runs, { runtimeEnv: { workingDir: folder, setup: "./hooks/setup.js" } });
  assert.deepEqual(new Set(await ray.get(Array.from({ length: 10 }, () => byModule.remote()))), new Set([1]));
  const step = 7;
  const count = (): void => void Reflect.set(globalThis, "runs", Number(runs() ?? 0) + step);
  const Actor = ray.remote(
    class {
      runs(): unknown {
        return Reflect.get(globalThis, "runs");
      }
    },
    { runtimeEnv: { setup: count } },
  );
  assert.equal(await ray.get(Actor.remote().runs.remote()), 7);
  const ref = ray.put(1);
  assert.throws(() => ray.remote(runs, { runtimeEnv: { setup: () => void ref } }).remote(), /captures object refs/);
});

const WRONG: readonly [what: string, runtimeEnv: (folder: string) => ray.RuntimeEnv, why: RegExp][] = [
  ["a folder that is not there", (folder) => ({ workingDir: path.join(folder, "nothing") }), /There is no such file or folder/],
  ["a file that is no archive", (folder) => ({ workingDir: path.join(folder, "data.txt") }), /It is no folder, and no archive/],
  ["a broken archive", (folder) => ({ workingDir: path.join(folder, "broken.tgz") }), /broken\.tgz cannot be used.*broken/s],
  ["a link out of it", (folder) => ({ workingDir: path.join(folder, "../links") }), /out is a link that leads out/],
  ["a file of a package that is not there", () => ({ npm: ["./nothing.tgz"] }), /nothing\.tgz cannot be used/],
  ["a registry that does not answer", () => ({ npm: ["left-pad@1.0.0"] }), /left-pad@1\.0\.0.*could not be installed.*ECONNREFUSED/s],
  ["a lock file that is not there", (folder) => ({ workingDir: folder, npm: "lock" }), /has no package-lock\.json/],
  [
    "a setup that throws",
    () => ({
      setup: () => {
        throw new Error("setup says no");
      },
    }),
    /setup says no/,
  ],
  ["a setup module that is not there", (folder) => ({ workingDir: folder, setup: "./no.js" }), /no\.js/],
];
for (const [what, runtimeEnvOf, why] of WRONG) {
  test(`RuntimeEnvError for tasks and actors, in bounded time, and others go on: ${what}`, async (t) => {
    const { folder } = await project(t);
    writeFiles(folder, { "broken.tgz": "no", "../links/a": "" });
    fs.symlinkSync("/etc", path.join(folder, "../links/out"));
    const runtimeEnv = runtimeEnvOf(folder);
    const check = (error: unknown): void => {
      assert.ok(error instanceof ray.RuntimeEnvError, String(error));
      assert.match(error.message, why);
    };
    check(await rejectionOf(ray.get(ray.remote(() => 1, { runtimeEnv }).remote(), { timeoutMs: 60_000 })));
    const Actor = ray.remote(
      class {
        one = (): number => 1;
      },
      { runtimeEnv },
    );
    check(await rejectionOf(ray.get(Actor.remote().one.remote(), { timeoutMs: 60_000 })));
    assert.equal(await ray.get(ray.remote(() => 1, { runtimeEnv: { workingDir: path.join(folder, "lib") } }).remote()), 1);
    const [node] = await counts();
    assert.equal(node!.waiting, 0);
  });
}

test("what was wrong and is mended works with the same remote function", async (t) => {
  const later = path.join(folderFor(t), "later");
  const list = ray.remote(() => fs.readdirSync("."), { runtimeEnv: { workingDir: later } });
  assert.ok((await rejectionOf(ray.get(list.remote()))) instanceof ray.RuntimeEnvError);
  writeFiles(later, { "a.txt": "" });
  assert.deepEqual(await ray.get(list.remote()), ["a.txt"]);
});

test("a full disk is an error that says so, and with room it goes on", async (t) => {
  const folder = writeFiles(path.join(folderFor(t), "project"), { "big.txt": "x".repeat(3 << 20) });
  const [daemon] = processesWith(fileMark).filter(({ command }) => /daemon\/main/.test(command));
  // A limit on the size of the daemon's files stands in for the disk.
  const limit = (bytes: number | "unlimited"): void => {
    const { status, stderr } = spawnSync("prlimit", ["--pid", String(daemon!.pid), `--fsize=${bytes}:unlimited`], { encoding: "utf8" });
    assert.equal(status, 0, stderr);
  };
  limit(1 << 20);
  t.after(() => limit("unlimited"));
  const size = ray.remote(() => fs.statSync("big.txt").size, { runtimeEnv: { workingDir: folder } });
  const error = await rejectionOf(ray.get(size.remote(), { timeoutMs: 60_000 }));
  assert.ok(error instanceof ray.RuntimeEnvError, String(error));
  assert.match(error.message, /could not be unpacked.*(disk|file).*(full|large)/is);
  limit("unlimited");
  assert.equal(await ray.get(size.remote()), 3 << 20);
});

test("an install that is slow keeps nobody else waiting", async (t) => {
  const { folder } = await project(t);
  const archive = path.join(folder, "../slow.tgz");
  const gate = path.join(folder, "../gate");
  const wait = `node -e "const i = setInterval(() => fs.existsSync('${gate}') && clearInterval(i), 20)"`;
  fs.writeFileSync(archive, packageArchive("slow", "1.0.0", { scripts: { postinstall: wait } }));
  const slow = ray.remote(() => 1, { runtimeEnv: { npm: [archive], npmScripts: true } });
  const refs = [slow.remote(), slow.remote(), slow.remote()];
  assert.deepEqual(await ray.get(Array.from({ length: 50 }, (_, i) => ray.remote((x: number) => x).remote(i)).slice(-1)), [49]);
  assert.equal((await ray.wait(refs, { timeoutMs: 0 }))[0].length, 0);
  fs.writeFileSync(gate, "");
  assert.deepEqual(await ray.get(refs, { timeoutMs: 60_000 }), [1, 1, 1]);
});
