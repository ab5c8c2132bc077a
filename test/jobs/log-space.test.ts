/** The logs of all jobs together are bounded: which go, what is said in their place, and what stays. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { placesOf } from "../../src/runtime/jobs/folders.ts";
import { LogWriter, logSize, readLog } from "../../src/runtime/jobs/log-parts.ts";
import { LogSpace } from "../../src/runtime/jobs/log-space.ts";
import { freshFolder, leakChecked } from "../harness/index.ts";

leakChecked();

const idOf = (n: number): string => `job-${n.toString(16).padStart(8, "0")}`;

/** A job that ended at that second, with a log of so many bytes. */
async function job(home: string, n: number, bytes: number): Promise<string> {
  const { folder, log } = placesOf(home, idOf(n));
  const writer = new LogWriter(log, { partBytes: 10_000, parts: 8 });
  await writer.write(new Uint8Array(bytes).fill(97));
  await writer.close();
  mkdirSync(folder, { recursive: true });
  utimesSync(folder, n, n);
  return idOf(n);
}

async function read(home: string, id: string): Promise<string> {
  let text = "";
  for (let at = 0; ;) {
    const { bytes, next, missing } = await readLog(placesOf(home, id).log, at);
    if (missing > 0) text += `<${missing} missing>`;
    if (bytes.byteLength === 0) return text;
    text += Buffer.from(bytes).toString();
    at = next;
  }
}

test("when there is too much, logs of jobs that ended first go, and a line says so; those that run keep theirs", async (t) => {
  const home = freshFolder(t);
  const running = new Set([idOf(1)]);
  const space = new LogSpace(home, (id) => running.has(id), { bytes: 100_000, folders: 1_000 });
  // What was there before counts; its first look is at the first end.
  for (const n of [1, 2, 3, 4]) await job(home, n, 30_000);
  await space.ended(idOf(4));
  for (const n of [1, 2, 3, 4]) assert.equal((await read(home, idOf(n))).length, 30_000);
  await space.ended(await job(home, 5, 25_000));
  assert.match(await read(home, idOf(2)), /^<30000 missing>\[mobula: removed, as the logs of all jobs may have \d+ GiB together\]\n$/);
  assert.ok((await logSize(placesOf(home, idOf(2)).log)) < 200);
  for (const n of [1, 3, 4]) assert.equal((await read(home, idOf(n))).length, 30_000);
  running.clear();
  await space.ended(await job(home, 6, 50_000));
  const left = await Promise.all([1, 2, 3, 4, 5, 6].map(async (n) => (await read(home, idOf(n))).length > 1_000));
  assert.deepEqual(left, [false, false, false, false, true, true]);
  // Of a log that is removed the place of its end stays: who had read to there gets the line.
  const { bytes, missing } = await readLog(placesOf(home, idOf(3)).log, 30_000);
  assert.match(Buffer.from(bytes).toString(), /^\[mobula: removed/);
  assert.equal(missing, 0);
});

test("folders that control does not know any more go too, once there are too many; what is no job stays", async (t) => {
  const home = freshFolder(t);
  const space = new LogSpace(home, () => false, { bytes: 1e9, folders: 10 });
  await job(home, 1, 10);
  const other = path.join(home, "jobs", "notes.txt");
  writeFileSync(other, "mine");
  for (let n = 2; n <= 12; n++) await space.ended(await job(home, n, 10));
  const names = readdirSync(path.join(home, "jobs"));
  assert.ok(names.includes("notes.txt"));
  assert.deepEqual(names.filter((name) => name.startsWith("job-")).sort(), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(idOf));
});
