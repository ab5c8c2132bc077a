/** Runs one call on a simulated worker to its answer: arguments in, the program, results or error out, items one by one. */
import { parcelOf, replyParcel, writeReply, writeStreamItem } from "../src/protocol/direct.ts";
import type { Push, ReplyBody } from "../src/protocol/direct.ts";
import { returnId, taskId } from "../src/protocol/ids.ts";
import type { ProcessId } from "../src/protocol/ids.ts";
import type { Payload } from "../src/protocol/messages.ts";
import type { Answer, Blocking, Effect, Program, Resume } from "./program.ts";
import { Context } from "./program.ts";
import { EXIT, SimError } from "./values.ts";
import type { Channel, SimWorker } from "./worker.ts";

/** A call and its answer. */
export interface Answered {
  readonly push: Push;
  readonly body: ReplyBody;
}

/** What a call that waits needs from where it runs. */
export interface CallHost {
  suspend(call: Call): void;
  resume(call: Call, then: () => void): void;
}

export class Call implements Blocking {
  readonly channel: Channel;
  readonly push: Push;
  readonly name: string;
  readonly context: Context;
  readonly #host: CallHost;
  startedAt = 0;
  /** Its program has been entered. */
  entered = false;
  waitedUs = 0;
  #blockedAt = 0;
  /** Items that the reader has taken. */
  read = 0;
  onRead: (() => void) | undefined;

  constructor(channel: Channel, push: Push, name: string, host: CallHost) {
    this.channel = channel;
    this.push = push;
    this.name = name;
    this.#host = host;
    const { link } = channel;
    this.context = new CallContext(this, link.worker, taskId(link.owner, push.taskCounter));
    this.context.attempt = push.attempt;
  }

  block(): void {
    this.#blockedAt = this.channel.link.worker.world.clock.now;
    this.#host.suspend(this);
  }

  unblock(then: () => void): void {
    this.#host.resume(this, () => {
      this.waitedUs += this.channel.link.worker.world.clock.now - this.#blockedAt;
      then();
    });
  }

  cancel(recursive: boolean): void {
    this.context.cancelled = true;
    this.onRead?.();
    if (recursive) for (const child of [...this.context.children]) this.context.cancel(child, false);
  }

  wasRead(read: number): void {
    if (read <= this.read) return;
    this.read = read;
    this.onRead?.();
  }
}

/** As a program's context; and `item` gives an item of a generator to its reader. */
class CallContext extends Context {
  readonly #call: Call;
  #items = 0;

  constructor(call: Call, worker: SimWorker, caller: string) {
    super(worker.client, caller, call);
    this.#call = call;
  }

  get items(): number {
    return this.#items;
  }

