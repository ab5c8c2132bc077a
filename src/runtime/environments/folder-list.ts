/**
 * What of a folder goes into a package: all that `excludes` leaves, in an order that is always the same, within the limits. Nothing
 * that leads out of the folder.
 */
import type { Dirent } from "node:fs";
import { lstat, readdir, readlink, realpath } from "node:fs/promises";
import path from "node:path";
import ignore from "ignore";
import { checkPath, checkTarget, keyOf } from "./entry-checks.ts";
import { environmentError, countText, packageLimits, sizeText } from "./limits.ts";
import type { PackageLimits } from "./limits.ts";

export interface FolderEntry {
  /** Relative, with `/`. */
  readonly path: string;
  readonly kind: "file" | "folder" | "link";
  readonly size: number;
  readonly executable: boolean;
  readonly target: string;
}

/** Never taken along, unless an exclude such as `!node_modules` says so. */
export const alwaysExcluded = [".git", "node_modules"];

export async function listFolder(
  folder: string,
  excludes: readonly string[],
  limits: PackageLimits = packageLimits,
): Promise<FolderEntry[]> {
  const root = await realpath(folder);
  const walk = new Walk(root, excludes, limits);
  await walk.into("");
  walk.checkBytes();
  return walk.found;
}

class Walk {
  readonly found: FolderEntry[] = [];
  readonly #root: string;
  readonly #rules: ReturnType<typeof ignore>;
  readonly #limits: PackageLimits;

  constructor(root: string, excludes: readonly string[], limits: PackageLimits) {
    this.#root = root;
    this.#rules = ignore({ allowRelativePaths: false, ignorecase: false }).add([...alwaysExcluded, ...excludes]);
    this.#limits = limits;
  }

  async into(folder: string): Promise<void> {
    const entries = await readdir(path.join(this.#root, folder), { withFileTypes: true });
    // By code units, not by a locale: the same everywhere.
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    refuseLookalikes(folder, entries);
    for (const entry of entries) {
      const at = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (this.#rules.ignores(entry.isDirectory() ? `${at}/` : at)) continue;
      const isFolder = entry.isDirectory();
      if (!isFolder && !entry.isFile() && !entry.isSymbolicLink()) continue; // sockets, pipes and devices belong to this machine
      checkPath(at, this.#limits);
      this.#take(await this.#look(at, entry));
      if (isFolder) await this.into(at);
    }
  }

  async #look(at: string, entry: Dirent): Promise<FolderEntry> {
    if (entry.isDirectory()) return { path: at, kind: "folder", size: 0, executable: false, target: "" };
    if (entry.isSymbolicLink()) return { path: at, kind: "link", size: 0, executable: false, target: await this.#target(at) };
    const { size, mode } = await lstat(path.join(this.#root, at));
    return { path: at, kind: "file", size, executable: (mode & 0o111) !== 0, target: "" };
  }

  /** A link inside stays one; its target is told so that it holds elsewhere too. */
  async #target(at: string): Promise<string> {
    const link = path.join(this.#root, at);
    try {
      return checkTarget(at, await readlink(link), this.#limits);
    } catch {
      const real = await realpath(link).catch(() => undefined);
      const inside = real === undefined ? ".." : path.relative(this.#root, real);
      if (inside !== ".." && !inside.startsWith("../")) {
        return path.relative(path.dirname(path.join(this.#root, at)), path.join(this.#root, inside)) || ".";
      }
      throw environmentError(
        `The working directory ${this.#root} cannot be packed`,
        `${at} is a link that leads out of it${real === undefined ? "" : `, to ${real}`}`,
        "Put it into `excludes`, or what it leads to in its place",
      );
    }
  }

  #take(entry: FolderEntry): void {
    this.found.push(entry);
    if (this.found.length <= this.#limits.entries) return;
    throw tooLarge(this.#root, `It has more than ${countText(this.#limits.entries)} files and folders`, this.found, "entries");
  }

  checkBytes(): void {
    const bytes = this.found.reduce((sum, { size }) => sum + size, 0);
    if (bytes > this.#limits.bytes) {
      throw tooLarge(this.#root, `It has ${sizeText(bytes)}, ${sizeText(this.#limits.bytes)} are allowed`, this.found, "bytes");
    }
  }
}

/** Two names that are one on other machines: better said here than there. */
function refuseLookalikes(folder: string, entries: readonly Dirent[]): void {
  const seen = new Map<string, string>();
  for (const { name } of entries) {
    const other = seen.get(keyOf(name));
    if (other !== undefined) {
      throw environmentError(
        `The working directory cannot be packed`,
        `${folder === "" ? "" : `${folder}/`}${name} and ${other} differ in nothing but case, and are one file on other machines`,
        "Rename one of them, or put it into `excludes`",
      );
    }
    seen.set(keyOf(name), name);
  }
}

/** The largest of what lies at the top, folders with what is in them. */
function tooLarge(root: string, why: string, entries: readonly FolderEntry[], by: "bytes" | "entries"): Error {
  const tops = new Map<string, { bytes: number; entries: number }>();
  for (const entry of entries) {
    const slash = entry.path.indexOf("/");
    const top = slash < 0 ? (entry.kind === "folder" ? `${entry.path}/` : entry.path) : entry.path.slice(0, slash + 1);
    const sum = tops.get(top) ?? { bytes: 0, entries: 0 };
    tops.set(top, { bytes: sum.bytes + entry.size, entries: sum.entries + 1 });
  }
  const largest = [...tops].sort(([, a], [, b]) => b[by] - a[by]).slice(0, 5);
  const shown = largest.map(([name, sum]) => `${name} (${by === "bytes" ? sizeText(sum.bytes) : `${countText(sum.entries)} files`})`);
  return environmentError(
    `The working directory ${root} is too large for a package`,
    `${why}. The largest in it: ${shown.join(", ")}`,
    "Put what workers do not need into `excludes`; give large data to tasks as objects, or from a place that all nodes see",
  );
}
