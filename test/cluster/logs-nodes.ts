/** Nodes of the world of logs: logs-world.ts. */
import assert from "node:assert/strict";
import { ClusterView } from "../../src/core/cluster/view.ts";
import type { ActorClient } from "../../src/core/owner/actor-client.ts";
import type { Owner } from "../../src/core/owner/owner.ts";
import type { Task } from "../../src/core/owner/task.ts";
import { prefixOf } from "../../src/protocol/ids.ts";
import type { NodeId, NodePrefix, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, MessageName, Payload } from "../../src/protocol/messages.ts";
import { codeOf, decodeBody, encodeBody } from "../../src/protocol/wire.ts";
import { Router } from "../../src/runtime/cluster/router.ts";
import type { NodeMessage } from "../../src/runtime/cluster/router.ts";
import { Machines } from "../../src/runtime/daemon/machines.ts";
import { amounts } from "../node/node-harness.ts";
import { nodeIdOf } from "./nodes.ts";

export type Wire = (() => void)[];

export interface Way {
  readonly owner: SimOwner;
  readonly worker: SimWorker;
  readonly wire: Wire;
  /** Nothing comes through any more. */
  cut: boolean;
  /** What came and has not begun is void. */
  closed: boolean;
}

export interface SimOwner {
  readonly kind: "owner";
  readonly id: ProcessId;
  readonly node: SimNode;
  readonly owner: Owner;
  readonly client: ActorClient;
  readonly toNode: Wire;
  readonly fromNode: Wire;
  readonly tasks: Task[];
  readonly failed: Map<Task, string>;
  /** Refs in answers. */
  readonly holds: Set<ObjectId>;
  alive: boolean;
  puts: number;
}

export interface SimWorker {
  readonly kind: "worker";
  readonly id: ProcessId;
  readonly node: SimNode;
  readonly toNode: Wire;
  readonly fromNode: Wire;
  readonly queue: { way: Way; push: Pushed }[];
  start: Body<"actorStart"> | undefined;
  state: string[];
  live: boolean;
  since: number;
  made: number;
  alive: boolean;
}

export interface Pushed {
  readonly seq: number;
  readonly counter: number;
  readonly attempt: number;
  readonly args: Payload & { readonly kind: "inline" };
}

export interface SimNode {
  readonly nodeId: NodeId;
  readonly prefix: NodePrefix;
  readonly machines: Machines;
  readonly router: Router;
  readonly view: ClusterView;
  readonly links: Map<NodePrefix, Wire>;
  readonly toControl: Wire;
  readonly fromControl: Wire;
  readonly procs: Map<ProcessId, SimOwner | SimWorker>;
  readonly bytes: Map<ObjectId, Uint8Array>;
  readonly gone: Set<NodePrefix>;
  readonly started: Set<string>;
  workers: number;
  alive: boolean;
}

export interface NodeWorld {
  readonly nodes: readonly SimNode[];
  wire(): Wire;
  deliver(node: SimNode, to: ProcessId, name: MessageName, body: unknown): boolean;
  keepHere(node: SimNode, id: ObjectId, answer: (why: string | undefined) => void): void;
  now(): number;
}

/** With the machines, the router and the tables of production. */
export function makeNode(world: NodeWorld, i: number): SimNode {
  const nodeId = nodeIdOf(i);
  const prefix = prefixOf(nodeId);
  const node = {
    nodeId,
    prefix,
    view: new ClusterView(nodeId),
    links: new Map<NodePrefix, Wire>(),
    toControl: world.wire(),
    fromControl: world.wire(),
    procs: new Map<ProcessId, SimOwner | SimWorker>(),
    bytes: new Map<ObjectId, Uint8Array>(),
    gone: new Set<NodePrefix>(),
    started: new Set<string>(),
    workers: 1,
    alive: true,
  } as Omit<SimNode, "machines" | "router"> as SimNode & { machines: Machines; router: Router };
  node.machines = new Machines(
    { nodeId, total: amounts({ CPU: 2 }), labels: {}, workers: 0 },
    {
      send: (to, name, body) => {
        if (!world.deliver(node, to, name, body) && prefixOf(to) !== prefix) node.router.send(to, name as never, body as never);
      },
      spawnWorker: () => {},
      killWorker: () => {},
      prepareEnvironment: () => {},
      releaseEnvironment: () => {},
      freeStored: (id) => void node.bytes.delete(id),
      keepHere: (id, answer) => world.keepHere(node, id, answer),
    },
    {
      self: prefix,
      control: { unheld: () => {} } as never,
      get router() {
        return node.router;
      },
      tell: (to, name, body) => node.router.tell(to, name, body),
      relayCame: () => assert.fail("no ways are counted here"),
    },
  );
  node.router = makeRouter(world, node);
  return node;
}

function makeRouter(world: NodeWorld, node: SimNode): Router {
  const { machines, view, prefix } = node;
  return new Router(
    {
      self: prefix,
      view,
      node: machines.node,
      refs: machines.refs,
      leases: {} as never,
      link: (to, name, body) => link(world, node, to, name, body as never),
      deliver: (to, name, body) => world.deliver(node, to, name, body),
      lives: (process) => node.procs.get(process)?.alive === true,
      located: () => {},
      promote: () => true,
      logged: (from, name, body) => machines.logged(from, name, body),
      credit: (to, name, body) => {
        if (name === "actorAnswer") machines.answered(to, body);
      },
      passes: (to, name, body) => passes(node, to, name, body),
      processGone: (process) => machines.journals.processGone(process),
      questionAnswered: () => false,
      ask: () => {},
      answered: () => {},
      packages: {} as never,
      now: () => world.now(),
    },
    () => assert.fail("all nodes are known"),
  );
}

function link<N extends NodeMessage>(world: NodeWorld, from: SimNode, to: NodePrefix, name: N, body: Body<N>): void {
  const bytes = encodeBody(name, body);
  from.links.get(to)!.push(() => {
    const node = world.nodes.find(({ prefix }) => prefix === to)!;
    if (!node.alive || node.gone.has(from.prefix)) return;
    const message = decodeBody(codeOf(name), bytes);
    node.machines.run(() => node.router.receive(from.prefix, name, message.body));
  });
}

export function passes(node: SimNode, to: ProcessId, name: MessageName, body: never): boolean {
  if (name !== "actorStart") return true;
  const key = `${to} ${(body as Body<"actorStart">).epoch}`;
  if (node.started.has(key)) return false;
  node.started.add(key);
  return true;
}
