/** A simulated worker process: joins the node, takes what owners push, and runs tasks or one actor; and it is an owner itself. */
import { Deque } from "../src/core/owner/deque.ts";
import type { WayEnd } from "../src/core/refs/way-end.ts";
import { creditedRefs } from "../src/core/refs/creation.ts";
import { DirectReader, pushParcel } from "../src/protocol/direct.ts";
import type { InlinePayload, Push, ReplyBody } from "../src/protocol/direct.ts";
import type { ActorId, JobId, LeaseId, ProcessId } from "../src/protocol/ids.ts";
import type { Body, LoggedCall, MessageName, ResourceAmounts } from "../src/protocol/messages.ts";
import { ActorHost } from "./actor-host.ts";
import { ActorLog } from "./actor-log.ts";
import { CallRunner } from "./calls.ts";
import type { Answered, Call } from "./calls.ts";
import { SimClient } from "./client.ts";
import { Executor } from "./executor.ts";
import type { ConnectionHandler, End } from "./network.ts";
import type { SimProcess } from "./process.ts";
import { Context } from "./program.ts";
import { SimError } from "./values.ts";
import type { Shared } from "./values.ts";

import { ACTORS } from "./workloads/actors.ts";
import type { World } from "./world.ts";

/** A numbered way from one owner to one lease, or to this worker's actor. */
export interface Channel {
  readonly index: number;
  readonly link: Link;
  readonly leaseId: LeaseId | undefined;
  readonly actorId: ActorId | undefined;
  readonly words: Int32Array | undefined;
  readonly assigned: ResourceAmounts;
  readonly queue: Deque<Push>;
  /** Of an actor: queued with those of other channels, and without claim words. */
  readonly unclaimed: Set<number>;
  readonly skip: Set<number>;
  readonly running: Map<number, Call>;
  /** Calls with results that others hold refs to, and recent answers. */
  readonly shared: Set<number>;
  readonly answered: Map<number, Answered>;
  turn: number;
  suspended: boolean;
  closed: boolean;
}

/** The connection from one owner. */
export class Link {
  readonly end: End;
  readonly worker: SimWorker;
  owner = "" as ProcessId;
  way: WayEnd | undefined;
  closed = false;
  readonly channels = new Map<number, Channel>();
  readonly names = new Map<number, string>();

  constructor(end: End, worker: SimWorker) {
    this.end = end;
    this.worker = worker;
  }
}

/** A worker that is asked to end does so after so long. */
const END_US = 20_000;

export class SimWorker {
  readonly world: World;
  readonly process: SimProcess;
  readonly client: SimClient;
  readonly runner: CallRunner;
  readonly executor: Executor;
  readonly calls = new Set<Call>();
  readonly #links = new Set<Link>();
  readonly #reader = new DirectReader();
  #actor: ActorHost | undefined;
  /** What the actor was made from, held as long as it lives. */
  #holds: readonly Shared[] = [];
  #constructing: Context | undefined;
  /** A call that is run again, and the actor whose it is. */
  #replaying: readonly [Context, ActorHost] | undefined;
  #exiting = false;
  #owns = false;
  #alone = false;
  /** How its process ended, where it ended by itself. */
  exitCode: number | undefined;

  constructor(world: World, process: SimProcess, jobId: JobId) {
    this.world = world;
    this.process = process;
    this.client = new SimClient(world, process, jobId);
    this.runner = new CallRunner(this);
    this.executor = new Executor(this);
    this.client.roots = () => this.#roots();
    this.client.onFinished = () => {
      this.idles();
      if (!this.#owns || this.client.owner.open > 0) return;
      this.#owns = false;
      this.client.send("workerOwns", { open: false });
    };
    this.client.other = (name, body) => this.#message(name, body);
  }

  get id(): ProcessId {
    return this.process.id;
  }

  /** An owner connects. */
  accept(end: End): ConnectionHandler {
    const link = new Link(end, this);
    this.#links.add(link);
    return {
      message: (name, body) => this.#owner(link, name, body),
      direct: (_code, buffer, at, to) => this.#pushed(link, this.#reader.push(buffer, at, to)),
      batchEnd: () => {
        link.way?.tell();
        this.drain();
      },
      closed: () => {
        link.closed = true;
        link.way?.end();
        this.#links.delete(link);
        for (const channel of link.channels.values()) this.#end(channel);
      },
    };
  }

  /** Nobody wants what its calls return. */
  #end(channel: Channel): void {
    channel.closed = true;
    for (const call of channel.running.values()) call.cancel(true);
    this.executor.abandon(channel);
  }

