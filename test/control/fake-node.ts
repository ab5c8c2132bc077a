/**
 * A node for tests of control: the real link and hub, and in place of machines and workers a few lines that do at once what a node
 * does in the end. It remembers everything that it was told.
 */
import { randomBytes } from "node:crypto";
import type { TestContext } from "node:test";
import type { ActorId, FunctionId, JobId, NodeId, ProcessId } from "../../src/protocol/ids.ts";
import { actorId, driverId, workerId } from "../../src/protocol/ids.ts";
import type { LivingActor, NodeView } from "../../src/protocol/cluster.ts";
import type { ActorOptions, ActorStatus, Body, DeathReason, MessageName } from "../../src/protocol/messages.ts";
import { decodeBody } from "../../src/protocol/wire.ts";
import { ControlLink } from "../../src/runtime/daemon/control-link.ts";
import { CONTROL_ID, listen, LinkHub, tokenCredential } from "../../src/runtime/network/index.ts";
import type { Address, Credential, Listener } from "../../src/runtime/network/index.ts";
import { token } from "../network/ports.ts";
import { waitUntil } from "../harness/index.ts";
import { amounts, shape } from "../node/node-harness.ts";

export const CLUSTER = "c1";
const HOST = "127.0.0.1";

export interface NodeOptions {
  readonly cpus?: number;
  readonly labels?: Record<string, string>;
  readonly waitMs?: number;
  readonly credentials?: Credential;
  /** Actors get no worker. */
  readonly full?: boolean;
}

export class FakeNode {
  readonly nodeId = randomBytes(6).toString("hex") as NodeId;
  readonly driver = driverId(this.nodeId, "000001");
  readonly jobId = `job-${this.nodeId}` as JobId;
  readonly link: ControlLink;
  readonly hub: LinkHub;
  readonly told: { to: ProcessId; name: MessageName; body: never }[] = [];
  readonly placed = new Map<ActorId, LivingActor>();
  readonly started: string[] = [];
  readonly gone: NodeId[] = [];
  readonly endedJobs: JobId[] = [];
  readonly over = new Set<ActorId>();
  readonly processes = new Set<ProcessId>([this.driver]);
  readonly states = new Map<ActorId, ActorStatus>();
  readonly orders: Body<"jobOrder">[] = [];
  joins = 0;
  drains = 0;
  lost: Error | undefined;
  full: boolean;
  readonly #options: NodeOptions;
  #listener!: Listener;
  #workers = 0;
  #actors = 0;
  #calls = 0;

