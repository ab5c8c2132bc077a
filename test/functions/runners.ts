/**
 * The ways to run a program that the functions suite tries, each as a driver process and a plain worker process beside it.
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import type { BuildOptions } from "esbuild";
import { commonJsOnly, moduleOnly, typeScriptOnly } from "./cases-of-modules.ts";
import { cases } from "./cases.ts";
import type { Case } from "./cases.ts";
import type { Crossing, Outcome } from "./driver.ts";
import { refusals } from "./refusals.ts";

const here = import.meta.dirname;
const repository = path.resolve(here, "../..");
const tsx = pathToFileURL(path.join(repository, "node_modules/tsx/dist/loader.mjs")).href;
const timeoutMs = 60_000;

export interface Runner {
  readonly name: string;
  readonly node: string;
  readonly cases: readonly Case[];
  /** Flags of both processes. */
  readonly flags: readonly string[];
  /** Writes the program; gives what to start. */
  prepare(folder: string, output: string): Promise<readonly string[]>;
}

export interface Run {
  readonly crossings: ReadonlyMap<string, Crossing>;
  readonly outcomes: ReadonlyMap<string, Outcome>;
}

const esmHeader = (lib: string): string => `
import { define, checkNow, emit } from "mobula-codec";
import fs from "node:fs";
import net from "node:net";
import * as path from "node:path";
import { basename } from "path";
import libDefault, { helper, other as renamed, Base } from "${lib}";
import * as lib from "${lib}";
import dep, { depName } from "dep-esm";
import depCjs from "dep-cjs";
`;

const cjsHeader = `
const { define, checkNow, emit } = require("mobula-codec");
const fs = require("node:fs");
const net = require("node:net");
const path = require("path");
const { basename } = require("node:path");
const lib = require("./lib.cjs");
const { helper, Base, other: renamed, default: libDefault } = lib;
const { depName, default: dep } = require("dep-esm");
const depCjs = require("dep-cjs");
`;

function body(list: readonly Case[]): string {
  return [...list, ...refusals].map(({ name, code }) => code.replaceAll("CASE(", `define(${JSON.stringify(name)}, `)).join("\n");
}

function program(header: string, list: readonly Case[], output: string): string {
  return `${header}\n${body(list)}\nemit(${JSON.stringify(output)});\n`;
}

function scriptRunner(
  name: string,
  file: string,
  header: string,
  list: readonly Case[],
  node: string,
  flags: readonly string[] = [],
): Runner {
  const prepare = (folder: string, output: string): Promise<readonly string[]> => {
    fs.writeFileSync(path.join(folder, file), program(header, list, output));
    return Promise.resolve([path.join(folder, file)]);
  };
  return { name, node, cases: list, flags, prepare };
}

function bundleRunner(name: string, format: "esm" | "cjs", list: readonly Case[], options: BuildOptions): Runner {
  const prepare = async (folder: string, output: string): Promise<readonly string[]> => {
    const entry = path.join(folder, `${name.replaceAll(" ", "-")}.mjs`);
    fs.writeFileSync(entry, program(esmHeader("./lib.mjs"), list, output));
    const outfile = path.join(folder, name.replaceAll(" ", "-"), `program.${format === "esm" ? "mjs" : "cjs"}`);
    await build({
      entryPoints: [entry],
      outfile,
      bundle: true,
      format,
      platform: "node",
      external: ["mobula-codec"],
      logLevel: "error",
      ...options,
    });
    return [outfile];
  };
  return { name, node: process.execPath, cases: list, flags: [], prepare };
}

function vitestRunner(list: readonly Case[]): Runner {
  const prepare = (folder: string, output: string): Promise<readonly string[]> => {
    const own = path.join(folder, "vitest");
    fs.mkdirSync(own);
    for (const file of ["lib.mjs", "data.json"]) fs.copyFileSync(path.join(folder, file), path.join(own, file));
    const end = `test("emit", () => { emit(${JSON.stringify(output)}); });`;
    const text = `import { test } from "vitest";${esmHeader("./lib.mjs")}${body(list)}\n${end}\n`;
    fs.writeFileSync(path.join(own, "program.test.ts"), text);
    return Promise.resolve([path.join(repository, "node_modules/vitest/vitest.mjs"), "run", "--root", own, "--reporter", "dot"]);
  };
  return { name: "vitest", node: process.execPath, cases: list, flags: [], prepare };
}

const esmCases = [...cases, ...moduleOnly];
const cjsCases = [...cases, ...commonJsOnly];

function stripsTypes(version: string): boolean {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  return major > 22 || (major === 22 && minor >= 18);
}

/** Node binaries to try besides this one, separated as in PATH. */
const others = (process.env["MOBULA_TEST_NODES"] ?? "").split(path.delimiter).filter((one) => one !== "");

