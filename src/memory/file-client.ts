/**
 * The file backend in a process that reads and writes, where there is no FFI: each object is a file, which the store
 * machine accounts for like a range of the arena. A read is a copy, and so private by nature.
 */
import {
  closeSync,
  existsSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Grant, Place, Refusal } from "../core/store/types.ts";
import { keyOf } from "../core/store/types.ts";
import { SLOW_AGAIN_MS, SLOW_FIRST_MS } from "./backend.ts";
import type { ClientBackend, Space, SpaceReport, SpaceRequest, SpaceWriter } from "./backend.ts";

const SILENCE_MS = 5000;
/** How long to sleep between two looks for the answer. */
const LOOK_MS = 1;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** What a request file holds, and what its answer does. */
export interface RequestFile {
  readonly number: number;
  /** Undefined: there is nothing to answer. */
  readonly request: SpaceRequest | undefined;
  readonly reports: readonly SpaceReport[];
}

export const objectFile = (folder: string, place: Place): string => join(folder, "objects", keyOf(place.serial, place.offset));
export const requestFile = (folder: string, process: string, number: number): string => join(folder, "requests", `${process}.${number}`);
export const answerFile = (folder: string, process: string, number: number): string => join(folder, "answers", `${process}.${number}`);

export class FileClientBackend implements ClientBackend {
  readonly slabBytes: number;
  readonly #folder: string;
  readonly #process: string;
  #request = 0;

  constructor(memory: Record<string, string>) {
    this.slabBytes = Number(memory["slabBytes"]);
    this.#folder = memory["folder"] ?? "";
    this.#process = memory["process"] ?? "";
  }

  request(request: SpaceRequest, reports: readonly SpaceReport[], slow: () => readonly SpaceReport[]): Grant | Refusal | undefined {
    const { path, number } = this.#ask({ number: ++this.#request, request, reports });
    const answer = answerFile(this.#folder, this.#process, number);
    const started = performance.now();
    let slowAt = started + SLOW_FIRST_MS;
    while (!existsSync(answer)) {
      const now = performance.now();
      if (now > started + request.timeoutMs + SILENCE_MS) {
        rmSync(path, { force: true });
        return undefined;
      }
      if (now > slowAt) {
        slowAt = now + SLOW_AGAIN_MS;
        const more = slow();
        if (more.length > 0) this.#ask({ number: ++this.#request, request: undefined, reports: more });
      }
      Atomics.wait(pause, 0, 0, LOOK_MS);
    }
    const result = JSON.parse(readFileSync(answer, "utf8")) as Grant | Refusal;
    rmSync(answer, { force: true });
    return result;
  }

  /** Written aside and renamed: the daemon never reads half a request. */
  #ask(content: RequestFile): { path: string; number: number } {
    const { number } = content;
    const path = requestFile(this.#folder, this.#process, number);
    writeFileSync(`${path}.part`, JSON.stringify(content));
    renameSync(`${path}.part`, path);
    return { path, number };
  }

  /** Reads are copies: nothing stays mapped. */
  readonly crowded = false;

  reclaim(): number {
    return 0;
  }

  /** There are none in advance: a quota costs one look at the daemon, and no memory has to be made ready. */
  askReserve(): boolean {
    return false;
  }

  takeReserve(): Grant | undefined {
    return undefined;
  }

  writer(space: Space): SpaceWriter {
    return new FileWriter(objectFile(this.#folder, space.place), space);
  }

  async read(place: Place, unpin: () => void): Promise<Uint8Array> {
    try {
      const file = await open(objectFile(this.#folder, place), "r");
      try {
        const bytes = new Uint8Array(place.size);
        for (let at = 0; at < bytes.byteLength;) {
          const { bytesRead } = await file.read(bytes, at, Math.min(bytes.byteLength - at, 2 ** 30), at);
          if (bytesRead === 0) throw new Error(`${place.size} bytes were sealed, the file has ${at}`);
          at += bytesRead;
        }
        return bytes;
      } finally {
        await file.close();
      }
    } finally {
      unpin();
    }
  }

  blank(bytes: number): ArrayBuffer {
    return new ArrayBuffer(bytes);
  }

  claims(): undefined {
    return undefined;
  }

  close(): void {}
}

class FileWriter implements SpaceWriter {
  readonly #space: Space;
  readonly #fd: number;
  readonly #views: { offset: number; buffer: ArrayBuffer }[] = [];

  constructor(path: string, space: Space) {
    this.#space = space;
    const fd = openSync(path, "w+", 0o600);
    this.#fd = fd;
    space.resource = {
      release: () => {
        closeSync(fd);
        rmSync(path, { force: true });
      },
    };
    ftruncateSync(fd, space.place.size);
  }

  write(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength;) at += writeSync(this.#fd, bytes, at, Math.min(bytes.byteLength - at, 2 ** 30), offset + at);
  }

  view(offset: number, length: number): ArrayBuffer {
    const buffer = new ArrayBuffer(length);
    const bytes = new Uint8Array(buffer);
    for (let at = 0; at < length;) at += readSync(this.#fd, bytes, at, Math.min(length - at, 2 ** 30), offset + at);
    this.#views.push({ offset, buffer });
    return buffer;
  }

  seal(): boolean {
    for (const { offset, buffer } of this.#views) this.write(offset, new Uint8Array(buffer));
    closeSync(this.#fd);
    this.#space.resource = undefined;
    return false;
  }

  abort(): void {
    this.#space.resource?.release();
    this.#space.resource = undefined;
  }
}
