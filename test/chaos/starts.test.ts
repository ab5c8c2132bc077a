/** Workers that cannot start: the cause is in the error, in bounded time, and no process is started for ever. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { counts } from "mobula/state";
import { rejectionOf, sharedCluster } from "../rows/cluster.ts";

sharedCluster({ numCpus: 2 });
const one = (): number => 1;

const BROKEN: readonly [what: string, envVars: Record<string, string>, cause: RegExp][] = [
  ["a flag that node does not know", { NODE_OPTIONS: "--no-such-flag" }, /no-such-flag/],
  ["a module that is not there", { NODE_OPTIONS: "--import=/no/such/module.mjs" }, /no\/such\/module\.mjs/],
  ["a preload that throws", { NODE_OPTIONS: "--import=data:text/javascript,throw%20new%20Error('bad%20preload')" }, /bad preload/],
  ["a syntax error", { NODE_OPTIONS: "--import=data:text/javascript,let%20let%20=%201" }, /SyntaxError/],
];
for (const [what, envVars, cause] of BROKEN) {
  test(`${what}: tasks and actors say so, and others go on`, async () => {
    const runtimeEnv = { envVars };
    const task = await rejectionOf(ray.get(ray.remote(one, { runtimeEnv }).remote(), { timeoutMs: 60_000 }));
    assert.ok(task instanceof ray.RuntimeEnvError, String(task));
    assert.match(task.message, cause);
    const Actor = ray.remote(
      class {
        hello = () => 1;
      },
      { runtimeEnv },
    );
    const actor = await rejectionOf(ray.get(Actor.remote().hello.remote(), { timeoutMs: 60_000 }));
    assert.ok(actor instanceof ray.MobulaError && !(actor instanceof ray.GetTimeoutError), String(actor));
    assert.equal(await ray.get(ray.remote(one).remote()), 1);
    const [node] = await counts();
    assert.equal(node!.waiting, 0, "nothing waits for a worker that cannot come");
  });
}
