/** The setup hook of an environment: once in each worker, before it takes work. Where it fails the worker does not start, and says why. */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { importModules } from "../functions/index.ts";
import { Later } from "../runtime/client/packing.ts";
import type { Packing } from "../runtime/client/packing.ts";
import type { WorkerConfig } from "../runtime/daemon/config.ts";

type SetupHook = NonNullable<NonNullable<WorkerConfig["environment"]>["setup"]>;

export async function runSetup(setup: SetupHook, packing: Packing): Promise<void> {
  try {
    const hook: unknown = "module" in setup ? await defaultExport(setup.module) : await definition(setup.file, packing);
    if (typeof hook === "function") await (hook as () => unknown)();
  } catch (error) {
    const told = error instanceof Error ? (error.stack ?? error.message) : inspect(error);
    process.stderr.write(`The setup hook of the runtime environment failed: ${told}\n`);
    // What it printed is read from the pipe until it is closed.
    process.exit(1);
  }
}

/** As a file of the working directory would import it. */
async function defaultExport(module: string): Promise<unknown> {
  const key = `${module} from ${pathToFileURL(path.join(process.cwd(), "setup")).href}`;
  const namespaces = await importModules([key]);
  return Reflect.get(namespaces(key), "default");
}

async function definition(file: string, packing: Packing): Promise<unknown> {
  const opened = packing.unpack(await readFile(file), false);
  return opened instanceof Later ? opened.promise : opened;
}
