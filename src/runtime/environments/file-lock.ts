/**
 * A lock by a file that names its holder: processes of one machine do a thing one after another, and none waits for one that is dead.
 *
 * It saves work; what must never go wrong does not rest on it alone. Two holders are possible where processes of two pid spaces share the
 * folder and one holds it for longer than FOREIGN_MS.
 */
import { randomBytes } from "node:crypto";
import { link, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { environmentError, systemCode } from "./limits.ts";
import { isLiving, ownMark, parseMark, printMark } from "./process-marks.ts";

const POLL_MS = 50;
/** A holder of whom nothing can be known is taken for dead after so long. */
const FOREIGN_MS = 20 * 60_000;

/** Runs `action` while this process holds the lock. Rejects with RuntimeEnvError when it cannot be had within `waitMs`. */
export async function withLock<T>(file: string, waitMs: number, action: () => Promise<T>): Promise<T> {
  const until = performance.now() + waitMs;
  while (!(await tryLock(file))) {
    if (performance.now() > until) throw environmentError(`The lock ${file} could not be had within ${Math.round(waitMs / 1000)} s`);
    await pause(POLL_MS);
  }
  try {
    return await action();
  } finally {
    await rm(file, { force: true });
  }
}

/** As `withLock`, at once; undefined where another holds it. */
export async function ifUnlocked<T>(file: string, action: () => Promise<T>): Promise<T | undefined> {
  // The first try may have removed the lock of a dead one.
  if (!(await tryLock(file)) && !(await tryLock(file))) return undefined;
  try {
    return await action();
  } finally {
    await rm(file, { force: true });
  }
}

async function tryLock(file: string): Promise<boolean> {
  const draft = `${file}.${process.pid}-${randomBytes(6).toString("hex")}`;
  // Linked when it is whole: a lock never names nobody.
  await writeFile(draft, printMark(ownMark()));
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    await breakIfDead(file);
    return false;
  } finally {
    await rm(draft, { force: true });
  }
}

async function breakIfDead(file: string): Promise<void> {
  const holder = await readFile(file, "utf8").catch(() => undefined);
  if (holder === undefined || !(await isDead(file, holder))) return;
  const aside = `${file}.dead-${process.pid}-${randomBytes(6).toString("hex")}`;
  await rename(file, aside).catch(() => undefined);
  const taken = await readFile(aside, "utf8").catch(() => undefined);
  // Somebody else was faster, and holds it now: it gets it back.
  if (taken !== undefined && taken !== holder) await link(aside, file).catch(() => undefined);
  await rm(aside, { force: true });
}

async function isDead(file: string, holder: string): Promise<boolean> {
  const mark = parseMark(holder);
  const living = mark === undefined ? undefined : isLiving(mark);
  if (living !== undefined) return !living;
  const info = await stat(file).catch(() => undefined);
  return info !== undefined && Date.now() - info.mtimeMs > FOREIGN_MS;
}
