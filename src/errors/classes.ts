/**
 * Every error class of mobula. Each has a fixed code and its own fields; what to do about each is in registry.ts and
 * docs/errors.md. Fields are `declare`d: the base constructor sets them from `details`.
 */
import { MobulaError, brand } from "./base.ts";

/** Where something ran. */
export interface PlaceDetails {
  readonly nodeId?: string;
  readonly processId?: string;
  /** Process id of the operating system. */
  readonly pid?: number;
}

/** How a process ended. */
export interface DeathDetails extends PlaceDetails {
  readonly exitCode?: number;
  /** Name of the signal that ended it, such as "SIGKILL". */
  readonly signal?: string;
  /** The last lines that it wrote to stderr. */
  readonly lastLines?: readonly string[];
}

/** Whether the call can have had an effect: "not-executed" is certain, "unknown" is not. */
export type Outcome = "not-executed" | "unknown";

export interface TaskErrorDetails extends PlaceDetails {
  readonly cause?: unknown;
  readonly taskId?: string;
  readonly actorId?: string;
  /** The function, or Class.method. */
  readonly functionName?: string;
  /** Class name of what was thrown. */
  readonly errorName?: string;
  /** Stack of what was thrown, where it was thrown. */
  readonly remoteStack?: string;
  /** 0 for the first execution, 1 for the first retry. */
  readonly attempt?: number;
}

/**
 * User code threw. `cause` is what it threw, with class name, message, own fields and stack. A task that takes the ref of
 * a failed task fails with the same `TaskError`: it is never wrapped twice.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const fail = ray.remote(() => { throw new RangeError("too far"); });
 * try {
 *   await ray.get(fail.remote());
 * } catch (error) {
 *   if (error instanceof ray.TaskError) console.log(error.cause instanceof RangeError); // true
 * }
 * await ray.shutdown();
 * ```
 */
export class TaskError extends MobulaError {
  declare readonly taskId?: string;
  declare readonly actorId?: string;
  declare readonly functionName?: string;
  declare readonly errorName?: string;
  declare readonly remoteStack?: string;
  declare readonly attempt?: number;
  declare readonly nodeId?: string;
  declare readonly processId?: string;
  declare readonly pid?: number;

  constructor(message: string, details: TaskErrorDetails = {}) {
    super("TASK_FAILED", message, details);
    // undefined may be thrown too.
    if ("cause" in details && !Object.hasOwn(this, "cause")) hide(this, "cause", undefined);
    // The frames of the engine say nothing; those of the user's code do.
    if (typeof details.remoteStack === "string") hide(this, "stack", `TaskError: ${message}\n${framesOf(details.remoteStack)}`);
  }

  /** The TaskError for what user code threw; what is one already stays as it is. Never throws, whatever was thrown. */
  static wrap(thrown: unknown, details: Omit<TaskErrorDetails, "cause" | "errorName" | "remoteStack"> = {}): TaskError {
    if (thrown instanceof TaskError) return thrown;
    const what = describeThrown(thrown);
    const place = details.pid === undefined ? "" : ` in process ${details.pid}`;
    const message = `${details.functionName ?? "A task"} threw ${what.text}${place}. What it threw is the \`cause\` of this error.`;
    return new TaskError(message, { ...details, cause: thrown, errorName: what.name, remoteStack: what.stack });
  }
}

function hide(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: false, configurable: true, writable: true });
}

function framesOf(stack: string): string {
  const first = stack.search(/^\s+at /m);
  return first === -1 ? stack : stack.slice(first);
}

function describeThrown(thrown: unknown): { name: string; text: string; stack?: string } {
  try {
    if (thrown instanceof Error) {
      // A class of the user often leaves `name` at "Error"; its own name says more.
      const own = thrown.name === "Error" ? thrown.constructor?.name : thrown.name;
      const name = typeof own === "string" && own !== "" ? own : "Error";
      return { name, text: `${name}: ${thrown.message}`, stack: typeof thrown.stack === "string" ? thrown.stack : undefined };
    }
    const shown = typeof thrown === "string" ? JSON.stringify(thrown.slice(0, 500)) : String(thrown).slice(0, 500);
    return { name: typeof thrown, text: `${shown}, which is not an Error` };
  } catch {
    return { name: typeof thrown, text: "something that cannot be shown" };
  }
}

export interface WorkerCrashedDetails extends DeathDetails {
  readonly cause?: unknown;
  readonly taskId?: string;
  readonly functionName?: string;
}

/** The worker process ended while it ran a task, and the task had no retries left. */
export class WorkerCrashedError extends MobulaError {
  declare readonly taskId?: string;
  declare readonly functionName?: string;
  declare readonly nodeId?: string;
  declare readonly processId?: string;
  declare readonly pid?: number;
  declare readonly exitCode?: number;
  declare readonly signal?: string;
  declare readonly lastLines?: readonly string[];

