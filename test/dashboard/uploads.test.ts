/** Uploaded packages make room for new ones: what no job needs goes, the oldest first, and nothing else does. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { Uploads } from "../../src/runtime/dashboard/uploads.ts";
import { freshFolder, leakChecked } from "../harness/index.ts";

leakChecked();

test("the oldest that no job needs go; fresh ones, needed ones, and those of programs stay", async (t) => {
  const packages = path.join(freshFolder(t), "packages");
  mkdirSync(packages);
  const uploads = new Uploads(packages, 100, 60_000);
  const hash = (digit: string): string => digit.repeat(64);
  const old = (digit: string, ago: number): void => {
    const at = new Date(Date.now() - ago * 1000);
    utimesSync(path.join(`${packages}-uploaded`, hash(digit)), at, at);
  };
  for (const digit of ["a", "b", "c", "d"]) {
    writeFileSync(path.join(packages, hash(digit)), Buffer.alloc(20));
    // d came from a program.
    if (digit !== "d") await uploads.touch(hash(digit));
  }
  old("a", 300);
  old("b", 200);
  const there = (): string =>
    readdirSync(packages)
      .map(([digit]) => digit)
      .sort()
      .join("");
  const needed =
    (...digits: string[]) =>
    (): Promise<Set<string>> =>
      Promise.resolve(new Set(digits.map(hash)));
  assert.equal(await uploads.makeRoom(40, () => Promise.reject(new Error("nobody needs to be asked"))), true);
  assert.equal(there(), "abcd");
  assert.equal(await uploads.makeRoom(60, needed("a")), true);
  assert.equal(there(), "acd");
  assert.equal(await uploads.makeRoom(80, needed("a")), false);
  assert.equal(there(), "acd");
  await uploads.touch(hash("a"));
  assert.equal(await uploads.makeRoom(80, needed()), false);
  old("a", 100);
  assert.equal(await uploads.makeRoom(80, needed()), true);
  assert.equal(there(), "cd");
});
