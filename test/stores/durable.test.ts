/** The durable store alone: ends by force, torn tails, damage, compaction, a full disk, the folder. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { ControlStoreError } from "../../src/errors/index.ts";
import { headerAt, HEADER_BYTES } from "../../src/runtime/stores/log-format.ts";
import { createControlStore } from "../../src/runtime/stores/index.ts";
import type { Change, ControlStore } from "../../src/runtime/stores/index.ts";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";
import { killWriters, Writer } from "./kills.ts";
import { bytes, shown } from "./places.ts";

leakChecked();

const put = (key: string, text: string): Change => ({ table: "t", key, value: bytes(text) });
const logOf = (folder: string): string => path.join(folder, "control.log");
const is =
  (reason: string, text = /./) =>
  (error: unknown) =>
    error instanceof ControlStoreError && error.reason === reason && text.test(error.message);

function storeIn(t: TestContext, folder: string, compactMinBytes?: number): ControlStore {
  const store = createControlStore({ kind: "durable", folder, compactMinBytes });
  t.after(() => store.close());
  return store;
}

async function contents(t: TestContext, folder: string): Promise<Record<string, string>> {
  const store = storeIn(t, folder);
  const { entries } = await store.open();
  await store.close();
  return shown(entries);
}

/** A log of ten writes, each a record, and where its records begin. */
async function tenWrites(t: TestContext, value = (i: number): string => `value ${i}`): Promise<{ folder: string; starts: number[] }> {
  const folder = freshFolder(t);
  const store = storeIn(t, folder);
  await store.open();
  for (let i = 0; i < 10; i++) await store.write([put(`k${i}`, value(i))]);
  await store.close();
  const log = fs.readFileSync(logOf(folder));
  const starts: number[] = [];
  for (let at = 0; at < log.length; at += HEADER_BYTES + headerAt(log, at)!.length) starts.push(at);
  return { folder, starts };
}

test("a writer that is killed 50 times loses nothing that was acknowledged", async (t) => {
  const writes = await killWriters({ kind: "durable", folder: freshFolder(t), compactMinBytes: 64 * 1024 }, 50, 60);
  assert.ok(writes > 500, `${writes} writes`);
});

test("while a process has the folder another is refused and told its pid; when it is killed the next one leads at once", async (t) => {
  const folder = freshFolder(t);
  const writer = new Writer({ kind: "durable", folder }, 1);
  t.after(() => writer.kill());
  await writer.ready;
  await assert.rejects(storeIn(t, folder).open(), is("in-use", new RegExp(`writer ${writer.child.pid}`)));
  assert.equal((await storeIn(t, folder).leader())?.holder, `writer ${writer.child.pid}`);
  await writer.kill();
  assert.equal(await storeIn(t, folder).leader(), undefined);
  await storeIn(t, folder).open();
});

test("cut off anywhere in the last record, the log opens without it; cut off before, it loses what is gone and no more", async (t) => {
  const { folder, starts } = await tenWrites(t);
  const log = fs.readFileSync(logOf(folder));
  const last = starts.at(-1)!;
  for (let length = last; length < log.length; length++) {
    fs.writeFileSync(logOf(folder), log.subarray(0, length));
    const found = await contents(t, folder);
    assert.equal(Object.keys(found).length, 9, `${length} bytes`);
    assert.equal(found["t/k8"], "value 8");
  }
  // Writing goes on behind what was whole.
  const store = storeIn(t, folder);
  await store.open();
  await store.write([put("k9", "again")]);
  await store.close();
  assert.equal((await contents(t, folder))["t/k9"], "again");
});

test("a long torn record is gone for good when the log was opened once", async (t) => {
  const { folder, starts } = await tenWrites(t, (i) => "x".repeat(i === 9 ? 50_000 : 10));
  const log = fs.readFileSync(logOf(folder));
  fs.writeFileSync(logOf(folder), log.subarray(0, log.length - 100));
  for (let i = 0; i < 5; i++) assert.equal(Object.keys(await contents(t, folder)).length, 9);
  assert.ok(fs.statSync(logOf(folder)).size < starts.at(-1)! + 2000);
});

test("a last record whose sectors never reached the disk is dropped", async (t) => {
  const { folder, starts } = await tenWrites(t, (i) => "x".repeat(i === 9 ? 5000 : 10));
  const log = fs.readFileSync(logOf(folder));
  const from = Math.ceil((starts.at(-1)! + 600) / 512) * 512;
  log.fill(0, from, from + 512);
  fs.writeFileSync(logOf(folder), log);
  assert.equal(Object.keys(await contents(t, folder)).length, 9);
});

test("a bit that flipped anywhere is reported as damage, with the place, and nothing is dropped or changed", async (t) => {
  const { folder, starts } = await tenWrites(t);
  const log = fs.readFileSync(logOf(folder));
  let dropped = 0;
  for (let at = 0; at < log.length; at++) {
    const damaged = Buffer.from(log);
    damaged[at] = damaged[at]! ^ (1 << (at % 8));
    fs.writeFileSync(logOf(folder), damaged);
    await assert.rejects(storeIn(t, folder).open(), is("corrupt", /control\.log at byte \d+: .*Nothing was changed/), `byte ${at}`);
    assert.ok(fs.readFileSync(logOf(folder)).equals(damaged), `byte ${at}: changed`);
    dropped++;
  }
  assert.ok(dropped > 500 && starts.length >= 13, `${dropped} bytes, ${starts.length} records`);
});

