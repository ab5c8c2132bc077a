/** What the pages and the comments of the API show as runnable is run, and prints what they say. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { freshFolder, leakChecked, runProgram } from "../harness/index.ts";
import { fencesOf } from "../house/documents.ts";
import { filesBelow, readText } from "../house/sources.ts";

leakChecked();

for (const page of filesBelow("", /\.md$/)) {
  const fences = fencesOf(readText(page));
  for (const [i, fence] of fences.entries()) {
    if (fence.info !== "ts run") continue;
    test(`${page}:${fence.line} runs as it stands`, async (t) => {
      const file = path.join(freshFolder(t), "program.ts");
      fs.writeFileSync(file, fence.body);
      const { code, stdout, stderr } = await runProgram(t, file);
      assert.equal(code, 0, stderr);
      const next = fences[i + 1];
      if (next?.info === "text prints") assert.equal(stdout.trimEnd(), next.body.trimEnd());
    });
  }
}

/** The programs in the comments of a source file. */
function examplesIn(source: string): string[] {
  return [...source.matchAll(/^ \* @example\n \* ```ts\n([^]*?)^ \* ```$/gm)].map(([, body]) => body!.replaceAll(/^ \* ?/gm, ""));
}

/** What the comments behind console.log say that it prints, and what it did print, without what only lays it out. */
const bare = (text: string): string => text.replaceAll(/[\s,'"]/g, "");
function saidToPrint(program: string): string {
  return [...program.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, said]) => said).join("");
}

for (const file of [...filesBelow("src/api", /\.ts$/), ...filesBelow("src/util", /\.ts$/), ...filesBelow("src/state", /\.ts$/)]) {
  for (const [i, program] of examplesIn(readText(file)).entries()) {
    test(
      `${file}, example ${i + 1}`,
      { skip: process.env["MOBULA_DOC_EXAMPLES"] === undefined && "slow: set MOBULA_DOC_EXAMPLES" },
      async (t) => {
        const target = path.join(freshFolder(t), "program.ts");
        fs.writeFileSync(target, program);
        const { code, stdout, stderr } = await runProgram(t, target);
        assert.equal(code, 0, stderr);
        const said = saidToPrint(program);
        if (said !== "") assert.equal(bare(stdout), bare(said), program);
      },
    );
  }
}
