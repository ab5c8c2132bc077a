/** The errors of the machines, as users see them. */
import type { SystemFailure } from "../../core/owner/port.ts";
import type { Task } from "../../core/owner/task.ts";
import {
  ActorNameTakenError,
  ConnectionError,
  InvalidOptionError,
  MobulaError,
  NodeDiedError,
  ObjectLostError,
  OwnerDiedError,
  PlacementError,
  RuntimeEnvError,
  TaskCancelledError,
  WorkerCrashedError,
  actorDied,
  actorUnavailable,
  explain,
  taskLost,
} from "../../errors/index.ts";
import type { Failure } from "../../protocol/messages.ts";

export function systemError(task: Task | undefined, failure: SystemFailure, constructorError: unknown): MobulaError {
  const functionName = task?.spec.callable.name;
  const taskId = task?.id;
  switch (failure.kind) {
    case "worker-crashed":
      return taskLost({ taskId, functionName, attempts: failure.attempts }, failure.reason);
    case "actor-died":
    case "actor-unavailable": {
      const dead = task?.actor?.status?.kind === "dead" ? task.actor.status : undefined;
      if (dead?.failure?.code === "WORKER_CRASHED") return taskLost({ className: task?.actor?.className }, dead.reason);
      if (dead?.failure) return refusal(dead.failure);
      const call = { actorId: failure.actorId, taskId, className: task?.actor?.className, method: functionName, outcome: failure.outcome };
      if (failure.kind === "actor-unavailable") return actorUnavailable(call, failure.reason);
      return actorDied(call, failure.reason, {}, constructorError);
    }
    case "cancelled":
      return new TaskCancelledError(
        explain(
          `${functionName ?? "A task"} was cancelled`,
          "cancel() was called, its signal aborted, or the task that submitted it was cancelled",
          failure.outcome === "not-executed" ? "It had not begun, and never will" : "It may have begun",
        ),
        { taskId, functionName, outcome: failure.outcome },
      );
    case "connection":
      return new ConnectionError(failure.message);
    case "rejected":
      if (failure.failure.code === "RUNTIME_ENV_FAILED")
        return environmentFailed(failure.failure.message, functionName, failure.reason?.lastLines);
      if (failure.reason) return taskLost({ taskId, functionName }, failure.reason);
      return refusal(failure.failure, functionName);
    case "num-returns": {
      const what = `${functionName ?? "A task"} gave ${failure.got} results, but numReturns is ${failure.expected}.`;
      return new InvalidOptionError(what, { option: "numReturns", value: failure.expected });
    }
    case "lost":
      return new ObjectLostError(
        explain(`Object ${failure.objectId} is lost`, failure.why, "It cannot be made again; submit the task once more"),
        { objectId: failure.objectId },
      );
    default:
      return failure satisfies never;
  }
}

function environmentFailed(message: string, name: string | undefined, lastLines: readonly string[] | undefined): RuntimeEnvError {
  const what = name === undefined ? message : `${name} never ran: ${message}`;
  return new RuntimeEnvError(what, lastLines === undefined ? {} : { lastLines });
}

const PLACE = "Ask for less, choose another node, make the group again, or use a soft strategy";
/** What to do about what the node refuses: it says what, to whom and why. */
const ADVICE: Readonly<Record<string, string>> = {
  PLACEMENT_FAILED: PLACE,
  PLACEMENT: PLACE,
  INFEASIBLE: PLACE,
  RESOURCES_HELD: PLACE,
  NODE_DIED: "Run it again; nodes() shows which nodes there are",
  OWNER_DIED: "Submit from a process that lives longer, such as the driver or an actor",
  OBJECT_LOST: "Make the object again",
  ACTOR_NAME_TAKEN: "Take another name, or getIfExists: true to have the one that lives",
  ACTOR_NOT_FOUND: "Check name and namespace; an actor that is not detached ends with its program",
  WORKER_CRASHED: "If that is not its own fault, raise maxRetries",
};

/** What the node says, with what to do. */
export function told(failure: Failure, name?: string): string {
  const { code, message } = failure;
  // Most name it themselves.
  const what = name === undefined || message.includes(name) ? message : `${name}: ${message}`;
  return explain(`${what.charAt(0).toUpperCase()}${what.slice(1)}`, undefined, ADVICE[code]);
}

/** The typed error of a refusal by the node. */
export function refusal(failure: Failure, name?: string): MobulaError {
  const message = told(failure, name);
  switch (failure.code) {
    case "PLACEMENT_FAILED":
    case "PLACEMENT":
    case "INFEASIBLE":
    case "RESOURCES_HELD":
      return new PlacementError(message);
    case "NODE_DIED":
      return new NodeDiedError(message);
    case "OWNER_DIED":
      return new OwnerDiedError(message);
    case "OBJECT_LOST":
      return new ObjectLostError(message);
    case "ACTOR_NAME_TAKEN":
      return new ActorNameTakenError(message);
    case "WORKER_CRASHED":
      return new WorkerCrashedError(message);
    case "RUNTIME_ENV_FAILED":
      return environmentFailed(failure.message, name, undefined);
    case "CONNECTION_FAILED":
      return new ConnectionError(message);
    default:
      return new MobulaError(failure.code, message);
  }
}
