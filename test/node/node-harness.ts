/** A NodeMachine with a port that writes down what it did, and short ways to give it events. Not a simulator. */
import { NodeMachine } from "../../src/core/node/node.ts";
import type { NodeConfig, NodePort } from "../../src/core/node/state.ts";
import type { ActorRequest } from "../../src/core/node/admission.ts";
import { parseResources } from "../../src/core/resources.ts";
import type { ActorId, JobId, LeaseId, LeaseRequestId, NodeId, PlacementGroupId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, DeathReason, LeaseShape, MessageName, ResourceAmounts } from "../../src/protocol/messages.ts";

export interface Sent {
  readonly to: ProcessId;
  readonly name: MessageName;
  readonly body: Record<string, unknown>;
}

export const JOB = "job1" as JobId;
export const DRIVER = "dddddddddd01" as ProcessId;

export function amounts(values: Record<string, number>): ResourceAmounts {
  const parsed = parseResources(values);
  if ("bad" in parsed) throw new Error(`no amount: ${parsed.bad}`);
  return parsed.ok;
}

export function shape(values: Record<string, number> = { CPU: 1 }, more: Partial<LeaseShape> = {}): LeaseShape {
  return { resources: amounts(values), strategy: { kind: "default" }, name: "f", priority: 0, ...more };
}

export class NodeHarness {
  now = 1000;
  readonly sent: Sent[] = [];
  readonly spawned: { id: ProcessId; envVars: Readonly<Record<string, string>> }[] = [];
  readonly environments: string[] = [];
  readonly killed: { id: ProcessId; reason: DeathReason }[] = [];
  readonly placed: { actorId: ActorId; epoch: number; worker: ProcessId; gpuIds: number[] }[] = [];
  readonly unplaced: { actorId: ActorId; code: string }[] = [];
  readonly prepared: { groupId: PlacementGroupId; attempt: number; ok: boolean }[] = [];
  readonly machine: NodeMachine;

  constructor(total: Record<string, number>, config: Partial<NodeConfig> = {}) {
    const port: NodePort = {
      send: (to, name, body) => void this.sent.push({ to, name, body }),
      spawnWorker: (id, envVars) => void this.spawned.push({ id, envVars }),
      prepareEnvironment: (environment) => void this.environments.push(`prepare ${environment}`),
      releaseEnvironment: (environment) => void this.environments.push(`release ${environment}`),
      killWorker: (id, reason) => void this.killed.push({ id, reason }),
      actorPlaced: (actorId, epoch, { worker, gpuIds }) => void this.placed.push({ actorId, epoch, worker: worker.processId, gpuIds }),
      actorUnplaced: (actorId, _epoch, failure) => void this.unplaced.push({ actorId, code: failure.code }),
      bundlesPrepared: (groupId, attempt, ok) => void this.prepared.push({ groupId, attempt, ok }),
    };
    this.machine = new NodeMachine(
      {
        nodeId: "aaaaaa00000f" as NodeId,
        total: amounts(total),
        labels: {},
        workers: Math.max(1, Math.floor(total.CPU ?? 1)),
        ...config,
      },
      port,
    );
    this.machine.driverJoined(DRIVER, JOB);
  }

  /** Starts the pool and lets all its workers register. */
  ready(): this {
    this.machine.prestart([], this.now);
    this.helloAll();
    return this;
  }

  helloAll(): void {
    for (const { id } of this.spawned.splice(0)) this.hello(id);
  }

  hello(id: ProcessId): void {
    this.machine.workerJoined({ processId: id, pid: 1, socket: `${id}.sock` }, this.now);
    this.check();
  }

  request(id: string, what: LeaseShape = shape(), from: ProcessId = DRIVER): void {
    this.machine.leaseRequest(from, { requestId: id as LeaseRequestId, jobId: JOB, shape: what, backlog: 1 }, this.now);
    this.check();
  }

  release(leaseId: LeaseId, retire = false, from: ProcessId = DRIVER): void {
    this.machine.leaseReturn(from, { leaseId, retire }, this.now);
    this.check();
  }

  blocked(grant: Body<"leaseGrant">, turn: number): void {
    this.machine.taskBlocked(grant.worker.processId, { leaseId: grant.leaseId, turn }, this.now);
    this.check();
  }

  unblocked(grant: Body<"leaseGrant">, turn: number): void {
    this.machine.taskUnblocked(grant.worker.processId, { leaseId: grant.leaseId, turn }, this.now);
    this.check();
  }

  /** Workers that were asked whether an actor may have them, and have not answered. */
  asked(): ProcessId[] {
    return this.sent.filter(({ name }) => name === "spareRequest").map(({ to }) => to);
  }

  /** All of those answer. */
  answers(spare = true): void {
    const asked = this.asked();
    this.take("spareRequest");
    for (const id of asked) {
      this.machine.spareAnswer(id, { spare }, this.now);
      this.check();
    }
  }

  lost(id: ProcessId, reason: DeathReason = { cause: "signal", message: "killed by SIGKILL", signal: "SIGKILL" }): void {
    this.machine.workerLost(id, reason, this.now);
    this.machine.ownerLost(id, this.now);
    this.check();
  }

  actor(
    id: string,
    values: { life?: Record<string, number>; place?: Record<string, number> } = {},
    more: Partial<ActorRequest> = {},
  ): void {
    this.machine.placeActor(
      {
        actorId: id as ActorId,
        epoch: 1,
        jobId: JOB,
        owner: DRIVER,
        className: "A",
        shape: shape({}),
        resources: amounts(values.life ?? {}),
        placementResources: amounts(values.place ?? { CPU: 1 }),
        ...more,
      },
      this.now,
    );
    this.check();
  }

  /** Lets time pass, waking the machine whenever it asks for it. */
  pass(ms: number): void {
    const end = this.now + ms;
    for (let at = this.machine.nextDeadline(); at !== undefined && at <= end; at = this.machine.nextDeadline()) {
      this.now = Math.max(this.now, at);
      this.machine.tick(this.now);
      this.check();
    }
    this.now = end;
  }

  check(): void {
    this.machine.check(this.now);
  }

  /** Messages of one name so far; they are taken out. */
  take<N extends MessageName>(name: N, to?: ProcessId): Body<N>[] {
    const found = this.sent.filter((each) => each.name === name && (to === undefined || each.to === to));
    for (const each of found) this.sent.splice(this.sent.indexOf(each), 1);
    return found.map((each) => each.body as Body<N>);
  }

  grants(to?: ProcessId): Body<"leaseGrant">[] {
    return this.take("leaseGrant", to);
  }

  /** The one grant since the last look. */
  grant(to?: ProcessId): Body<"leaseGrant"> {
    const grants = this.grants(to);
    if (grants.length !== 1) throw new Error(`${grants.length} grants instead of one`);
    return grants[0]!;
  }

  get free(): Record<string, number> {
    return Object.fromEntries(Object.entries(this.machine.free).map(([name, units]) => [name, units / 10_000]));
  }
}
