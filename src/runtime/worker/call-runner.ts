/**
 * Runs one call to its answer: arguments in, the function or method, results or error out, items of a generator one by one.
 * A plain call whose values are all here is answered before `run` returns, without a promise.
 */
import { InvalidOptionError, MobulaError, TaskError } from "../../errors/index.ts";
import type { ObjectId, ProcessId } from "../../protocol/ids.ts";
import { returnId, taskId } from "../../protocol/ids.ts";
import { parcelOf, replyParcel, writeReply, writeStreamItem } from "../../protocol/direct.ts";
import type { InlinePayload, Push, ReplyBody } from "../../protocol/direct.ts";
import type { LoggedCall, Payload } from "../../protocol/messages.ts";
import { Later } from "../client/packing.ts";
import type { HeldId } from "../client/held-refs.ts";
import type { Packing } from "../client/packing.ts";
import type { RunningCall } from "./call.ts";
import { ActorExit, runFollowed, runPlain, setFallback } from "./context.ts";
import type { CallContext } from "./context.ts";
import type { LoadedFunction } from "./definitions.ts";
import { sharedResults } from "./shared-answers.ts";
import type { Answered } from "./shared-answers.ts";

export interface RunnerHost {
  readonly packing: Packing;
  /** This process holds these once less. */
  letGo(ids: readonly ObjectId[]): void;
  /** A call ends: its answer is about to go out. */
  ends(): void;
  /** Tells the node of a result that others than its owner hold refs to. */
  result(id: ObjectId, payload: Payload): void;
  /** What runs now, for the prefix of its output. */
  titled(title: string): void;
  /** An answer of a call whose code was entered. Returns whether it goes to its owner by another way. */
  logged(call: RunningCall, body: ReplyBody): boolean;
  /** exitActor() was called: the answer is out, the actor ends. */
  actorExits(): void;
}

const NONE: readonly Payload[] = [];

export class CallRunner {
  readonly #host: RunnerHost;

  constructor(host: RunnerHost) {
    this.#host = host;
  }

  run(call: RunningCall, target: LoadedFunction | Promise<LoadedFunction>, self: unknown): Promise<void> | undefined {
    if (self === undefined) this.#host.titled(call.name);
    if (target instanceof Promise) return this.#runLater(call, target, self);
    let args: unknown[];
    try {
      const early = this.#arguments(call.push);
      if (!early) return this.#runLater(call, target, self);
      args = early;
    } catch (error) {
      this.threw(call, error);
      return undefined;
    }
    return this.#invoke(call, target, self, args);
  }

  /** Runs a call of the log again. Its answer was given before, whatever it was. */
  async again({ args, payloads }: LoggedCall, context: CallContext, target: LoadedFunction, self: unknown): Promise<void> {
    const values = await this.#argumentsLater({ args: args as InlinePayload, payloads });
    try {
      await runFollowed(context, () => target.fn.apply(self, values));
    } catch (error) {
      if (error instanceof ActorExit) throw error;
      // What it throws it threw before, and its caller knows.
    }
  }

  /** A call that was cancelled before it began. */
  skipped(call: RunningCall): number {
    return this.threw(call, call.cancelError());
  }

  /** Answers with an error; what user code threw is wrapped in a TaskError. As all that answer, it returns the time. */
  threw(call: RunningCall, error: unknown): number {
    if (call.exits || error instanceof ActorExit) return this.#exited(call);
    return this.#reply(call, { kind: "threw", error: this.errorPayload(call, error) });
  }

  /** It called exitActor(), whatever it did afterwards: each of its results is undefined. */
  #exited(call: RunningCall): number {
    const results = Array.from({ length: call.push.numReturns }, (_, index) => this.#pack(call, undefined, index));
    this.#reply(call, { kind: "returned", results });
    this.#host.actorExits();
    return call.endedAt;
  }

  errorPayload(call: RunningCall, error: unknown): Payload {
    const { taskId, actorId } = call;
    const wrapped = TaskError.wrap(error, { taskId, actorId, functionName: call.name, attempt: call.attempt, pid: process.pid });
    return this.#error(wrapped);
  }

