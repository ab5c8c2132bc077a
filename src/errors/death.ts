/**
 * How the end of a process is told to people, and the errors that come of it. Pure; the reason comes from whoever reaped
 * the process, in the shape of the protocol's death reason.
 */
import { explain } from "./base.ts";
import { ActorDiedError, ActorUnavailableError, NodeDiedError, OutOfMemoryError, RuntimeEnvError, WorkerCrashedError } from "./classes.ts";
import type { DeathDetails, Outcome } from "./classes.ts";

/** Why a process ended. The protocol's `deathReason` fits. */
export interface Death {
  readonly cause: string;
  readonly message: string;
  readonly exitCode?: number;
  readonly signal?: string;
  readonly lastLines?: readonly string[];
  readonly nodeId?: string;
  readonly processId?: string;
  readonly pid?: number;
}

/** The process, as far as it is known beside what its death says. */
export interface DeadProcess {
  readonly nodeId?: string;
  readonly processId?: string;
  readonly pid?: number;
}

/** What the process was doing. */
export interface LostTask {
  readonly taskId?: string;
  readonly functionName?: string;
  /** Of an actor, for which no process could be started. */
  readonly className?: string;
  /** Executions that were lost, this one included. */
  readonly attempts?: number;
}

/** The call that was lost with its actor, or came too late. */
export interface LostCall {
  readonly actorId?: string;
  readonly taskId?: string;
  readonly className?: string;
  readonly method?: string;
  readonly outcome?: Outcome;
}

/** One sentence: "it was ended by signal SIGSEGV". */
function howItEnded(death: Death): string {
  const how =
    death.signal !== undefined
      ? `it was ended by signal ${death.signal}`
      : death.exitCode !== undefined
        ? `it exited with code ${death.exitCode}`
        : undefined;
  const said = how === undefined || death.message.includes(how) || (death.signal !== undefined && death.message.includes(death.signal));
  const why = death.message === "" ? how : said ? death.message : `${death.message} (${how})`;
  return why ?? `its end was: ${death.cause}`;
}

/** The last lines that it wrote, below everything else that a message says. */
function lastWords({ lastLines = [] }: Death): string {
  return lastLines.length === 0 ? "" : `\nThe last that it wrote to stderr:\n${lastLines.map((line) => `  ${line}`).join("\n")}`;
}

function details(death: Death, process: DeadProcess): DeathDetails {
  const { exitCode, signal, lastLines } = death;
  const { nodeId = death.nodeId, processId = death.processId, pid = death.pid } = process;
  return { nodeId, processId, pid, exitCode, signal, lastLines };
}

const processText = (pid: number | undefined): string => (pid === undefined ? "its worker process" : `its worker process ${pid}`);

/** The error of a task whose worker ended under it. Its class follows from why the process ended. */
export function taskLost(
  task: LostTask,
  death: Death,
  process: DeadProcess = {},
): WorkerCrashedError | OutOfMemoryError | NodeDiedError | RuntimeEnvError {
  const { taskId, functionName, className, attempts = 1 } = task;
  const plain = functionName === undefined ? "A task" : `Task ${functionName}`;
  const name = className === undefined ? plain : `Actor ${className}`;
  const times = attempts > 1 ? ` (the last of ${attempts} attempts)` : "";
  const known = details(death, process);
  const where = { ...known, taskId, functionName };
  const its = processText(known.pid);
  const told = howItEnded(death);
  const message = (what: string, todo: string): string =>
    explain(what, `${told.charAt(0).toUpperCase()}${told.slice(1)}`, todo) + lastWords(death);
  switch (death.cause) {
    case "out-of-memory":
      return new OutOfMemoryError(
        message(
          `${name} lost ${its}${times}: it ran out of memory`,
          "Use less memory per task, run fewer at once (numCpus, memory), or raise the heap of the workers",
        ),
        where,
      );
    case "node-died":
      return new NodeDiedError(message(`${name} was lost with its node${times}`, "Run it again"), { nodeId: known.nodeId, taskId });
    case "start-failed":
      return new RuntimeEnvError(
        message(`${name} never ran: ${its} did not start`, "Mend runtimeEnv, or what keeps a worker from starting"),
        known,
      );
    case "unreachable":
      return new WorkerCrashedError(
        message(`${name} was not executed${times}`, "Check the network between the two machines; maxRetries lets it be tried again"),
        where,
      );
    default:
      return new WorkerCrashedError(message(`${name} lost ${its}${times}`, "If that is not its own fault, raise maxRetries"), where);
  }
}

const callText = ({ className = "An actor", method }: LostCall): string => (method === undefined ? className : `${className}.${method}`);

function outcomeText(outcome: Outcome | undefined): string {
  if (outcome === "not-executed") return "This call was not executed.";
  return outcome === "unknown" ? "Whether this call had an effect is unknown." : "";
}

/** The error of a call to an actor that does not come back. `error` is what its constructor threw, if that is why. */
export function actorDied(call: LostCall, death: Death, process: DeadProcess = {}, error?: unknown): ActorDiedError {
  const what = `${callText(call)} failed, because the actor is dead: ${howItEnded(death)}`;
  const cause = error === undefined ? {} : { cause: error };
  const todo = "Make a new one; maxRestarts lets an actor come back after a crash.";
  return new ActorDiedError(explain(what, outcomeText(call.outcome), todo) + lastWords(death), {
    ...details(death, process),
    ...call,
    ...cause,
  });
}

/** The error of a call that was under way when its actor crashed, where the actor comes back, or when the way to it broke. */
export function actorUnavailable(call: LostCall, death: Death, process: DeadProcess = {}): ActorUnavailableError {
  const why = death.cause === "unreachable" ? "cannot be reached" : "crashed and is being restarted";
  const what = `${callText(call)} failed, because the actor ${why}: ${howItEnded(death)}`;
  const todo = "Call again if it may run twice, or set maxTaskRetries.";
  return new ActorUnavailableError(explain(what, outcomeText(call.outcome), todo) + lastWords(death), {
    ...details(death, process),
    ...call,
  });
}
