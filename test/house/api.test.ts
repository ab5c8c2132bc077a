/** docs/api.md and what the package really exports are the same list, and each name has a test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { apiTests } from "./api-rows.ts";
import { hasTest } from "./documents.ts";
import { readText } from "./sources.ts";

const page = readText("docs/api.md");

/** The names in the first column of the tables of the page, options left out. */
function namesOn(text: string): string[] {
  const names = new Set<string>();
  for (const line of text.split("\n")) {
    const cell = /^\| (`[^|]*`) \|/.exec(line)?.[1];
    if (cell === undefined) continue;
    for (const [, name] of cell.matchAll(/`([A-Za-z]\w*)/g)) names.add(name!);
  }
  return [...names].sort();
}

/** Options of tasks, actors and environments are rows too, but no exports. */
function optionNames(): Set<string> {
  const parts = [...page.matchAll(/^### Options of[^]*?(?=^#)/gm)].map(([part]) => part);
  assert.equal(parts.length, 3);
  return new Set(parts.flatMap(namesOn));
}

test("the page names exactly what the package exports", async () => {
  const modules = await Promise.all([import("mobula"), import("mobula/util"), import("mobula/state"), import("mobula/client")]);
  const exported = [...new Set(modules.flatMap((module) => Object.keys(module)))].sort();
  const options = optionNames();
  const documented = namesOn(page).filter((name) => !options.has(name) || exported.includes(name));
  assert.deepEqual(documented, exported);
});

test("every row of the page has a test", () => {
  const rows = namesOn(page);
  assert.ok(rows.length > 60, `${rows.length} rows`);
  assert.deepEqual(Object.keys(apiTests).sort(), rows);
  const missing = Object.entries(apiTests).filter(([, [file, title]]) => !hasTest(file, title));
  assert.deepEqual(missing, []);
});
