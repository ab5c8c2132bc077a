/**
 * The store as a process sees it: takes space from its slabs at once or asks for it, seals, reads. The same for both
 * backends, which move the bytes.
 */
import { GRAIN, alignmentOf, roundUp } from "../core/store/arena.ts";
import { keyOf } from "../core/store/types.ts";
import type { Grant, ObjectKey, Place, Refusal } from "../core/store/types.ts";
import { ConnectionError, ObjectLostError, ObjectStoreFullError, explain } from "../errors/index.ts";
import type { ActorId, ObjectId, ProcessId } from "../protocol/ids.ts";
import type { Body } from "../protocol/messages.ts";
import type { ClientBackend, Space, SpaceReport, SpaceWriter, StoreConnection } from "./backend.ts";
import { GarbagePressure } from "./pressure.ts";
import { Reclaimer } from "./reclaimer.ts";
import type { ReadableObject, StoreClient, WritableObject } from "./contract.ts";
import { libc, whyNoLibc } from "./ffi.ts";
import { FileClientBackend } from "./file-client.ts";
import { collectGarbage } from "./garbage.ts";
import { LARGEST_VIEW } from "./mapped-arena.ts";
import { SharedClientBackend } from "./shared-client.ts";

export interface StoreClientOptions {
  /** From the daemon's `StoreService.memoryDescription`, for this process. */
  readonly memory: Record<string, string>;
  readonly connection: StoreConnection;
  /** After a garbage collection: says to the node at once which refs are gone, and how many they were. */
  readonly dropRefs?: () => number;
  /** How long a create may wait for space. */
  readonly fullTimeoutMs?: number;
}

/** Opens this process's side of its node's store. Throws ConnectionError if it cannot be reached. */
export function openStoreClient(options: StoreClientOptions): StoreClient {
  return new Client(openBackend(options.memory), options);
}

function openBackend(memory: Record<string, string>): ClientBackend {
  if (memory["backend"] === "files") return new FileClientBackend(memory);
  if (memory["backend"] !== "shared") throw new ConnectionError(`the node's store is of an unknown kind: ${memory["backend"]}`);
  const library = libc();
  if (!library) throw new ConnectionError(`the node's store is in shared memory, which this process cannot use: ${whyNoLibc()}`);
  return new SharedClientBackend(library, memory);
}

/** A slab being used up, from its start to its end. What is given back in it is free for others when the slab is. */
class Slab {
  readonly grant: Grant;
  /** Places in it that are being written. */
  open = 0;
  retired = false;
  #next: number;

  constructor(grant: Grant) {
    this.grant = grant;
    this.#next = grant.offset;
  }

  get left(): number {
    return this.grant.offset + this.grant.size - this.#next;
  }

  take(size: number): Place | undefined {
    const offset = roundUp(this.#next, alignmentOf(size));
    const end = offset + roundUp(Math.max(size, 1), GRAIN);
    if (end > this.grant.offset + this.grant.size) return undefined;
    this.#next = end;
    this.open++;
    return { serial: this.grant.serial, offset, size };
  }
}

/** What the finalizer of an object being written needs to know. */
interface WrittenSpace extends Space {
  readonly slab: Slab | undefined;
  state: "open" | "sealed" | "aborted";
}

interface Call<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** An object that this process reads, and so has pinned: once, however many views of it there are. */
interface Pinned {
  readonly key: ObjectKey;
  readonly place: Place;
  views: number;
}

class Client implements StoreClient {
  readonly #backend: ClientBackend;
  readonly #connection: StoreConnection;
  readonly #fullTimeoutMs: number;
  readonly #dropRefs: () => number;
  readonly #pressure: GarbagePressure;
  #slab: Slab | undefined;
  #closed = false;
  #call = 0;
  #seq = 0;
  /** Reports that the store may not have heard yet: they go ahead of a request that blocks, for the connection stands still then. */
  #unheard: SpaceReport[] = [];
  readonly #allocations = new Map<number, Call<Body<"storeAllocated">>>();
  readonly #pins = new Map<number, Call<Body<"storePinned">["at"]>>();
  readonly #pinned = new Map<ObjectId, Pinned>();
  /** Views keep the object that they are part of, and its space, from being cleaned up. */
  readonly #views = new WeakMap<ArrayBuffer, WrittenObject>();
  readonly #abandoned = new Reclaimer();

