/** Packing a folder and unpacking an archive: the same content, and nothing outside of it. */
import assert from "node:assert/strict";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { extractArchive } from "../../src/runtime/environments/extract.ts";
import { listFolder } from "../../src/runtime/environments/folder-list.ts";
import { packageLimits } from "../../src/runtime/environments/limits.ts";
import { packFolder } from "../../src/runtime/environments/pack.ts";
import { FolderStore } from "../../src/runtime/environments/store.ts";
import { pax, tar, tarGzip, zip } from "./archives.ts";
import type { Made } from "./archives.ts";
import { folderFor } from "./folders.ts";

/** Every file, folder and link below a folder, as text. */
function contentOf(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  const into = (above: string): string[] =>
    fs.readdirSync(path.join(folder, above), { withFileTypes: true }).flatMap((entry) => {
      const name = path.join(above, entry.name);
      return entry.isDirectory() ? [name, ...into(name)] : [name];
    });
  for (const name of into("").sort()) {
    const at = path.join(folder, name);
    const info = fs.lstatSync(at);
    if (info.isSymbolicLink()) found[name] = `-> ${fs.readlinkSync(at)}`;
    else if (info.isFile()) found[name] = `${(info.mode & 0o111) === 0 ? "" : "* "}${fs.readFileSync(at, "utf8")}`;
    else found[name] = "folder";
  }
  return found;
}

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
}

async function pack(folder: string, store: FolderStore, excludes: readonly string[] = []): Promise<string> {
  return packFolder(folder, await listFolder(folder, excludes), store);
}

const isRefusal =
  (pattern: RegExp) =>
  (error: Error & { code?: string }): boolean => {
    assert.equal(error.code, "RUNTIME_ENV_FAILED", error.stack);
    assert.match(error.message, pattern);
    return true;
  };

async function refused(t: Parameters<typeof folderFor>[0], archive: Buffer, why: RegExp, limits = packageLimits): Promise<void> {
  const folder = folderFor(t);
  const file = path.join(folder, "package");
  fs.writeFileSync(file, archive);
  await assert.rejects(extractArchive(file, path.join(folder, "out"), limits), isRefusal(why));
  assert.deepEqual(fs.readdirSync(folder), ["package"], "nothing half made is left");
}

test("what is packed comes out again: contents, the right to execute, links, long names, empty folders", async (t) => {
  const folder = folderFor(t);
  const from = path.join(folder, "from");
  const long = `${"deep/".repeat(5)}${"n".repeat(200)}.txt`;
  write(from, {
    "a.txt": "a",
    "lib/run.sh": "#!/bin/sh",
    [long]: "long",
    "ünïcode ☃.txt": "snow",
    "big.bin": "xyz\n".repeat(170_000),
    "0.txt": "",
  });
  fs.chmodSync(path.join(from, "lib/run.sh"), 0o755);
  fs.mkdirSync(path.join(from, "empty"));
  fs.symlinkSync("../a.txt", path.join(from, "lib/link"));
  fs.symlinkSync(path.join(from, "lib"), path.join(from, "absolute"));
  const store = new FolderStore(path.join(folder, "store"));
  const hash = await pack(from, store);
  const into = path.join(folder, "into");
  await extractArchive(await store.file(hash), into);
  assert.deepEqual(contentOf(into), { ...contentOf(from), absolute: "-> lib" });
});

test("the same content gives the same hash, whenever and by whom it was written; other content another", async (t) => {
  const folder = folderFor(t);
  const files = { "b/2.txt": "2", "a.txt": "1", "b/1.txt": "1" };
  const [one, two] = [path.join(folder, "one"), path.join(folder, "two")];
  write(one, files);
  write(two, Object.fromEntries(Object.entries(files).reverse()));
  fs.utimesSync(path.join(two, "a.txt"), 1, 1);
  fs.chmodSync(path.join(two, "a.txt"), 0o600);
  const store = new FolderStore(path.join(folder, "store"));
  const hash = await pack(one, store);
  assert.equal(await pack(two, store), hash);
  fs.chmodSync(path.join(two, "a.txt"), 0o755);
  assert.notEqual(await pack(two, store), hash);
  assert.deepEqual(fs.readdirSync(path.join(folder, "store")).length, 2, "and no draft is left");
});

