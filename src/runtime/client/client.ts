/**
 * The engine's client part: what every process of a program has, driver or worker. It joins the Owner machine, the refs that
 * the node counts, the values and the store, and is what the api layer calls.
 */
import type { ActorClient } from "../../core/owner/actor-client.ts";
import { ObjectRef } from "../../core/owner/object-ref.ts";
import type { SystemFailure } from "../../core/owner/port.ts";
import type { Task } from "../../core/owner/task.ts";
import { WayEnd } from "../../core/refs/way-end.ts";
import { ConnectionError, MobulaError, ObjectLostError, TaskError } from "../../errors/index.ts";
import { functionCodec } from "../../functions/index.ts";
import { CLAIM_BLOCKS } from "../../memory/control-segment.ts";
import { checkReadable, openStoreClient } from "../../memory/client.ts";
import type { StoreClient } from "../../memory/contract.ts";
import type { ActorId, JobId, ObjectId, ProcessId, WayId } from "../../protocol/ids.ts";
import { prefixOf, putId, wayId } from "../../protocol/ids.ts";
import type { Body, MessageName, Payload } from "../../protocol/messages.ts";
import { ValueCodec, packedSize } from "../../values/codec.ts";
import type { ApiHooks } from "../engine.ts";
import type { Job } from "../job.ts";
import { ActorTable } from "./actor-table.ts";
import { ClaimBlocks } from "./claim-blocks.ts";
import { ClientEnvironments } from "./environments.ts";
import type { Inherited } from "./environments.ts";
import { Exports } from "./exports.ts";
import { systemError, refusal } from "./failures.ts";
import { HeldRefs } from "./held-refs.ts";
import type { HeldId } from "./held-refs.ts";
import { NodeLink } from "./node-link.ts";
import { OwnerWorld } from "./owner-world.ts";
import { INLINE_MAX, Later, Packing } from "./packing.ts";

export interface ClientIdentity {
  readonly process: ProcessId;
  jobId: JobId;
  namespace: string;
}

export interface ClientSettings extends Inherited {
  /** The folder in which packages are handed to the node. */
  packages(): string | Promise<string>;
}

/** Messages that concern more than the client: a driver prints, a worker executes. Returns whether it knew the message. */
export type OtherMessages = (name: MessageName, body: never) => boolean;

/** What `valueNow` gives where the value is not to be had at once. */
export const NOT_NOW: unique symbol = Symbol("not now");

const isActor = (id: HeldId): id is ActorId => id.endsWith("-a");

export class Client {
  readonly identity: ClientIdentity;
  readonly node: NodeLink;
  readonly held: HeldRefs;
  readonly packing: Packing;
  readonly exports: Exports;
  readonly world: OwnerWorld;
  readonly environments: ClientEnvironments;
  readonly actors: ActorTable;
  readonly hooks: ApiHooks;
  nodeId = "";
  /** What the workers of this process's tasks serve, on a cluster. */
  job: Job | undefined;
  /** Set once the node has answered. */
  welcome: Body<"welcome"> | undefined;
  #store: StoreClient | undefined;
  #blocks: ClaimBlocks | undefined;
  readonly #storeHandlers = new Map<MessageName, (body: never) => void>();
  /** Puts made before the store was there, whose bytes belong in it: nobody has them until then. */
  #early: { readonly ref: WeakRef<ObjectRef>; readonly bytes: Uint8Array; readonly refs: readonly HeldId[] | undefined }[] = [];
  readonly #claims = { available: true };
  /** Ways whose end has not come. */
  readonly #waysOpen = new Set<WayId>();
  #wayCount = 0;
  readonly #fetching = new Map<ObjectId, ObjectRef>();
  readonly #other: OtherMessages;
  readonly #lost: (error: Error) => void;

