/**
 * The shared-memory backend in a process that reads and writes: the arena mapped once for writing, a private mapping for
 * each larger object that is read, a doorbell pipe and a mailbox to ask the daemon without the event loop.
 */
import { closeSync, constants, openSync, readlinkSync, writeSync } from "node:fs";
import { alignmentOf } from "../core/store/arena.ts";
import type { Grant, Place, Refusal } from "../core/store/types.ts";
import { ConnectionError } from "../errors/index.ts";
import { SLOW_AGAIN_MS, SLOW_FIRST_MS } from "./backend.ts";
import type { ClientBackend, Space, SpaceReport, SpaceRequest, SpaceWriter } from "./backend.ts";
import { CONTROL_BYTES, Mailbox, claimWords } from "./control-segment.ts";
import { encodeLines } from "./doorbell.ts";
import type { Libc } from "./ffi.ts";
import { collectGarbage } from "./garbage.ts";
import { LARGEST_VIEW, MappedArena, PAGE } from "./mapped-arena.ts";
import { Reclaimer } from "./reclaimer.ts";
import { Unaccounted } from "./unaccounted.ts";

/** From here up an object is read in place; below, a copy is cheaper than a mapping. */
export const MAP_FROM = 64 * 1024;
/** The daemon answers by the end of the request's own time; longer silence means that it hangs or is gone. */
const SILENCE_MS = 5000;

const pause = new Int32Array(new SharedArrayBuffer(4));

/** Opens a descriptor of the daemon, and makes sure that it is what the daemon said. */
function openOf(memory: Record<string, string>, name: "arena" | "control" | "doorbell", flags: number): number {
  const path = `/proc/${memory["pid"]}/fd/${memory[name]}`;
  try {
    const target = readlinkSync(path);
    if (name === "doorbell" ? target !== memory["pipe"] : !target.startsWith(`/memfd:mobula-${memory["token"]}-${name}`)) {
      throw new Error(`${path} is ${target}`);
    }
    return openSync(path, flags);
  } catch (cause) {
    throw new ConnectionError(`the shared memory of this node cannot be opened (${path}): its daemon is gone, or runs as another user`, {
      cause,
    });
  }
}

export class SharedClientBackend implements ClientBackend {
  readonly slabBytes: number;
  readonly #libc: Libc;
  readonly #arena: MappedArena;
  readonly #arenaFd: number;
  readonly #controlBase: number;
  readonly #mailbox: Mailbox;
  readonly #doorbell: number;
  readonly #slot: number;
  readonly #tenant: number;
  readonly #claims = new Map<number, Int32Array>();
  readonly #unmaps = new Reclaimer();
  readonly #unaccounted: Unaccounted;
  #blank: ArrayBuffer | undefined;
  #request = 0;

  constructor(libc: Libc, memory: Record<string, string>) {
    this.#libc = libc;
    this.#unaccounted = new Unaccounted(libc.subtractExternal);
    this.slabBytes = Number(memory["slabBytes"]);
    this.#slot = Number(memory["slot"]);
    this.#tenant = Number(memory["tenant"]);
    this.#arenaFd = openOf(memory, "arena", constants.O_RDWR);
    this.#arena = new MappedArena(libc, this.#arenaFd, Number(memory["capacity"]));
    const control = openOf(memory, "control", constants.O_RDWR);
    this.#controlBase = libc.map(control, 0, CONTROL_BYTES, "shared");
    closeSync(control);
    this.#mailbox = new Mailbox(libc, this.#controlBase, this.#slot);
    this.#doorbell = openOf(memory, "doorbell", constants.O_WRONLY | constants.O_NONBLOCK);
  }

  request(request: SpaceRequest, reports: readonly SpaceReport[], slow: () => readonly SpaceReport[]): Grant | Refusal | undefined {
    const number = ++this.#request;
    this.#ring({ reports, ask: { number, ...request } });
    const deadline = performance.now() + request.timeoutMs + SILENCE_MS;
    let patience = SLOW_FIRST_MS;
    while (!this.#mailbox.await(number, Math.min(patience, deadline - performance.now()))) {
      if (performance.now() >= deadline) break;
      const more = slow();
      if (more.length > 0) this.#ring({ reports: more });
      patience = SLOW_AGAIN_MS;
    }
    return this.#mailbox.take(number);
  }

  get crowded(): boolean {
    return this.#unaccounted.pressing;
  }

  reclaim(): number {
    return this.#unmaps.sweep();
  }

