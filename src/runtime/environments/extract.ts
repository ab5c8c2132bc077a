/**
 * Unpacks an archive into a folder that is whole or not there: everything goes into a folder beside it, which gets its name at the end.
 * What may be in an archive is decided in entry-checks.ts.
 */
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, open, rename, rm, stat, symlink } from "node:fs/promises";
import { join } from "node:path";
import { readArchive } from "./archive.ts";
import { nowhere, takeEntries } from "./entry-checks.ts";
import type { EntrySink } from "./entry-checks.ts";
import { environmentError, packageLimits, systemCode, whyFailed } from "./limits.ts";
import type { PackageLimits } from "./limits.ts";

/** Marks a folder that is being made; whoever clears up may remove it once its maker is gone. */
export const unfinished = (folder: string): string => `${folder}.new-${process.pid}-${randomBytes(6).toString("hex")}`;

/** Unpacks `archive` as the folder `into`, which must not be there yet, or be the same already. Gives the bytes of its files. */
export async function extractArchive(archive: string, into: string, limits: PackageLimits = packageLimits): Promise<number> {
  const temporary = unfinished(into);
  try {
    await mkdir(temporary, { recursive: true, mode: 0o700 });
    const bytes = await unpackInto(archive, temporary, limits);
    await putInPlace(temporary, into);
    return bytes;
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
    throw environmentError("A package of a runtime environment could not be unpacked", whyFailed(error), "", error);
  }
}

/** Renames; if the place is taken, somebody else was faster with the same content. */
export async function putInPlace(temporary: string, into: string): Promise<void> {
  try {
    await rename(temporary, into);
  } catch (error) {
    if (!["ENOTEMPTY", "EEXIST"].includes(systemCode(error))) throw error;
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Reads all of an archive as extraction would, and makes nothing. */
export async function checkArchive(archive: string, limits: PackageLimits = packageLimits): Promise<void> {
  const { size } = await stat(archive);
  await takeEntries(readArchive(archive), size, nowhere, limits);
}

async function unpackInto(archive: string, folder: string, limits: PackageLimits): Promise<number> {
  let bytes = 0;
  const sink: EntrySink = {
    folder: (at) => mkdir(join(folder, at), { mode: 0o755 }),
    file: async (at, executable, content) => {
      // Exclusive: a name that is taken after all is an error, never overwritten or followed.
      const file = await open(join(folder, at), "wx", executable ? 0o755 : 0o644);
      try {
        for await (const part of content) {
          await file.appendFile(part);
          bytes += part.byteLength;
        }
      } finally {
        await file.close();
      }
    },
    copy: async (at, from) => {
      await copyFile(join(folder, from), join(folder, at));
      const { size } = await stat(join(folder, at));
      bytes += size;
      return size;
    },
    link: (at, target) => symlink(target, join(folder, at)),
  };
  const { size } = await stat(archive);
  await takeEntries(readArchive(archive), size, sink, limits);
  return bytes;
}
