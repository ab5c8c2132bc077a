/**
 * Packages of npm, installed once for each request and shared by all workers and node daemons of this user: one folder an install, made
 * beside and renamed when whole. Who uses one has a file there that says so; what nobody uses goes, oldest first, when all are too large.
 */
import { createHash, randomBytes } from "node:crypto";
import { cp, lstat, mkdir, readdir, readFile, rm, rmdir, symlink, utimes, writeFile } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { putInPlace, unfinished } from "./extract.ts";
import { ifUnlocked, withLock } from "./file-lock.ts";
import { environmentError, systemCode, whyFailed } from "./limits.ts";
import { runNpm } from "./npm-run.ts";
import { isLiving, ownMark, parseMark, printMark } from "./process-marks.ts";

const INSTALL_MS = 600_000;
/** Marks of processes of whom nothing can be known count for so long. */
const FOREIGN_MS = 24 * 3_600_000;
const RECORD = "install.json";

export interface InstallRequest {
  /** As npm is told; files of ours by the path of the package. */
  readonly packages: readonly (string | { readonly file: string; readonly path: string; readonly hash: string })[] | "lock";
  readonly scripts: boolean;
  /** The working directory: package.json and the lock file are there, for "lock", and .npmrc, if it has one. */
  readonly project: Project | undefined;
}

export interface Project {
  readonly folder: string;
  /** Of the package that it came from. */
  readonly hash: string;
}

export interface Install {
  /** It has `node_modules`. */
  readonly folder: string;
  release(): Promise<void>;
}

export class NpmInstalls {
  readonly #folder: string;
  readonly #mobula: string;
  readonly #most: number;
  readonly #signal: AbortSignal;

  /** `mobula`: the root of this package, which every install gets instead of one from the registry. `most`: bytes of all together. */
  constructor(folder: string, mobula: string, most: number, signal: AbortSignal) {
    this.#folder = folder;
    this.#mobula = mobula;
    this.#most = most;
    this.#signal = signal;
  }

