/**
 * What the object store offers to the client part of a process. Backends: shared memory by FFI, and plain files where
 * there is no FFI; both pass one behaviour suite.
 */
import type { ActorId, ObjectId, ProcessId } from "../protocol/ids.ts";

/** Space for an object that is being written. Invisible to others until sealed. */
export interface WritableObject {
  readonly id: ObjectId;
  readonly size: number;
  /** Copies bytes to an offset. */
  write(offset: number, bytes: Uint8Array): void;
  /**
   * A writable view of a part: what is written there until `seal` is in the object. After `seal` (or `abort`) it is a private
   * image: still there, and of no effect on the object.
   */
  view(offset: number, length: number): ArrayBuffer;
  /** Makes it readable, held once by `holder`; it holds `contains` for as long as it lives. */
  seal(holder: ProcessId, contains: readonly (ObjectId | ActorId)[]): void;
  /** Gives the space back. */
  abort(): void;
}

/** A private copy-on-write image of a sealed object: pinned until `buffer` and every view of it is unreachable. */
export interface ReadableObject {
  readonly size: number;
  /** Whole object as a Uint8Array over a private mapping or, below the mapping threshold, over a copy. */
  readonly bytes: Uint8Array;
}

export interface StoreClient {
  /** At once. Waits, blocking, at most `fullTimeoutMs` for space; throws ObjectStoreFullError. */
  create(id: ObjectId, size: number): WritableObject;
  /** As `create`, without blocking. */
  createAsync(id: ObjectId, size: number): Promise<WritableObject>;
  /** Memory of at least that length, at most the store's, that is good for nothing else. */
  blank(bytes: number): ArrayBuffer;
  /** Pins and maps. A spilled object is restored first. Rejects with ObjectLostError. */
  read(id: ObjectId): Promise<ReadableObject>;
  /**
   * Claim words of the worker with that index (`leaseGrant.claims`), for Atomics between processes; undefined where the
   * node has none (index -1, or the file backend).
   */
  claims(index: number): Int32Array | undefined;
  /** What waits is rejected; what was read stays readable. */
  close(): void;
}