  static async start(t: TestContext, addresses: readonly Address[], options: NodeOptions = {}): Promise<FakeNode> {
    const node = new FakeNode(addresses, options);
    t.after(() => node.stop());
    node.#listener = await listen({
      host: HOST,
      port: 0,
      credentials: options.credentials ?? tokenCredential(token),
      clusterId: CLUSTER,
      self: { role: "node", id: node.nodeId, incarnation: 1 },
      onConnection: (connection) => node.hub.accept(connection),
    });
    node.link.start();
    return node;
  }

  static async join(t: TestContext, addresses: readonly Address[], options: NodeOptions = {}): Promise<FakeNode> {
    const node = await FakeNode.start(t, addresses, options);
    await waitUntil(() => node.link.isMember, "the node is a member", { story: () => String(node.lost) });
    return node;
  }

  private constructor(addresses: readonly Address[], options: NodeOptions) {
    this.#options = options;
    this.full = options.full === true;
    this.hub = new LinkHub({
      self: { role: "node", id: this.nodeId, incarnation: 1 },
      clusterId: CLUSTER,
      credentials: options.credentials ?? tokenCredential(token),
      onMessage: (from, name, body) => {
        if (from.role === "control") this.link.receive(name, body);
      },
      onPeerRestarted: (id, incarnation) => void (id === CONTROL_ID && this.link.peerRestarted(incarnation)),
      onEnded: (id, reason) => void (id === CONTROL_ID && this.link.linkEnded(reason)),
      onTrouble: (id, error) => void (id === CONTROL_ID && this.link.linkTrouble(error)),
    });
    this.link = new ControlLink({
      nodeId: this.nodeId,
      hub: this.hub,
      addresses,
      ...(options.waitMs === undefined ? {} : { waitMs: options.waitMs }),
      self: () => this.#view(),
      living: () => ({ processes: [...this.processes], actors: [...this.placed.values()], bundles: [], uses: [] }),
      status: () => ({ free: this.#view().free, queued: {}, pending: [], uses: [] }),
      events: {
        message: (to, name, body) => this.#message(to, name, body),
        place: (request) => this.#place(request.actorId, request.epoch),
        unplace: (id, epoch) => {
          if (this.placed.get(id)?.epoch === epoch) this.killWorker(this.placed.get(id)!.worker.processId);
        },
        over: (id) => void this.over.add(id),
        give: ({ to, code, body }) => this.#give(to, code, body),
        alias: () => {},
        actorNews: () => {},
        givenInAll: () => {},
        group: () => {},
        groupsChanged: () => {},
        jobEnded: (id) => void this.endedJobs.push(id),
        controlAt: () => {},
        jobOrder: (body) => void this.orders.push(body),
        jobShare: () => {},
        controlChanged: () => {},
        drain: () => void this.drains++,
        viewChanged: () => {},
        nodeGone: ({ nodeId }) => void this.gone.push(nodeId),
        joined: () => void this.joins++,
        lost: (error) => void (this.lost = error),
      },
    });
  }

  /** Where it would look for control. */
  controls(): number {
    return this.link.controls;
  }

  stop(): void {
    this.link.stop();
    this.hub.close();
    this.#listener?.close();
  }

  startJob(more: Partial<Body<"jobStart">["job"]> = {}): void {
    const { jobId, driver } = this;
    this.link.jobStart({ jobId, driver, namespace: "n", execArgv: [], envVars: {}, weight: 1, priority: 0, ...more });
  }

  /** Declares and creates an actor in the name of the driver. */
  actor(options: Partial<ActorOptions> = {}, more: Partial<Body<"actorDeclare">> = {}, args = new Uint8Array()): ActorId {
    const id = actorId(this.driver, this.#actors++);
    this.link.declare(this.driver, {
      actorId: id,
      jobId: this.jobId,
      className: "Counter",
      shape: shape({}),
      options: {
        namespace: "n",
        detached: false,
        getIfExists: false,
        maxRestarts: 0,
        maxConcurrency: 1,
        resources: {},
        placementResources: amounts({ CPU: 1 }),
        ...options,
      },
      ...more,
    });
    const definition = new Uint8Array(10);
    this.link.create(this.driver, { actorId: id, functionId: "f" as FunctionId, definition, args, argPayloads: [] });
    return id;
  }

  /** The answer to a question of the driver. */
  async ask(question: Body<"ask">["question"]): Promise<Body<"answer">> {
    const call = this.#calls++;
    if (question.kind === "actorByName") this.link.byName(this.driver, call, question.name, question.namespace);
    else if (question.kind === "actorKill") this.link.kill(this.driver, call, question);
    else this.link.askGroup(this.driver, call, question as never);
    return await waitUntil(
      () =>
        this.told.find(({ name, body }) => name === "answer" && (body as Body<"answer">).call === call)?.body as Body<"answer"> | undefined,
      `there is an answer to ${question.kind}`,
      { timeoutMs: 120_000 },
    );
  }

  killWorker(worker: ProcessId, reason: DeathReason = { cause: "signal", message: "killed by SIGKILL", signal: "SIGKILL" }): void {
    for (const [id, actor] of this.placed) if (actor.worker.processId === worker) this.placed.delete(id);
    this.processes.delete(worker);
    this.link.workerLost(worker, reason);
    this.link.processLost(worker);
  }

  async state(id: ActorId, kind: ActorStatus["kind"]): Promise<ActorStatus> {
    await waitUntil(() => this.states.get(id)?.kind === kind, `actor ${id} is ${kind}`, {
      timeoutMs: 120_000,
      story: () => `${JSON.stringify(this.states.get(id))} on ${this.nodeId}, lost: ${String(this.lost)}`,
    });
    return this.states.get(id)!;
  }

  #view(): Omit<NodeView, "state" | "version"> {
    const total = amounts({ CPU: this.#options.cpus ?? 4 });
    return {
      nodeId: this.nodeId,
      host: HOST,
      port: this.#listener.port,
      hostname: "here",
      pid: process.pid,
      socket: "",
      machine: "m",
      head: false,
      labels: this.#options.labels ?? {},
      total,
      free: total,
      queued: {},
      pending: [],
    };
  }

  #place(id: ActorId, epoch: number): void {
    if (this.full || this.placed.get(id)?.epoch === epoch) return;
    const processId = workerId(this.nodeId, this.#workers++);
    this.processes.add(processId);
    const worker = { processId, pid: 1, socket: "s" };
    this.placed.set(id, { actorId: id, epoch, worker, assigned: {}, gpuIds: [] });
    this.link.placed(id, epoch, { worker, assigned: {}, gpuIds: [] });
  }

  #message(to: ProcessId, name: MessageName, body: never): void {
    this.told.push({ to, name, body });
    if (name === "actorState" && to === this.driver) {
      const { actorId: id, status } = body as Body<"actorState">;
      this.states.set(id, status);
    }
    if (name !== "actorStart") return;
    const { actorId: id, epoch } = body as Body<"actorStart">;
    this.started.push(`${id} ${epoch}`);
    this.link.started(to, { actorId: id, epoch });
  }

  /** As the home of an actor. In these tests only processes of the same node ask for it. */
  #give(to: ProcessId, code: number, bytes: Uint8Array): void {
    const { name, body } = decodeBody(code, bytes);
    if (name === "answer" && !this.link.answered(to, (body as Body<"answer">).call)) return;
    this.#message(to, name, body);
  }
}
