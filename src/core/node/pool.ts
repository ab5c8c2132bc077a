/**
 * The worker processes of a node: which are starting, idle, busy or ending, and which may take a lease. It starts and
 * ends processes; who gets them is decided in dispatch.ts.
 */
import { workerId } from "../../protocol/ids.ts";
import type { ProcessId } from "../../protocol/ids.ts";
import type { DeathReason, WorkerAddress } from "../../protocol/messages.ts";
import type { Alarm } from "./alarm.ts";
import { partsOfEnvKey } from "./environments.ts";
import type { NodeConfig, NodePort, Worker } from "./state.ts";

/** How long a process stays idle that is one of more than there are CPUs, and of more than twice as many. */
const IDLE_TIMEOUT_MS = 30_000;
const CROWD_TIMEOUT_MS = 1000;
const REGISTER_TIMEOUT_MS = 60_000;
/** A worker that was asked to end is killed after so long. */
const END_TIMEOUT_MS = 5000;
/** One that may decline, or is asked whether an actor may have it, may be computing first. */
const DECLINE_TIMEOUT_MS = 60_000;
/** Starts in a row that may fail before what waits for that environment is refused. */
const START_FAILURES_MAX = 3;
/** Starts in a row that may be killed from outside before the same. */
const STARTS_KILLED_MAX = 96;
/** After that, how long no worker of that environment is started where others of it live. */
const START_PAUSE_MS = 5000;

/**
 * How long a task that waits for others keeps its CPU from a process yet to be started. A start costs more than that in processor time
 * alone, and most waits are over sooner.
 */
const SHORT_WAIT_MS = 20;

/** How long a worker that was asked whether an actor may have it is counted on: one that computes answers late. */
const SPARE_MS = 200;

/** Processes that are kept ready when actors take others. */
const SPARE = 2;

interface Starts {
  failures: number;
  pausedUntil: number;
}

/** Whether a lease that uses GPUs is on it: the process sees only those, so nothing else comes to it, and it is the only one. */
function usesGpu({ leases }: Worker): boolean {
  for (const { kept } of leases) return kept.gpus.length > 0;
  return false;
}

export class WorkerPool {
  readonly #config: NodeConfig;
  readonly #port: NodePort;
  readonly #alarm: Alarm;
  readonly #owns: (process: ProcessId) => boolean;
  readonly #workers = new Map<ProcessId, Worker>();
  readonly #starts = new Map<string, Starts>();
  /** Since when a process of an environment is missing, where a task that waits could be why. */
  readonly #missingSince = new Map<string, number>();
  readonly softCap: number;
  readonly hardCap: number;
  #spawned = 0;

  /** `owns`: whether a process has leases, or asks for some. */
  constructor(config: NodeConfig, port: NodePort, alarm: Alarm, owns: (process: ProcessId) => boolean) {
    this.#owns = owns;
    this.#config = config;
    this.#port = port;
    this.#alarm = alarm;
    this.softCap = config.poolSoftCap ?? Math.max(4 * config.workers, 8);
    this.hardCap = config.poolHardCap ?? Math.max(16 * this.softCap, 128);
  }

  get workers(): Iterable<Worker> {
    return this.#workers.values();
  }

  get(id: ProcessId): Worker | undefined {
    return this.#workers.get(id);
  }

  /** Processes for tasks: all but those of actors and those that are ending. */
  get taskWorkers(): number {
    return this.#count((worker) => worker.actor === undefined && worker.state !== "ending");
  }

  starting(env?: string): number {
    return this.#count((worker) => worker.state === "starting" && (env === undefined || worker.env === env));
  }

