/** What the Owner machine asks of the world. No method may call back into the machine. */
import type { ActorId, LeaseId, LeaseRequestId, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { DeathReason, Failure, Payload, ResourceAmounts, WorkerAddress } from "../../protocol/messages.ts";
import type { ActorClient } from "./actor-client.ts";
import type { Lease, ShapeQueue } from "./leases.ts";
import type { ObjectRef } from "./object-ref.ts";
import type { Task } from "./task.ts";

export interface Grant {
  readonly requestId: LeaseRequestId;
  readonly leaseId: LeaseId;
  readonly worker: WorkerAddress;
  readonly assigned: ResourceAmounts;
  readonly gpuIds: readonly number[];
  /** Of SPREAD: how many nodes had room. */
  readonly over?: number | undefined;
}

/** Why a task or a call fails that no user code failed. */
export type SystemFailure =
  | { readonly kind: "worker-crashed"; readonly reason: DeathReason; readonly attempts: number }
  | { readonly kind: "actor-died"; readonly reason: DeathReason; readonly outcome: "not-executed" | "unknown"; readonly actorId: ActorId }
  | {
      readonly kind: "actor-unavailable";
      readonly reason: DeathReason;
      readonly outcome: "not-executed" | "unknown";
      readonly actorId: ActorId;
    }
  | { readonly kind: "cancelled"; readonly outcome: "not-executed" | "unknown" }
  | { readonly kind: "connection"; readonly message: string }
  | { readonly kind: "rejected"; readonly failure: Failure; readonly reason: DeathReason | undefined }
  | { readonly kind: "num-returns"; readonly expected: number; readonly got: number }
  | { readonly kind: "lost"; readonly objectId: ObjectId; readonly why: string };

export interface OwnerPort {
  requestLease(requestId: LeaseRequestId, queue: ShapeQueue): void;
  cancelLeaseRequest(requestId: LeaseRequestId): void;
  /**
   * Opens the way to the worker. True: tasks may be pushed at once. False: it takes a while, nothing is pushed, and `Owner.opened` or
   * `Owner.unreachable` says what became of it.
   */
  openLease(lease: Lease): boolean;
  returnLease(lease: Lease, retire: boolean): void;
  /** The worker of a lease is gone. Claim words can still be asked until this turn ends. */
  closeLease(lease: Lease): void;
  /** Sends a task, or an actor call, with the claim word set first where it has one. */
  push(to: Lease | ActorClient, task: Task): void;
  /**
   * Takes a pushed call back by its claim word: "taken" if the worker had not begun and now never will, "claimed" if
   * it has, "unknown" where there is no claim word.
   */
  takeBack(from: Lease | ActorClient, task: Task): "taken" | "claimed" | "unknown";
  /** Tells the worker that a running call is cancelled, and with `recursive` what it submitted. */
  cancelPushed(at: Lease | ActorClient, task: Task, recursive: boolean): void;
  /** Tells the worker of a pushed call that others hold refs to its results. */
  callShared(at: Lease | ActorClient, task: Task): void;
  kill(processId: ProcessId, leaseId: LeaseId, message: string): void;
  /** The producer of a stream may go on: so many items were read. */
  streamRead(at: Lease | ActorClient, task: Task, read: number): void;
  /** Opens the way to an actor's worker, as `openLease`. */
  openActor(actor: ActorClient, worker: WorkerAddress): boolean;
  /** The incarnation that the way led to is gone. */
  closeActor(actor: ActorClient): void;
  /** The way to an actor broke whose answers come by another: which of its calls had been begun? `Owner.callsSettled` says it. */
  askCalls(actor: ActorClient, epoch: number): void;
  /** The error that users will see, as a payload. */
  failure(task: Task | undefined, failure: SystemFailure): Payload;
  /** A ref settled that is stored, holds others, or is known to the node; by the answer of the worker `by`. */
  sharedSettled(ref: ObjectRef, by: ProcessId | undefined): void;
  /** A task is over, whatever its end; for observers. */
  finished?(task: Task): void;
}
