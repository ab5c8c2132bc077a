/**
 * An engine in memory: runs functions and actors in this process, so that the api layer and mobula/util can be tested alone. It keeps what
 * it was asked for. Not a model of the real engine: values are not copied, and nothing is scheduled.
 */
import { setEngineFactory, closeEngine } from "../../src/api/session.ts";
import { objectRefBrand, streamBrand } from "../../src/runtime/engine.ts";
import type {
  ActorCore,
  ActorSpec,
  ApiHooks,
  CallSpec,
  Engine,
  EngineOptions,
  GetRequest,
  GroupSpec,
  ObjectRef,
  ObjectRefStream,
  TaskSpec,
  TypedArray,
  TypedArrayClass,
  WaitRequest,
  WritableBuffer,
} from "../../src/runtime/engine.ts";
import {
  ActorDiedError,
  ActorNotFoundError,
  ConnectionError,
  GetTimeoutError,
  InvalidOptionError,
  PendingCallsLimitError,
  TaskCancelledError,
  TaskError,
} from "../../src/errors/index.ts";
import type { PlacementGroupId } from "../../src/protocol/ids.ts";

class FakeObjectRef {
  readonly id: string;
  readonly engine: FakeEngine;
  readonly value: Promise<unknown>;
  settled = false;
  cancel: (() => void) | undefined;
  get [objectRefBrand](): true {
    return true;
  }
  constructor(id: string, engine: FakeEngine, value: Promise<unknown>) {
    this.id = id;
    this.engine = engine;
    this.value = value;
    const done = (): void => {
      this.settled = true;
    };
    value.then(done, done);
  }
}

interface FakeActor extends ActorCore {
  readonly spec: ActorSpec;
  /** In a box: an instance may have a method `then`. */
  readonly instance: Promise<{ readonly it: Record<string, (...args: unknown[]) => unknown> }>;
  tail: Promise<unknown>;
  pending: number;
  dead: boolean;
}

const asRef = (ref: FakeObjectRef): ObjectRef<unknown> => ref as unknown as ObjectRef<unknown>;
const fake = (ref: ObjectRef<unknown>): FakeObjectRef => ref as unknown as FakeObjectRef;

export class FakeEngine implements Engine {
  readonly options: EngineOptions;
  readonly hooks: ApiHooks;
  readonly tasks: Array<{ readonly spec: TaskSpec; readonly args: readonly unknown[] }> = [];
  readonly calls: CallSpec[] = [];
  readonly cancelled: string[] = [];
  readonly groups = new Map<string, GroupSpec>();
  readonly removedGroups: string[] = [];
  readonly #actors = new Map<string, FakeActor>();
  /** Most tasks that ran at once. */
  mostRunning = 0;
  /** Rejects `connected()`. */
  connectError: Error | undefined;
  isOpen = true;
  #running = 0;
  #ids = 0;

  constructor(options: EngineOptions, hooks: ApiHooks) {
    this.options = options;
    this.hooks = hooks;
  }

  #ref(value: Promise<unknown>): FakeObjectRef {
    return new FakeObjectRef(`fake-${this.#ids++}`, this, this.isOpen ? value : Promise.reject(this.#left()));
  }

  #left(): ConnectionError {
    return new ConnectionError("The fake cluster was left.");
  }

