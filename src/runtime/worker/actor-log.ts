/**
 * The log and the checkpoints of this worker's actor, if it saves its state. Its answers go to the node with their calls, and from
 * there to their owners, so that nobody knows of a call that is not in the log. See decision 15.
 */
import { CALL_BYTES, LOG_BYTES_WORST, Saves } from "../../core/saves.ts";
import { ObjectStoreFullError } from "../../errors/index.ts";
import { functionCodec } from "../../functions/index.ts";
import type { ReplyBody } from "../../protocol/direct.ts";
import { homeOf, prefixOf } from "../../protocol/ids.ts";
import type { ObjectId, ProcessId } from "../../protocol/ids.ts";
import type { Body, Payload } from "../../protocol/messages.ts";
import { stateOf } from "../../values/state.ts";
import type { NodeSender } from "../client/held-refs.ts";
import type { Packing } from "../client/packing.ts";
import type { RunningCall } from "./call.ts";

/** Answers wait in the connection's buffer at most so long while the actor runs on. Milliseconds. */
const ANSWER_WITHIN_MS = 0.25;

export interface LogHost {
  readonly node: NodeSender;
  readonly packing: Packing;
  readonly process: ProcessId;
  newId(): ObjectId;
  /** What was said to the node goes out now. */
  flush(): void;
  /** Nothing of the actor runs, so its state is whole. */
  idle(): boolean;
  /** Its state cannot be saved: it is over. */
  failed(error: unknown): void;
}

export class ActorLog {
  readonly #host: LogHost;
  readonly #type: Function;
  readonly #instance: object;
  readonly #of: { readonly actorId: Body<"actorStart">["actorId"]; readonly epoch: number };
  readonly #saves: Saves;
  #timer: NodeJS.Timeout | undefined;
  #saved = false;
  /** The last checkpoint lies in this node's store, and the log at another. */
  savedFar = false;
  #flushedAt = 0;

  constructor(host: LogHost, { actorId, epoch, options }: Body<"actorStart">, type: Function, instance: object) {
    this.#host = host;
    this.#type = type;
    this.#instance = instance;
    this.#of = { actorId, epoch };
    this.#saves = new Saves(options.checkpoint!);
  }

  /** A call of the actor has ended with this answer. */
  ended({ push, channel }: RunningCall, answer: ReplyBody): void {
    if (answer.kind === "stream-ended") throw new Error("a generator ran in an actor that saves its state");
    const { args, payloads, taskCounter: counter, attempt, seq } = push;
    const { owner, definitions } = channel.link;
    const method = definitions.get(push.fn)!.name;
    this.#host.node.send("actorLog", {
      ...this.#of,
      to: { actorId: channel.actorId!, seq },
      call: { owner, counter, attempt, method, args, payloads },
      answer: answer.kind === "returned" ? { kind: "returned", results: [...answer.results] } : answer,
    });
    const now = performance.now();
    this.#saves.ended(CALL_BYTES + sizeOf([args, ...payloads.map(({ payload }) => payload)]), now);
    if (now - this.#flushedAt < ANSWER_WITHIN_MS) return;
    this.#flushedAt = now;
    this.#host.flush();
  }

  /** Answers go out before a call that may be long. */
  flush(): void {
    this.#host.flush();
  }

  /** Between two calls. */
  saveIfDue(now: number): void {
    if (this.#saves.due(now)) return this.save();
    const { dueAt } = this.#saves;
    if (this.#timer || dueAt === undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (this.#host.idle()) this.saveIfDue(performance.now());
    }, dueAt - now);
  }

  /** The node that keeps the log says so; of one that is too long for ever, why. */
  saveNow(failure: Body<"actorSave">["failure"]): void {
    if (failure !== undefined) return this.#host.failed(new ObjectStoreFullError(failure.message));
    this.#saves.want();
    if (this.#host.idle()) this.save();
  }

  /** No call is running. */
  save(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { node, packing } = this.#host;
    let state: Payload;
    try {
      state = packing.pack(packing.encode(stateOf(this.#type, this.#instance, functionCodec), "state"), () => this.#host.newId());
    } catch (error) {
      return this.#notSaved(error);
    }
    node.send("actorCheckpoint", { ...this.#of, state });
    // Stored in this worker's name; by now the node holds it.
    if (state.kind === "stored") node.send("refDrop", { id: state.id, count: 1 });
    this.savedFar = state.kind === "stored" && homeOf(this.#of.actorId) !== prefixOf(this.#host.process);
    this.#saves.saved();
    this.#saved = true;
  }

  /** A full store may have room again: until then the log grows, but not without end. */
  #notSaved(error: unknown): void {
    if (!this.#saved || !(error instanceof ObjectStoreFullError) || this.#saves.bytes > LOG_BYTES_WORST) return this.#host.failed(error);
    process.stderr.write(`the state of actor ${this.#type.name} was not saved, and is tried again: ${error.message}\n`);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function sizeOf(payloads: readonly Payload[]): number {
  let size = 0;
  for (const payload of payloads) if (payload.kind !== "stored") size += payload.bytes.byteLength;
  return size;
}
