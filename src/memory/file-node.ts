/**
 * The file backend in the daemon: a folder of objects, and two more in which a process that blocks asks and is answered.
 * The folder goes with the daemon; one that a killed daemon left is removed by the next.
 */
import { readFileSync, readdirSync, renameSync, rmSync, watch, writeFileSync, mkdirSync } from "node:fs";
import type { FSWatcher } from "node:fs";
import { open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Grant, Place, Refusal } from "../core/store/types.ts";
import type { ProcessId } from "../protocol/ids.ts";
import type { NodeBackend, NodeEvents } from "./backend.ts";
import { answerFile, objectFile } from "./file-client.ts";
import type { RequestFile } from "./file-client.ts";
import { makeOwnFolder } from "./own-folder.ts";
import type { ByteSink, ByteSource } from "./spill-file.ts";

export class FileNodeBackend implements NodeBackend {
  readonly #folder: string;
  readonly #slabBytes: number;
  readonly #events: NodeEvents;
  readonly #watcher: FSWatcher;
  readonly #processes = new Set<ProcessId>();
  readonly #removals = new Set<Promise<void>>();

  constructor(parent: string, slabBytes: number, events: NodeEvents) {
    this.#folder = makeOwnFolder(parent);
    this.#slabBytes = slabBytes;
    this.#events = events;
    for (const name of ["objects", "requests", "answers"]) mkdirSync(join(this.#folder, name), { mode: 0o700 });
    this.#watcher = watch(join(this.#folder, "requests"), { persistent: false }, () => this.#look());
    this.#watcher.on("error", () => undefined);
  }

  describe(to: ProcessId): Record<string, string> {
    this.#processes.add(to);
    return { backend: "files", folder: this.#folder, process: to, slabBytes: String(this.#slabBytes) };
  }

  answer(to: ProcessId, number: number, result: Grant | Refusal): boolean {
    if (!this.#processes.has(to)) return false;
    const path = answerFile(this.#folder, to, number);
    writeFileSync(`${path}.part`, JSON.stringify(result));
    renameSync(`${path}.part`, path);
    return true;
  }

  putReserve(): boolean {
    return false;
  }

  source(place: Place): ByteSource & { close(): Promise<void> } {
    const file = new LazyFile(objectFile(this.#folder, place), "r");
    const buffer = new Uint8Array(2 ** 20);
    return {
      read: async (at, length) => {
        const handle = await file.handle();
        for (let done = 0; done < length;) {
          const { bytesRead } = await handle.read(buffer, done, length - done, at + done);
          if (bytesRead === 0) throw new Error(`the object's file ends at byte ${at + done}`);
          done += bytesRead;
        }
        return buffer.subarray(0, length);
      },
      close: () => file.close(),
    };
  }

  sink(place: Place): ByteSink & { close(): Promise<void> } {
    const file = new LazyFile(objectFile(this.#folder, place), "w");
    const buffer = new Uint8Array(2 ** 20);
    return {
      buffer: (_, length) => buffer.subarray(0, length),
      write: async (at, bytes) => {
        const handle = await file.handle();
        for (let done = 0; done < bytes.byteLength;)
          done += (await handle.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
      },
      // An object of no bytes has a file as well.
      close: async () => void (await file.handle().then(() => file.close())),
    };
  }

  discard(place: Place): void {
    const removal = rm(objectFile(this.#folder, place), { force: true })
      .catch(() => undefined)
      .then(() => void this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  used(): void {}

  /** Files of its grants, and of objects that were never heard of, go. */
  leave(process: ProcessId, live: () => { grants: ReadonlySet<number>; objects: ReadonlySet<string> }): void {
    if (!this.#processes.delete(process)) return;
    const { grants, objects } = live();
    const folder = join(this.#folder, "objects");
    for (const name of readdirSync(folder)) {
      if (!objects.has(name) && !grants.has(Number(name.split("-")[0]))) rmSync(join(folder, name), { force: true });
    }
    for (const kind of ["requests", "answers"]) {
      for (const name of readdirSync(join(this.#folder, kind))) {
        if (name.startsWith(`${process}.`)) rmSync(join(this.#folder, kind, name), { force: true });
      }
    }
  }

  claimIndex(): number {
    return -1;
  }

  claims(): undefined {
    return undefined;
  }

  async close(): Promise<void> {
    this.#watcher.close();
    await Promise.all(this.#removals);
    await rm(this.#folder, { recursive: true, force: true });
  }

  #look(): void {
    const folder = join(this.#folder, "requests");
    for (const name of readdirSync(folder)) {
      if (name.endsWith(".part")) continue;
      const path = join(folder, name);
      let content: RequestFile;
      try {
        content = JSON.parse(readFileSync(path, "utf8")) as RequestFile;
      } catch {
        // Its process has given up and taken it away.
        continue;
      }
      rmSync(path, { force: true });
      const from = name.slice(0, name.lastIndexOf(".")) as ProcessId;
      if (!this.#processes.has(from)) continue;
      if (content.reports.length > 0) this.#events.reports(from, content.reports);
      if (content.request) this.#events.request(from, content.number, content.request);
    }
  }
}

/** Opened when first used: a source or sink is made without waiting. */
class LazyFile {
  readonly #path: string;
  readonly #mode: string;
  #opened: Promise<FileHandle> | undefined;

  constructor(path: string, mode: string) {
    this.#path = path;
    this.#mode = mode;
  }

  handle(): Promise<FileHandle> {
    return (this.#opened ??= open(this.#path, this.#mode, 0o600));
  }

  async close(): Promise<void> {
    if (this.#opened) await (await this.#opened).close();
  }
}
