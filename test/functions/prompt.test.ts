/**
 * Programs without a file: `node -e`, standard input, the prompt; and a process without an inspector.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import type { Crossing, Outcome } from "./driver.ts";
import { makeFolder } from "./runners.ts";

let folder = "";
before(async () => {
  folder = await makeFolder();
});
after(() => fs.rmSync(folder, { recursive: true, force: true }));

function node(args: readonly string[], input: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: folder,
      env: { ...process.env, NODE_OPTIONS: "" },
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    let said = "";
    child.stdout.on("data", (text: Buffer) => (said += text.toString()));
    child.stderr.on("data", (text: Buffer) => (said += text.toString()));
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(said) : reject(new Error(`ended with ${code}: ${said}`))));
    child.stdin.end(input);
  });
}

async function outcomes(name: string): Promise<{ crossings: Crossing[]; results: unknown[] }> {
  const [crossed, worked] = [path.join(folder, `${name}.json`), path.join(folder, `${name}.out.json`)];
  await node([path.join(folder, "worker.mjs"), crossed, worked], "");
  const results = (JSON.parse(fs.readFileSync(worked, "utf8")) as Outcome[]).map((one) => one.error ?? one.result);
  return { crossings: JSON.parse(fs.readFileSync(crossed, "utf8")) as Crossing[], results };
}

const script = (output: string): string => `
const { define, emit } = require("mobula-codec");
var viaVar = 1;
let viaLet = 2;
function declared(x) { return x + viaVar; }
class Kept { #n = 3; read() { return this.#n + viaLet; } }
define("variables", () => () => declared(10) + viaLet);
define("class", () => () => new Kept().read());
define("modules", () => async () => [typeof fs.readFileSync, path.join("a", "b"), (await import("dep-esm")).depName]);
emit(${JSON.stringify(output)});
`;

const expected = [13, 5, ["function", "a/b", "dep"]];

describe("programs without a file", () => {
  test("node -e", async () => {
    await node(["-e", script(path.join(folder, "e.json"))], "");
    assert.deepEqual((await outcomes("e")).results, expected);
  });

  test("standard input", async () => {
    const text = `const fs = require("fs"); const path = require("path");${script(path.join(folder, "stdin.json"))}`;
    await node(["-"], text);
    assert.deepEqual((await outcomes("stdin")).results, expected);
  });

  test("node -e with modules", async () => {
    const text = `import { define, emit } from "mobula-codec"; import { helper } from "./lib.mjs"; import * as path from "node:path";
      const k = 1;
      export const shown = () => helper(k) + path.basename("/x/y"); define("exported", () => shown);
      emit(${JSON.stringify(path.join(folder, "m.json"))});`;
    await node(["--input-type=module", "-e", text], "");
    assert.deepEqual((await outcomes("m")).results, ["11y"]);
  });

  test("the prompt", async () => {
    await node(["-i"], script(path.join(folder, "repl.json")));
    assert.deepEqual((await outcomes("repl")).results, expected);
  });
});

test("without an inspector, what needs none crosses, the rest says what to do", async () => {
  const output = path.join(folder, "none.json");
  const text = `import { createRequire } from "node:module";
    createRequire(import.meta.url)("node:inspector").Session = class { constructor() { throw new Error("denied"); } };
    const { define, emit } = await import("mobula-codec"); const k = 1;
    define("free", () => (x = 2) => [x, Math.max(x, 3)]); define("tied", () => () => k); emit(${JSON.stringify(output)});`;
  await node(["--input-type=module", "-e", text], "");
  const { crossings, results } = await outcomes("none");
  assert.deepEqual(results, [[2, 3]]);
  assert.match(crossings[1]?.error?.message ?? "", /it uses 'k', and Node's inspector.*\{ captures: \{ k \} \}/);
});
