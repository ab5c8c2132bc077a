/** The rows "Errors" of docs/api.md that the other files do not see by themselves, and what is true of all. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { rejectionOf, sharedCluster } from "./cluster.ts";

sharedCluster({ numCpus: 2 });

test("every error extends MobulaError, has a code of its own, and survives a process boundary", async () => {
  const types = Object.entries(ray).filter(([name]) => name.endsWith("Error") && name !== "MobulaError") as Array<
    [string, new (message: string) => ray.MobulaError]
  >;
  assert.ok(types.length >= 19, String(types.length));
  const codes = new Set<string>();
  const echo = ray.remote((error: Error) => error);
  for (const [name, Type] of types) {
    const error = new Type(`about ${name}`);
    assert.ok(error instanceof ray.MobulaError && error instanceof Error, name);
    codes.add(error.code);
    const back = await ray.get(echo.remote(error));
    assert.ok(back instanceof Type, name);
    assert.deepEqual([back.name, back.code, back.message], [name, error.code, `about ${name}`]);
  }
  assert.equal(codes.size, types.length);
});

test("a worker that fills its heap gives OutOfMemoryError, and others go on", async () => {
  const fill = ray.remote(
    () => {
      const kept: string[][] = [];
      for (;;) kept.push(Array.from({ length: 100_000 }, (_, i) => `${kept.length}-${i}`));
    },
    { maxRetries: 0, runtimeEnv: { envVars: { NODE_OPTIONS: "--max-old-space-size=64" } } },
  );
  const error = await rejectionOf(ray.get(fill.remote()));
  assert.ok(error instanceof ray.OutOfMemoryError && /heap was full/.test(error.message), String(error));
  assert.equal(await ray.get(ray.remote(() => 1).remote()), 1);
});

test("a task that calls process.exit, or throws outside of any call, ends its worker with WorkerCrashedError", async () => {
  const exit = ray.remote(() => process.exit(7), { maxRetries: 0 });
  const left = await rejectionOf(ray.get(exit.remote()));
  assert.ok(left instanceof ray.WorkerCrashedError, String(left));
  assert.equal(left.exitCode, 7);
  const uncaught = ray.remote(
    () => {
      setImmediate(() => {
        throw new Error("nobody catches this");
      });
      return new Promise(() => {});
    },
    { maxRetries: 0 },
  );
  const thrown = await rejectionOf(ray.get(uncaught.remote()));
  assert.ok(thrown instanceof ray.WorkerCrashedError, String(thrown));
  assert.match(`${thrown.message} ${(thrown.lastLines ?? []).join("\n")}`, /nobody catches this/);
});

test("a thrown value that is no error arrives as the cause", async () => {
  const fail = ray.remote(() => {
    // eslint-disable-next-line no-throw-literal, typescript/only-throw-error -- what users may do is the subject
    throw { odd: true };
  });
  const error = await rejectionOf(ray.get(fail.remote()));
  assert.ok(error instanceof ray.TaskError);
  assert.deepEqual(error.cause, { odd: true });
});

test("a worker that cannot load its module says why, in bounded time", async () => {
  const load = ray.remote(async () => {
    const name = "a-package-that-is-not-there";
    await import(name);
  });
  await assert.rejects(ray.get(load.remote()), /a-package-that-is-not-there/);
});

test("a runtime environment that keeps workers from starting is RuntimeEnvError", async () => {
  const ref = ray.remote(() => 1, { runtimeEnv: { envVars: { NODE_OPTIONS: "--no-such-flag-of-node" } } }).remote();
  const error = await rejectionOf(ray.get(ref, { timeoutMs: 30_000 }));
  assert.ok(error instanceof ray.RuntimeEnvError && /no-such-flag-of-node/.test(error.message), String(error));
});

test("an owner that dies takes what it would have made with it: OwnerDiedError, not a hang", async () => {
  class Holder {
    pending(): { ref: ray.ObjectRef<unknown> } {
      return { ref: ray.remote(() => new Promise(() => {}), { numCpus: 0 }).remote() };
    }
    crash(): void {
      process.kill(process.pid, "SIGKILL");
    }
  }
  const holder = ray.remote(Holder).remote();
  const { ref } = await ray.get(holder.pending.remote());
  holder.crash.remote();
  const error = await rejectionOf(ray.get(ref, { timeoutMs: 20_000 }));
  assert.ok(error instanceof ray.OwnerDiedError && /Submit from a process that lives longer/.test(error.message), String(error));
});

/** How each error comes about, and what its message says to do. Those that need more have tests of their own. */
const TOLD: readonly [what: string, fail: () => unknown, type: { readonly prototype: ray.MobulaError }, todo: RegExp][] = [
  ["an actor that is not there", () => ray.getActor("nobody"), ray.ActorNotFoundError, /no actor named "nobody".*Check name and namespace/],
  ["a group that is not there", () => ray.getPlacementGroup("nobody"), ray.PlacementError, /"nobody".*make the group again/],
  [
    "a node that is not there",
    () => ray.get(ray.remote(one, { schedulingStrategy: ray.nodeAffinity("nope") }).remote()),
    ray.NodeDiedError,
    /may only run on node nope.*nodes\(\) shows/,
  ],
  ["a name that is taken", () => taken(), ray.ActorNameTakenError, /"taken".*Take another name/],
  ["an actor that was killed", () => killed(), ray.ActorDiedError, /One\.one failed.*kill\(\).*not executed.*Make a new one/],
  ["a task that was cancelled", () => cancelled(), ray.TaskCancelledError, /one was cancelled.*cancel\(\) was called.*never will/],
  ["a get that takes too long", () => ray.get(never.remote(), { timeoutMs: 10 }), ray.GetTimeoutError, /10 ms.*get them again, or cancel/],
  ["an object that is too large", () => ray.createBuffer(2 ** 50), ray.ObjectStoreFullError, /[Rr]aise objectStoreMemory|split it/],
  ["a value that cannot cross", () => ray.put({ a: Promise.resolve() }), ray.SerializationError, /value\.a.*[Aa]wait/],
  ["an option that is wrong", () => ray.remote(one, { numCpu: 1 } as never), ray.InvalidOptionError, /numCpu.*numCpus/],
];
const one = (): number => 1;
const never = ray.remote(() => new Promise<never>(() => {}), { numCpus: 0 });
const One = ray.remote(
  class One {
    one = one;
  },
  { numCpus: 0 },
);

async function taken(): Promise<unknown> {
  const first = One.options({ name: "taken" }).remote();
  await ray.get(first.one.remote());
  return ray.get(One.options({ name: "taken" }).remote().one.remote());
}

async function killed(): Promise<unknown> {
  const actor = One.remote();
  await ray.get(actor.one.remote());
  await ray.kill(actor);
  return ray.get(actor.one.remote());
}

async function cancelled(): Promise<unknown> {
  const ref = ray.remote(one, { numCpus: 100, name: "one" }).remote();
  await ray.cancel(ref);
  return ray.get(ref);
}

for (const [what, fail, type, todo] of TOLD) {
  test(`${what}: the error says what happened and what to do`, async () => {
    const error = await rejectionOf(Promise.resolve().then(fail));
    assert.ok(error instanceof (type as never as ErrorConstructor), String(error));
    assert.match(error.message, todo);
    if (error instanceof ray.ActorNotFoundError) {
      assert.deepEqual([error.actorName, error.namespace], ["nobody", ray.getRuntimeContext().namespace]);
    }
    if (error instanceof ray.TaskCancelledError) assert.equal(error.outcome, "not-executed");
  });
}
