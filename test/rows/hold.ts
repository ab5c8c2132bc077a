/**
 * What workers import: ways to order what runs elsewhere without sleeping. It imports nothing of the test runner.
 */
import fs from "node:fs";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import * as ray from "mobula";

/**
 * Runs until the file `release` is in the folder, and says by a file of its own that it has begun. Not by `get`, which would give
 * its resources back meanwhile.
 */
export async function hold(folder: string, name = "begun"): Promise<void> {
  fs.writeFileSync(path.join(folder, name), "");
  while (!fs.existsSync(path.join(folder, "release"))) await pause(5);
}

export const hasBegun = (folder: string, name = "begun"): boolean => fs.existsSync(path.join(folder, name));
export const release = (folder: string): void => fs.writeFileSync(path.join(folder, "release"), "");

/** Computes for ever, without a turn of the event loop; says first that it has begun. */
export function spin(folder: string): never {
  fs.writeFileSync(path.join(folder, "begun"), "");
  for (;;);
}

/** As `hold`, without a turn of the event loop. */
export function blockUntilReleased(folder: string): void {
  while (!fs.existsSync(path.join(folder, "release"))) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
}

/** What came, in the order in which it came. */
export class Diary {
  readonly #lines: string[] = [];
  add(line: string): number {
    return this.#lines.push(line);
  }
  read(): string[] {
    return this.#lines;
  }
}

/** A diary that needs no processor. */
export const newDiary = (): ray.ActorHandle<Diary> => ray.remote(Diary, { numCpus: 0 }).remote();

/** Settles when the call that runs this is cancelled. */
export function aborted(): Promise<void> {
  const { signal } = ray.getRuntimeContext();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

/** Runs until it is cancelled, and says by files that it has begun and that it was cancelled. */
export async function untilCancelled(folder: string, name: string): Promise<void> {
  const cancelled = aborted();
  fs.writeFileSync(path.join(folder, name), "");
  await cancelled;
  fs.writeFileSync(path.join(folder, `${name} cancelled`), "");
}

/** A task that waits to be cancelled, with a child, and so on for `depth` generations. */
export const family = ray.remote(
  async (folder: string, depth: number): Promise<void> => {
    if (depth > 0) family.remote(folder, depth - 1);
    await untilCancelled(folder, `generation ${depth}`);
  },
  { numCpus: 0 },
);