  constructor(backend: ClientBackend, { connection, memory, fullTimeoutMs = 10_000, dropRefs = () => 0 }: StoreClientOptions) {
    this.#backend = backend;
    this.#connection = connection;
    this.#fullTimeoutMs = fullTimeoutMs;
    this.#dropRefs = dropRefs;
    this.#pressure = new GarbagePressure(Number(memory["capacity"] ?? Number.POSITIVE_INFINITY));
    connection.on("storeAllocated", (body) => settle(this.#allocations, body.call, body));
    connection.on("storePinned", (body) => settle(this.#pins, body.call, body.at));
    connection.on("storeHeard", ({ seq }) => (this.#unheard = this.#unheard.filter((report) => report.seq > seq)));
    connection.on("collectGarbage", () => this.#dropGarbage());
  }

  create(id: ObjectId, size: number): WritableObject {
    this.#checkCreate(id, size);
    const quick = this.#fromSlab(size);
    if (quick) return this.#writable(id, quick.place, quick.slab);
    this.#relieve();
    const started = performance.now();
    const request = { size, slab: this.#slabFor(size), timeoutMs: this.#fullTimeoutMs };
    const result = this.#backend.request(request, this.#takeUnheard(), () => {
      // Others are asked by message; this process cannot hear it now, and may hold the most.
      this.#dropGarbage();
      return this.#takeUnheard();
    });
    if (!result) throw new ConnectionError(`the daemon of this node did not answer a request for ${size} bytes: it hangs or is gone`);
    if (!("serial" in result)) throw fullError(id, size, result, performance.now() - started);
    return this.#granted(id, size, result);
  }

  async createAsync(id: ObjectId, size: number): Promise<WritableObject> {
    this.#checkCreate(id, size);
    const quick = this.#fromSlab(size);
    if (quick) return this.#writable(id, quick.place, quick.slab);
    this.#relieve();
    const started = performance.now();
    const call = ++this.#call;
    const answer = new Promise<Body<"storeAllocated">>((resolve, reject) => this.#allocations.set(call, { resolve, reject }));
    this.#connection.send("storeAllocate", { call, size, slab: this.#slabFor(size), timeoutMs: this.#fullTimeoutMs });
    const { grant, refusal } = await answer;
    if (grant) return this.#granted(id, size, grant);
    throw fullError(id, size, refusal as Refusal, performance.now() - started);
  }

  async read(id: ObjectId): Promise<ReadableObject> {
    // Which views are dropped can be told once the turn is over, and a loop that awaits what is here already never ends its turn by itself.
    if (this.#backend.crowded) await new Promise((resolve) => setImmediate(resolve));
    if (this.#closed) throw closedError(`read object ${id}`);
    const pinned = this.#pinned.get(id);
    if (pinned) return this.#view(id, pinned);
    const call = ++this.#call;
    const answer = new Promise<Body<"storePinned">["at"]>((resolve, reject) => this.#pins.set(call, { resolve, reject }));
    this.#connection.send("storePin", { call, id });
    const at = await answer;
    if (at.kind === "lost") throw lostError(id, at.reason);
    if (at.kind === "disk") return this.#readFromDisk(id, at);
    const known = this.#pinned.get(id);
    // Another read of it was as early: one pin is enough.
    if (known?.key === at.key) {
      this.#unpin(at.key);
      return this.#view(id, known);
    }
    const { key, serial, offset, size } = at;
    const fresh: Pinned = { key, place: { serial, offset, size }, views: 0 };
    if (!known) this.#pinned.set(id, fresh);
    return this.#view(id, fresh);
  }

  /** One more view of what is pinned. The last one to go takes the pin with it. */
  async #view(id: ObjectId, pinned: Pinned): Promise<ReadableObject> {
    pinned.views++;
    let over = false;
    const gone = (): void => {
      if (over) return;
      over = true;
      if (--pinned.views > 0) return;
      if (this.#pinned.get(id) === pinned) this.#pinned.delete(id);
      this.#unpin(pinned.key);
    };
    try {
      return { size: pinned.place.size, bytes: await this.#backend.read(pinned.place, gone) };
    } catch (cause) {
      gone();
      throw lostError(id, messageOf(cause), cause);
    }
  }

  blank(bytes: number): ArrayBuffer {
    return this.#backend.blank(bytes);
  }

  claims(index: number): Int32Array | undefined {
    return this.#backend.claims(index);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const calls of [this.#allocations, this.#pins]) {
      for (const call of calls.values()) call.reject(closedError("wait for the object store"));
      calls.clear();
    }
    this.#backend.close();
  }

  // ── for WrittenObject ──

  seal(
    object: WrittenObject,
    space: WrittenSpace,
    writer: SpaceWriter,
    holder: ProcessId,
    contains: readonly (ObjectId | ActorId)[],
  ): void {
    if (this.#closed) throw closedError(`seal object ${object.id}`);
    const pin = writer.seal();
    space.state = "sealed";
    this.#pressure.stored(space.place.size);
    // With views out, the finalizer has something left to do: unmap and unpin.
    if (!pin) this.#abandoned.forget(object);
    const seq = ++this.#seq;
    const { id } = object;
    const { place } = space;
    this.#unheard.push({ seq, kind: "sealed", id, place, pin });
    this.#connection.send("storeSealed", { seq, id, ...place, pin, holder, contains: [...contains] });
    this.#leaveSlab(space.slab);
  }

  abort(space: WrittenSpace, writer: SpaceWriter): void {
    if (space.state !== "open") return;
    space.state = "aborted";
    writer.abort();
    this.#giveBack(space);
  }

  keep(view: ArrayBuffer, object: WrittenObject): ArrayBuffer {
    this.#views.set(view, object);
    return view;
  }

  // ── space ──

  #checkCreate(id: ObjectId, size: number): void {
    if (this.#closed) throw closedError(`create object ${id}`);
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`an object cannot have a size of ${size} bytes`);
    checkReadable(id, size);
  }

  #slabFor(size: number): number {
    return size <= this.#backend.slabBytes / 4 ? this.#backend.slabBytes : 0;
  }

  #fromSlab(size: number): { place: Place; slab: Slab } | undefined {
    if (this.#slabFor(size) === 0) return undefined;
    for (;;) {
      const slab = this.#slab;
      const place = slab?.take(size);
      if (slab && place) {
        if (slab.left < slab.grant.size / 2 && this.#backend.askReserve(this.#unheard)) this.#takeUnheard();
        return { place, slab };
      }
      this.#relieve();
      const reserve = this.#backend.takeReserve();
      if (!reserve) return undefined;
      this.#adopt(new Slab(reserve));
    }
  }

  #granted(id: ObjectId, size: number, grant: Grant): WritableObject {
    if (!grant.slab) return this.#writable(id, { serial: grant.serial, offset: grant.offset, size }, undefined);
    const slab = new Slab(grant);
    const place = slab.take(size);
    if (!place) throw new Error(`a slab of ${grant.size} bytes has no room for ${size}`);
    this.#adopt(slab);
    return this.#writable(id, place, slab);
  }

  /** The fuller of the two slabs goes. */
  #adopt(slab: Slab): void {
    const other = this.#slab;
    if (other && other.left > slab.left) return this.#retire(slab);
    this.#slab = slab;
    if (other) this.#retire(other);
  }

  #retire(slab: Slab): void {
    slab.retired = true;
    if (this.#slab === slab) this.#slab = undefined;
    if (slab.open === 0) this.#release(slab.grant.serial);
  }

  #leaveSlab(slab: Slab | undefined): void {
    if (!slab) return;
    slab.open--;
    if (slab.open === 0 && slab.retired) this.#release(slab.grant.serial);
  }

  #giveBack(space: WrittenSpace): void {
    if (space.slab) this.#leaveSlab(space.slab);
    else this.#release(space.place.serial);
  }

  #release(serial: number): void {
    if (this.#closed) return;
    const seq = ++this.#seq;
    this.#unheard.push({ seq, kind: "released", serial });
    this.#connection.send("storeReleased", { seq, serial });
  }

  #writable(id: ObjectId, place: Place, slab: Slab | undefined): WritableObject {
    const space: WrittenSpace = { place, slab, state: "open", resource: undefined };
    try {
      const object = new WrittenObject(this, id, space, this.#backend.writer(space));
      this.#abandoned.watch(object, () => this.#cleanUp(space));
      return object;
    } catch (error) {
      this.#giveBack(space);
      throw error;
    }
  }

  /** Nobody can reach the object or a view of it any more. */
  #cleanUp(space: WrittenSpace): void {
    space.resource?.release();
    space.resource = undefined;
    if (space.state === "open") this.#giveBack(space);
    else if (space.state === "sealed") this.#unpin(keyOf(space.place.serial, space.place.offset));
  }

  // ── reading ──

  #unpin(key: ObjectKey): void {
    if (this.#closed) return;
    const seq = ++this.#seq;
    this.#unheard.push({ seq, kind: "unpinned", key });
    this.#connection.send("storeUnpin", { seq, key });
  }

  /** There was no space to restore it in. */
  async #readFromDisk(id: ObjectId, at: { key: string; file: string; size: number }): Promise<ReadableObject> {
    try {
      const { readSpillFile } = await import("./spill-file.ts");
      const bytes = new Uint8Array(at.size);
      await readSpillFile(at.file, at.size, { buffer: (from, length) => bytes.subarray(from, from + length), write: () => undefined });
      return { size: at.size, bytes };
    } catch (cause) {
      throw lostError(id, `it was spilled, and its file cannot be read: ${messageOf(cause)}`, cause);
    } finally {
      this.#unpin(at.key);
    }
  }

  #takeUnheard(): SpaceReport[] {
    const reports = this.#unheard;
    this.#unheard = [];
    return reports;
  }

  /** Before more is asked for: what this process has stored and forgotten comes back first. */
  #relieve(): void {
    if (this.#pressure.due) this.#collect();
  }

  #collect(): void {
    const started = performance.now();
    collectGarbage();
    const found = this.#abandoned.sweep() + this.#backend.reclaim() + this.#dropRefs();
    this.#pressure.collected(performance.now() - started, found > 0);
  }

  #dropGarbage(): void {
    if (this.#closed) return;
    this.#collect();
    const reserve = this.#backend.takeReserve();
    if (reserve) this.#release(reserve.serial);
    if (this.#slab?.open === 0) this.#retire(this.#slab);
  }
}

class WrittenObject implements WritableObject {
  readonly id: ObjectId;
  readonly size: number;
  readonly #client: Client;
  readonly #space: WrittenSpace;
  readonly #writer: SpaceWriter;

  constructor(client: Client, id: ObjectId, space: WrittenSpace, writer: SpaceWriter) {
    this.id = id;
    this.size = space.place.size;
    this.#client = client;
    this.#space = space;
    this.#writer = writer;
  }

  write(offset: number, bytes: Uint8Array): void {
    this.#check(offset, bytes.byteLength);
    this.#writer.write(offset, bytes);
  }

  view(offset: number, length: number): ArrayBuffer {
    this.#check(offset, length);
    return this.#client.keep(this.#writer.view(offset, length), this);
  }

  seal(holder: ProcessId, contains: readonly (ObjectId | ActorId)[]): void {
    this.#check(0, 0);
    this.#client.seal(this, this.#space, this.#writer, holder, contains);
  }

  abort(): void {
    this.#client.abort(this.#space, this.#writer);
  }

  #check(offset: number, length: number): void {
    if (this.#space.state !== "open") throw new TypeError(`object ${this.id} is ${this.#space.state} already`);
    if (offset >= 0 && offset + length <= this.size) return;
    throw new RangeError(`[${offset}, ${offset + length}) is outside object ${this.id} of ${this.size} bytes`);
  }
}

function settle<T>(calls: Map<number, Call<T>>, call: number, value: T): void {
  calls.get(call)?.resolve(value);
  calls.delete(call);
}

/** Throws if an object of that size could be written and not be read. */
export function checkReadable(id: ObjectId, size: number): void {
  if (size <= LARGEST_VIEW) return;
  throw new ObjectStoreFullError(
    `object ${id} has ${size} bytes, and one of more than ${LARGEST_VIEW} cannot be read by this version of Node.js: ` +
      `split it, or use a newer one`,
    { size },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function closedError(what: string): ConnectionError {
  return new ConnectionError(explain(`Cannot ${what}`, "The connection to the node's object store is closed", "Call init() again"));
}

function lostError(id: ObjectId, why: string, cause?: unknown): ObjectLostError {
  const todo = "Make the object again; results of tasks with maxRetries above 0 are made again without being asked";
  return new ObjectLostError(explain(`Object ${id} cannot be read: ${why}`, undefined, todo), { objectId: id, cause });
}

const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;

function fullError(id: ObjectId, size: number, refusal: Refusal, waitedMs: number): ObjectStoreFullError {
  const { capacity, used, pinned } = refusal;
  const state = `capacity ${mib(capacity)}, used ${mib(used)}, of which ${mib(pinned)} are being read`;
  const details = { size, capacity, used };
  if (refusal.reason === "too-large") {
    return new ObjectStoreFullError(
      `object ${id} of ${mib(size)} is larger than the whole object store (${mib(capacity)}): ` +
        `raise objectStoreMemory in init(), or split the value`,
      details,
    );
  }
  if (refusal.reason === "job-limit") {
    return new ObjectStoreFullError(
      `no space for object ${id} of ${mib(size)} within the limit of its job, which may have ${mib(capacity)} in the object stores ` +
        `of its cluster (maxStore), after ${(waitedMs / 1000).toFixed(1)} s (${mib(used)} of them are on this node). ` +
        `Drop refs and views that are not needed any more, or start the job with a higher limit`,
      details,
    );
  }
  const disk =
    refusal.detail === undefined
      ? ""
      : ` Spilling to disk failed: ${refusal.detail}. Free space there, or start the program with TMPDIR set to a folder on a larger disk.`;
  return new ObjectStoreFullError(
    `no space for object ${id} of ${mib(size)} in the object store after ${(waitedMs / 1000).toFixed(1)} s (${state}).${disk} ` +
      `Drop refs and views that are not needed any more, or raise objectStoreMemory in init()`,
    details,
  );
}
