/**
 * Runs the tasks of the leases on this worker: one at a time, except that a task that waits for others makes room.
 *
 * A batch of short tasks runs in one go, each answered as it ends; now and then the event loop gets its turn, so that a
 * cancel or a take-back is seen.
 */
import { deviceNames, VISIBLE_DEVICES, visibleDevices } from "../gpus.ts";
import type { Push } from "../../protocol/direct.ts";
import type { LeaseId } from "../../protocol/ids.ts";
import { claim } from "../client/claim-blocks.ts";
import type { NodeSender } from "../client/held-refs.ts";
import { RunningCall } from "./call.ts";
import type { Blocking, Channel } from "./call.ts";
import type { CallRunner } from "./call-runner.ts";
import { setFallback } from "./context.ts";
import type { OwnerLink } from "./owner-link.ts";
import { Spans } from "./spans.ts";
import type { Definitions, LoadedFunction } from "./definitions.ts";

/** The event loop gets a turn after so long. */
const TURN_MS = 8;
/** Leases of owners that are gone of which that is remembered. */
const ORPHANED_MAX = 256;
/** A function that takes longer may hold up answers that wait to be written: they go out first. Microseconds. */
const SHORT_US = 500;

interface Resumption {
  readonly call: RunningCall;
  readonly turn: number;
  readonly settle: () => void;
}

export class Executor implements Blocking {
  readonly #runner: CallRunner;
  readonly #definitions: Definitions;
  readonly #node: NodeSender;
  /** Channels with work, in turns. */
  readonly #ready: Channel[] = [];
  readonly #spans: Spans;
  #busy: RunningCall | undefined;
  #scheduled = false;
  /** Blocked calls by lease, waiting for the node's word. */
  readonly #resuming = new Map<LeaseId, Resumption>();
  /** Calls that may go on as soon as the worker is free. */
  readonly #resumed: Resumption[] = [];
  /** Calls that have begun and went on after their first turn. */
  readonly #calls = new Set<RunningCall>();
  /** Leases whose owner is gone, by the node's word. Only the latest: what is asked for is answered within a while or never. */
  readonly #orphaned = new Set<LeaseId>();
  onIdle: () => void = () => {};

  constructor(runner: CallRunner, definitions: Definitions, node: NodeSender) {
    this.#runner = runner;
    this.#definitions = definitions;
    this.#node = node;
    this.#spans = new Spans(node, "task");
  }