  constructor(message: string, details: WorkerCrashedDetails = {}) {
    super("WORKER_CRASHED", message, details);
  }
}

export interface ActorDiedDetails extends DeathDetails {
  readonly cause?: unknown;
  readonly actorId?: string;
  readonly taskId?: string;
  readonly className?: string;
  readonly method?: string;
  readonly outcome?: Outcome;
}

/** A call of which nobody knows may have had an effect. */
function withOutcome(details: ActorDiedDetails): ActorDiedDetails {
  return { ...details, outcome: details.outcome ?? "unknown" };
}

/** The actor is dead for good. `cause` is the constructor's error when that is why. */
export class ActorDiedError extends MobulaError {
  declare readonly actorId?: string;
  declare readonly taskId?: string;
  declare readonly className?: string;
  declare readonly method?: string;
  /** Whether the call can have had an effect. */
  declare readonly outcome: Outcome;
  declare readonly nodeId?: string;
  declare readonly processId?: string;
  declare readonly pid?: number;
  declare readonly exitCode?: number;
  declare readonly signal?: string;
  declare readonly lastLines?: readonly string[];

  constructor(message: string, details: ActorDiedDetails = {}) {
    super("ACTOR_DIED", message, withOutcome(details));
  }
}

/** The actor crashed under this call and comes back: later calls work, this one is lost. */
export class ActorUnavailableError extends MobulaError {
  declare readonly actorId?: string;
  declare readonly taskId?: string;
  declare readonly className?: string;
  declare readonly method?: string;
  /** Whether the call can have had an effect. */
  declare readonly outcome: Outcome;
  declare readonly nodeId?: string;
  declare readonly processId?: string;
  declare readonly pid?: number;
  declare readonly exitCode?: number;
  declare readonly signal?: string;
  declare readonly lastLines?: readonly string[];

  constructor(message: string, details: ActorDiedDetails = {}) {
    super("ACTOR_UNAVAILABLE", message, withOutcome(details));
  }
}

export interface ObjectDetails extends PlaceDetails {
  readonly cause?: unknown;
  readonly objectId?: string;
  readonly taskId?: string;
}

/** The bytes of an object are gone and cannot be made again. */
export class ObjectLostError extends MobulaError {
  declare readonly objectId?: string;
  declare readonly taskId?: string;
  declare readonly nodeId?: string;
  declare readonly processId?: string;

  constructor(message: string, details: ObjectDetails = {}) {
    super("OBJECT_LOST", message, details);
  }
}

/** The process that would have made the object is dead. */
export class OwnerDiedError extends MobulaError {
  declare readonly objectId?: string;
  declare readonly taskId?: string;
  declare readonly nodeId?: string;
  declare readonly processId?: string;

  constructor(message: string, details: ObjectDetails = {}) {
    super("OWNER_DIED", message, details);
  }
}

export interface StoreFullDetails {
  readonly cause?: unknown;
  readonly nodeId?: string;
  /** Bytes asked for. */
  readonly size?: number;
  /** Bytes that the store has. */
  readonly capacity?: number;
  /** Bytes in use. */
  readonly used?: number;
}

/** The object store has no space and nothing in it can be freed or spilled. */
export class ObjectStoreFullError extends MobulaError {
  declare readonly nodeId?: string;
  declare readonly size?: number;
  declare readonly capacity?: number;
  declare readonly used?: number;

  constructor(message: string, details: StoreFullDetails = {}) {
    super("OBJECT_STORE_FULL", message, details);
  }
}

export interface OutOfMemoryDetails extends DeathDetails {
  readonly cause?: unknown;
  readonly taskId?: string;
  readonly actorId?: string;
  readonly functionName?: string;
}

/** A process used up its heap, or was ended because its machine ran out of memory. */
export class OutOfMemoryError extends MobulaError {
  declare readonly taskId?: string;
  declare readonly actorId?: string;
  declare readonly functionName?: string;
  declare readonly nodeId?: string;
  declare readonly processId?: string;
  declare readonly pid?: number;
  declare readonly exitCode?: number;
  declare readonly signal?: string;
  declare readonly lastLines?: readonly string[];

  constructor(message: string, details: OutOfMemoryDetails = {}) {
    super("OUT_OF_MEMORY", message, details);
  }
}

export interface NodeDiedDetails {
  readonly cause?: unknown;
  readonly nodeId?: string;
  readonly taskId?: string;
}

/** The node on which the work ran, or the object lay, is gone. */
export class NodeDiedError extends MobulaError {
  declare readonly nodeId?: string;
  declare readonly taskId?: string;

