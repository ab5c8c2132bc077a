/**
 * What each message to the node does: one line a message, to the machine that it concerns. The table is typed by the
 * protocol, so that a message without a handler does not compile.
 */
import type { NodeMachine } from "../../core/node/node.ts";
import { creationRefs } from "../../core/refs/creation.ts";
import type { RefTable } from "../../core/refs/refs.ts";
import type { ActorId, ProcessId } from "../../protocol/ids.ts";
import type { Between, Body, DeathReason, Handlers } from "../../protocol/messages.ts";
import type { ToStore } from "../../memory/backend.ts";
import type { OfLog } from "../cluster/router.ts";
import type { ControlSide } from "./machines.ts";

/** A process with a connection to this daemon that has said who it is. */
export interface Sender {
  readonly id: ProcessId;
}

/** Where requests for leases go: to this node's machine, or to the router that knows other nodes. */
export type LeaseSide = Pick<NodeMachine, "leaseRequest" | "leaseCancel" | "leaseReturn" | "killProcess">;

/** What handlers reach. */
export interface Context {
  readonly node: NodeMachine;
  readonly leases: LeaseSide;
  readonly control: ControlSide;
  readonly refs: RefTable;
  ofLog<N extends OfLog>(from: ProcessId, name: N, body: Body<N>): void;
  readonly store: { handle<N extends ToStore>(from: ProcessId, name: N, body: Body<N>): void };
  now(): number;
  actorIdle(worker: ProcessId, id: ActorId): void;
  announced(worker: ProcessId, reason: DeathReason): void;
  titled(worker: ProcessId, title: string): void;
  events(from: ProcessId, body: Body<"events">): void;
  ask(from: ProcessId, body: Body<"ask">): void;
  /** To the home of what it is about, if that is another node: then true. */
  toHome(from: ProcessId, body: Body<"objectResult">): boolean;
  /** Refs go to a process, which may be of another node. */
  refsGoTo(process: ProcessId): void;
}

type ToNode = Between<"owner", "node"> | Between<"worker", "node">;
/** A hello comes first, and only once. */
export type Hello = "driverHello" | "workerHello";

export function handlersFor(c: Context): Handlers<Exclude<ToNode, Hello>, Sender> {
  const { node, leases, control, refs, store } = c;
  return {
    leaseRequest: (body, from) => leases.leaseRequest(from.id, body, c.now()),
    leaseCancel: (body, from) => leases.leaseCancel(from.id, body, c.now()),
    leaseReturn: (body, from) => leases.leaseReturn(from.id, body, c.now()),
    taskBlocked: (body, from) => node.taskBlocked(from.id, body, c.now()),
    taskUnblocked: (body, from) => node.taskUnblocked(from.id, body, c.now()),
    killProcess: (body, from) => leases.killProcess(from.id, body, c.now()),
    workerExiting: (body, from) => {
      c.announced(from.id, body.reason);
      node.workerExiting(from.id, c.now());
    },
    workerOwns: (body, from) => node.workerOwns(from.id, body, c.now()),
    exitDeclined: (_body, from) => node.exitDeclined(from.id, c.now()),
    spareAnswer: (body, from) => node.spareAnswer(from.id, body, c.now()),
    leaseOver: (body, from) => node.leaseOver(from.id, body, c.now()),
    workerTitle: (body, from) => c.titled(from.id, body.title),

    objectEscape: (body, from) => refs.escape(from.id, body),
    objectSettle: (body) => refs.settle(body),
    objectResult: (body, from) => {
      if (!c.toHome(from.id, body)) refs.result(body);
    },
    refAdd: ({ id }, from) => refs.add(id, from.id),
    refDrop: (body, from) => refs.drop(from.id, body),
    refSent: (body, from) => {
      c.refsGoTo(body.to);
      refs.sent(from.id, body);
    },
    refCame: (body, from) => refs.came(from.id, body),
    objectFetch: (body, from) => refs.fetch(from.id, body),
    objectFetchCancel: (body, from) => refs.fetchCancel(from.id, body),
    objectCancel: (body) => refs.cancel(body),

    actorDeclare: (body, from) => {
      refs.declared(body.actorId, from.id, body.options.detached);
      control.declare(from.id, body);
    },
    actorCreate: (body, from) => {
      refs.created(body.actorId, creationRefs(body));
      control.create(from.id, body);
    },
    actorAbandon: (body, from) => control.abandon(from.id, body),
    actorWatch: (body, from) => control.watch(from.id, body),
    actorStarted: (body, from) => control.started(from.id, body, c.now()),
    actorStartFailed: (body, from) => control.startFailed(from.id, body),
    actorExit: (body, from) => control.exit(from.id, body),
    actorIdle: ({ actorId }, from) => c.actorIdle(from.id, actorId),
    actorLog: (body, from) => c.ofLog(from.id, "actorLog", body),
    actorCheckpoint: (body, from) => c.ofLog(from.id, "actorCheckpoint", body),
    callsLost: (body, from) => c.ofLog(from.id, "callsLost", body),
    callsOver: (body, from) => c.ofLog(from.id, "callsOver", body),

    ask: (body, from) => c.ask(from.id, body),
    events: (body, from) => c.events(from.id, body),

    storeAllocate: (body, from) => store.handle(from.id, "storeAllocate", body),
    storeSealed: (body, from) => store.handle(from.id, "storeSealed", body),
    storeReleased: (body, from) => store.handle(from.id, "storeReleased", body),
    storePin: (body, from) => store.handle(from.id, "storePin", body),
    storeUnpin: (body, from) => store.handle(from.id, "storeUnpin", body),
  };
}
