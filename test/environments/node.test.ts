/** The node's part: environments made once for all who want them, counted, and removed when they are not used. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import fs from "node:fs";
import path from "node:path";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { printDescription } from "../../src/runtime/environments/description.ts";
import { Environments } from "../../src/runtime/environments/environments.ts";
import { withLock } from "../../src/runtime/environments/file-lock.ts";
import { FolderStore } from "../../src/runtime/environments/store.ts";
import type { PackageStore } from "../../src/runtime/environments/store.ts";
import { uploadEnvironment } from "../../src/runtime/environments/upload.ts";
import type { GivenEnvironment } from "../../src/runtime/environments/upload.ts";
import { waitUntil } from "../harness/wait.ts";
import { folderFor } from "./folders.ts";
import { packageArchive, startRegistry, writeFiles } from "./projects.ts";

const mobula = path.resolve(import.meta.dirname, "../..");

before(() => {
  // npm of the test's own, which never looks elsewhere and never waits for what does not answer.
  Object.assign(process.env, { npm_config_registry: "http://127.0.0.1:9/", npm_config_fetch_retries: "0" });
});

interface World {
  readonly folder: string;
  readonly store: FolderStore;
  node(cacheBytes?: number): Environments;
  describe(given: GivenEnvironment): Promise<string>;
}

function world(t: TestContext): World {
  const folder = folderFor(t);
  const store = new FolderStore(path.join(folder, "packages"));
  process.env["npm_config_cache"] = path.join(folder, "npm-cache");
  const nodes: Environments[] = [];
  t.after(async () => {
    for (const node of nodes) await node.close();
  });
  return {
    folder,
    store,
    node: (cacheBytes) => {
      const node = new Environments({ home: path.join(folder, "home"), packages: store, mobula, cacheBytes });
      nodes.push(node);
      return node;
    },
    describe: async (given) => {
      const uploading = { store, published: () => Promise.resolve(), originOf: (url: string) => url };
      return printDescription(await uploadEnvironment(given, uploading))!;
    },
  };
}

/** What a module that imports `specifier` from a folder gets, in a process of its own. */
function imported(folder: string, specifier: string, what = "version"): string {
  const program = `const m = await import(${JSON.stringify(specifier)}); console.log(String(m[${JSON.stringify(what)}]))`;
  const file = path.join(folder, `try-${Math.random()}.mjs`);
  fs.writeFileSync(file, program);
  return execFileSync(process.execPath, [file], { encoding: "utf8", cwd: folder }).trim();
}

const rejects = (promise: Promise<unknown>, pattern: RegExp): Promise<void> =>
  assert.rejects(promise, (error: Error & { code?: string }) => {
    assert.equal(error.code, "RUNTIME_ENV_FAILED", error.stack);
    assert.match(error.message, pattern);
    return true;
  });

test("a working directory is unpacked once for all who ask, finds mobula, and is counted", async (t) => {
  const { folder, node, describe } = world(t);
  const project = writeFiles(path.join(folder, "project"), { "main.mjs": "", "lib/a.txt": "a" });
  const text = await describe({ workingDir: project });
  const nodes = node();
  const all = await Promise.all(Array.from({ length: 5 }, () => nodes.prepare(text)));
  assert.equal(new Set(all.map(({ workDir }) => workDir)).size, 1);
  const { workDir, origin } = all[0]!;
  assert.equal(origin, `${pathToFileURL(project).href}/`);
  assert.equal(fs.readFileSync(path.join(workDir!, "lib/a.txt"), "utf8"), "a");
  assert.equal(imported(workDir!, "mobula", "remote").slice(0, 15), "function remote");
  assert.deepEqual(nodes.state, { copies: 1, used: 1, bytes: 1 });
  for (let i = 0; i < 5; i++) nodes.release(text);
  assert.deepEqual(nodes.state, { copies: 1, used: 0, bytes: 1 });
  await nodes.close();
  assert.ok(!fs.existsSync(workDir!));
});

test("a working directory that is a package called mobula does not find itself by that name, but the engine of its node", async (t) => {
  const { folder, node, describe } = world(t);
  const own = { name: "mobula", type: "module", exports: "./own.js", version: "9.9.9" };
  const project = writeFiles(path.join(folder, "project"), {
    "package.json": JSON.stringify(own),
    "own.js": "export const remote = 'own';",
  });
  const { workDir } = await node().prepare(await describe({ workingDir: project }));
  assert.equal(imported(workDir!, "mobula", "remote").slice(0, 15), "function remote");
  const copy = JSON.parse(fs.readFileSync(path.join(workDir!, "package.json"), "utf8")) as object;
  assert.deepEqual(copy, { ...own, name: "mobula-working-directory" });
});

