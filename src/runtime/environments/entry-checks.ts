/**
 * What an archive may contain: every entry is checked here before anything is made of it, whether it is unpacked or only looked at.
 * After these checks all of it lies inside the folder that it is unpacked into, and nothing in it leads out.
 */
import path from "node:path";
import { explainDamage } from "./archive.ts";
import { environmentError, countText, packageLimits, sizeText, tooLargeError } from "./limits.ts";
import type { PackageLimits, PackageTooLarge } from "./limits.ts";
import type { ArchiveEntry } from "./archive-entry.ts";

/** What is made of the entries. Paths are relative, with `/`, and checked. */
export interface EntrySink {
  folder(at: string): Promise<void>;
  file(at: string, executable: boolean, content: AsyncIterable<Uint8Array>): Promise<void>;
  /** A second name of a file that came before. Gives its size. */
  copy(at: string, from: string): Promise<number>;
  /** Called after everything else, so that nothing is ever written through a link. */
  link(at: string, target: string): Promise<void>;
}

/** Looks at everything and makes nothing. */
export const nowhere: EntrySink = {
  folder: () => Promise.resolve(),
  file: async (_at, _executable, content) => {
    for await (const part of content) void part;
  },
  copy: () => Promise.resolve(0),
  link: () => Promise.resolve(),
};

/** Checks and hands on all entries. `archiveBytes`: size of the archive, for the ratio. Throws RuntimeEnvError. */
export async function takeEntries(
  entries: AsyncIterable<ArchiveEntry>,
  archiveBytes: number,
  sink: EntrySink,
  limits: PackageLimits = packageLimits,
): Promise<void> {
  try {
    await takeAll(entries, archiveBytes, sink, limits);
  } catch (error) {
    throw explainDamage(error);
  }
}

async function takeAll(entries: AsyncIterable<ArchiveEntry>, archiveBytes: number, sink: EntrySink, limits: PackageLimits): Promise<void> {
  const names = new Names();
  const budget = new Budget(archiveBytes, limits);
  const links: [at: string, target: string][] = [];
  for await (const entry of entries) {
    budget.entry();
    const at = checkPath(entry.path, limits);
    if (at === "") {
      if (entry.kind !== "folder") throw refused(entry.path, "names the folder itself");
      continue;
    }
    for (const above of foldersAbove(at)) if (names.add(above, "folder")) await sink.folder(above);
    switch (entry.kind) {
      case "folder":
        if (names.add(at, "folder")) await sink.folder(at);
        break;
      case "file":
        names.add(at, "file");
        budget.expect(entry.size, at);
        await sink.file(at, entry.executable, budget.count(entry.content()));
        break;
      case "hardlink": {
        const from = checkPath(entry.target, limits);
        if (names.kindOf(from) !== "file") throw refused(entry.path, "is a second name of a file that did not come before it");
        names.add(at, "file");
        budget.add(await sink.copy(at, from));
        break;
      }
      case "link":
        names.add(at, "link");
        links.push([at, checkTarget(at, entry.target, limits)]);
        break;
      default:
        throw refused(entry.path, "is a device, a pipe or something else that is neither file, folder nor link");
    }
  }
  for (const [at, target] of links) await sink.link(at, target);
}

const refused = (name: string, why: string): Error =>
  environmentError(
    "An archive of a runtime environment is refused",
    `Its entry ${JSON.stringify(name.slice(0, 200))} ${why}`,
    "Make the archive anew, with plain files and folders inside one folder",
  );

/** The path in its one form, "" for the folder itself. */
export function checkPath(given: string, limits: PackageLimits): string {
  if (given.includes("\0")) throw refused(given, "has a zero in its name");
  if (given.includes("\\")) throw refused(given, "has a backslash in its name");
  if (given.includes("\u{fffd}")) throw refused(given, "has a name that is not UTF-8");
  if (given.startsWith("/") || /^[a-z]:/i.test(given)) throw refused(given, "has an absolute path");
  const parts = given.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw refused(given, "leads out by `..`");
  const at = parts.join("/");
  if (Buffer.byteLength(at) > limits.pathBytes) throw refused(given, `has a path of more than ${limits.pathBytes} bytes`);
  if (parts.some((part) => Buffer.byteLength(part) > limits.nameBytes)) {
    throw refused(given, `has a name of more than ${limits.nameBytes} bytes`);
  }
  return at;
}

