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
      return new TaskCancelledError(`${functionName ?? "A task"} was cancelled.`, { taskId, functionName });
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

/** The typed error of a refusal by the node. */
export function refusal(failure: Failure, name?: string): MobulaError {
  const message = name === undefined ? failure.message : `${name}: ${failure.message}`;
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