test("what is not used goes when all is too large, that of longest ago first; what is used stays", async (t) => {
  const { folder, node, describe } = world(t);
  const texts: string[] = [];
  for (const name of ["a", "b", "c"]) {
    texts.push(await describe({ workingDir: writeFiles(path.join(folder, name), { "x.txt": name.repeat(1000) }) }));
  }
  const nodes = node(2500);
  const places: string[] = [];
  for (const text of texts.slice(0, 2)) places.push((await nodes.prepare(text)).workDir!);
  nodes.release(texts[1]!);
  nodes.release(texts[0]!);
  places.push((await nodes.prepare(texts[2]!)).workDir!);
  await waitUntil(() => !fs.existsSync(places[1]!), "the one that was used longest ago is gone");
  assert.ok(fs.existsSync(places[0]!) && fs.existsSync(places[2]!));
  // It comes back when it is wanted, and those that are held stay though all is too large now.
  await nodes.prepare(texts[0]!);
  const again = (await nodes.prepare(texts[1]!)).workDir!;
  assert.equal(fs.readFileSync(path.join(again, "x.txt"), "utf8"), "b".repeat(1000));
  assert.deepEqual(nodes.state, { copies: 3, used: 3, bytes: 3000 });
});

test("npm packages from files are installed once for many nodes, and found by import and require", async (t) => {
  const { folder, node, describe } = world(t);
  fs.writeFileSync(path.join(folder, "tiny.tgz"), packageArchive("tiny", "1.2.3", { peerDependencies: {} }));
  writeFiles(path.join(folder, "other"), { "package.json": '{"name":"other","version":"7.0.0"}', "index.js": "exports.version = '7.0.0'" });
  const project = writeFiles(path.join(folder, "project"), { "lib/deep/uses.mjs": 'export { version } from "tiny";' });
  const npm = [path.join(folder, "tiny.tgz"), `file:${path.join(folder, "other")}`];
  const text = await describe({ workingDir: project, npm });
  const [one, two] = await Promise.all([node().prepare(text), node().prepare(text)]);
  assert.notEqual(one.workDir, two.workDir);
  for (const { workDir } of [one, two]) {
    assert.equal(imported(workDir!, "./lib/deep/uses.mjs"), "1.2.3");
    assert.equal(imported(workDir!, "other"), "7.0.0");
    assert.match(imported(workDir!, "mobula", "remote"), /^function remote/);
  }
  assert.equal(fs.realpathSync(path.join(one.workDir!, "../node_modules")), fs.realpathSync(path.join(two.workDir!, "../node_modules")));
  const installs = fs.readdirSync(path.join(folder, "home/npm")).filter((name) => /^[0-9a-f]{32}$/.test(name));
  assert.equal(installs.length, 1);
});

test("a range is looked up in the registry that the user has set, and a package that is not there says so", async (t) => {
  const { folder, node, describe } = world(t);
  const served = await startRegistry(t, { served: ["1.0.0", "1.5.0", "2.0.0"] });
  const project = writeFiles(path.join(folder, "project"), { ".npmrc": `registry=${served.url}\n`, "a.mjs": "" });
  process.env["npm_config_registry"] = "";
  delete process.env["npm_config_registry"];
  t.after(() => (process.env["npm_config_registry"] = "http://127.0.0.1:9/"));
  const nodes = node();
  const { workDir } = await nodes.prepare(await describe({ workingDir: project, npm: ["served@^1.0.0"] }));
  assert.equal(imported(workDir!, "served"), "1.5.0");
  assert.ok(served.asked.includes("/served"), served.asked.join());
  const missing = await describe({ workingDir: project, npm: ["not-there@1"] });
  await assert.rejects(nodes.prepare(missing), (error: Error & { lastLines?: string[] }) => {
    assert.match(error.message, /\(not-there@1\) could not be installed.*npm ended with 1.*404/s);
    assert.match(error.lastLines!.join("\n"), /404/);
    return true;
  });
  await rejects(nodes.prepare(await describe({ workingDir: project, npm: ["served@9"] })), /No matching version/);
  assert.equal(nodes.state.copies, 1);
  assert.deepEqual(
    fs.readdirSync(path.join(folder, "home/npm")).filter((name) => name.includes(".new-") || name.endsWith(".lock")),
    [],
  );
});

