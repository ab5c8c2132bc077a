/**
 * The leak check: after a test no process, temporary file or shared memory of it may be left. Each test file has a
 * temporary folder and a mark of its own, so tests that run beside each other do not see each other's things. A
 * listening port needs no check: it ends with its process.
 */
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach } from "node:test";
import { kill, MARK, processesWith } from "./processes.ts";
import { waitUntil } from "./wait.ts";

/** How long an engine that was killed may take to clear up after itself. */
const GRACE_MS = 8_000;

// Short, because the path of a Unix socket has at most 107 bytes.
const systemTemp = os.tmpdir();
export const tempFolder = fs.mkdtempSync(path.join(systemTemp, "mt-"));
export const fileMark = path.basename(tempFolder);

// tsx keeps its cache of compiled files in the temporary folder: one for all, or each program compiles everything anew.
const tsxCache = `tsx-${os.userInfo().uid}`;
fs.mkdirSync(path.join(systemTemp, tsxCache), { recursive: true });

/** Gives a temporary folder the shared cache of tsx. */
export function prepareTemp(folder: string): void {
  fs.mkdirSync(folder, { recursive: true });
  const link = path.join(folder, tsxCache);
  if (!fs.existsSync(link)) fs.symlinkSync(path.join(systemTemp, tsxCache), link);
}
prepareTemp(tempFolder);

// What this process itself starts, by init() in the test file, carries the mark and uses the folder too.
process.env["TMPDIR"] = tempFolder;
process.env[MARK] = fileMark;
process.on("exit", () => fs.rmSync(tempFolder, { recursive: true, force: true }));

/** What tsx and node keep for later, and the folders of programs, which are looked into one by one. */
const isKept = (name: string): boolean => name === tsxCache || name === "node-compile-cache";
const isProgramFolder = (name: string): boolean => /^p-\d+$/.test(name);

function filesIn(folder: string): string[] {
  if (!fs.existsSync(folder)) return [];
  const names = fs.readdirSync(folder).filter((name) => !isKept(name));
  return names.flatMap((name) => (isProgramFolder(name) ? filesIn(path.join(folder, name)) : [path.join(folder, name)]));
}

/** Files of the engine in /dev/shm that no live process has open or mapped: whoever made them is gone. */
function orphansInSharedMemory(): string[] {
  if (!fs.existsSync("/dev/shm")) return [];
  const names = fs.readdirSync("/dev/shm").filter((name) => name.includes("mobula"));
  if (names.length === 0) return [];
  const used = new Set<string>();
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) used.add(fs.readlinkSync(`/proc/${pid}/fd/${fd}`));
      for (const line of fs.readFileSync(`/proc/${pid}/maps`, "latin1").split("\n")) used.add(line.slice(73).trim());
    } catch {
      continue; // It ended meanwhile, or belongs to another user.
    }
  }
  return names
    .map((name) => path.join("/dev/shm", name))
    .filter((file) => ![...used].some((open) => open === file || open.startsWith(`${file}/`)));
}

/** What is left of the processes that carry `mark` and of what they wrote to `folder`, a line each. */
export function leftovers(mark: string = fileMark, folder: string = tempFolder): string[] {
  return [
    ...processesWith(mark).map((p) => `process ${p.pid}, child of ${p.parent}: ${p.command}`),
    ...filesIn(folder).map((file) => `file ${file}`),
    ...orphansInSharedMemory().map((file) => `shared memory ${file}`),
  ];
}

/**
 * Checks after each test of this file that nothing is left. Pass `"at the end"` when tests share one engine that the
 * file's own `after` shuts down: register that one before calling this.
 */
export function leakChecked(when: "after each test" | "at the end" = "after each test"): void {
  const check = async (): Promise<void> => {
    try {
      await waitUntil(() => leftovers().length === 0, `nothing is left of ${path.relative(root, process.argv[1] ?? "")}`, {
        timeoutMs: GRACE_MS,
        story: () => leftovers().join("\n"),
      });
    } finally {
      for (const { pid } of processesWith(fileMark)) kill(pid);
      for (const file of filesIn(tempFolder)) fs.rmSync(file, { recursive: true, force: true });
    }
  };
  if (when === "at the end") after(check);
  else afterEach(check);
}

const root = path.resolve(import.meta.dirname, "../..");
let folders = 0;

/** An empty folder inside the package, so that `import "mobula"` works from it; removed after the test, or the file (`{ after }`). */
export function freshFolder(t: { after(clear: () => void): void }): string {
  const folder = path.join(root, ".tmp", `${fileMark}-${++folders}`);
  fs.mkdirSync(folder, { recursive: true });
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  return folder;
}
