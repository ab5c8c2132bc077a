/** The log and the checkpoints of a simulated actor that saves its state, as the worker's of production has them. */
import { Saves } from "../src/core/saves.ts";
import type { ReplyBody } from "../src/protocol/direct.ts";
import { putId } from "../src/protocol/ids.ts";
import type { Body, LoggedAnswer, LoggedCall } from "../src/protocol/messages.ts";
import type { Call } from "./calls.ts";
import { Context } from "./program.ts";
import type { SimError } from "./values.ts";
import type { SimWorker } from "./worker.ts";
import { ACTORS } from "./workloads/actors.ts";

export class ActorLog {
  readonly #worker: SimWorker;
  readonly #start: Body<"actorStart">;
  readonly #state: object;
  readonly #saves: Saves;

  constructor(worker: SimWorker, start: Body<"actorStart">, state: object) {
    this.#worker = worker;
    this.#start = start;
    this.#state = state;
    this.#saves = new Saves(start.options.checkpoint!);
  }

  ended({ push, name, channel }: Call, answer: ReplyBody): void {
    const { actorId, epoch } = this.#start;
    const { args, payloads, taskCounter: counter, attempt, seq } = push;
    this.#worker.client.send("actorLog", {
      actorId,
      epoch,
      to: { actorId: channel.actorId!, seq },
      call: { owner: channel.link.owner, counter, attempt, method: name, args, payloads },
      answer: answer as LoggedAnswer,
    });
    this.#saves.ended(100, this.#worker.world.clock.ms);
  }

  saveIfDue(): void {
    if (this.#saves.due(this.#worker.world.clock.ms)) this.save();
  }

  save(): void {
    const { client } = this.#worker;
    const { actorId, epoch } = this.#start;
    const state = client.pack(this.#state, () => putId(client.id, client.owner.nextCounter()));
    client.send("actorCheckpoint", { actorId, epoch, state });
    if (state.kind === "stored") client.send("refDrop", { id: state.id, count: 1 });
    this.#saves.saved();
  }

  /** Runs the calls of the log again, one after the other. `reached` is told what each can reach. */
  replay(calls: readonly LoggedCall[], reached: (context: Context) => void, done: (error: SimError | undefined) => void): void {
    const [first, ...rest] = calls;
    if (!first) return done(undefined);
    const { client, runner } = this.#worker;
    const { args: payload, payloads, method } = first;
    const context = new Context(client, `${first.owner}-${first.counter}`);
    reached(context);
    if (payload.kind === "stored") throw new Error("arguments of a call are stored");
    const args = client.open(payload) as unknown[];
    runner.places(args, payloads, context, (error) => {
      if (error) return done(error);
      const program = ACTORS[this.#start.className]!.methods[method]!(context, this.#state, ...args);
      // What it answers was answered before.
      context.start(program, () => this.replay(rest, reached, done));
    });
  }
}
