/**
 * Identities. Each is an opaque string with a brand, so that one kind cannot be passed for another.
 *
 * A process (driver or worker) has a random id that never lives twice: one that comes back is a new one.
 * What a process makes carries that process's id as its prefix, so an id can be made without asking anyone,
 * and says which process owns it:
 *
 *   ProcessId   12 hex digits
 *   TaskId      <ProcessId>-<counter in base 36>
 *   ObjectId    <TaskId>-<index>            a return value of that task; index counts from 0
 *               <ProcessId>-<counter>-p     a put
 *   ActorId     <ProcessId>-<counter>-a
 */
declare const brand: unique symbol;
type Id<Name extends string> = string & { readonly [brand]: Name };

export type NodeId = Id<"node">;
export type ProcessId = Id<"process">;
export type JobId = Id<"job">;
export type TaskId = Id<"task">;
export type ObjectId = Id<"object">;
export type ActorId = Id<"actor">;
export type LeaseId = Id<"lease">;
export type LeaseRequestId = Id<"lease-request">;
export type PlacementGroupId = Id<"placement-group">;
/** Content hash of an exported function or class. */
export type FunctionId = Id<"function">;

export const taskId = (owner: ProcessId, counter: number): TaskId => `${owner}-${counter.toString(36)}` as TaskId;
export const returnId = (task: TaskId, index: number): ObjectId => `${task}-${index}` as ObjectId;
export const putId = (owner: ProcessId, counter: number): ObjectId => `${owner}-${counter.toString(36)}-p` as ObjectId;
export const actorId = (owner: ProcessId, counter: number): ActorId => `${owner}-${counter.toString(36)}-a` as ActorId;
/** The process that made a task, object or actor. */
export const makerOf = (id: TaskId | ObjectId | ActorId): ProcessId => id.slice(0, 12) as ProcessId;
