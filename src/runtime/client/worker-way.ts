/**
 * An owner's connection to one worker, and its numbered ways on it: pushes out, answers in. It is the same by a Unix socket and
 * over the network; only the claim words are shared memory, which a worker of another node does not see.
 */
import type { Socket } from "node:net";
import { childStrategy } from "../../core/children.ts";
import type { ActorClient } from "../../core/owner/actor-client.ts";
import type { Lease } from "../../core/owner/leases.ts";
import type { RefId } from "../../core/refs/record.ts";
import type { Owner } from "../../core/owner/owner.ts";
import type { Task } from "../../core/owner/task.ts";
import type { WayEnd } from "../../core/refs/way-end.ts";
import { DirectReader, parcelOf, pushParcel, REPLY, replyParcel, STREAM_ITEM, writePush } from "../../protocol/direct.ts";
import type { Push, ReplyHead } from "../../protocol/direct.ts";
import { prefixOf } from "../../protocol/ids.ts";
import type { FunctionId, JobId, ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Body, MessageName, Payload, WorkerAddress } from "../../protocol/messages.ts";
import { MalformedMessage } from "../../protocol/schema.ts";
import { Connection } from "../transport/connection.ts";
import { offer } from "./claim-blocks.ts";
import type { ClaimBlock, ClaimBlocks } from "./claim-blocks.ts";

export interface Exported {
  readonly id: FunctionId;
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Refs and handles that it captured. */
  readonly refs: readonly string[] | undefined;
  meanUs: number | undefined;
}

export interface WayHost {
  readonly owner: Owner;
  readonly blocks: ClaimBlocks | undefined;
  readonly process: ProcessId;
  readonly jobId: JobId;
  readonly namespace: string;
  /** This process's end of a new way. */
  openWay(to: ProcessId): WayEnd;
  /** What was said to the node goes out now. */
  flushNode(): void;
  /** Whether an error of user code is to be retried. */
  shouldRetry(task: Task, error: Payload): boolean;
  /** The argument whose bytes are gone, if that is why the task did not run. */
  lostArgument(task: Task, error: Payload): ObjectId | undefined;
  /** The time, before events are given to the owner. */
  tick(): void;
  /** After a batch of answers. */
  batchEnd(): void;
  wayClosed(way: WorkerWay, error: Error | undefined): void;
}

/** Whether a worker is one of another node than an owner's. */
export const isForeign = (worker: WorkerAddress, owner: ProcessId): boolean => prefixOf(worker.processId) !== prefixOf(owner);

/** One lease or actor on the connection. */
export interface Lane {
  readonly index: number;
  readonly way: WorkerWay;
  readonly target: Lease | ActorClient;
  readonly block: ClaimBlock | undefined;
}

export class WorkerWay {
  readonly address: WorkerAddress;
  /** The worker is one of another node. */
  readonly foreign: boolean;
  readonly #host: WayHost;
  readonly #connection: Connection;
  readonly #end: WayEnd;
  readonly #lanes = new Map<number, Lane>();
  readonly #defined = new Map<unknown, number>();
  readonly #reader = new DirectReader();
  readonly #head: ReplyHead = { channel: 0, seq: 0, runUs: 0 };
  /** Leases that were answered in this batch. */
  readonly #touched = new Set<Lease>();
  #nextLane = 0;
  #nextFunction = 0;