test("a record that is missing, doubled or of another place is damage", async (t) => {
  const { folder, starts } = await tenWrites(t);
  const log = fs.readFileSync(logOf(folder));
  const part = (i: number): Buffer => log.subarray(starts[i], starts[i + 1]);
  const parts = starts.map((_, i) => part(i));
  for (const wrong of [parts.toSpliced(6, 1), parts.toSpliced(6, 0, part(5)), parts.toSpliced(0, 1), parts.slice(0, 1)]) {
    fs.writeFileSync(logOf(folder), Buffer.concat(wrong));
    await assert.rejects(storeIn(t, folder).open(), is("corrupt"));
  }
  fs.writeFileSync(logOf(folder), "");
  await assert.rejects(storeIn(t, folder).open(), is("corrupt"));
  fs.writeFileSync(logOf(folder), "something else altogether");
  await assert.rejects(storeIn(t, folder).open(), is("corrupt"));
});

test("the log is made short while writing goes on, and holds what was written", async (t) => {
  const folder = freshFolder(t);
  const store = storeIn(t, folder, 100_000);
  await store.open();
  // A file system gives the number of a file that is gone to the next one: the last may have that of the first.
  const inodes = new Set<number>();
  let sizeMax = 0;
  for (let i = 0; i < 2000; i++) {
    const writes = Array.from({ length: 5 }, (_, j) => store.write([put(`k${(i * 5 + j) % 50}`, `${i * 5 + j} `.padEnd(400, "."))]));
    await Promise.all(writes);
    const { ino, size } = fs.statSync(logOf(folder));
    inodes.add(ino);
    sizeMax = Math.max(sizeMax, size);
  }
  await store.close();
  assert.ok(inodes.size > 1, "there was a new file");
  assert.ok(sizeMax < 1_000_000, `4 MB were written, the log had ${sizeMax} bytes at most`);
  assert.deepEqual(fs.readdirSync(folder).sort(), ["control.log", "lock"]);
  const found = await contents(t, folder);
  for (let k = 0; k < 50; k++) assert.equal(Number.parseInt(found[`t/k${k}`]!, 10), 9950 + k);
});

test("a snapshot that a crash cut short is thrown away", async (t) => {
  const { folder } = await tenWrites(t);
  fs.writeFileSync(path.join(folder, "control.log.next"), "half a snapshot");
  assert.equal(Object.keys(await contents(t, folder)).length, 10);
  assert.deepEqual(fs.readdirSync(folder).sort(), ["control.log", "lock"]);
});

test("the folder is for its user alone, also when it was open before", async (t) => {
  const folder = path.join(freshFolder(t), "deep", "state");
  fs.mkdirSync(folder, { recursive: true, mode: 0o755 });
  const store = storeIn(t, folder);
  await store.open();
  await store.write([put("a", "1")]);
  assert.equal(fs.statSync(folder).mode & 0o777, 0o700);
  for (const name of fs.readdirSync(folder)) assert.equal(fs.statSync(path.join(folder, name)).mode & 0o077, 0, name);
});

test("a log that is deleted under the store is noticed at the next write", async (t) => {
  const folder = freshFolder(t);
  const store = storeIn(t, folder);
  await store.open();
  await store.write([put("a", "1")]);
  const lost: ControlStoreError[] = [];
  store.onLost = (error) => lost.push(error);
  fs.rmSync(logOf(folder));
  await assert.rejects(store.write([put("b", "2")]), is("failed", /deleted/));
  await assert.rejects(store.write([put("c", "3")]), is("failed"));
  assert.equal(lost.length, 1);
});

test("a full disk: the write is refused, the store is lost, and what was acknowledged is there afterwards", async (t) => {
  // Registered before freshFolder's own: what is mounted goes before its folder.
  const mounted: string[] = [];
  t.after(() => mounted.forEach((each) => spawnSync("umount", ["-l", each])));
  const folder = freshFolder(t);
  if (spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).status !== 0) {
    t.skip("a small file system cannot be mounted here: that needs root");
    return;
  }
  mounted.push(folder);
  const store = storeIn(t, folder);
  await store.open();
  const lost: ControlStoreError[] = [];
  store.onLost = (error) => lost.push(error);
  let acknowledged = -1;
  const refused = await waitFor(async () => {
    await store.write([put(`k${acknowledged + 1}`, "x".repeat(10_000))]);
    acknowledged++;
  });
  assert.ok(is("full", /Make room/)(refused), String(refused));
  assert.ok(acknowledged > 50, `${acknowledged} writes`);
  assert.equal(store.leads(), false);
  await waitUntil(() => lost.length === 1, "the loss is told");
  await store.close();
  fs.rmSync(path.join(folder, "control.log.next"), { force: true });
  spawnSync("mount", ["-o", "remount,size=2m", folder]);
  assert.deepEqual(Object.keys(await contents(t, folder)).length, acknowledged + 1);
});

/** Repeats until it fails, and gives the error. */
async function waitFor(step: () => Promise<void>): Promise<unknown> {
  for (;;) {
    try {
      await step();
    } catch (error) {
      return error;
    }
  }
}

test("a place that cannot be a folder is refused with what to do", async (t) => {
  const file = path.join(freshFolder(t), "file");
  fs.writeFileSync(file, "");
  await assert.rejects(storeIn(t, file).open(), is("failed", /cannot be opened/));
});
