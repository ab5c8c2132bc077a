/** What the store machine knows of one object, and of space in which there is none yet. Their fields are the machine's. */
import type { ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Segment } from "./arena.ts";
import { keyOf } from "./types.ts";
import type { ObjectKey, SealRequest, StoreAccount } from "./types.ts";

export type ObjectState = "resident" | "spilling" | "spilled" | "restoring";

export interface Waiter {
  readonly call: number;
  readonly process: ProcessId;
  readonly deadline: number;
}

/** An object, sealed and not yet gone. */
export class StoredObject {
  readonly key: ObjectKey;
  readonly id: ObjectId;
  readonly size: number;
  /** Another node has the primary: this one goes before others do, and is not spilled. */
  copy: boolean;
  /** Of a copy: names the run of its task whose bytes these are, wherever they lie. */
  readonly origin: string | undefined;
  state: ObjectState = "resident";
  /** In memory: its bytes. */
  segment: Segment<Holder> | undefined;
  serial: number;
  /** It has a file. */
  onDisk = false;
  /** Freed, and kept only for those who read it or for the disk operation under way. */
  freed = false;
  /** The process that sealed it, until its holders are known. */
  unannouncedBy: ProcessId | undefined;
  readonly pins = new Map<ProcessId, number>();
  /** The job that has it, and how much it counts there, wherever its bytes lie. */
  account: StoreAccount | undefined;
  charged = 0;
  /** Calls that wait for it to be restored. */
  waiters: Waiter[] = [];
  constructor(request: SealRequest, segment: Segment<Holder>) {
    this.key = keyOf(request.serial, request.offset);
    this.id = request.id;
    this.size = request.size;
    this.copy = request.copy;
    this.origin = request.origin;
    this.serial = request.serial;
    this.segment = segment;
    if (!request.announced) this.unannouncedBy = request.process;
  }
}

/** Space that a process has been given and in which there is no sealed object yet. */
export class GrantedSpace {
  readonly serial: number;
  readonly process: ProcessId;
  readonly slab: boolean;
  readonly account: StoreAccount | undefined;
  readonly segments = new Set<Segment<Holder>>();
  constructor(serial: number, process: ProcessId, slab: boolean, account?: StoreAccount) {
    this.account = account;
    this.serial = serial;
    this.process = process;
    this.slab = slab;
  }
}

export type Holder = StoredObject | GrantedSpace;
