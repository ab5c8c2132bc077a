/** What commands ask control. Shapes are those of the command line's `--json` (docs/cli.md). */
import { inWholes } from "../../core/resources.ts";
import type { ClusterControl } from "../../core/control/cluster-control.ts";
import { InvalidOptionError } from "../../errors/index.ts";
import type { NodeView } from "../../protocol/cluster.ts";
import type { JobId, NodeId } from "../../protocol/ids.ts";
import type { Question } from "../network/index.ts";
import { answerJobs, isJobQuestion } from "./job-questions.ts";
import { answerValues, isValueQuestion } from "./value-questions.ts";

export interface ClusterStatus {
  readonly control: {
    readonly pid: number;
    readonly address: string;
    readonly role: "leader";
    readonly epoch: number;
    readonly standbys: readonly string[];
  };
  readonly nodes: readonly NodeStatus[];
  readonly resources: { readonly total: Record<string, number>; readonly available: Record<string, number> };
  readonly pending: readonly { readonly resources: Record<string, number>; readonly count: number; readonly reason: string }[];
  /** Where the HTTP API is; null while there is no head. */
  readonly dashboardUrl: string | null;
}

export interface NodeStatus {
  readonly nodeId: string;
  readonly address: string;
  readonly hostname: string;
  readonly alive: boolean;
  readonly state: "alive" | "draining" | "dead";
  readonly head: boolean;
  readonly pid: number;
  readonly resources: { readonly total: Record<string, number>; readonly available: Record<string, number> };
  readonly labels: Readonly<Record<string, string>>;
}

export interface ControlSource {
  readonly address: string;
  readonly epoch: number;
  readonly machine: ClusterControl;
  /** The head; undefined when it keeps itself. */
  readonly keptBy: NodeId | undefined;
  /** Where others wait to lead. */
  readonly standbys: readonly string[];
  act<T>(event: (machine: ClusterControl, now: number) => T): Promise<T>;
  /** Resolves when the job changes, or after so long. */
  jobChanged(id: JobId, ms: number): Promise<void>;
}

/** What whoever has the token of a submitted job may ask: nothing that changes the cluster. */
const QUESTIONS_OF_JOBS: readonly string[] = ["status", "events"];

/** `job`: the asker has the token of that job, and not the cluster's. */
export async function answerControl(source: ControlSource, question: Question, job?: JobId): Promise<unknown> {
  if (job !== undefined && !QUESTIONS_OF_JOBS.includes(question.kind)) {
    const message = `The token of a job does not allow this (${question.kind}). Do it from outside of the job, with the cluster's token.`;
    throw new InvalidOptionError(message, { option: "token", value: job });
  }
  if (isJobQuestion(question.kind)) return await answerJobs(source, question.kind, question);
  if (isValueQuestion(question.kind)) return await answerValues(source, question.kind, question);
  switch (question.kind) {
    case "status":
      return statusOf(source);
    case "events":
      return source.machine.history.events;
    case "drain": {
      const nodeId = String(question["nodeId"]) as NodeId;
      const timeoutMs = Number(question["timeoutMs"] ?? 60_000);
      const there = await source.act((machine, now) => machine.drain(nodeId, timeoutMs, now));
      if (!there)
        throw new InvalidOptionError(`There is no living node ${nodeId}. See: mobula list nodes`, { option: "NODE_ID", value: nodeId });
      return { nodeId };
    }
    default:
      throw new InvalidOptionError(`Control answers no question ${question.kind}.`, { option: "kind", value: question.kind });
  }
}

function statusOf({ machine, address, epoch, keptBy, standbys }: ControlSource): ClusterStatus {
  const views = machine.members.views;
  const nodes = views.map(({ nodeId, host, port, hostname, state, head, pid, total, free, labels }) => ({
    nodeId,
    address: `${host}:${port}`,
    hostname,
    alive: state !== "dead",
    state,
    // Who was the head of an earlier control is none any more.
    head: keptBy === undefined ? head : nodeId === keptBy,
    pid,
    resources: { total: inWholes(total), available: inWholes(free) },
    labels,
  }));
  const living = nodes.filter(({ alive }) => alive);
  return {
    control: { pid: process.pid, address, role: "leader", epoch, standbys },
    nodes,
    resources: { total: sum(living.map((node) => node.resources.total)), available: sum(living.map((node) => node.resources.available)) },
    pending: together(views.flatMap(({ pending }) => pending)),
    dashboardUrl: urlOf(views, keptBy),
  };
}

/** Of the head; one of before may not be given up yet. */
function urlOf(views: readonly NodeView[], keptBy: NodeId | undefined): string | null {
  const having = views.filter(({ state, dashboardUrl: url }) => state !== "dead" && url !== undefined);
  return (keptBy === undefined ? having.at(-1) : having.find(({ nodeId }) => nodeId === keptBy))?.dashboardUrl ?? null;
}

function sum(all: readonly Record<string, number>[]): Record<string, number> {
  const result: Record<string, number> = {};
  // Amounts are exact in ten-thousandths.
  for (const each of all) {
    for (const [name, amount] of Object.entries(each)) result[name] = Math.round(((result[name] ?? 0) + amount) * 1e4) / 1e4;
  }
  return result;
}

/** Equal demands of several nodes are one line. */
function together(all: readonly { resources: Record<string, number>; count: number; reason: string }[]): ClusterStatus["pending"] {
  const found = new Map<string, { resources: Record<string, number>; count: number; reason: string }>();
  for (const { resources, count, reason } of all) {
    const key = JSON.stringify([resources, reason]);
    const known = found.get(key);
    if (known === undefined) found.set(key, { resources: inWholes(resources), count, reason });
    else known.count += count;
  }
  return [...found.values()];
}
