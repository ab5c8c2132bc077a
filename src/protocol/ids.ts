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
 *
 * A node's id has 12 hex digits too, and the first six are those of every process on it, so that the node of a process, and of
 * what it makes, follows from its id. The other six of a worker are a number that the node counts; those of a driver begin with 8 to f.
 */
declare const brand: unique symbol;
type Id<Name extends string> = string & { readonly [brand]: Name };

export type NodeId = Id<"node">;
export type ProcessId = Id<"process">;
export type JobId = Id<"job">;
export type TaskId = Id<"task">;
export type ObjectId = Id<"object">;
export type ActorId = Id<"actor">;
/** A direct connection between two processes, numbered by the one that opened it: <ProcessId>-<counter>. */
export type WayId = Id<"way">;
export type LeaseId = Id<"lease">;
export type LeaseRequestId = Id<"lease-request">;
export type PlacementGroupId = Id<"placement-group">;
/** Content hash of an exported function or class. */
export type FunctionId = Id<"function">;

export const taskId = (owner: ProcessId, counter: number): TaskId => `${owner}-${counter.toString(36)}` as TaskId;
export const returnId = (task: TaskId, index: number): ObjectId => `${task}-${index}` as ObjectId;
export const putId = (owner: ProcessId, counter: number): ObjectId => `${owner}-${counter.toString(36)}-p` as ObjectId;
export const actorId = (owner: ProcessId, counter: number): ActorId => `${owner}-${counter.toString(36)}-a` as ActorId;
/** The number that its maker gave to a task, or to the task that returns an object. NaN for what has none. */
export const counterOf = (id: TaskId | ObjectId): number => Number.parseInt(id.split("-")[1] ?? "", 36);
/** A checkpoint, made by a worker. Its home is that of its actor, where the log is; no worker's number goes so far. */
export const checkpointId = (actor: ActorId, worker: ProcessId, counter: number): ObjectId =>
  `${prefixOf(actor)}7fffff-${worker}${counter.toString(36)}-p` as ObjectId;
export const wayId = (opener: ProcessId, counter: number): WayId => `${opener}-${counter.toString(36)}` as WayId;
/** The process that made a task, object or actor. */
export const makerOf = (id: TaskId | ObjectId | ActorId): ProcessId => id.slice(0, 12) as ProcessId;

/** The digits that a node shares with its processes, and with all that they make. */
export type NodePrefix = Id<"node-prefix">;
export const prefixOf = (id: NodeId | ProcessId | ObjectId | ActorId | LeaseId | WayId): NodePrefix => id.slice(0, 6) as NodePrefix;
/** The node that keeps the record of an object or actor: that of its maker. */
export const homeOf = (id: ObjectId | ActorId): NodePrefix => prefixOf(id);
export const workerId = (node: NodeId, counter: number): ProcessId => (prefixOf(node) + counter.toString(16).padStart(6, "0")) as ProcessId;
/** Of a driver on that node; `hex`: six random digits. */
export const driverId = (node: NodeId, hex: string): ProcessId =>
  (prefixOf(node) + (8 + (Number.parseInt(hex[0]!, 16) % 8)).toString(16) + hex.slice(1)) as ProcessId;
/** What a node itself holds, it holds under a name that no process has. */
export const holderOf = (node: NodePrefix): ProcessId => `@${node}` as ProcessId;
/** The node that has this name as a holder; undefined for a process. */
export const nodeOfHolder = (holder: ProcessId): NodePrefix | undefined =>
  holder.startsWith("@") ? (holder.slice(1) as NodePrefix) : undefined;
