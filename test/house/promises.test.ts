/**
 * docs/promises.md: every sentence names a test that exists. A promise is a list item; what follows it, indented, are its
 * tests, one a line: `test/group/file.test.ts` "title".
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { hasTest } from "./documents.ts";
import { readText } from "./sources.ts";

/** What is wrong with a page of promises, a line each. */
function unproven(text: string): string[] {
  const wrong: string[] = [];
  const items = text.split(/^- /m).slice(1);
  for (const item of items) {
    const [promise = "", ...rest] = item.split(/\n(?= {2}- )/);
    const sentence = promise.replaceAll(/\s+/g, " ").trim();
    const proofs = rest.map((line) =>
      line
        .split(/\n\n|\n#/)[0]!
        .replaceAll(/\s+/g, " ")
        .trim(),
    );
    if (!/^[^.]*(\.[^ ][^.]*)*\.$/.test(sentence)) wrong.push(`not one sentence: ${sentence}`);
    if (proofs.length === 0) wrong.push(`no test: ${sentence}`);
    for (const proof of proofs) {
      const match = /^- `([^`]+)` "(.+)"$/.exec(proof);
      if (!match) wrong.push(`not a test's name: ${proof}`);
      else if (!hasTest(match[1]!, match[2]!)) wrong.push(`no such test: ${match[1]} "${match[2]}"`);
    }
  }
  return wrong;
}

test("every promise names tests that exist", () => {
  const text = readText("docs/promises.md");
  assert.ok(text.split(/^- /m).length > 15, "there are promises");
  assert.deepEqual(unproven(text), []);
});

test("outside of the list there is one paragraph, so that nothing is promised without a test", () => {
  const paragraphs = readText("docs/promises.md")
    .split(/\n\n+/)
    .filter((part) => !/^(#|- )/.test(part.trim()) && part.trim() !== "");
  assert.equal(paragraphs.length, 1, paragraphs.join("\n--\n"));
});

test("a promise without a test, or with one that is not there, is found", () => {
  const own = `  - \`test/house/promises.test.ts\` "every promise names tests that exist"`;
  assert.deepEqual(unproven(`# Promises\n\n- All is well.\n${own}\n`), []);
  assert.deepEqual(unproven(`- All is well.\n`), ["no test: All is well."]);
  assert.deepEqual(unproven(`- All is well.\n  - \`test/house/promises.test.ts\` "nothing of the kind"\n`), [
    `no such test: test/house/promises.test.ts "nothing of the kind"`,
  ]);
  assert.deepEqual(unproven(`- All is well. And more.\n${own}\n`), ["not one sentence: All is well. And more."]);
});
