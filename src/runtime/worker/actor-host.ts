/**
 * The actor of this worker: its instance, and the calls to it. With one call at a time they run in the order in which each
 * caller sent them; above that, and in concurrency groups, they begin in that order and interleave.
 */
import { Deque } from "../../core/owner/deque.ts";
import { InvalidOptionError, suggest } from "../../errors/index.ts";
import type { Push } from "../../protocol/direct.ts";
import type { ProcessId } from "../../protocol/ids.ts";
import type { Body, LoggedCall } from "../../protocol/messages.ts";
import { claim } from "../client/claim-blocks.ts";
import { RunningCall } from "./call.ts";
import type { Blocking, Channel } from "./call.ts";
import type { CallRunner } from "./call-runner.ts";
import type { NodeSender } from "../client/held-refs.ts";
import type { ActorLog } from "./actor-log.ts";
import { setFallback } from "./context.ts";
import type { CallContext } from "./context.ts";
import { Spans } from "./spans.ts";
import { loaded } from "./definitions.ts";
import type { LoadedFunction } from "./definitions.ts";

/** The event loop gets a turn after so long. */
const TURN_MS = 8;

interface Waiting {
  readonly channel: Channel;
  readonly push: Push;
}

/** Calls that share a limit. */
class Group {
  readonly limit: number;
  running = 0;
  readonly queue = new Deque<Waiting>();

  constructor(limit: number) {
    this.limit = limit;
  }
}

export class ActorHost implements Blocking {
  readonly #runner: CallRunner;
  readonly #start: Body<"actorStart">;
  readonly #instance: object;
  readonly #methods = new Map<string, LoadedFunction>();
  readonly #groups = new Map<string, Group>();
  readonly #alone: boolean;
  readonly #spans: Spans;
  #scheduled = false;
  /** Until when calls are begun before the event loop has its turn. */
  #turnEnd = 0;
  #ended = false;
  /** What runs, where calls run one by one. */
  #now: { readonly owner: ProcessId; readonly ending: Promise<void> } | undefined;

  /** Of an actor that saves its state. */
  log: ActorLog | undefined;
  /** A group has nothing more to run. */
  onIdle: () => void = () => {};

  constructor(runner: CallRunner, start: Body<"actorStart">, instance: object, node: NodeSender) {
    this.#spans = new Spans(node, "actor");
    this.#runner = runner;
    this.#start = start;
    this.#instance = instance;
    const { maxConcurrency, concurrencyGroups } = start.options;
    this.#groups.set("", new Group(maxConcurrency));
    for (const [name, limit] of Object.entries(concurrencyGroups ?? {})) this.#groups.set(name, new Group(limit));
    this.#alone = maxConcurrency === 1 && this.#groups.size === 1;
  }

  /** Moves what came in on a channel to the queues of its groups. */
  arrived(channel: Channel): void {
    for (let push = channel.queue.shift(); push; push = channel.queue.shift()) {
      const group = this.#groups.get(push.group);
      if (!push.claim) channel.unclaimed.add(push.seq);
      if (group) group.queue.push({ channel, push });
      else this.#noGroup(channel, push);
    }
  }

