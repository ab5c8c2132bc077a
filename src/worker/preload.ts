/**
 * Loads the modules that the driver's flags name (`--require`, `--import`), as Node does it: from the working folder, in order. One that
 * is not in the working directory of an environment, which has no packages of its own but those of `npm`, is looked for in `elsewhere`.
 */
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { importerOf } from "../functions/index.ts";
import type { Preload } from "../runtime/flags.ts";

export async function preload(preloads: readonly Preload[], elsewhere: string): Promise<void> {
  for (const each of preloads) {
    try {
      await load(each, process.cwd());
    } catch (error) {
      if (!isNotThere(error) || elsewhere === process.cwd()) throw error;
      await load(each, elsewhere);
    }
  }
}

async function load({ kind, specifier }: Preload, folder: string): Promise<void> {
  const here = path.join(folder, "[preload]");
  if (kind === "require") createRequire(here)(specifier);
  else await importerOf(pathToFileURL(here).href, false)(specifier);
}

function isNotThere(error: unknown): boolean {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return code === "MODULE_NOT_FOUND" || code === "ERR_MODULE_NOT_FOUND";
}
