/** A disk that is full while the store spills: the limit on the size of files, of the daemon alone, stands in for the disk. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import * as ray from "mobula";
import { objectStore } from "mobula/state";
import { processesWith } from "../harness/index.ts";
import { fileMark } from "../harness/leaks.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";

const MIB = 1 << 20;
sharedCluster({ numCpus: 2, objectStoreMemory: 64 * MIB });

const make = (seed: number): Uint8Array => new Uint8Array(24 * MIB).fill(seed);
const spilled = async (): Promise<number> => (await objectStore())[0]!.spilled;

/** No file of the daemon may become larger than `bytes`: a write above it fails as on a full disk, with EFBIG for ENOSPC. */
function limitFiles(bytes: number | "unlimited"): void {
  const [daemon] = processesWith(fileMark).filter(({ command }) => /daemon\/main/.test(command));
  const { status, stderr } = spawnSync("prlimit", ["--pid", String(daemon!.pid), `--fsize=${bytes}:unlimited`], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

test("a full disk ends in an error that says what to do, for put and for results; nothing is lost, and with room it goes on", async () => {
  limitFiles(MIB);
  const kept = [ray.put(make(1)), ray.put(make(2))];
  const told = (error: unknown): void => {
    assert.ok(error instanceof ray.ObjectStoreFullError, String(error));
    assert.match(error.message, /Spilling to disk failed: EFBIG.*mobula-.*spill.*TMPDIR.*Drop refs.*objectStoreMemory/);
    assert.ok(error.size! > 24 * MIB && error.capacity === 64 * MIB && error.used! >= 48 * MIB);
  };
  // Both wait their time beside each other.
  const result = rejectionOf(ray.get(ray.remote(make).remote(3)));
  const small = ray.remote((x: number) => x + 1).remote(1);
  assert.equal(await ray.get(small), 2, "what needs no room goes on");
  let thrown: unknown;
  try {
    ray.put(make(3));
  } catch (error) {
    thrown = error;
  }
  told(thrown);
  const failed = await result;
  told(failed instanceof ray.TaskError ? failed.cause : failed);
  for (const [i, ref] of kept.entries()) assert.equal((await ray.get(ref)).at(-1), i + 1);
  assert.equal(await spilled(), 0);
  limitFiles("unlimited");
  kept.push(ray.put(make(3)), ray.remote(make).remote(4));
  for (const [i, ref] of kept.entries()) {
    const sum = await ray.get(ray.remote((bytes: Uint8Array) => bytes[0]! + bytes.at(-1)!).remote(ref));
    assert.equal(sum, 2 * (i + 1));
  }
  assert.ok((await spilled()) > 0);
});