  /** Nobody else holds the actor, and nothing is under way in it. */
  idles(): void {
    const { plant } = this.world;
    if (!this.#alone || !this.#actor || (!plant.idle && (!this.#actor.idle || this.client.owner.open > 0))) return;
    this.#alone = false;
    this.client.send("actorIdle", { actorId: this.#actor.id });
  }

  drain(): void {
    if (this.#actor) this.#actor.drain();
    else this.executor.drain();
  }

  /** The process ends by its own will, once what it has said is out. */
  end(code: number): void {
    if (this.#exiting) return;
    this.#exiting = true;
    this.process.after(END_US, () => {
      this.exitCode = code;
      this.process.die(false);
    });
  }

  /** Tasks that a call leaves behind end with this process. */
  callEnds(): void {
    if (this.#owns || this.client.owner.open === 0) return;
    this.#owns = true;
    this.client.send("workerOwns", { open: true });
  }

  actorExits(actorId: ActorId): void {
    this.#actor?.end();
    this.client.send("actorExit", { actorId });
    this.end(0);
  }

  #roots(): Shared[] {
    const roots: Shared[] = [...this.#holds, ...(this.#actor?.roots() ?? []), ...(this.#constructing?.scope ?? [])];
    if (this.#replaying) roots.push(...this.#replaying[0].scope, ...this.#replaying[1].roots());
    for (const call of this.calls) roots.push(...((call.push.holds ?? []) as Shared[]), ...call.context.scope);
    for (const push of this.#waiting()) roots.push(...((push.holds ?? []) as Shared[]));
    return roots;
  }

  /** Calls that came and have not begun. */
  *#waiting(): Iterable<Push> {
    for (const link of this.#links) for (const { queue } of link.channels.values()) yield* queue;
    if (this.#actor) yield* this.#actor.waiting();
  }

  #message(name: MessageName, body: never): void {
    switch (name) {
      case "taskResumed": {
        const { leaseId, turn } = body as Body<"taskResumed">;
        return this.executor.resumedByNode(leaseId, turn);
      }
      case "actorStart":
        return this.#startActor(body);
      case "actorAlone":
        this.#alone = true;
        return this.idles();
      case "spareRequest":
        this.callEnds();
        return this.client.send("spareAnswer", { spare: !this.#owns });
      case "leaseOrphaned": {
        const { leaseId } = body as Body<"leaseOrphaned">;
        for (const link of this.#links) for (const each of link.channels.values()) if (each.leaseId === leaseId) this.#end(each);
        return this.executor.orphaned(leaseId);
      }
      case "exitRequest":
        if ((body as Body<"exitRequest">).ifIdle && this.client.owner.open > 0) return this.client.send("exitDeclined", {});
        return this.end(0);
      default:
        throw new Error(`worker ${this.id} is sent ${name}`);
    }
  }

  #startActor(start: Body<"actorStart">): void {
    const { client } = this;
    const { actorId, epoch, className, restore } = start;
    this.world.history.incarnation(actorId, epoch);
    this.world.history.uses(this.id, this, start.assigned);
    this.#holds = client.receive(creditedRefs(start));
    const context = new Context(client, actorId);
    this.#constructing = context;
    const failed = (why: SimError): void => {
      client.send("actorStartFailed", { actorId, epoch, error: client.errorPayload(why).bytes });
    };
    if (restore !== undefined) return this.#restore(start, restore, context, failed);
    const args = client.open({ kind: "inline", bytes: start.args, refs: undefined }) as unknown[];
    this.runner.places(args, start.argPayloads, context, (error) => {
      if (error) return failed(error);
      context.start(ACTORS[className]!.make(context, ...args), (answer) => {
        if ("error" in answer) return failed(answer.error);
        this.#started(start, answer.value as object, context, [], failed);
      });
    });
  }

  #restore(
    start: Body<"actorStart">,
    { state, calls }: NonNullable<Body<"actorStart">["restore"]>,
    context: Context,
    failed: (why: SimError) => void,
  ): void {
    const { client } = this;
    const ids = state.kind === "stored" ? [] : [...(state.refs ?? [])];
    for (const call of calls) ids.push(...pushParcel(call.args as InlinePayload, call.payloads));
    for (const each of client.receive(ids)) context.scope.add(each);
    const made = (value: unknown): void => {
      if (value instanceof SimError) return failed(value);
      this.#started(start, value as object, context, calls, failed);
    };
    if (state.kind === "stored") client.read(state.id, made);
    else made(client.open(state));
  }

  #started(
    start: Body<"actorStart">,
    state: object,
    context: Context,
    calls: readonly LoggedCall[],
    failed: (why: SimError) => void,
  ): void {
    const { actorId, epoch } = start;
    const begins = (actor: ActorHost): void => {
      // Once it lives, only what its state and its definition name is held.
      context.scope.clear();
      this.#holds = this.#holds.slice(0, new Set(start.argRefs).size);
      this.#constructing = undefined;
      this.#replaying = undefined;
      this.#actor = actor;
      this.client.send("actorStarted", { actorId, epoch });
      this.idles();
    };
    const actor = new ActorHost(this, start, state, context);
    if (!start.options.checkpoint) return begins(actor);
    const log = new ActorLog(this, start, state);
    // What its state names is reachable from here on.
    const reached = (each: Context): void => void (this.#replaying = [each, actor]);
    reached(context);
    log.replay(calls, reached, (error) => {
      if (error) return failed(error);
      actor.log = log;
      log.save();
      begins(actor);
    });
  }

  logged(call: Call, body: ReplyBody): boolean {
    const log = this.#actor?.log;
    log?.ended(call, body);
    return log !== undefined;
  }

  #owner(link: Link, name: MessageName, body: never): void {
    switch (name) {
      case "directHello":
        link.owner = (body as Body<"directHello">).processId;
        link.way = this.client.openWay((body as Body<"directHello">).way, false, link.owner);
        return;
      case "leaseOpen": {
        const { channel, leaseId, claims, assigned } = body as Body<"leaseOpen">;
        return this.#open(link, channel, leaseId, undefined, claims, assigned);
      }
      case "actorOpen": {
        const { channel, actorId, claims } = body as Body<"actorOpen">;
        return this.#open(link, channel, undefined, actorId, claims, {});
      }
      case "channelClose": {
        const channel = link.channels.get((body as Body<"channelClose">).channel);
        if (channel) channel.closed = true;
        return void link.channels.delete((body as Body<"channelClose">).channel);
      }
      case "define":
        return void link.names.set((body as Body<"define">).index, (body as Body<"define">).name);
      case "callCancel":
        return this.#cancel(link, body);
      case "callShared": {
        const { channel: index, seq } = body as Body<"callShared">;
        const channel = link.channels.get(index);
        const answered = channel?.answered.get(seq);
        if (answered) this.runner.shared(link.owner, answered);
        else channel?.shared.add(seq);
        return;
      }
      case "streamRead": {
        const { channel, seq, read } = body as Body<"streamRead">;
        return link.channels.get(channel)?.running.get(seq)?.wasRead(read);
      }
      default:
        throw new Error(`an owner sends ${name} to a worker`);
    }
  }

  #open(
    link: Link,
    index: number,
    leaseId: LeaseId | undefined,
    actorId: ActorId | undefined,
    claims: number,
    assigned: ResourceAmounts,
  ): void {
    const words = claims >= 0 ? this.world.claims.words(claims) : undefined;
    const state = { turn: 0, suspended: false, closed: leaseId !== undefined && this.executor.orphans.has(leaseId) };
    const tables = { queue: new Deque<Push>(), unclaimed: new Set<number>(), skip: new Set<number>(), running: new Map<number, Call>() };
    const answers = { shared: new Set<number>(), answered: new Map<number, Answered>() };
    link.channels.set(index, { index, link, leaseId, actorId, words, assigned, ...tables, ...answers, ...state });
  }

  #pushed(link: Link, push: Push): void {
    const ids = pushParcel(push.args, push.payloads);
    link.way!.came(ids);
    push.holds = this.client.keep(ids);
    const channel = link.channels.get(push.channel);
    if (!channel) return;
    channel.queue.push(push);
    if (channel.leaseId) this.executor.arrived(channel);
    else this.#actor?.arrived(channel);
  }

  #cancel(link: Link, { channel: index, seq, recursive }: Body<"callCancel">): void {
    const channel = link.channels.get(index);
    const call = channel?.running.get(seq);
    if (call) call.cancel(recursive);
    else if (channel && (channel.unclaimed.has(seq) || [...channel.queue].some((push) => push.seq === seq))) channel.skip.add(seq);
  }
}
