/**
 * The session folder: marked with the daemon that serves it, removed at its end; and those that earlier daemons left
 * behind because something killed them at once.
 */
import { rmSync, writeFileSync } from "node:fs";
import { lstat, readdir, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { startOf } from "../environments/process-marks.ts";

const OWNER_FILE = "daemon.pid";
/** A folder without a mark may be one whose daemon is just starting. */
const UNMARKED_MS = 3_600_000;

export function markSession(sessionDir: string): void {
  writeFileSync(join(sessionDir, OWNER_FILE), JSON.stringify({ pid: process.pid, started: startOf(process.pid) }));
}

export function removeSession(sessionDir: string): void {
  try {
    rmSync(sessionDir, { recursive: true, force: true, maxRetries: 3 });
  } catch {
    // The next daemon tries again.
  }
}

/** Removes the folders beside this one, named alike and ours, whose daemon is gone. */
export async function removeStaleSessions(sessionDir: string): Promise<void> {
  const parent = dirname(sessionDir);
  const own = basename(sessionDir);
  const prefix = own.slice(0, own.indexOf("-") + 1);
  if (prefix === "") return;
  for (const name of await readdir(parent).catch(() => [])) {
    if (name === own || !name.startsWith(prefix)) continue;
    const folder = join(parent, name);
    if (await isStale(folder)) await rm(folder, { recursive: true, force: true }).catch(() => undefined);
  }
}

async function isStale(folder: string): Promise<boolean> {
  try {
    const info = await lstat(folder);
    if (!info.isDirectory() || info.uid !== process.getuid?.()) return false;
    const mark = await readFile(join(folder, OWNER_FILE), "utf8").catch(() => undefined);
    if (mark === undefined) return Date.now() - info.mtimeMs > UNMARKED_MS && (await lstat(join(folder, "node.sock"))).isSocket();
    const { pid, started } = JSON.parse(mark) as { pid: number; started: string };
    return startOf(pid) !== started;
  } catch {
    return false;
  }
}
