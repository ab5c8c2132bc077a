/**
 * Types of refs, get, wait, put, buffers, cluster calls and util. Checked by tsc; never run.
 */
import * as ray from "../../src/api/index.ts";
import type { Cluster, ObjectRef, PlacementGroup } from "../../src/api/index.ts";
import { objectStore } from "../../src/state/index.ts";
import { ActorPool, asCompleted, Pool, Queue } from "../../src/util/index.ts";
import { exactly } from "./expect.ts";

declare const a: ObjectRef<number>;
declare const b: ObjectRef<string>;
declare const many: ObjectRef<Date>[];

// ── refs ───────────────────────────────────────────────────────────────────────────────────────
exactly<string>()(a.id);
// @ts-expect-error ids are not changed
a.id = "x";
// @ts-expect-error refs of different types are different
export const wrong: ObjectRef<string> = a;
export const wider: ObjectRef<number | string> = a;
// @ts-expect-error an object with an id is no ref
export const fake: ObjectRef<number> = { id: "x" };
// @ts-expect-error refs are not constructed
void new ray.ObjectRef();
declare const anything: unknown;
if (anything instanceof ray.ObjectRef) exactly<ObjectRef<unknown>>()(anything);
export async function notThenable(): Promise<void> {
  // oxlint-disable-next-line typescript/await-thenable -- that is the point
  exactly<ObjectRef<number>>()(await a);
  // @ts-expect-error refs have no then
  void a.then;
}
const returnsRef = async (): Promise<ObjectRef<number>> => a;
exactly<Promise<ObjectRef<number>>>()(returnsRef());

// ── get ────────────────────────────────────────────────────────────────────────────────────────
exactly<Promise<number>>()(ray.get(a));
exactly<Promise<[number, string]>>()(ray.get([a, b]));
exactly<Promise<[number, string]>>()(ray.get([a, b] as const));
exactly<Promise<Date[]>>()(ray.get(many));
exactly<Promise<Date[]>>()(ray.get(many as readonly ObjectRef<Date>[]));
exactly<Promise<[]>>()(ray.get([]));
exactly<Promise<number>>()(ray.get(a, { timeoutMs: 5, signal: AbortSignal.timeout(1), progress: true }));
exactly<Promise<number[]>>()(ray.get([1, 2].map((x) => ray.put(x))));
// @ts-expect-error no ref
void ray.get(1);
// @ts-expect-error a value among the refs
void ray.get([a, 1]);
// @ts-expect-error a promise of a ref
void ray.get(Promise.resolve(a));
// @ts-expect-error unknown option
void ray.get(a, { timeout: 5 });

// ── wait, cancel, put ──────────────────────────────────────────────────────────────────────────
exactly<Promise<[ready: ObjectRef<Date>[], pending: ObjectRef<Date>[]]>>()(ray.wait(many, { numReturns: 2 }));
exactly<Promise<[ready: (ObjectRef<number> | ObjectRef<string>)[], pending: (ObjectRef<number> | ObjectRef<string>)[]]>>()(
  ray.wait([a, b]),
);
// @ts-expect-error one ref is no array
void ray.wait(a);
exactly<Promise<void>>()(ray.cancel(a, { force: true, recursive: false }));
exactly<Promise<void>>()(
  ray.cancel(
    ray
      .remote(function* () {
        yield 1;
      })
      .remote(),
  ),
);
// @ts-expect-error no ref
void ray.cancel(1);
exactly<ObjectRef<number>>()(ray.put<number>(1));
exactly<ObjectRef<{ a: number }>>()(ray.put({ a: 1 }));

// ── buffers ────────────────────────────────────────────────────────────────────────────────────
export async function buffers(): Promise<void> {
  const bytes = await ray.createBuffer(3);
  exactly<ObjectRef<Uint8Array>>()(bytes.seal());
  const floats = await ray.createBuffer(3, Float64Array);
  floats.array[0] = 1;
  const back = await ray.get(floats.seal());
  exactly<number>()(back.length);
  const wide: Float64Array = back;
  void wide;
  // @ts-expect-error no array type
  await ray.createBuffer(3, Array);
}