  constructor(message: string, details: NodeDiedDetails = {}) {
    super("NODE_DIED", message, details);
  }
}

export interface GetTimeoutDetails {
  readonly cause?: unknown;
  readonly timeoutMs?: number;
  /** Ids that were still missing (at most some of them). */
  readonly pending?: readonly string[];
  /** How many were asked for. */
  readonly total?: number;
}

/** What was waited for did not come within `timeoutMs`. The task goes on. */
export class GetTimeoutError extends MobulaError {
  declare readonly timeoutMs?: number;
  declare readonly pending?: readonly string[];
  declare readonly total?: number;

  constructor(message: string, details: GetTimeoutDetails = {}, code = "GET_TIMEOUT") {
    super(code, message, details);
  }
}

/** A `Queue.put` found no room within its time. */
export class QueueFullError extends GetTimeoutError {
  constructor(message: string, details: GetTimeoutDetails = {}) {
    super(message, details, "QUEUE_FULL");
  }
}

/** A `Queue.get` found no item within its time. */
export class QueueEmptyError extends GetTimeoutError {
  constructor(message: string, details: GetTimeoutDetails = {}) {
    super(message, details, "QUEUE_EMPTY");
  }
}

export interface TaskCancelledDetails {
  readonly cause?: unknown;
  readonly taskId?: string;
  readonly functionName?: string;
  readonly outcome?: Outcome;
}

/** The task was cancelled. `outcome` says whether it can have started. */
export class TaskCancelledError extends MobulaError {
  declare readonly taskId?: string;
  declare readonly functionName?: string;
  declare readonly outcome?: Outcome;

  constructor(message: string, details: TaskCancelledDetails = {}) {
    super("TASK_CANCELLED", message, details);
  }
}

export interface PendingCallsDetails {
  readonly cause?: unknown;
  readonly actorId?: string;
  readonly className?: string;
  readonly method?: string;
  readonly maxPendingCalls?: number;
}

/** An actor's handle has `maxPendingCalls` calls under way; the call was not sent. Thrown by `.remote()`. */
export class PendingCallsLimitError extends MobulaError {
  declare readonly actorId?: string;
  declare readonly className?: string;
  declare readonly method?: string;
  declare readonly maxPendingCalls?: number;

  constructor(message: string, details: PendingCallsDetails = {}) {
    super("PENDING_CALLS_LIMIT", message, details);
  }
}

export interface RuntimeEnvDetails extends DeathDetails {
  readonly cause?: unknown;
}

/** The environment that the work asked for could not be set up, so it never ran. */
export class RuntimeEnvError extends MobulaError {
  declare readonly nodeId?: string;
  declare readonly processId?: string;
  declare readonly pid?: number;
  declare readonly exitCode?: number;
  declare readonly signal?: string;
  declare readonly lastLines?: readonly string[];

  constructor(message: string, details: RuntimeEnvDetails = {}) {
    super("RUNTIME_ENV_FAILED", message, details);
  }
}

export interface SerializationDetails {
  readonly cause?: unknown;
  /** Path to what cannot cross, such as `args[0].db.socket`. */
  readonly path?: string;
  /** What it is, such as "Socket" or "a promise". */
  readonly kind?: string;
}

/** A value or function cannot cross to another process, or did not arrive whole. `path` leads to the part. */
export class SerializationError extends MobulaError {
  declare readonly path?: string;
  declare readonly kind?: string;

  constructor(message: string, details: SerializationDetails = {}) {
    super("SERIALIZATION_FAILED", message, details);
  }
}

/**
 * Why there is no connection: nobody answers at the address ("unreachable"), nothing listens there ("refused"), no answer in
 * time ("timeout"), wrong token, another cluster, another protocol version, another peer than expected, not a port of mobula
 * ("garbage"), certificates that do not fit ("tls"), too many connections ("busy"), closed by the other side ("closed").
 */
export type ConnectionReason =
  | "unreachable"
  | "refused"
  | "timeout"
  | "token"
  | "cluster"
  | "version"
  | "peer"
  | "garbage"
  | "tls"
  | "busy"
  | "closed";

export interface ConnectionDetails {
  readonly cause?: unknown;
  readonly address?: string;
  readonly reason?: ConnectionReason;
}

/** There is no cluster to talk to: not reached, lost, or shut down since. */
export class ConnectionError extends MobulaError {
  declare readonly address?: string;
  declare readonly reason?: ConnectionReason;

  constructor(message: string, details: ConnectionDetails = {}) {
    super("CONNECTION_FAILED", message, details);
  }
}

export interface ActorNameDetails {
  readonly cause?: unknown;
  readonly actorName?: string;
  readonly namespace?: string;
}

