/** The vocabulary of transfer between nodes: what its machines are told, and the effects that they ask for. No behaviour here. */
import type { NodeId, ObjectId } from "../../protocol/ids.ts";

/** Who goes first: a `get` before a `wait`, and both before what is fetched ahead for tasks that have yet to start. */
export type PullPriority = "get" | "wait" | "args";
export const priorities: readonly PullPriority[] = ["get", "wait", "args"];

/** Effects of the machine that fetches. Methods return nothing and never call back into the machine. */
export interface PullPort {
  /** Ask the object's home where it is; `located` answers. */
  locate(id: ObjectId): void;
  /** Space for a copy; `granted` or `refused` answers. */
  allocate(pull: number, id: ObjectId, size: number): void;
  /** Neither the space nor what was asked for is needed any more. */
  release(pull: number): void;
  /**
   * Ask a node for the object's bytes from `from` on; `insist`: it has sent us elsewhere before, in vain. Answered by `began`, then
   * `advanced` until all is there; or by `redirected`, or `failed`.
   */
  fetch(attempt: number, pull: number, node: NodeId, id: ObjectId, from: number, insist: boolean): void;
  /** Nothing more of this attempt is wanted. */
  cancel(attempt: number): void;
  /** What has been received is of another run of the task than what comes: it begins again, for those too who get it from here. */
  restart(pull: number): void;
  /** All bytes are there: the copy is to be sealed, and is the store's. */
  seal(pull: number, id: ObjectId, origin: string): void;
  /** It will not come. */
  notFound(id: ObjectId, reason: string): void;
  /** In [0, 1). */
  chance(): number;
}

/** What a node has of an object that another asks for. */
export type Holding = { readonly whole: boolean; readonly size: number; readonly received: number };

/** Effects of the machine that serves. */
export interface ServePort {
  /** Send the bytes; `closed` ends it, whatever happens. */
  start(serve: number): void;
  /** Name these nodes instead. */
  redirect(serve: number, nodes: readonly NodeId[]): void;
  refuse(serve: number, reason: string): void;
}

export interface PullLimits {
  /** Bytes of large objects under way to this node. One that is larger goes alone. */
  readonly bytesMax: number;
  /** What is not larger does not wait for larger ones. */
  readonly smallBytes: number;
  readonly smallMax: number;
  /** Objects that come from one node at a time. */
  readonly perNode: number;
  /** A source that sends nothing for so long is left. */
  readonly stallMs: number;
  /** The home is asked again so often, while nothing comes from anywhere. */
  readonly rounds: number;
  /** Before it is asked again; twice as long each time, up to `restMaxMs`. */
  readonly restMs: number;
  readonly restMaxMs: number;
}

const MIB = 2 ** 20;
export const pullLimits: PullLimits = {
  bytesMax: 512 * MIB,
  smallBytes: MIB,
  smallMax: 64,
  perNode: 8,
  stallMs: 10_000,
  rounds: 6,
  restMs: 50,
  restMaxMs: 2_000,
};

export interface ServeLimits {
  /** So many nodes get one object from here at a time; those who come then are sent to them. */
  readonly fanOut: number;
  /** With those who were sent away in vain and came again. */
  readonly fanOutMax: number;
  /** What is not larger is sent to everyone. */
  readonly smallBytes: number;
}
export const serveLimits: ServeLimits = { fanOut: 2, fanOutMax: 16, smallBytes: MIB };

export interface PullStatistics {
  /** Objects that are being fetched or wait to be. */
  readonly pulls: number;
  readonly queued: number;
  readonly fetching: number;
  /** Bytes of large ones under way. */
  readonly bytesInFlight: number;
}
