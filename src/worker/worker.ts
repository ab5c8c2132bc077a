/**
 * A worker process: joins its node, listens for owners, and runs what they push: tasks of the leases on it, or one actor.
 */
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { libc } from "../memory/ffi.ts";
import { adoptEngine, apiHooks } from "../api/session.ts";
import { wellKnown } from "../api/well-known.ts";
import { registerWellKnown } from "../functions/index.ts";
import { ObjectStoreFullError, TaskError } from "../errors/index.ts";
import { creditedRefs } from "../core/refs/creation.ts";
import { pushParcel } from "../protocol/direct.ts";
import type { InlinePayload, ReplyBody } from "../protocol/direct.ts";
import { checkpointId, homeOf, prefixOf, taskId } from "../protocol/ids.ts";
import type { JobId, ObjectId } from "../protocol/ids.ts";
import type { Body, LoggedCall, MessageName, Payload } from "../protocol/messages.ts";
import { MalformedMessage } from "../protocol/schema.ts";
import { withState } from "../values/state.ts";
import type { State } from "../values/state.ts";
import type { BlockMapper } from "../runtime/client/claim-blocks.ts";
import { Client } from "../runtime/client/client.ts";
import { ClientEngine, notAnActor } from "../runtime/client/engine.ts";
import type { HeldId } from "../runtime/client/held-refs.ts";
import { Later } from "../runtime/client/packing.ts";
import { packagesOf } from "../runtime/daemon/config.ts";
import type { WorkerConfig } from "../runtime/daemon/config.ts";
import { ActorHost } from "../runtime/worker/actor-host.ts";
import { ActorLog } from "../runtime/worker/actor-log.ts";
import type { Channel, RunningCall } from "../runtime/worker/call.ts";
import { CallRunner } from "../runtime/worker/call-runner.ts";
import { ActorExit, currentContext, runFollowed } from "../runtime/worker/context.ts";
import type { CallContext } from "../runtime/worker/context.ts";
import { Definitions } from "../runtime/worker/definitions.ts";
import { Executor, setVisibleGpus } from "../runtime/worker/executor.ts";
import { OwnerLink } from "../runtime/worker/owner-link.ts";
import { runSetup } from "./setup.ts";

const EARLY_POLL_MS = 2;

export interface WorkerSettings extends WorkerConfig {
  readonly jobId: JobId;
  readonly namespace: string;
  /** The driver's entry script. */
  readonly entry?: string;
}

