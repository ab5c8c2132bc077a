/**
 * Programs of simulated processes: generators that yield what they wait for. A context is what a program can do: submit, call,
 * put, cancel, and what it can reach (`scope`), from which the collector starts.
 */
import type { ActorClient } from "../src/core/owner/actor-client.ts";
import type { ShapeQueue } from "../src/core/owner/leases.ts";
import { ObjectRef } from "../src/core/owner/object-ref.ts";
import type { Callable, Task, TaskOptions } from "../src/core/owner/task.ts";
import { parseResources } from "../src/core/resources.ts";
import type { FunctionId } from "../src/protocol/ids.ts";
import { actorId, putId } from "../src/protocol/ids.ts";
import type { Body, CheckpointRule, LeaseShape, Payload, ResourceAmounts, Strategy } from "../src/protocol/messages.ts";
import type { SimClient } from "./client.ts";
import { ActorCore, sharedIn, SimError } from "./values.ts";
import type { Shared } from "./values.ts";

export type Effect =
  | { readonly kind: "compute"; readonly us: number }
  | { readonly kind: "sleep"; readonly us: number }
  | { readonly kind: "get"; readonly refs: readonly ObjectRef[] }
  | { readonly kind: "wait"; readonly refs: readonly ObjectRef[]; readonly count: number; readonly timeoutUs: number }
  | { readonly kind: "next"; readonly ref: Task }
  | { readonly kind: "item"; readonly value: unknown }
  | { readonly kind: "ask"; readonly question: Body<"ask">["question"] };

/** What comes back is what the effect gives; programs say by its type what they expect. */
export type Program<T = unknown> = Generator<Effect, T, unknown>;

/** The answer of an effect; thrown where it is an error. */
export type Answer = { readonly value: unknown } | { readonly error: SimError };
export type Resume = (answer: Answer) => void;

export const compute = (us: number): Effect => ({ kind: "compute", us });
export const sleep = (us: number): Effect => ({ kind: "sleep", us });
export const ask = (question: Body<"ask">["question"]): Effect => ({ kind: "ask", question });
export const item = (value: unknown): Effect => ({ kind: "item", value });

export function* get(...refs: ObjectRef[]): Program<unknown[]> {
  return (yield { kind: "get", refs }) as unknown[];
}

export function* getOne(ref: ObjectRef): Program {
  return ((yield { kind: "get", refs: [ref] }) as unknown[])[0];
}

/** Those that are settled once `count` are, or the time is over. */
export function* wait(refs: readonly ObjectRef[], count: number, timeoutUs: number): Program<ObjectRef[]> {
  return (yield { kind: "wait", refs, count, timeoutUs }) as ObjectRef[];
}

/** The next item of a stream, or undefined at its end. */
export function* next(stream: Task): Program<ObjectRef | undefined> {
  return (yield { kind: "next", ref: stream }) as ObjectRef | undefined;
}

export interface TaskSettings {
  readonly resources?: Record<string, number>;
  readonly retries?: number;
  readonly retryExceptions?: boolean;
  readonly numReturns?: number;
  readonly maxCalls?: number;
  readonly strategy?: Strategy;
  readonly priority?: number;
  readonly env?: string;
  /** A generator; so many items may be unread. */
  readonly stream?: number;
}

export interface ActorSettings {
  readonly resources?: Record<string, number>;
  readonly placement?: Record<string, number>;
  readonly maxRestarts?: number;
  readonly maxTaskRetries?: number;
  readonly maxConcurrency?: number;
  readonly name?: string;
  readonly getIfExists?: boolean;
  readonly detached?: boolean;
  readonly checkpoint?: CheckpointRule;
  readonly strategy?: Strategy;
}

/** What a context needs of where it runs. */
export interface Blocking {
  block(): void;
  unblock(then: () => void): void;
}

const FREE: Blocking = { block: () => {}, unblock: (then) => then() };

export class Context {
  readonly client: SimClient;
  readonly scope = new Set<Shared>();
  readonly children = new Set<Task>();
  readonly blocking: Blocking;
  cancelled = false;
  /** Of a task: which start of it this is. */
  attempt = 0;
  /** Who made the call: the process, or the task. */
  readonly caller: string;

  constructor(client: SimClient, caller: string, blocking: Blocking = FREE) {
    this.client = client;
    this.caller = caller;
    this.blocking = blocking;
  }

  task(name: string, args: readonly unknown[], settings: TaskSettings = {}): Task {
    const { client } = this;
    const shape: LeaseShape = {
      resources: amounts(settings.resources ?? { CPU: 1 }),
      strategy: settings.strategy ?? { kind: "default" },
      labelSelector: undefined,
      envVars: settings.env === undefined ? undefined : { KIND: settings.env },
      environment: settings.env === "other" ? "made first" : undefined,
      name,
      priority: settings.priority ?? 0,
    };
    const maxCalls = settings.maxCalls ?? 0;
    const { resources, strategy, envVars, environment, priority } = shape;
    const key = JSON.stringify([resources, strategy, envVars, environment, priority, maxCalls > 0 ? [maxCalls, name] : 0]);
    client.tick();
    return this.#submit(name, args, optionsOf(settings, maxCalls), client.owner.queue(key, shape, maxCalls), []);
  }

