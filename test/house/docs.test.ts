/** The pages: links lead somewhere, lists are whole. What is marked as runnable is run by test/examples/pages.test.ts. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { anchorsOf, brokenLinks, fencesOf } from "./documents.ts";
import { filesBelow, readText } from "./sources.ts";

const pages = filesBelow("", /\.md$/);

test("relative links lead somewhere, headings included", () => {
  assert.ok(pages.includes("README.md") && pages.includes("docs/decisions/README.md"), pages.join());
  assert.deepEqual(
    pages.flatMap((file) => brokenLinks(file, readText(file))),
    [],
  );
});

test("a link to nowhere is found", () => {
  assert.deepEqual(brokenLinks("docs/x.md", "[a](nothing.md) [b](../README.md) [c](../README.md#nowhere) [d](../README.md#develop)"), [
    "docs/x.md: nothing.md is not there",
    "docs/x.md: ../README.md#nowhere has no such heading",
  ]);
  assert.deepEqual(anchorsOf("# A `b` (c), d\n```\n# no\n```\n## E-f"), ["a-b-c-d", "e-f"]);
});

test("every example is in the README's table, and every file that the table names is there", () => {
  const named = [...readText("README.md").matchAll(/\]\((examples\/[\w-]+\.ts)\)/g)].map(([, file]) => file!).sort();
  const there = filesBelow("examples", /\.ts$/).filter((file) => file.split("/").length === 2);
  assert.deepEqual(named, there);
});

test("every decision is in the list, by its number and title", () => {
  const list = readText("docs/decisions/README.md");
  const decisions = filesBelow("docs/decisions", /^\d{4}-.*\.md$/);
  assert.ok(decisions.length >= 8);
  for (const file of decisions) {
    // A number may be taken by a page that is still being written.
    const number = Number(path.basename(file).slice(0, 4));
    const title = /^# (\d+)\. (.+)$/m.exec(readText(file));
    assert.equal(Number(title?.[1]), number, file);
    assert.ok(list.includes(`${number}. [${title![2]}](${path.basename(file)})`), `${file} is not in the list as ${title![2]}`);
    for (const part of ["Context", "Decision", "Consequences", "Rejected"])
      assert.match(readText(file), new RegExp(`^## ${part}$`, "m"), file);
  }
});

test("the quick start is one of the blocks that run", () => {
  assert.equal(fencesOf(readText("README.md")).filter((fence) => fence.info === "ts run").length, 1);
});
