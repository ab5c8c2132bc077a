/** The first file of a worker process. */
import { hereOf, relocate } from "../functions/relocation.ts";
import { WORKER_CONFIG } from "../runtime/daemon/config.ts";
import { isCompiled, keepCompiled, loadAtOnce } from "../runtime/loading.ts";
import type { WorkerSettings } from "./worker.ts";

const config = JSON.parse(process.env[WORKER_CONFIG] ?? "") as WorkerSettings;
delete process.env[WORKER_CONFIG];
const { workDir, origin, packages } = config.environment ?? {};
if (workDir !== undefined && origin !== undefined) relocate(origin, workDir);
// By-reference functions and the main script's own paths are told from the driver's entry.
if (config.entry !== undefined) process.argv[1] = hereOf(config.entry);

keepCompiled();
const { Worker } = isCompiled
  ? (loadAtOnce(new URL("worker.js", import.meta.url)) as typeof import("./worker.ts"))
  : await import("./worker.ts");
if (config.preloads.length > 0) {
  // What it starts itself (`fork`) is to have them too.
  process.execArgv = [...config.execArgv];
  const { preload } = await import("./preload.ts");
  await preload(config.preloads, config.nodeFolder);
}
// From the working directory they are found by the rules of Node. Hooks that come later are asked first.
const isBelow = workDir !== undefined && config.entry !== undefined && hereOf(config.entry) !== config.entry;
if (packages !== undefined && !isBelow) (await import("./package-hooks.ts")).findPackagesIn(packages);
await new Worker(config).start();