  askReserve(reports: readonly SpaceReport[]): boolean {
    if (!this.#mailbox.askReserve()) return false;
    this.#ring({ reports, reserve: true });
    return true;
  }

  takeReserve(): Grant | undefined {
    return this.#mailbox.takeReserve();
  }

  writer(space: Space): SpaceWriter {
    return new SharedWriter(this.#arena, space, (address, length) => this.#view(address, length, () => undefined));
  }

  read(place: Place, unpin: () => void): Uint8Array {
    const { offset, size } = place;
    const address = size >= MAP_FROM && size <= LARGEST_VIEW ? this.#arena.map(offset, size, "private") : undefined;
    if (address === undefined) {
      try {
        const copy = new Uint8Array(size);
        this.#arena.copyOut(offset, copy);
        return copy;
      } finally {
        unpin();
      }
    }
    const gone = (): void => {
      this.#arena.unmap(address, size);
      unpin();
    };
    return new Uint8Array(this.#view(address, size, gone));
  }

  /** A view of mapped memory. `gone` is called when nobody can reach it any more. */
  #view(address: number, length: number, gone: () => void): ArrayBuffer {
    const unaccounted = this.#unaccounted;
    if (unaccounted.crowded) {
      collectGarbage();
      this.#unmaps.sweep();
      unaccounted.swept();
    }
    unaccounted.hide(length);
    const buffer = this.#libc.view(address, length);
    this.#unmaps.watch(buffer, () => {
      unaccounted.gone(length);
      gone();
    });
    return buffer;
  }

  /** The arena's own, whatever lies there: new memory of that length would be counted by V8, and cleared. */
  blank(bytes: number): ArrayBuffer {
    if (bytes > (this.#blank?.byteLength ?? 0)) this.#blank = this.#view(this.#arena.addressOf(0, bytes), bytes, () => undefined);
    return this.#blank ?? new ArrayBuffer(0);
  }

  claims(index: number): Int32Array | undefined {
    if (index < 0) return undefined;
    let words = this.#claims.get(index);
    if (!words) this.#claims.set(index, (words = claimWords(this.#libc, this.#controlBase, index)));
    return words;
  }

  /** The control segment stays mapped: views of claim words are out. */
  close(): void {
    this.#unaccounted.close();
    closeSync(this.#doorbell);
    this.#arena.close();
    closeSync(this.#arenaFd);
  }

  #ring(what: Parameters<typeof encodeLines>[2]): void {
    for (const line of encodeLines(this.#slot, this.#tenant, what)) this.#write(line);
  }

  /** A line is written whole or not at all (PIPE_BUF); while the pipe is full the daemon has enough to read. */
  #write(line: Uint8Array): void {
    const deadline = performance.now() + SILENCE_MS;
    for (;;) {
      try {
        writeSync(this.#doorbell, line);
        return;
      } catch (cause) {
        const full = (cause as NodeJS.ErrnoException).code === "EAGAIN";
        if (!full || performance.now() > deadline)
          throw new ConnectionError("the daemon of this node does not take requests: it hangs or is gone", { cause });
        Atomics.wait(pause, 0, 0, 1);
      }
    }
  }
}

/** Copies go straight into the arena; views are of a mapping of their own, which turns private when the object is sealed. */
class SharedWriter implements SpaceWriter {
  readonly #arena: MappedArena;
  readonly #space: Space;
  #address: number | undefined;
  /** Views that could not be mapped: copied in at the end. */
  readonly #copies: { offset: number; buffer: ArrayBuffer }[] = [];
  readonly #view: (address: number, length: number) => ArrayBuffer;

  constructor(arena: MappedArena, space: Space, view: (address: number, length: number) => ArrayBuffer) {
    this.#arena = arena;
    this.#space = space;
    this.#view = view;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#arena.copyIn(this.#space.place.offset + offset, bytes);
  }

  view(offset: number, length: number): ArrayBuffer {
    const { place } = this.#space;
    if (this.#address === undefined && place.size >= MAP_FROM && alignmentOf(place.size) === PAGE) this.#map();
    if (this.#address !== undefined && length > 0) return this.#view(this.#address + offset, length);
    const buffer = new ArrayBuffer(length);
    // What was written there before shows, as it does in a mapping.
    this.#arena.copyOut(place.offset + offset, new Uint8Array(buffer));
    this.#copies.push({ offset, buffer });
    return buffer;
  }

  seal(): boolean {
    for (const { offset, buffer } of this.#copies) this.write(offset, new Uint8Array(buffer));
    if (this.#address === undefined) return false;
    this.#arena.makePrivate(this.#address, this.#space.place.offset, this.#space.place.size);
    return true;
  }

  abort(): void {
    if (this.#address !== undefined) this.#arena.libc.mapBlank(this.#address, this.#space.place.size);
  }

  #map(): void {
    const arena = this.#arena;
    const { offset, size } = this.#space.place;
    const address = arena.map(offset, size, "shared");
    if (address === undefined) return;
    this.#address = address;
    this.#space.resource = { release: () => arena.unmap(address, size) };
  }
}