  constructor(identity: ClientIdentity, hooks: ApiHooks, other: OtherMessages, lost: (error: Error) => void, settings: ClientSettings) {
    this.identity = identity;
    this.hooks = hooks;
    this.#other = other;
    this.#lost = lost;
    this.node = new NodeLink(
      (name, body) => this.#message(name, body),
      () => this.world.batchEnd(),
      (error) => this.#closed(error),
    );
    this.held = new HeldRefs(this.node);
    this.held.onDropped = (id) => {
      if (isActor(id)) this.world.owner.dropActor(id);
    };
    const refs = { describe: (value: object) => this.#describe(value), revive: (text: string) => this.#revive(text) };
    this.packing = new Packing(
      new ValueCodec(refs, functionCodec),
      () => this.store,
      (values) => this.#escapeAll(values),
      identity.process,
    );
    this.exports = new Exports(this.packing);
    this.world = new OwnerWorld(
      {
        node: this.node,
        process: identity.process,
        identity,
        job: () => this.job,
        blocks: () => this.#blocks,
        openWay: (to) => this.openWay(wayId(identity.process, this.#wayCount++), true, to),
        flushNode: () => this.node.flush(),
        failurePayload: (task, failure) => this.failurePayload(task, failure),
        sharedSettled: (ref, by) => this.#sharedSettled(ref, by),
        finished: (task) => this.finished(task),
        shouldRetry: (task, error) => this.#shouldRetry(task, error),
        environment: (environment) => this.environments.resolve(environment),
        lostArgument: (task, error) => this.#lostArgument(task, error),
      },
      this.#claims,
    );
    this.environments = new ClientEnvironments(
      {
        packages: () => settings.packages(),
        definition: (setup) => this.exports.get(setup),
        publish: async (hash) => void (await this.node.ask({ kind: "packagePublish", hash })),
      },
      settings,
    );
    this.actors = new ActorTable(this);
  }

  get connected(): boolean {
    return this.#store !== undefined;
  }

  get store(): StoreClient {
    if (!this.#store) throw new ConnectionError("This program is not connected to a node yet. Await init() before storing large values.");
    return this.#store;
  }

  /** After the welcome: the store opens, and what was said early goes out. */
  ready(welcome: Body<"welcome">): void {
    this.welcome = welcome;
    this.nodeId = welcome.nodeId;
    this.identity.jobId = welcome.jobId;
    if (welcome.namespace !== "") this.identity.namespace = welcome.namespace;
    const on = (name: MessageName, handler: (body: never) => void): void => void this.#storeHandlers.set(name, handler);
    const store = openStoreClient({
      memory: welcome.memory,
      connection: { send: (name, body) => this.node.send(name, body), on: on as never },
      dropRefs: () => {
        const dropped = this.held.sweep();
        this.node.flush();
        return dropped;
      },
    });
    const slot = Number(welcome.memory["slot"] ?? -1);
    if (slot >= 0) this.#blocks = new ClaimBlocks((block) => store.claims(block), slot * CLAIM_BLOCKS, CLAIM_BLOCKS);
    this.#claims.available = slot >= 0;
    this.#store = store;
    this.#storeEarly();
    this.node.release();
  }

  // ── values ──────────────────────────────────────────────────────────────────────────────────

  /** The value of a settled ref. Rejects with its error. */
  async value(ref: ObjectRef): Promise<unknown> {
    const { payload } = ref;
    if (!payload) throw new ConnectionError(`Object ${ref.id} has no value here.`);
    if (payload.kind === "error") throw await this.openError(payload);
    if (payload.kind === "stored") return this.#readStored(ref, payload.id);
    const value = this.packing.open(payload);
    return value instanceof Later ? value.promise : value;
  }

  /** As `value`, at once, or NOT_NOW where that needs waiting. */
  valueNow(ref: ObjectRef): unknown {
    const { payload } = ref;
    if (ref.state !== "ready" || payload?.kind !== "inline") return NOT_NOW;
    const value = this.packing.open(payload);
    return value instanceof Later ? NOT_NOW : value;
  }

  async openError(payload: Payload & { kind: "inline" | "error" }): Promise<unknown> {
    const value = this.packing.open(payload);
    return value instanceof Later ? await value.promise : value;
  }

  errorPayload(error: unknown): Payload & { kind: "error" } {
    return this.packing.error(error);
  }

  put(value: unknown): ObjectRef {
    const { process } = this.identity;
    const id = putId(process, this.world.owner.nextCounter());
    const encoded = this.packing.encode(value, "value");
    const ref = this.newRef(id);
    ref.inner = encoded.refs.length > 0 ? encoded.refs : undefined;
    const size = packedSize(encoded);
    if (!this.connected && size > INLINE_MAX) {
      checkReadable(id, size);
      this.#early.push({ ref: new WeakRef(ref), bytes: this.packing.inline(encoded), refs: this.packing.escape(encoded) });
      return ref;
    }
    ref.payload = this.packing.pack(encoded, () => id);
    ref.state = "ready";
    if (ref.payload.kind === "stored") this.sealedHere(ref);
    return ref;
  }

  newRef(id: ObjectId): ObjectRef {
    const ref = new ObjectRef(id, undefined, 0);
    ref.home = this;
    return ref;
  }

  /** An object of ours was sealed in the store: its record names this process as its holder. */
  sealedHere(ref: ObjectRef): void {
    ref.shared = true;
    this.held.hold(ref.id, ref, 1);
  }

  // ── refs ────────────────────────────────────────────────────────────────────────────────────

  /** This process's end of a way, which it has opened or another. */
  openWay(id: WayId, opener: boolean, to: ProcessId): WayEnd {
    this.#waysOpen.add(id);
    return new WayEnd(id, opener, to, (name, body) => {
      if (name === "refCame" && (body as Body<"refCame">).over) this.#waysOpen.delete(id);
      this.node.send(name, body);
    });
  }

  /** Takes over refs that the node has given this process. */
  receive(ids: readonly HeldId[]): object[] {
    return ids.map((id) => this.held.take(id, 1, () => this.#make(id)));
  }

  /** Holds refs inside a value that came on a way. */
  keep(ids: readonly HeldId[]): object[] {
    return ids.map((id) => this.held.take(id, 0, () => this.#make(id)));
  }

  /** Asks the node for what another process makes. */
  fetch(ref: ObjectRef): void {
    if (ref.owned || ref.state !== "pending" || this.#fetching.has(ref.id)) return;
    this.#fetching.set(ref.id, ref);
    this.node.send("objectFetch", { id: ref.id });
  }

  failurePayload(task: Task | undefined, failure: SystemFailure): Payload {
    const dead = task?.actor?.status?.kind === "dead" ? task.actor.status : undefined;
    let cause: unknown;
    if (dead?.error) {
      const opened = this.packing.unpack(dead.error, false);
      cause = opened instanceof Later ? undefined : opened;
      if (cause instanceof TaskError) cause = cause.cause;
    }
    return this.errorPayload(systemError(task, failure, cause));
  }

  /** What a process does when a task of its own is over. */
  finished: (task: Task) => void = () => {};

  actorClient(id: ActorId, ordered: boolean): ActorClient {
    return this.world.owner.actor(id, ordered);
  }

  close(error: MobulaError): void {
    this.world.close({ kind: "connection", message: error.message });
    const early = this.#early.flatMap(({ ref }) => ref.deref() ?? []);
    for (const ref of [...this.#fetching.values(), ...early]) this.world.owner.settle(ref, this.errorPayload(error));
    this.#fetching.clear();
    this.#early = [];
    this.#store?.close();
  }

  #closed(error: Error): void {
    this.close(error as MobulaError);
    this.#lost(error);
  }

  async #readStored(ref: ObjectRef, id: ObjectId): Promise<unknown> {
    try {
      return await this.packing.read(id);
    } catch (error) {
      if (!(error instanceof MobulaError) || error.code !== "OBJECT_LOST") throw error;
      this.world.tick();
      this.world.owner.lost(ref, error.message);
      if ((ref.state as string) === "failed") throw error;
      await new Promise<void>((resolve) => ref.addWaiter({ refSettled: () => resolve() }));
      return this.value(ref);
    }
  }

  #make(id: HeldId): object {
    if (isActor(id)) return this.actors.core(id);
    const ref = this.newRef(id);
    ref.owned = false;
    ref.shared = true;
    return ref;
  }

  #describe(value: object): string | undefined {
    if (value instanceof ObjectRef) {
      if (value.home !== this) throw new ConnectionError(`${String(value.id)} belongs to a cluster that was shut down. Make it again.`);
      return value.id;
    }
    const core = this.hooks.coreOf(value);
    return core ? this.actors.describe(core) : undefined;
  }

  #revive(text: string): object {
    if (text.startsWith("{")) return this.hooks.handleOf(this.actors.revive(text));
    const id = text as ObjectId;
    return this.held.take(id, 0, () => this.#make(id));
  }

  #escapeAll(values: readonly object[]): HeldId[] {
    return values.map((value) => {
      const core = value instanceof ObjectRef ? undefined : this.hooks.coreOf(value);
      if (core) return core.actorId as ActorId;
      const ref = value as ObjectRef;
      this.#escape(ref);
      return ref.id;
    });
  }

  /** The ref leaves this process: from now on the node has its record, and this process holds it once. */
  #escape(ref: ObjectRef): void {
    if (ref.shared) return;
    this.world.owner.share(ref);
    this.node.send("objectEscape", { id: ref.id, payload: ref.payload });
    this.held.hold(ref.id, ref, 1);
  }

  #sharedSettled(ref: ObjectRef, by: ProcessId | undefined): void {
    const payload = ref.payload!;
    if (!ref.owned) return;
    if (payload.kind === "stored") {
      ref.shared = true;
      this.held.hold(ref.id, ref, 0);
      // Its bytes lie on the worker's node, and its home is this one, which must know where to look for them.
      if (by !== undefined && prefixOf(by) !== prefixOf(this.identity.process)) this.node.send("objectSettle", { id: ref.id, payload, by });
      return;
    }
    if (payload.refs) ref.inner = this.keep(payload.refs);
    if (ref.shared) this.node.send("objectSettle", { id: ref.id, payload });
  }

  #shouldRetry(task: Task, error: Payload): boolean {
    const rule = task.spec.options.retryRule as boolean | ((error: unknown) => boolean);
    const opened = error.kind === "error" ? this.packing.open(error) : undefined;
    if (!(opened instanceof TaskError)) return false;
    if (typeof rule === "boolean") return rule;
    try {
      return rule(opened.cause);
    } catch {
      return false; // the predicate's own fault: the task's error is what the caller should see
    }
  }

  #lostArgument({ spec: { refArgs } }: Task, error: Payload): ObjectId | undefined {
    if (error.kind !== "error" || !refArgs?.some(({ ref }) => ref.payload?.kind === "stored" || ref.state === "pending")) return undefined;
    const opened = this.packing.open(error);
    // What user code throws comes inside a TaskError.
    return opened instanceof ObjectLostError ? (opened.objectId as ObjectId | undefined) : undefined;
  }

  #storeEarly(): void {
    const early = this.#early;
    this.#early = [];
    for (const { ref: weak, bytes, refs } of early) {
      const ref = weak.deref();
      if (!ref) continue;
      try {
        const room = this.store.create(ref.id, bytes.byteLength);
        room.write(0, bytes);
        room.seal(this.identity.process, refs ?? []);
        this.sealedHere(ref);
        this.world.owner.settle(ref, { kind: "stored", id: ref.id, size: bytes.byteLength });
      } catch (error) {
        // Its put() is over long ago: who reads it is told, and what takes it as an argument.
        this.world.owner.settle(ref, this.errorPayload(error));
      }
    }
  }

  #message(name: MessageName, body: never): boolean {
    const store = this.#storeHandlers.get(name);
    if (store) {
      store(body);
      return true;
    }
    this.world.tick();
    return this.#owners(name, body) || this.#other(name, body);
  }

