/** Actors whose maker is gone: the detached stay, the others stay as long as somebody holds them; names are free when they end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";

sharedCluster({ numCpus: 2 });

class Value {
  #value = 0;
  set(value: number): number {
    return (this.#value = value);
  }
  get(): number {
    return this.#value;
  }
}

/** Makes actors in a process of its own, which can be killed. */
class Maker {
  made: ray.ActorHandle<Value> | undefined;
  async make(options: ray.ActorOptions, value: number): Promise<{ handle: ray.ActorHandle<Value>; pid: number }> {
    this.made = ray.remote(Value, { numCpus: 0, ...options }).remote();
    await ray.get(this.made.set.remote(value));
    return { handle: this.made, pid: process.pid };
  }
  async makeOnly(options: ray.ActorOptions, value: number): Promise<number> {
    return (await this.make(options, value)).pid;
  }
}
const RemoteMaker = ray.remote(Maker, { numCpus: 0 });

async function end(maker: ray.ActorHandle<Maker>): Promise<void> {
  await ray.kill(maker);
  await assert.rejects(ray.get(maker.makeOnly.remote({}, 0)), ray.ActorDiedError);
}

test("a detached actor outlives the actor that made it; its name is taken until it is killed, and free then", async () => {
  const maker = RemoteMaker.remote();
  const options = { name: "stays", namespace: "apart", lifetime: "detached" } as const;
  await ray.get(maker.makeOnly.remote(options, 7));
  await end(maker);
  await assert.rejects(ray.getActor("stays"), ray.ActorNotFoundError);
  const found = await ray.getActor<typeof Value>("stays", { namespace: "apart" });
  assert.equal(await ray.get(found.get.remote()), 7);
  const RemoteValue = ray.remote(Value, { numCpus: 0 });
  const taken = await rejectionOf(ray.get(RemoteValue.options(options).remote().get.remote()));
  assert.ok(taken instanceof ray.ActorNameTakenError || (taken as Error).cause instanceof ray.ActorNameTakenError, String(taken));
  assert.equal(await ray.get(found.get.remote()), 7, "whoever was refused the name has not hurt its holder");
  await ray.kill(found);
  const next = RemoteValue.options(options).remote();
  assert.equal(await ray.get(next.get.remote()), 0);
  await ray.kill(next);
  await assert.rejects(ray.getActor("stays", { namespace: "apart" }), ray.ActorNotFoundError);
});

test("an actor that was made by another lives as long as somebody holds it, also when its maker is gone", async () => {
  const maker = RemoteMaker.remote();
  const { handle } = await ray.get(maker.make.remote({ name: "handed on" }, 3));
  await end(maker);
  assert.equal(await ray.get(handle.get.remote()), 3);
  const found = await ray.getActor<typeof Value>("handed on");
  assert.equal(await ray.get(found.set.remote(4)), 4);
  assert.equal(await ray.get(handle.get.remote()), 4);
});

test("an actor that only its maker held ends with it, and its name is free", async () => {
  const maker = RemoteMaker.remote();
  await ray.get(maker.makeOnly.remote({ name: "goes along" }, 1));
  await end(maker);
  const next = await waitUntil(async () => {
    const made = ray.remote(Value, { numCpus: 0, name: "goes along" }).remote();
    return (await ray.get(made.get.remote()).catch(() => undefined)) === 0 ? made : undefined;
  }, "the name is free");
  await ray.kill(next);
});

test("an actor that a task has made and returned lives on", async () => {
  const make = ray.remote(async () => {
    const made = ray.remote(Value, { numCpus: 0 }).remote();
    await ray.get(made.set.remote(9));
    return { made };
  });
  const { made } = await ray.get(make.options({ maxCalls: 1 }).remote());
  assert.equal(await ray.get(made.get.remote()), 9);
});