  override perform(effect: Effect, resume: Resume): void {
    if (effect.kind !== "item") return super.perform(effect, resume);
    const { channel, push } = this.#call;
    const index = this.#items++;
    const { runner } = channel.link.worker;
    const payload = runner.pack(this.#call, effect.value, index);
    runner.handOver(this.#call, parcelOf([payload]), [payload]);
    writeStreamItem(channel.link.end, channel.index, push.seq, index, payload);
    this.#untilRead(resume);
  }

  /** The reader is behind: the producer gives its resources back meanwhile. */
  #untilRead(resume: Resume): void {
    const call = this.#call;
    if (call.context.cancelled) return resume({ error: new SimError("cancelled", "the reader is gone") });
    if (this.#items - call.read < call.push.streamBuffer!) return void this.client.process.post(() => resume({ value: undefined }));
    call.block();
    call.onRead = () => {
      call.onRead = undefined;
      this.client.process.post(() => call.unblock(() => this.#untilRead(resume)));
    };
  }
}

export class CallRunner {
  readonly #worker: SimWorker;

  constructor(worker: SimWorker) {
    this.#worker = worker;
  }

  /** `make` gives the program for the arguments; `ended` is called after the answer. */
  run(call: Call, make: (args: unknown[]) => Program, ended: () => void): void {
    const { client, calls, world } = this.#worker;
    const { push, context } = call;
    calls.add(call);
    call.startedAt = world.clock.now;
    const args = client.open(push.args) as unknown[];
    this.places(args, push.payloads, context, (error) => {
      const done = (answer: Answer): void => {
        this.#answer(call, answer);
        ended();
      };
      if (error) return done({ error });
      call.entered = true;
      context.start(make(args), done);
    });
  }

  /** Puts the values of refs into their places. */
  places(
    args: unknown[],
    payloads: readonly { index: number; payload: Payload }[],
    context: Context,
    done: (error: SimError | undefined) => void,
  ): void {
    const { client } = this.#worker;
    const [first, ...rest] = payloads;
    if (!first) {
      context.reach(args);
      return done(undefined);
    }
    const put = (value: unknown): void => {
      if (value instanceof SimError) return done(value);
      args[first.index] = context.reach(value);
      this.places(args, rest, context, done);
    };
    if (first.payload.kind === "stored") client.read(first.payload.id, put);
    else put(client.open(first.payload));
  }

  /** A call that was cancelled before it began. */
  refuse(call: Call): void {
    this.#reply(call, { kind: "threw", error: this.#worker.client.errorPayload(new SimError("cancelled", "before it began")) });
  }

  pack(call: Call, value: unknown, index: number): Payload {
    const { client } = this.#worker;
    const { owner } = call.channel.link;
    return client.pack(value, () => returnId(taskId(owner, call.push.taskCounter), index));
  }

  /** Says what is in a value before it goes out: from here on the way holds it. */
  handOver({ channel }: Call, parcel: ReturnType<typeof parcelOf>, payloads: readonly Payload[]): void {
    channel.link.way!.sends(parcel);
    this.#letGo(payloads);
  }

  /** What it has stored is held by others. */
  #letGo(payloads: readonly Payload[]): void {
    for (const each of payloads) if (each.kind === "stored") this.#worker.client.send("refDrop", { id: each.id, count: 1 });
  }

  #answer(call: Call, answer: Answer): void {
    const { client } = this.#worker;
    const { push, channel } = call;
    const error = "error" in answer ? answer.error : undefined;
    if (push.streamBuffer !== undefined) {
      const length = (call.context as CallContext).items;
      this.#reply(call, { kind: "stream-ended", length, error: error && client.errorPayload(error) });
    } else if (error?.code === EXIT) {
      this.#reply(call, { kind: "returned", results: [this.pack(call, "bye", 0)] });
      this.#worker.actorExits(channel.actorId!);
    } else if (error) this.#reply(call, { kind: "threw", error: client.errorPayload(error) });
    else {
      const value = "value" in answer ? answer.value : undefined;
      const values = push.numReturns === 1 ? [value] : (value as unknown[]);
      this.#reply(call, { kind: "returned", results: values.map((each, index) => this.pack(call, each, index)) });
    }
  }

  #reply(call: Call, body: ReplyBody): void {
    const { channel, push } = call;
    channel.running.delete(push.seq);
    this.#worker.calls.delete(call);
    const runUs = Math.max(0, this.#worker.world.clock.now - call.startedAt - call.waitedUs);
    this.#worker.callEnds();
    if (call.entered && this.#worker.logged(call, body)) this.#letGo(body.kind === "returned" ? body.results : []);
    else {
      this.handOver(call, replyParcel(body), body.kind === "returned" ? body.results : []);
      writeReply(channel.link.end, { channel: channel.index, seq: push.seq, runUs }, body);
    }
    if (body.kind === "stream-ended") return;
    if (push.shared || channel.shared.delete(push.seq)) {
      if (!call.context.cancelled) this.shared(channel.link.owner, { push, body });
    } else channel.answered.set(push.seq, { push, body });
  }

  /** Others than its owner hold refs to what it returned: the node is told too. */
  shared(owner: ProcessId, { push, body }: Answered): void {
    const { client } = this.#worker;
    const task = taskId(owner, push.taskCounter);
    const results = body.kind === "returned" ? body.results : [];
    for (const [index, payload] of results.entries()) {
      if (payload.kind !== "stored" && results.length === push.numReturns)
        client.send("objectResult", { id: returnId(task, index), payload });
    }
    if (body.kind !== "threw" || !push.errorsFinal) return;
    for (let index = 0; index < push.numReturns; index++) client.send("objectResult", { id: returnId(task, index), payload: body.error });
  }
}
