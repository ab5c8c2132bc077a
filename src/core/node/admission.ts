/**
 * From a message to a waiting request, or to the reason why it will never be served. Demands that no node meets now are
 * let in: they wait, with a warning. What is refused could not be right later either.
 */
import type { ProcessId } from "../../protocol/ids.ts";
import type { Body, Failure, JobTerms, LeaseShape, ResourceAmounts } from "../../protocol/messages.ts";
import { envKeyOf } from "./environments.ts";
import { groupLabel } from "./groups.ts";
import type { ActorId, JobId } from "../../protocol/ids.ts";
import type { NodeState, Want } from "./state.ts";

/** What control asks for one incarnation of an actor. */
export interface ActorRequest {
  readonly actorId: ActorId;
  readonly epoch: number;
  readonly jobId: JobId;
  /** Of its job, where they are not the usual ones. */
  readonly terms?: JobTerms | undefined;
  /** Who made the actor: its turn in the queue. */
  readonly owner: ProcessId;
  readonly className: string;
  readonly shape: LeaseShape;
  readonly resources: Readonly<ResourceAmounts>;
  readonly placementResources: Readonly<ResourceAmounts>;
}

export function leaseWant(s: NodeState, owner: ProcessId, body: Body<"leaseRequest">, now: number): Want {
  const { shape } = body;
  return {
    ...fromShape("lease", body.jobId, shape),
    id: `lease ${body.requestId}`,
    owner,
    account: s.jobs.of(body.jobId),
    demand: withoutZeros(shape.resources),
    what: `task ${shape.name}`,
    since: now,
    lease: { requestId: body.requestId, shape, over: body.over, near: body.near },
  };
}

export const actorWantId = (actorId: ActorId, epoch: number): string => `actor ${actorId} ${epoch}`;

export function actorWant(s: NodeState, request: ActorRequest, now: number): Want {
  const demand: ResourceAmounts = withoutZeros(request.resources);
  for (const name in request.placementResources) {
    const amount = Math.max(demand[name] ?? 0, request.placementResources[name]!);
    if (amount > 0) demand[name] = amount;
  }
  const shape = { ...request.shape, resources: demand };
  return {
    ...fromShape("actor", request.jobId, shape),
    id: actorWantId(request.actorId, request.epoch),
    owner: request.owner,
    account: s.jobs.of(request.jobId),
    demand,
    what: `actor ${request.className}`,
    since: now,
    actor: { actorId: request.actorId, epoch: request.epoch, life: withoutZeros(request.resources) },
  };
}

/** Why it can never run here, if so. */
export function refusal(s: NodeState, want: Want): Failure | undefined {
  const { strategy } = want;
  if (strategy.kind === "affinity" && !strategy.soft && strategy.nodeId !== s.config.nodeId) {
    return { code: "NODE_DIED", message: `${want.what} may only run on node ${strategy.nodeId}, which is not part of this cluster` };
  }
  if (strategy.kind !== "group") return undefined;
  const group = s.groups.get(strategy.groupId);
  if (group === undefined) {
    return {
      code: "PLACEMENT",
      message: `${want.what} is to run in placement group ${strategy.groupId}, which is not there: it was removed`,
    };
  }
  if (group.failure !== undefined) return { code: "PLACEMENT", message: `${want.what} cannot run: ${group.failure.message}` };
  if (strategy.bundleIndex < group.count) return undefined;
  return {
    code: "PLACEMENT",
    message: `${want.what} asks for bundle ${strategy.bundleIndex} of ${groupLabel(group)}, which has ${group.count}`,
  };
}

function fromShape(kind: "lease" | "actor", jobId: JobId, shape: LeaseShape) {
  const env = envKeyOf(shape.envVars, shape.environment);
  const { strategy, labelSelector, priority, name } = shape;
  const resources = sorted(withoutZeros(shape.resources));
  const classKey = JSON.stringify([kind, jobId, name, priority, env, strategy, sorted(labelSelector), resources]);
  return { kind, classKey, priority, env, strategy, labelSelector };
}

function withoutZeros(amounts: Readonly<ResourceAmounts>): ResourceAmounts {
  const out: ResourceAmounts = Object.create(null);
  for (const name in amounts) if (amounts[name]! > 0) out[name] = amounts[name]!;
  return out;
}

const sorted = (record: Readonly<Record<string, unknown>> | undefined): unknown =>
  record === undefined ? null : Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1));