/** No living actor has this name in this namespace. */
export class ActorNotFoundError extends MobulaError {
  declare readonly actorName?: string;
  declare readonly namespace?: string;

  constructor(message: string, details: ActorNameDetails = {}) {
    super("ACTOR_NOT_FOUND", message, details);
  }
}

/** A living actor has this name already. */
export class ActorNameTakenError extends MobulaError {
  declare readonly actorName?: string;
  declare readonly namespace?: string;

  constructor(message: string, details: ActorNameDetails = {}) {
    super("ACTOR_NAME_TAKEN", message, details);
  }
}

export interface PlacementDetails {
  readonly cause?: unknown;
  readonly groupId?: string;
  readonly nodeId?: string;
  /** What was asked for, by resource name. */
  readonly demand?: Readonly<Record<string, number>>;
}

/** The work cannot be placed where it must be: the node or placement group is gone, or can never hold it. */
export class PlacementError extends MobulaError {
  declare readonly groupId?: string;
  declare readonly nodeId?: string;
  declare readonly demand?: Readonly<Record<string, number>>;

  constructor(message: string, details: PlacementDetails = {}) {
    super("PLACEMENT_FAILED", message, details);
  }
}

export interface ControlStoreDetails {
  readonly cause?: unknown;
  readonly reason?: StoreFailure;
  readonly place?: string;
  readonly holder?: string;
}

/**
 * Why control's store failed. "in-use": another control writes to it. "fenced": another took over from this one. "refused":
 * wrong password or missing rights. "unreachable": nobody answers, or not in time. "corrupt": what is stored was damaged.
 * "rolled-back": acknowledged writes are gone. "full": no room. "too-large": one write exceeds the limit. "failed": any
 * other failure of the system under it. "closed": it was closed, or never opened.
 */
export type StoreFailure =
  | "in-use"
  | "fenced"
  | "refused"
  | "unreachable"
  | "corrupt"
  | "rolled-back"
  | "full"
  | "too-large"
  | "failed"
  | "closed";

/** The store in which control keeps its state failed. */
export class ControlStoreError extends MobulaError {
  declare readonly reason?: StoreFailure;
  /** The folder, or the URL without user and password. */
  declare readonly place?: string;
  /** Who uses it, as that one described itself. */
  declare readonly holder?: string;

  constructor(message: string, details: ControlStoreDetails = {}) {
    super("CONTROL_STORE_FAILED", message, details);
  }
}

export interface InvalidOptionDetails {
  readonly cause?: unknown;
  /** Name of the option or argument, such as "numCpus" or "resources.tpu". */
  readonly option?: string;
  /** What was given. */
  readonly value?: unknown;
}

/** A call was given something wrong. Thrown at the call; nothing was started. */
export class InvalidOptionError extends MobulaError {
  declare readonly option?: string;
  declare readonly value?: unknown;

  constructor(message: string, details: InvalidOptionDetails = {}) {
    super("INVALID_OPTION", message, details);
  }
}

export interface JobDetails {
  readonly cause?: unknown;
  readonly address?: string;
  readonly reason?: string;
  readonly status?: number;
  readonly field?: string;
  readonly jobId?: string;
}

/**
 * A request to the HTTP API of a cluster failed. `reason` is the `code` of its answer, such as "TOKEN_WRONG", "NOT_FOUND", "TOO_LARGE" or
 * "INVALID_BODY"; without an answer it is "UNREACHABLE", "TIMEOUT" or "NOT_MOBULA".
 */
export class JobError extends MobulaError {
  /** The URL that was asked. */
  declare readonly address?: string;
  declare readonly reason?: string;
  /** Of HTTP; undefined when there was no answer. */
  declare readonly status?: number;
  /** What of the request is wrong, such as "runtimeEnv.npm". */
  declare readonly field?: string;
  declare readonly jobId?: string;

  constructor(message: string, details: JobDetails = {}) {
    super("JOB_REQUEST_FAILED", message, details);
  }
}

// By key, not by `Class.name`: a minifier renames classes, not the keys of an object.
const classes = {
  TaskError,
  WorkerCrashedError,
  ActorDiedError,
  ActorUnavailableError,
  ObjectLostError,
  OwnerDiedError,
  ObjectStoreFullError,
  OutOfMemoryError,
  NodeDiedError,
  GetTimeoutError,
  QueueFullError,
  QueueEmptyError,
  TaskCancelledError,
  PendingCallsLimitError,
  RuntimeEnvError,
  SerializationError,
  ConnectionError,
  ActorNotFoundError,
  ActorNameTakenError,
  PlacementError,
  ControlStoreError,
  JobError,
  InvalidOptionError,
};
for (const [name, type] of Object.entries(classes)) brand(name, type);
