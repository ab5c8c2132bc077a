/**
 * Puts and gets of every size, from the driver and from tasks, held for random times, in a store much smaller than what is
 * alive: every value is right, and in the end the store and its folder on disk are empty.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import * as ray from "mobula";
import { objectStore } from "mobula/state";
import { daemonPid, ownMiB, settled } from "./cluster.ts";
import { Random } from "./random.ts";
import type { Figures, RunOptions } from "./report.ts";
import { fill, remotes } from "./work.ts";

const CPUS = 2;
const STORE_BYTES = 48 << 20;
const ALIVE_BYTES = 120 << 20;
const LIMITS = [0, 4096, 64 * 1024, 100 * 1024, 1 << 20];

/** Mostly small; now and then around a limit, or some MiB. */
function sizeOf(random: Random): number {
  const kind = random.next();
  if (kind < 0.7) return random.int(0, 3_000);
  if (kind < 0.9) return Math.max(0, random.pick(LIMITS) + random.int(-300, 300));
  if (kind < 0.98) return random.int(0, 400_000);
  return random.int(1 << 20, 4 << 20);
}

interface Kept {
  readonly ref: ray.ObjectRef<Uint8Array>;
  readonly seed: number;
  readonly size: number;
}

function check(found: Uint8Array, { seed, size }: Kept): void {
  assert.equal(found.length, size);
  assert.equal(Buffer.compare(found, fill(seed, size)), 0, `${size} bytes of seed ${seed}`);
}

interface Done {
  readonly bytes: number;
  readonly spilled: number;
  readonly seconds: number;
}

/** In a function of its own: one that is suspended may keep alive what its variables were, as on Node 22. */
async function work(count: number, random: Random): Promise<Done> {
  const kept: Kept[] = [];
  let alive = 0;
  let bytes = 0;
  let spilled = 0;
  const startedAt = performance.now();
  for (let i = 0; i < count; i++) {
    const one = { seed: random.int(0, 256), size: sizeOf(random) };
    const made = random.next();
    const ref = made < 0.9 ? ray.put(fill(one.seed, one.size)) : remotes.fill.remote(one.seed, one.size);
    const keeping: Kept = { ...one, ref };
    kept.push(keeping);
    alive += one.size;
    bytes += one.size;
    if (random.chance(0.3)) check(await ray.get(ref), keeping);
    if (random.chance(0.3)) {
      const other = random.pick(kept);
      check(await ray.get(other.ref), other);
    }
    if (random.chance(0.02)) {
      const other = random.pick(kept);
      assert.equal(
        await ray.get(remotes.checksum.remote(other.ref)),
        fill(other.seed, other.size).reduce((a, b) => a + b, 0),
      );
    }
    while (alive > ALIVE_BYTES || kept.length > 3_000) {
      const at = random.int(0, kept.length);
      alive -= kept[at]!.size;
      kept[at] = kept.at(-1)!;
      kept.pop();
    }
    if (i % 100 === 0) spilled = Math.max(spilled, (await objectStore())[0]!.spilled);
  }
  for (const each of kept) check(await ray.get(each.ref), each);
  return { bytes, spilled, seconds: (performance.now() - startedAt) / 1000 };
}

export async function objects({ count, seed }: RunOptions): Promise<Figures> {
  const cluster = await ray.init({ numCpus: CPUS, objectStoreMemory: STORE_BYTES, logToDriver: false });
  const { bytes, spilled, seconds } = await work(count, new Random(seed));
  const failures: string[] = [];
  const { ok, left, ms } = await settled(CPUS);
  if (!ok) failures.push(`left over: ${JSON.stringify(left)}`);
  const files = filesBelow(path.join(path.dirname(cluster.address), "spill"));
  if (files.length > 0) failures.push(`files on disk: ${files.join(", ")}`);
  if (spilled === 0) failures.push("nothing was ever spilled: the run shows nothing of that");
  const daemon = Math.round(ownMiB(daemonPid()));
  if (failures.length === 0) await ray.shutdown();
  return {
    failures,
    figures: {
      objects: count,
      "MiB in all": Math.round(bytes / 2 ** 20),
      "MiB on disk at most": Math.round(spilled / 2 ** 20),
      seconds: Number(seconds.toFixed(1)),
      "ms until all was let go of": Math.round(ms),
      "memory of the daemon, MiB": daemon,
      "memory of the driver, MiB": Math.round(ownMiB(process.pid)),
      "left over": JSON.stringify(left),
    },
  };
}

function filesBelow(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  return fs.readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => fs.statSync(path.join(folder, name)).isFile());
}
