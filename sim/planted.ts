/**
 * Bugs that are planted on purpose, to prove that the simulator finds them: each replaces a machine by one that does a single
 * thing wrong, or tampers with what goes through a port. Every simulation gets a fresh one.
 */
import { Control } from "../src/core/control/control.ts";
import type { ControlPort } from "../src/core/control/control.ts";
import { Journals } from "../src/core/journals.ts";
import type { JournalPort } from "../src/core/journals.ts";
import { NodeMachine } from "../src/core/node/node.ts";
import type { ActorClient } from "../src/core/owner/actor-client.ts";
import type { Lease } from "../src/core/owner/leases.ts";
import { Owner } from "../src/core/owner/owner.ts";
import type { OwnerPort } from "../src/core/owner/port.ts";
import type { Task } from "../src/core/owner/task.ts";
import { RefTable } from "../src/core/refs/refs.ts";
import type { RefId } from "../src/core/refs/record.ts";
import type { ActorId, ProcessId } from "../src/protocol/ids.ts";
import type { ActorStatus, Body, DeathReason } from "../src/protocol/messages.ts";
import { NO_PLANT } from "./plant.ts";
import type { Plant } from "./plant.ts";

interface Planted {
  readonly what: string;
  readonly make: () => Plant;
}

const planted = (what: string, make: () => Partial<Plant>): Planted => ({ what, make: () => ({ ...NO_PLANT, ...make() }) });

