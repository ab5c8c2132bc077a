/** An owner's connection to one worker, and its numbered ways on it: pushes out, answers in. As the client's in production. */
import type { ActorClient } from "../src/core/owner/actor-client.ts";
import type { Lease } from "../src/core/owner/leases.ts";
import type { Callable, Task } from "../src/core/owner/task.ts";
import type { WayEnd } from "../src/core/refs/way-end.ts";
import { DirectReader, parcelOf, pushParcel, REPLY, replyParcel, STREAM_ITEM, writePush } from "../src/protocol/direct.ts";
import type { Push, ReplyHead } from "../src/protocol/direct.ts";
import type { FunctionId } from "../src/protocol/ids.ts";
import type { Body, MessageName, WorkerAddress } from "../src/protocol/messages.ts";
import { offer } from "./claims.ts";
import type { ClaimBlock } from "./claims.ts";
import type { SimClient } from "./client.ts";
import type { End } from "./network.ts";

/** One lease or actor on the connection. */
export interface Lane {
  readonly index: number;
  readonly way: Way;
  readonly target: Lease | ActorClient;
  readonly block: ClaimBlock | undefined;
}

export class Way {
  readonly address: WorkerAddress;
  readonly #client: SimClient;
  readonly #end: End;
  readonly #parcels: WayEnd;
  readonly #lanes = new Map<number, Lane>();
  readonly #defined = new Map<Callable, number>();
  readonly #reader = new DirectReader();
  readonly #head: ReplyHead = { channel: 0, seq: 0, runUs: 0 };
  readonly #touched = new Set<Lease>();
  #nextLane = 0;

  constructor(address: WorkerAddress, client: SimClient) {
    this.address = address;
    this.#client = client;
    const { world, process } = client;
    const worker = world.workers.get(address.processId)!;
    this.#end = world.network.connect(process, worker.process, (end) => worker.accept(end));
    this.#end.handler = {
      message: (name, body) => this.#message(name, body),
      direct: (code, buffer, at, end) => this.#direct(code, buffer, at, end),
      batchEnd: () => this.#batchEnd(),
      closed: () => {
        this.#parcels.end();
        client.wayClosed(this);
      },
    };
    this.#parcels = client.newWay(address.processId);
    this.#end.send("directHello", { processId: client.id, way: this.#parcels.id, jobId: client.jobId, namespace: "" });
  }

  get idle(): boolean {
    return this.#lanes.size === 0;
  }

  open(target: Lease | ActorClient): Lane {
    const index = this.#nextLane;
    this.#nextLane = (index + 1) & 0xffff;
    const block = this.#client.blocks.take();
    const lane: Lane = { index, way: this, target, block };
    if (block) target.channel.startAt(block.next);
    this.#lanes.set(index, lane);
    const claims = block?.block ?? -1;
    if (target.kind === "actor") this.#end.send("actorOpen", { channel: index, actorId: target.id, claims });
    else {
      const { id, assigned, gpuIds } = target;
      this.#end.send("leaseOpen", { channel: index, leaseId: id, claims, assigned, gpuIds: [...gpuIds] });
    }
    return lane;
  }

  close(lane: Lane): void {
    if (!this.#lanes.delete(lane.index)) return;
    this.#end.send("channelClose", { channel: lane.index });
    if (lane.block) this.#client.blocks.give(lane.block, lane.target.channel.next);
  }

  push(lane: Lane, task: Task, payloads: Push["payloads"]): void {
    const { spec, seq } = task;
    const fn = this.#define(spec.callable);
    const claim = lane.block !== undefined && lane.target.channel.claimable(task);
    if (claim) offer(lane.block!.words, seq);
    const { numReturns, streamBuffer } = spec.options;
    this.#client.world.tell(
      () => `${this.#client.id} pushes ${task.id} to ${this.address.processId} as ${seq}${claim ? "" : ", no claim"}`,
    );
    this.#parcels.sends(pushParcel(spec.args, payloads));
    writePush(this.#end, {
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
      group: "",
      args: spec.args,
      payloads,
    });
  }

  cancel(lane: Lane, task: Task, recursive: boolean): void {
    this.#end.send("callCancel", { channel: lane.index, seq: task.seq, recursive });
  }

  shared(lane: Lane, task: Task): void {
    this.#end.send("callShared", { channel: lane.index, seq: task.seq });
  }

  streamRead(lane: Lane, task: Task, read: number): void {
    this.#end.send("streamRead", { channel: lane.index, seq: task.seq, read });
  }

  #define(callable: Callable): number {
    const known = this.#defined.get(callable);
    if (known !== undefined) return known;
    const index = this.#defined.size;
    this.#defined.set(callable, index);
    const { name } = callable;
    this.#end.send("define", { index, functionId: name as FunctionId, name, definition: new Uint8Array(0), refs: undefined });
    return index;
  }

  #message(name: MessageName, body: never): void {
    if (name !== "callBlocked") throw new Error(`a worker sends ${name} to an owner`);
    const lane = this.#lanes.get((body as Body<"callBlocked">).channel);
    if (lane?.target.kind === "lease") this.#client.owner.blocked(lane.target);
  }

  #direct(code: number, buffer: Buffer, at: number, end: number): void {
    const { owner } = this.#client;
    if (this.#touched.size === 0) this.#client.tick();
    if (code === STREAM_ITEM) {
      const item = this.#reader.streamItem(buffer, at, end);
      this.#parcels.came(parcelOf([item.payload]));
      const lane = this.#lanes.get(item.channel);
      return lane && owner.streamItem(lane.target, item.seq, item.index, item.payload);
    }
    if (code !== REPLY) throw new Error(`a worker sends a hot message ${code} to an owner`);
    const head = this.#head;
    const body = this.#reader.reply(buffer, at, end, head);
    this.#parcels.came(replyParcel(body));
    const lane = this.#lanes.get(head.channel);
    if (!lane) return;
    const { target } = lane;
    if (target.kind === "lease") this.#touched.add(target);
    this.#client.world.tell(() => `${this.#client.id} is answered ${head.seq} of ${this.address.processId}: ${body.kind}`);
    if (body.kind !== "threw") return owner.replied(target, head.seq, head.runUs, body);
    const task = target.channel.get(head.seq);
    const retry = task !== undefined && task.spec.options.retryExceptions && this.#client.shouldRetry(body.error);
    owner.replied(target, head.seq, head.runUs, { kind: "threw", error: body.error, retry });
  }

  #batchEnd(): void {
    this.#parcels.tell();
    if (this.#touched.size > 0) {
      const touched = [...this.#touched];
      this.#touched.clear();
      for (const lease of touched) this.#client.owner.refill(lease);
    }
    this.#client.batchEnd();
  }
}
