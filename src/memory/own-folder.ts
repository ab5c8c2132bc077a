/**
 * Folders that belong to one process and say so in their name, so that what a killed process left is found and removed
 * by the next one. For backends and spill files; shared memory leaves nothing.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";

const PREFIX = "mobula-store-";

/** When the process started, in clock ticks since boot; "" where that cannot be known. Tells a reused pid from the first. */
function startOf(pid: number | "self"): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  } catch {
    return "";
  }
}

/** Pids mean something only within one namespace: containers may share a folder. */
function pidNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
  } catch {
    return "0";
  }
}

function isAlive(pid: number, start: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return start === "" || startOf(pid) === start;
}

/** Removes the folders in `parent` whose processes are dead. */
export function removeDeadFolders(parent: string): void {
  const namespace = pidNamespace();
  for (const name of namesIn(parent)) {
    if (!name.startsWith(PREFIX)) continue;
    const [space, pid, start] = name.slice(PREFIX.length).split("-");
    if (space !== namespace || isAlive(Number(pid), start ?? "")) continue;
    // Another user's folder stays: it is theirs to remove.
    try {
      rmSync(join(parent, name), { recursive: true, force: true });
    } catch {
      continue;
    }
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // Not there, or not for this user: nothing of ours is in it.
  }
}

/** Makes a folder of this process (mode 0700) in `parent`, and removes those of processes that are dead. */
export function makeOwnFolder(parent: string): string {
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  removeDeadFolders(parent);
  const path = join(parent, `${PREFIX}${pidNamespace()}-${process.pid}-${startOf("self")}-${randomBytes(4).toString("hex")}`);
  mkdirSync(path, { mode: 0o700 });
  return path;
}
