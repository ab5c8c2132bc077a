/**
 * The one way in which this folder says no: what happened, to what (path and place), why, what to do.
 */
import { RuntimeEnvError, SerializationError } from "../errors/index.ts";

/** A function that cannot be captured. `place` is where it was defined, such as `main.ts:12:5`. */
export function refusal(path: string, kind: string, place: string, why: string, todo: string, cause?: unknown): SerializationError {
  const where = place === "" ? "" : ` (${place})`;
  const what = path === "" ? kind : `${path}: ${kind}`;
  return new SerializationError(`${what}${where} cannot cross to another process: ${why}. ${todo}.`, { path, kind, cause });
}

/** A module or export that this process needs and does not have. */
export function missing(what: string, why: string, cause?: unknown): RuntimeEnvError {
  const todo =
    "Every worker must find the same files and packages as the program that calls it; workingDir and npm of runtimeEnv bring them";
  return new RuntimeEnvError(`${what}: ${why}. ${todo}.`, { cause });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : `it threw ${String(error)}`;
}
