/**
 * Whatever an archive is made of: it is unpacked or refused, in bounded time; nothing is written outside, and nothing half made is left.
 * Inputs: a hundredth of FUZZ_INPUTS, or a thousand; a seed is printed with each failure and can be given by FUZZ_SEED.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { RuntimeEnvError } from "../../src/errors/index.ts";
import { extractArchive } from "../../src/runtime/environments/extract.ts";
import { packageLimits } from "../../src/runtime/environments/limits.ts";
import { Rng } from "../../sim/rng.ts";
import { mutated } from "../network/mutations.ts";
import { pax, tar, zip } from "./archives.ts";
import type { Made } from "./archives.ts";
import { folderFor } from "./folders.ts";

const inputs = Math.ceil(Number(process.env["FUZZ_INPUTS"] ?? 100_000) / 100);
const seed = process.env["FUZZ_SEED"] ?? "fuzz";
const limits = { ...packageLimits, bytes: 200_000, entries: 50, ratioFrom: 50_000 };

const NAMES = [
  "a",
  "a/b",
  "A",
  "../x",
  "/abs",
  "a/../..",
  ".",
  "",
  "a//b/",
  "c",
  "c/d/e",
  "\u{e9}",
  "e\u{301}",
  "..",
  "n\\m",
  "x".repeat(90),
];
const TARGETS = ["a", "..", "../../x", "/etc/passwd", "c/d", "a/../..", "", ".", "../victim.txt"];

function entries(rng: Rng): Made[] {
  return Array.from({ length: rng.int(1, 6) }, () => {
    const type = rng.pick(["0", "0", "0", "5", "2", "1", "x", "L", "3", "g", "K"]);
    const content = type === "x" ? pax(rng.pick(["path", "linkpath", "size"]), rng.pick([...NAMES, ...TARGETS, "7"])) : rng.pick(NAMES);
    const target = rng.pick(TARGETS);
    return { path: rng.pick(NAMES), type, target, content, mode: rng.pick([0o644, 0o100755, 0o120777, 0o040755, 0o020666]) };
  });
}

/** A tar whose checksums are right again after it was changed, so that its headers are read. */
function resealed(bytes: Buffer): Buffer {
  for (let at = 0; at + 512 <= bytes.byteLength; at += 512) {
    const block = bytes.subarray(at, at + 512);
    if (block.toString("latin1", 257, 262) !== "ustar") continue;
    block.fill(0x20, 148, 156);
    const sum = block.reduce((a, b) => a + b, 0);
    block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  }
  return bytes;
}

const FORMS: readonly [name: string, make: (rng: Rng) => Buffer][] = [
  ["tars of any entries", (rng) => gzipSync(tar(entries(rng)), { level: 1 })],
  ["zips of any entries", (rng) => zip(entries(rng), rng.chance(0.5))],
  ["changed tars", (rng) => gzipSync(resealed(mutated(rng, tar(entries(rng)))), { level: 1 })],
  ["changed zips", (rng) => mutated(rng, zip(entries(rng), rng.chance(0.5)))],
  ["changed gzips", (rng) => mutated(rng, gzipSync(tar(entries(rng)), { level: 1 }))],
];

/** Every link of what was unpacked stays inside. */
function assertInside(root: string, folder: string): void {
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const at = path.join(folder, entry.name);
    assert.ok(entry.isFile() || entry.isDirectory() || entry.isSymbolicLink(), `${at} is none of what may be there`);
    if (entry.isDirectory()) assertInside(root, at);
    if (!entry.isSymbolicLink()) continue;
    const real = path.resolve(path.dirname(at), fs.readlinkSync(at));
    assert.ok(real === root || real.startsWith(`${root}/`), `${at} leads to ${real}`);
  }
}

for (const [name, make] of FORMS) {
  test(`${name} are unpacked or refused, and nothing is outside or left`, { timeout: 240_000 }, async (t) => {
    const folder = folderFor(t);
    const file = path.join(folder, "package");
    const out = path.join(folder, "out");
    fs.writeFileSync(path.join(folder, "victim.txt"), "as it was");
    const rng = new Rng(`${seed} ${name}`);
    let unpacked = 0;
    for (let n = 0; n < inputs / FORMS.length; n++) {
      const story = `seed ${seed}, ${name} number ${n}`;
      fs.writeFileSync(file, make(rng));
      try {
        await extractArchive(file, out, limits);
        unpacked++;
        assertInside(out, out);
      } catch (error) {
        assert.ok(error instanceof RuntimeEnvError, new Error(story, { cause: error }));
        assert.ok(!fs.existsSync(out), story);
      }
      fs.rmSync(out, { recursive: true, force: true });
      assert.deepEqual(fs.readdirSync(folder).sort(), ["package", "victim.txt"], story);
      assert.equal(fs.readFileSync(path.join(folder, "victim.txt"), "utf8"), "as it was", story);
    }
    assert.ok(unpacked > 0, "some are good");
  });
}
