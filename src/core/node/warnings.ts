/**
 * What cannot be placed, told to people: the reason why a class of requests waits where waiting alone will not help,
 * within five seconds, and again every minute. A request that waits for running tasks is no reason for a warning.
 */
import type { ProcessId } from "../../protocol/ids.ts";
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { describeResources } from "../resources.ts";
import { isLimited, labelsFit, ledgersFor } from "./dispatch.ts";
import { groupLabel } from "./groups.ts";
import { describeLimit } from "./jobs.ts";
import { remember } from "./state.ts";
import type { NodeState, Want } from "./state.ts";

const NEVER_AFTER_MS = 1000;
const HELD_AFTER_MS = 4000;
const REPEAT_MS = 60_000;
const WARNED_MAX = 1000;
const PENDING_MAX = 1000;
/** Of labels in a warning, characters. */
const LABELS_MAX = 1000;

interface Obstacle {
  readonly code: "INFEASIBLE" | "RESOURCES_HELD";
  readonly message: string;
}

/** The first look at a request that waits. */
export function watch(s: NodeState, want: Want): void {
  s.alarm.set(want.since + NEVER_AFTER_MS);
}

export function warn(s: NodeState, now: number): void {
  for (const waiting of s.queue.classes) {
    const want = waiting.head;
    const last = s.warned.get(waiting.key);
    if (last !== undefined && last + REPEAT_MS > now) {
      s.alarm.set(last + REPEAT_MS);
      continue;
    }
    if (want.since + NEVER_AFTER_MS > now) {
      s.alarm.set(want.since + NEVER_AFTER_MS);
      continue;
    }
    const obstacle = obstacleOf(s, want);
    // What actors and groups hold may be theirs only for a while.
    if (want.since + HELD_AFTER_MS > now) s.alarm.set(want.since + HELD_AFTER_MS);
    if (obstacle === undefined || (obstacle.code === "RESOURCES_HELD" && want.since + HELD_AFTER_MS > now)) continue;
    remember(s.warned, waiting.key, now, WARNED_MAX);
    s.alarm.set(now + REPEAT_MS);
    for (const driver of driversOf(s, want)) s.port.send(driver, "warning", obstacle);
  }
}

/** What waits, by kind, and why: for listings. */
export function pendingOf(s: NodeState): { resources: ResourceAmounts; count: number; reason: string }[] {
  return [...s.queue.classes].slice(0, PENDING_MAX).map((waiting) => {
    const want = waiting.head;
    const reason = (obstacleOf(s, want) ?? limitOf(want))?.message ?? IN_USE(want);
    return { resources: { ...want.demand }, count: waiting.size, reason: reason.slice(0, 4096) };
  });
}

function driversOf(s: NodeState, want: Want): ProcessId[] {
  return [...s.drivers].filter(([, jobId]) => jobId === want.account.jobId).map(([id]) => id);
}

function obstacleOf(s: NodeState, want: Want): Obstacle | undefined {
  if (!s.environments.isMade(want.env)) {
    return { code: "RESOURCES_HELD", message: `${want.what} waits: its runtime environment is being made on this node.` };
  }
  const waits = `${want.what} waits: it needs`;
  if (want.strategy.kind !== "group" && !want.account.couldEver(want.demand)) return beyondLimits(want);
  if (want.strategy.kind !== "group" && !labelsFit(s, want)) {
    const labels = want.strategy.kind === "labels" ? { ...want.strategy.hard, ...want.labelSelector } : want.labelSelector;
    return {
      code: "INFEASIBLE",
      message:
        `${waits} a node with the labels ${JSON.stringify(labels).slice(0, LABELS_MAX)}, ` +
        `this cluster has ${JSON.stringify(s.config.labels)}. ` +
        "It will wait for such a node; cancel it, or change its labels.",
    };
  }
  const ledgers = ledgersFor(s, want).map(({ ledger }) => ledger);
  if (ledgers.length === 0) return waitsForGroup(s, want);
  const demand = describeResources(want.demand);
  const where = want.strategy.kind === "group" ? "its placement group" : "this cluster";
  // On a cluster it waits here because no other node has it either.
  const has = where === "this cluster" && s.config.limitsDivided ? "no node of this cluster has that, this one has" : `${where} has`;
  const total = ledgers.map((ledger) => describeResources(ledger.total)).join(", ");
  if (!ledgers.some((ledger) => ledger.couldEver(want.demand))) {
    return {
      code: "INFEASIBLE",
      message: `${waits} ${demand}, ${has} ${total}. It will wait until there is more; cancel it, or ask for less.`,
    };
  }
  if (want.strategy.kind !== "group" && !want.account.couldNow(want.demand)) return limitHeld(want);
  if (want.kind !== "group" && ledgers.some((ledger) => ledger.couldNow(want.demand))) return undefined;
  if (want.kind === "group" && s.ledger.couldNow(want.demand)) return undefined;
  const life = ledgers.map((ledger) => describeResources(ledger.life)).join(", ");
  return {
    code: "RESOURCES_HELD",
    message:
      `${waits} ${demand}; ${where} has ${total}, of which actors and placement groups hold ${life} for as long as they live. ` +
      "It will wait until some of them end.",
  };
}

function waitsForGroup(s: NodeState, want: Want): Obstacle | undefined {
  const group = want.strategy.kind === "group" ? s.groups.get(want.strategy.groupId) : undefined;
  if (group === undefined) return undefined;
  return { code: "RESOURCES_HELD", message: `${want.what} waits: ${groupLabel(group)}, in which it is to run, is not placed yet.` };
}

const IN_USE = (want: Want): string => `${want.what} waits: what it needs is in use, or its worker is being started.`;

/** The first limit of its job that it does not fit into. */
function limitBroken({ account, demand }: Want, room: (name: string) => number): string | undefined {
  for (const name in account.limits) if ((demand[name] ?? 0) > room(name)) return describeLimit(name, account.limits[name]!);
  return undefined;
}

function beyondLimits(want: Want): Obstacle {
  const limit = limitBroken(want, (name) => want.account.limits[name]!)!;
  return {
    code: "INFEASIBLE",
    message:
      `${want.what} waits: it needs ${describeResources(want.demand)}, and its job may have ${limit} at a time. ` +
      "It will never run; cancel it, ask for less, or start the job with a higher limit.",
  };
}

function limitHeld(want: Want): Obstacle {
  const limit = limitBroken(want, (name) => want.account.limits[name]! - want.account.lifeOf(name))!;
  return {
    code: "RESOURCES_HELD",
    message: `${want.what} waits: its job's limit of ${limit} is used, by actors and placement groups for as long as they live.`,
  };
}

function limitOf(want: Want): Obstacle | undefined {
  if (!isLimited(want)) return undefined;
  const limit = limitBroken(want, (name) => (want.account.granted[name] ?? 0) - (want.account.used[name] ?? 0))!;
  return { code: "RESOURCES_HELD", message: `${want.what} waits: its job's limit of ${limit} is used.` };
}
