/** What would be published: the right files, every entry there, and a program that imports it from an empty folder. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { leakChecked, runProgram } from "../harness/index.ts";
import { filesBelow, readText, root, withoutComments } from "../house/sources.ts";

leakChecked("at the end");

interface Manifest {
  exports: Record<string, string | { types: string; default: string }>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  engines: { node: string };
  scripts: Record<string, string>;
}
const manifest = JSON.parse(readText("package.json")) as Manifest;

test("dependencies are pinned exactly, and nothing runs at install time", () => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    assert.match(version, /^\d+\.\d+\.\d+$/, name);
  }
  assert.deepEqual(Object.keys(manifest.dependencies), ["acorn", "ignore", "koffi", "msgpackr"]);
  for (const name of ["preinstall", "install", "postinstall", "prepare"]) assert.equal(manifest.scripts[name], undefined, name);
  assert.match(readText(".npmrc"), /^ignore-scripts=true$/m);
  assert.equal(manifest.engines.node, ">=20.19");
});

test("the lock file has every package, those for other platforms too, and no address", () => {
  const lock = JSON.parse(readText("package-lock.json")) as {
    packages: Record<string, { optionalDependencies?: Record<string, string>; resolved?: string }>;
  };
  // npm ci refuses a lock file that lacks one; npm run lock completes it.
  const missing = Object.entries(lock.packages).flatMap(([place, entry]) =>
    Object.keys(entry.optionalDependencies ?? {}).filter(
      (name) => !(`node_modules/${name}` in lock.packages) && !(`${place}/node_modules/${name}` in lock.packages),
    ),
  );
  assert.deepEqual(missing, []);
  assert.deepEqual(
    Object.entries(lock.packages).flatMap(([place, entry]) => (entry.resolved === undefined ? [] : [place])),
    [],
  );
});

test("continuous integration runs npm ci and npm test, and nothing else", () => {
  const commands = readText(".ci/run")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  assert.deepEqual(commands, ["set -e", `cd "$(dirname "$0")/.."`, "npm ci", "npm test"]);
  assert.ok((fs.statSync(path.join(root, ".ci/run")).mode & 0o100) !== 0, "it can be executed");
});

/** Packs the package and unpacks it as a dependency of an empty project, whose folder it gives. */
function packed(t: TestContext): { folder: string; names: Set<string> } {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "pack-"));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  const answer = execFileSync("npm", ["pack", "--json", "--pack-destination", folder], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  const [{ filename, files }] = JSON.parse(answer) as [{ filename: string; files: Array<{ path: string }> }];
  const target = path.join(folder, "node_modules/mobula");
  fs.mkdirSync(target, { recursive: true });
  execFileSync("tar", ["xzf", path.join(folder, filename), "--strip-components=1", "-C", target]);
  for (const name of fs.readdirSync(path.join(root, "node_modules"))) {
    if (!name.startsWith(".") && name !== "mobula")
      fs.symlinkSync(path.join(root, "node_modules", name), path.join(folder, "node_modules", name));
  }
  return { folder, names: new Set(files.map((file) => file.path)) };
}

test("the packed package has its entries, sources and maps, and no tests", (t) => {
  const { names } = packed(t);
  for (const name of ["README.md", "LICENSE", "CHANGELOG.md", "package.json"]) assert.ok(names.has(name), name);
  for (const target of Object.values(manifest.exports)) {
    for (const file of typeof target === "string" ? [target] : [target.types, target.default]) assert.ok(names.has(file.slice(2)), file);
  }
  for (const name of names) {
    assert.match(name, /^(dist|src)\/|^(README|CHANGELOG)\.md$|^LICENSE$|^package\.json$/);
    assert.doesNotMatch(name, /\.test\./);
    if (name.startsWith("src/") && !name.endsWith(".d.ts")) {
      const output = name.replace(/^src/, "dist").replace(/\.ts$/, "");
      for (const ending of [".js", ".js.map", ".d.ts", ".d.ts.map"]) assert.ok(names.has(output + ending), output + ending);
    }
  }
});

const CONSUMER = `import * as ray from "mobula";
import { Pool } from "mobula/util";
import { objectStore } from "mobula/state";

const plusOne = ray.remote((x: number) => x + 1);
const answer: number = await ray.get(plusOne.remote(plusOne.remote(40)));
console.log(typeof ray.init, typeof Pool, typeof objectStore, answer);
await ray.shutdown();
`;