  /** Arguments at once, or undefined when some must be read or imported first. */
  #arguments(push: Push): unknown[] | undefined {
    const { packing } = this.#host;
    for (const { payload } of push.payloads) if (payload.kind === "stored") return undefined;
    const args = packing.open(push.args);
    if (args instanceof Later) return undefined;
    for (const { index, payload } of push.payloads) {
      const value = payload.kind === "stored" ? undefined : packing.open(payload);
      if (value instanceof Later) return undefined;
      (args as unknown[])[index] = value;
    }
    return args as unknown[];
  }

  async #argumentsLater(push: Pick<Push, "args" | "payloads">): Promise<unknown[]> {
    const { packing } = this.#host;
    const opened = packing.open(push.args);
    const args = (opened instanceof Later ? await opened.promise : opened) as unknown[];
    const places = push.payloads.map(async ({ index, payload }) => {
      const value = payload.kind === "stored" ? await packing.read(payload.id) : packing.open(payload);
      args[index] = value instanceof Later ? await value.promise : value;
    });
    await Promise.all(places);
    return args;
  }

  async #runLater(call: RunningCall, target: LoadedFunction | Promise<LoadedFunction>, self: unknown): Promise<void> {
    call.startedAt = performance.now();
    let args: unknown[];
    let fn: LoadedFunction;
    try {
      fn = await target;
      args = await this.#argumentsLater(call.push);
    } catch (error) {
      this.refused(call, error);
      return;
    }
    await this.#invoke(call, fn, self, args);
  }

  #invoke(call: RunningCall, target: LoadedFunction, self: unknown, args: unknown[]): Promise<void> | undefined {
    call.startedAt = performance.now();
    call.entered = true;
    const stream = call.push.streamBuffer !== undefined;
    let value: unknown;
    try {
      value = target.follow ? runFollowed(call, () => target.fn.apply(self, args)) : runPlain(call, target.fn, self, args);
    } catch (error) {
      if (stream) this.#streamEnded(call, 0, error);
      else this.threw(call, error);
      return undefined;
    }
    if (stream) return this.#stream(call, value);
    if (isThenable(value)) {
      // From its next call on, the awaits of this function keep their context.
      if (!target.follow) setFallback(call);
      target.follow = true;
      return this.#settle(call, value);
    }
    this.#returned(call, value);
    return undefined;
  }

  /** One promise more than the call's own: in a process where contexts are followed, each costs as much as all the rest of a tiny call. */
  #settle(call: RunningCall, value: PromiseLike<unknown>): Promise<void> {
    return Promise.resolve(value).then(
      (result) => {
        if (call.blocked) return this.#regain(call).then(() => void this.#returned(call, result));
        return void this.#returned(call, result);
      },
      (error: unknown) => {
        if (call.blocked) return this.#regain(call).then(() => void this.threw(call, error));
        return void this.threw(call, error);
      },
    );
  }

  /** A call that ends while something it did not await still waits has its resources back before it answers. */
  async #regain(call: RunningCall): Promise<void> {
    while (call.blocked) await call.unblock();
  }

  #returned(call: RunningCall, value: unknown): number {
    if (call.exits) return this.#exited(call);
    const { numReturns } = call.push;
    let results: Payload[] | readonly Payload[];
    try {
      if (numReturns === 1) results = [this.#pack(call, value, 0)];
      else if (numReturns === 0) results = NONE;
      else results = this.#several(call, value, numReturns);
    } catch (error) {
      return this.refused(call, error);
    }
    return this.#reply(call, { kind: "returned", results });
  }

  #several(call: RunningCall, value: unknown, numReturns: number): Payload[] {
    if (!Array.isArray(value) || value.length !== numReturns) {
      const got = Array.isArray(value) ? `an array of ${value.length}` : `${value === null ? "null" : typeof value}, not an array`;
      throw new InvalidOptionError(
        `${call.name} returned ${got}, but numReturns is ${numReturns}. Return an array of that length, or change numReturns.`,
        { option: "numReturns", value: numReturns },
      );
    }
    const packed: Payload[] = [];
    try {
      for (const each of value) packed.push(this.#pack(call, each, packed.length));
      return packed;
    } catch (error) {
      // Those that are stored already nobody will get.
      this.#host.letGo(storedIn(packed));
      throw error;
    }
  }

  #pack(call: RunningCall, value: unknown, index: number): Payload {
    const { packing } = this.#host;
    const tiny = packing.tiny(value);
    if (tiny) return tiny;
    return packing.pack(packing.encode(value, "return value"), () => this.#resultId(call, index));
  }

  #resultId(call: RunningCall, index: number): ObjectId {
    return returnId(call.taskId, index);
  }

  /** An error of ours, not of user code: it goes as it is. */
  refused(call: RunningCall, error: unknown): number {
    if (!(error instanceof MobulaError)) return this.threw(call, error);
    return this.#reply(call, { kind: "threw", error: this.#error(error) });
  }

  #error(error: MobulaError): Payload {
    return this.#host.packing.error(error);
  }

  #reply(call: RunningCall, body: ReplyBody): number {
    const { channel, push } = call;
    if (channel.running.size > 0) channel.running.delete(push.seq);
    const now = performance.now();
    call.endedAt = now;
    this.#host.ends();
    if (call.entered && this.#host.logged(call, body)) this.#host.letGo(body.kind === "returned" ? storedIn(body.results) : []);
    else {
      this.#handOver(call, replyParcel(body), body.kind === "returned" ? body.results : NONE);
      writeReply(channel.link.connection, { channel: channel.index, seq: push.seq, runUs: call.ranUs(now) }, body);
      channel.link.answered(now);
    }
    if (body.kind !== "stream-ended") this.#share(call, body);
    return now;
  }

  #share(call: RunningCall, body: ReplyBody): void {
    const { channel, push } = call;
    if (!push.shared && !channel.answers.take(push.seq)) channel.answers.keep(push, body);
    // Of a cancelled call its owner has said what it is.
    else if (!call.cancelled) this.shared(channel.link.owner, { push, body });
  }

  /** An answer whose results others hold refs to: its owner may be computing. */
  shared(owner: ProcessId, answered: Answered): void {
    const task = taskId(owner, answered.push.taskCounter);
    for (const { index, payload } of sharedResults(answered)) this.#host.result(returnId(task, index), payload);
  }

  /** Says what is in a value before it goes out: from here on the way holds it. */
  #handOver(call: RunningCall, parcel: readonly HeldId[], payloads: readonly Payload[]): void {
    if (parcel.length === 0) return;
    call.channel.link.way?.sends(parcel);
    this.#host.letGo(storedIn(payloads));
  }

  async #stream(call: RunningCall, value: unknown): Promise<void> {
    const items = iteratorOf(value);
    if (!items) {
      const error = new InvalidOptionError(
        `${call.name} was called as a generator but returned ${typeof value}, which cannot be iterated.`,
      );
      return this.#streamEnded(call, 0, error);
    }
    const limit = call.push.streamBuffer!;
    let index = 0;
    try {
      for (;;) {
        while (index - call.read >= limit && !call.cancelled) await this.#untilRead(call);
        if (call.cancelled) {
          await items.return?.();
          break;
        }
        const next = await runFollowed(call, () => items.next());
        if (next.done) break;
        const payload = this.#pack(call, next.value, index);
        this.#handOver(call, parcelOf([payload]), [payload]);
        writeStreamItem(call.channel.link.connection, call.channel.index, call.push.seq, index++, payload);
        await undefined; // what was written goes out before the producer runs on
      }
    } catch (error) {
      await this.#regain(call);
      return this.#streamEnded(call, index, error);
    }
    await this.#regain(call);
    this.#streamEnded(call, index, undefined);
  }

  /** The reader is behind: the producer gives its resources back meanwhile. */
  async #untilRead(call: RunningCall): Promise<void> {
    call.block();
    await new Promise<void>((resolve) => (call.onRead = resolve));
    call.onRead = undefined;
    await call.unblock();
  }

  #streamEnded(call: RunningCall, length: number, error: unknown): void {
    const exits = call.exits || error instanceof ActorExit;
    const payload = error === undefined || exits ? undefined : this.errorPayload(call, error);
    this.#reply(call, { kind: "stream-ended", length, error: payload });
    if (exits) this.#host.actorExits();
  }
}

const storedIn = (payloads: readonly Payload[]): ObjectId[] => payloads.flatMap((each) => (each.kind === "stored" ? [each.id] : []));

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (
    value instanceof Promise || (typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function")
  );
}

function iteratorOf(value: unknown): Iterator<unknown> | AsyncIterator<unknown> | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const source = value as Partial<AsyncIterable<unknown> & Iterable<unknown>>;
  return source[Symbol.asyncIterator]?.() ?? source[Symbol.iterator]?.();
}
