/**
 * What an owner does for many is a multiple of what it does for few: sixteen times as many take about sixteen times as long, where a walk
 * through all for each one would take two hundred and fifty times. Processor time, the least of three runs, with room for a busy machine.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ActorClient } from "../../src/core/owner/actor-client.ts";
import type { ShapeQueue } from "../../src/core/owner/leases.ts";
import { ObjectRef } from "../../src/core/owner/object-ref.ts";
import { Owner } from "../../src/core/owner/owner.ts";
import type { OwnerPort } from "../../src/core/owner/port.ts";
import type { Task, TaskSpec } from "../../src/core/owner/task.ts";
import type { ActorId, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import type { Payload } from "../../src/protocol/messages.ts";

const FEW = 4_000;
const TIMES = 16;
/** Between the 16 of linear and the 256 of quadratic. */
const AT_MOST = 100;

const error: Payload = { kind: "error", bytes: new Uint8Array(0), refs: undefined };
const value: Payload = { kind: "inline", bytes: new Uint8Array(0), refs: undefined };
/** A world in which nothing answers. */
const port = new Proxy({}, { get: (_, name) => (name === "failure" ? () => error : () => true) }) as OwnerPort;

const options = {
  numReturns: 1,
  maxRetries: 0,
  retryExceptions: false,
  retryRule: false,
  streamBuffer: undefined,
  maxCalls: 0,
  concurrencyGroup: undefined,
};

function specOf(ref?: ObjectRef): TaskSpec {
  const refArgs = ref && [{ index: 0, ref }];
  return { callable: { name: "f", meanUs: undefined }, args: value as TaskSpec["args"], refArgs, holds: undefined, options };
}

const newOwner = (): Owner => new Owner(port, "p" as ProcessId, { available: true });
const shape = { resources: {}, strategy: { kind: "default" }, name: "f", priority: 0 } as const;

function anActor(owner: Owner, ordered: boolean): ActorClient {
  const actor = owner.actor("x-a" as ActorId, ordered);
  owner.actorChanged("x-a" as ActorId, { kind: "alive", epoch: 0, address: { processId: "w", socket: "" } } as never);
  return actor;
}

/** Processor time of a run with `count`, in us; what `prepare` does is not counted. */
function cost(prepare: (count: number) => () => void, count: number): number {
  let least = Infinity;
  for (let i = 0; i < 3; i++) {
    const run = prepare(count);
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, user + system);
  }
  return least;
}

function linear(prepare: (count: number) => () => void): void {
  const few = cost(prepare, FEW);
  const many = cost(prepare, FEW * TIMES);
  assert.ok(many < AT_MOST * Math.max(few, 3000), `${FEW} cost ${few} us, ${TIMES} times as many ${many} us`);
}

const submitted = (owner: Owner, place: ShapeQueue | ActorClient, count: number, ref?: (i: number) => ObjectRef): Task[] =>
  Array.from({ length: count }, (_, i) => owner.submit(specOf(ref?.(i)), place));

function cancelling(order: (tasks: Task[]) => Task[]): void {
  linear((count) => {
    const owner = newOwner();
    const queue = owner.queue("k", shape, 0);
    const tasks = order(submitted(owner, queue, count));
    return () => {
      for (const task of tasks) owner.cancel(task, false, true);
      assert.equal(queue.tasks.size, 0);
      owner.check();
    };
  });
}

test("cancelling tasks that wait for a worker, the first first", () => cancelling((tasks) => tasks));

test("cancelling tasks that wait for a worker, the last first", () => cancelling((tasks) => tasks.reverse()));

test("tasks that were cancelled are passed over, and the others keep their order", () => {
  const owner = newOwner();
  const queue = owner.queue("k", shape, 0);
  const tasks = submitted(owner, queue, 1000);
  // Most of them, so that they are swept out on the way.
  const kept = tasks.filter((task, i) => i % 7 === 0 || (owner.cancel(task, false, true), false));
  assert.equal(queue.tasks.size, kept.length);
  assert.deepEqual([...queue.tasks], kept);
  for (const task of kept) assert.equal(queue.tasks.shift(), task);
  assert.equal(queue.tasks.shift(), undefined);
});

function callingLater(ordered: boolean): void {
  linear((count) => {
    const owner = newOwner();
    const actor = anActor(owner, ordered);
    const refs = Array.from({ length: count }, (_, i) => new ObjectRef(`o${i}` as ObjectId, undefined, 0));
    return () => {
      const tasks = submitted(owner, actor, count, (i) => refs[i]!);
      for (let i = 1; i < count; i += 2) owner.cancel(tasks[i]!, false, true);
      for (const ref of refs) owner.settle(ref, value);
      assert.equal(actor.pending, count / 2);
      owner.check();
    };
  });
}

test("calls of an actor in order whose arguments come later, and calls that are cancelled", () => callingLater(true));

test("calls of an actor without order whose arguments come later, and calls that are cancelled", () => callingLater(false));

test("waiters of one ref that give up", () => {
  linear((count) => {
    const ref = new ObjectRef("o" as ObjectId, undefined, 0);
    const waiters = Array.from({ length: count }, () => ({ refSettled: () => assert.fail("it does not settle") }));
    return () => {
      for (const waiter of waiters) ref.addWaiter(waiter);
      for (const waiter of waiters) ref.removeWaiter(waiter);
    };
  });
});

test("a ref that is twice among the arguments is waited for once", () => {
  const owner = newOwner();
  const ref = new ObjectRef("o" as ObjectId, undefined, 0);
  const spec = specOf(ref);
  const task = owner.submit({ ...spec, refArgs: [...spec.refArgs!, { index: 1, ref }] }, owner.queue("k", shape, 0));
  assert.equal(task.state, "waiting");
  owner.settle(ref, value);
  assert.equal(task.state, "queued");
});