/**
 * A link may lead anywhere inside. Its target has to say so by itself: `..` only at its beginning. As the folders above a link are real
 * ones, such a target stays inside whatever other links it passes.
 */
export function checkTarget(at: string, target: string, limits: PackageLimits): string {
  if (target === "" || target.includes("\0") || target.includes("\\") || target.startsWith("/") || /^[a-z]:/i.test(target)) {
    throw refused(at, "is a link to an absolute path, or to nothing");
  }
  const parts = target.split("/").filter((part) => part !== "" && part !== ".");
  const ups = parts.findIndex((part) => part !== "..");
  const down = ups < 0 ? [] : parts.slice(ups);
  const depth = at.split("/").length - 1;
  if (down.includes("..") || (ups < 0 ? parts.length : ups) > depth) throw refused(at, "is a link that leads out of the archive");
  if (Buffer.byteLength(target) > limits.pathBytes) throw refused(at, "is a link with too long a target");
  return parts.length === 0 ? "." : parts.join("/");
}

function foldersAbove(at: string): string[] {
  const parts = at.split("/");
  return parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join("/"));
}

/** Which names are taken. Two that differ only in case are one, as they are on some machines. */
class Names {
  readonly #taken = new Map<string, { readonly name: string; readonly kind: "file" | "folder" | "link" }>();

  kindOf(name: string): "file" | "folder" | "link" | undefined {
    const known = this.#taken.get(keyOf(name));
    return known?.name === name ? known.kind : undefined;
  }

  /** True if it is new. A folder may be named again. */
  add(name: string, kind: "file" | "folder" | "link"): boolean {
    const key = keyOf(name);
    const known = this.#taken.get(key);
    if (known === undefined) {
      this.#taken.set(key, { name, kind });
      return true;
    }
    if (known.name !== name) throw refused(name, `differs from ${JSON.stringify(known.name)} in nothing but case or form of its letters`);
    if (kind === "folder" && known.kind === "folder") return false;
    throw refused(name, kind === known.kind ? "is there twice" : `is there as a ${known.kind} too`);
  }
}

/** One key for all names that are the same file on a machine that ignores case. */
export const keyOf = (name: string): string => name.normalize("NFC").toLowerCase();

/** Counts what comes, and stops where it is too much: before it is there if the archive says so itself, else at once. */
class Budget {
  readonly #limits: PackageLimits;
  readonly #archiveBytes: number;
  #bytes = 0;
  #entries = 0;

  constructor(archiveBytes: number, limits: PackageLimits) {
    this.#archiveBytes = archiveBytes;
    this.#limits = limits;
  }

  entry(): void {
    if (++this.#entries <= this.#limits.entries) return;
    throw tooLargeError(
      "An archive of a runtime environment is refused",
      `It has more than ${countText(this.#limits.entries)} entries`,
      "Leave out what workers do not need",
    );
  }

  expect(size: number, at: string): void {
    if (this.#bytes + size > this.#limits.bytes) throw this.#tooLarge(`with ${path.posix.basename(at)} (${sizeText(size)}) it has`);
  }

  add(size: number): void {
    this.#bytes += size;
    if (this.#bytes > this.#limits.bytes) throw this.#tooLarge("it has");
    const { ratio, ratioFrom } = this.#limits;
    if (this.#bytes <= ratioFrom || this.#bytes <= this.#archiveBytes * ratio) return;
    throw tooLargeError(
      "An archive of a runtime environment is refused",
      `${sizeText(this.#archiveBytes)} of it become more than ${ratio} times as much, as those that are made to fill disks do`,
      "Leave out files that are nearly empty",
    );
  }

  async *count(content: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const part of content) {
      this.add(part.byteLength);
      yield part;
    }
  }

  #tooLarge(what: string): PackageTooLarge {
    return tooLargeError(
      "An archive of a runtime environment is refused",
      `Unpacked, ${what} more than ${sizeText(this.#limits.bytes)}`,
      "Leave out what workers do not need, and give large data to tasks as objects or from a shared place",
    );
  }
}
