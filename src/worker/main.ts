/** The first file of a worker process. */
import { WORKER_CONFIG } from "../runtime/daemon/config.ts";
import type { WorkerSettings } from "./worker.ts";

const config = JSON.parse(process.env[WORKER_CONFIG] ?? "") as WorkerSettings;
delete process.env[WORKER_CONFIG];
// By-reference functions and the main script's own paths are told from the driver's entry.
if (config.entry !== undefined) process.argv[1] = config.entry;
for (const [name, value] of Object.entries(config.envVars ?? {})) process.env[name] = value;

const { Worker } = await import("./worker.ts");
if (config.preloads.length > 0) {
  // What it starts itself (`fork`) is to have them too.
  process.execArgv = [...config.execArgv];
  const { preload } = await import("./preload.ts");
  await preload(config.preloads);
}
await new Worker(config).start();
