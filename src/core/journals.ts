/**
 * What is kept of actors that save their state: of each its last checkpoint, and the calls since in the order in which it ran them. It
 * outlives their workers, and on a cluster their nodes: it lies at the actor's home. Not when an actor starts again, nor where: that is
 * control's. See decisions 15 and 23.
 */
import { homeOf, prefixOf } from "../protocol/ids.ts";
import type { ActorId, NodePrefix, ObjectId, ProcessId } from "../protocol/ids.ts";
import type { Body, LoggedCall, Payload } from "../protocol/messages.ts";
import type { RefId } from "./refs/record.ts";
import { CALL_BYTES, LOG_BYTES_WORST } from "./saves.ts";

export interface JournalPort {
  /** To a process of any node, in this order, and once all that is held by then is held. What is in an answer is held for its receiver. */
  send<N extends "actorAnswer" | "actorSave" | "actorSaved" | "callsCut" | "callsSettled">(to: ProcessId, name: N, body: Body<N>): void;
  hold(ids: readonly RefId[]): void;
  release(ids: readonly RefId[]): void;
  /** The bytes of a checkpoint lie on another node, and are to lie here: `copied` says what became of that. */
  copy(actorId: ActorId, id: ObjectId): void;
}

/** A checkpoint whose bytes are not here yet: until they are, what came before is kept. */
interface Saving {
  readonly state: Payload & { kind: "stored" };
  /** So many calls of the log are in it, of so many bytes. */
  covers: number;
  bytes: number;
}

interface Journal {
  /** The incarnation that writes it; undefined: what one says comes too late. */
  worker: ProcessId | undefined;
  epoch: number;
  state: Payload | undefined;
  calls: LoggedCall[];
  bytes: number;
  /** At most two: one on its way, and the latest. */
  readonly saving: Saving[];
  /** A copy did not come about: the worker is to save again after its next call. */
  again: boolean;
  /** A process that is gone and whose last words may be under way; what owners are to hear after those. */
  awaited: ProcessId | undefined;
  readonly held: (() => void)[];
}

export class Journals {
  readonly #port: JournalPort;
  readonly #self: NodePrefix | undefined;
  readonly #journals = new Map<ActorId, Journal>();
  /** Workers that were given an actor, and have not been heard to be gone. */
  readonly #writers = new Map<ProcessId, ActorId>();

  /** `self`: this node, where there are others. */
  constructor(port: JournalPort, self?: NodePrefix) {
    this.#port = port;
    this.#self = self;
  }

  get size(): number {
    return this.#journals.size;
  }