test("without a network the error has npm's own words", async (t) => {
  const { folder, node, describe } = world(t);
  const text = await describe({ workingDir: writeFiles(path.join(folder, "project"), { "a.mjs": "" }), npm: ["anything"] });
  await rejects(node().prepare(text), /could not be installed.*ECONNREFUSED/s);
});

test('"lock" installs what the lock file says, with packages of the project itself', async (t) => {
  const { folder, node, describe } = world(t);
  const project = path.join(folder, "project");
  writeFiles(project, {
    "package.json": JSON.stringify({ name: "p", version: "1.0.0", dependencies: { inner: "file:libs/inner", tiny: "file:tiny.tgz" } }),
    "libs/inner/package.json": '{"name":"inner","version":"3.0.0","type":"module","exports":"./index.js"}',
    "libs/inner/index.js": 'import { version as tiny } from "tiny"; export const version = `3 with ${tiny}`;',
  });
  fs.writeFileSync(path.join(project, "tiny.tgz"), packageArchive("tiny", "1.0.0"));
  execFileSync("npm", ["install", "--package-lock-only", "--ignore-scripts", "--no-audit"], { cwd: project, stdio: "pipe" });
  const { workDir } = await node().prepare(await describe({ workingDir: project, npm: "lock" }));
  assert.equal(imported(workDir!, "inner"), "3 with 1.0.0");
  fs.rmSync(path.join(project, "package-lock.json"));
  await rejects(node().prepare(await describe({ workingDir: project, npm: "lock" })), /has no package-lock\.json.*npm install/s);
  await rejects(node().prepare(await describe({ npm: "lock" })), /There is no working directory/);
});

test("install scripts run only when they are asked for", async (t) => {
  const { folder, node, describe } = world(t);
  const said = path.join(folder, "said");
  const scripts = { postinstall: `node -e "fs.writeFileSync('${said}', process.env.MOBULA_TOKEN ?? 'no token')"` };
  fs.writeFileSync(path.join(folder, "scripted.tgz"), packageArchive("scripted", "1.0.0", { scripts }));
  const npm = [path.join(folder, "scripted.tgz")];
  await node().prepare(await describe({ npm }));
  assert.ok(!fs.existsSync(said));
  process.env["MOBULA_TOKEN"] = "secret";
  t.after(() => delete process.env["MOBULA_TOKEN"]);
  await node().prepare(await describe({ npm, npmScripts: true }));
  assert.equal(fs.readFileSync(said, "utf8"), "no token");
});

test("installs that nobody uses go when they are too large together, those of living nodes stay", async (t) => {
  const { folder, node, describe } = world(t);
  const texts: string[] = [];
  for (const name of ["one", "two", "three"]) {
    fs.writeFileSync(path.join(folder, `${name}.tgz`), packageArchive(name, "1.0.0"));
    texts.push(await describe({ npm: [path.join(folder, `${name}.tgz`)] }));
  }
  const installed = (name: string): boolean =>
    fs.readdirSync(path.join(folder, "home/npm")).some((key) => fs.existsSync(path.join(folder, "home/npm", key, "node_modules", name)));
  const first = node();
  await first.prepare(texts[0]!);
  await first.close();
  await node().prepare(texts[1]!);
  assert.ok(installed("one") && installed("two"));
  await node(1).prepare(texts[2]!);
  assert.deepEqual(["one", "two", "three"].map(installed), [false, true, true]);
});