  async acquire(request: InstallRequest): Promise<Install> {
    const plan = await planOf(request, this.#mobula);
    const place = join(this.#folder, plan.key);
    const mark = join(this.#usesOf(plan.key), `${process.pid}-${randomBytes(6).toString("hex")}`);
    await mkdir(this.#usesOf(plan.key), { recursive: true, mode: 0o700 });
    let made = false;
    await withLock(`${place}.lock`, INSTALL_MS, async () => {
      await writeFile(mark, printMark(ownMark()));
      try {
        if (await exists(join(place, RECORD))) return await touch(place);
        await this.#install(plan, place);
        made = true;
      } catch (error) {
        await rm(mark, { force: true });
        await rmdir(this.#usesOf(plan.key)).catch(() => undefined); // others may use what was there before
        throw error;
      }
    });
    if (made) await this.trim();
    return {
      folder: place,
      release: async () => {
        await touch(place).catch(() => undefined); // it may have been removed by hand
        await rm(mark, { force: true });
      },
    };
  }

  /** Removes what processes left half made that died while they installed. */
  async removeUnfinished(): Promise<void> {
    const keys = (await readdir(this.#folder)).flatMap((name) => /^([0-9a-f]{32})\.new-/.exec(name)?.slice(1) ?? []);
    for (const key of new Set(keys)) {
      const file = join(this.#folder, `${key}.lock`);
      const remove = (): Promise<boolean> => this.#removeUnfinished(key).then(() => true);
      // A lock of a dead process is only broken by the first who wants it.
      if ((await ifUnlocked(file, remove)) === undefined) await ifUnlocked(file, remove);
    }
  }

  /** Removes what is not used, oldest first, until all together fit. */
  async trim(): Promise<void> {
    const installs: { key: string; bytes: number; usedAt: number }[] = [];
    for (const key of await readdir(this.#folder).catch(() => [])) {
      const record = join(this.#folder, key, RECORD);
      if (!/^[0-9a-f]{32}$/.test(key)) continue;
      try {
        const { bytes } = JSON.parse(await readFile(record, "utf8")) as { bytes: number };
        installs.push({ key, bytes, usedAt: (await lstat(record)).mtimeMs });
      } catch {
        continue; // it went meanwhile
      }
    }
    installs.sort((a, b) => a.usedAt - b.usedAt);
    let total = installs.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { key, bytes } of installs) {
      if (total <= this.#most) return;
      if (await this.#removeUnused(key)) total -= bytes;
    }
  }

  async #removeUnused(key: string): Promise<boolean> {
    const place = join(this.#folder, key);
    const removed = await ifUnlocked(`${place}.lock`, async () => {
      if (await this.#isUsed(key)) return false;
      await rm(place, { recursive: true, force: true });
      await rm(this.#usesOf(key), { recursive: true, force: true });
      return true;
    });
    return removed === true;
  }

  async #isUsed(key: string): Promise<boolean> {
    for (const name of await readdir(this.#usesOf(key)).catch(() => [])) {
      const file = join(this.#usesOf(key), name);
      const mark = parseMark(await readFile(file, "utf8").catch(() => ""));
      const living = mark === undefined ? undefined : isLiving(mark);
      const info = living === undefined ? await lstat(file).catch(() => undefined) : undefined;
      if (living === true || (info !== undefined && Date.now() - info.mtimeMs < FOREIGN_MS)) return true;
    }
    return false;
  }

  #usesOf(key: string): string {
    return join(this.#folder, `${key}.uses`);
  }

  async #install(plan: Plan, place: string): Promise<void> {
    await this.#removeUnfinished(basename(place));
    const temporary = unfinished(place);
    try {
      await mkdir(temporary, { recursive: true, mode: 0o700 });
      await plan.prepare(temporary);
      const scripts = plan.scripts ? ["--foreground-scripts", "--ignore-scripts=false"] : ["--ignore-scripts"];
      const quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--no-progress", "--loglevel=error"];
      const args = [...plan.command, ...quiet, ...scripts, ...(plan.specifiers.length > 0 ? ["--", ...plan.specifiers] : [])];
      await runNpm({ args, folder: temporary, timeoutMs: INSTALL_MS, signal: this.#signal, what: plan.what });
      await linkPackage(join(temporary, "node_modules"), this.#mobula);
      await writeFile(join(temporary, RECORD), JSON.stringify({ what: plan.what, bytes: await bytesBelow(temporary) }));
      await putInPlace(temporary, place);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
      throw environmentError(`${plan.what} could not be installed`, whyFailed(error), "", error);
    }
  }

  /** Of processes that died while they installed the same. Called with the lock. */
  async #removeUnfinished(key: string): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      if (name.startsWith(`${key}.new-`)) await rm(join(this.#folder, name), { recursive: true, force: true });
    }
  }
}

/** The packages `mobula` that code in `modules` finds is this one. */
export async function linkPackage(modules: string, mobula: string): Promise<void> {
  await mkdir(modules, { recursive: true });
  const place = join(modules, "mobula");
  await rm(place, { recursive: true, force: true });
  await symlink(mobula, place);
}

/**
 * A working directory that is a package called `mobula` finds itself by that name, before anything that is linked: a program in it would
 * have another engine than its worker. In the copy it gets another name.
 */
export async function giveUpName(workDir: string): Promise<void> {
  const file = join(workDir, "package.json");
  const text = await readFile(file, "utf8").catch(() => "");
  if (!text.includes('"mobula"')) return;
  let own: unknown;
  try {
    own = JSON.parse(text);
  } catch {
    // Whoever needs it says what is wrong with it.
    return;
  }
  if ((own as { name?: unknown } | null)?.name !== "mobula") return;
  await writeFile(file, JSON.stringify({ ...(own as object), name: "mobula-working-directory" }, undefined, 2));
}

interface Plan {
  readonly key: string;
  readonly command: readonly string[];
  readonly specifiers: readonly string[];
  readonly scripts: boolean;
  readonly what: string;
  prepare(folder: string): Promise<void>;
}

async function planOf({ packages, scripts, project }: InstallRequest, mobula: string): Promise<Plan> {
  const npmrc = project === undefined ? undefined : await readFile(join(project.folder, ".npmrc"), "utf8").catch(() => undefined);
  const settings = async (folder: string): Promise<void> => {
    if (npmrc !== undefined) await writeFile(join(folder, ".npmrc"), npmrc, { mode: 0o600 });
  };
  if (packages === "lock") return planOfLock(scripts, project, npmrc, settings, mobula);
  const names = packages.map((one) => (typeof one === "string" ? one : one.file)).join(", ");
  return {
    key: keyOf(mobula, scripts, [packages.map((one) => (typeof one === "string" ? one : [one.file, one.hash])), npmrc]),
    command: ["install", "--no-package-lock"],
    specifiers: packages.map((one, i) => (typeof one === "string" ? one : `file:./package-${i}/${one.file}`)),
    scripts,
    what: `npm packages of a runtime environment (${names.slice(0, 500)})`,
    prepare: async (folder) => {
      await writeFile(join(folder, "package.json"), JSON.stringify({ name: "mobula-environment", private: true }));
      await settings(folder);
      for (const [i, one] of packages.entries()) {
        if (typeof one !== "string") await cp(one.path, join(folder, `package-${i}`, one.file), { recursive: true });
      }
    },
  };
}

async function planOfLock(
  scripts: boolean,
  project: Project | undefined,
  npmrc: string | undefined,
  settings: (folder: string) => Promise<void>,
  mobula: string,
): Promise<Plan> {
  const what = "npm packages of the lock file of a runtime environment";
  if (project === undefined) {
    throw environmentError(`${what} could not be installed`, "There is no working directory", 'npm: "lock" needs `workingDir`');
  }
  const workDir = project.folder;
  const read = (name: string): Promise<string | undefined> => readFile(join(workDir, name), "utf8").catch(() => undefined);
  const manifest = await read("package.json");
  const shrinkwrap = await read("npm-shrinkwrap.json");
  const lock = shrinkwrap ?? (await read("package-lock.json"));
  if (manifest === undefined || lock === undefined) {
    const missing = manifest === undefined ? "package.json" : "package-lock.json";
    throw environmentError(`${what} could not be installed`, `The working directory has no ${missing}`, "Run npm install there first");
  }
  const local = localPlaces(lock);
  return {
    // What is linked into node_modules from the working directory is part of the install.
    key: keyOf(mobula, scripts, [manifest, lock, npmrc, local.length > 0 ? project.hash : ""]),
    command: ["ci"],
    specifiers: [],
    scripts,
    what,
    prepare: async (folder) => {
      await writeFile(join(folder, "package.json"), manifest);
      await writeFile(join(folder, shrinkwrap === undefined ? "package-lock.json" : "npm-shrinkwrap.json"), lock);
      await settings(folder);
      for (const place of local) {
        const inside = relative(workDir, resolve(workDir, place));
        if (inside === "" || inside.startsWith("..")) {
          throw environmentError(`${what} could not be installed`, `It names ${place}, which is outside of the working directory`);
        }
        await cp(join(workDir, inside), join(folder, inside), { recursive: true, verbatimSymlinks: true });
      }
    },
  };
}

/** Folders and archives of the project itself that a lock file names. */
function localPlaces(lock: string): string[] {
  try {
    const { packages = {} } = JSON.parse(lock) as { packages?: Record<string, { link?: boolean; resolved?: string }> };
    const places = Object.entries(packages).flatMap(([name, { link, resolved = "" }]) => {
      if (link === true) return [resolved];
      if (resolved.startsWith("file:")) return [resolved.slice(5)];
      return name !== "" && !name.includes("node_modules/") ? [name] : [];
    });
    return [...new Set(places)].sort();
  } catch (error) {
    throw environmentError("The lock file of a runtime environment is not understood", whyFailed(error), "", error);
  }
}

function keyOf(mobula: string, scripts: boolean, request: unknown): string {
  const [major] = process.versions.node.split(".");
  return createHash("sha256")
    .update(JSON.stringify([1, major, process.platform, process.arch, mobula, scripts, request]))
    .digest("hex")
    .slice(0, 32);
}

const exists = (file: string): Promise<boolean> =>
  lstat(file).then(
    () => true,
    () => false,
  );

/** It was used now. */
async function touch(place: string): Promise<void> {
  const now = new Date();
  await utimes(join(place, RECORD), now, now);
}

async function bytesBelow(folder: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const at = join(folder, entry.name);
    bytes += entry.isDirectory() ? await bytesBelow(at) : (await lstat(at)).size;
  }
  return bytes;
}
