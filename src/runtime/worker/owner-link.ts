/**
 * The connection from one owner to this worker: what the owner opens, defines, pushes and cancels on it, and the answers.
 */
import type { Socket } from "node:net";
import { Deque } from "../../core/owner/deque.ts";
import type { ActorId, FunctionId, JobId, LeaseId, ObjectId, ProcessId, WayId } from "../../protocol/ids.ts";
import type { WayEnd } from "../../core/refs/way-end.ts";
import { DirectReader, PUSH, pushParcel } from "../../protocol/direct.ts";
import type { Push } from "../../protocol/direct.ts";
import type { Between, Handlers, MessageName, ResourceAmounts, Strategy } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { MESSAGE_BYTES_MAX } from "../../protocol/wire.ts";
import type { BlockMapper } from "../client/claim-blocks.ts";
import { Connection } from "../transport/connection.ts";
import { SharedAnswers } from "./shared-answers.ts";
import type { Answered } from "./shared-answers.ts";
import type { Channel, RunningCall } from "./call.ts";
import type { LoadedFunction } from "./definitions.ts";

/** Answers wait in the connection's buffer at most so long while the worker runs on. Milliseconds. */
const ANSWER_WITHIN_MS = 0.25;
/** Who connects says who it is within this time, or is sent away. */
const HELLO_MS = 10_000;

export interface Definition {
  readonly id: FunctionId;
  readonly name: string;
  readonly bytes: Uint8Array;
  /** What it captured, held for as long as it can be called. */
  readonly holds: readonly object[];
  /** Once it is made here. */
  loaded?: LoadedFunction;
}

/** What a task or an actor may use. */
export interface Held {
  readonly assigned: ResourceAmounts;
  readonly gpuIds: readonly number[];
  readonly children?: Strategy | undefined;
}

export interface LinkHost {
  readonly blocks: BlockMapper;
  /** This process's end of a way that its owner has opened. */
  openWay(id: WayId, to: ProcessId): WayEnd;
  /** What was said to the node goes out now. */
  flushNode(): void;
  /** Holds refs that came. */
  keep(ids: readonly (ObjectId | ActorId)[]): readonly object[];
  /** Others than its owner hold refs to the results of an answer that was given. */
  shared(owner: ProcessId, answered: Answered): void;
  /** Whether the node has said that this owner is gone. */
  isOrphaned(leaseId: LeaseId): boolean;
  /** What the actor of this process holds while it lives, and where what it submits is placed. */
  actorHolds(): Held;
  /** A call came in on a channel's queue. */
  arrived(channel: Channel): void;
  /** After a batch of messages: run what arrived. */
  drain(): void;
  /** It said what it may not say, and is cut off. */
  refused(why: string): void;
  /** Whether what runs for this owner goes on without its connection. */
  outlives(owner: ProcessId): boolean;
  linkClosed(link: OwnerLink): void;
}

type Incoming = Between<"owner", "worker">;

export class OwnerLink {
  readonly connection: Connection;
  /** Known from the hello on. */
  way: WayEnd | undefined;
  owner = "" as ProcessId;
  jobId = "" as JobId;
  namespace = "";
  readonly channels = new Map<number, Channel>();
  readonly definitions = new Map<number, Definition>();
  readonly #host: LinkHost;
  readonly #reader = new DirectReader();
  #flushedAt = 0;
  readonly #helloTimer: NodeJS.Timeout;
  readonly #handlers: Handlers<Incoming, undefined>;