test("the packed package runs from elsewhere, from ESM and from CommonJS", async (t) => {
  const { folder } = packed(t);
  const cjs = `const ray = require("mobula");
    ray.get(ray.remote((x) => x + 1).remote(41)).then((answer) => { console.log(answer); return ray.shutdown(); });`;
  fs.writeFileSync(path.join(folder, "program.mts"), CONSUMER);
  fs.writeFileSync(path.join(folder, "program.cjs"), cjs);
  const esm = await runProgram(t, path.join(folder, "program.mts"), { cwd: folder });
  assert.equal(esm.code, 0, esm.stderr);
  assert.equal(esm.stdout, "function function function 42\n");
  const common = await runProgram(t, path.join(folder, "program.cjs"), { cwd: folder });
  assert.equal(common.code, 0, common.stderr);
  assert.equal(common.stdout, "42\n");
});

const EXPORTS = `import * as ray from "mobula";
import { Pool, Queue, asCompleted } from "mobula/util";
export class Adder { add(x: number) { return x; } }
export const square = ray.remote((x: number) => x * x);
export const RemoteAdder = ray.remote(Adder);
export const adder = RemoteAdder.remote();
export const ref = square.remote(1);
export const stored = ray.put({ a: 1 });
export const method = adder.add;
export const node = square.bind(1);
export const pair = ray.remote((): [number, string] => [1, "a"], { numReturns: 2 }).remote();
export const stream = ray.remote(function* () { yield 1; }).remote();
export const find = () => ray.getActor<typeof Adder>("x");
export const waits = () => ray.wait([ref]);
export const buffer = () => ray.createBuffer(5, Float64Array);
export const group = ray.placementGroup([{ CPU: 1 }]);
export const place = ray.inPlacementGroup(group);
export const starts = () => ray.init();
export const context = () => ray.getRuntimeContext();
export const pool = new Pool(1);
export const mapped = () => pool.imap((x: number) => x, [1]);
export const queue = new Queue<number>();
export const completed = () => asCompleted([ref]);
`;

test("the packed types hold in a project that checks libraries too, with either module resolution", (t) => {
  const { folder } = packed(t);
  fs.writeFileSync(path.join(folder, "program.mts"), CONSUMER);
  // The type tests of the sources, as a user's code: what must not compile must not do so there either.
  const files = ["program.mts"];
  for (const name of fs.readdirSync(path.join(root, "test/types"))) {
    const text = readText(`test/types/${name}`)
      .replaceAll("../../src/api/index.ts", "mobula")
      .replaceAll(/\.\.\/\.\.\/src\/(util|state)\/index\.ts/g, "mobula/$1");
    assert.doesNotMatch(text, /\/src\//);
    files.push(name);
    fs.writeFileSync(path.join(folder, name), text);
  }
  fs.writeFileSync(path.join(folder, "package.json"), `{ "type": "module" }`);
  // Everything a user's module can export has a name that its declarations can use.
  fs.writeFileSync(path.join(folder, "exports.mts"), EXPORTS);
  files.push("exports.mts");
  for (const [module, moduleResolution] of [
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    const compilerOptions = {
      module,
      moduleResolution,
      target: "es2022",
      lib: ["es2023", "esnext.disposable"],
      types: ["node"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      allowImportingTsExtensions: true,
      skipLibCheck: false,
      rewriteRelativeImportExtensions: true,
      declaration: true,
      emitDeclarationOnly: true,
      outDir: path.join(folder, "declarations"),
    };
    fs.writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const { status, stdout } = spawnSync(path.join(root, "node_modules/.bin/tsc"), ["-p", folder], { encoding: "utf8" });
    assert.equal(status, 0, stdout);
  }
});

test("what users see in the types is never any", () => {
  // Of the declarations, comments apart; in a condition it is how generic code is written.
  const declarations = filesBelow("dist/api", /\.d\.ts$/).concat(filesBelow("dist/util", /\.d\.ts$/), filesBelow("dist/state", /\.d\.ts$/));
  assert.ok(declarations.length > 10, "the package is built");
  for (const file of declarations) assert.doesNotMatch(withoutComments(readText(file)), /[:<,|]\s*any\b/, file);
});
