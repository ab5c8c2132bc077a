/**
 * The environments of one node: made when first asked for, by whoever asks once for all, counted while they are in use, and removed
 * when they are not and all together are too large.
 *
 * A working copy is a folder `<id>` with `work` in it, the working directory, and `node_modules` above that: code there finds the packages
 * of npm, and this package as `mobula`, by the ordinary rules of Node.
 */
import { createHash, randomBytes } from "node:crypto";
import { lstat, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseDescription } from "./description.ts";
import type { EnvironmentDescription } from "./description.ts";
import { extractArchive } from "./extract.ts";
import { environmentError, systemCode, whyFailed } from "./limits.ts";
import { giveUpName, linkPackage, NpmInstalls } from "./npm-installs.ts";
import type { Install } from "./npm-installs.ts";
import { isLiving, ownMark, parseMark, printMark } from "./process-marks.ts";
import type { FolderStore } from "./store.ts";

const CACHE_BYTES = 10 * 2 ** 30;
const OWNER = "owner.json";

export interface EnvironmentsOptions {
  /** Of this user on this machine, shared by all its nodes. */
  readonly home: string;
  readonly packages: FolderStore;
  /** Root of this package. */
  readonly mobula: string;
  /** What installs, and working copies, may take each before unused ones go. Default 10 GiB. */
  readonly cacheBytes?: number | undefined;
}

/** What a worker of an environment is started with. */
export interface PreparedEnvironment {
  /** The description. */
  readonly text: string;
  /** Its working directory; undefined: that of any worker. */
  readonly workDir?: string;
  readonly origin?: string;
  /** A folder whose `node_modules` has its packages; the working directory is below it. */
  readonly packages?: string;
  readonly setup?: { readonly module: string } | { readonly file: string };
}

interface Copy {
  readonly folder: string;
  readonly ready: Promise<void>;
  install: Install | undefined;
  bytes: number;
  holds: number;
  /** Counts releases: the lowest was used longest ago. */
  usedAt: number;
}

export class Environments {
  readonly #options: EnvironmentsOptions;
  readonly #abort = new AbortController();
  readonly #installs: NpmInstalls;
  readonly #copies = new Map<string, Copy>();
  #folder: Promise<string> | undefined;
  #releases = 0;
  #made = 0;

  constructor(options: EnvironmentsOptions) {
    this.#options = options;
    this.#installs = new NpmInstalls(join(options.home, "npm"), options.mobula, options.cacheBytes ?? CACHE_BYTES, this.#abort.signal);
  }

  /** Makes it, or waits until it is made, and holds it until `release`. Rejects with RuntimeEnvError; then it is not held. */
  async prepare(text: string): Promise<PreparedEnvironment> {
    const description = parseDescription(text);
    const { workingDir, npm, setup } = description;
    const copy = this.#copyFor(description);
    if (copy !== undefined) copy.holds++;
    try {
      await copy?.ready;
      const file = setup !== undefined && "hash" in setup ? await this.#options.packages.file(setup.hash) : undefined;
      return {
        text,
        ...(workingDir === undefined ? {} : { workDir: join(copy!.folder, "work"), origin: workingDir.origin }),
        ...(npm === undefined ? {} : { packages: copy!.folder }),
        ...(setup === undefined ? {} : { setup: "module" in setup ? setup : { file: file! } }),
      } as PreparedEnvironment;
    } catch (error) {
      if (copy !== undefined) copy.holds--;
      throw error;
    }
  }

  /** Held once less. */
  release(text: string): void {
    const copy = this.#copies.get(idOf(parseDescription(text)) ?? "");
    if (copy === undefined || copy.holds === 0) return;
    copy.holds--;
    copy.usedAt = ++this.#releases;
    void this.#trim();
  }

