/** How a workload takes the end of a task: the value must be right, or the failure one that its seed's faults can cause. */
import type { ObjectRef } from "../../src/core/owner/object-ref.ts";
import { mayCrash } from "../config.ts";
import type { Context, Program } from "../program.ts";
import { getOne } from "../program.ts";
import { SimError } from "../values.ts";
import { Broken } from "../world.ts";

/** Failures that faults cause. Everything else is an answer to what the program did, and has to be expected. */
const BY_FAULTS = new Set(["worker-crashed", "actor-died", "actor-unavailable", "lost", "OBJECT_LOST", "OWNER_DIED", "WORKER_CRASHED"]);

export type Outcome = { readonly value: unknown } | { readonly error: SimError };

export function outcome(ref: ObjectRef): Program<Outcome> {
  return outcomeOf(getOne(ref));
}

export function* outcomeOf(program: Program): Program<Outcome> {
  try {
    return { value: yield* program };
  } catch (error) {
    if (!(error instanceof SimError)) throw error;
    return { error };
  }
}

/** Whether it succeeded, with the value expected. A failure must be one of `codes`, or the faults'. */
export function judge(context: Context, ref: ObjectRef, end: Outcome, expected: unknown, codes: readonly string[] = []): boolean {
  if ("value" in end) {
    if (JSON.stringify(end.value) === JSON.stringify(expected)) return true;
    throw new Broken(`${ref.id} is ${JSON.stringify(end.value)}, it should be ${JSON.stringify(expected)}`, [ref.id, taskOf(ref)]);
  }
  const { code, message } = end.error;
  const { config } = context.client.world;
  if (codes.includes(code) || (mayCrash(config) && BY_FAULTS.has(code))) return false;
  throw new Broken(`${ref.id} failed with ${code}: ${message}`, [ref.id, taskOf(ref)]);
}

export function* expectValue(context: Context, ref: ObjectRef, expected: unknown, codes: readonly string[] = []): Program<boolean> {
  return judge(context, ref, yield* outcome(ref), expected, codes);
}

const taskOf = (ref: ObjectRef): string => ref.task?.id ?? ref.id;
