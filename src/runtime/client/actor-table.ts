/**
 * The actors that this process knows: one object each, shared by all handles. What a handle must know travels in its text.
 */
import type { ActorClient } from "../../core/owner/actor-client.ts";
import type { ObjectRef } from "../../core/owner/object-ref.ts";
import type { RuntimeEnvError } from "../../errors/index.ts";
import { replyParcel } from "../../protocol/direct.ts";
import type { ActorId } from "../../protocol/ids.ts";
import { actorId } from "../../protocol/ids.ts";
import type { Body, Payload } from "../../protocol/messages.ts";
import type { ActorCore, ActorSpec } from "../engine.ts";
import { ofJob } from "../job.ts";
import { foreign } from "./arguments.ts";
import type { Arguments } from "./arguments.ts";
import type { Client } from "./client.ts";
import type { HeldId } from "./held-refs.ts";

/** Settings of calls that travel with a handle. */
interface HandleData {
  readonly id: ActorId;
  readonly className: string;
  readonly methods: readonly string[] | undefined;
  readonly ordered: boolean;
  readonly maxTaskRetries: number;
  readonly maxPendingCalls: number;
}

export class KnownActor implements ActorCore {
  readonly engine: never;
  readonly actorId: ActorId;
  className = "";
  methods: readonly string[] | undefined;
  ordered = true;
  maxTaskRetries = 0;
  maxPendingCalls = -1;
  /** Whether control was asked for news of it. */
  watched = false;

  constructor(engine: unknown, id: ActorId) {
    this.engine = engine as never;
    this.actorId = id;
  }
}

export class ActorTable {
  /** The engine that handles belong to; set by it. */
  engine: unknown;
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** A new object for an actor; the caller sees to it that it is held. */
  core(id: ActorId): KnownActor {
    return new KnownActor(this.engine, id);
  }

  describe(core: ActorCore): string {
    this.requireOwn(core);
    const { actorId: id, className, methods, ordered, maxTaskRetries, maxPendingCalls } = core as KnownActor;
    return JSON.stringify({ id, className, methods, ordered, maxTaskRetries, maxPendingCalls } satisfies HandleData);
  }

  /** Throws for a handle from before a shutdown. */
  requireOwn(core: ActorCore): void {
    if (core.engine !== this.engine) throw foreign(`the actor ${core.actorId} (${core.className})`);
  }

  revive(text: string): KnownActor {
    return this.#learn(JSON.parse(text) as HandleData, 0);
  }

  /** What `actorByName` answers; the node has credited this process once. */
  found(answer: { actorId: ActorId; className: string; options: Body<"actorDeclare">["options"] }): KnownActor {
    const { actorId: id, className, options } = answer;
    const ordered = isOrdered(options);
    const { methods, maxTaskRetries = 0, maxPendingCalls = -1 } = options;
    return this.#learn({ id, className, methods, ordered, maxTaskRetries, maxPendingCalls }, 1);
  }

  /** The machine's part of an actor, which hears of its life from the first use on. */
  client(core: KnownActor): ActorClient {
    const actor = this.#client.actorClient(core.actorId, core.ordered);
    actor.className = core.className;
    if (!core.watched) {
      core.watched = true;
      this.#client.node.send("actorWatch", { actorId: core.actorId });
    }
    return actor;
  }

  create(
    spec: ActorSpec,
    definition: { id: string; bytes: Uint8Array; refs: readonly string[] | undefined; holds: readonly object[] },
    args: Arguments,
  ): KnownActor {
    const client = this.#client;
    const { process, jobId, namespace } = client.identity;
    const id = actorId(process, client.world.owner.nextCounter());
    const core = this.core(id);
    core.className = spec.target.name;
    core.methods = spec.options.methods;
    core.ordered = isOrdered(spec.options);
    core.maxTaskRetries = spec.maxTaskRetries;
    core.maxPendingCalls = spec.maxPendingCalls;
    const { maxTaskRetries, maxPendingCalls } = spec;
    const own = { namespace: spec.options.namespace === "" ? namespace : spec.options.namespace, maxTaskRetries, maxPendingCalls };
    const options = { ...spec.options, ...own };
    client.held.hold(id, core, 1);
    // Its environment comes with its creation.
    const { environment, ...shape } = spec.shape;
    client.node.send("actorDeclare", { actorId: id, jobId, className: spec.target.name, options, shape: ofJob(shape, client.job) });
    this.client(core);
    this.#createWhenReady(core, definition, args, environment);
    return core;
  }

