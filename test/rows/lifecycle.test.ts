/** The rows "Start and end" of docs/api.md. */
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { afterEach, test } from "node:test";
import * as ray from "mobula";
import { objectStore } from "mobula/state";
import { leakChecked } from "../harness/index.ts";

afterEach(() => ray.shutdown());
leakChecked();

test("init gives a cluster with its ids, and clusterResources has what was asked for", async () => {
  const cluster = await ray.init({ numCpus: 3, numGpus: 1, resources: { licence: 2.5 }, namespace: "mine" });
  assert.equal(cluster.namespace, "mine");
  for (const id of [cluster.nodeId, cluster.jobId, cluster.address]) assert.ok(typeof id === "string" && id !== "", id);
  const { CPU, GPU, licence } = await ray.clusterResources();
  assert.deepEqual({ CPU, GPU, licence }, { CPU: 3, GPU: 1, licence: 2.5 });
});

test("init twice is an error, unless ignoreReinitError", async () => {
  const first = await ray.init({ numCpus: 1 });
  await assert.rejects(ray.init({ numCpus: 1 }), ray.InvalidOptionError);
  const again = await ray.init({ numCpus: 1, ignoreReinitError: true });
  assert.equal(again.nodeId, first.nodeId);
});

test("a wrong option of init is refused, with the nearest right name", async () => {
  await assert.rejects(
    ray.init({ numCpu: 1 } as never),
    (error: Error) => error instanceof ray.InvalidOptionError && /numCpus/.test(error.message),
  );
  await assert.rejects(ray.init({ numCpus: -1 }), ray.InvalidOptionError);
  await assert.rejects(ray.init({ numCpus: Number.NaN }), ray.InvalidOptionError);
  assert.equal(ray.isInitialized(), false);
});

test("isInitialized says whether there is a cluster, shutdown is harmless when there is none", async () => {
  assert.equal(ray.isInitialized(), false);
  await ray.shutdown();
  await ray.init({ numCpus: 1 });
  assert.equal(ray.isInitialized(), true);
  await ray.shutdown();
  await ray.shutdown();
  assert.equal(ray.isInitialized(), false);
});

test("a remote call without init starts a cluster", async () => {
  assert.equal(await ray.get(ray.remote(() => "here").remote()), "here");
  assert.equal(ray.isInitialized(), true);
});

test("what is large and comes before the cluster is there is stored once it is, or says why it is not", async () => {
  // Calls right after an init() that is not awaited go to its cluster.
  const starting = ray.init({ numCpus: 1, objectStoreMemory: 64 << 20 });
  const length = ray.remote(async (bytes: Uint8Array) => [bytes.length, (await objectStore())[0]!.objects]);
  const kept = ray.put(new Uint8Array(8 << 20));
  // One that is inside a value, and one that is too large there.
  const box = ray.remote(async ({ ref }: { ref: ray.ObjectRef<Uint8Array> }) => (await ray.get(ref)).length);
  const boxes = [box.remote({ ref: kept }), box.remote({ ref: ray.put(new Uint8Array(70 << 20)) })];
  const tooLarge = ray.put(new Uint8Array(80 << 20));
  const refs = [
    length.remote(kept),
    length.remote(new Uint8Array(4 << 20)),
    length.remote(tooLarge),
    length.remote(new Uint8Array(90 << 20)),
  ];
  assert.deepEqual((await ray.get(refs[0]!))[0], 8 << 20);
  const [size, objects] = await ray.get(refs[1]!);
  assert.ok(size === 4 << 20 && objects! >= 1);
  for (const ref of [tooLarge, refs[2]!, refs[3]!]) await assert.rejects(ray.get(ref as ray.ObjectRef<unknown>), ray.ObjectStoreFullError);
  assert.equal(await ray.get(boxes[0]!), 8 << 20);
  const inside = await Promise.allSettled([ray.get(boxes[1]!)]);
  assert.match(String(inside[0].status === "rejected" && inside[0].reason), /larger than the whole object store/);
  assert.equal((await ray.get(kept)).length, 8 << 20);
  await starting;
});

test("after shutdown old references and handles reject with ConnectionError, and a new start works", async () => {
  await ray.init({ numCpus: 1 });
  class Echo {
    say(x: number): number {
      return x;
    }
  }
  const RemoteEcho = ray.remote(Echo);
  const plusOne = ray.remote((x: number) => x + 1);
  const ref = ray.put(1);
  const echo = RemoteEcho.remote();
  await ray.get(echo.say.remote(1));
  await ray.shutdown();
  await assert.rejects(ray.get(ref), ray.ConnectionError);
  await assert.rejects(async () => ray.get(echo.say.remote(1)), ray.ConnectionError);
  assert.equal(await ray.get(plusOne.remote(1)), 2);
  // Also now that there is a cluster again, which is another one.
  const takes = ray.remote((x: unknown) => typeof x);
  assert.throws(() => takes.remote(ref), ray.ConnectionError);
  assert.throws(() => takes.remote([ref]), ray.ConnectionError);
  assert.throws(() => takes.remote(echo), ray.ConnectionError);
  await assert.rejects(ray.get(ref), ray.ConnectionError);
  await assert.rejects(ray.wait([ref]), ray.ConnectionError);
  await assert.rejects(ray.cancel(ref), ray.ConnectionError);
  await assert.rejects(ray.kill(echo), ray.ConnectionError);
  await assert.rejects(async () => ray.get(echo.say.remote(1)), ray.ConnectionError);
});