export class Worker {
  readonly #settings: WorkerSettings;
  readonly #client: Client;
  readonly #runner: CallRunner;
  readonly #definitions: Definitions;
  readonly #executor: Executor;
  readonly #links = new Set<OwnerLink>();
  #actor: ActorHost | undefined;
  #starting: Body<"actorStart"> | undefined;
  /** Nobody but this process holds its actor, as far as the node has said. */
  #alone = false;
  #exiting = false;
  /** The checkpoint that its actor waits for before it lives lies with its log. */
  #saving: { saved(): void; failed(error: Error): void } | undefined;
  /** Whether the node was told that calls have left tasks behind. */
  #owns = false;
  #title = "";

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    const { processId, jobId, namespace } = settings;
    registerWellKnown("mobula:", wellKnown);
    this.#client = new Client(
      { process: processId, jobId, namespace },
      apiHooks(),
      (name, body) => this.#message(name, body),
      () => this.#orphaned(),
      { packages: () => packagesOf(settings.sessionDir), environment: settings.environment?.text, envVars: settings.envVars },
    );
    this.#client.job = settings.job;
    const engine = new ClientEngine(this.#client, {
      connected: () => Promise.resolve({ address: settings.nodeSocket, nodeId: this.#client.nodeId, jobId, namespace }),
      close: () => Promise.resolve(),
      exitActor: () => this.#exitActor(),
      isDriver: false,
      signal: new AbortController().signal,
    });
    adoptEngine(engine);
    const { finished } = this.#client;
    this.#client.finished = (task) => {
      finished(task);
      this.#taskEnded();
    };
    const packing = this.#client.packing;
    this.#runner = new CallRunner({
      packing,
      letGo: (ids) => ids.forEach((id) => this.#client.node.send("refDrop", { id, count: 1 })),
      ends: () => this.#callEnds(),
      result: (id, payload) => this.#tellResult(id, payload),
      titled: (title) => this.#setTitle(title),
      actorExits: () => this.#actorExits(),
      logged: (call, body) => this.#logged(call, body),
    });
    this.#definitions = new Definitions(packing);
    this.#executor = new Executor(this.#runner, this.#definitions, this.#client.node);
  }

  async start(): Promise<void> {
    const { sessionDir, processId, nodeSocket, reach, startedBy } = this.#settings;
    // The kernel ends this process with its daemon (the first one with its driver), whatever it is doing then.
    libc()?.setParentDeathSignal(9);
    prepareOutput(() => this.#client.node.flush());
    process.on("uncaughtException", (error) => this.#failed(error));
    if (startedBy !== undefined) await serving(nodeSocket, startedBy);
    const socket = `${sessionDir}/w-${processId}.sock`;
    const server = createServer((owner) => this.#accept(owner, (block) => this.#client.store.claims(block)));
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    const { environment } = this.#settings;
    if (environment?.setup) await runSetup(environment.setup, this.#client.packing);
    // Loaded where it is needed only: on one machine a worker starts without it.
    const { reachable } = reach ? await import("../runtime/worker/reachable.ts") : {};
    const reached = reach && (await reachable!(processId, reach, ({ socket: owner, refuse }) => this.#accept(owner, noClaims, refuse)));
    this.#client.node.hold();
    await this.#client.node.connect(
      nodeSocket,
      (send) => send("workerHello", { processId, pid: process.pid, socket, reach: reached?.reach }),
      () => {},
    );
  }

  #accept(owner: Socket, blocks: BlockMapper, refused: (why: string) => void = () => {}): void {
    this.#links.add(
      new OwnerLink(owner, {
        blocks,
        openWay: (id, to) => this.#client.openWay(id, false, to),
        flushNode: () => this.#client.node.flush(),
        keep: (ids) => this.#client.keep(ids),
        shared: (owner, answered) => this.#runner.shared(owner, answered),
        isOrphaned: (leaseId) => this.#executor.isOrphaned(leaseId),
        actorHolds: () => this.#starting ?? { assigned: {}, gpuIds: [] },
        arrived: (channel) => this.#arrived(channel),
        drain: () => this.#drain(),
        refused,
        // A connection between machines breaks while both ends live, and what such an actor runs is answered by another way.
        outlives: (owner) => this.#actor?.log !== undefined && prefixOf(owner) !== prefixOf(this.#client.identity.process),
        linkClosed: (link) => {
          this.#links.delete(link);
          this.#executor.linkClosed(link);
        },
      }),
    );
  }

  #arrived(channel: Channel): void {
    if (channel.leaseId) this.#executor.arrived(channel);
    else this.#actor?.arrived(channel);
  }

  #drain(): void {
    if (this.#actor) {
      this.#actor.drain();
      this.#idles();
    } else this.#executor.drain();
  }

  #message(name: MessageName, body: never): boolean {
    switch (name) {
      case "welcome":
        this.#client.ready(body);
        return true;
      case "taskResumed": {
        const { leaseId, turn } = body as Body<"taskResumed">;
        this.#executor.resumedByNode(leaseId, turn);
        return true;
      }
      case "actorStart":
        this.#starting = body;
        void this.#startActor(body);
        return true;
      case "actorSave":
        this.#saveNow((body as Body<"actorSave">).failure);
        return true;
      case "actorSaved":
        this.#saving?.saved();
        return true;
      case "callsCut":
        void this.#callsCut(body);
        return true;
      case "actorAlone":
        this.#alone = true;
        this.#idles();
        return true;
      case "spareRequest":
        this.#isSpare();
        return true;
      case "leaseOrphaned": {
        const { leaseId } = body as Body<"leaseOrphaned">;
        for (const link of this.#links) link.orphaned(leaseId);
        this.#executor.orphaned(leaseId);
        return true;
      }
      case "exitRequest":
        // Tasks that its tasks left behind would end with it.
        if ((body as Body<"exitRequest">).ifIdle && this.#client.world.owner.open > 0) this.#client.node.send("exitDeclined", {});
        else this.#end(0);
        return true;
      default:
        return false;
    }
  }

  async #startActor(start: Body<"actorStart">): Promise<void> {
    const { actorId, epoch, className, functionId, definition } = start;
    this.#setTitle(className);
    setVisibleGpus(start.gpuIds);
    const { node } = this.#client;
    const given = this.#client.receive(creditedRefs(start));
    // Held for as long as the actor lives: its definition may use them.
    this.holds = given.slice(0, new Set(start.argRefs).size);
    try {
      const { fn: type } = await this.#definitions.load(functionId, className, definition);
      const { restore } = start;
      const instance = restore ? await this.#restored(type, restore.state) : await this.#constructed(type, start);
      // From here on what its state names is held by that.
      given.length = 0;
      const actor = new ActorHost(this.#runner, start, instance, node);
      if (start.options.checkpoint) await this.#keepLog(actor, start, type, instance);
      this.#actor = actor;
      actor.onIdle = () => this.#idles();
      node.send("actorStarted", { actorId, epoch });
      this.#idles();
    } catch (error) {
      if (error instanceof ActorExit) return this.#actorExits();
      const wrapped = TaskError.wrap(error, { actorId, functionName: `${className}.constructor`, pid: process.pid });
      node.send("actorStartFailed", { actorId, epoch, error: this.#client.errorPayload(wrapped).bytes });
    }
  }

  async #constructed(type: Function, start: Body<"actorStart">): Promise<object> {
    const { packing } = this.#client;
    const opened = packing.unpack(start.args, false);
    const args = (opened instanceof Later ? await opened.promise : opened) as unknown[];
    for (const { index, payload } of start.argPayloads) args[index] = await this.#valueOf(payload);
    return runFollowed(this.#followed(start), () => Reflect.construct(type, args) as object);
  }

  async #restored(type: Function, state: Payload): Promise<object> {
    const given = state.kind === "stored" ? [] : this.#client.receive((state.refs ?? []) as HeldId[]);
    const instance = withState(type, (await this.#valueOf(state)) as State);
    given.length = 0;
    return instance;
  }

  async #valueOf(payload: Payload): Promise<unknown> {
    const { packing } = this.#client;
    const value = payload.kind === "stored" ? await packing.read(payload.id) : packing.open(payload);
    return value instanceof Later ? value.promise : value;
  }

  /** It has run what the incarnation before it had answered, and its state is saved, before anybody calls it. */
  async #keepLog(actor: ActorHost, start: Body<"actorStart">, type: Function, instance: object): Promise<void> {
    const { packing, node, identity, world } = this.#client;
    const calls = start.restore?.calls ?? [];
    const given = calls.map(({ args, payloads }) => this.#client.receive(pushParcel(args as InlinePayload, payloads)));
    const context = ({ owner, counter, attempt }: LoggedCall): CallContext => ({
      ...this.#followed(start),
      taskId: taskId(owner, counter),
      attempt,
    });
    await actor.replay(calls, context);
    given.length = 0;
    actor.log = new ActorLog(
      {
        node,
        packing,
        process: identity.process,
        newId: () => checkpointId(start.actorId, identity.process, world.owner.nextCounter()),
        flush: () => node.flush(),
        idle: () => actor.idle,
        failed: (error) => this.#actorFailed(start, error),
      },
      start,
      type,
      instance,
    );
    actor.log.save();
    // What is far is brought to the log first: until then a crash would take it back to before its constructor.
    if (actor.log.savedFar) await new Promise<void>((saved, failed) => (this.#saving = { saved, failed }));
    this.#saving = undefined;
  }

  #saveNow(failure: Body<"actorSave">["failure"]): void {
    if (this.#saving === undefined) this.#actor?.log?.saveNow(failure);
    else if (failure !== undefined) this.#saving.failed(new ObjectStoreFullError(failure.message));
  }

  /** An owner's way here broke: what it pushed and what has not begun is void, and it hears so behind the answers of what has. */
  async #callsCut({ actorId, epoch, owner }: Body<"callsCut">): Promise<void> {
    for (const link of this.#links) if (link.owner === owner) link.cut();
    await this.#actor?.ended(owner);
    this.#client.node.send("callsOver", { actorId, epoch, owner });
  }

  get #logIsFar(): boolean {
    return this.#actor?.log !== undefined && homeOf(this.#starting!.actorId) !== prefixOf(this.#client.identity.process);
  }

  #logged(call: RunningCall, body: ReplyBody): boolean {
    const log = this.#actor?.log;
    if (!log) return false;
    log.ended(call, body);
    return true;
  }

  #actorFailed({ actorId, epoch, className }: Body<"actorStart">, error: unknown): void {
    if (!this.#actor) throw error;
    this.#actor.end();
    const wrapped = TaskError.wrap(error, { actorId, functionName: className, pid: process.pid });
    this.#client.node.send("actorStartFailed", { actorId, epoch, error: this.#client.errorPayload(wrapped).bytes });
    this.#end(0);
  }

  /** What the actor's definition and arguments contain. */
  holds: readonly object[] = [];

  #followed({ actorId, assigned, gpuIds, children: childStrategy }: Body<"actorStart">): CallContext {
    const signal = new AbortController().signal;
    const nothing = { block: () => {}, unblock: () => Promise.resolve(), children: new Set<never>(), childStrategy };
    return { taskId: undefined, actorId, attempt: 0, assigned, gpuIds, signal, ...nothing };
  }

  /** The node must know of tasks that a call leaves behind before it hears that this worker is free. */
  #callEnds(): void {
    if (this.#owns || this.#client.world.owner.open === 0) return;
    this.#owns = true;
    this.#client.node.send("workerOwns", { open: true });
  }

  /** May an actor have this process? Not while tasks that calls have left behind are in it. The node hears when that is over. */
  #isSpare(): void {
    this.#callEnds();
    this.#client.node.send("spareAnswer", { spare: !this.#owns });
  }

  #taskEnded(): void {
    this.#idles();
    if (!this.#owns || this.#client.world.owner.open > 0) return;
    this.#owns = false;
    this.#client.node.send("workerOwns", { open: false });
  }

  /** At once: what this worker runs next may be long. */
  #tellResult(id: ObjectId, payload: Payload): void {
    // Nobody may know of a call that is not in the log: where that is elsewhere, the answer settles it at its owner's node.
    if (this.#logIsFar) return;
    this.#client.node.send("objectResult", { id, payload });
    this.#client.node.flush();
  }

  #exitActor(): never {
    if (!this.#starting) return notAnActor();
    const call = currentContext();
    if (call) call.exits = true;
    throw new ActorExit();
  }

  #actorExits(): void {
    this.#actor?.end();
    this.#client.node.send("actorExit", { actorId: this.#starting!.actorId });
    this.#end(0);
  }

  #setTitle(title: string): void {
    if (title === this.#title) return;
    this.#title = title;
    this.#client.node.send("workerTitle", { title: title.slice(0, 256) });
  }

  /** Something failed outside any call: what this process knows can no longer be trusted. */
  #failed(error: unknown): void {
    if (error instanceof ActorExit) return this.#actorExits();
    const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`${text}\n`);
    const message = `an error was not caught outside of any call: ${text.split("\n", 1)[0]!}`;
    this.#client.node.send("workerExiting", { reason: { cause: "uncaught-error", message: message.slice(0, 4096), exitCode: 1 } });
    this.#end(1);
  }

  #end(code: number): void {
    if (this.#exiting) return;
    this.#exiting = true;
    this.#client.node.flush();
    for (const link of this.#links) link.flush();
    // One turn for what the kernel has not taken yet.
    setTimeout(() => process.exit(code), 20);
  }

  /** Nobody else holds the actor, and nothing is under way in it: the node, who knows all that was said before, may end it. */
  #idles(): void {
    if (!this.#alone || !this.#actor?.idle || this.#client.world.owner.open > 0) return;
    this.#alone = false;
    this.#client.node.send("actorIdle", { actorId: this.#starting!.actorId });
  }

  #orphaned(): void {
    if (this.#exiting) return;
    process.exit(1);
  }
}

/** An owner on another machine shares no memory with this process. */
function noClaims(block: number): never {
  throw new MalformedMessage("claims", "-1 from another machine", block);
}

/**
 * What is printed is with the daemon when `write` returns, so that no crash loses it and a worker that prints without end waits
 * instead of filling its memory; and `first` runs before it, so that the daemon knows whose output it is.
 */
function prepareOutput(first: () => void): void {
  for (const stream of [process.stdout, process.stderr]) {
    // Node writes to pipes without blocking where they are full; the handle is where that can be changed.
    (stream as { _handle?: { setBlocking?(blocking: boolean): void } })._handle?.setBlocking?.(true);
    const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
    stream.write = (...args: unknown[]) => {
      first();
      return write(...args);
    };
  }
}

/** The node that this process was started beside serves; or whoever has started both is gone. */
async function serving(nodeSocket: string, startedBy: number): Promise<void> {
  while (!existsSync(nodeSocket)) {
    if (process.ppid !== startedBy) process.exit(1);
    await sleep(EARLY_POLL_MS);
  }
}
