/**
 * The one table of errors: class, code, fields that cross a process, what it means and what to do. docs/errors.md says the
 * same to people; a test compares the two both ways. Codes are never reused.
 */
import {
  ActorDiedError,
  ActorNameTakenError,
  ActorNotFoundError,
  ActorUnavailableError,
  ConnectionError,
  ControlStoreError,
  GetTimeoutError,
  InvalidOptionError,
  JobError,
  NodeDiedError,
  ObjectLostError,
  ObjectStoreFullError,
  OutOfMemoryError,
  OwnerDiedError,
  PendingCallsLimitError,
  PlacementError,
  QueueEmptyError,
  QueueFullError,
  RuntimeEnvError,
  SerializationError,
  TaskCancelledError,
  TaskError,
  WorkerCrashedError,
} from "./classes.ts";
import type { MobulaError } from "./base.ts";

export interface ErrorEntry {
  readonly type: new (message: string, details?: never) => MobulaError;
  /** Name of the class. */
  readonly name: string;
  readonly code: string;
  /** Own fields, beside message, code, stack and cause. */
  readonly fields: readonly string[];
  readonly meaning: string;
  readonly todo: string;
}

const place = ["nodeId", "processId", "pid"];
const death = [...place, "exitCode", "signal", "lastLines"];
const actorCall = ["actorId", "taskId", "className", "method", "outcome", ...death];

