/**
 * One actor as one caller knows it: where it is, and the calls to it in the order they were made. Calls of an ordered
 * actor go out strictly in that order: a call whose arguments are not there holds up those behind it.
 */
import type { ActorId } from "../../protocol/ids.ts";
import type { ActorStatus, DeathReason, WorkerAddress } from "../../protocol/messages.ts";
import { Channel } from "./channel.ts";
import { Deque } from "./deque.ts";
import type { OwnerPort, SystemFailure } from "./port.ts";
import type { Task } from "./task.ts";

/** Calls in flight to one actor from one caller; more wait here. */
const IN_FLIGHT_MAX = 100_000;

type Fail = (task: Task, failure: SystemFailure) => void;
type Interruption = "actor-unavailable" | "actor-died";

export class ActorClient {
  readonly kind = "actor";
  readonly id: ActorId;
  className = "";
  /** Ids by which it is called here: one declared with `getIfExists` may mean an actor that is known by its own. */
  readonly ids = new Set<ActorId>();
  /** Its own id, once another is known to mean it. */
  actual: ActorId | undefined;
  /** Calls keep the order of their making. */
  readonly ordered: boolean;
  status: ActorStatus | undefined;
  /** Incarnation that the way is open to; -1 when it is closed. */
  epoch = -1;
  worker: WorkerAddress | undefined;
  /** The way is not there yet, or is being taken down: nothing is pushed. */
  #opening = false;
  /** Its way broke, and it is not known yet which calls it had begun. */
  #asking = false;
  /** So many `kill`s of this process are under way: calls made since wait for what becomes of it. */
  #ending = 0;
  channel = new Channel();
  /** The runtime's way to its worker. */
  way: unknown = undefined;
  /** In order. Of an actor without order only those that can go out. */
  readonly waiting = new Deque<Task>();
  /** Of an actor without order: those whose arguments are not there. Nothing waits behind them, so nothing looks at them. */
  readonly #unready = new Set<Task>();
  /** Calls made and not settled. */
  open = 0;
  readonly #port: OwnerPort;
  readonly #fail: Fail;

  constructor(id: ActorId, ordered: boolean, port: OwnerPort, fail: Fail) {
    this.id = id;
    this.ordered = ordered;
    this.#port = port;
    this.#fail = fail;
  }

  /** Calls made and not answered; those that were cancelled may still be among them. */
  get pending(): number {
    return this.waiting.size + this.#unready.size + this.channel.count;
  }

  enqueue(task: Task): void {
    if (this.status?.kind === "dead") return this.#refuse(task, this.status.reason);
    task.state = task.unready > 0 ? "waiting" : "queued";
    if (task.unready > 0 && !this.ordered) return void this.#unready.add(task);
    this.waiting.push(task);
    this.pump();
  }

  /** Takes over calls that were made by another id of the actor, before it was known to be one. All keep the order of their making. */
  adopt(other: ActorClient): void {
    for (const id of other.ids) this.ids.add(id);
    const calls = other.calls();
    for (let task = this.waiting.shift(); task; task = this.waiting.shift()) calls.push(task);
    calls.sort((a, b) => a.counter - b.counter);
    for (const task of calls) {
      if (task.state === "done") continue;
      if (task.actor === other) this.open++;
      task.actor = this;
      if (this.status?.kind === "dead") this.#refuse(task, this.status.reason);
      else if (task.unready > 0 && !this.ordered) this.#unready.add(task);
      else this.waiting.push(task);
    }
    this.pump();
  }