test("excludes are those of gitignore, and .git and node_modules stay at home", async (t) => {
  const folder = folderFor(t);
  write(folder, {
    "main.ts": "",
    "node_modules/x/index.js": "",
    "lib/node_modules/y.js": "",
    ".git/config": "",
    "logs/a.log": "",
    "logs/keep.log": "",
    "data/big.csv": "",
    "lib/data/small.csv": "",
  });
  const list = async (...excludes: string[]): Promise<string> =>
    (await listFolder(folder, excludes))
      .filter(({ kind }) => kind === "file")
      .map((entry) => entry.path)
      .join(" ");
  assert.equal(await list(), "data/big.csv lib/data/small.csv logs/a.log logs/keep.log main.ts");
  assert.equal(await list("*.log", "!keep.log", "/data/"), "lib/data/small.csv logs/keep.log main.ts");
  assert.equal(await list("*.log", "**/data", "!node_modules"), "lib/node_modules/y.js main.ts node_modules/x/index.js");
});

test("a folder that is too large is refused, and the largest in it are named", async (t) => {
  const folder = folderFor(t);
  write(folder, { "data/1.bin": "x".repeat(3000), "data/2.bin": "x".repeat(3000), "model.bin": "x".repeat(5000), "main.ts": "x" });
  await assert.rejects(
    listFolder(folder, [], { ...packageLimits, bytes: 10_000 }),
    isRefusal(/too large .*11 KiB, 9\.8 KiB are allowed.*: data\/ \(5\.9 KiB\), model\.bin \(4\.9 KiB\), main\.ts .*`excludes`/),
  );
  await assert.rejects(listFolder(folder, [], { ...packageLimits, entries: 4 }), isRefusal(/more than 4 files .*: data\/ \(3 files\)/));
  assert.equal((await listFolder(folder, ["data"], { ...packageLimits, bytes: 10_000, entries: 4 })).length, 2);
});

test("a folder with a link that leads out, or with two names that differ in case, is refused", async (t) => {
  const folder = folderFor(t);
  fs.symlinkSync(os.tmpdir(), path.join(folder, "out"));
  await assert.rejects(listFolder(folder, []), isRefusal(/out is a link that leads out of it, to .*`excludes`/));
  assert.deepEqual(await listFolder(folder, ["out"]), []);
  write(folder, { "Read.me": "", "read.ME": "" });
  await assert.rejects(listFolder(folder, ["out"]), isRefusal(/read\.ME and Read\.me differ in nothing but case/));
});

test("a zip and a tar of other tools are unpacked", async (t) => {
  const folder = folderFor(t);
  const entries: Made[] = [
    { path: "./", type: "5", mode: 0o40755 },
    { path: "./lib/", type: "5", mode: 0o40755 },
    { path: "./lib/a.txt", content: "a".repeat(100_000) },
    { path: "run.sh", content: "run", mode: 0o100755 },
  ];
  const link = { path: "lib/link", target: "../run.sh" };
  const wanted = { lib: "folder", "lib/a.txt": "a".repeat(100_000), "lib/link": "-> ../run.sh", "run.sh": "* run" };
  const more: Made[] = [
    { path: "x", type: "x", content: pax("path", `lib/${"p".repeat(150)}`) },
    { path: "cut", content: "pax" },
    { path: "y", type: "L", content: `lib/${"g".repeat(150)}\0` },
    { path: "cut", content: "gnu" },
    { path: "lib/again", type: "1", target: "run.sh" },
  ];
  const archives: [string, Buffer, Record<string, string>][] = [
    ["zip", zip([...entries, { path: link.path, content: link.target, mode: 0o120777 }]), wanted],
    ["stored zip", zip([...entries, { path: link.path, content: link.target, mode: 0o120777 }], false), wanted],
    ["tar.gz", tarGzip([...entries, { ...link, type: "2" }]), wanted],
    [
      "tar.gz with extensions",
      tarGzip([...entries, { ...link, type: "2" }, ...more]),
      { ...wanted, [`lib/${"p".repeat(150)}`]: "pax", [`lib/${"g".repeat(150)}`]: "gnu", "lib/again": "* run" },
    ],
  ];
  for (const [name, archive, content] of archives) {
    const file = path.join(folder, `${name}.package`);
    fs.writeFileSync(file, archive);
    await extractArchive(file, path.join(folder, name));
    assert.deepEqual(contentOf(path.join(folder, name)), content, name);
  }
});