/** A port whose methods may be replaced, with the others as they are. */
function tampered<P extends object>(port: P, changes: Partial<P>): P {
  return new Proxy(port, {
    get: (target, name) => {
      const changed = changes[name as keyof P];
      if (changed !== undefined) return changed;
      const value: unknown = Reflect.get(target, name);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}

/** True for every `n`th time. */
function every(n: number): () => boolean {
  let count = 0;
  return () => ++count % n === 0;
}

class ForgetsReturns extends NodeMachine {
  readonly #forget = every(5);

  override leaseReturn(from: ProcessId, body: Body<"leaseReturn">, now: number): void {
    if (!this.#forget()) super.leaseReturn(from, body, now);
  }
}

class LosesWakeups extends NodeMachine {
  readonly #lose = every(4);

  override taskUnblocked(from: ProcessId, body: Body<"taskUnblocked">, now: number): void {
    if (!this.#lose()) super.taskUnblocked(from, body, now);
  }
}

class ForgetsOwners extends NodeMachine {
  override ownerLost(): void {}
}

/** Takes every idle worker for an actor. */
class ForgetsLeftBehind extends NodeMachine {
  override workerOwns(): void {}

  override spareAnswer(id: ProcessId, _answer: Body<"spareAnswer">, now: number): void {
    super.spareAnswer(id, { spare: true }, now);
  }
}

class CountsEscapesTwice extends RefTable {
  readonly #seen = new Set<RefId>();

  override escape(from: ProcessId, body: Body<"objectEscape">): void {
    super.escape(from, body);
    if (this.#seen.has(body.id)) this.add(body.id, from);
    this.#seen.add(body.id);
  }
}

class LosesCredits extends RefTable {
  readonly #lose = every(6);

  override add(id: RefId, holder: ProcessId): void {
    if (!this.#lose()) super.add(id, holder);
  }
}

class IgnoresParcels extends RefTable {
  override sent(): void {}
}

class ForgetsCreations extends RefTable {
  override created(): void {}
}

class KeepsCreations extends RefTable {
  override actorOver(): void {}
}

/** Takes an actor that others hold for one that only its own process holds. */
class NeverShared extends RefTable {
  override aloneWith(): number {
    return 0;
  }
}

class KeepsDeadHolders extends RefTable {
  override processLost(): void {}
}

class IgnoresResults extends RefTable {
  override result(): void {}
}

class RestartsForEver extends Control {
  override declare(from: ProcessId, body: Body<"actorDeclare">): void {
    super.declare(from, { ...body, options: { ...body.options, maxRestarts: -1 } });
  }
}

class ForgetsTheDead extends Control {
  override workerLost(worker: ProcessId, reason: DeathReason, now: number): void {
    if (this.actors().some((actor) => actor.worker === worker)) return;
    super.workerLost(worker, reason, now);
  }
}

/** Answers for every second call, and does not log it. */
class ForgetsCalls extends Journals {
  readonly #forget = every(2);
  readonly #port: JournalPort;

  constructor(port: JournalPort) {
    super(port);
    this.#port = port;
  }

  override log(from: ProcessId, body: Body<"actorLog">): void {
    if (!this.#forget()) return super.log(from, body);
    const { to, call, answer } = body;
    const { owner, counter, attempt } = call;
    this.#port.send(owner, "actorAnswer", { ...to, counter, attempt, answer });
  }
}

/** Keeps the first checkpoint of all, with the calls since the last. */
class ForgetsCheckpoints extends Journals {
  #first: Body<"actorCheckpoint"> | undefined;

  override checkpoint(from: ProcessId, body: Body<"actorCheckpoint">): void {
    const first = (this.#first ??= body);
    super.checkpoint(from, body.epoch === first.epoch && body.actorId === first.actorId ? first : body);
  }
}

class IgnoresCancel extends Owner {
  override cancel(): void {}
}

class ForgetsRefusals extends Owner {
  override rejected(): void {}
}

class ForgetsLostWorkers extends Owner {
  override processLost(): void {}
}

/** Does not close the way to the last incarnation: the next one is told apart by nothing. */
class SkipsTheFence extends Owner {
  override actorChanged(id: ActorId, status: ActorStatus): void {
    super.actorChanged(id, "epoch" in status && status.kind === "alive" ? { ...status, epoch: 1 } : status);
  }
}

const owner = (type: typeof Owner): Partial<Plant> => ({ owner: (port, process, claims) => new type(port, process, claims) });
const node = (type: typeof NodeMachine): Partial<Plant> => ({ node: (config, port) => new type(config, port) });
const refs = (type: typeof RefTable): Partial<Plant> => ({ refs: (port) => new type(port) });
const journals = (type: typeof Journals): Partial<Plant> => ({ journals: (port) => new type(port) });
const control = (type: typeof Control): Partial<Plant> => ({ control: (port: ControlPort) => new type(port) });
const port = (changes: (real: OwnerPort) => Partial<OwnerPort>): Partial<Plant> => ({
  owner: (real, process, claims) => new Owner(tampered(real, changes(real)), process, claims),
});

/** Sends every second call of an actor before the one that came first. */
function swapsCalls(real: OwnerPort): Partial<OwnerPort> {
  let kept: { to: Lease | ActorClient; task: Task } | undefined;
  return {
    push: (to, task) => {
      if (to.kind !== "actor") return real.push(to, task);
      const first = kept;
      kept = undefined;
      if (first === undefined && to.waiting.size > 1) return void (kept = { to, task });
      real.push(to, task);
      if (first) real.push(first.to, first.task);
    },
  };
}

export const PLANTS: Readonly<Record<string, Planted>> = {
  "forgets-returns": planted("the node forgets every fifth lease that comes back", () => node(ForgetsReturns)),
  "loses-wakeups": planted("the node loses every fourth task that asks to go on", () => node(LosesWakeups)),
  "forgets-owners": planted("what a dead owner had leased stays leased", () => node(ForgetsOwners)),
  "forgets-left-behind": planted("an actor is given a process in which tasks were left behind", () => node(ForgetsLeftBehind)),
  "ends-the-innocent": planted("the process on which a dead owner had a lease is ended, whatever else is in it", () => ({
    node: (config, real) =>
      new NodeMachine(
        config,
        tampered(real, {
          send: (to, name, body) => {
            if (name === "leaseOrphaned") real.killWorker(to, { cause: "killed", message: "its owner is gone" });
            else real.send(to, name, body);
          },
        }),
      ),
  })),
  "double-capacity": planted("the node gives out more CPUs than it has", () => ({
    node: (config, real) => new NodeMachine({ ...config, total: { ...config.total, CPU: 2 * (config.total.CPU ?? 0) } }, real),
  })),
  "double-grant": planted("a lease is granted on a worker that has another", () => {
    let last: Body<"leaseGrant">["worker"] | undefined;
    const second = every(3);
    return {
      node: (config, real) =>
        new NodeMachine(
          config,
          tampered(real, {
            send: (to, name, body) => {
              if (name !== "leaseGrant") return real.send(to, name, body);
              const grant = body as Body<"leaseGrant">;
              const worker = last !== undefined && second() ? last : grant.worker;
              last = grant.worker;
              real.send(to, "leaseGrant", { ...grant, worker });
            },
          }),
        ),
    };
  }),
  "counts-escapes-twice": planted("a repeated objectEscape is not told from a first one", () => refs(CountsEscapesTwice)),
  "loses-credits": planted("the RefTable loses every sixth credit", () => refs(LosesCredits)),
  "ignores-parcels": planted("nobody holds what is under way", () => refs(IgnoresParcels)),
  "forgets-creations": planted("what an actor was made from is not kept for when it starts again", () => refs(ForgetsCreations)),
  "keeps-creations": planted("what an actor was made from is held when it is over", () => refs(KeepsCreations)),
  "keeps-dead-holders": planted("what dead processes held stays held", () => refs(KeepsDeadHolders)),
  "ignores-results": planted("what a worker says of its results is ignored", () => refs(IgnoresResults)),
  "restarts-for-ever": planted("control does not count restarts", () => control(RestartsForEver)),
  "forgets-the-dead": planted("control forgets actors whose worker dies", () => control(ForgetsTheDead)),
  "forgets-calls": planted("every second call of an actor that saves its state is not logged", () => journals(ForgetsCalls)),
  "forgets-checkpoints": planted("what an actor saved later is not taken", () => journals(ForgetsCheckpoints)),
  "always-idle": planted("an actor that nobody else holds is ended in the middle of what it does", () => ({ idle: true })),
  "ends-the-shared": planted("an actor is ended as soon as it is idle, whoever holds it", () => refs(NeverShared)),
  "ignores-cancel": planted("cancel does nothing", () => owner(IgnoresCancel)),
  "forgets-refusals": planted("who waits for a refused lease is not told", () => owner(ForgetsRefusals)),
  "forgets-lost-workers": planted("tasks of dead workers are not taken up again", () => owner(ForgetsLostWorkers)),
  "skips-the-fence": planted("incarnations of an actor are not told apart", () => owner(SkipsTheFence)),
  "runs-claimed-again": planted("a call that its worker has claimed is taken back all the same", () =>
    port((real) => ({
      takeBack: (from, task) => {
        const answer = real.takeBack(from, task);
        return answer === "claimed" ? "taken" : answer;
      },
    })),
  ),
  "claims-everything": planted("a worker runs calls that were taken back", () => ({ claimed: () => true })),
  "swaps-calls": planted("two calls of an actor change places", () => port(swapsCalls)),
};
