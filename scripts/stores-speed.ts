/**
 * How fast the control stores are on this machine: writes a second by callers that each wait for their last write, and how long
 * opening takes with 100,000 entries of 200 bytes. Redis is measured where there is a server: by its own defaults for
 * durability here, appendfsync always.
 *
 *   node --import tsx scripts/stores-speed.ts
 */
import { spawn } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { createControlStore, MemoryPlace } from "../src/runtime/stores/index.ts";
import type { ControlStoreSpec } from "../src/runtime/stores/index.ts";
import { findRedis } from "./ensure-redis.ts";

const SECONDS = 3;
const PORT = 16_379;
const value = Buffer.alloc(200, 7);

async function writesPerSecond(spec: ControlStoreSpec, callers: number): Promise<number> {
  const store = createControlStore(spec);
  await store.open({ waitMs: 5000 });
  const until = performance.now() + SECONDS * 1000;
  let writes = 0;
  const caller = async (name: number): Promise<void> => {
    for (let i = 0; performance.now() < until; i++, writes++) await store.write([{ table: "t", key: `${name}-${i % 100}`, value }]);
  };
  await Promise.all(Array.from({ length: callers }, (_, i) => caller(i)));
  await store.close();
  return Math.round(writes / SECONDS);
}

async function openingMs(spec: ControlStoreSpec): Promise<number> {
  const filled = createControlStore(spec);
  await filled.open({ waitMs: 5000 });
  const keys = Array.from({ length: 100_000 }, (_, i) => `key-${i}`);
  for (let i = 0; i < keys.length; i += 1000) {
    await filled.write(keys.slice(i, i + 1000).map((key) => ({ table: "many", key, value })));
  }
  await filled.close();
  const store = createControlStore(spec);
  const startedAt = performance.now();
  await store.open({ waitMs: 5000 });
  const tookMs = Math.round(performance.now() - startedAt);
  await store.close();
  return tookMs;
}

/** Below the working directory: the temporary folder is often in memory, where a sync costs nothing. */
const folder = fs.mkdtempSync(path.join(process.cwd(), "stores-speed-"));
const binary = findRedis();
const settings = [
  "--port",
  String(PORT),
  "--bind",
  "127.0.0.1",
  "--dir",
  folder,
  "--appendonly",
  "yes",
  "--appendfsync",
  "always",
  "--save",
  "",
];
const redis = binary === undefined ? undefined : spawn(binary, settings, { stdio: "ignore" });
const specs: ControlStoreSpec[] = [
  { kind: "memory", memory: new MemoryPlace() },
  { kind: "durable", folder: path.join(folder, "durable") },
];
if (redis !== undefined) specs.push({ kind: "redis", url: `redis://127.0.0.1:${PORT}`, clusterId: "speed" });
try {
  for (const spec of specs) {
    const rates: string[] = [];
    for (const callers of [1, 64, 1000]) rates.push(`${await writesPerSecond(spec, callers)} by ${callers}`);
    console.log(`${spec.kind}: writes/s ${rates.join(", ")}; opened with 100,000 entries in ${await openingMs(spec)} ms`);
  }
} finally {
  redis?.kill("SIGKILL");
  fs.rmSync(folder, { recursive: true, force: true });
}
