/** Objects whose bytes are gone: spill files that are damaged or deleted under the node. And who may read what lies on disk. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { before, test } from "node:test";
import * as ray from "mobula";
import { objectStore } from "mobula/state";
import { waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";

const MIB = 1 << 20;
sharedCluster({ numCpus: 2, objectStoreMemory: 64 * MIB });
let session = "";
before(async () => {
  session = path.dirname((await ray.init({ ignoreReinitError: true })).address);
});

const make = (seed: number): Uint8Array => new Uint8Array(20 * MIB).fill(seed);
const first = ray.remote((bytes: Uint8Array) => bytes[0]!);

function spillFiles(): string[] {
  const folder = path.join(session, "spill");
  const names = fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true, encoding: "utf8" }) : [];
  return names.filter((name) => name.endsWith(".object")).map((name) => path.join(folder, name));
}

/** Makes more than the store holds, and waits until the first of it lies on disk alone. */
async function spilled(makeOne: (seed: number) => ray.ObjectRef<Uint8Array>): Promise<ray.ObjectRef<Uint8Array>[]> {
  const refs: ray.ObjectRef<Uint8Array>[] = [];
  for (let seed = 1; seed <= 4; seed++) {
    refs.push(makeOne(seed));
    await ray.wait([refs.at(-1)!]);
  }
  await waitUntil(async () => (await objectStore())[0]!.spilled > 0 && spillFiles().length > 0, "something is spilled");
  return refs;
}

test("a result that is lost is made again, for its owner and for a task that takes it", async () => {
  const refs = await spilled((seed) => ray.remote(make).remote(seed));
  for (const file of spillFiles()) fs.truncateSync(file, 5000);
  assert.equal(await ray.get(first.remote(refs[0]!)), 1);
  for (const [i, ref] of refs.entries()) assert.equal((await ray.get(ref))[0], i + 1);
});

test("what was put and is lost is ObjectLostError, with why and what to do, and so for who takes it", async () => {
  const refs = await spilled((seed) => ray.put(make(seed)));
  for (const file of spillFiles()) fs.rmSync(file);
  const error = await rejectionOf(ray.get(refs[0]!));
  assert.ok(error instanceof ray.ObjectLostError, String(error));
  assert.match(error.message, /Object .* its spill file cannot be read: ENOENT.*Make the object again/);
  assert.equal(error.objectId, refs[0]!.id);
  const taken = await rejectionOf(ray.get(first.remote(refs[0]!), { timeoutMs: 20_000 }));
  assert.ok(taken instanceof ray.ObjectLostError || (taken as ray.TaskError).cause instanceof ray.ObjectLostError, String(taken));
  assert.equal((await ray.get(refs[3]!))[0], 4);
});

test("nobody else may read what lies in the session folder", async () => {
  await spilled((seed) => ray.put(make(seed)));
  const mode = (file: string): number => fs.statSync(file).mode & 0o777;
  assert.deepEqual([mode(session), mode(path.join(session, "spill")), mode(spillFiles()[0]!)], [0o700, 0o700, 0o600]);
});