  drain(): void {
    this.#turnEnd = performance.now() + TURN_MS;
    for (const group of this.#groups.values()) this.#drainGroup(group);
  }

  #drainGroup(group: Group): void {
    while (group.running < group.limit && !this.#ended) {
      const next = group.queue.shift();
      if (!next) return;
      if (this.#run(group, next) > this.#turnEnd) return this.#later();
    }
  }

  /** Nothing begins any more. */
  end(): void {
    this.#ended = true;
    this.log?.end();
  }

  /** Nothing runs for this owner any more. */
  async ended(owner: ProcessId): Promise<void> {
    if (this.#now?.owner === owner) await this.#now.ending;
  }

  /** Nothing runs, and nothing waits to. */
  get idle(): boolean {
    for (const { running, queue } of this.#groups.values()) if (running > 0 || queue.size > 0) return false;
    return true;
  }

  /** Runs calls that an earlier incarnation has answered, so that its state is theirs. */
  async replay(calls: readonly LoggedCall[], context: (call: LoggedCall) => CallContext): Promise<void> {
    for (const call of calls) {
      const method = this.#method(call.method);
      if (method) await this.#runner.again(call, context(call), method, this.#instance);
    }
  }

  // A call of an actor keeps what the actor holds while it waits.
  suspend(): void {}

  resume(): Promise<void> {
    return Promise.resolve();
  }

  /** Returns the time. */
  #run(group: Group, { channel, push }: Waiting): number {
    if (!push.claim) channel.unclaimed.delete(push.seq);
    if (channel.closed) return 0;
    if (push.claim && channel.words && !claim(channel.words, push.seq)) {
      channel.answers.take(push.seq);
      return 0;
    }
    const name = channel.link.definitions.get(push.fn)?.name ?? "";
    const method = this.#method(name);
    const call = new RunningCall(channel, push, method?.name ?? `${this.#start.className}.${name}`, this);
    if (channel.skip.size > 0 && channel.skip.delete(push.seq)) return this.#runner.skipped(call);
    if (!method) return this.#runner.refused(call, this.#noMethod(name));
    if (this.log && push.streamBuffer !== undefined) return this.#runner.refused(call, this.#noStream(name));
    if (method.meanUs === undefined || method.meanUs > 500) {
      channel.link.flush();
      this.log?.flush();
    }
    const ending = this.#runner.run(call, method, this.#instance);
    const now = ending ? performance.now() : call.endedAt;
    const ran = call.ranUs(now);
    method.meanUs = method.meanUs === undefined ? ran : method.meanUs * 0.8 + ran * 0.2;
    if (!ending) {
      this.#spans.add(call, ran);
      if (this.log && !this.#ended) this.log.saveIfDue(now);
      return now;
    }
    channel.running.set(push.seq, call);
    group.running++;
    if (this.#alone) this.#now = { owner: channel.link.owner, ending };
    void ending.then(() => this.#over(group, call));
    return now;
  }

  /** The next of its group begins in the same turn, while the turn lasts. */
  #over(group: Group, call: RunningCall): void {
    this.#spans.add(call, call.ranUs(call.endedAt));
    group.running--;
    if (this.#alone) this.#now = undefined;
    if (this.log && !this.#ended) this.log.saveIfDue(performance.now());
    if (this.#alone) setFallback(undefined);
    if (group.queue.size === 0) return this.onIdle();
    if (performance.now() < this.#turnEnd) this.#drainGroup(group);
    else this.#later();
  }

  #method(name: string): LoadedFunction | undefined {
    const known = this.#methods.get(name);
    if (known) return known;
    const value: unknown = name === "constructor" ? undefined : Reflect.get(this.#instance, name);
    if (typeof value !== "function") return undefined;
    const method = loaded(`${this.#start.className}.${name}`, value as (...args: unknown[]) => unknown);
    // Where calls interleave, only their own context tells them apart.
    if (!this.#alone) method.follow = true;
    this.#methods.set(name, method);
    return method;
  }

  #noMethod(name: string): InvalidOptionError {
    const names: string[] = [];
    let isOther = false;
    for (let at: object | null = this.#instance; at && at !== Object.prototype; at = Object.getPrototypeOf(at) as object | null) {
      for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
        if (key === "constructor") continue;
        if (typeof value === "function") names.push(key);
        else isOther ||= key === name;
      }
    }
    const { className } = this.#start;
    const what = isOther ? `${className}.${name} is no method` : `${className} has no method ${JSON.stringify(name)}`;
    return new InvalidOptionError(`${what}. ${suggest(name, names)}`, { option: name });
  }

  #noStream(name: string): InvalidOptionError {
    const what =
      `${this.#start.className}.${name} is a generator, and its actor has the option checkpoint: what was read of it could not be taken ` +
      "back. Return a list, or let an actor without checkpoint make the items.";
    return new InvalidOptionError(what, { option: "checkpoint", value: name });
  }

  #noGroup(channel: Channel, push: Push): void {
    channel.unclaimed.delete(push.seq);
    const call = new RunningCall(channel, push, this.#start.className, this);
    const names = [...this.#groups.keys()].filter((name) => name !== "");
    const what = `${this.#start.className} has no concurrency group ${JSON.stringify(push.group)}. ${suggest(push.group, names)}`;
    this.#runner.refused(call, new InvalidOptionError(what, { option: "concurrencyGroup", value: push.group }));
  }

  #later(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.drain();
    });
  }
}
