/** What is longer or more than messages hold: refused where it is given, or told in words, and the cluster goes on. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import * as ray from "mobula";
import { rejectionOf, sharedCluster } from "./cluster.ts";

const MIB = 1 << 20;
sharedCluster({ numCpus: 2 });
const one = ray.remote(() => 1);
afterEach(async () => assert.equal(await ray.get(one.remote(), { timeoutMs: 20_000 }), 1, "the cluster goes on"));

class Big extends Error {
  readonly data: Uint8Array;
  constructor(size: number) {
    super("big");
    this.data = new Uint8Array(size);
  }
}

const fail = ray.remote(
  (size: number) => {
    throw new Big(size);
  },
  { maxRetries: 0 },
);

test("an error with megabytes in it arrives whole, also where others than its caller wait for it", async () => {
  const error = await rejectionOf(ray.get(fail.remote(10 * MIB)));
  assert.ok(error instanceof ray.TaskError && (error.cause as Big).data.length === 10 * MIB);
  const sizeOf = ray.remote(async ({ ref }: { ref: ray.ObjectRef<unknown> }) => {
    const [end] = await Promise.allSettled([ray.get(ref)]);
    return end.status === "rejected" ? ((end.reason as ray.TaskError).cause as Big).data.length : 0;
  });
  assert.equal(await ray.get(sizeOf.remote({ ref: fail.remote(10 * MIB) })), 10 * MIB);
});

test("an error that is too large to be sent is told in words", async () => {
  const error = await rejectionOf(ray.get(fail.remote(40 * MIB)));
  assert.ok(error instanceof ray.TaskError, String(error));
  assert.match(
    error.message,
    /threw Big: big.*it has 40 MiB, too many to be sent: its cause and fields were left out.*ref into the error/s,
  );
  assert.deepEqual([error.errorName, error.cause], ["Big", undefined]);
});

test("a constructor that throws megabytes: its error arrives", async () => {
  const Actor = ray.remote(
    class {
      constructor(size: number) {
        throw new Big(size);
      }
      hello(): number {
        return 1;
      }
    },
  );
  const error = await rejectionOf(ray.get(Actor.remote(10 * MIB).hello.remote()));
  assert.ok(error instanceof ray.ActorDiedError && (error.cause as Big).data.length === 10 * MIB, String(error));
});

test("last words of any width are kept as far as they have room", async () => {
  const noisy = ray.remote(
    () => {
      for (let i = 0; i < 30; i++) console.error(`${i} ${"€".repeat(5000)}`);
      process.exit(3);
    },
    { maxRetries: 0 },
  );
  const error = await rejectionOf(ray.get(noisy.remote()));
  assert.ok(error instanceof ray.WorkerCrashedError && error.exitCode === 3, String(error));
  assert.ok(error.lastLines!.length >= 4 && error.lastLines!.at(-1)!.startsWith("29 €"));
});

test("what a function captures: megabytes are sent, at once; more is refused, with what to do", async () => {
  const table = new Float64Array(MIB).fill(2);
  const list = Array.from({ length: 300_000 }, (_, i) => i);
  const startedAt = performance.now();
  assert.equal(await ray.get(ray.remote(() => table.length + list.length).remote()), MIB + 300_000);
  assert.ok(performance.now() - startedAt < 10_000, "its members are not looked through one by one");
  const tooMuch = new Uint8Array(110 * MIB);
  assert.throws(
    () => ray.remote(() => tooMuch.length).remote(),
    (error: unknown) => {
      return error instanceof ray.SerializationError && /110 MiB.*put\(\)/.test(error.message);
    },
  );
});

test("more names than anybody has are refused", () => {
  const names = <T>(count: number, value: T): Record<string, T> =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, value]));
  const refused = (option: RegExp) => (error: unknown) => error instanceof ray.InvalidOptionError && option.test(error.message);
  const f = (): number => 1;
  assert.throws(() => ray.remote(f, { resources: names(300, 1) }), refused(/resources must be at most 200 names/));
  assert.throws(() => ray.remote(f, { labelSelector: names(300, "x") }), refused(/labelSelector must be at most 200 names/));
  assert.throws(() => ray.remote(f, { runtimeEnv: { envVars: names(300, "x") } }), refused(/envVars must be at most 200 names/));
  assert.throws(() => ray.placementGroup([names(300, 1)]), refused(/bundles\[0\] must be at most 200 names/));
});

test("two hundred long names and values are placed, or not, and told in brief", async () => {
  const long = (value: string | number): Record<string, never> =>
    Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`${"r".repeat(250)}${i}`, value])) as never;
  const waiting = ray.remote(() => 1, { resources: long(1) }).remote();
  assert.ok((await rejectionOf(ray.get(waiting, { timeoutMs: 1_500 }))) instanceof ray.GetTimeoutError);
  await ray.cancel(waiting);
  const elsewhere = ray.remote(() => 1, { labelSelector: long("x".repeat(250)) }).remote();
  assert.ok((await rejectionOf(ray.get(elsewhere, { timeoutMs: 1_500 }))) instanceof ray.GetTimeoutError);
  await ray.cancel(elsewhere);
  // More than the system lets a process have.
  const error = await rejectionOf(ray.get(ray.remote(() => 1, { runtimeEnv: { envVars: long("x".repeat(30_000)) } }).remote()));
  assert.ok(error instanceof ray.RuntimeEnvError, String(error));
  assert.match(error.message, /E2BIG/);
});

test("names of functions, classes and methods may have any length", async () => {
  const name = "n".repeat(1000);
  const f = Object.defineProperty(() => 1, "name", { value: name });
  assert.equal(await ray.get(ray.remote(f).remote()), 1);
  const Class = class {
    ["m".repeat(250)](): number {
      return 2;
    }
    short(): number {
      return 3;
    }
  };
  Object.defineProperty(Class, "name", { value: name });
  const actor = ray.remote(Class).remote();
  assert.equal(await ray.get(actor.short.remote()), 3);
  const method = (actor as unknown as Record<string, { remote(): ray.ObjectRef<number> }>)["m".repeat(250)]!;
  assert.equal(await ray.get(method.remote()), 2);
});
