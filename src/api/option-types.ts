/**
 * The options that users give, as types. What is allowed and what the defaults mean for the engine is in options.ts.
 */
import type { PlacementStrategy } from "../runtime/engine.ts";
import type { SchedulingStrategy } from "./strategies.ts";

/** How many refs a call gives: a count, or "streaming" for what a generator yields. */
export type NumReturns = number | "streaming";

/** A class of errors, for `retryExceptions`. */
export type ErrorClass = abstract new (...args: never[]) => Error;

/**
 * What a worker process must be. What a task or actor does not say is as in the process that submits it; `envVars` are added to its.
 */
export interface RuntimeEnv {
  /** The folder that workers run in: one of this machine, a .zip or a .tar.gz. At most 500 MiB and 100,000 files; uploaded once. */
  readonly workingDir?: string;
  /** What of `workingDir` is left out beside `.git` and `node_modules`, in the syntax of .gitignore. */
  readonly excludes?: readonly string[];
  /** Environment variables of the worker, beside those of the driver. */
  readonly envVars?: Readonly<Record<string, string>>;
  /** npm packages, as `npm install` takes them, files of this machine among them; or "lock" for those of `workingDir`'s lock file. */
  readonly npm?: readonly string[] | "lock";
  /** Whether install scripts of packages run. Default false. */
  readonly npmScripts?: boolean;
  /** Runs once in each worker, before its first task: a function, or a module of `workingDir`, whose default export is called. */
  readonly setup?: string | (() => unknown);
}

/** What a task or actor needs to be placed. */
export interface ResourceOptions {
  /** CPUs, down to 0.0001. Tasks: 1. Actors: 1 to be placed and 0 while they live, or the number given, held for life. */
  readonly numCpus?: number;
  /** GPUs: a fraction up to 1, or a whole number. Default 0. */
  readonly numGpus?: number;
  /** Bytes of memory, for placing only. Default none. */
  readonly memory?: number;
  /** Custom resources by name, down to 0.0001. `CPU`, `GPU` and `memory` have options of their own. */
  readonly resources?: Readonly<Record<string, number>>;
  /** Environment of the worker. Default: that of `init`. */
  readonly runtimeEnv?: RuntimeEnv;
  /** Where to run. Default "DEFAULT". */
  readonly schedulingStrategy?: SchedulingStrategy;
  /** Labels that the node must have: a value, `!value`, `in(a,b)` or `!in(a,b)`. */
  readonly labelSelector?: Readonly<Record<string, string>>;
  /** Higher goes first among the tasks of this job. Default 0. */
  readonly priority?: number;
}

/** What tasks and actor calls have in common. */
interface CallOptions<N extends NumReturns> {
  /** Name in listings, logs and errors. Default: the function's. */
  readonly name?: string;
  /** How many refs the call gives. Default 1, and "streaming" for a generator. */
  readonly numReturns?: N;
  /** Retries of errors that user code threw: true for all, classes, or a predicate of the user's own error. Default false. */
  readonly retryExceptions?: boolean | readonly ErrorClass[] | ((error: unknown) => boolean);
  /** Cancels the call when it aborts. */
  readonly signal?: AbortSignal;
  /** Items of a stream that may be unread before the producer waits; -1 for no bound. Default 16. */
  readonly streamBuffer?: number;
}

/** Options of a remote function. */
export interface TaskOptions<N extends NumReturns = NumReturns> extends ResourceOptions, CallOptions<N> {
  /** Retries when the worker or its node died; -1 for no bound. Default 3. */
  readonly maxRetries?: number;
  /** The worker is replaced after so many calls; -1 for never. Default -1. */
  readonly maxCalls?: number;
  /** Captured variables by name; they win over those found in the function's scopes. Only in `remote`. */
  readonly captures?: Readonly<Record<string, unknown>>;
}

/** When an actor's state is saved: whichever comes first. */
export interface CheckpointOptions {
  /** After so many calls. 1: nothing is ever run again. */
  readonly everyCalls?: number;
  /** So many milliseconds after the first call that is not saved. */
  readonly everyMs?: number;
}