test("the address of a cluster that cannot be joined is refused, as an option and in MOBULA_ADDRESS", async (t) => {
  const refused = (error: Error): boolean =>
    error instanceof ray.ConnectionError &&
    error.address === "10.0.0.1:6379" &&
    /mobula start --address 10\.0\.0\.1:6379/.test(error.message);
  await assert.rejects(ray.init({ address: "10.0.0.1:6379" }), refused);
  process.env["MOBULA_ADDRESS"] = "10.0.0.1:6379";
  t.after(() => delete process.env["MOBULA_ADDRESS"]);
  await assert.rejects(ray.init(), refused);
  assert.equal(ray.isInitialized(), false);
  await ray.init({ address: "local", numCpus: 1 });
  assert.equal(ray.isInitialized(), true);
});

test("a threshold of memory that is no part of it is refused", async (t) => {
  process.env["MOBULA_MEMORY_THRESHOLD"] = "95%";
  t.after(() => delete process.env["MOBULA_MEMORY_THRESHOLD"]);
  await assert.rejects(ray.init(), /MOBULA_MEMORY_THRESHOLD is "95%".*from 0 to 1.*Leave it out/);
  assert.equal(ray.isInitialized(), false);
});

test("a runtime environment with parts that are not there is refused, and says what is", async () => {
  await assert.rejects(ray.init({ runtimeEnv: { container: "x" } as never }), /has no option "container".*no container/s);
  assert.throws(() => ray.remote(() => 1, { runtimeEnv: { pip: ["x"] } as never }), ray.InvalidOptionError);
  assert.throws(() => ray.remote(() => 1, { runtimeEnv: { envVar: {} } as never }), /envVars/);
});

test("a task sees the GPUs that it was given, by the names that the program sees them by", async (t) => {
  process.env["CUDA_VISIBLE_DEVICES"] = "4,GPU-7";
  t.after(() => delete process.env["CUDA_VISIBLE_DEVICES"]);
  await ray.init({ numCpus: 1, numGpus: 2 });
  const seen = ray.remote(() => process.env["CUDA_VISIBLE_DEVICES"]);
  assert.equal(await ray.get(seen.options({ numGpus: 2 }).remote()), "4,GPU-7");
  assert.equal(await ray.get(seen.options({ numGpus: 0.5 }).remote()), "4");
  assert.equal(await ray.get(seen.remote()), "4,GPU-7");
});

test("no token is in the environment of workers, or of what makes environments", async (t) => {
  const names = ["MOBULA_TOKEN", "MOBULA_TOKEN_FILE"];
  for (const name of names) process.env[name] = `a-secret-in-${name}`;
  t.after(() => names.forEach((name) => delete process.env[name]));
  await ray.init({ numCpus: 1 });
  // The daemon is what runs npm; a setup hook runs in a worker.
  const seen = ray.remote(() => {
    const daemon = fs.readFileSync(`/proc/${process.ppid}/environ`, "latin1");
    return [
      Object.keys(process.env).filter((name) => name.startsWith("MOBULA_TOKEN")),
      process.env["FROM_HOOK"],
      daemon.includes("a-secret"),
    ];
  });
  const setup = (): void => void (process.env["FROM_HOOK"] = process.env["MOBULA_TOKEN"] ?? "none");
  assert.deepEqual(await ray.get(seen.options({ runtimeEnv: { setup } }).remote()), [[], "none", false]);
});

test("a start removes what a killed daemon left in shared memory, and nothing of a live one", async (t) => {
  const parent = "/dev/shm";
  const namespace = fs.readlinkSync("/proc/self/ns/pid").replace(/\D/g, "");
  const folder = (pid: number): string => path.join(parent, `mobula-store-${namespace}-${pid}--${process.pid}`);
  // No process has a pid above the kernel's limit of four million.
  const [dead, alive] = [folder(9_999_999), folder(process.pid)];
  for (const made of [dead, alive]) fs.mkdirSync(made);
  t.after(() => [dead, alive].forEach((made) => fs.rmSync(made, { recursive: true, force: true })));
  await ray.init({ numCpus: 1 });
  const left = [dead, alive].map((made) => fs.existsSync(made));
  fs.rmSync(alive, { recursive: true, force: true });
  assert.deepEqual(left, [false, true]);
});

test("the cluster is async disposable", async () => {
  const cluster = await ray.init({ numCpus: 1 });
  await cluster[Symbol.asyncDispose]();
  assert.equal(ray.isInitialized(), false);
});
