/** What goes wrong with Redis, as errors that say what to do; and which of it passes by itself. */
import { ControlStoreError, explain } from "../../errors/index.ts";
import type { StoreFailure } from "../../errors/index.ts";
import { BrokenConnection, ReplyError } from "./redis-connection.ts";

/** Errors of Redis that pass: it loads its file, fails over, moves slots, or cannot write to its disk just now. */
const PASSING = [
  "LOADING",
  "READONLY",
  "MASTERDOWN",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "MOVED",
  "ASK",
  "BUSY",
  "NOREPLICAS",
  "MISCONF",
  "UNBLOCKED",
];
const LOGIN = ["NOAUTH", "WRONGPASS", "NOPERM"];

export const isPassing = (error: ReplyError): boolean => PASSING.includes(error.code);

export function storeError(place: string, reason: StoreFailure, what: string, why: string, todo: string): ControlStoreError {
  return new ControlStoreError(explain(`The control store at ${place} ${what}`, why, todo), { reason, place });
}

export function redisFailure(place: string, what: string, error: unknown): ControlStoreError {
  if (error instanceof ControlStoreError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const as = (reason: StoreFailure, todo: string): ControlStoreError => storeError(place, reason, what, why, todo);
  if (error instanceof BrokenConnection && error.final)
    return as("refused", "With rediss:// name the file of its certificate authority: `?ca=FILE`.");
  if (error instanceof BrokenConnection) return as("unreachable", "Start Redis, or correct the URL.");
  if (!(error instanceof ReplyError)) return as("failed", "");
  if (LOGIN.includes(error.code)) return as("refused", "Correct user and password, or the rights of that user.");
  if (error.code === "OOM") return as("full", "Raise maxmemory of that Redis.");
  return as(isPassing(error) ? "unreachable" : "failed", "");
}
