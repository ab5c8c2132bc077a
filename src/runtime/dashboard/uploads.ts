/**
 * What of the packages came over HTTP, so that a head that runs for a year does not keep all of them: an empty file for each, whose
 * time is when it was last uploaded or submitted with. What came from programs lies in the same folder, and is not touched.
 */
import { existsSync, readdirSync } from "node:fs";
import { mkdir, readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { uploadMarksOf } from "../environments/store.ts";

/** Of all uploaded packages together. */
const BYTES_MAX = 8 * 2 ** 30;
/** One that was uploaded is submitted with within this time. */
const FRESH_MS = 3_600_000;

export class Uploads {
  readonly #packages: string;
  readonly #marks: string;
  readonly #most: number;
  readonly #freshMs: number;

  constructor(packages: string, most = BYTES_MAX, freshMs = FRESH_MS) {
    this.#packages = packages;
    this.#marks = uploadMarksOf(packages);
    this.#most = most;
    this.#freshMs = freshMs;
  }

  /** Their hashes. */
  marked(): Set<string> {
    return new Set(existsSync(this.#marks) ? readdirSync(this.#marks) : []);
  }

  /** It is uploaded, or a job is submitted with it: one that a program has uploaded counts from then on. */
  async touch(sha256: string): Promise<void> {
    await mkdir(this.#marks, { recursive: true, mode: 0o700 });
    await writeFile(join(this.#marks, sha256), "", { mode: 0o600 });
  }

  /** Removes those that no job needs, the oldest first, until `bytes` more have room. False when they do not. */
  async makeRoom(bytes: number, needed: () => Promise<ReadonlySet<string>>): Promise<boolean> {
    const known: { sha256: string; size: number; at: number }[] = [];
    for (const sha256 of await readdir(this.#marks).catch(() => [] as string[])) {
      const [mark, file] = await Promise.all([this.#look(this.#marks, sha256), this.#look(this.#packages, sha256)]);
      if (mark !== undefined && file !== undefined) known.push({ sha256, size: file.size, at: mark.mtimeMs });
    }
    let total = known.reduce((sum, { size }) => sum + size, bytes);
    if (total <= this.#most) return true;
    const keep = await needed();
    known.sort((a, b) => a.at - b.at);
    for (const { sha256, size, at } of known) {
      if (total <= this.#most) return true;
      if (keep.has(sha256) || Date.now() - at < this.#freshMs) continue;
      await rm(join(this.#packages, sha256), { force: true });
      await rm(join(this.#marks, sha256), { force: true });
      total -= size;
    }
    return total <= this.#most;
  }

  async #look(folder: string, name: string): Promise<{ size: number; mtimeMs: number } | undefined> {
    return await stat(join(folder, name)).catch(() => undefined);
  }
}