const HOSTILE: readonly [what: string, entries: readonly Made[], why: RegExp][] = [
  ["a path out by ..", [{ path: "a/../../evil", content: "x" }], /leads out by `\.\.`/],
  ["an absolute path", [{ path: "/etc/evil", content: "x" }], /absolute path/],
  ["a path of Windows", [{ path: "C:/evil", content: "x" }], /absolute path/],
  ["a backslash", [{ path: "..\\evil", content: "x" }], /backslash/],
  ["a long name", [{ path: "x", type: "x", content: pax("path", "n".repeat(300)) }, { path: "y" }], /more than 255 bytes/],
  ["a long path", [{ path: "x", type: "x", content: pax("path", "n/".repeat(600)) }, { path: "y" }], /more than 1024 bytes/],
  ["a name twice", [{ path: "a" }, { path: "./a" }], /is there twice/],
  ["a file that is a folder too", [{ path: "a" }, { path: "a/b" }], /is there as a file too/],
  ["names that differ in case", [{ path: "a/x" }, { path: "A/y" }], /nothing but case/],
  ["names that differ in their form", [{ path: "\u{e9}" }, { path: "e\u{301}" }], /nothing but case or form/],
  ["a link out", [{ path: "a/b", type: "2", target: "../../etc" }], /link that leads out/],
  [
    "a link out by another link",
    [
      { path: "a/x", type: "2", target: "../b" },
      { path: "a/y", type: "2", target: "x/../.." },
    ],
    /leads out/,
  ],
  ["an absolute link", [{ path: "a", type: "2", target: "/etc/passwd" }], /absolute path/],
  [
    "a file through a link",
    [
      { path: "a", type: "2", target: "b" },
      { path: "a/x", content: "x" },
    ],
    /is there as a link too/,
  ],
  ["a second name of a file outside", [{ path: "a", type: "1", target: "../x" }], /leads out/],
  ["a second name of nothing", [{ path: "a", type: "1", target: "b" }], /did not come before/],
  ["a device", [{ path: "null", type: "3" }], /device/],
  ["a pipe", [{ path: "pipe", type: "6" }], /a pipe/],
];
for (const [what, entries, why] of HOSTILE) {
  test(`refused in an archive: ${what}`, (t) => refused(t, tarGzip(entries), why));
}

test("a zip is held to the same", async (t) => {
  await refused(t, zip([{ path: "../evil", content: "x" }]), /leads out/);
  await refused(t, zip([{ path: "a", content: "/etc", mode: 0o120777 }]), /absolute path/);
  await refused(t, zip([{ path: "a", mode: 0o020666 }]), /device/);
});

test("an archive that is too large, has too much in it or is a bomb is refused", async (t) => {
  const limits = { ...packageLimits, bytes: 100_000, entries: 10, ratio: 50, ratioFrom: 10_000 };
  await refused(
    t,
    tarGzip([
      { path: "a", content: "x".repeat(90_000) },
      { path: "b", content: "x".repeat(20_000) },
    ]),
    /more than 97\.7 KiB|become more/,
    limits,
  );
  await refused(t, tarGzip([{ path: "a", content: "x".repeat(90_000) }]), /become more than 50 times as much/, limits);
  await refused(t, zip([{ path: "a", content: "x".repeat(90_000) }]), /become more than 50 times as much/, limits);
  await refused(t, tarGzip(Array.from({ length: 11 }, (_, i) => ({ path: `f${i}` }))), /more than 10 entries/, limits);
  await refused(t, tarGzip([{ path: "a", content: "x", size: 2 ** 32 }]), /more than 500 MiB/);
  await refused(t, zip([{ path: "a", content: "x".repeat(1000), size: 10 }]), /larger than it says/);
});

test("a broken archive is refused, wherever it is broken", async (t) => {
  const good = tarGzip([{ path: "a", content: "some text that is long enough to be cut anywhere" }]);
  await refused(t, Buffer.from("hello, this is no archive"), /neither as zip nor as gzip/);
  await refused(t, Buffer.alloc(0), /neither as zip nor as gzip/);
  await refused(t, good.subarray(0, good.byteLength - 20), /broken/);
  await refused(t, gzipSync(tar([{ path: "a", content: "x" }], 0)), /ends in the middle/);
  await refused(t, gzipSync("x".repeat(2000)), /checksum|number/);
  const packed = zip([{ path: "a", content: "some text that is long enough to be cut anywhere" }]);
  await refused(t, packed.subarray(0, packed.byteLength - 10), /no directory at its end/);
  const damaged = Buffer.from(zip([{ path: "a", content: "text" }], false));
  damaged[32]! ^= 1;
  await refused(t, damaged, /content of "a" is damaged/);
});

test("many who unpack the same at once get it whole, and leave nothing beside it", async (t) => {
  const folder = folderFor(t);
  const file = path.join(folder, "package");
  fs.writeFileSync(file, tarGzip(Array.from({ length: 50 }, (_, i) => ({ path: `d${i % 7}/f${i}`, content: `${i}` }))));
  const into = path.join(folder, "into");
  await Promise.all(Array.from({ length: 8 }, () => extractArchive(file, into)));
  assert.equal(Object.keys(contentOf(into)).length, 57);
  assert.deepEqual(fs.readdirSync(folder).sort(), ["into", "package"]);
});
