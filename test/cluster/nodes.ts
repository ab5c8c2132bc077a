/** Views of nodes for tests, and many node machines with their lease routers on a small virtual network. */
import { LeaseRouter } from "../../src/core/cluster/lease-router.ts";
import { ClusterView } from "../../src/core/cluster/view.ts";
import { NodeMachine } from "../../src/core/node/node.ts";
import { Members } from "../../src/core/control/members.ts";
import type { NodeView } from "../../src/protocol/cluster.ts";
import type { JobId, LeaseRequestId, NodeId, ProcessId } from "../../src/protocol/ids.ts";
import { driverId } from "../../src/protocol/ids.ts";
import type { Body, MessageName } from "../../src/protocol/messages.ts";
import { amounts, shape } from "../node/node-harness.ts";

export const nodeIdOf = (i: number): NodeId => `${i.toString(16).padStart(6, "0")}00000f` as NodeId;

export function viewOf(i: number, more: Partial<NodeView> = {}): NodeView {
  return {
    nodeId: nodeIdOf(i),
    host: "127.0.0.1",
    port: 1000 + i,
    hostname: "here",
    pid: i,
    socket: "",
    machine: "m",
    head: i === 0,
    state: "alive",
    labels: {},
    total: amounts({ CPU: 2 }),
    free: amounts({ CPU: 2 }),
    queued: {},
    pending: [],
    version: 1,
    ...more,
  };
}

/** A repeatable sequence of numbers in [0, 1): the generator of Park and Miller. */
export function chanceFrom(seed: number): () => number {
  let state = (seed % 2_147_483_646) + 1;
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
}

interface Machine {
  readonly id: NodeId;
  readonly machine: NodeMachine;
  readonly view: ClusterView;
  readonly router: LeaseRouter;
  alive: boolean;
}

interface Event {
  readonly at: number;
  readonly run: () => void;
}

/** Every message takes a while; each hop in order. Workers answer at once, and hold a lease for `runMs`. */
export class Cluster {
  now = 0;
  readonly nodes: Machine[] = [];
  readonly members: Members;
  readonly granted = new Map<LeaseRequestId, ProcessId>();
  readonly rejected = new Map<LeaseRequestId, string>();
  readonly grants = new Map<NodeId, number>();
  readonly driver = driverId(nodeIdOf(0), "000001");
  readonly #queue: Event[] = [];
  /** When the last message of each way arrives: ways keep the order. */
  readonly #ways = new Map<string, number>();
  readonly #chance: () => number;
  readonly runMs: number;
  /** What is said to other owners than the driver. */
  heard: (to: ProcessId, name: MessageName, body: never) => void = () => {};