// ── cluster ────────────────────────────────────────────────────────────────────────────────────
exactly<Promise<Cluster>>()(ray.init({ numCpus: 2, job: { weight: 2 }, runtimeEnv: { envVars: { A: "b" } }, dashboard: false }));
exactly<Promise<Cluster>>()(ray.init({ runtimeEnv: { workingDir: "x.zip", npm: "lock", setup: "./setup.js" } satisfies ray.RuntimeEnv }));
// @ts-expect-error no such word
void ray.init({ runtimeEnv: { npm: "locked" } });
// @ts-expect-error a list, not one pattern
void ray.init({ runtimeEnv: { workingDir: ".", excludes: "x" } });
// @ts-expect-error a setup hook takes nothing
void ray.init({ runtimeEnv: { setup: (x: number) => x } });
// @ts-expect-error unknown option
void ray.init({ cpus: 2 });
exactly<Promise<void>>()(ray.shutdown());
exactly<boolean>()(ray.isInitialized());
exactly<Promise<Record<string, number>>>()(ray.clusterResources());
exactly<AbortSignal>()(ray.getRuntimeContext().signal);
exactly<string | undefined>()(ray.getRuntimeContext().taskId);
export async function disposable(): Promise<void> {
  const cluster: AsyncDisposable = await ray.init();
  void cluster;
}
const group = ray.placementGroup([{ CPU: 1 }], { strategy: "STRICT_SPREAD", name: "g", lifetime: "detached" });
exactly<PlacementGroup>()(group);
exactly<Promise<PlacementGroup>>()(group.ready());
exactly<Promise<boolean>>()(group.wait(10));
exactly<Promise<void>>()(group.remove());
// @ts-expect-error no such strategy
ray.placementGroup([{ CPU: 1 }], { strategy: "LOOSE" });
ray.remote(() => 1, { schedulingStrategy: ray.inPlacementGroup(group, { bundleIndex: 0, captureChildTasks: true }) });
ray.remote(() => 1, { schedulingStrategy: ray.nodeLabels({ hard: { zone: "in(a,b)" } }) });

// ── errors ─────────────────────────────────────────────────────────────────────────────────────
if (anything instanceof ray.TaskError) {
  exactly<string | undefined>()(anything.taskId);
  exactly<unknown>()(anything.cause);
  exactly<string>()(anything.code);
}
if (anything instanceof ray.ActorUnavailableError) exactly<"not-executed" | "unknown">()(anything.outcome);

// ── own serialisation ──────────────────────────────────────────────────────────────────────────
export class Money {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  static [ray.serialize](money: Money): number {
    return money.#cents;
  }
  static [ray.deserialize](cents: number): Money {
    return new Money(cents);
  }
}

// ── util ───────────────────────────────────────────────────────────────────────────────────────
const pool = new Pool(4, { numCpus: 0.5 });
exactly<Promise<string[]>>()(pool.map((x: number) => String(x), [1, 2], { chunkSize: 3, progress: true }));
exactly<Promise<number[]>>()(pool.map(async (x) => x + 1, [1, 2]));
exactly<Promise<number[]>>()(pool.map((x: number) => x, new Float64Array(2)));
exactly<Promise<boolean[]>>()(
  pool.starmap(
    (x: number, y: string) => x === y.length,
    [
      [1, "a"],
      [2, "b"],
    ],
  ),
);
exactly<Promise<number>>()(pool.apply((x: number) => x, [1]));
exactly<Promise<number>>()(pool.apply(async () => 1));
exactly<AsyncGenerator<number, void, undefined>>()(pool.imap((x: string) => x.length, ["a"]));
// @ts-expect-error the items do not fit
void pool.map((x: number) => x, ["a"]);
// @ts-expect-error the arguments do not fit
void pool.starmap((x: number, y: string) => x + y, [[1, 2]]);
// @ts-expect-error an argument is missing
void pool.apply((x: number) => x, []);

class Doubler {
  double(x: number): number {
    return 2 * x;
  }
}
const actors = new ActorPool([ray.remote(Doubler).remote()]);
exactly<AsyncGenerator<number, void, undefined>>()(actors.map((actor, x: number) => actor.double.remote(x), [1, 2]));
exactly<AsyncGenerator<number, void, undefined>>()(actors.mapUnordered((actor, x) => actor.double.remote(x), [1, 2]));
actors.submit((actor, x: number) => actor.double.remote(x), 1);
exactly<Promise<number>>()(actors.next<number>());
exactly<Promise<unknown>>()(actors.nextUnordered({ timeoutMs: 1 }));

const queue = new Queue<string>({ maxSize: 3 });
exactly<Promise<void>>()(queue.put("a", { timeoutMs: 1 }));
exactly<Promise<string>>()(queue.get());
exactly<Promise<string[]>>()(queue.getMany(3));
exactly<Promise<boolean>>()(queue.full());
// @ts-expect-error the items are strings
void queue.put(1);
ray.remote((q: Queue<string>) => q.get()).remote(queue);

export async function completed(): Promise<void> {
  for await (const ref of asCompleted(many)) exactly<ObjectRef<Date>>()(ref);
  exactly<number>()((await objectStore())[0]!.capacity);
}
