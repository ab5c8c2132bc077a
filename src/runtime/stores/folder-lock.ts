/**
 * One process at a time uses a folder: a lock of the kernel on a file in it, which ends with the process, however that ends, so
 * that there are no stale locks. What the file says is for messages only.
 */
import fs from "node:fs";
import path from "node:path";
import { ControlStoreError, explain } from "../../errors/index.ts";
import { libc, whyNoLibc } from "../../memory/ffi.ts";
import type { Leader } from "./contract.ts";
import { inUse } from "./memory.ts";

const FILE = "lock";
/** Who looks whether the lock is taken has it for a moment: a refusal is believed when it stays. */
const TRIES = 5;
const TRY_AGAIN_MS = 10;

export class FolderLock {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Rejects with `in-use` when another process, or another store in this one, has the folder. */
  static async take(folder: string): Promise<FolderLock> {
    const file = path.join(folder, FILE);
    const fd = fs.openSync(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600);
    try {
      for (let tries = 1; !tryLock(fd, folder); tries++) {
        if (tries === TRIES) throw inUse(folder, leaderIn(folder)?.holder ?? "another process");
        await new Promise((resolve) => setTimeout(resolve, TRY_AGAIN_MS));
      }
      // Somebody may have deleted the file between open and lock: then this lock would be alone in the dark.
      if (fs.fstatSync(fd).ino !== fs.statSync(file).ino) throw inUse(folder, "a process that is starting");
      fs.ftruncateSync(fd, 0);
      return new FolderLock(fd);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  /** Writes down who has the folder. */
  name(leader: Leader): void {
    fs.writeSync(this.#fd, JSON.stringify({ ...leader, pid: process.pid }), 0);
  }

  release(): void {
    fs.ftruncateSync(this.#fd, 0);
    fs.closeSync(this.#fd);
  }
}

/** Who has the folder now. */
export function leaderOf(folder: string): Leader | undefined {
  const leader = leaderIn(folder);
  if (leader === undefined) return undefined;
  const fd = fs.openSync(path.join(folder, FILE), fs.constants.O_RDWR);
  try {
    return tryLock(fd, folder) ? undefined : leader;
  } finally {
    fs.closeSync(fd);
  }
}

function leaderIn(folder: string): Leader | undefined {
  try {
    const { epoch, holder } = JSON.parse(fs.readFileSync(path.join(folder, FILE), "utf8")) as Leader;
    return { epoch, holder };
  } catch {
    return undefined; // No file, or nothing in it yet: nobody said who it is.
  }
}

function tryLock(fd: number, folder: string): boolean {
  const calls = libc();
  if (calls !== undefined) return calls.tryLock(fd);
  const todo = "Keep the cluster's state in Redis, or run where koffi can be loaded.";
  throw new ControlStoreError(explain(`The folder ${folder} cannot be locked`, whyNoLibc(), todo), { reason: "failed", place: folder });
}
