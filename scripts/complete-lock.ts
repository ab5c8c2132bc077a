/**
 * `npm run lock`: writes package-lock.json anew and adds what a registry did not have. A mirror may lack binaries for
 * platforms that nobody near it uses; npm then leaves them out of the lock file, and `npm ci` refuses that file
 * everywhere. The version is known, because such packages are pinned exactly by the package that wants them, and so are
 * the platforms, because their names say so. There is no hash to write: on those platforms npm takes what it is given.
 */
import { execFileSync } from "node:child_process";
import fs from "node:fs";

interface LockedPackage {
  version?: string;
  cpu?: string[];
  dev?: boolean;
  libc?: string[];
  license?: string;
  optional?: boolean;
  os?: string[];
  optionalDependencies?: Record<string, string>;
}
interface Lock {
  packages: Record<string, LockedPackage>;
}

const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
const CPUS = ["arm64", "arm", "x64", "ia32", "ppc64", "riscv64", "s390x"];

/** The entry of a binary package, from its name and who wants it. */
function entryOf(name: string, version: string, wantedBy: LockedPackage): LockedPackage {
  const words = name.split(/[/-]/);
  const os = SYSTEMS.find((word) => words.includes(word));
  const cpu = CPUS.find((word) => words.includes(word));
  if (os === undefined || cpu === undefined) throw new Error(`${name} is not in the lock file, and its name names no platform`);
  if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${name} is not in the lock file, and is wanted as ${version}`);
  const libc = words.some((word) => word.startsWith("musl"))
    ? ["musl"]
    : words.some((word) => word.startsWith("gnu"))
      ? ["glibc"]
      : undefined;
  return {
    version,
    cpu: [cpu],
    ...(wantedBy.dev === true ? { dev: true } : {}),
    ...(libc === undefined ? {} : { libc }),
    ...(wantedBy.license === undefined ? {} : { license: wantedBy.license }),
    optional: true,
    os: [os],
  };
}

execFileSync("npm", ["install", "--package-lock-only"], { stdio: "inherit" });
const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8")) as Lock;
let added = 0;
for (const [place, wantedBy] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(wantedBy.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || lock.packages[`${place}/${key}`] !== undefined) continue;
    lock.packages[key] = entryOf(name, version, wantedBy);
    added++;
  }
}
const { "": root, ...rest } = lock.packages;
lock.packages = { "": root!, ...Object.fromEntries(Object.entries(rest).sort(([a], [b]) => a.localeCompare(b, "en"))) };
fs.writeFileSync("package-lock.json", `${JSON.stringify(lock, undefined, 2)}\n`);
console.log(`${added} packages for other platforms added`);