test("a lock whose holder died is taken over, and nobody has it with another", async (t) => {
  const folder = folderFor(t);
  const file = path.join(folder, "a.lock");
  const lock = path.resolve(import.meta.dirname, "../../src/runtime/environments/file-lock.ts");
  const holder = `import { withLock } from ${JSON.stringify(pathToFileURL(lock).href)};
    await withLock(${JSON.stringify(file)}, 1000, () => new Promise((r) => { console.log("held"); setInterval(() => {}, 1000); }));`;
  const script = writeFiles(folder, { "holder.mts": holder });
  const child = spawn(process.execPath, ["--import", import.meta.resolve("tsx"), path.join(script, "holder.mts")], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  await once(child.stdout, "data");
  await rejects(
    withLock(file, 100, () => Promise.resolve()),
    /could not be had/,
  );
  child.kill("SIGKILL");
  await once(child, "exit");
  let inside = 0;
  let most = 0;
  await Promise.all(
    Array.from({ length: 10 }, () =>
      withLock(file, 20_000, async () => {
        most = Math.max(most, ++inside);
        await new Promise(setImmediate);
        inside--;
      }),
    ),
  );
  assert.equal(most, 1);
  assert.deepEqual(fs.readdirSync(folder), ["holder.mts"]);
});

test("working copies of a node that was killed are removed by the next", async (t) => {
  const { folder, node, describe } = world(t);
  const text = await describe({ workingDir: writeFiles(path.join(folder, "project"), { "a.txt": "a" }) });
  const dead = path.join(folder, "home", "node-1-dead");
  writeFiles(dead, { "owner.json": JSON.stringify({ pid: process.pid, started: "1", space: fs.readlinkSync("/proc/self/ns/pid") }) });
  await node().prepare(text);
  assert.ok(!fs.existsSync(dead));
});

test("a home that others may write to is refused, and one that cannot be made says what to do", async (t) => {
  const { folder, node, describe } = world(t);
  const text = await describe({ workingDir: writeFiles(path.join(folder, "project"), { "a.txt": "a" }) });
  fs.mkdirSync(path.join(folder, "home"));
  fs.chmodSync(path.join(folder, "home"), 0o777);
  await rejects(node().prepare(text), /Others may write to it\. Set MOBULA_HOME/);
  fs.rmSync(path.join(folder, "home"), { recursive: true });
  fs.writeFileSync(path.join(folder, "home"), "a file");
  await rejects(node().prepare(text), /cannot be used.*MOBULA_HOME/s);
  fs.rmSync(path.join(folder, "home"));
  await node().prepare(text);
});

test("a package goes to the cluster once, and each node fetches it once", async (t) => {
  const { folder } = world(t);
  const counts = { put: 0, get: 0 };
  const central = new FolderStore(path.join(folder, "central"));
  const cluster: PackageStore = {
    has: (hash) => central.has(hash),
    put: (hash, bytes) => (counts.put++, central.put(hash, bytes)),
    get: (hash) => (counts.get++, central.get(hash)),
  };
  const project = writeFiles(path.join(folder, "project"), { "a.txt": "a" });
  const stores = ["driver", "one", "two"].map((name) => new FolderStore(path.join(folder, name), cluster));
  const upload = { store: stores[0]!, published: () => Promise.resolve(), originOf: (url: string) => url };
  const text = printDescription(await uploadEnvironment({ workingDir: project }, upload))!;
  assert.equal(printDescription(await uploadEnvironment({ workingDir: project }, upload)), text);
  assert.deepEqual(counts, { put: 1, get: 0 });
  const nodes = stores.slice(1).map((packages, i) => new Environments({ home: path.join(folder, `home-${i}`), packages, mobula }));
  t.after(() => Promise.all(nodes.map((node) => node.close())));
  await Promise.all(nodes.flatMap((node) => [node.prepare(text), node.prepare(text)]));
  assert.deepEqual(counts, { put: 1, get: 2 });
  const [file] = fs.readdirSync(path.join(folder, "central"));
  fs.appendFileSync(path.join(folder, "central", file!), "damage");
  const late = new Environments({
    home: path.join(folder, "late"),
    packages: new FolderStore(path.join(folder, "late-packages"), cluster),
    mobula,
  });
  t.after(() => late.close());
  await rejects(late.prepare(text), /damaged on its way/);
});

test("bad input is refused where it was given", async (t) => {
  const { folder, describe } = world(t);
  await rejects(describe({ workingDir: path.join(folder, "nothing") }), /There is no such file or folder/);
  writeFiles(folder, { "file.txt": "", "broken.zip": "PK no", "pkg.zip": "", "empty/x": "" });
  await rejects(describe({ workingDir: path.join(folder, "file.txt") }), /It is no folder, and no archive/);
  await rejects(describe({ workingDir: path.join(folder, "broken.zip") }), /broken\.zip cannot be used.*broken/s);
  await rejects(describe({ npm: [path.join(folder, "nothing.tgz")] }), /npm package .*nothing\.tgz cannot be used/);
  await rejects(describe({ npm: [path.join(folder, "pkg.zip")] }), /npm does not read zip/);
  await rejects(describe({ npm: [path.join(folder, "empty")] }), /no package\.json/);
  assert.deepEqual(fs.existsSync(path.join(folder, "packages")) ? fs.readdirSync(path.join(folder, "packages")) : [], []);
});
