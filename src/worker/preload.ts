/** Loads the modules that the driver's flags name (`--require`, `--import`), as Node does it: from the working folder, in order. */
import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { importerOf } from "../functions/index.ts";
import type { Preload } from "../runtime/flags.ts";

export async function preload(preloads: readonly Preload[]): Promise<void> {
  const here = path.join(process.cwd(), "[preload]");
  const require = createRequire(here);
  const importHere = importerOf(pathToFileURL(here).href, false);
  for (const { kind, specifier } of preloads) {
    if (kind === "require") require(specifier);
    else await importHere(specifier);
  }
}