  /** A task with one result. */
  run(name: string, args: readonly unknown[], settings: TaskSettings = {}): ObjectRef {
    return this.task(name, args, settings).returns[0]!;
  }

  call(actor: ActorCore, method: string, args: readonly unknown[], retries = actor.maxTaskRetries): ObjectRef {
    return this.#submit(method, args, optionsOf({ retries }, 0), this.client.actor(actor), [actor]).returns[0]!;
  }

  put(value: unknown): ObjectRef {
    const { client } = this;
    const id = putId(client.id, client.owner.nextCounter());
    const ref = client.newRef(id);
    const inner = sharedIn(value);
    ref.inner = inner.length > 0 ? inner : undefined;
    ref.payload = client.pack(value, () => id);
    ref.state = "ready";
    if (ref.payload.kind === "stored") client.sealedHere(ref);
    this.scope.add(ref);
    return ref;
  }

  create(className: string, args: readonly unknown[], settings: ActorSettings = {}): ActorCore {
    const { client } = this;
    const id = actorId(client.id, client.owner.nextCounter());
    const { maxConcurrency = 1 } = settings;
    const core = new ActorCore(id, className, maxConcurrency === 1, settings.maxTaskRetries ?? 0);
    client.held.hold(id, core, 1);
    this.scope.add(core);
    client.send("actorDeclare", {
      actorId: id,
      jobId: client.jobId,
      className,
      options: {
        name: settings.name,
        namespace: "sim",
        detached: settings.detached ?? false,
        getIfExists: settings.getIfExists ?? false,
        maxRestarts: settings.maxRestarts ?? 0,
        maxConcurrency,
        concurrencyGroups: undefined,
        resources: amounts(settings.resources ?? {}),
        placementResources: amounts(settings.placement ?? { CPU: 1 }),
        methods: undefined,
        checkpoint: settings.checkpoint,
      },
      shape: { resources: {}, strategy: settings.strategy ?? { kind: "default" }, name: className, priority: 0 },
    });
    client.actor(core);
    client.world.history.declared(id, settings.maxRestarts ?? 0);
    this.#createWhenReady(core, args);
    return core;
  }

  cancel(task: Task, force: boolean, recursive = true): void {
    this.client.tick();
    this.client.owner.cancel(task, force, recursive);
    this.client.batchEnd();
  }

  /** Of a ref that another process made. */
  cancelForeign(ref: ObjectRef, force: boolean, recursive = true): void {
    this.client.send("objectCancel", { id: ref.id, force, recursive });
  }

  kill(actor: ActorCore, noRestart: boolean): void {
    this.client.ask({ kind: "actorKill", actorId: actor.actorId, noRestart }, () => {});
  }

  /** The program does not know these any more. */
  drop(...shared: Shared[]): void {
    for (const each of shared) this.scope.delete(each);
  }

  /** Runs a program to its end. */
  start(program: Program, done: (answer: Answer) => void): void {
    const step: Resume = (answer) => {
      let result: IteratorResult<Effect, unknown>;
      try {
        result = "error" in answer ? program.throw(answer.error) : program.next(answer.value);
      } catch (error) {
        if (!(error instanceof SimError)) throw error;
        return done({ error });
      }
      if (result.done) return done({ value: result.value });
      this.perform(result.value, step);
    };
    step({ value: undefined });
  }

  perform(effect: Effect, resume: Resume): void {
    const { client } = this;
    switch (effect.kind) {
      case "compute":
        return client.process.compute(effect.us, () => resume({ value: undefined }));
      case "sleep":
        return void client.process.after(effect.us, () => resume({ value: undefined }));
      case "get":
        return this.#get(effect.refs, resume);
      case "wait":
        return this.#wait(effect, resume);
      case "next":
        return this.#next(effect.ref, resume);
      case "ask":
        return client.ask(effect.question, ({ failure, body }) => {
          if (failure) resume({ error: new SimError(failure.code, failure.message) });
          else resume({ value: body === undefined ? undefined : JSON.parse(body) });
        });
      case "item":
        throw new Error("this program is no generator");
      default:
        effect satisfies never;
    }
  }

  /** A value came: what it contains can be reached. */
  reach(value: unknown): unknown {
    for (const each of sharedIn(value)) this.scope.add(each);
    return value;
  }