  constructor(socket: Socket, host: LinkHost) {
    this.#host = host;
    this.#handlers = {
      directHello: (m) => this.#hello(m.processId, m.way, m.jobId, m.namespace),
      leaseOpen: (m) => this.#open(m, m),
      actorOpen: (m) => this.#open(m, host.actorHolds()),
      channelClose: (m) => this.#close(m.channel),
      define: (m) => this.#define(m.index, { id: m.functionId, name: m.name, bytes: m.definition, holds: this.#arrived(m.refs ?? []) }),
      callCancel: (m) => this.#cancel(m.channel, m.seq, m.recursive),
      callShared: (m) => this.#shared(m.channel, m.seq),
      streamRead: (m) => this.#read(m.channel, m.seq, m.read),
    };
    const known = (): boolean => this.way !== undefined;
    this.connection = new Connection(socket, {
      message: (name, body) => this.#message(name, body),
      direct: (code, buffer, at, end) => this.#direct(code, buffer, at, end),
      // Nothing is gathered for somebody who has not said who it is.
      get directLimit() {
        return known() ? MESSAGE_BYTES_MAX : 0;
      },
      batchEnd: () => {
        this.way?.tell();
        host.drain();
      },
      flushing: () => host.flushNode(),
      closed: (error) => {
        if (error instanceof MalformedMessage) host.refused(error.message);
        this.#closed();
      },
    });
    this.#helloTimer = setTimeout(() => this.connection.destroy(), HELLO_MS).unref();
  }

  /** Writes answers that waited long enough; called between calls with the time. */
  answered(now: number): void {
    if (now - this.#flushedAt < ANSWER_WITHIN_MS) return;
    this.#flushedAt = now;
    this.connection.flush();
  }

  flush(): void {
    this.connection.flush();
  }

  /** The node says that the owner of this lease is gone: what is still to be read of it begins nothing more. */
  orphaned(leaseId: LeaseId): void {
    for (const channel of this.channels.values()) if (channel.leaseId === leaseId) end(channel);
  }

  /** What came on it and has not begun is void. */
  cut(): void {
    for (const channel of this.channels.values()) channel.closed = true;
    this.connection.destroy();
  }

  #message(name: MessageName, body: never): void {
    const handler = (this.#handlers as unknown as Partial<Record<MessageName, (body: never, from: undefined) => void>>)[name];
    if (!handler) throw new MalformedMessage("message", "one that an owner sends to a worker", name);
    if (!this.way && name !== "directHello") throw new MalformedMessage("message", "a hello first", name);
    handler(body, undefined);
  }

  #direct(code: number, buffer: Buffer, at: number, end: number): void {
    if (code !== PUSH || !this.way) throw new MalformedMessage("code", this.way ? "a push" : "a hello first", code);
    const push = this.#reader.push(buffer, at, end);
    // Held from now on, whatever becomes of the call.
    const ids = pushParcel(push.args, push.payloads);
    if (ids.length > 0) push.holds = this.#arrived(ids);
    const channel = this.channels.get(push.channel);
    // A channel that is closed here was closed by its owner, who knows that what it pushed since is void.
    if (!channel) return;
    channel.queue.push(push);
    this.#host.arrived(channel);
  }

  /** A parcel came. */
  #arrived(ids: readonly (ObjectId | ActorId)[]): readonly object[] {
    this.way!.came(ids);
    return this.#host.keep(ids);
  }

  #hello(owner: ProcessId, way: WayId, jobId: JobId, namespace: string): void {
    if (this.way) throw new MalformedMessage("message", "one hello", "another");
    clearTimeout(this.#helloTimer);
    this.owner = owner;
    this.way = this.#host.openWay(way, owner);
    this.jobId = jobId;
    this.namespace = namespace;
  }

  #define(index: number, definition: Definition): void {
    this.definitions.set(index, definition);
  }

  #open(at: { channel: number; leaseId?: LeaseId; actorId?: ActorId; claims: number }, { assigned, gpuIds, children }: Held): void {
    const { channel: index, leaseId, actorId, claims } = at;
    const words = claims >= 0 ? this.#host.blocks(claims) : undefined;
    const tables = {
      queue: new Deque<Push>(),
      unclaimed: new Set<number>(),
      skip: new Set<number>(),
      running: new Map<number, RunningCall>(),
    };
    const state = { turn: 0, suspended: false, closed: leaseId !== undefined && this.#host.isOrphaned(leaseId) };
    const answers = new SharedAnswers();
    this.channels.set(index, { answers, index, link: this, leaseId, actorId, words, assigned, gpuIds, children, ...tables, ...state });
  }

  #close(index: number): void {
    const channel = this.channels.get(index);
    if (!channel) return;
    channel.closed = true;
    this.channels.delete(index);
  }

  #cancel(index: number, seq: number, recursive: boolean): void {
    const channel = this.channels.get(index);
    const call = channel?.running.get(seq);
    if (call) call.cancel(recursive);
    else if (channel && (channel.unclaimed.has(seq) || [...channel.queue].some((push) => push.seq === seq))) channel.skip.add(seq);
  }

  #shared(index: number, seq: number): void {
    const answered = this.channels.get(index)?.answers.share(seq);
    if (answered) this.#host.shared(this.owner, answered);
  }

  #read(channel: number, seq: number, read: number): void {
    const call = this.channels.get(channel)?.running.get(seq);
    if (!call || read <= call.read) return;
    call.read = read;
    call.onRead?.();
  }

  #closed(): void {
    clearTimeout(this.#helloTimer);
    for (const channel of this.channels.values()) {
      if (this.#host.outlives(this.owner)) channel.closed = true;
      else end(channel);
    }
    this.way?.end();
    this.#host.linkClosed(this);
  }
}

/** Nobody wants what its calls return. */
function end(channel: Channel): void {
  channel.closed = true;
  for (const call of channel.running.values()) call.cancel(true);
}