  argumentsReady(task: Task): void {
    task.state = "queued";
    if (this.#unready.delete(task)) this.waiting.push(task);
    this.pump();
  }

  /** A call is over before it went out: those behind it go on. */
  passOver(task: Task): void {
    this.#unready.delete(task);
    this.pump();
  }

  /** It is to be killed. */
  killing(): void {
    this.#ending++;
  }

  /** It was, and its new status is known; or nobody can say. */
  killed(): void {
    this.#ending--;
    this.pump();
  }

  /** Every call that is under way or waits. */
  calls(): Task[] {
    return [...this.channel.list(), ...this.waiting, ...this.#unready];
  }

  pump(): void {
    if (this.#opening || this.#ending > 0) return;
    if (this.epoch < 0) {
      // Its way broke, or did not come about, while it lives: the next call tries again.
      const next = this.waiting.peek();
      if (this.status?.kind === "alive" && next && (next.unready === 0 || next.state === "done")) this.#open(this.status);
      return;
    }
    if (!this.ordered) return this.#pumpUnordered();
    for (;;) {
      const task = this.waiting.peek();
      if (!task || this.channel.count >= IN_FLIGHT_MAX) return;
      if (task.state !== "done") {
        if (task.unready > 0) return;
        this.#push(task);
      }
      this.waiting.shift();
    }
  }

  answered(seq: number): Task | undefined {
    const task = this.channel.get(seq);
    if (task) this.channel.remove(task);
    return task;
  }

  /** News from control. Repeats and news of old incarnations change nothing. */
  changed(status: ActorStatus): void {
    const before = this.status;
    if (before && (status.epoch < before.epoch || before.kind === "dead")) return;
    this.status = status;
    switch (status.kind) {
      case "pending":
        return;
      case "alive":
        if (this.epoch === status.epoch) return;
        if (this.epoch >= 0) this.#interrupted("actor-unavailable", { cause: "exit", message: "it was restarted" });
        return this.#open(status);
      case "restarting":
        return this.#interrupted("actor-unavailable", status.reason);
      case "dead":
        this.#interrupted("actor-died", status.reason);
        for (let task = this.waiting.shift(); task; task = this.waiting.shift()) this.#refuse(task, status.reason);
        for (const task of this.#unready) this.#refuse(task, status.reason);
        this.#unready.clear();
        return;
      default:
        status satisfies never;
    }
  }

  opened(): void {
    if (this.#asking) return;
    this.#opening = false;
    this.pump();
  }

  /** No way to it comes about, though it lives: what could have gone out costs a retry or fails. */
  unreachable(reason: DeathReason): void {
    if (this.epoch < 0 || !this.#opening || this.#asking) return;
    const again: Task[] = [];
    for (let task = this.#nextReady(); task; task = this.#nextReady())
      this.#retryOrFail(task, "actor-unavailable", reason, "not-executed", again);
    this.#shut(again);
    this.pump();
  }

  /** The way to it broke, and it lives. */
  disconnected(reason: DeathReason): void {
    if (this.epoch < 0 || this.#opening) return;
    if (this.status?.kind === "alive" && this.status.logged === true) {
      // Its answers go on coming, by another way: what it had begun is not to be pushed again.
      this.#opening = true;
      this.#asking = true;
      return this.#port.askCalls(this, this.epoch);
    }
    this.#interrupted("actor-unavailable", reason);
    this.pump();
  }

  /** All calls that had been begun when the way broke are answered: the others never were, and go out again. */
  callsSettled(epoch: number): void {
    if (!this.#asking || this.epoch !== epoch) return;
    const again = this.channel.list().filter((task) => task.state !== "done");
    for (const task of again) task.state = "queued";
    this.#shut(again);
    this.pump();
  }

  /** Nobody here calls it again: the way to it is given back. */
  close(): void {
    this.#shut([]);
  }

  check(): void {
    for (const task of [...this.waiting, ...this.#unready]) {
      if (task.state === "pushed") throw new Error(`call ${task.id} of actor ${this.id} waits and is pushed`);
    }
    for (const task of this.#unready) {
      if (task.state === "waiting" && task.unready === 0) throw new Error(`call ${task.id} of actor ${this.id} is held up for nothing`);
    }
    for (const task of this.channel.list()) {
      if (task.state === "queued") throw new Error(`call ${task.id} of actor ${this.id} is in flight and queued`);
    }
    if (this.status?.kind === "dead" && this.pending > 0) throw new Error(`actor ${this.id} is dead and has ${this.pending} calls`);
  }

  #pumpUnordered(): void {
    while (this.channel.count < IN_FLIGHT_MAX) {
      const task = this.waiting.shift();
      if (!task) return;
      if (task.state !== "done") this.#push(task);
    }
  }

  #push(task: Task): void {
    task.state = "pushed";
    this.channel.add(task);
    this.#port.push(this, task);
  }

  #open({ epoch, address }: ActorStatus & { kind: "alive" }): void {
    this.epoch = epoch;
    this.worker = address;
    this.#opening = !this.#port.openActor(this, address);
    this.pump();
  }

  /** The next call that could go out, taken from those that wait. */
  #nextReady(): Task | undefined {
    for (;;) {
      const task = this.waiting.peek();
      if (!task || (task.state !== "done" && task.unready > 0)) return undefined;
      this.waiting.shift();
      if (task.state !== "done") return task;
    }
  }

  /** The incarnation is gone. What it may have begun costs a retry or fails; what it had not is told apart. */
  #interrupted(kind: Interruption, reason: DeathReason): void {
    // A call that fails lets others go on that wait for it, and those must not go out by this way (test/core/actor-client.test.ts).
    this.#opening = true;
    const again: Task[] = [];
    for (const task of this.channel.list()) {
      const outcome = this.#port.takeBack(this, task) === "taken" ? "not-executed" : "unknown";
      this.channel.remove(task);
      if (task.state !== "done") this.#retryOrFail(task, kind, reason, outcome, again);
    }
    this.#shut(again);
  }

  #retryOrFail(task: Task, kind: Interruption, reason: DeathReason, outcome: "not-executed" | "unknown", again: Task[]): void {
    if (kind === "actor-unavailable" && task.retriesLeft > 0 && !task.cancelled) {
      task.retriesLeft--;
      task.attempt++;
      task.state = "queued";
      again.push(task);
    } else this.#fail(task, { kind, reason, outcome, actorId: this.id });
  }

  /** The way is no more, and these wait before all others. */
  #shut(again: readonly Task[]): void {
    for (let i = again.length - 1; i >= 0; i--) this.waiting.unshift(again[i]!);
    if (this.epoch >= 0) this.#port.closeActor(this);
    this.channel = new Channel();
    this.epoch = -1;
    this.worker = undefined;
    this.#opening = false;
    this.#asking = false;
  }

  #refuse(task: Task, reason: DeathReason): void {
    if (task.state !== "done") this.#fail(task, { kind: "actor-died", reason, outcome: "not-executed", actorId: this.id });
  }
}
