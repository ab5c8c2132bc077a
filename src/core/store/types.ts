/** The vocabulary of the store machine: what it is asked, and the effects that it asks for. No behaviour here. */
import type { ObjectId, ProcessId } from "../../protocol/ids.ts";

/**
 * Where bytes lie. `serial` numbers the grants of space and is never reused, so a place names its bytes for ever,
 * also after the range at `offset` has gone to another.
 */
export interface Place {
  readonly serial: number;
  readonly offset: number;
  readonly size: number;
}

/** Space given to a process: for one object, or (`slab`) to cut several objects from. */
export interface Grant extends Place {
  readonly slab: boolean;
}

/** Names one incarnation of an object: an id may come again, when its task ran again; a key does not. */
export type ObjectKey = string;
export const keyOf = (serial: number, offset: number): ObjectKey => `${serial}-${offset}`;

/** Why there is no space. `detail` is the reason of the disk, if spilling failed. job-limit: `capacity` and `used` are of the job. */
export interface Refusal {
  readonly reason: "too-large" | "full" | "spill-failed" | "job-limit";
  readonly capacity: number;
  readonly used: number;
  readonly pinned: number;
  readonly detail: string | undefined;
}

export interface AllocateRequest {
  /** Names it in `granted` and `refused`. */
  readonly request: number;
  readonly process: ProcessId;
  readonly size: number;
  /** Size of a slab that would be welcome instead, if it is free right now; 0 for none. */
  readonly slab: number;
  /** Until when it may wait; undefined: not at all, and nothing is moved for it. */
  readonly deadline: number | undefined;
  /** Where what it gets is charged: of a job that may have only so much in the store. It gets no slab. */
  readonly account?: StoreAccount | undefined;
}

/** The job of a process, as far as the store concerns it. Amounts in bytes. */
export interface StoreAccount {
  /** What its processes may have in all stores of the cluster. */
  readonly storeLimit: number;
  readonly storeUsed: number;
  storeFits(bytes: number): boolean;
  /** Changes by so much; what it no longer has is negative. */
  storeCharge(bytes: number): void;
  /** What its processes wait for because of the limit. */
  storeWaits(bytes: number): void;
}

export interface SealRequest {
  readonly process: ProcessId;
  readonly id: ObjectId;
  readonly serial: number;
  readonly offset: number;
  readonly size: number;
  /** The sealing process keeps it pinned, under the key of the place. */
  readonly pin: boolean;
  /** Another node has the primary: this one may be dropped at any time. */
  readonly copy: boolean;
  /** Its holders are known already. One that is not, goes with the process that sealed it. */
  readonly announced: boolean;
  /** Of a copy: the origin of what it is a copy of. */
  readonly origin?: string;
}

/** Effects. Methods return nothing and never call back into the machine. */
export interface StorePort {
  granted(request: number, grant: Grant): void;
  refused(request: number, refusal: Refusal): void;
  pinned(call: number, key: ObjectKey, place: Place): void;
  /** There is no space to restore it in: it may be read from its file, which stays until it is unpinned. */
  pinnedOnDisk(call: number, key: ObjectKey, size: number): void;
  pinFailed(call: number, reason: string): void;
  /** Write it to its file, then call `spilled` or `spillFailed`. */
  spill(key: ObjectKey, place: Place): void;
  /** Read its file to a place, then call `restored` or `restoreFailed`. */
  restore(key: ObjectKey, place: Place): void;
  deleteFile(key: ObjectKey): void;
  /** The bytes of an object at this place are needed no more. */
  discarded(place: Place): void;
  /** A primary is gone though it was not freed. */
  lost(id: ObjectId, reason: string): void;
  /** A copy was dropped for space. */
  evicted(id: ObjectId): void;
  /** Somebody waits for an object that is not here: it is to be fetched, then sealed as a copy, or `notFound` called. */
  missing(id: ObjectId): void;
  /** Nobody waits for it any more, whether it came or not. */
  unwanted(id: ObjectId): void;
  /** What jobs have, or wait for, has changed. */
  charged(): void;
  /** Space is short: everyone should drop garbage and give idle slabs back. */
  wantSpace(): void;
}

export interface StoreStatistics {
  readonly capacity: number;
  /** Bytes of objects in memory, those being written included. */
  readonly used: number;
  /** Bytes of slabs in which there is no object yet. */
  readonly reserved: number;
  /** Objects alive, wherever they lie. */
  readonly objects: number;
  /** Objects that lie on disk only, and their bytes. */
  readonly spilled: number;
  readonly spilledBytes: number;
  /** Bytes of objects that some process reads at this moment. */
  readonly pinned: number;
  /** Requests for space that wait. */
  readonly waiting: number;
}