/** All errors, in the order of docs/errors.md. */
export const errorRegistry = [
  {
    type: TaskError,
    name: "TaskError",
    code: "TASK_FAILED",
    fields: ["taskId", "actorId", "functionName", "errorName", "remoteStack", "attempt", ...place],
    meaning: "User code in a task or actor method threw.",
    todo: "Look at `cause`, the error itself, and at its stack. `retryExceptions` retries such failures.",
  },
  {
    type: WorkerCrashedError,
    name: "WorkerCrashedError",
    code: "WORKER_CRASHED",
    fields: ["taskId", "functionName", ...death],
    meaning:
      "The worker process ended while it ran the task, and no retry was left; or no worker of another machine could be reached to run it.",
    todo: "Read `exitCode`, `signal` and `lastLines`. If the crash is not the task's fault, raise `maxRetries`.",
  },
  {
    type: ActorDiedError,
    name: "ActorDiedError",
    code: "ACTOR_DIED",
    fields: actorCall,
    meaning: "The actor is dead for good: killed, exited, its constructor threw, or it crashed and had no restart left.",
    todo: "Make a new actor. `maxRestarts` lets an actor come back after a crash. `outcome` says whether this call can have had an effect.",
  },
  {
    type: ActorUnavailableError,
    name: "ActorUnavailableError",
    code: "ACTOR_UNAVAILABLE",
    fields: actorCall,
    meaning:
      "The actor crashed while the call was under way, and is being restarted; or it cannot be reached from here: the next call tries.",
    todo: "Call again if the call may run twice, or give it `maxTaskRetries`. `outcome` says whether it can have had an effect.",
  },
  {
    type: ObjectLostError,
    name: "ObjectLostError",
    code: "OBJECT_LOST",
    fields: ["objectId", "taskId", "nodeId", "processId"],
    meaning: "The bytes of an object are gone and it could not be made again.",
    todo: "Make the object again. Results of tasks with `maxRetries` above 0 are remade by their owner; what was `put` is not.",
  },
  {
    type: OwnerDiedError,
    name: "OwnerDiedError",
    code: "OWNER_DIED",
    fields: ["objectId", "taskId", "nodeId", "processId"],
    meaning: "The process that submitted the task is dead, so nobody can finish or remake its result.",
    todo: "Submit from a process that lives longer, such as the driver or an actor.",
  },
  {
    type: ObjectStoreFullError,
    name: "ObjectStoreFullError",
    code: "OBJECT_STORE_FULL",
    fields: ["nodeId", "size", "capacity", "used"],
    meaning: "The object store has no room for the object, and nothing in it can be freed or moved to disk.",
    todo: "Let go of refs and of values read from the store, free disk space, or raise `objectStoreMemory` of `init`.",
  },
  {
    type: OutOfMemoryError,
    name: "OutOfMemoryError",
    code: "OUT_OF_MEMORY",
    fields: ["taskId", "actorId", "functionName", ...death],
    meaning: "The process used up its heap, or was ended because the machine ran out of memory.",
    todo: "Use less memory per task, run fewer at once (`numCpus`, `memory`), or raise the heap of the workers.",
  },
  {
    type: NodeDiedError,
    name: "NodeDiedError",
    code: "NODE_DIED",
    fields: ["nodeId", "taskId"],
    meaning: "The node that ran the work, or held the object, is gone.",
    todo: "Run it again; `maxRetries` does so by itself.",
  },
  {
    type: GetTimeoutError,
    name: "GetTimeoutError",
    code: "GET_TIMEOUT",
    fields: ["timeoutMs", "pending", "total"],
    meaning: "What was waited for did not come within `timeoutMs`. The task goes on.",
    todo: "Wait again with the same ref, wait longer, or `cancel` the task.",
  },
  {
    type: QueueFullError,
    name: "QueueFullError",
    code: "QUEUE_FULL",
    fields: ["timeoutMs", "pending", "total"],
    meaning: "A `Queue.put` found no room within its time. A `GetTimeoutError` too.",
    todo: "Take items out faster, wait longer, or raise `maxSize`.",
  },
  {
    type: QueueEmptyError,
    name: "QueueEmptyError",
    code: "QUEUE_EMPTY",
    fields: ["timeoutMs", "pending", "total"],
    meaning: "A `Queue.get` found no item within its time. A `GetTimeoutError` too.",
    todo: "Wait longer, or stop when the producers are done.",
  },
  {
    type: TaskCancelledError,
    name: "TaskCancelledError",
    code: "TASK_CANCELLED",
    fields: ["taskId", "functionName", "outcome"],
    meaning: "The task was cancelled, by `cancel`, by its `signal`, or because its parent was.",
    todo: "Nothing, if that was meant. `outcome` says whether it can have started.",
  },
  {
    type: PendingCallsLimitError,
    name: "PendingCallsLimitError",
    code: "PENDING_CALLS_LIMIT",
    fields: ["actorId", "className", "method", "maxPendingCalls"],
    meaning: "The handle has `maxPendingCalls` calls under way, so this one was not sent.",
    todo: "Wait for some of them before calling again, or raise `maxPendingCalls`.",
  },
  {
    type: RuntimeEnvError,
    name: "RuntimeEnvError",
    code: "RUNTIME_ENV_FAILED",
    fields: death,
    meaning: "The wanted environment could not be made, or no worker started in it.",
    todo: "Read the message and `lastLines`; mend `runtimeEnv`, or the module that does not load.",
  },
  {
    type: SerializationError,
    name: "SerializationError",
    code: "SERIALIZATION_FAILED",
    fields: ["path", "kind"],
    meaning: "A value or function cannot cross to another process.",
    todo: "`path` leads to the part. Make it inside the task, send plain data, or give its class `serialize` and `deserialize`.",
  },
  {
    type: ConnectionError,
    name: "ConnectionError",
    code: "CONNECTION_FAILED",
    fields: ["address", "reason"],
    meaning: "There is no cluster: it could not be reached, was lost, or was shut down since the ref or handle was made.",
    todo: "Check the address, or call `init` again and make the refs and handles anew.",
  },
  {
    type: ActorNotFoundError,
    name: "ActorNotFoundError",
    code: "ACTOR_NOT_FOUND",
    fields: ["actorName", "namespace"],
    meaning: "No living actor has this name in this namespace.",
    todo: "Check name and namespace; an actor that is not detached ends with its program. `getIfExists` makes it when it is missing.",
  },
  {
    type: ActorNameTakenError,
    name: "ActorNameTakenError",
    code: "ACTOR_NAME_TAKEN",
    fields: ["actorName", "namespace"],
    meaning: "A living actor has this name already.",
    todo: "Take another name, or `getIfExists: true` to have the one that lives.",
  },
  {
    type: PlacementError,
    name: "PlacementError",
    code: "PLACEMENT_FAILED",
    fields: ["groupId", "nodeId", "demand"],
    meaning: "The work cannot be placed where it must be: the node or placement group is gone, or can never hold it.",
    todo: "Ask for less, choose another node, make the group again, or use a soft strategy.",
  },
  {
    type: ControlStoreError,
    name: "ControlStoreError",
    code: "CONTROL_STORE_FAILED",
    fields: ["reason", "place", "holder"],
    meaning: "The store in which a cluster keeps its state is used by another one, cannot be reached, is full or damaged.",
    todo: "`reason` says which, `place` where, and the message what helps.",
  },
  {
    type: JobError,
    name: "JobError",
    code: "JOB_REQUEST_FAILED",
    fields: ["address", "reason", "status", "field", "jobId"],
    meaning: "A request to the HTTP API of a cluster, such as a job that is submitted, was refused or had no answer.",
    todo: "`reason` says why, `status` is that of HTTP, `field` what of the request is wrong, and the message what helps.",
  },
  {
    type: InvalidOptionError,
    name: "InvalidOptionError",
    code: "INVALID_OPTION",
    fields: ["option", "value"],
    meaning: "A call was given a wrong option or argument; nothing was started.",
    todo: "`option` names it, `value` is what was given; the message says what is allowed.",
  },
] as const satisfies readonly ErrorEntry[];

/** All codes. */
export type ErrorCode = (typeof errorRegistry)[number]["code"];

const byCode = new Map<string, ErrorEntry>(errorRegistry.map((entry) => [entry.code, entry]));

/** The entry for a code, or undefined for a code that this version does not know. */
export function errorEntry(code: string): ErrorEntry | undefined {
  return byCode.get(code);
}
