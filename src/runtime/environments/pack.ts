/**
 * A folder as an archive: a tar packed by gzip, in which nothing but paths, contents, links and the right to execute counts, so that the
 * same content gives the same bytes, and so the same hash.
 */
import { open, rm } from "node:fs/promises";
import path from "node:path";
import { pipeline, Readable } from "node:stream";
import { constants, createGzip } from "node:zlib";
import type { FolderEntry } from "./folder-list.ts";
import { environmentError, systemCode, whyFailed } from "./limits.ts";
import { writeHashed } from "./store.ts";
import type { FolderStore, PackageHash } from "./store.ts";

const BLOCK = 512;
const READ_BYTES = 256 * 1024;

/** Packs entries of `folder` into the store, each under `prefix`. */
export async function packFolder(folder: string, entries: readonly FolderEntry[], store: FolderStore, prefix = ""): Promise<PackageHash> {
  const draft = await store.draft();
  try {
    // Fast rather than small: it is read once or twice.
    const packed = pipeline(Readable.from(tarOf(folder, entries, prefix)), createGzip({ level: constants.Z_BEST_SPEED }), () => {});
    const hash = await writeHashed(draft, packed);
    await store.adopt(draft, hash);
    return hash;
  } catch (error) {
    await rm(draft, { force: true });
    if (systemCode(error) === "RUNTIME_ENV_FAILED") throw error;
    throw environmentError(`The folder ${folder} could not be packed for workers`, whyFailed(error), "", error);
  }
}

async function* tarOf(folder: string, entries: readonly FolderEntry[], prefix: string): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    yield* headersOf({ ...entry, path: `${prefix}${entry.path}` });
    if (entry.kind === "file" && entry.size > 0) yield* contentOf(path.join(folder, entry.path), entry);
  }
  yield Buffer.alloc(2 * BLOCK);
}

async function* contentOf(file: string, { size, path: name }: FolderEntry): AsyncGenerator<Uint8Array> {
  const handle = await open(file);
  try {
    for (let at = 0; at < size;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(Math.min(READ_BYTES, size - at)), 0, undefined, at);
      if (bytesRead === 0) throw environmentError(`${name} became shorter while it was packed`, "", "Let nothing write there meanwhile");
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await handle.close();
  }
  if (size % BLOCK !== 0) yield Buffer.alloc(BLOCK - (size % BLOCK));
}

function* headersOf(entry: FolderEntry): Generator<Uint8Array> {
  const name = entry.kind === "folder" ? `${entry.path}/` : entry.path;
  const long: [key: string, value: string][] = [];
  if (Buffer.byteLength(name) > 100) long.push(["path", name]);
  if (Buffer.byteLength(entry.target) > 100) long.push(["linkpath", entry.target]);
  if (long.length > 0) {
    const records = Buffer.from(long.map(([key, value]) => paxRecord(key, value)).join(""));
    yield header("././@PaxHeader", "x", records.byteLength, 0o644, "");
    yield Buffer.concat([records, Buffer.alloc((BLOCK - (records.byteLength % BLOCK)) % BLOCK)]);
  }
  const type = { file: "0", folder: "5", link: "2" }[entry.kind];
  yield header(name, type, entry.size, entry.executable || entry.kind === "folder" ? 0o755 : 0o644, entry.target);
}

function header(name: string, type: string, size: number, mode: number, target: string): Buffer {
  const block = Buffer.alloc(BLOCK);
  block.write(cut(name), 0, 100);
  block.write(`${mode.toString(8).padStart(7, "0")}\0`, 100);
  block.write("0000000\0", 108); // owner, group and time say nothing of the content
  block.write("0000000\0", 116);
  block.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  block.write("00000000000\0", 136);
  block.write("        ", 148);
  block.write(type, 156);
  block.write(cut(target), 157, 100);
  block.write("ustar\u{0}00", 257, "latin1");
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** As much of a name as its field holds; the whole is in an extended header then. */
function cut(name: string): string {
  return Buffer.byteLength(name) <= 100 ? name : name.slice(0, 25).replaceAll("/", "_");
}

/** `<length> <key>=<value>\n`, in which the length counts its own digits. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (String(length).length + bytes > length) length++;
  return `${length}${rest}`;
}
