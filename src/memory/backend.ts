/**
 * What a backend of the store (shared memory, or files) does on its two sides: in the daemon, and in a process that
 * reads and writes. The rules of the store are not here: they are the machine's, and the same for both.
 */
import type { Grant, ObjectKey, Place, Refusal } from "../core/store/types.ts";
import type { ObjectId, ProcessId } from "../protocol/ids.ts";
import type { Body } from "../protocol/messages.ts";
import type { ByteSink, ByteSource } from "./spill-file.ts";

/** What a process says of its space, in order; `seq` makes it harmless to say it twice. */
export type SpaceReport =
  | { readonly seq: number; readonly kind: "sealed"; readonly id: ObjectId; readonly place: Place; readonly pin: boolean }
  | { readonly seq: number; readonly kind: "released"; readonly serial: number }
  | { readonly seq: number; readonly kind: "unpinned"; readonly key: ObjectKey };

/** A request by a process that blocks until it is answered. */
export interface SpaceRequest {
  readonly size: number;
  /** Size of a slab that would be welcome instead, or 0. */
  readonly slab: number;
  readonly timeoutMs: number;
}

/** The messages that a process sends to the store of its node, and those it gets. */
export type ToStore = "storeAllocate" | "storeSealed" | "storeReleased" | "storePin" | "storeUnpin";
export type FromStore = "storeAllocated" | "storePinned" | "storeHeard" | "collectGarbage";
export const messagesToStore: readonly ToStore[] = ["storeAllocate", "storeSealed", "storeReleased", "storePin", "storeUnpin"];

/** As much of the connection to the daemon as the store needs. It delivers in order. */
export interface StoreConnection {
  send<N extends ToStore>(name: N, body: Body<N>): void;
  on<N extends FromStore>(name: N, handler: (body: Body<N>) => void): void;
}

/**
 * Space that is being written, or was written through views. Holds nothing that a user can reach, so that it can tell a
 * finalizer what to clean up.
 */
export interface Space {
  readonly place: Place;
  /** What this process has to let go of when nobody can reach the object being written any more. */
  resource: { release(): void } | undefined;
}

/** The writing of one object. */
export interface SpaceWriter {
  write(offset: number, bytes: Uint8Array): void;
  view(offset: number, length: number): ArrayBuffer;
  /** Everything is written. True: views stay in use, so the object has to be pinned. */
  seal(): boolean;
  abort(): void;
}

/** After how long an answer is slow, and how often it is so again. */
export const SLOW_FIRST_MS = 100;
export const SLOW_AGAIN_MS = 1000;

/** In a process that reads and writes. */
export interface ClientBackend {
  readonly slabBytes: number;
  /** Views of mapped memory are to go before there are more. */
  readonly crowded: boolean;
  /**
   * Blocks; undefined when there was no answer at all. Delivers `reports` first. When the answer takes long it calls
   * `slow` now and then, and delivers the reports that this returns.
   */
  request(request: SpaceRequest, reports: readonly SpaceReport[], slow: () => readonly SpaceReport[]): Grant | Refusal | undefined;
  /**
   * Unmaps at once, after a garbage collection, what nobody can reach, and says how much that was. Finalizers would: but not while this
   * thread blocks.
   */
  reclaim(): number;
  /** A slab in advance is wanted. False: there is one, or it is asked for already, and `reports` were not delivered. */
  askReserve(reports: readonly SpaceReport[]): boolean;
  takeReserve(): Grant | undefined;
  writer(space: Space): SpaceWriter;
  /** Bytes of a pinned place. `unpin` is to be called once nobody reads them any more. */
  read(place: Place, unpin: () => void): Promise<Uint8Array> | Uint8Array;
  /** Memory of at least that length that nobody reads or writes: for what only looks at lengths. */
  blank(bytes: number): ArrayBuffer;
  claims(index: number): Int32Array | undefined;
  close(): void;
}

/** What a process asks of the daemon past its connection. */
export interface NodeEvents {
  reports(from: ProcessId, reports: readonly SpaceReport[]): void;
  request(from: ProcessId, number: number, request: SpaceRequest): void;
  reserve(from: ProcessId): void;
}

/** In the daemon. */
export interface NodeBackend {
  /** What a process needs in order to open its side. */
  describe(to: ProcessId): Record<string, string>;
  /** Answers a request; false: it is not waited for any more. */
  answer(to: ProcessId, number: number, result: Grant | Refusal): boolean;
  putReserve(to: ProcessId, grant: Grant | undefined): boolean;
  source(place: Place): ByteSource & { close(): Promise<void> };
  sink(place: Place): ByteSink & { close(): Promise<void> };
  /** The bytes at this place are needed no more. */
  discard(place: Place): void;
  /** The arena has been used up to here. */
  used(freshStart: number): void;
  /** A process is gone; what it left half written is not among the live places. */
  leave(process: ProcessId, live: () => { grants: ReadonlySet<number>; objects: ReadonlySet<string> }): void;
  claimIndex(process: ProcessId): number;
  claims(index: number): Int32Array | undefined;
  close(): Promise<void>;
}