  /** Ends what is being made, and removes the working copies. */
  async close(): Promise<void> {
    this.#abort.abort();
    const folder = await this.#folder?.catch(() => undefined);
    await Promise.allSettled([...this.#copies.values()].map((copy) => copy.ready.then(() => copy.install?.release())));
    if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  }

  /** Bytes of the working copies that are there, and how many of those are in use. For listings and tests. */
  get state(): { readonly copies: number; readonly used: number; readonly bytes: number } {
    const copies = [...this.#copies.values()];
    const bytes = copies.reduce((sum, copy) => sum + copy.bytes, 0);
    return { copies: copies.length, used: copies.filter(({ holds }) => holds > 0).length, bytes };
  }

  /** Undefined where nothing but a setup hook is wanted. */
  #copyFor(description: EnvironmentDescription): Copy | undefined {
    const id = idOf(description);
    if (id === undefined) return undefined;
    const known = this.#copies.get(id);
    if (known !== undefined) return known;
    this.#folder ??= this.#ownFolder();
    // A name of its own each time: an earlier copy of the same may be on its way out.
    const name = `${id}-${this.#made++}`;
    const folder = this.#folder.then((own) => join(own, name));
    const copy = { folder: "", install: undefined, bytes: 0, holds: 0, usedAt: 0 } as unknown as Copy & { folder: string };
    const ready = folder.then(async (place) => {
      copy.folder = place;
      await this.#make(copy, description);
    });
    const kept = Object.assign(copy, { ready });
    this.#copies.set(id, kept);
    ready.catch(() => {
      if (this.#copies.get(id) === kept) this.#copies.delete(id);
    });
    void ready.then(() => this.#trim()).catch(() => undefined); // whoever prepares hears of it
    return kept;
  }

  async #make(copy: Copy, { workingDir, npm }: EnvironmentDescription): Promise<void> {
    const { packages, mobula } = this.#options;
    const { folder } = copy;
    const modules = join(folder, "node_modules");
    try {
      await mkdir(folder, { mode: 0o700 });
      const workDir = workingDir === undefined ? undefined : join(folder, "work");
      if (workDir !== undefined) {
        copy.bytes = await extractArchive(await packages.file(workingDir!.hash), workDir);
        await giveUpName(workDir);
      }
      if (npm === undefined) return await linkPackage(modules, mobula);
      const files = npm.packages === "lock" ? npm.packages : await Promise.all(npm.packages.map((one) => this.#localised(one)));
      const project = workDir === undefined ? undefined : { folder: workDir, hash: workingDir!.hash };
      copy.install = await this.#installs.acquire({ packages: files, scripts: npm.scripts, project });
      await symlink(join(copy.install.folder, "node_modules"), modules);
    } catch (error) {
      await copy.install?.release();
      await rm(folder, { recursive: true, force: true });
      if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
      throw environmentError("A runtime environment could not be made", whyFailed(error), "", error);
    }
  }

  async #localised(one: string | { readonly file: string; readonly hash: string }) {
    return typeof one === "string" ? one : { ...one, path: await this.#options.packages.file(one.hash) };
  }

  async #trim(): Promise<void> {
    const unused = [...this.#copies].filter(([, copy]) => copy.holds === 0).sort(([, a], [, b]) => a.usedAt - b.usedAt);
    let { bytes } = this.state;
    for (const [id, copy] of unused) {
      if (bytes <= (this.#options.cacheBytes ?? CACHE_BYTES)) return;
      bytes -= copy.bytes;
      this.#copies.delete(id);
      // Out of the way first: the same may be made anew while this goes.
      await copy.ready.then(() => copy.install?.release()).catch(() => undefined);
      await rm(copy.folder, { recursive: true, force: true });
    }
  }

  /** The folder of this process's working copies; those of dead ones go. */
  async #ownFolder(): Promise<string> {
    const { home } = this.#options;
    try {
      await mkdir(join(home, "npm"), { recursive: true, mode: 0o700 });
      await refuseForeign(home);
      await removeStale(home);
      await this.#installs.removeUnfinished();
      const own = join(home, `node-${process.pid}-${randomBytes(6).toString("hex")}`);
      await mkdir(own, { mode: 0o700 });
      await writeFile(join(own, OWNER), printMark(ownMark()));
      return own;
    } catch (error) {
      this.#folder = undefined;
      if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
      const todo = "Set MOBULA_HOME to a folder of your own";
      throw environmentError(`The folder ${home}, for runtime environments, cannot be used`, whyFailed(error), todo, error);
    }
  }
}

function idOf({ workingDir, npm }: EnvironmentDescription): string | undefined {
  if (workingDir === undefined && npm === undefined) return undefined;
  const text = JSON.stringify([workingDir?.hash, npm?.packages, npm?.scripts]);
  return createHash("sha256").update(text).digest("hex").slice(0, 24);
}

/** Code is run from there: nobody else may write to it, or put another in its place. */
async function refuseForeign(home: string): Promise<void> {
  const { uid, mode } = await lstat(home);
  const above = await stat(dirname(home));
  const replaceable = (above.mode & 0o022) !== 0 && (above.mode & 0o1000) === 0;
  if (uid === process.getuid?.() && (mode & 0o022) === 0 && !replaceable) return;
  const why = uid === process.getuid?.() ? "Others may write to it" : "It belongs to another user";
  throw environmentError(`The folder ${home}, for runtime environments, is not used`, why, "Set MOBULA_HOME to a folder of your own");
}

async function removeStale(home: string): Promise<void> {
  for (const name of await readdir(home)) {
    if (!name.startsWith("node-")) continue;
    const mark = parseMark(await readFile(join(home, name, OWNER), "utf8").catch(() => ""));
    if (mark !== undefined && isLiving(mark) === false) await rm(join(home, name), { recursive: true, force: true });
  }
}