  async #resolve(args: readonly unknown[]): Promise<unknown[]> {
    return Promise.all(args.map((arg) => (arg instanceof FakeObjectRef ? arg.value : arg)));
  }

  async connected() {
    if (this.connectError !== undefined) throw this.connectError;
    return { address: "fake", nodeId: "node", jobId: "job", namespace: this.options.namespace ?? "default" };
  }

  async close(): Promise<void> {
    this.isOpen = false;
  }

  context() {
    return {
      jobId: "job",
      nodeId: "node",
      workerId: "worker",
      taskId: undefined,
      actorId: undefined,
      namespace: "default",
      attempt: 0,
      assignedResources: {},
      isDriver: true,
      signal: new AbortController().signal,
    };
  }

  async #run(spec: TaskSpec, args: readonly unknown[]): Promise<unknown> {
    const values = await this.#resolve(args);
    this.mostRunning = Math.max(this.mostRunning, ++this.#running);
    try {
      return await Reflect.apply(spec.target.fn, undefined, values);
    } catch (error) {
      throw TaskError.wrap(error, { functionName: spec.shape.name });
    } finally {
      this.#running--;
    }
  }

  #cancellable(work: Promise<unknown>): FakeObjectRef {
    let cancel: (() => void) | undefined;
    const stopped = new Promise<never>((_resolve, reject) => {
      cancel = () => reject(new TaskCancelledError("cancelled"));
    });
    const ref = this.#ref(Promise.race([work, stopped]));
    ref.cancel = cancel;
    return ref;
  }

  submit(spec: TaskSpec, args: readonly unknown[]): ObjectRef<unknown> {
    this.tasks.push({ spec, args });
    return asRef(this.#cancellable(this.#run(spec, args)));
  }

  submitMany(spec: TaskSpec, args: readonly unknown[]): ObjectRef<unknown>[] {
    this.tasks.push({ spec, args });
    return this.#many(this.#run(spec, args), spec.numReturns as number);
  }

  #many(all: Promise<unknown>, count: number): ObjectRef<unknown>[] {
    return Array.from({ length: count }, (_, i) => asRef(this.#ref(all.then((values) => (values as unknown[])[i]))));
  }

  submitStream(spec: TaskSpec, args: readonly unknown[]): ObjectRefStream<unknown> {
    this.tasks.push({ spec, args });
    return this.#stream(async () => Reflect.apply(spec.target.fn, undefined, await this.#resolve(args)) as AsyncIterable<unknown>);
  }

  #stream(start: () => Promise<Iterable<unknown> | AsyncIterable<unknown>>): ObjectRefStream<unknown> {
    const ref = (value: unknown): ObjectRef<unknown> => asRef(this.#ref(Promise.resolve(value)));
    const run = async function* (): AsyncGenerator<ObjectRef<unknown>, undefined, undefined> {
      for await (const value of await start()) yield ref(value);
      return undefined;
    };
    return Object.assign(run(), { id: `fake-${this.#ids++}`, [streamBrand]: true }) as unknown as ObjectRefStream<unknown>;
  }

  createActor(spec: ActorSpec, args: readonly unknown[]): ActorCore {
    const { name } = spec.options;
    const instance = this.#resolve(args).then((values) => ({
      it: Reflect.construct(spec.target.fn, values) as Record<string, () => unknown>,
    }));
    instance.catch(() => undefined);
    const actor: FakeActor = {
      engine: this,
      actorId: `fake-${this.#ids++}-a`,
      className: spec.target.name,
      methods: spec.options.methods,
      spec,
      instance,
      tail: Promise.resolve(),
      pending: 0,
      dead: false,
    };
    if (name !== undefined) this.#actors.set(name, actor);
    return actor;
  }

  #invoke(actor: FakeActor, spec: CallSpec, args: readonly unknown[]): Promise<unknown> {
    this.calls.push(spec);
    const { maxPendingCalls } = actor.spec;
    if (maxPendingCalls !== -1 && actor.pending >= maxPendingCalls) throw new PendingCallsLimitError("too many", { maxPendingCalls });
    actor.pending++;
    const call = async (): Promise<unknown> => {
      const values = await this.#resolve(args);
      if (actor.dead) throw new ActorDiedError("dead", { outcome: "not-executed" });
      const { it } = await actor.instance;
      try {
        return await it[spec.method]!(...values);
      } catch (error) {
        throw TaskError.wrap(error, { functionName: `${actor.className}.${spec.method}` });
      } finally {
        actor.pending--;
      }
    };
    const one = actor.spec.options.maxConcurrency === 1;
    const result = one ? actor.tail.then(call, call) : call();
    actor.tail = result.catch(() => undefined);
    return result;
  }

  call(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRef<unknown> {
    return asRef(this.#cancellable(this.#invoke(actor as FakeActor, spec, args)));
  }

  callMany(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRef<unknown>[] {
    return this.#many(this.#invoke(actor as FakeActor, spec, args), spec.numReturns as number);
  }

  callStream(actor: ActorCore, spec: CallSpec, args: readonly unknown[]): ObjectRefStream<unknown> {
    return this.#stream(
      async () => (await (actor as FakeActor).instance).it[spec.method]!(...(await this.#resolve(args))) as Iterable<unknown>,
    );
  }

  async getActor(name: string): Promise<ActorCore> {
    const actor = this.#actors.get(name);
    if (actor === undefined) throw new ActorNotFoundError(`There is no actor ${name}.`, { actorName: name });
    return actor;
  }

  async kill(actor: ActorCore): Promise<void> {
    (actor as FakeActor).dead = true;
  }

  exitActor(): never {
    throw new InvalidOptionError("not in an actor", { option: "exitActor" });
  }

  put(value: unknown): ObjectRef<unknown> {
    return asRef(this.#ref(Promise.resolve(value)));
  }

  async createBuffer<A extends TypedArray>(length: number, type: TypedArrayClass<A>): Promise<WritableBuffer<A>> {
    const array = new type(new ArrayBuffer(length * type.BYTES_PER_ELEMENT));
    return { array, seal: () => this.put(array) as ObjectRef<A> };
  }

  async get(refs: readonly ObjectRef<unknown>[], request: GetRequest): Promise<unknown[]> {
    if (refs.some((ref) => fake(ref).engine !== this)) throw this.#left();
    let done = 0;
    const all = Promise.all(
      refs.map(async (ref) => {
        const value = await fake(ref).value;
        request.onProgress?.(++done);
        return value;
      }),
    );
    const { timeoutMs } = request;
    return untilStopped(all, timeoutMs, request.signal, () => {
      throw new GetTimeoutError("late", { timeoutMs });
    });
  }

  async wait(refs: readonly ObjectRef<unknown>[], request: WaitRequest): Promise<readonly number[]> {
    if (refs.some((ref) => fake(ref).engine !== this)) throw this.#left();
    let count = 0;
    const enough = new Promise<void>((resolve) => {
      const one = (): void => {
        if (++count >= request.numReturns) resolve();
      };
      for (const ref of refs) fake(ref).value.then(one, one);
    });
    await untilStopped(enough, request.timeoutMs, request.signal, () => undefined);
    return refs.flatMap((ref, i) => (fake(ref).settled ? [i] : [])).slice(0, request.numReturns);
  }

  async cancel(ref: ObjectRef<unknown> | ObjectRefStream<unknown>): Promise<void> {
    this.cancelled.push(ref.id);
    fake(ref as ObjectRef<unknown>).cancel?.();
  }

  async nodes() {
    return [{ nodeId: "node", alive: true, hostname: "here", resources: { CPU: 2 }, labels: {} }];
  }
  async clusterResources() {
    return { CPU: 20_000, licence: 5_000 };
  }
  async availableResources() {
    return { CPU: 5_000 };
  }
  async timeline() {
    return [{ name: "task", cat: "task", ph: "X", ts: 1, dur: 2, pid: 1, tid: 1 }];
  }
  async counts() {
    return [{ nodeId: "node", workers: 2, idle: 1, actors: 0, leases: 1, waiting: 0, references: 3 }];
  }

  collections = 0;
  async collectGarbage() {
    this.collections++;
  }

  async objectStore() {
    return [{ nodeId: "node", capacity: 100, used: 10, objects: 1, spilled: 0 }];
  }

  createGroup(spec: GroupSpec): PlacementGroupId {
    const id = `group-${this.#ids++}`;
    this.groups.set(id, spec);
    return id as PlacementGroupId;
  }
  async groupReady(id: PlacementGroupId): Promise<void> {
    // A group named "never" is never placed.
    if (this.groups.get(id)?.name === "never") return new Promise(() => undefined);
  }
  async groupRemove(id: PlacementGroupId): Promise<void> {
    this.removedGroups.push(id);
  }
  async groupByName(name: string) {
    for (const [id, spec] of this.groups) if (spec.name === name) return { groupId: id as PlacementGroupId, ...spec };
    throw new InvalidOptionError("no such group");
  }
}

async function untilStopped<T>(
  work: Promise<T>,
  timeoutMs: number | undefined,
  signal: AbortSignal | undefined,
  late: () => T | undefined,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const stop = new Promise<T>((resolve, reject) => {
    if (timeoutMs !== undefined) {
      timer = setTimeout(() => {
        try {
          resolve(late() as T);
        } catch (error) {
          reject(error);
        }
      }, timeoutMs);
    }
    signal?.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
  try {
    return await Promise.race([work, stop]);
  } finally {
    clearTimeout(timer);
  }
}

/** Engines made since `useFakeEngine`, the newest last. */
export const engines: FakeEngine[] = [];

/** The engine that is current, or was last. */
export function lastEngine(): FakeEngine {
  const last = engines.at(-1);
  if (last === undefined) throw new Error("no engine was started");
  return last;
}

/** From now on engines are fakes. `prepare` sees each before it is used. */
export function useFakeEngine(prepare: (engine: FakeEngine) => void = () => undefined): void {
  setEngineFactory((options, hooks) => {
    const engine = new FakeEngine(options, hooks);
    prepare(engine);
    engines.push(engine);
    return engine;
  });
}

/** For `afterEach`. */
export async function dropEngines(): Promise<void> {
  await closeEngine();
  engines.length = 0;
  useFakeEngine();
}