  get ids(): ActorId[] {
    return [...this.#journals.keys()];
  }

  /** An incarnation is about to start. Gives what it goes on from, if there was one before it; the refs inside are to be held for it. */
  begin(id: ActorId, epoch: number, worker: ProcessId): Body<"actorStart">["restore"] {
    this.#writers.set(worker, id);
    const before = this.#journals.get(id);
    if (before === undefined) {
      const nothing = { state: undefined, calls: [], bytes: 0, saving: [], again: false, awaited: undefined, held: [] };
      this.#journals.set(id, { worker, epoch, ...nothing });
      return undefined;
    }
    before.worker = worker;
    before.epoch = epoch;
    const { state, calls } = before;
    return state && { state, calls: [...calls] };
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
    journal.bytes += CALL_BYTES + sizeOf(kept);
    const { owner, counter, attempt } = call;
    this.#port.send(owner, "actorAnswer", { ...to, counter, attempt, answer });
    if (journal.again) {
      journal.again = false;
      this.#port.send(from, "actorSave", { actorId, epoch });
    }
    if (journal.bytes > LOG_BYTES_WORST && this.#isFar(from)) this.#tooLong(from, actorId, journal);
  }

  /** The state after the last call of the log. */
  checkpoint(from: ProcessId, { actorId, epoch, state }: Body<"actorCheckpoint">): void {
    const journal = this.#current(from, actorId, epoch);
    if (journal === undefined) return;
    const { calls, bytes, saving } = journal;
    this.#port.hold(idsOf(state));
    if (state.kind !== "stored" || !this.#isFar(from)) {
      for (const { state: unneeded } of saving.splice(0)) this.#port.release(idsOf(unneeded));
      return this.#saved(journal, copied(state), calls.length, bytes);
    }
    if (saving.length === 2) this.#port.release(idsOf(saving.pop()!.state));
    saving.push({ state, covers: calls.length, bytes });
    if (saving.length === 1) this.#port.copy(actorId, state.id);
  }

  /** The bytes of a checkpoint are here, or, with the reason why, will not be. */
  copied(actorId: ActorId, id: ObjectId, why?: string): void {
    const journal = this.#journals.get(actorId);
    const [done, next] = journal?.saving ?? [];
    if (journal === undefined || done?.state.id !== id) return;
    journal.saving.shift();
    if (why === undefined) {
      if (next !== undefined) {
        next.covers -= done.covers;
        next.bytes -= done.bytes;
      }
      this.#saved(journal, done.state, done.covers, done.bytes);
    } else {
      journal.again = true;
      this.#port.release(idsOf(done.state));
    }
    if (next !== undefined) this.#port.copy(actorId, next.state.id);
    const { worker, epoch, state } = journal;
    if (worker === undefined) return;
    if (state !== undefined) return this.#port.send(worker, "actorSaved", { actorId, epoch });
    const message = `its first state could not be brought to the node of its maker, which keeps it: ${why}`;
    if (next === undefined) this.#giveUp(worker, actorId, journal, message);
  }

  /** The actor does not start again. Its owners hear before what they were told to hear first. */
  over(id: ActorId): void {
    const journal = this.#journals.get(id);
    if (journal === undefined) return;
    if (journal.awaited !== undefined) return void journal.held.push(() => this.over(id));
    this.#journals.delete(id);
    const { state, calls, saving } = journal;
    this.#release(state, calls);
    for (const { state: unneeded } of saving) this.#port.release(idsOf(unneeded));
  }

  // ── on a cluster ─────────────────────────────────────────────────────────────────────────────

  /**
   * News of an actor that goes by its home: `pass` sends it on, behind the answers that have been sent. Nothing is logged after it of
   * incarnations before `epoch`; what `after` had said, which is gone, comes before it.
   */
  news(id: ActorId, epoch: number, after: ProcessId | undefined, pass: () => void): void {
    const journal = this.#journals.get(id);
    if (journal === undefined) return pass();
    if (after !== undefined && journal.worker === after) journal.awaited = after;
    const run = (): void => {
      if (epoch > journal.epoch) {
        journal.epoch = epoch;
        journal.worker = undefined;
      }
      pass();
    };
    if (journal.awaited === undefined) run();
    else journal.held.push(run);
  }

  /** A process is gone, and all that it had said has come. */
  processGone(process: ProcessId): void {
    const journal = this.#journals.get(this.#writers.get(process)!);
    this.#writers.delete(process);
    if (journal === undefined) return;
    if (journal.worker === process) journal.worker = undefined;
    if (journal.awaited !== process) return;
    journal.awaited = undefined;
    for (const run of journal.held.splice(0)) run();
  }

  /** A node is gone. A log that names objects of it could not be run again: it is cut short as long as there is a worker that can. */
  nodeLost(node: NodePrefix): void {
    for (const process of [...this.#writers.keys()]) if (prefixOf(process) === node) this.processGone(process);
    for (const [actorId, { worker, epoch, calls }] of this.#journals) {
      if (worker === undefined || !calls.some((call) => idsOfCall(call).some((id) => homeOf(id) === node))) continue;
      this.#port.send(worker, "actorSave", { actorId, epoch });
    }
  }

  /** An owner's way to the actor broke: which of its calls were begun? If the incarnation is gone, the news of that says it. */
  callsLost(owner: ProcessId, { actorId, epoch }: Body<"callsLost">): void {
    const journal = this.#journals.get(actorId);
    if (journal?.worker !== undefined && journal.epoch === epoch) this.#port.send(journal.worker, "callsCut", { actorId, epoch, owner });
  }

  callsOver(from: ProcessId, { actorId, epoch, owner }: Body<"callsOver">): void {
    if (this.#current(from, actorId, epoch) !== undefined) this.#port.send(owner, "callsSettled", { actorId, epoch });
  }

  check(): void {
    for (const [id, journal] of this.#journals) {
      const { state, calls, saving, worker, awaited, held, bytes } = journal;
      if (calls.length > 0 && state === undefined) {
        throw new Error(`calls of actor ${id} are logged, and no state that they follow`);
      }
      if (saving.length > 2 || saving.some(({ covers }) => covers < 0 || covers > calls.length)) {
        throw new Error(`a checkpoint of actor ${id} covers calls that are not in its log`);
      }
      if (bytes !== calls.reduce((sum, call) => sum + CALL_BYTES + sizeOf(call), 0)) throw new Error(`the log of ${id} is miscounted`);
      if (worker !== undefined && this.#writers.get(worker) !== id) throw new Error(`the worker ${worker} of actor ${id} is not known`);
      if (held.length > 0 && awaited === undefined) throw new Error(`news of actor ${id} is held back for nobody`);
    }
  }

  #current(from: ProcessId, id: ActorId, epoch: number): Journal | undefined {
    const journal = this.#journals.get(id);
    return journal?.worker === from && journal.epoch === epoch ? journal : undefined;
  }

  #isFar(process: ProcessId): boolean {
    return this.#self !== undefined && prefixOf(process) !== this.#self;
  }

  /** This state takes the place of the one before and of so many calls. */
  #saved(journal: Journal, state: Payload, covers: number, bytes: number): void {
    const before = journal.state;
    journal.state = state;
    journal.bytes -= bytes;
    this.#release(before, journal.calls.splice(0, covers));
  }

  #tooLong(worker: ProcessId, actorId: ActorId, journal: Journal): void {
    const message =
      `its log at the node of its maker has ${journal.bytes} bytes, and no checkpoint that could cut it short has come there: the object ` +
      "store of that node is full, or the state too large to be saved so often";
    this.#giveUp(worker, actorId, journal, message);
  }

  #giveUp(worker: ProcessId, actorId: ActorId, journal: Journal, message: string): void {
    const { epoch } = journal;
    journal.worker = undefined;
    this.#port.send(worker, "actorSave", { actorId, epoch, failure: { code: "OBJECT_STORE_FULL", message } });
  }

  #release(state: Payload | undefined, calls: readonly LoggedCall[]): void {
    if (state !== undefined) this.#port.release(idsOf(state));
    for (const call of calls) this.#port.release(idsOfCall(call));
  }
}

