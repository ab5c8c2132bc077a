/**
 * The node daemon: connections, worker processes, the store and the machines of one node, brought together. It decides
 * nothing; it tells the machines what happened and does what they say, until its driver is gone.
 */
import type { Server, Socket } from "node:net";
import { totalmem } from "node:os";
import { DEFAULT_TERMS } from "../../core/node/jobs.ts";
import { parseResources } from "../../core/resources.ts";
import type { StoreAccount } from "../../core/store/types.ts";
import { StoreService } from "../../memory/service.ts";
import { homeOf, prefixOf } from "../../protocol/ids.ts";
import type { JobId, NodeId, ProcessId } from "../../protocol/ids.ts";
import type { Body, DeathReason, MessageName, ResourceAmounts } from "../../protocol/messages.ts";
import type { NodeCounts, ObjectStoreState } from "../engine.ts";
import type { Member } from "../cluster/member.ts";
import type { Membership } from "../cluster/membership.ts";
import type { ToProcess } from "../cluster/router.ts";
import { Children } from "./children.ts";
import { nodeSocketOf, prestartedFor, workersFor } from "./config.ts";
import type { ClusterConfig, DaemonConfig, DaemonReport } from "./config.ts";
import { handlersFor } from "./handlers.ts";
import type { Hello } from "./handlers.ts";
import { LogForwarder } from "./logs.ts";
import { Machines } from "./machines.ts";
import type { ClusterSide } from "./machines.ts";
import { MemoryWatch, residentBytes, victimOf } from "./memory-watch.ts";
import type { MemoryUse } from "./memory-watch.ts";
import { NodeEnvironments } from "./node-environments.ts";
import { Peer } from "./peer.ts";
import { answerHere, answerQuestion } from "./questions.ts";
import type { QuestionSources } from "./questions.ts";
import { markSession, removeSession, removeStaleSessions } from "./session.ts";
import { Timeline } from "./timeline.ts";
import type { WorkerProcess } from "./worker-process.ts";

/** What main.ts had begun before this module was loaded. */
export interface Begun {
  readonly server: Server;
  /** Connections that came meanwhile, paused. */
  readonly early: Socket[];
  readonly workers: readonly WorkerProcess[];
}

type NodeHandlers = ReturnType<typeof handlersFor>;

/** A worker whose connection broke but whose process goes on is ended after so long. */
const MUTE_MS = 2000;
/** A connection that does not say who it is is closed after so long. */
const HELLO_MS = 60_000;
/** After it has said that it serves, before it does what can wait: the first workers are ready by then, or soon. */
const SETTLE_MS = 100;
const END_MS = 2000;
const MEMORY_PART = 0.7;

export class Daemon {
  readonly #config: DaemonConfig;
  readonly #nodeId: NodeId;
  readonly #machines: Machines;
  readonly #store: StoreService;
  readonly #children: Children;
  readonly #environments: NodeEnvironments;
  readonly #logs: LogForwarder;
  readonly #memory: MemoryWatch | undefined;
  readonly #timeline = new Timeline();
  readonly #peers = new Map<ProcessId, Peer>();
  #handlers!: NodeHandlers;
  /** Where it is part of a cluster. */
  #member: Member | undefined;
  #membership: Membership | undefined;
  readonly #server: Server;
  /** Exits of processes whose connections are not read to the end yet. */
  readonly #exits = new Map<ProcessId, DeathReason>();
  #armed = false;
  #ending = false;

