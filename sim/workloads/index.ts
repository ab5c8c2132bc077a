/** All workloads, by name: what a driver does in a simulation. */
import type { Context, Program } from "../program.ts";
import type { Rng } from "../rng.ts";
import { borrowed, busy, escapes, handed, large, leftBehind } from "./objects.ts";
import {
  cancels,
  chains,
  foreignCancels,
  impossible,
  nested,
  plain,
  reduction,
  retries,
  severalResults,
  shapes,
  streams,
  waiting,
} from "./tasks.ts";
import { constructed } from "./constructed.ts";
import { checkpointed, made, named, ordered, placement, selfish, shared } from "./with-actors.ts";

export type Workload = (context: Context, size: number, rng: Rng) => Program;

/** New ones come last, so that seeds that have found a bug stay what they were: see `configOf`. */
export const WORKLOADS: Readonly<Record<string, Workload>> = {
  plain,
  chains,
  reduction,
  nested,
  retries,
  cancels,
  foreignCancels,
  waiting,
  streams,
  shapes,
  impossible,
  severalResults,
  escapes,
  borrowed,
  busy,
  large,
  handed,
  leftBehind,
  ordered,
  shared,
  made,
  named,
  placement,
  checkpointed,
  selfish,
  constructed,
};
