/**
 * What an environment is, told so that every node can make the same: a text that travels with the work that needs it. Equal texts are
 * equal environments. Environment variables are not part of it: they go beside it.
 */
import { environmentError } from "./limits.ts";
import { isPackageHash } from "./store.ts";
import type { PackageHash } from "./store.ts";

export interface EnvironmentDescription {
  readonly workingDir?: {
    readonly hash: PackageHash;
    /** The folder's address where it was packed, with `/` at its end: what the program calls its files by. */
    readonly origin?: string;
  };
  readonly npm?: { readonly packages: readonly NpmPackage[] | "lock"; readonly scripts: boolean };
  readonly setup?: SetupHook;
}

/** As npm is told, such as `name@range`, or a package of ours under the name of its file. */
export type NpmPackage = string | { readonly file: string; readonly hash: PackageHash };

/** A module, by a specifier as in the working directory, or a function's definition. */
export type SetupHook = { readonly module: string } | { readonly hash: PackageHash };

/** Undefined for an environment that is that of every worker. */
export function printDescription({ workingDir, npm, setup }: EnvironmentDescription): string | undefined {
  const packages = npm === undefined || npm.packages.length === 0 ? undefined : npm;
  if (workingDir === undefined && packages === undefined && setup === undefined) return undefined;
  return JSON.stringify({
    ...(workingDir === undefined ? {} : { workingDir: { hash: workingDir.hash, origin: workingDir.origin } }),
    ...(packages === undefined ? {} : { npm: { packages: inOrder(packages.packages), scripts: packages.scripts } }),
    ...(setup === undefined ? {} : { setup }),
  });
}

/** The order in which packages are named says nothing. */
function inOrder(packages: readonly NpmPackage[] | "lock"): readonly NpmPackage[] | "lock" {
  if (packages === "lock") return packages;
  const texts = new Set(packages.map((one) => JSON.stringify(typeof one === "string" ? one : { file: one.file, hash: one.hash })));
  return [...texts].sort().map((text) => JSON.parse(text) as NpmPackage);
}

/** Throws RuntimeEnvError for a text that no version of `printDescription` made. */
export function parseDescription(text: string): EnvironmentDescription {
  try {
    const { workingDir, npm, setup } = JSON.parse(text) as EnvironmentDescription;
    return {
      ...(workingDir === undefined ? {} : { workingDir: { hash: hashOf(workingDir.hash), ...originOf(workingDir.origin) } }),
      ...(npm === undefined ? {} : { npm: { packages: packagesOf(npm.packages), scripts: npm.scripts === true } }),
      ...(setup === undefined ? {} : { setup: setupOf(setup) }),
    };
  } catch (error) {
    throw environmentError("A runtime environment is not understood here", "It was described by another version", "", error);
  }
}

/** What a task inherits from where it is submitted: part by part, its own wins. */
export function mergeDescriptions(base: EnvironmentDescription, own: EnvironmentDescription): EnvironmentDescription {
  return { ...base, ...own };
}

function hashOf(hash: unknown): PackageHash {
  if (typeof hash === "string" && isPackageHash(hash)) return hash;
  throw new Error("no hash");
}

function originOf(origin: unknown): { origin?: string } {
  if (origin === undefined) return {};
  return { origin: stringOf(origin) };
}

function stringOf(text: unknown): string {
  if (typeof text === "string") return text;
  throw new Error("no text");
}

function packagesOf(packages: unknown): readonly NpmPackage[] | "lock" {
  if (packages === "lock") return packages;
  return (packages as unknown[]).map((one) => {
    if (typeof one === "string") return one;
    const { file, hash } = one as Record<string, unknown>;
    return { file: stringOf(file), hash: hashOf(hash) };
  });
}

function setupOf(setup: SetupHook): SetupHook {
  return "module" in setup ? { module: stringOf(setup.module) } : { hash: hashOf(setup.hash) };
}