  arrived(channel: Channel): void {
    if (!this.#ready.includes(channel)) this.#ready.push(channel);
  }

  /** Runs what is there, until the worker is busy or nothing is left. */
  drain(): void {
    let turnEnd = 0;
    while (!this.#busy && !this.#scheduled) {
      const resumption = this.#resumed.shift();
      if (resumption) {
        this.#busy = resumption.call;
        setFallback(resumption.call);
        resumption.settle();
        return;
      }
      const channel = this.#next();
      if (!channel) break;
      const push = channel.queue.shift()!;
      if (push.claim && channel.words && !claim(channel.words, push.seq)) {
        channel.answers.take(push.seq);
        continue;
      }
      const now = this.#start(channel, push);
      if (turnEnd === 0) turnEnd = now + TURN_MS;
      else if (now > turnEnd) this.#later();
    }
    if (!this.#busy && !this.#scheduled && this.#calls.size === 0) this.onIdle();
  }

  suspend(call: RunningCall): void {
    const { channel } = call;
    channel.suspended = true;
    channel.turn++;
    this.#node.send("taskBlocked", { leaseId: channel.leaseId!, turn: channel.turn });
    channel.link.connection.send("callBlocked", { channel: channel.index, seq: call.push.seq });
    this.#release(call);
  }

  resume(call: RunningCall): Promise<void> {
    const { channel } = call;
    const { turn } = channel;
    // Its owner is gone and its lease with it: nobody will resume it, and nobody wants its result.
    if (channel.closed) return new Promise(() => {});
    return new Promise((settle) => {
      this.#resuming.set(channel.leaseId!, { call, turn, settle });
      this.#node.send("taskUnblocked", { leaseId: channel.leaseId!, turn });
    });
  }

  /** The node gives a blocked task its resources back. */
  resumedByNode(leaseId: LeaseId, turn: number): void {
    const resumption = this.#resuming.get(leaseId);
    if (!resumption || resumption.turn !== turn) return;
    this.#resuming.delete(leaseId);
    resumption.call.channel.suspended = false;
    this.#resumed.push(resumption);
    this.drain();
  }

  /** An owner is gone: its calls that wait are not resumed any more. */
  linkClosed(link: OwnerLink): void {
    for (const [leaseId, { call }] of this.#resuming) if (call.channel.link === link) this.#resuming.delete(leaseId);
  }

  /** The node says that the owner of this lease is gone. It hears when no call of it runs any more; calls that wait will not go on. */
  orphaned(leaseId: LeaseId): void {
    if (this.#orphaned.size >= ORPHANED_MAX) this.#orphaned.delete(this.#orphaned.values().next().value!);
    this.#orphaned.add(leaseId);
    this.#resuming.delete(leaseId);
    for (const { channel } of this.#calls) if (channel.leaseId === leaseId && !channel.suspended) return;
    this.#node.send("leaseOver", { leaseId });
  }

  /** Whether nothing of this lease may begin. */
  isOrphaned(leaseId: LeaseId): boolean {
    return this.#orphaned.has(leaseId);
  }

  #next(): Channel | undefined {
    for (let i = this.#ready.length; i > 0; i--) {
      const channel = this.#ready[0]!;
      if (channel.queue.size === 0 || channel.closed) {
        this.#ready.shift();
        continue;
      }
      if (!channel.suspended) return channel;
      this.#ready.push(this.#ready.shift()!);
    }
    return undefined;
  }

  /** Returns the time. */
  #start(channel: Channel, push: Push): number {
    const definition = channel.link.definitions.get(push.fn);
    const call = new RunningCall(channel, push, definition?.name ?? `function ${push.fn}`, this);
    if (channel.skip.size > 0 && channel.skip.delete(push.seq)) return this.#runner.skipped(call);
    if (!definition) return this.#runner.threw(call, new Error(`function ${push.fn} was called before it was defined`));
    const target = definition.loaded ?? this.#definitions.load(definition.id, definition.name, definition.bytes);
    if (!(target instanceof Promise)) definition.loaded = target;
    if (target instanceof Promise || target.meanUs === undefined || target.meanUs > SHORT_US) channel.link.flush();
    this.#busy = call;
    setVisibleGpus(channel.gpuIds);
    const ending = this.#runner.run(call, target, undefined);
    if (!ending) {
      if (!(target instanceof Promise)) this.#measure(target, call);
      this.#busy = undefined;
      return call.endedAt;
    }
    channel.running.set(push.seq, call);
    this.#calls.add(call);
    void ending.then(() => this.#ended(call, target));
    return performance.now();
  }

  #ended(call: RunningCall, target: LoadedFunction | Promise<LoadedFunction>): void {
    this.#calls.delete(call);
    const { leaseId } = call.channel;
    if (this.#orphaned.size > 0 && leaseId && this.#orphaned.has(leaseId)) this.#node.send("leaseOver", { leaseId });
    if (!(target instanceof Promise)) this.#measure(target, call);
    else this.#spans.add(call, call.ranUs(call.endedAt));
    this.#release(call);
  }

  #measure(target: LoadedFunction, call: RunningCall): void {
    const ran = call.ranUs(call.endedAt);
    this.#spans.add(call, ran);
    target.meanUs = target.meanUs === undefined ? ran : target.meanUs * 0.8 + ran * 0.2;
  }

  #release(call: RunningCall): void {
    if (this.#busy !== call) return;
    this.#busy = undefined;
    setFallback(undefined);
    this.#later();
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

/** What the node itself sees, and so a call without GPUs. */
const visibleToNode = process.env[VISIBLE_DEVICES];
const devicesOfNode = visibleDevices(visibleToNode);
let visible = "";

/** GPUs that the running call was given, for the libraries that read them from the environment. */
export function setVisibleGpus(ids: readonly number[]): void {
  const text = deviceNames(ids, devicesOfNode);
  if (text === visible) return;
  visible = text;
  const shown = ids.length > 0 ? text : visibleToNode;
  if (shown !== undefined) process.env[VISIBLE_DEVICES] = shown;
  else delete process.env[VISIBLE_DEVICES];
}
