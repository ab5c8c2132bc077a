/**
 * Packages on a node that keeps a control. They lie in the cluster's folder, so that a head that is started again there has those of jobs
 * that wait. Where the control waits to lead, those that jobs need which have not ended are fetched in advance: who leads next has them
 * when the head and its machine are gone.
 */
import { mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { packagesOf } from "../daemon/config.ts";
import { Uploads } from "../dashboard/uploads.ts";

/** How often it is looked what jobs need. */
const LOOK_MS = 3_000;

/** Makes the folder, of a node that begins, and gives its place. Removed is what nobody will ask for: drafts, packages of programs. */
export function keepPackages(home: string, sessionDir: string): string {
  const folder = join(home, "packages");
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const uploaded = new Uploads(folder).marked();
  for (const name of readdirSync(folder)) if (!uploaded.has(name)) rmSync(join(folder, name), { force: true });
  symlinkSync(folder, packagesOf(sessionDir));
  return folder;
}

export interface AheadHost {
  /** The control that is kept here leads. */
  leads(): boolean;
  /** Hashes of packages that jobs need which have not ended, as control says. */
  needed(): Promise<readonly string[]>;
  /** From whoever has it. */
  fetch(hash: string): Promise<void>;
}

export class PackagesAhead {
  readonly #host: AheadHost;
  readonly #uploads: Uploads;
  readonly #timer: NodeJS.Timeout;
  readonly #have = new Set<string>();
  #looking = false;

  constructor(folder: string, host: AheadHost) {
    this.#host = host;
    this.#uploads = new Uploads(folder);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#host.leads()) return;
    this.#looking = true;
    try {
      const needed = new Set(await this.#host.needed());
      for (const hash of this.#have) if (!needed.has(hash)) this.#have.delete(hash);
      for (const hash of needed) {
        if (this.#have.has(hash)) continue;
        await this.#host.fetch(hash);
        await this.#uploads.touch(hash);
        this.#have.add(hash);
      }
    } catch {
      // Nobody leads, or whoever has the package is gone: the job that needs it says so, if it comes to that.
    } finally {
      this.#looking = false;
    }
  }
}
