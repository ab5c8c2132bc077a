/** Packages as they are uploaded: written beside the others, checked as a whole, and only then one of them. */
import type { IncomingMessage } from "node:http";
import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { FolderStore } from "../environments/index.ts";
import { checkArchive } from "../environments/extract.ts";
import { packageLimits, PackageTooLarge, systemCode, whyFailed } from "../environments/limits.ts";
import { writeHashed } from "../environments/store.ts";
import { bytesOf } from "./bodies.ts";
import { defaultLimits } from "./limits.ts";
import type { Limits } from "./limits.ts";
import { packageTypes } from "./openapi.ts";
import { busy, HttpError } from "./refusal.ts";
import { Uploads } from "./uploads.ts";

export interface PackageInfo {
  readonly sha256: string;
  readonly size: number;
}

export class Packages {
  readonly #folder: string;
  readonly #store: FolderStore;
  readonly #limits: Limits;
  readonly #needed: () => Promise<ReadonlySet<string>>;
  readonly #kept: Uploads;
  #uploads = 0;

  /** `needed`: packages of jobs that have not ended. */
  constructor(folder: string, needed: () => Promise<ReadonlySet<string>>, limits: Limits = defaultLimits, uploads = new Uploads(folder)) {
    this.#folder = folder;
    this.#needed = needed;
    this.#limits = limits;
    this.#kept = uploads;
    this.#store = new FolderStore(folder);
  }

  async find(sha256: string): Promise<PackageInfo | undefined> {
    const info = await stat(join(this.#folder, sha256)).catch(() => undefined);
    return info === undefined ? undefined : { sha256, size: info.size };
  }

  /** One that a job is submitted with stays for a while. */
  async use(sha256: string): Promise<PackageInfo | undefined> {
    const found = await this.find(sha256);
    if (found !== undefined) await this.#kept.touch(sha256);
    return found;
  }

  /** `made`: it was not there before. */
  async put(sha256: string, request: IncomingMessage): Promise<PackageInfo & { readonly made: boolean }> {
    checkType(request.headers["content-type"]);
    if (this.#uploads >= this.#limits.uploads) throw busy(`${this.#limits.uploads} packages are being uploaded.`);
    this.#uploads++;
    try {
      const known = await this.find(sha256);
      if (known === undefined) return { ...(await this.#take(sha256, request)), made: true };
      await this.#kept.touch(sha256);
      for await (const part of this.#bytesOf(request)) void part;
      return { ...known, made: false };
    } finally {
      this.#uploads--;
    }
  }

  #bytesOf(request: IncomingMessage): AsyncGenerator<Uint8Array> {
    return bytesOf(request, packageLimits.bytes, this.#limits);
  }

  async #take(sha256: string, request: IncomingMessage): Promise<PackageInfo> {
    const draft = await this.#store.draft();
    try {
      const got = await writeHashed(draft, this.#bytesOf(request), packageLimits.bytes);
      if (got !== sha256) {
        const message = `The sha256 of the bytes that came is ${got}, and not ${sha256}: they were damaged, or the name is wrong.`;
        throw new HttpError(422, "HASH_MISMATCH", message, { field: "sha256" });
      }
      const { size } = await stat(draft);
      await checkArchive(draft);
      if (!(await this.#kept.makeRoom(size, this.#needed))) throw noRoom("jobs need those that were uploaded before");
      await this.#kept.touch(sha256);
      await this.#store.adopt(draft, sha256);
      return { sha256, size };
    } catch (error) {
      await rm(draft, { force: true });
      throw told(error);
    }
  }
}

function checkType(given: string | undefined): void {
  const type = (given ?? "application/octet-stream").split(";")[0]!.trim().toLowerCase();
  const known = [
    ...packageTypes,
    "application/x-zip-compressed",
    "application/x-gzip",
    "application/x-tar",
    "application/x-compressed-tar",
  ];
  if (known.includes(type)) return;
  throw new HttpError(
    415,
    "NOT_A_PACKAGE",
    `A package is sent as ${packageTypes.join(" or ")}, and not as ${JSON.stringify(type.slice(0, 100))}.`,
  );
}

const noRoom = (why: string): HttpError => new HttpError(507, "NO_ROOM", `The package could not be stored: ${why}.`);

function told(error: unknown): unknown {
  if (error instanceof HttpError) return error;
  const { message } = error as Error;
  if (error instanceof PackageTooLarge) return new HttpError(413, "TOO_LARGE", message);
  if (systemCode(error) === "RUNTIME_ENV_FAILED") return new HttpError(422, "INVALID_PACKAGE", message, { field: "body" });
  if (["ENOSPC", "EDQUOT", "EFBIG"].includes(systemCode(error))) {
    return noRoom(whyFailed(error));
  }
  return error;
}
