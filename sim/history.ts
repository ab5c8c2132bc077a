/**
 * The history of a simulation, as programs could see it, and what must hold of it: how often each call began and in which order,
 * and that what is said of a failure is true. It knows no machine's inside.
 */
import type { SystemFailure } from "../src/core/owner/port.ts";
import type { Task } from "../src/core/owner/task.ts";
import type { ActorId, ObjectId, ProcessId } from "../src/protocol/ids.ts";
import { taskId } from "../src/protocol/ids.ts";
import type { ResourceAmounts } from "../src/protocol/messages.ts";
import type { World } from "./world.ts";
import { Broken } from "./world.ts";

export interface Run {
  readonly owner: ProcessId;
  readonly counter: number;
  readonly attempt: number;
  readonly worker: ProcessId;
  readonly name: string;
  readonly actor: { readonly id: ActorId; readonly epoch: number; readonly ordered: boolean } | undefined;
}

interface Record {
  maxStarts: number;
  over: boolean;
  /** It was said that it has not begun and never will. */
  refused: boolean;
  readonly attempts: Set<number>;
  /** The actor by the id by which it was called: before that was known to be another's, its calls have an order of their own. */
  called: ActorId | undefined;
  worker: ProcessId | undefined;
}

export class History {
  readonly #world: World;
  readonly #tasks = new Map<string, Record>();
  /** The last call that began, by incarnation and caller. */
  readonly #lastCall = new Map<string, number>();
  readonly #restarts = new Map<ActorId, number>();
  /** CPUs that calls use, by process. */
  readonly #using = new Map<ProcessId, Map<object, number>>();
  readonly #dead = new Set<ProcessId>();
  /** How tasks ended that no user code ended. */
  readonly failures = new Map<string, number>();
  /** Ids that left their process, for stories. */
  readonly escaped = new Set<ObjectId | ActorId>();
  starts = 0;
  /** Tasks that ended, one way or the other. */
  ended = 0;

  constructor(world: World) {
    this.#world = world;
  }

  submitted(task: Task, maxRetries: number): void {
    const record = this.#record(task.id);
    record.called = task.actor?.id;
    record.maxStarts = maxRetries < 0 ? Infinity : maxRetries + 1;
    this.#world.tell(() => `${task.owner} submits ${task.id} ${task.spec.callable.name}`);
    if (record.attempts.size > record.maxStarts) throw new Broken(`task ${task.id} began before it was made`, [task.id]);
  }

  started(run: Run): void {
    const id = taskId(run.owner, run.counter);
    const record = this.#record(id);
    this.#world.tell(() => `${run.worker} begins ${id} ${run.name}, attempt ${run.attempt}`);
    this.#world.trace.text(id);
    this.starts++;
    if (record.attempts.has(run.attempt)) throw new Broken(`attempt ${run.attempt} of task ${id} began twice`, [id]);
    record.attempts.add(run.attempt);
    record.worker = run.worker;
    if (record.attempts.size > record.maxStarts) {
      throw new Broken(`task ${id} began ${record.attempts.size} times, ${record.maxStarts} are allowed`, [id]);
    }
    if (record.refused) throw new Broken(`task ${id} began, and its owner was told that it never would`, [id]);
    if (run.actor) this.#ordered(run, id);
  }

  /** Where the task that makes an object began last, if it has. */
  begunAt(id: ObjectId): ProcessId | undefined {
    return this.#record(id.slice(0, id.lastIndexOf("-"))).worker;
  }

  isDead(process: ProcessId): boolean {
    return this.#dead.has(process);
  }

  /** An owner's machine ends a task with a failure of the system. */
  failed(task: Task | undefined, failure: SystemFailure): void {
    this.failures.set(failure.kind, (this.failures.get(failure.kind) ?? 0) + 1);
    if (!task) return;
    const id = task.id;
    this.#world.tell(() => `${task.owner} fails ${id}: ${JSON.stringify(failure)}`);
    if (!("outcome" in failure) || failure.outcome !== "not-executed") return;
    const record = this.#record(id);
    record.refused = true;
    // An earlier attempt may have begun: then the last one has not.
    if (record.attempts.has(task.attempt)) throw new Broken(`task ${id} was said not to have begun, and it has`, [id]);
  }

  finished(task: Task): void {
    const record = this.#record(task.id);
    if (record.over && !task.spec.options.retryExceptions && task.retriesLeft === 0 && task.attempt === 0) {
      throw new Broken(`task ${task.id} ended twice`, [task.id]);
    }
    record.over = true;
    this.ended++;
    this.#world.trace.text(task.id);
  }

  declared(actor: ActorId, maxRestarts: number): void {
    this.#restarts.set(actor, maxRestarts < 0 ? Infinity : maxRestarts);
  }

  /** An incarnation of an actor is being made. */
  incarnation(actor: ActorId, epoch: number): void {
    const allowed = this.#restarts.get(actor) ?? 0;
    if (epoch > allowed + 1) throw new Broken(`actor ${actor} is started as ${epoch}, ${allowed} restarts are allowed`, [actor]);
  }

  /** A call or an actor uses CPUs from now on; all together never more than there are. */
  uses(process: ProcessId, what: object, amounts: Readonly<ResourceAmounts>): void {
    let using = this.#using.get(process);
    if (!using) this.#using.set(process, (using = new Map()));
    using.set(what, amounts.CPU ?? 0);
    let sum = 0;
    for (const each of this.#using.values()) for (const amount of each.values()) sum += amount;
    const total = this.#world.config.cpus * 10_000;
    if (sum > total) throw new Broken(`${sum / 10_000} CPUs are in use, there are ${total / 10_000}`, [process]);
  }

  usesNoMore(process: ProcessId, what: object): void {
    this.#using.get(process)?.delete(what);
  }

  processDied(process: ProcessId): void {
    this.#using.delete(process);
    this.#dead.add(process);
  }

  #ordered(run: Run, id: string): void {
    const { actor } = run;
    if (!actor?.ordered) return;
    const key = `${this.#record(id).called ?? actor.id} ${actor.epoch} ${run.owner}`;
    const last = this.#lastCall.get(key) ?? -1;
    if (run.counter <= last) {
      const before = taskId(run.owner, last);
      throw new Broken(`actor ${actor.id} begins call ${id} after call ${before} of the same caller`, [id, before]);
    }
    this.#lastCall.set(key, run.counter);
  }

  #record(id: string): Record {
    let record = this.#tasks.get(id);
    if (!record)
      this.#tasks.set(
        id,
        (record = { maxStarts: Infinity, over: false, refused: false, attempts: new Set(), called: undefined, worker: undefined }),
      );
    return record;
  }
}
