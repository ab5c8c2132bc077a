/**
 * Finds the Redis or Valkey server that tests start, and installs Debian's where there is none and that is possible: as root on
 * Debian, as continuous integration runs. Elsewhere the tests that need it are skipped, and say why.
 *
 *   node --import tsx scripts/ensure-redis.ts
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const NAMES = ["redis-server", "valkey-server"];

/** The server's path, or undefined when there is none on PATH. */
export function findRedis(): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(path.delimiter).filter((folder) => folder !== "");
  const files = folders.flatMap((folder) => NAMES.map((name) => path.join(folder, name)));
  return files.find((file) => fs.existsSync(file));
}

/** As findRedis, after an attempt to install it. */
export function ensureRedis(): string | undefined {
  const found = findRedis();
  if (found !== undefined || process.getuid?.() !== 0 || !fs.existsSync("/etc/debian_version")) return found;
  console.log("no redis-server: installing Debian's, for the tests of the control store");
  // RUNLEVEL=1: the package's own service is not started.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  for (const args of [["update"], ["install", "-y", "--no-install-recommends", "redis-server"]]) {
    const { status, stderr, error } = spawnSync("apt-get", ["-qq", ...args], { env, encoding: "utf8", timeout: 180_000 });
    if (status === 0) continue;
    console.log(`apt-get ${args[0]} failed: ${(error?.message ?? stderr).trim().split("\n").at(-1)}`);
    return undefined;
  }
  return findRedis();
}

export const NO_REDIS = "there is no redis-server or valkey-server on PATH: install Debian's package redis-server";

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const server = ensureRedis();
  console.log(server ?? NO_REDIS);
  process.exitCode = server === undefined ? 1 : 0;
}