  /** Processes that may be starting at a time. */
  get startsMax(): number {
    return Math.max(1, this.#config.workers);
  }

  get mayStart(): boolean {
    return this.starting() < this.startsMax;
  }

  /** Whether starts of this environment are paused because they fail. */
  paused(env: string, now: number): boolean {
    return (this.#starts.get(env)?.pausedUntil ?? 0) > now;
  }

  /**
   * Whether one more process for tasks of this environment is to be started now. Not while what is free is the CPU of a task that has
   * only just begun to wait for others.
   */
  worthStarting(env: string, now: number): boolean {
    if (!this.#inWait(env)) return true;
    const since = this.#missingSince.get(env) ?? now;
    this.#missingSince.set(env, since);
    // As the alarm is set: rounded, the difference may be less, and the alarm would be set for now for ever (sim seed 155).
    if (now >= since + SHORT_WAIT_MS) return true;
    this.#alarm.set(since + SHORT_WAIT_MS);
    return false;
  }

  /** Whether a start waits to see if the tasks that wait go on soon. */
  get holdsBack(): boolean {
    return this.#missingSince.size > 0;
  }

  /** The start of a process for these environments is held back, and for no other. */
  heldBack(envs: ReadonlySet<string>): void {
    for (const env of this.#missingSince.keys()) if (!envs.has(env)) this.#missingSince.delete(env);
  }

  /** Whether the task processes that there may always be are there, and one of them only waits. */
  #inWait(env: string): boolean {
    if (this.taskWorkers < this.#config.workers) return false;
    const waits = (worker: Worker): boolean => worker.leases.size > 0 && worker.awake === 0;
    return this.#count((worker) => worker.env === env && waits(worker)) > 0;
  }

  /**
   * A process has become an actor's: another is started in its place, so that the next actor, or the tasks that have the CPUs, need not
   * wait for one. No more than a few at a time, as there may be no more work.
   */
  refill(env: string, now: number): void {
    const spare = this.#count((worker) => worker.env === env && (worker.state === "starting" || this.isIdle(worker)));
    if (spare >= SPARE || this.taskWorkers >= this.#config.workers || !this.mayStart || this.paused(env, now)) return;
    this.start(env, now);
  }

  start(env: string, now: number): void {
    const id = workerId(this.#config.nodeId, this.#spawned++);
    this.#enter(id, env, now);
    const { envVars, environment } = partsOfEnvKey(env);
    this.#port.spawnWorker(id, envVars, environment);
  }

  /** A process that was started before this machine was: with the plain environment. */
  adopt(id: ProcessId, now: number): void {
    this.#spawned++;
    this.#enter(id, "{}", now);
  }

  /** False for a process that is not expected. */
  registered(id: ProcessId, address: WorkerAddress, now: number): boolean {
    const worker = this.#workers.get(id);
    if (worker === undefined || worker.registered) return false;
    worker.registered = true;
    worker.address = address;
    this.#starts.delete(worker.env);
    if (worker.state === "starting") {
      worker.state = "ready";
      this.idle(worker, now);
    }
    return true;
  }

  /** Forgets a process that is gone. True if starts of its environment have failed too often. */
  lost(worker: Worker, reason: DeathReason, now: number): boolean {
    this.#workers.delete(worker.id);
    if (worker.registered || worker.killed) return false;
    let starts = this.#starts.get(worker.env);
    if (starts === undefined) this.#starts.set(worker.env, (starts = { failures: 0, pausedUntil: 0 }));
    // What somebody else has killed says little of its environment; but who kills every start is told apart in the end.
    starts.failures += reason.signal === "SIGKILL" && reason.cause !== "out-of-memory" ? START_FAILURES_MAX / STARTS_KILLED_MAX : 1;
    if (starts.failures < START_FAILURES_MAX) return false;
    starts.failures = 0;
    // Those that are starting prove nothing: each of them may fail as well (sim seed 70).
    const others = this.#count((other) => other.env === worker.env && other.state === "ready");
    if (others === 0) return true;
    starts.pausedUntil = now + START_PAUSE_MS;
    this.#alarm.set(starts.pausedUntil);
    return false;
  }

  /** An idle worker of this environment, the one that was busy last: its caches are warm, the others may be reaped. */
  takeIdle(env: string, forActor: boolean): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of this.#workers.values()) {
      // A worker ends with its actor, and with it the tasks that others left on it (sim seed 94).
      if (forActor && (worker.spare !== "yes" || !this.#isSpare(worker))) continue;
      if (this.isIdle(worker) && worker.env === env && (best === undefined || worker.idleSince > best.idleSince)) best = worker;
    }
    return best;
  }

  /**
   * Whether an actor may count on a worker that was asked if it can have it, when `before` others do already. If need be one more is
   * asked. Nothing else comes to it before it has answered.
   */
  askSpare(env: string, before: number, now: number): boolean {
    const counted = this.#count(({ spare, spareBy, env: its }) => spare === "asked" && spareBy > now && its === env);
    if (counted > before) return true;
    for (const worker of this.#workers.values()) {
      if (worker.env !== env || worker.spare !== "unknown" || !this.#isSpare(worker)) continue;
      worker.spare = "asked";
      worker.spareBy = now + SPARE_MS;
      worker.deadline = now + DECLINE_TIMEOUT_MS;
      this.#alarm.set(worker.spareBy);
      this.#port.send(worker.id, "spareRequest", {});
      return true;
    }
    return false;
  }

  /** Whether an actor counts on a worker that has not answered yet. */
  asks(now: number): boolean {
    return this.#count(({ spare, spareBy }) => spare === "asked" && spareBy > now) > 0;
  }

  /**
   * A worker whose leases all wait: it may run another task meanwhile. Not one with a task that could go on: the lease would be in its
   * way, asked back at once, and granted again before that task has its turn, for ever (sim seed 190).
   */
  takeStackable(env: string, demandsGpu: boolean): Worker | undefined {
    if (demandsGpu) return undefined;
    let best: Worker | undefined;
    for (const worker of this.#workers.values()) {
      if (worker.env !== env || worker.state !== "ready" || worker.retire || worker.actor !== undefined) continue;
      if (worker.leases.size === 0 || worker.awake > 0 || usesGpu(worker)) continue;
      if (best === undefined || worker.leases.size < best.leases.size) best = worker;
    }
    return best;
  }

  isIdle(worker: Worker): boolean {
    const { state, leases, actor, retire, spare } = worker;
    return state === "ready" && leases.size === 0 && actor === undefined && !retire && spare !== "asked";
  }

  /** Its last lease went: it waits for others or, when it has to, ends. */
  idle(worker: Worker, now: number): void {
    if (worker.state !== "ready" || worker.leases.size > 0 || worker.actor !== undefined) return;
    worker.idleSince = now;
    if (worker.retire) return this.#retire(worker, now);
    const idle = this.#idleCount();
    if (idle > this.#config.workers) this.#alarm.set(now + this.#idleTimeout(idle - this.#config.workers));
  }

  /** Asks a worker to end; it is killed if it does not. `ifIdle`: unless it has open tasks, of which only it knows. */
  end(worker: Worker, reason: string, now: number, ifIdle = false): void {
    if (worker.state === "ending") return;
    worker.state = "ending";
    worker.deadline = now + (ifIdle ? DECLINE_TIMEOUT_MS : END_TIMEOUT_MS);
    this.#alarm.set(worker.deadline);
    this.#port.send(worker.id, "exitRequest", { reason, ifIdle });
  }

  /** It has tasks of its own that wait for something, such as an argument or an actor: it stays, and is asked again later. */
  declined(worker: Worker, now: number): void {
    if (worker.state !== "ending" || worker.killed) return;
    worker.state = "ready";
    worker.idleSince = now;
    worker.deadline = Infinity;
    this.#alarm.set(now + this.#idleTimeout());
  }

  kill(worker: Worker, reason: DeathReason): void {
    if (worker.killed) return;
    worker.killed = true;
    worker.state = "ending";
    worker.deadline = Infinity;
    this.#port.killWorker(worker.id, reason);
  }

  /** Ends an idle worker of another environment, so that one of `env` can take its place. */
  makeRoom(env: string, now: number): void {
    for (const worker of this.#workers.values()) {
      if (worker.env !== env && this.#isSpare(worker)) return this.end(worker, "its place is needed for another environment", now, true);
    }
  }

  /** Idle, and nothing that it asked for itself is under way: tasks that its tasks left behind end with it (sim seed 11). */
  #isSpare(worker: Worker): boolean {
    return this.isIdle(worker) && !worker.owns && !this.#owns(worker.id);
  }

  /** It has served its calls, and ends once nothing that it asked for is under way (sim seed 11). */
  #retire(worker: Worker, now: number): void {
    if (!worker.owns && !this.#owns(worker.id)) return this.end(worker, "it has served its calls", now, true);
    this.#alarm.set(now + this.#idleTimeout());
  }

  tick(now: number): void {
    let surplus = this.#idleCount() - this.#config.workers;
    for (const worker of [...this.#workers.values()].sort((a, b) => a.idleSince - b.idleSince)) {
      const owesAnswer = worker.state !== "ready" || worker.spare === "asked";
      if (owesAnswer && worker.deadline <= now) this.#expired(worker);
      else if (owesAnswer) this.#alarm.set(worker.deadline);
      else if (worker.retire) {
        if (worker.leases.size === 0) this.#retire(worker, now);
      } else if (surplus > 0 && this.isIdle(worker)) {
        const until = worker.idleSince + this.#idleTimeout(surplus);
        if (until > now) this.#alarm.set(until);
        else if (!this.#isSpare(worker)) {
          // It cannot end now; another may in its place.
          this.#alarm.set(now + this.#idleTimeout());
          continue;
        } else this.end(worker, "it was idle", now, true);
        surplus--;
      }
    }
    for (const { spare, spareBy } of this.#workers.values()) if (spare === "asked" && spareBy > now) this.#alarm.set(spareBy);
    for (const { pausedUntil } of this.#starts.values()) if (pausedUntil > now) this.#alarm.set(pausedUntil);
  }

  check(): void {
    for (const since of this.#missingSince.values()) {
      if ((this.#alarm.at ?? Infinity) > since + SHORT_WAIT_MS) throw new Error("a start is held back, and nothing will see to it again");
    }
    for (const worker of this.#workers.values()) {
      const active = [...worker.leases].filter((lease) => lease.state === "active");
      if (active.length > 1) throw new Error(`worker ${worker.id} has ${active.length} active leases`);
      if (worker.actor !== undefined && worker.leases.size > 0) throw new Error(`worker ${worker.id} has an actor and leases`);
      if (worker.state === "starting" && worker.leases.size > 0) throw new Error(`worker ${worker.id} is starting and has leases`);
      for (const lease of worker.leases) if (lease.worker !== worker) throw new Error(`lease ${lease.id} is on two workers`);
    }
  }

  /**
   * Of the processes that are idle beyond the CPUs, as many again stay for a while: tasks that wait for others need them, a program
   * has such tasks in bursts, and a new process costs its start and runs code that V8 has not compiled yet.
   */
  #idleTimeout(surplus = Infinity): number {
    return this.#config.idleTimeoutMs ?? (surplus > this.#config.workers ? CROWD_TIMEOUT_MS : IDLE_TIMEOUT_MS);
  }

  #enter(id: ProcessId, env: string, now: number): void {
    const deadline = now + (this.#config.registerTimeoutMs ?? REGISTER_TIMEOUT_MS);
    this.#workers.set(id, {
      id,
      env,
      state: "starting",
      registered: false,
      address: undefined,
      deadline,
      idleSince: now,
      leases: new Set(),
      active: undefined,
      awake: 0,
      actor: undefined,
      retire: false,
      owns: false,
      spare: "yes",
      spareBy: -Infinity,
      killed: false,
    });
    this.#alarm.set(deadline);
  }

  #expired(worker: Worker): void {
    if (worker.state === "starting") {
      const seconds = (this.#config.registerTimeoutMs ?? REGISTER_TIMEOUT_MS) / 1000;
      worker.state = "ending";
      worker.deadline = Infinity;
      this.#port.killWorker(worker.id, { cause: "start-failed", message: `it did not register within ${seconds} s of its start` });
      return;
    }
    const ends = worker.state === "ending";
    const message = ends ? "it was asked to end and did not" : `it did not answer its node within ${DECLINE_TIMEOUT_MS / 1000} s`;
    this.kill(worker, { cause: "killed", message });
  }

  #idleCount(): number {
    return this.#count((worker) => this.isIdle(worker));
  }

  #count(test: (worker: Worker) => boolean): number {
    let count = 0;
    for (const worker of this.#workers.values()) if (test(worker)) count++;
    return count;
  }
}
