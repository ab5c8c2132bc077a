/**
 * Packages by the hash of their bytes: where whoever needs one gets it. On one machine that is a folder of the session; on a cluster a
 * node's folder stands in front of the cluster's own store, from which a node fetches a package once.
 */
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, realpath, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { environmentError, packageLimits, sizeText, systemCode, tooLargeError, whyFailed } from "./limits.ts";

/** When a folder has more, those go that were used longest ago. */
const FOLDER_BYTES = 8 * 2 ** 30;
/** A package that was used so short a time ago is not removed. */
const KEPT_MS = 3_600_000;

/** sha256 of the bytes, as 64 hex digits. */
export type PackageHash = string;

export interface PackageStore {
  has(hash: PackageHash): Promise<boolean>;
  /** Rejects when the bytes are not those of the hash; then nothing is kept. A second put of the same changes nothing. */
  put(hash: PackageHash, bytes: AsyncIterable<Uint8Array>): Promise<void>;
  /** Rejects with RuntimeEnvError when it is not there. */
  get(hash: PackageHash): Promise<AsyncIterable<Uint8Array>>;
}

/** Beside the folder: a file for each package in it that came over HTTP. */
export const uploadMarksOf = (folder: string): string => `${folder}-uploaded`;

export const isPackageHash = (text: string): boolean => /^[0-9a-f]{64}$/.test(text);

/** Packages as files of one folder; with `behind`, one that is not here is fetched from there once, and what is put here goes there too. */
export class FolderStore implements PackageStore {
  readonly #folder: string;
  readonly #behind: PackageStore | undefined;
  readonly #fetching = new Map<PackageHash, Promise<void>>();

  constructor(folder: string, behind?: PackageStore) {
    this.#folder = folder;
    this.#behind = behind;
  }

  async has(hash: PackageHash): Promise<boolean> {
    return (await this.#hasHere(hash)) || (await this.#behind?.has(hash)) === true;
  }

  async put(hash: PackageHash, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    await this.#keep(hash, bytes);
    await this.#pass(hash);
  }

  /** Hands one that is here on to the store behind, once. False if it is not here. */
  async publish(hash: PackageHash): Promise<boolean> {
    if (!isPackageHash(hash) || !(await this.#hasHere(hash))) return false;
    await this.#pass(hash);
    return true;
  }

  /** Some of a package that is here, from `offset` on; undefined when it is not. */
  async part(hash: PackageHash, offset: number, length: number): Promise<{ bytes: Uint8Array; last: boolean } | undefined> {
    if (!isPackageHash(hash)) return undefined;
    const handle = await open(this.#fileOf(hash)).catch(() => undefined);
    if (handle === undefined) return undefined;
    try {
      const { size } = await handle.stat();
      const { bytesRead, buffer } = await handle.read(Buffer.alloc(Math.max(0, Math.min(length, size - offset))), 0, undefined, offset);
      return { bytes: buffer.subarray(0, bytesRead), last: offset + bytesRead >= size };
    } finally {
      await handle.close();
    }
  }

  async get(hash: PackageHash): Promise<AsyncIterable<Uint8Array>> {
    return createReadStream(await this.file(hash));
  }

  /** Its bytes as a file of this machine, fetched if need be. */
  async file(hash: PackageHash): Promise<string> {
    if (!(await this.#hasHere(hash))) await this.#fetch(hash);
    const file = this.#fileOf(hash);
    // Of meaning only when space is short.
    await utimes(file, new Date(), new Date()).catch(() => undefined);
    return file;
  }

  /**
   * Removes what was used longest ago, if there is more than a folder may have. `most`: bytes of it. What was uploaded is left alone, and
   * not counted: jobs may wait for it, and who keeps account of those has bounds of its own (src/runtime/dashboard/uploads.ts).
   */
  async trim(most = FOLDER_BYTES, now = Date.now()): Promise<void> {
    const folder = await realpath(this.#folder).catch(() => this.#folder);
    const uploaded = new Set(await readdir(uploadMarksOf(folder)).catch(() => []));
    const names = (await readdir(folder).catch(() => [])).filter((name) => isPackageHash(name) && !uploaded.has(name));
    const files = await Promise.all(names.map(async (name) => ({ name, found: await stat(this.#fileOf(name)).catch(() => undefined) })));
    const here = files.flatMap(({ name, found }) => (found === undefined ? [] : [{ name, size: found.size, usedAt: found.mtimeMs }]));
    let total = here.reduce((sum, { size }) => sum + size, 0);
    for (const { name, size, usedAt } of here.sort((a, b) => a.usedAt - b.usedAt)) {
      if (total <= most || now - usedAt < KEPT_MS) return;
      await rm(this.#fileOf(name), { force: true });
      total -= size;
    }
  }

  /** A file that is in no store yet, to be written and then handed to `adopt`; of this folder, so that it need not be copied. */
  async draft(): Promise<string> {
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    return join(this.#folder, `draft-${process.pid}-${randomBytes(6).toString("hex")}`);
  }

  /** Takes a draft over, whose hash the caller has worked out while writing it. */
  async adopt(draft: string, hash: PackageHash): Promise<void> {
    await rename(draft, this.#fileOf(hash));
    await this.trim();
    await this.#pass(hash);
  }

  async #pass(hash: PackageHash): Promise<void> {
    if (this.#behind === undefined || (await this.#behind.has(hash))) return;
    await this.#behind.put(hash, createReadStream(this.#fileOf(hash)));
  }

  async #hasHere(hash: PackageHash): Promise<boolean> {
    return stat(this.#fileOf(hash)).then(
      () => true,
      () => false,
    );
  }

  async #fetch(hash: PackageHash): Promise<void> {
    if (this.#behind === undefined) {
      throw environmentError(`Package ${hash.slice(0, 12)} of a runtime environment is not there`, "It was never uploaded to this cluster");
    }
    const { promise = this.#behind.get(hash).then((bytes) => this.#keep(hash, bytes)) } = { promise: this.#fetching.get(hash) };
    this.#fetching.set(hash, promise);
    await promise.finally(() => this.#fetching.delete(hash));
  }

  async #keep(hash: PackageHash, bytes: AsyncIterable<Uint8Array>): Promise<void> {
    if (!isPackageHash(hash)) throw environmentError(`${JSON.stringify(hash.slice(0, 80))} is no sha256 of a package`);
    const draft = await this.draft();
    try {
      const got = await writeHashed(draft, bytes);
      if (got !== hash) throw environmentError(`Package ${hash.slice(0, 12)} of a runtime environment was damaged on its way`);
      await rename(draft, this.#fileOf(hash));
      await this.trim();
    } catch (error) {
      await rm(draft, { force: true });
      if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
      throw environmentError("A package of a runtime environment could not be stored", whyFailed(error), "", error);
    }
  }

  #fileOf(hash: PackageHash): string {
    return join(this.#folder, hash);
  }
}

/** Writes a file, and gives the hash of what was written. Rejects above the size limit of packages. */
export async function writeHashed(
  file: string,
  bytes: AsyncIterable<Uint8Array>,
  most: number = packageLimits.archiveBytes,
): Promise<PackageHash> {
  const sum = createHash("sha256");
  const handle = await open(file, "wx", 0o600);
  try {
    let size = 0;
    for await (const part of bytes) {
      size += part.byteLength;
      if (size > most) throw tooLargeError("A package of a runtime environment is refused", `It has more than ${sizeText(most)}`);
      sum.update(part);
      await handle.appendFile(part);
    }
  } finally {
    await handle.close();
  }
  return sum.digest("hex");
}