  #get(refs: readonly ObjectRef[], resume: Resume): void {
    const values = (): void => {
      const failed = refs.find((ref) => ref.state === "failed");
      this.#values(failed ? [failed] : refs, [], resume);
    };
    this.#until(refs, refs.length, true, Infinity, values);
  }

  #values(refs: readonly ObjectRef[], values: unknown[], resume: Resume): void {
    if (values.length === refs.length) return resume({ value: values });
    this.client.value(refs[values.length]!, (value) => {
      if (value instanceof SimError) return resume({ error: value });
      this.#values(refs, [...values, this.reach(value)], resume);
    });
  }

  #wait({ refs, count, timeoutUs }: Effect & { kind: "wait" }, resume: Resume): void {
    this.#until(refs, count, false, timeoutUs, () => resume({ value: refs.filter((ref) => ref.state !== "pending") }));
  }

  #until(refs: readonly ObjectRef[], count: number, failFast: boolean, timeoutUs: number, then: () => void): void {
    for (const ref of refs) this.client.fetch(ref);
    const enough = (): boolean =>
      refs.filter((ref) => ref.state !== "pending").length >= count || (failFast && refs.some((ref) => ref.state === "failed"));
    if (enough()) return then();
    this.blocking.block();
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      this.client.process.post(() => this.blocking.unblock(then));
    };
    const waiter = { refSettled: () => void (enough() && end()) };
    for (const ref of refs) if (ref.state === "pending") ref.addWaiter(waiter);
    if (timeoutUs < Infinity) this.client.process.after(timeoutUs, end);
  }

  #next(task: Task, resume: Resume): void {
    const stream = task.stream!;
    const { owner, process } = this.client;
    const ref = owner.readStream(task);
    if (ref) {
      this.scope.add(ref);
      return resume({ value: ref });
    }
    if (stream.length !== undefined && stream.read >= stream.length) {
      if (stream.error) return resume({ error: this.client.open(stream.error as Payload & { kind: "error" }) as SimError });
      return resume({ value: undefined });
    }
    this.blocking.block();
    stream.changed = () => {
      stream.changed = () => {};
      process.post(() => this.blocking.unblock(() => this.#next(task, resume)));
    };
  }

  #submit(name: string, args: readonly unknown[], options: TaskOptions, place: ShapeQueue | ActorClient, kept: Shared[]): Task {
    const { client } = this;
    const refArgs = args.flatMap((ref, index) => (ref instanceof ObjectRef ? [{ index, ref }] : []));
    const plain = args.map((arg) => (arg instanceof ObjectRef ? null : arg));
    const payload = client.inline(plain);
    const holds = [...kept, ...sharedIn(plain)];
    const spec = { callable: callable(client, name), args: payload, refArgs: refArgs.length > 0 ? refArgs : undefined, holds, options };
    const task = client.submit(spec, place);
    client.world.history.submitted(task, options.maxRetries);
    for (const ref of task.returns) this.scope.add(ref);
    if (task.state !== "done") {
      this.children.add(task);
      task.parent = this.children;
    }
    return task;
  }

  #createWhenReady(core: ActorCore, args: readonly unknown[]): void {
    const { client } = this;
    const refArgs = args.flatMap((ref, index) => (ref instanceof ObjectRef ? [{ index, ref }] : []));
    const plain = args.map((arg) => (arg instanceof ObjectRef ? null : arg));
    const payload = client.inline(plain);
    const keep: Shared[] = [core, ...sharedIn(args)];
    client.starting.add(keep);
    let missing = refArgs.length + 1;
    const settled = (ref: ObjectRef | undefined): void => {
      if (missing < 0) return;
      if (ref?.state === "failed") {
        missing = -1;
        client.starting.delete(keep);
        return client.send("actorAbandon", { actorId: core.actorId, error: (ref.payload as Payload & { kind: "error" }).bytes });
      }
      if (--missing > 0) return;
      client.send("actorCreate", {
        actorId: core.actorId,
        functionId: core.className as FunctionId,
        definition: new Uint8Array(0),
        args: payload.bytes,
        argPayloads: refArgs.map(({ index, ref: arg }) => ({ index, payload: arg.payload! })),
        argRefs: payload.refs,
      });
      client.starting.delete(keep);
    };
    for (const { ref } of refArgs) {
      client.fetch(ref);
      if (ref.state !== "pending") settled(ref);
      else ref.addWaiter({ refSettled: settled });
    }
    settled(undefined);
  }
}

function optionsOf(settings: TaskSettings, maxCalls: number): TaskOptions {
  const { retries = 0, retryExceptions = false, numReturns = 1, stream } = settings;
  return {
    numReturns: stream === undefined ? numReturns : 0,
    maxRetries: retries,
    retryExceptions,
    retryRule: undefined,
    streamBuffer: stream,
    maxCalls,
    concurrencyGroup: undefined,
  };
}

/** Equal names are one function in a process. */
function callable(client: SimClient, name: string): Callable {
  let known = client.callables.get(name);
  if (!known) client.callables.set(name, (known = { name, meanUs: undefined }));
  return known;
}

export function amounts(values: Record<string, number>): ResourceAmounts {
  const parsed = parseResources(values);
  if ("bad" in parsed) throw new Error(`no amount: ${parsed.bad}`);
  return parsed.ok;
}
