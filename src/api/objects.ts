/**
 * Objects: put, createBuffer, get, wait, cancel. Each checks what it was given and hands it to the engine.
 */
import { InvalidOptionError, explain } from "../errors/index.ts";
import { actorCoreKey, isObjectRef, isStream } from "../runtime/engine.ts";
import type { ObjectRef, ObjectRefStream, TypedArray, TypedArrayClass, WritableBuffer } from "../runtime/engine.ts";
import { flags, getSettings, waitSettings } from "./options.ts";
import { integer, shown } from "./option-checks.ts";
import type { CancelOptions, GetOptions, WaitOptions } from "./option-types.ts";
import { ProgressBar } from "./progress.ts";
import { engine, engineOf } from "./session.ts";

function whyNoRef(value: unknown): string {
  if (value instanceof Promise) return "It is a promise: await it first";
  if (isStream(value)) return "It is a stream: read its refs with for await";
  if (Array.isArray(value)) return "Refs in an array within the array are not followed: flatten it";
  if (typeof value === "object" && value !== null && actorCoreKey in value)
    return "It is an actor handle: call one of its methods with .remote()";
  return "Refs come from put(...) and from .remote(...)";
}

function requireRef(what: string, value: unknown, option: string): ObjectRef<unknown> {
  if (isObjectRef(value)) return value;
  throw new InvalidOptionError(explain(`${what} needs ObjectRefs, but ${option} is ${shown(value)}`, "", whyNoRef(value)), {
    option,
    value,
  });
}

function requireRefs(what: string, values: readonly unknown[]): ObjectRef<unknown>[] {
  const refs = new Array<ObjectRef<unknown>>(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    refs[i] = isObjectRef(value) ? value : requireRef(what, value, `refs[${i}]`);
  }
  return refs;
}

/**
 * Stores a value once, so that many tasks can take its ref. Large typed arrays go to shared memory, where tasks read them in place.
 * The value is taken as it is now.
 *
 * Throws SerializationError when it cannot cross, ObjectStoreFullError, and InvalidOptionError for a ref.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const table = ray.put(new Float64Array(100_000).fill(1));
 * const sum = ray.remote((values: Float64Array) => values.reduce((a, b) => a + b, 0));
 * console.log(await ray.get(sum.remote(table))); // 100000
 * await ray.shutdown();
 * ```
 */
export function put<T>(value: T): ObjectRef<T> {
  if (isObjectRef(value)) {
    throw new InvalidOptionError(
      explain("put() was given an ObjectRef", "Its value is an object already", "Use the ref itself, or put([ref])"),
      {
        option: "value",
        value,
      },
    );
  }
  return engine().put(value) as ObjectRef<T>;
}

/**
 * Space in the object store to write an array of `length` elements into: what is large is made where it stays, without a copy. `seal()`
 * makes it an object; `get` of its ref gives the same array type. A buffer that is dropped unsealed is freed.
 *
 * Rejects with ObjectStoreFullError, and InvalidOptionError for a wrong length or type.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const { array, seal } = await ray.createBuffer(1_000, Float64Array);
 * for (let i = 0; i < array.length; i++) array[i] = Math.sqrt(i);
 * const ref = seal();
 * console.log((await ray.get(ref))[4]); // 2
 * await ray.shutdown();
 * ```
 */
export function createBuffer(length: number): Promise<WritableBuffer<Uint8Array>>;
export function createBuffer<A extends TypedArray>(length: number, ArrayType: TypedArrayClass<A>): Promise<WritableBuffer<A>>;
export async function createBuffer(length: number, ArrayType: TypedArrayClass = Uint8Array): Promise<WritableBuffer<TypedArray>> {
  const element: unknown = typeof ArrayType === "function" ? ArrayType.BYTES_PER_ELEMENT : undefined;
  if (typeof element !== "number") {
    throw new InvalidOptionError(`ArrayType must be a class of typed arrays, such as Float64Array, got ${shown(ArrayType)}.`, {
      option: "ArrayType",
      value: ArrayType,
    });
  }
  integer("length", length, 0, Math.floor(Number.MAX_SAFE_INTEGER / element));
  const buffer = await engine().createBuffer(length, ArrayType);
  return { array: buffer.array, seal: () => buffer.seal() };
}

/** The values of a tuple or array of refs. */
export type ValuesOf<R extends readonly unknown[]> = { -readonly [K in keyof R]: R[K] extends ObjectRef<infer T> ? T : never };

/**
 * The value of a ref, or the values of a tuple or array of refs in their order. In a task, its CPUs are given back while it waits.
 *
 * Rejects with the error of the first that failed (TaskError with the user's error as `cause`, WorkerCrashedError, TaskCancelledError,
 * ActorDiedError, ObjectLostError and so on); with GetTimeoutError after `timeoutMs`; with the signal's reason when it aborts, while the
 * task goes on; with ConnectionError for refs from before a shutdown; with InvalidOptionError for what is no ref.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const double = ray.remote((x: number) => 2 * x);
 * const values = await ray.get([double.remote(1), double.remote(2)], { timeoutMs: 30_000 });
 * console.log(values); // [2, 4]
 * await ray.shutdown();
 * ```
 */