  /** `socket`: to that worker, or being connected. */
  constructor(address: WorkerAddress, socket: Socket, host: WayHost) {
    this.address = address;
    this.foreign = isForeign(address, host.process);
    this.#host = host;
    socket.unref();
    this.#connection = new Connection(socket, {
      message: (name, body) => this.#message(name, body),
      direct: (code, buffer, at, end) => this.#direct(code, buffer, at, end),
      batchEnd: () => this.#batchEnd(),
      flushing: () => host.flushNode(),
      closed: (error) => {
        this.#end.end();
        host.wayClosed(this, error);
      },
    });
    this.#end = host.openWay(address.processId);
    this.#connection.send("directHello", { processId: host.process, way: this.#end.id, jobId: host.jobId, namespace: host.namespace });
  }

  get idle(): boolean {
    return this.#lanes.size === 0;
  }

  /** It leads to an actor. */
  get toActor(): boolean {
    for (const { target } of this.#lanes.values()) if (target.kind === "actor") return true;
    return false;
  }

  open(target: Lease | ActorClient): Lane {
    const index = this.#nextLane;
    this.#nextLane = (index + 1) & 0xffff;
    const block = this.foreign ? undefined : this.#host.blocks?.take();
    const lane: Lane = { index, way: this, target, block };
    if (block) target.channel.startAt(block.next);
    this.#lanes.set(index, lane);
    const claims = block?.block ?? -1;
    if (target.kind === "actor") this.#connection.send("actorOpen", { channel: index, actorId: target.id, claims });
    else {
      const { id, assigned, gpuIds, queue } = target;
      const children = childStrategy(queue.shape.strategy);
      this.#connection.send("leaseOpen", { channel: index, leaseId: id, claims, assigned, gpuIds: [...gpuIds], children });
    }
    return lane;
  }

  /** Nothing more comes on this lane; `alive` tells whether the worker is there to be told. */
  close(lane: Lane): void {
    if (!this.#lanes.delete(lane.index)) return;
    this.#connection.send("channelClose", { channel: lane.index });
    if (lane.block) this.#host.blocks?.give(lane.block, lane.target.channel.next);
  }

  push(lane: Lane, task: Task, payloads: Push["payloads"], group: string): void {
    const { spec, seq } = task;
    const fn = this.#define(spec.callable as unknown as Exported);
    const claim = lane.block !== undefined && lane.target.channel.claimable(task);
    if (claim) offer(lane.block!.words, seq);
    const { numReturns, streamBuffer } = spec.options;
    this.#end.sends(pushParcel(spec.args, payloads));
    writePush(this.#connection, {
      channel: lane.index,
      seq,
      fn,
      claim,
      streamBuffer,
      shared: task.shared,
      errorsFinal: task.errorsFinal,
      numReturns,
      attempt: task.attempt,
      taskCounter: task.counter,
      group,
      args: spec.args,
      payloads,
    });
  }

  cancel(lane: Lane, task: Task, recursive: boolean): void {
    this.#connection.send("callCancel", { channel: lane.index, seq: task.seq, recursive });
  }

  shared(lane: Lane, task: Task): void {
    this.#connection.send("callShared", { channel: lane.index, seq: task.seq });
  }

  streamRead(lane: Lane, task: Task, read: number): void {
    this.#connection.send("streamRead", { channel: lane.index, seq: task.seq, read });
  }

  destroy(): void {
    this.#connection.destroy();
  }

  end(): void {
    this.#connection.close();
  }

  #define(exported: Exported): number {
    const known = this.#defined.get(exported);
    if (known !== undefined) return known;
    const index = this.#nextFunction++;
    this.#defined.set(exported, index);
    const { id, name, bytes, refs } = exported;
    this.#end.sends((refs ?? []) as RefId[]);
    this.#connection.send("define", { index, functionId: id, name, definition: bytes, refs: refs as never });
    return index;
  }

  #message(name: MessageName, body: never): void {
    if (name !== "callBlocked") throw new MalformedMessage("message", "one that a worker sends to an owner", name);
    const lane = this.#lanes.get((body as Body<"callBlocked">).channel);
    if (lane?.target.kind === "lease") this.#host.owner.blocked(lane.target);
  }

  #direct(code: number, buffer: Buffer, at: number, end: number): void {
    const { owner } = this.#host;
    if (this.#touched.size === 0) this.#host.tick();
    if (code === REPLY) {
      const head = this.#head;
      const body = this.#reader.reply(buffer, at, end, head);
      // What of it nobody takes is let go of with its parcel.
      this.#end.came(replyParcel(body));
      const lane = this.#lanes.get(head.channel);
      if (!lane) return;
      const { target } = lane;
      if (target.kind === "lease") this.#touched.add(target);
      if (body.kind !== "threw") owner.replied(target, head.seq, head.runUs, body);
      else {
        const task = target.channel.get(head.seq);
        const retry = task !== undefined && task.spec.options.retryExceptions && this.#host.shouldRetry(task, body.error);
        const lost = task?.spec.refArgs && this.#host.lostArgument(task, body.error);
        owner.replied(target, head.seq, head.runUs, { kind: "threw", error: body.error, retry, lost });
      }
    } else if (code === STREAM_ITEM) {
      const item = this.#reader.streamItem(buffer, at, end);
      this.#end.came(parcelOf([item.payload]));
      const lane = this.#lanes.get(item.channel);
      if (lane) owner.streamItem(lane.target, item.seq, item.index, item.payload);
    } else throw new MalformedMessage("code", "an answer", code);
  }

  #batchEnd(): void {
    this.#end.tell();
    if (this.#touched.size > 0) {
      const touched = [...this.#touched];
      this.#touched.clear();
      for (const lease of touched) this.#host.owner.refill(lease);
    }
    this.#host.batchEnd();
  }
}