  constructor(seed: number, sizes: readonly Record<string, number>[], runMs: number) {
    this.#chance = chanceFrom(seed);
    this.runMs = runMs;
    this.members = new Members(
      {
        joined: (to, { nodes }) => this.#message(`control ${to}`, () => this.#news(to, nodes)),
        changed: (to, { nodes }) => this.#message(`control ${to}`, () => this.#news(to, nodes)),
        nodeGone: () => {},
        kept: () => {},
        probe: () => {},
        event: () => {},
      },
      1,
    );
    sizes.forEach((total, i) => this.#add(i, total));
  }

  later(ms: number, run: () => void): void {
    this.#queue.push({ at: this.now + ms * (0.5 + this.#chance()), run });
  }

  #message(way: string, run: () => void): void {
    const at = Math.max(this.#ways.get(way) ?? 0, this.now + 0.5 + this.#chance());
    this.#ways.set(way, at);
    this.#queue.push({ at, run });
  }

  /** Runs until nothing is left to do before `until`. */
  run(until: number): void {
    for (;;) {
      let next: Event | undefined;
      for (const event of this.#queue) if (next === undefined || event.at < next.at) next = event;
      if (next === undefined || next.at > until) break;
      this.#queue.splice(this.#queue.indexOf(next), 1);
      this.now = Math.max(this.now, next.at);
      next.run();
      for (const { machine, router, alive } of this.nodes) {
        if (alive) machine.check(this.now);
        router.check();
      }
      this.members.check();
    }
    this.now = until;
  }

  request(id: string, more: Parameters<typeof shape>[1] = {}, resources: Record<string, number> = { CPU: 1 }): void {
    const body = { requestId: id as LeaseRequestId, jobId: "job" as JobId, shape: shape(resources, more), backlog: 1 };
    this.nodes[0]!.router.leaseRequest(this.driver, body, this.now);
  }

  #add(i: number, total: Record<string, number>): void {
    const id = nodeIdOf(i);
    const view = new ClusterView(id);
    const config = { nodeId: id, total: amounts(total), labels: {}, workers: total["CPU"] ?? 1 };
    const machine: NodeMachine = new NodeMachine(config, {
      send: (to, name, body) => this.#message(`${id} ${to}`, () => this.#sent(to, name, body)),
      spawnWorker: (worker) =>
        this.later(5, () => {
          if (node.alive) machine.workerJoined({ processId: worker, pid: 1, socket: "" }, this.now);
        }),
      killWorker: (worker, reason) => this.later(1, () => machine.workerLost(worker, reason, this.now)),
      prepareEnvironment: () => {},
      releaseEnvironment: () => {},
      actorPlaced: () => {},
      actorUnplaced: () => {},
      bundlesPrepared: () => {},
    });
    const at = (to: NodeId, run: (node: Machine) => void): void =>
      this.#message(`${id} ${to}`, () => {
        const node = this.nodes.find((each) => each.id === to)!;
        if (node.alive) run(node);
      });
    const router = new LeaseRouter(machine, view, {
      forward: (to, from, hops, body) => {
        const terms = machine.termsOf(body.jobId);
        at(to, (node) => {
          node.machine.jobKnown(body.jobId, terms);
          node.router.leaseRequest(from, body, this.now, hops);
        });
      },
      relay: (to, from, name, body) => at(to, (node) => node.router[name](from, body as never, this.now)),
      reject: (_to, body) => void this.rejected.set(body.requestId, body.failure.code),
      processIsGone: () => {},
      chance: this.#chance,
    });
    const node: Machine = { id, machine, view, router, alive: true };
    this.nodes.push(node);
    if (i === 0) machine.driverJoined(this.driver, "job" as JobId);
    this.members.join(viewOf(i, { total: amounts(total), free: amounts(total) }), this.now);
    this.#clock(node);
  }

  #clock(node: Machine): void {
    this.later(20, () => {
      if (!node.alive) return;
      const due = node.machine.nextDeadline();
      if (due !== undefined && due <= this.now) node.machine.tick(this.now);
      node.router.rebalance(this.now);
      const { free } = node.machine;
      this.later(1, () => this.members.status(node.id, { free: { ...free }, queued: node.machine.queued(), pending: [] }, this.now));
      const members = this.members.nextDeadline();
      if (members !== undefined && members <= this.now) this.members.tick(this.now);
      this.#clock(node);
    });
  }

  #news(to: NodeId, nodes: readonly NodeView[]): void {
    const node = this.nodes.find(({ id }) => id === to);
    if (node?.alive !== true) return;
    for (const view of nodes) {
      if (node.view.update(view) && view.state === "dead") node.router.nodeLost(view.nodeId, this.now);
    }
    node.router.rebalance(this.now);
  }

  #sent(to: ProcessId, name: MessageName, body: unknown): void {
    if (to !== this.driver) {
      if (name === "leaseGrant") this.nodes[0]!.router.settled((body as Body<"leaseGrant">).requestId);
      return this.heard(to, name, body as never);
    }
    const driverNode = this.nodes[0]!;
    if (name === "leaseReject") {
      const { requestId, failure } = body as Body<"leaseReject">;
      driverNode.router.settled(requestId);
      this.rejected.set(requestId, failure.code);
    }
    if (name !== "leaseGrant") return;
    const { requestId, leaseId, worker } = body as Body<"leaseGrant">;
    driverNode.router.settled(requestId);
    if (this.granted.has(requestId)) return;
    this.granted.set(requestId, worker.processId);
    const at = driverNode.view.nodeOf(worker.processId)!;
    this.grants.set(at, (this.grants.get(at) ?? 0) + 1);
    this.later(this.runMs, () => driverNode.router.leaseReturn(this.driver, { leaseId, retire: false }, this.now));
  }

  kill(i: number): void {
    this.nodes[i]!.alive = false;
  }
}