export const runners: readonly Runner[] = [
  scriptRunner("esm", "program.mjs", esmHeader("./lib.mjs"), esmCases, process.execPath),
  scriptRunner("cjs", "program.cjs", cjsHeader, cjsCases, process.execPath),
  scriptRunner("tsx", "program.ts", esmHeader("./lib.ts"), [...esmCases, ...typeScriptOnly], process.execPath, ["--import", tsx]),
  scriptRunner("tsx cjs", "commonjs/program.ts", esmHeader("./lib.ts"), [...cases, ...typeScriptOnly], process.execPath, ["--import", tsx]),
  bundleRunner("bundle esm", "esm", esmCases, { keepNames: true }),
  bundleRunner("bundle cjs", "cjs", cases, {}),
  bundleRunner("bundle minified", "esm", esmCases, { minify: true, keepNames: true }),
  vitestRunner([...esmCases, ...typeScriptOnly]),
  ...(stripsTypes(process.version)
    ? [scriptRunner("type stripping", "program-strip.ts", esmHeader("./lib.ts"), [...cases, ...typeScriptOnly], process.execPath)]
    : []),
  ...others.flatMap((node, index) => [
    scriptRunner(`type stripping, ${node}`, `program-strip-${index}.ts`, esmHeader("./lib.ts"), [...cases, ...typeScriptOnly], node),
    scriptRunner(`esm, ${node}`, `program-${index}.mjs`, esmHeader("./lib.mjs"), cases, node),
    scriptRunner(`cjs, ${node}`, `program-${index}.cjs`, cjsHeader, cases, node),
  ]),
];

/** Said aloud when nothing here can strip types. */
export const typeStrippingTried = stripsTypes(process.version) || others.length > 0;

const lib = `
let calls = 0;
const base = 5;
const inner = (n) => n + base;
export const LIMIT = 100;
export function helper(x) { calls++; return x + 10; }
export { helper as other };
export default function (x) { return x * 2; }
export const answer = () => LIMIT - 58;
export class Base { hello() { return "hello"; } }
export const makeHidden = (n) => () => inner(n);
`;

/** A temporary folder with the modules, packages and the bundled codec that every program uses. */
export async function makeFolder(): Promise<string> {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "mobula-functions-")));
  const write = (file: string, text: string): void => {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  };
  write("package.json", '{ "type": "module" }');
  write("data.json", '{ "count": 3 }');
  write("lib.mjs", lib);
  write("lib.ts", lib.replace("(x) {", "(x: number): number {"));
  write("commonjs/package.json", "{}");
  write("commonjs/lib.ts", lib);
  const names = "LIMIT, helper, other: helper, default: timesTwo, answer, Base, makeHidden";
  write(
    "lib.cjs",
    `${lib.replace("export { helper as other };", "").replace("export default function", "function timesTwo").replaceAll("export ", "")}
module.exports = { ${names} };`,
  );
  write("node_modules/dep-esm/package.json", '{ "type": "module", "exports": "./index.js" }');
  write("node_modules/dep-esm/index.js", 'export const depName = "dep"; export default (x) => "dep " + x;');
  write("node_modules/dep-cjs/package.json", "{}");
  write("node_modules/dep-cjs/index.js", 'exports.shout = (x) => x.toUpperCase() + "!";');
  write("node_modules/mobula-codec/package.json", '{ "type": "module", "exports": "./index.js" }');
  await build({
    entryPoints: [path.join(here, "driver.ts")],
    outfile: path.join(folder, "node_modules/mobula-codec/index.js"),
    bundle: true,
    format: "esm",
    platform: "node",
    target: "node20",
    logLevel: "error",
    keepNames: true,
  });
  for (const name of ["vitest", "acorn"])
    fs.symlinkSync(path.join(repository, "node_modules", name), path.join(folder, "node_modules", name));
  write("worker.mjs", 'import { work } from "mobula-codec"; await work(process.argv[2], process.argv[3]);');
  return folder;
}

function start(node: string, args: readonly string[], cwd: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, NODE_OPTIONS: "", NO_COLOR: "1" };
    const child = spawn(node, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"], timeout: timeoutMs, killSignal: "SIGKILL" });
    let said = "";
    child.stdout.on("data", (text: Buffer) => (said += text.toString()));
    child.stderr.on("data", (text: Buffer) => (said += text.toString()));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      if (code === 0) resolve();
      else reject(new Error(`${node} ${args.join(" ")} ended with ${code ?? signal}:\n${said.slice(-4000)}`));
    });
  });
}

function table<T extends { readonly name: string }>(file: string): Map<string, T> {
  return new Map((JSON.parse(fs.readFileSync(file, "utf8")) as T[]).map((one) => [one.name, one]));
}

/** Runs the whole table in one driver and one worker. */
export async function run(runner: Runner, folder: string): Promise<Run> {
  const id = runner.name.replaceAll(/\W+/g, "-");
  const output = path.join(folder, `${id}.crossings.json`);
  const results = path.join(folder, `${id}.outcomes.json`);
  const program = await runner.prepare(folder, output);
  await start(runner.node, [...runner.flags, ...program], folder);
  await start(runner.node, [...runner.flags, path.join(folder, "worker.mjs"), output, results], os.tmpdir());
  return { crossings: table<Crossing>(output), outcomes: table<Outcome>(results) };
}
