/** Runs the tasks of the leases on a simulated worker: one at a time, except that a task that waits for others makes room. */
import type { Push } from "../src/protocol/direct.ts";
import type { LeaseId } from "../src/protocol/ids.ts";
import { Call } from "./calls.ts";
import type { CallHost } from "./calls.ts";
import { claim } from "./claims.ts";
import type { Channel, SimWorker } from "./worker.ts";
import { FUNCTIONS } from "./workloads/functions.ts";

/** The event loop gets a turn after so long. */
const TURN_US = 8000;

interface Resumption {
  readonly call: Call;
  readonly turn: number;
  readonly then: () => void;
}

export class Executor implements CallHost {
  readonly #worker: SimWorker;
  readonly #ready: Channel[] = [];
  #busy: Call | undefined;
  #scheduled = false;
  #turnEnd = 0;
  readonly #resuming = new Map<LeaseId, Resumption>();
  readonly #resumed: Resumption[] = [];
  /** Leases whose owner is gone, by the node's word. */
  readonly orphans = new Set<LeaseId>();

  constructor(worker: SimWorker) {
    this.#worker = worker;
  }

  arrived(channel: Channel): void {
    if (!this.#ready.includes(channel)) this.#ready.push(channel);
  }

  drain(): void {
    this.#turnEnd = this.#worker.world.clock.now + TURN_US;
    this.#drain();
  }

  suspend(call: Call): void {
    const { channel, push } = call;
    channel.suspended = true;
    channel.turn++;
    this.#worker.client.send("taskBlocked", { leaseId: channel.leaseId!, turn: channel.turn });
    channel.link.end.send("callBlocked", { channel: channel.index, seq: push.seq });
    this.#worker.world.history.usesNoMore(this.#worker.id, call);
    this.#release(call);
  }

  resume(call: Call, then: () => void): void {
    const { channel } = call;
    const { turn } = channel;
    if (channel.closed) return void this.#worker.calls.delete(call);
    this.#resuming.set(channel.leaseId!, { call, turn, then });
    this.#worker.client.send("taskUnblocked", { leaseId: channel.leaseId!, turn });
  }

  /** Its owner is gone, and its lease with it: nobody will ever resume its calls. */
  abandon(channel: Channel): void {
    const { leaseId } = channel;
    if (leaseId) this.#resuming.delete(leaseId);
    if (channel.suspended) for (const call of channel.running.values()) this.#worker.calls.delete(call);
  }

  /** The node says that the owner of this lease is gone. It hears when no call of it runs any more. */
  orphaned(leaseId: LeaseId): void {
    this.orphans.add(leaseId);
    const { calls, client } = this.#worker;
    for (const { channel } of calls) if (channel.leaseId === leaseId && !channel.suspended) return;
    client.send("leaseOver", { leaseId });
  }

  resumedByNode(leaseId: LeaseId, turn: number): void {
    const resumption = this.#resuming.get(leaseId);
    if (!resumption || resumption.turn !== turn) return;
    this.#resuming.delete(leaseId);
    resumption.call.channel.suspended = false;
    this.#resumed.push(resumption);
    this.drain();
  }

  #drain(): void {
    const { clock } = this.#worker.world;
    while (!this.#busy && !this.#scheduled) {
      const resumption = this.#resumed.shift();
      if (resumption) {
        this.#busy = resumption.call;
        this.#worker.process.post(resumption.then);
        return;
      }
      const channel = this.#next();
      if (!channel) return;
      const push = channel.queue.shift()!;
      if (push.claim && channel.words && !this.#worker.world.plant.claimed(claim(channel.words, push.seq))) continue;
      this.#start(channel, push);
      if (clock.now > this.#turnEnd && !this.#busy) this.#later();
    }
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

  #start(channel: Channel, push: Push): void {
    const { runner, world, id } = this.#worker;
    const { owner, names } = channel.link;
    const name = names.get(push.fn)!;
    const call = new Call(channel, push, name, this);
    channel.running.set(push.seq, call);
    if (channel.skip.delete(push.seq)) return runner.refuse(call);
    this.#busy = call;
    world.history.started({ owner, counter: push.taskCounter, attempt: push.attempt, worker: id, name, actor: undefined });
    // A lease whose task has waited may go on with less than it had, where actors and groups hold the rest for life.
    if (channel.turn === 0) world.history.uses(id, call, channel.assigned);
    let sync = true;
    const since = world.clock.now;
    runner.run(
      call,
      (args) => FUNCTIONS[name]!(call.context, ...args),
      () => {
        world.history.usesNoMore(id, call);
        if (channel.leaseId && this.orphans.has(channel.leaseId)) this.#worker.client.send("leaseOver", { leaseId: channel.leaseId });
        // A call that only computed is followed by the next at once; else the event loop comes first.
        if (this.#busy !== call) return;
        this.#busy = undefined;
        if (sync) return;
        if (world.clock.now > since + TURN_US || call.waitedUs > 0) this.#later();
        else this.#drain();
      },
    );
    sync = false;
  }

  #release(call: Call): void {
    if (this.#busy !== call) return;
    this.#busy = undefined;
    this.#later();
  }

  #later(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    this.#worker.process.post(() => {
      this.#scheduled = false;
      this.drain();
    });
  }
}
