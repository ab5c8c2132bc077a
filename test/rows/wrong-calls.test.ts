/** What a user gets wrong is a typed error at the call that says what is right; nothing is lost or hung by it. */
import assert from "node:assert/strict";
import net from "node:net";
import { test } from "node:test";
import * as ray from "mobula";
import { sharedCluster } from "./cluster.ts";

sharedCluster({ numCpus: 2 });

class Shop {
  open(): string {
    return "open";
  }
}
const RemoteShop = ray.remote(Shop);
const echo = ray.remote((x: unknown) => x);
const one = (): number => 1;
const many = (): number[] => [1, 2, 3];
type Loose = (...args: unknown[]) => unknown;

/** What is written, and what the refusal must say. All are wrong by their types too. */
const WRONG: readonly (readonly [what: string, call: () => unknown, says: RegExp])[] = [
  ["a remote function called directly", () => (echo as unknown as Loose)(1), /Write anonymous\.remote\(|\.remote\(\.\.\.\)/],
  ["an actor class called as a function", () => (RemoteShop as unknown as Loose)(), /Write Shop\.remote\(\.\.\.\) for a handle/],
  ["an actor class constructed", () => new (RemoteShop as unknown as new () => unknown)(), /without new/],
  ["a remote function made remote", () => ray.remote(echo as never), /remote already/],
  ["a promise made remote", () => ray.remote(Promise.resolve() as never), /without calling it/],
  ["an instance made remote", () => ray.remote(new Shop() as never), /Pass the class Shop itself/],
  ["an option that is nearly right", () => ray.remote(one, { num_cpus: 1 } as never), /Did you mean "numCpus"\?/],
  ["an option of actors for a task", () => ray.remote(one, { maxRestarts: 1 } as never), /an option of actors; for tasks it is maxRetries/],
  [
    "an option of tasks for an actor",
    () => ray.remote(Shop, { maxRetries: 1 } as never),
    /an option of tasks; for actors it is maxTaskRetries/,
  ],
  ["an amount that is negative", () => ray.remote(one, { numCpus: -1 }), /numCpus must be a number from 0 .* got -1/],
  ["an amount that is NaN", () => ray.remote(one, { resources: { disk: Number.NaN } }), /resources\.disk .* got NaN/],
  ["an amount below the smallest", () => ray.remote(one, { numCpus: 0.00001 }), /0 or at least 0\.0001/],
  ["one GPU and a half", () => ray.remote(one, { numGpus: 1.5 }), /a whole number when above 1/],
  ["a processor as a custom resource", () => ray.remote(one, { resources: { CPU: 1 } }), /Use the option numCpus/],
  ["retries below -1", () => ray.remote(one, { maxRetries: -2 }), /at least 0, or -1 for no bound/],
  ["a count that is no whole number", () => ray.remote(many, { numReturns: 1.5 }), /a whole number/],
  ["a lifetime that is not there", () => RemoteShop.options({ lifetime: "forever" as never }), /must be "detached"/],
  ["getIfExists without a name", () => RemoteShop.options({ getIfExists: true }), /together with a name/],
  ["a label query that cannot be read", () => ray.remote(one, { labelSelector: { zone: "in(" } }), /in\(a,b\)/],
  ["an AbortController for its signal", () => ray.remote(one, { signal: new AbortController() as never }), /Pass its signal/],
  ["a bundle with the option's name", () => ray.placementGroup([{ numCpus: 1 }]), /Write CPU/],
  ["no bundle at all", () => ray.placementGroup([]), /an array of 1 to/],
  ["put of a reference", () => ray.put(ray.put(1)), /Use the ref itself/],
  ["get of a promise", () => ray.get(Promise.resolve(1) as never), /await it first/],
  ["get of what only looks like a reference", () => ray.get({ id: "x" } as never), /Refs come from put/],
  ["get of nested lists", () => ray.get([[ray.put(1)]] as never), /flatten it/],
  ["get of a handle", () => ray.get(RemoteShop.remote() as never), /call one of its methods/],
  ["get with a negative time", () => ray.get(ray.put(1), { timeoutMs: -1 }), /at least 0, got -1/],
  ["get with an unknown option", () => ray.get(ray.put(1), { timeout: 1 } as never), /Did you mean "timeoutMs"\?/],
  ["wait for nothing", () => ray.wait([]), /at least one ObjectRef/],
  ["wait for more than there is", () => ray.wait([ray.put(1)], { numReturns: 2 }), /from 1 to 1, got 2/],
  ["kill of what is no handle", () => ray.kill({} as never), /needs an actor handle/],
  ["exitActor outside an actor", () => ray.exitActor(), /outside an actor/],
  ["an unknown method", () => ray.get((RemoteShop.remote() as unknown as { opne: { remote: Loose } }).opne.remote() as never), /open/],
  [
    "an array of another length",
    () => ray.get(ray.remote(many, { numReturns: 2 }).remote()),
    /returned an array of 3, but numReturns is 2/,
  ],
  [
    "no array where several are wanted",
    () => ray.get(ray.remote(one as Loose, { numReturns: 2 }).remote()),
    /returned number, not an array/,
  ],
];

for (const [what, call, says] of WRONG) {
  test(`refused: ${what}`, async () => {
    await assert.rejects(
      async () => call(),
      (error: Error) => {
        assert.ok(error instanceof ray.InvalidOptionError, String(error));
        assert.match(error.message, says);
        return true;
      },
    );
  });
}

test("a reference that is there twice in wait is refused", async () => {
  const ref = ray.put(1);
  await assert.rejects(ray.wait([ref, ref]), /refs\[1\] .* is there twice/);
});

test("what cannot cross is refused with its path, wherever it lies", () => {
  const refused = (path: string, kind: RegExp) => (error: Error) => {
    assert.ok(error instanceof ray.SerializationError, String(error));
    assert.equal(error.path, path);
    assert.match(error.message, kind);
    return true;
  };
  const socket = new net.Socket();
  assert.throws(() => echo.remote({ db: { socket } }), refused("args[0].db.socket", /Socket/));
  assert.throws(() => ray.put([Promise.resolve(1)]), refused("value[0]", /a promise/));
  assert.throws(() => ray.remote(Shop).remote(...([new Proxy({}, {})] as unknown as [])), refused("args[0]", /a Proxy/));
  socket.destroy();
});

test("after all of that the cluster works", async () => {
  assert.equal(await ray.get(echo.remote("still")), "still");
  assert.equal(await ray.get(RemoteShop.remote().open.remote()), "open");
});
