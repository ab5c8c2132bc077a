/**
 * What is kept of actors that save their state: of each its last checkpoint, and the calls since in the order in which it ran them. It
 * outlives their workers. Not when an actor starts again, nor where: that is control's. See decision 15.
 */
import { replyParcel } from "../protocol/direct.ts";
import type { ActorId, ProcessId } from "../protocol/ids.ts";
import type { Body, LoggedCall, Payload } from "../protocol/messages.ts";
import type { RefId } from "./refs/record.ts";

export interface JournalPort {
  send<N extends "actorAnswer">(to: ProcessId, name: N, body: Body<N>): void;
  hold(ids: readonly RefId[]): void;
  release(ids: readonly RefId[]): void;
  /** A process is about to get these. */
  credit(to: ProcessId, ids: readonly RefId[]): void;
}

interface Journal {
  /** The incarnation that writes it; what an earlier one says comes too late. */
  worker: ProcessId;
  epoch: number;
  state: Payload | undefined;
  calls: LoggedCall[];
}

export class Journals {
  readonly #port: JournalPort;
  readonly #journals = new Map<ActorId, Journal>();

  constructor(port: JournalPort) {
    this.#port = port;
  }

  get size(): number {
    return this.#journals.size;
  }

  /** An incarnation is about to start. Gives what it goes on from, if there was one before it; the refs inside are credited to it. */
  begin(id: ActorId, epoch: number, worker: ProcessId): Body<"actorStart">["restore"] {
    const before = this.#journals.get(id);
    if (before === undefined) {
      this.#journals.set(id, { worker, epoch, state: undefined, calls: [] });
      return undefined;
    }
    before.worker = worker;
    before.epoch = epoch;
    const { state, calls } = before;
    if (state === undefined) return undefined;
    // What is in the store it only reads.
    const given = [state, ...calls.flatMap(payloadsOf)];
    this.#port.credit(
      worker,
      given.flatMap((payload) => (payload.kind === "stored" ? [] : idsOf(payload))),
    );
    return { kind: "saved", state, calls: [...calls] };
  }

  /**
   * A call has ended. From now on it is never undone, and so its owner may know. What is in it is held until then: by the worker, and
   * what is stored by its owner.
   */
  log(from: ProcessId, { actorId, epoch, to, call, answer }: Body<"actorLog">): void {
    const journal = this.#current(from, actorId, epoch);
    if (journal === undefined) return;
    const payloads = call.payloads.map(({ index, payload }) => ({ index, payload: copied(payload) }));
    const kept = { ...call, args: copied(call.args), payloads };
    this.#port.hold(idsOfCall(kept));
    journal.calls.push(kept);
    const { owner, counter, attempt } = call;
    this.#port.credit(owner, replyParcel(answer));
    this.#port.send(owner, "actorAnswer", { ...to, counter, attempt, answer });
  }

  /** The state after the last call of the log. */
  checkpoint(from: ProcessId, { actorId, epoch, state }: Body<"actorCheckpoint">): void {
    const journal = this.#current(from, actorId, epoch);
    if (journal === undefined) return;
    const { state: before, calls } = journal;
    journal.state = copied(state);
    journal.calls = [];
    this.#port.hold(idsOf(state));
    this.#release(before, calls);
  }

  /** The actor does not start again. */
  over(id: ActorId): void {
    const journal = this.#journals.get(id);
    if (journal === undefined) return;
    this.#journals.delete(id);
    this.#release(journal.state, journal.calls);
  }

  check(): void {
    for (const [id, { state, calls }] of this.#journals) {
      if (calls.length > 0 && state === undefined) throw new Error(`calls of actor ${id} are logged, and no state that they follow`);
    }
  }

  #current(from: ProcessId, id: ActorId, epoch: number): Journal | undefined {
    const journal = this.#journals.get(id);
    return journal?.worker === from && journal.epoch === epoch ? journal : undefined;
  }

  #release(state: Payload | undefined, calls: readonly LoggedCall[]): void {
    if (state !== undefined) this.#port.release(idsOf(state));
    for (const call of calls) this.#port.release(idsOfCall(call));
  }
}

const payloadsOf = ({ args, payloads }: LoggedCall): Payload[] => [args, ...payloads.map(({ payload }) => payload)];

const idsOf = (payload: Payload): readonly RefId[] => (payload.kind === "stored" ? [payload.id] : (payload.refs ?? []));

const idsOfCall = (call: LoggedCall): readonly RefId[] => payloadsOf(call).flatMap(idsOf);

/** Its own bytes: those of a message lie among others that came with it, and would keep them all. */
function copied<P extends Payload>(payload: P): P {
  return payload.kind === "stored" ? payload : { ...payload, bytes: new Uint8Array(payload.bytes) };
}