  changed({ actorId: id, status, className, actualId }: Body<"actorState">): void {
    const known = this.#client.held.find(id) as KnownActor | undefined;
    if (known && known.className === "") known.className = className;
    if (actualId !== undefined) this.#client.world.owner.actorIs(id, actualId);
    this.#client.world.owner.actorChanged(id, status);
  }

  /** An answer by way of the node, which credits this process with what is inside. */
  answered({ actorId: id, seq, counter, attempt, answer }: Body<"actorAnswer">): void {
    const holds = this.#client.receive(replyParcel(answer));
    const { world } = this.#client;
    const task = world.owner.callInFlight(id, seq, counter, attempt);
    if (!task?.actor) return;
    if (answer.kind === "returned") world.owner.replied(task.actor, seq, 0, answer);
    else {
      const retry = task.spec.options.retryExceptions && world.shouldRetry(task, answer.error);
      world.owner.replied(task.actor, seq, 0, { kind: "threw", error: answer.error, retry });
    }
    // What of it is kept is held by now.
    holds.length = 0;
  }

  #createWhenReady(
    core: KnownActor,
    definition: { id: string; bytes: Uint8Array; refs: readonly string[] | undefined; holds: readonly object[] },
    args: Arguments,
    wanted: string | undefined,
  ): void {
    let missing = 1;
    let environment: string | undefined;
    // Held until the node holds what it needs itself: the definition's refs, the arguments, and the actor.
    const keep = [definition.holds, args.holds, core];
    const settled = (ref: ObjectRef | undefined): void => {
      if (ref?.state === "failed" && missing > 0) {
        missing = -1;
        const error = ref.payload as Payload & { kind: "error" };
        return this.#client.node.send("actorAbandon", { actorId: core.actorId, error: error.bytes });
      }
      if (--missing !== 0) return;
      this.#sendCreate(core.actorId, definition, args, environment);
      keep.length = 0;
    };
    for (const { ref } of args.refArgs ?? []) {
      if (ref.state === "ready") continue;
      missing++;
      if (ref.state === "failed") return settled(ref);
      this.#client.fetch(ref);
      ref.addWaiter({ refSettled: settled });
    }
    const making = this.#client.environments.resolve(wanted);
    if (making instanceof Promise) {
      missing++;
      making.then(
        (known) => {
          environment = known;
          settled(undefined);
        },
        (error: RuntimeEnvError) => {
          if (missing <= 0) return;
          missing = -1;
          const failure = { code: error.code, message: `${core.className} never ran: ${error.message}`.slice(0, 12_000) };
          this.#client.node.send("actorAbandon", { actorId: core.actorId, error: this.#client.errorPayload(error).bytes, failure });
        },
      );
    } else environment = making;
    settled(undefined);
  }

  #sendCreate(
    id: ActorId,
    definition: { id: string; bytes: Uint8Array; refs: readonly string[] | undefined },
    args: Arguments,
    environment: string | undefined,
  ): void {
    const argPayloads = (args.refArgs ?? []).map(({ index, ref }) => ({ index, payload: ref.payload! }));
    const argRefs = [...((args.payload.refs ?? []) as HeldId[]), ...((definition.refs ?? []) as HeldId[])];
    this.#client.node.send("actorCreate", {
      actorId: id,
      functionId: definition.id as never,
      definition: definition.bytes,
      args: args.payload.bytes,
      argPayloads,
      argRefs: argRefs.length > 0 ? argRefs : undefined,
      environment,
    });
  }

  #learn(data: HandleData, credits: number): KnownActor {
    const core = this.#client.held.take(data.id, credits, () => this.core(data.id)) as KnownActor;
    if (core.className === "") core.className = data.className;
    core.methods ??= data.methods;
    core.ordered = data.ordered;
    core.maxTaskRetries = data.maxTaskRetries;
    core.maxPendingCalls = data.maxPendingCalls;
    return core;
  }
}

function isOrdered({ maxConcurrency, concurrencyGroups }: Body<"actorDeclare">["options"]): boolean {
  return maxConcurrency === 1 && Object.keys(concurrencyGroups ?? {}).length === 0;
}