const payloadsOf = ({ args, payloads }: LoggedCall): Payload[] => [args, ...payloads.map(({ payload }) => payload)];

const idsOf = (payload: Payload): readonly RefId[] => (payload.kind === "stored" ? [payload.id] : (payload.refs ?? []));

const idsOfCall = (call: LoggedCall): readonly RefId[] => payloadsOf(call).flatMap(idsOf);

const sizeOf = (call: LoggedCall): number =>
  payloadsOf(call).reduce((sum, payload) => sum + (payload.kind === "stored" ? 0 : payload.bytes.byteLength), 0);

/** What a worker gets to go on from holds these; what is in the store it only reads. */
export function restoredRefs(restore: Body<"actorStart">["restore"]): RefId[] {
  if (restore === undefined) return [];
  const given = [restore.state, ...restore.calls.flatMap(payloadsOf)];
  return given.flatMap((payload) => (payload.kind === "stored" ? [] : idsOf(payload)));
}

/** Everything in a message that tells of a call, which its sender holds until the receiver does. */
export const loggedRefs = ({ call, answer }: Body<"actorLog">): RefId[] => [
  ...idsOfCall(call),
  ...(answer.kind === "returned" ? answer.results : [answer.error]).flatMap(idsOf),
];

export const stateRefs = ({ state }: Body<"actorCheckpoint">): readonly RefId[] => idsOf(state);

/** Its own bytes: those of a message lie among others that came with it, and would keep them all. */
function copied<P extends Payload>(payload: P): P {
  return payload.kind === "stored" ? payload : { ...payload, bytes: new Uint8Array(payload.bytes) };
}
