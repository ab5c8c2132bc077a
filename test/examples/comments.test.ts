/**
 * The examples in the comments of the public API: each is run and prints what it says, and all of them compile. They are parts of one
 * program, because a process and a compiler for each would take a minute; each still starts and ends the cluster that it uses.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { freshFolder, leakChecked, runProgram } from "../harness/index.ts";
import { filesBelow, readText, root } from "../house/sources.ts";

leakChecked("at the end");

interface Example {
  readonly title: string;
  readonly source: string;
}

/** Those of mobula/client need a head and its token, and are run beside its tests. */
const files = filesBelow("src", /\.ts$/).filter((file) => !file.startsWith("src/client/"));
const examples: Example[] = files.flatMap((file) =>
  [...readText(file).matchAll(/^ *\* @example\n *\* ```ts\n([^]*?)^ *\* ```$/gm)].map(([, body], i) => ({
    title: `${file}, example ${i + 1}`,
    source: body!.replaceAll(/^ *\* ?/gm, ""),
  })),
);

const MARK = "-- example ";
const IMPORT = /^import (?:\{ (.+) \}|\* as ray) from "(mobula(?:\/\w+)?)";\n/gm;

/** One program: all imports, then each example as a function of its own, called in turn. */
function programOf(all: readonly Example[]): string {
  const names = new Map<string, Set<string>>([["mobula", new Set(["ray"])]]);
  const bodies = all.map(({ source }, i) => {
    const body = source.replaceAll(IMPORT, (_, list: string | undefined, from: string) => {
      const known = names.get(from) ?? new Set();
      for (const name of list?.split(", ") ?? []) known.add(name);
      names.set(from, known);
      return "";
    });
    return `async function example${i}() {\n${body}}\nconsole.log("${MARK}${i}");\nawait example${i}();\n`;
  });
  const imports = [...names].map(([from, known]) => {
    const named = [...known].filter((name) => name !== "ray").join(", ");
    return `${known.has("ray") ? `import * as ray from "${from}";\n` : ""}import { ${named} } from "${from}";\n`;
  });
  return imports.join("") + bodies.join("");
}

/** What the comments behind console.log say that it prints, and what it did print, without what only lays it out. */
const bare = (text: string): string => text.replaceAll(/[\s,'"]/g, "");
const saidToPrint = (program: string): string => [...program.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, said]) => said).join("");

const compilerOptions = {
  module: "nodenext",
  target: "es2022",
  lib: ["es2023", "esnext.disposable"],
  types: ["node"],
  typeRoots: [path.join(root, "node_modules/@types")],
  strict: true,
  outDir: "out",
};

const printed = new Map<number, string>();
let compiled = "";
let stderr = "";

before(async () => {
  const folder = freshFolder({ after });
  fs.writeFileSync(path.join(folder, "program.ts"), programOf(examples));
  fs.writeFileSync(path.join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["program.ts"] }));
  // Compiled, so that no worker has to load a loader.
  compiled = spawnSync(path.join(root, "node_modules/.bin/tsc"), ["-p", folder], { encoding: "utf8" }).stdout;
  const ended = await runProgram(undefined, path.join(folder, "out/program.js"), { timeoutMs: 120_000 });
  stderr = ended.stderr;
  for (const part of ended.stdout.split(MARK).slice(1)) {
    const end = part.indexOf("\n");
    printed.set(Number(part.slice(0, end)), part.slice(end + 1));
  }
  // The last one that began is the one that failed.
  if (ended.code !== 0) printed.delete(printed.size - 1);
});

test("every name with an example is among them", () => {
  assert.ok(examples.length >= 40, `${examples.length} examples`);
});

for (const [i, { title, source }] of examples.entries()) {
  test(title, () => {
    assert.ok(printed.has(i), `it failed, or one before it did:\n${stderr}`);
    const said = saidToPrint(source);
    if (said !== "") assert.equal(bare(printed.get(i)!), bare(said), source);
  });
}

test("the examples compile", () => {
  assert.equal(compiled, "", programOf(examples));
});