  #owners(name: MessageName, body: never): boolean {
    const { owner } = this.world;
    switch (name) {
      case "leaseGrant":
        owner.granted(body);
        return true;
      case "leaseReject": {
        const { requestId, failure, reason } = body as Body<"leaseReject">;
        owner.rejected(requestId, failure, reason);
        return true;
      }
      case "leaseWanted":
        owner.wanted((body as Body<"leaseWanted">).leaseId);
        return true;
      case "processLost": {
        const { processId, reason } = body as Body<"processLost">;
        this.world.processLost(processId, reason);
        return true;
      }
      case "nodeLost": {
        const { prefix, reason } = body as Body<"nodeLost">;
        this.world.nodeLost(prefix, reason);
        return true;
      }
      case "actorState":
        this.actors.changed(body);
        return true;
      case "actorAnswer":
        this.actors.answered(body);
        return true;
      case "callsSettled": {
        const { actorId, epoch } = body as Body<"callsSettled">;
        owner.callsSettled(actorId, epoch);
        return true;
      }
      case "refLost": {
        const { way, opener, from } = body as Body<"refLost">;
        // If it was never heard of, nothing has come on it; else its end says what has.
        if (!this.#waysOpen.has(way)) this.openWay(way, opener, from).end();
        return true;
      }
      case "objectState":
        this.#fetched(body);
        return true;
      case "taskCancel": {
        const { id, force, recursive } = body as Body<"taskCancel">;
        owner.cancelShared(id, force, recursive);
        return true;
      }
      default:
        return false;
    }
  }

  #fetched({ id, payload, failure }: Body<"objectState">): void {
    const ref = this.#fetching.get(id);
    this.#fetching.delete(id);
    if (payload && payload.kind !== "stored" && payload.refs) {
      const inner = this.receive(payload.refs);
      if (ref) ref.inner = inner;
    }
    if (!ref) return;
    this.world.owner.settle(
      ref,
      payload ?? this.errorPayload(refusal(failure ?? { code: "OBJECT_LOST", message: `Object ${id} is lost.` })),
    );
  }
}
