/** The rows "Start and end" of docs/api.md. */
import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import * as ray from "mobula";
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
});

test("the cluster is async disposable", async () => {
  const cluster = await ray.init({ numCpus: 1 });
  await cluster[Symbol.asyncDispose]();
  assert.equal(ray.isInitialized(), false);
});
