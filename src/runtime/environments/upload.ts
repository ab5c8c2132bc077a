/**
 * An environment as it was given, to its description: what lies on this machine is packed and handed to the store of packages.
 */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { EnvironmentDescription, NpmPackage, SetupHook } from "./description.ts";
import { checkArchive } from "./extract.ts";
import { listFolder } from "./folder-list.ts";
import { environmentError, packageLimits, sizeText, systemCode, whyFailed } from "./limits.ts";
import { packFolder } from "./pack.ts";
import { writeHashed } from "./store.ts";
import type { FolderStore, PackageHash } from "./store.ts";

/** What of `runtimeEnv` has to be made; checked, paths absolute. */
export interface GivenEnvironment {
  /** A folder, or an archive. */
  readonly workingDir?: string;
  readonly excludes?: readonly string[];
  readonly npm?: readonly string[] | "lock";
  readonly npmScripts?: boolean;
  /** A module's specifier, or the definition of a function. */
  readonly setup?: string | Uint8Array;
}

export interface Uploading {
  readonly store: FolderStore;
  /** Called for each package, once it is in the store. */
  published(hash: PackageHash): Promise<void>;
  /** What the program calls this address by: in a worker, files of the working directory have another one. */
  originOf(url: string): string;
}

const ARCHIVE = /\.(zip|tgz|tar\.gz)$/i;

export async function uploadEnvironment(given: GivenEnvironment, to: Uploading): Promise<EnvironmentDescription> {
  const workingDir = given.workingDir === undefined ? undefined : await uploadWorkingDir(given.workingDir, given.excludes ?? [], to);
  const npm = given.npm === undefined ? undefined : await uploadPackages(given.npm, to);
  const setup = given.setup === undefined ? undefined : await uploadSetup(given.setup, to);
  return {
    ...(workingDir === undefined ? {} : { workingDir }),
    ...(npm === undefined ? {} : { npm: { packages: npm, scripts: given.npmScripts ?? false } }),
    ...(setup === undefined ? {} : { setup }),
  };
}

async function uploadWorkingDir(place: string, excludes: readonly string[], to: Uploading): Promise<EnvironmentDescription["workingDir"]> {
  const info = await look(place, "The working directory");
  if (info === "archive") {
    if (excludes.length > 0) {
      throw environmentError(`${place} is an archive`, "`excludes` are for folders", "Leave them out, or give the folder");
    }
    return { hash: await publish(await takeArchive(place, to.store), to) };
  }
  const hash = await publish(await packed(place, excludes, "", to.store), to);
  return { hash, origin: to.originOf(`${pathToFileURL(place).href.replace(/\/$/, "")}/`) };
}

async function look(place: string, what: string): Promise<"folder" | "archive"> {
  const info = await stat(place).catch((error: unknown) => {
    const why = systemCode(error) === "ENOENT" ? "There is no such file or folder" : whyFailed(error);
    throw environmentError(`${what} ${place} cannot be used`, why, "Check the path; it is taken from where the program runs", error);
  });
  if (info.isDirectory()) return "folder";
  if (info.isFile() && ARCHIVE.test(place)) {
    if (info.size <= packageLimits.archiveBytes) return "archive";
    throw environmentError(
      `${what} ${place} is too large for a package`,
      `It has ${sizeText(info.size)}, ${sizeText(packageLimits.archiveBytes)} are allowed`,
    );
  }
  throw environmentError(
    `${what} ${place} cannot be used`,
    "It is no folder, and no archive",
    "Give a folder, a .zip, a .tgz or a .tar.gz",
  );
}

async function packed(folder: string, excludes: readonly string[], prefix: string, store: FolderStore): Promise<PackageHash> {
  try {
    return await packFolder(folder, await listFolder(folder, excludes), store, prefix);
  } catch (error) {
    if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
    throw environmentError(`The folder ${folder} could not be packed for workers`, whyFailed(error), "", error);
  }
}

/** A copy of an archive in the store. It is looked through here, so that what is wrong with it is said where it was given. */
async function takeArchive(file: string, store: FolderStore): Promise<PackageHash> {
  try {
    await checkArchive(file);
    return await takeBytes(createReadStream(file), store);
  } catch (error) {
    if (systemCode(error) === "RUNTIME_ENV_FAILED") {
      const { message } = error as Error;
      throw environmentError(`${file} cannot be used in a runtime environment. ${message}`, "", "", error);
    }
    throw environmentError(`${file} cannot be used in a runtime environment`, whyFailed(error), "", error);
  }
}

async function takeBytes(bytes: AsyncIterable<Uint8Array>, store: FolderStore): Promise<PackageHash> {
  const draft = await store.draft();
  const hash = await writeHashed(draft, bytes);
  await store.adopt(draft, hash);
  return hash;
}

async function publish(hash: PackageHash, to: Uploading): Promise<PackageHash> {
  await to.published(hash);
  return hash;
}

async function uploadPackages(npm: readonly string[] | "lock", to: Uploading): Promise<readonly NpmPackage[] | "lock"> {
  if (npm === "lock") return npm;
  const packages: NpmPackage[] = [];
  for (const one of npm) {
    const place = localPackage(one);
    packages.push(place === undefined ? one : await uploadPackage(place, to));
  }
  return packages;
}

/** The place of a package that lies on this machine; undefined for one that npm is to find by itself. */
export function localPackage(specifier: string): string | undefined {
  if (specifier.startsWith("file://")) return fileURLToPath(specifier);
  if (specifier.startsWith("file:")) return path.resolve(specifier.slice(5));
  const isPath = /^\.{0,2}\//.test(specifier) || (/\.(tgz|tar\.gz)$/i.test(specifier) && !/^[\w+.-]+:/.test(specifier));
  return isPath ? path.resolve(specifier) : undefined;
}

async function uploadPackage(place: string, to: Uploading): Promise<NpmPackage> {
  const what = "The npm package";
  const file = `${path.basename(place).replace(/\.(tgz|tar\.gz|zip)$/i, "")}.tgz`;
  if ((await look(place, what)) === "archive") {
    if (/\.zip$/i.test(place)) throw environmentError(`${what} ${place} cannot be used`, "npm does not read zip", "Make it with npm pack");
    return { file, hash: await publish(await takeArchive(place, to.store), to) };
  }
  await stat(path.join(place, "package.json")).catch((error: unknown) => {
    throw environmentError(`${what} ${place} cannot be used`, "It has no package.json", "", error);
  });
  return { file, hash: await publish(await packed(place, [], "package/", to.store), to) };
}

async function uploadSetup(setup: string | Uint8Array, to: Uploading): Promise<SetupHook> {
  if (typeof setup === "string") return { module: setup };
  const hash = createHash("sha256").update(setup).digest("hex");
  if (!(await to.store.has(hash))) await to.store.put(hash, oneChunk(setup));
  return { hash: await publish(hash, to) };
}

async function* oneChunk(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