  static async start(config: DaemonConfig, begun: Begun): Promise<void> {
    const daemon = new Daemon(config, begun);
    if (config.cluster !== undefined) await daemon.#join(config.cluster);
    daemon.#handlers = daemon.#makeHandlers();
    daemon.#serve(begun.early);
    daemon.#report({ ready: true, nodeId: daemon.#nodeId, pid: process.pid, socket: nodeSocketOf(config.sessionDir) });
    // Nobody waits for what follows, and to begin a process stops this one for some milliseconds.
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    if (daemon.#ending) return;
    const { node } = daemon.#machines;
    daemon.#event(() => node.prestart([], daemon.#machines.now(), prestartedFor(config)));
    daemon.#children.countKernelKills();
    await removeStaleSessions(config.sessionDir);
  }

  private constructor(config: DaemonConfig, begun: Begun) {
    this.#config = config;
    this.#server = begun.server;
    this.#nodeId = config.nodeId;
    markSession(config.sessionDir);
    this.#children = new Children(config, {
      printed: (child, stream, lines) => this.#logs.printed(child, stream, lines),
      exited: (id, pid, reason) => this.#exited(id, pid, reason),
    });
    this.#logs = new LogForwarder({
      sendLog: (body, driver) => this.#sendLog(body, driver),
      queuedBytes: () => this.#queuedBytes(),
      setReading: (reading) => this.#children.setReading(reading),
    });
    this.#store = new StoreService({
      sessionDir: config.sessionDir,
      capacityBytes: config.objectStoreMemory,
      spillDir: config.spillDir,
      send: (to, name, body) => this.#send(to, name, body),
      onSealed: (id, holder, size, contains) => this.#event(() => this.#machines.refs.sealed(id, holder, size, contains)),
      onLost: (id, reason) => this.#event(() => this.#machines.refs.objectLost(id, reason)),
      accountOf: (process) => this.#storeAccount(process),
      onCharged: () => this.#event(() => {}),
    });
    this.#environments = new NodeEnvironments(config, {
      made: (environment) => this.#event(() => this.#machines.node.environmentMade(environment, this.#machines.now())),
      failed: (environment, failure, reason) =>
        this.#event(() => this.#machines.node.environmentFailed(environment, failure, reason, this.#machines.now())),
      others: () => this.#member?.packages,
    });
    this.#machines = this.#makeMachines();
    const { node } = this.#machines;
    for (const worker of begun.workers) this.#children.adopt(worker);
    const started = begun.workers.map(({ id }) => id);
    this.#event(() => node.prestart(started, this.#machines.now(), started.length));
    const threshold = config.memoryThreshold ?? 0.95;
    if (threshold > 0) this.#memory = new MemoryWatch(threshold, (use) => this.#outOfMemory(use));
    this.#watchEnds();
  }

  #makeHandlers(): NodeHandlers {
    const { node, control, refs } = this.#machines;
    const member = this.#member;
    return handlersFor({
      node,
      leases: member?.leases ?? node,
      control,
      refs,
      ofLog: (from, name, body) => this.#machines.ofLog(from, name, body),
      store: this.#store,
      now: () => this.#machines.now(),
      actorIdle: (worker, id) => this.#machines.actorIdle(worker, id),
      announced: (id, reason) => this.#onChild(id, (child) => (child.announced = reason)),
      titled: (id, title) => this.#onChild(id, (child) => (child.title = title)),
      events: (from, body) => this.#timeline.add(from, body),
      ask: (from, body) => answerQuestion(this.#sources(), from, body),
      toHome: (from, body) => {
        const home = homeOf(body.id);
        if (member === undefined || home === prefixOf(this.#nodeId)) return false;
        member.router.relay(home, from, "objectResult", body);
        return true;
      },
      refsGoTo: (process) => member?.router.watch(process),
    });
  }

  async #join(config: ClusterConfig): Promise<void> {
    // What only a cluster needs is loaded only there.
    const { Membership } = await import("../cluster/membership.ts");
    this.#membership = await Membership.join(config, {
      config: this.#config,
      machines: this.#machines,
      children: this.#children,
      store: this.#store,
      processes: () => [...this.#peers.keys()],
      event: (run) => this.#event(run),
      deliver: (to, name, body) => this.#deliver(to, name, body),
      ask: (question, answer) => answerHere(this.#sources(), question, (value) => answer(JSON.stringify(value))),
      fetchPackage: (hash) => this.#environments.fetch(hash),
      readPackage: (hash, offset, length) => this.#environments.readPart(hash, offset, length),
      environments: {
        prepare: (environment) => this.#environments.hold(environment),
        release: (environment) => this.#environments.letGo(environment),
      },
      cutDrivers: (jobId) => this.#cutDrivers(jobId),
      opened: (member) => (this.#member = member),
      end: (why, exitCode) => void this.end(why, exitCode),
    });
  }

  /** Of a process whose job may have only so much in the store. */
  #storeAccount(id: ProcessId): StoreAccount | undefined {
    const { node } = this.#machines;
    const jobId = node.jobOf(id) ?? this.#children.get(id)?.process.job?.jobId ?? this.#config.jobId;
    const account = node.accountOf(jobId);
    return account?.limits["objectStoreMemory"] === undefined ? undefined : account;
  }

  /** To a process of this node. */
  #deliver(to: ProcessId, name: MessageName, body: never): boolean {
    const peer = this.#peers.get(to);
    if (peer === undefined) return false;
    if (name === "actorStart") {
      const start = body as Body<"actorStart">;
      peer.connection.send(name, { ...start, restore: this.#machines.actorStarts(to, start) });
    } else if (name !== "log" || peer.wantsLogs) peer.connection.send(name, body);
    return true;
  }

  #makeMachines(): Machines {
    const { labels, idleTimeoutMs, registerTimeoutMs } = this.#config;
    const config = {
      nodeId: this.#nodeId,
      total: totalOf(this.#config),
      labels,
      limitsDivided: this.#config.cluster !== undefined,
      workers: workersFor(this.#config),
      idleTimeoutMs,
      registerTimeoutMs,
    };
    return new Machines(
      config,
      {
        send: (to, name, body) => this.#send(to, name, body),
        spawnWorker: (id, envVars, environment) => {
          if (this.#ending) return;
          this.#children.spawn(id, envVars, environment === undefined ? undefined : this.#environments.get(environment));
        },
        prepareEnvironment: (environment) => this.#environments.prepare(environment),
        releaseEnvironment: (environment) => this.#environments.release(environment),
        killWorker: (id, reason) => this.#children.kill(id, reason),
        freeStored: (id) => this.#store.free(id),
        keepHere: (id, answer) => this.#store.keepHere(id, (why) => this.#event(() => answer(why))),
      },
      this.#config.cluster === undefined ? undefined : this.#clusterSide(),
    );
  }

  #clusterSide(): ClusterSide {
    const member = (): Member => this.#member!;
    return {
      self: prefixOf(this.#nodeId),
      get control() {
        return member().control;
      },
      get router() {
        return member().router;
      },
      tell: (to, name, body) => member().router.tell(to, name, body),
      relayCame: (to, from, body) => member().router.relay(to, from, "refCame", body),
    };
  }

  /** Takes over the socket that main.ts has opened. */
  #serve(early: Socket[]): void {
    this.#server.removeAllListeners("connection");
    this.#server.on("connection", (socket: Socket) => this.#connected(socket));
    this.#server.on("error", (error) => void this.end(`its socket failed: ${error.message}`, 1));
    for (const socket of early.splice(0)) this.#connected(socket);
  }

  #connected(socket: Socket): void {
    const peer = new Peer(
      socket,
      {
        hello: (name, body) => this.#hello(peer, name, body),
        message: (name, body) => {
          const handle = this.#handlers[name as keyof NodeHandlers] as (body: never, from: Peer) => void;
          this.#event(() => handle(body, peer));
        },
        closed: () => this.#closed(peer),
      },
      HELLO_MS,
    );
    socket.resume();
  }

  /** Returns whether the peer is welcome. */
  #hello(peer: Peer, name: Hello, body: Body<Hello>): boolean {
    if (this.#ending || this.#peers.has(body.processId)) return false;
    const { node, ownControl } = this.#machines;
    if (name === "workerHello") {
      const child = this.#children.get(body.processId);
      if (child === undefined || child.process.exited) return false;
      child.registered = true;
    }
    const served = name === "driverHello" ? (body as Body<"driverHello">) : this.#children.get(body.processId)!.process.job;
    const { jobId, namespace } = served ?? this.#config;
    this.#peers.set(body.processId, peer);
    const memory = this.#store.memoryDescription(body.processId);
    peer.connection.send("welcome", { nodeId: this.#nodeId, jobId, namespace, memory, total: { ...node.total } });
    this.#event(() => {
      if (name === "workerHello") {
        // It may have been given up meanwhile.
        if (!node.workerJoined(body as Body<"workerHello">, this.#machines.now())) peer.connection.destroy();
        return;
      }
      const terms = (body as Body<"driverHello">).terms ?? DEFAULT_TERMS;
      node.driverJoined(body.processId, jobId, terms);
      ownControl?.driverJoined(body.processId, jobId);
      const { submission } = name === "driverHello" ? (body as Body<"driverHello">) : {};
      const driver = { jobId, driver: body.processId, namespace, execArgv: [], envVars: {}, ...terms };
      this.#member?.control.jobStart({ ...driver, submission });
    });
    return true;
  }

  #cutDrivers(jobId: JobId): void {
    for (const peer of this.#peers.values()) if (peer.role === "driver" && peer.jobId === jobId) peer.connection.destroy();
  }

  #closed(peer: Peer): void {
    if (peer.role === undefined || this.#peers.get(peer.id) !== peer) return;
    this.#peers.delete(peer.id);
    if (peer.role === "driver") {
      this.#event(() => this.#clientLost(peer.id));
      const left = [...this.#peers.values()].some((other) => other.role === "driver");
      if (!left && this.#config.home === undefined) void this.end("its driver is gone", 0);
      return;
    }
    this.#children.suspect(peer.id);
    const exit = this.#exits.get(peer.id);
    if (exit !== undefined) return this.#workerLost(peer.id, exit);
    const message = "it closed its connection to the node and did not end";
    setTimeout(() => this.#children.kill(peer.id, { cause: "killed", message }), MUTE_MS).unref();
  }

  #exited(id: ProcessId, pid: number | undefined, death: DeathReason): void {
    this.#logs.flush();
    const reason: DeathReason = { ...death, nodeId: this.#nodeId, processId: id, pid };
    // Nothing that it sent may be still under way: its socket is read to the end first.
    const peer = this.#peers.get(id);
    if (peer === undefined) return this.#workerLost(id, reason);
    this.#exits.set(id, reason);
    setTimeout(() => peer.connection.destroy(), MUTE_MS).unref();
  }

  #workerLost(id: ProcessId, reason: DeathReason): void {
    this.#exits.delete(id);
    if (this.#ending) return;
    this.#event(() => {
      const now = this.#machines.now();
      this.#machines.control.workerLost(id, reason, now);
      this.#machines.node.workerLost(id, reason, now);
      this.#clientLost(id, reason);
    });
  }

  /** A process is gone in its part as an owner of tasks and objects. */
  #clientLost(id: ProcessId, reason: DeathReason = { cause: "exit", message: "it has ended" }): void {
    const { node, control, refs } = this.#machines;
    node.ownerLost(id, this.#machines.now());
    refs.processLost(id);
    this.#machines.journals.processGone(id);
    this.#store.processLost(id);
    this.#member?.router.processEnded(id, reason);
    const job = control.processLost(id);
    if (job !== undefined) node.jobEnded(job, this.#machines.now());
  }

  #sources(): QuestionSources {
    const { node, control } = this.#machines;
    const member = this.#member;
    return {
      nodeId: this.#nodeId,
      labels: this.#config.labels,
      node,
      control,
      timeline: this.#timeline,
      others: member && {
        views: () => member.views(),
        survey: (question, done) => member.survey(question, done),
        askGroup: (from, call, question) => member.control.askGroup(from, call, question),
      },
      objectStore: () => this.#objectStore(),
      counts: () => this.#counts(),
      collectGarbage: () => this.#peers.forEach(({ connection }) => connection.send("collectGarbage", {})),
      now: () => this.#machines.now(),
      drainOutput: (done) => this.#drainOutput(done),
      environments: this.#environments,
      answer: (to, answer) => this.#send(to, "answer", answer),
    };
  }

  #counts(): Omit<NodeCounts, "nodeId"> {
    const { node, ownControl, refs } = this.#machines;
    const workers = node.workers();
    return {
      workers: workers.length,
      idle: workers.filter(({ state, leases, actorId }) => state === "ready" && leases === 0 && actorId === undefined).length,
      actors: ownControl?.actors().filter(({ phase }) => phase !== "dead").length ?? node.livingActors().length,
      leases: node.leases().length,
      waiting: node.waiting,
      references: refs.size,
    };
  }

  #objectStore(): Omit<ObjectStoreState, "nodeId"> {
    const { capacity, used, objects, spilledBytes } = this.#store.stats();
    return { capacity, used, objects, spilled: spilledBytes };
  }

  /** Every pipe that has something is read once in a turn of the event loop: after two turns, what was there is here. */
  #drainOutput(done: () => void): void {
    this.#logs.whenReading(() =>
      setImmediate(() =>
        setImmediate(() => {
          this.#logs.flush();
          // What was read may have been so much that the rest is held back now.
          this.#logs.whenReading(done);
        }),
      ),
    );
  }

  /** Ends the newest of the large: it has lost least, and its end helps. */
  #outOfMemory({ used, total }: MemoryUse): boolean {
    const { node } = this.#machines;
    const leased = node.leases().map(({ processId }) => processId);
    const actors = node
      .workers()
      .filter(({ actorId }) => actorId !== undefined)
      .map(({ processId }) => processId);
    // Tasks before actors, which have more to lose.
    const processes = [...new Set([...leased, ...actors.reverse()])];
    const victim = victimOf(processes.map((id) => ({ id, size: residentBytes(this.#children.get(id)?.process.pid ?? 0) })));
    if (victim === undefined) return false;
    const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
    const message = `the machine was out of memory: ${gib(used)} of ${gib(total)} were in use, ${gib(victim.size)} of them by this worker`;
    this.#event(() => node.killWorker(victim.id, { cause: "out-of-memory", message }, this.#machines.now()));
    return true;
  }

  #event(event: () => void): void {
    this.#machines.run(event);
    if (this.#armed) return;
    this.#armed = true;
    queueMicrotask(() => {
      this.#armed = false;
      if (this.#ending) return;
      this.#machines.arm();
      this.#member?.changed();
    });
  }

  #send<N extends MessageName>(to: ProcessId, name: N, body: Body<N>): void {
    if (this.#deliver(to, name, body as never)) return;
    if (this.#member !== undefined && prefixOf(to) !== prefixOf(this.#nodeId)) {
      this.#member.router.send(to, name as ToProcess, body as never);
    }
  }

  #sendLog(body: Body<"log">, driver: ProcessId | undefined): number {
    if (driver !== undefined) {
      this.#send(driver, "log", body);
      return this.#queuedBytes();
    }
    for (const peer of this.#peers.values()) if (peer.wantsLogs) peer.connection.send("log", body);
    return this.#queuedBytes();
  }

  #queuedBytes(): number {
    let most = 0;
    for (const peer of this.#peers.values()) if (peer.wantsLogs) most = Math.max(most, peer.connection.queuedBytes);
    return Math.max(most, this.#member?.keptBytes() ?? 0);
  }

  #onChild(id: ProcessId, change: (child: NonNullable<ReturnType<Children["get"]>>) => void): void {
    const child = this.#children.get(id);
    if (child !== undefined) change(child);
  }

  #watchEnds(): void {
    // Whoever has started it holds the other end of stdin: it closes with that process, however that ends.
    if (this.#config.home === undefined || this.#config.tied === true) {
      for (const event of ["end", "error"]) process.stdin.on(event, () => void this.end("what has started it is gone", 0));
      process.stdin.resume();
    }
    process.on("SIGTERM", () => void this.end("it was told to end", 0));
    // Ctrl-C is the driver's to answer.
    process.on("SIGINT", () => {});
    process.on("SIGHUP", () => {});
    process.stdout.on("error", () => {});
    process.on("uncaughtException", (error) => {
      process.stderr.write(`mobula daemon failed: ${error.stack ?? error.message}\n`);
      void this.end("it failed", 1);
    });
  }

  /** Everything that this daemon started or made goes with it. */
  async end(why: string, exitCode: number): Promise<void> {
    if (this.#ending) return;
    this.#ending = true;
    if (exitCode !== 0) process.stderr.write(`mobula daemon ends: ${why}\n`);
    this.#machines.stop();
    this.#memory?.stop();
    this.#server.close();
    this.#member?.leave(why);
    await Promise.all([this.#children.killAll(END_MS), this.#membership?.end(END_MS)]);
    this.#logs.flush();
    await Promise.race([
      Promise.all([this.#environments.close(), this.#store.close()]),
      new Promise((resolve) => setTimeout(resolve, END_MS)),
    ]).catch(() => undefined);
    this.#membership?.close();
    removeSession(this.#config.sessionDir);
    process.exit(exitCode);
  }

  #report(report: DaemonReport): void {
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
}

function totalOf(config: DaemonConfig): ResourceAmounts {
  const { numCpus, numGpus, objectStoreMemory, resources } = config;
  // Amounts are exact up to about 900 GB in bytes; a larger machine is counted as that.
  const bytes = (amount: number): number => Math.min(Math.floor(amount), Math.floor(Number.MAX_SAFE_INTEGER / 10_000));
  const memory = bytes(resources.memory ?? totalmem() * MEMORY_PART);
  const parsed = parseResources({ ...resources, CPU: numCpus, GPU: numGpus, memory, objectStoreMemory: bytes(objectStoreMemory) });
  if ("bad" in parsed) throw new Error(`the amount of ${parsed.bad} is no resource amount`);
  return parsed.ok;
}
