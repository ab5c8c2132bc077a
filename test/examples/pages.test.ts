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