export function get<T>(ref: ObjectRef<T>, options?: GetOptions): Promise<T>;
export function get<const R extends readonly ObjectRef<unknown>[]>(refs: R, options?: GetOptions): Promise<ValuesOf<R>>;
export async function get(refs: unknown, options?: GetOptions): Promise<unknown> {
  const { progress, ...request } = getSettings(options);
  const many = Array.isArray(refs);
  const list = many ? requireRefs("get()", refs) : [requireRef("get()", refs, "ref")];
  request.signal?.throwIfAborted();
  if (list.length === 0) return [];
  const bar = progress ? new ProgressBar({ total: list.length }) : undefined;
  try {
    const values = await engineOf("get()").get(list, { ...request, onProgress: bar && ((done) => bar.set(done)) });
    bar?.set(list.length);
    return many ? values : values[0];
  } finally {
    bar?.stop();
  }
}

/**
 * Waits until `numReturns` of the refs are ready, or `timeoutMs` have passed, and gives `[ready, pending]`, both in the order of the input
 * and with at most `numReturns` in ready. Ready is what has a value or an error. A timeout is no error.
 *
 * Rejects with the signal's reason when it aborts; with InvalidOptionError for no refs, one ref twice, or a wrong option.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const work = ray.remote((x: number) => x);
 * const [ready, pending] = await ray.wait([1, 2, 3].map((x) => work.remote(x)), { numReturns: 2 });
 * console.log(ready.length, pending.length); // 2 1
 * await ray.shutdown();
 * ```
 */
export async function wait<R extends ObjectRef<unknown>>(refs: readonly R[], options?: WaitOptions): Promise<[ready: R[], pending: R[]]> {
  const list = checkWaitList(refs);
  const request = waitSettings(options, list.length);
  request.signal?.throwIfAborted();
  const ready = await engineOf("wait()").wait(list, request);
  return [ready.map((index) => list[index] as R), without(list, ready) as R[]];
}

/** A list without some places, in order. A loop over wait pays for this each time, so it is blocks that are copied, not refs. */
function without(list: ObjectRef<unknown>[], places: readonly number[]): ObjectRef<unknown>[] {
  if (places.length === 0) return list;
  if (places.length === list.length) return [];
  if (places.length === 1) return list.toSpliced(places[0]!, 1);
  const rest = new Array<ObjectRef<unknown>>(list.length - places.length);
  for (let i = 0, next = 0; i < list.length; i++) {
    if (i === places[next]) next++;
    else rest[i - next] = list[i]!;
  }
  return rest;
}

function checkWaitList(refs: unknown): ObjectRef<unknown>[] {
  if (!Array.isArray(refs) || refs.length === 0) {
    throw new InvalidOptionError(`wait() needs an array of at least one ObjectRef, got ${shown(refs)}.`, { option: "refs", value: refs });
  }
  const list = refs.slice() as unknown[];
  // One object an id and process, so a mark on the object tells.
  const mark = {};
  for (let i = 0; i < list.length; i++) {
    const value = list[i];
    const ref = (isObjectRef(value) ? value : requireRef("wait()", value, `refs[${i}]`)) as ObjectRef<unknown> & { listMark?: object };
    if (ref.listMark === mark) {
      throw new InvalidOptionError(`wait() needs distinct refs, but refs[${i}] (${ref.id}) is there twice.`, {
        option: `refs[${i}]`,
        value: ref,
      });
    }
    ref.listMark = mark;
  }
  return list as ObjectRef<unknown>[];
}

/**
 * Cancels the task that makes a ref, or the producer of a stream. One that has not started never starts; one that runs sees
 * `getRuntimeContext().signal` abort, and with `force` its worker is killed. `get` of its refs then rejects with TaskCancelledError. A
 * task that is done is left as it is. `recursive` (default true) cancels the tasks that it submitted too.
 *
 * Rejects with InvalidOptionError for what is no ref, and for `force` on an actor's call.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const forever = ray.remote(() => new Promise<void>(() => {}));
 * const ref = forever.remote();
 * await ray.cancel(ref, { force: true });
 * await ray.get(ref).catch((error) => console.log(error.code)); // TASK_CANCELLED
 * await ray.shutdown();
 * ```
 */
export async function cancel(ref: ObjectRef<unknown> | ObjectRefStream<unknown>, options?: CancelOptions): Promise<void> {
  const chosen = flags("cancel", options, { force: false, recursive: true });
  const what = isStream(ref) ? ref : requireRef("cancel()", ref, "ref");
  await engineOf("cancel()").cancel(what, chosen);
}
