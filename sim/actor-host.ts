/** The actor of a simulated worker: its state, and the calls to it, as many at a time as it allows, begun in order. */
import { Deque } from "../src/core/owner/deque.ts";
import type { Push } from "../src/protocol/direct.ts";
import type { ActorId } from "../src/protocol/ids.ts";
import type { Body } from "../src/protocol/messages.ts";
import type { ActorLog } from "./actor-log.ts";
import { Call } from "./calls.ts";
import type { CallHost } from "./calls.ts";
import { claim } from "./claims.ts";
import type { Context } from "./program.ts";
import { sharedIn } from "./values.ts";
import type { Shared } from "./values.ts";
import type { Channel, SimWorker } from "./worker.ts";
import { ACTORS } from "./workloads/actors.ts";

export class ActorHost implements CallHost {
  readonly #worker: SimWorker;
  readonly #start: Body<"actorStart">;
  readonly #state: object;
  readonly #made: Context;
  /** Of an actor that saves its state. */
  log: ActorLog | undefined;
  readonly #queue = new Deque<{ readonly channel: Channel; readonly push: Push }>();
  #running = 0;
  #draining = false;
  #ended = false;

  constructor(worker: SimWorker, start: Body<"actorStart">, state: object, made: Context) {
    this.#worker = worker;
    this.#start = start;
    this.#state = state;
    this.#made = made;
  }

  get id(): ActorId {
    return this.#start.actorId;
  }

  get idle(): boolean {
    return this.#running === 0 && this.#queue.size === 0;
  }

  roots(): Shared[] {
    return [...sharedIn(this.#state), ...this.#made.scope];
  }

  arrived(channel: Channel): void {
    for (let push = channel.queue.shift(); push; push = channel.queue.shift()) {
      if (!push.claim) channel.unclaimed.add(push.seq);
      this.#queue.push({ channel, push });
    }
  }

  *waiting(): Iterable<Push> {
    for (const { push } of this.#queue) yield push;
  }

  drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    while (this.#running < this.#start.options.maxConcurrency && !this.#ended && !this.#worker.process.computing) {
      const next = this.#queue.shift();
      if (!next) break;
      this.#run(next.channel, next.push);
    }
    this.#draining = false;
  }

  end(): void {
    this.#ended = true;
  }

  // A call of an actor keeps what the actor holds while it waits.
  suspend(): void {}

  resume(_call: Call, then: () => void): void {
    this.#worker.process.post(then);
  }

  #run(channel: Channel, push: Push): void {
    channel.unclaimed.delete(push.seq);
    if (channel.closed) return;
    const { world, runner, id } = this.#worker;
    if (push.claim && channel.words && !world.plant.claimed(claim(channel.words, push.seq))) return;
    const { owner, names } = channel.link;
    const name = names.get(push.fn)!;
    const call = new Call(channel, push, name, this);
    channel.running.set(push.seq, call);
    if (channel.skip.delete(push.seq)) return runner.refuse(call);
    const { epoch, className, options } = this.#start;
    // Each id of an actor is a way of its own: there is no order between calls under its alias and under its id.
    const actor = { id: channel.actorId!, epoch, ordered: options.maxConcurrency === 1 };
    world.history.started({ owner, counter: push.taskCounter, attempt: push.attempt, worker: id, name: `${className}.${name}`, actor });
    this.#running++;
    runner.run(
      call,
      (args) => ACTORS[className]!.methods[name]!(call.context, this.#state, ...args),
      () => {
        this.#running--;
        if (!this.#ended) this.log?.saveIfDue();
        this.#worker.idles();
        this.#worker.process.post(() => this.drain());
      },
    );
  }
}