/** Options of an actor class. */
export interface ActorOptions extends ResourceOptions {
  /** Name by which `getActor` finds it. Default none. */
  readonly name?: string;
  /** Namespace of the name. Default: the job's. */
  readonly namespace?: string;
  /** "detached": it lives until killed, whatever happens to its program. Default: as long as a handle is held. */
  readonly lifetime?: "detached";
  /** Gives the living actor of this name, if there is one. Default false. */
  readonly getIfExists?: boolean;
  /** Restarts after a crash; -1 for no bound. Default 0. */
  readonly maxRestarts?: number;
  /** Retries of a call whose actor crashed; -1 for no bound. Default 0. */
  readonly maxTaskRetries?: number;
  /** Calls that may be under way at once; -1 for no bound. Default 1: one after another, each awaited to its end. */
  readonly maxConcurrency?: number;
  /** Groups of methods with a bound of their own, by name. */
  readonly concurrencyGroups?: Readonly<Record<string, number>>;
  /** Calls that may be pending; above it `.remote()` throws PendingCallsLimitError. -1 for no bound. Default -1. */
  readonly maxPendingCalls?: number;
  /**
   * A restart goes on where the actor was: from its last checkpoint, by running the calls since again, in their order. `true`: a
   * checkpoint after 100 calls or a second. Needs `maxRestarts`, and calls one after another. Default false.
   */
  readonly checkpoint?: boolean | CheckpointOptions;
  /** Captured variables by name; they win over those found in the class's scopes. Only in `remote`. */
  readonly captures?: Readonly<Record<string, unknown>>;
}

/** Options of one method of a handle. */
export interface MethodOptions<N extends NumReturns = NumReturns> extends CallOptions<N> {
  /** The group of `concurrencyGroups` that the call runs in. */
  readonly concurrencyGroup?: string;
  /** Retries when the actor crashed; -1 for no bound. Default: the actor's. */
  readonly maxTaskRetries?: number;
}

/** Options of `init`. Those of a new node are refused where the program joins a cluster by a node that runs on its machine. */
export interface InitOptions {
  /** An existing cluster. Default: MOBULA_ADDRESS, else a new cluster on this machine. */
  readonly address?: string;
  /** CPUs of the new node. Default: those of the machine. */
  readonly numCpus?: number;
  /** GPUs of the new node. Default: those found. */
  readonly numGpus?: number;
  /** Custom resources of the new node. */
  readonly resources?: Readonly<Record<string, number>>;
  /** Bytes of the new node's object store. Default: a share of the memory that is free. */
  readonly objectStoreMemory?: number;
  /** Namespace of names. Default: one of its own. */
  readonly namespace?: string;
  /** Environment of all workers of this program. */
  readonly runtimeEnv?: RuntimeEnv;
  /** Secret of the cluster. Default: MOBULA_TOKEN, else the file that MOBULA_TOKEN_FILE names. Beside a node none is needed. */
  readonly token?: string;
  /** Share of the cluster: relative weight (default 1), priority (default 0), most CPUs at once. */
  readonly job?: { readonly weight?: number; readonly priority?: number; readonly maxCpus?: number };
  /** Print what workers print. Default true. */
  readonly logToDriver?: boolean;
  /** Start the dashboard. Default false. */
  readonly dashboard?: boolean;
  /** A second `init` gives the cluster of the first. Default false. */
  readonly ignoreReinitError?: boolean;
}

/** Options of `get`. */
export interface GetOptions {
  /** Milliseconds to wait; 0 asks once. Default: without end. */
  readonly timeoutMs?: number;
  /** Ends the wait, not the task; `get` rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Shows a progress bar on stderr, if that is a terminal. Default false. */
  readonly progress?: boolean;
}

/** Options of `wait`. */
export interface WaitOptions {
  /** How many refs to wait for, 1 to their number. Default 1. */
  readonly numReturns?: number;
  /** Milliseconds to wait; 0 asks once. Default: without end. */
  readonly timeoutMs?: number;
  /** Ends the wait, not the tasks; `wait` rejects with its reason. */
  readonly signal?: AbortSignal;
  /** Ready means that the value is on this node. Default true. */
  readonly fetchLocal?: boolean;
}

/** Options of `cancel`. */
export interface CancelOptions {
  /** Kills the worker when the task runs already. Default false. */
  readonly force?: boolean;
  /** Cancels the tasks that it submitted too. Default true. */
  readonly recursive?: boolean;
}

/** Options of `kill`. */
export interface KillOptions {
  /** false: it counts as a crash, so `maxRestarts` holds. Default true. */
  readonly noRestart?: boolean;
}

/** Options of `getActor`. */
export interface GetActorOptions {
  /** Default: the job's. */
  readonly namespace?: string;
}

/** Options of `placementGroup`. */
export interface PlacementGroupOptions {
  /** How bundles are spread over nodes. Default "PACK". */
  readonly strategy?: PlacementStrategy;
  /** Name by which `getPlacementGroup` finds it. */
  readonly name?: string;
  /** "detached": it outlives the program. Default: it ends with the program. */
  readonly lifetime?: "detached";
}
