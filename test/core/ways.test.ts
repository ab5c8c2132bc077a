/** Ways to workers that come late, do not come, or break while the worker lives: nothing is lost, nothing waits for good. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ActorClient } from "../../src/core/owner/actor-client.ts";
import type { Lease } from "../../src/core/owner/leases.ts";
import { ObjectRef } from "../../src/core/owner/object-ref.ts";
import { Owner } from "../../src/core/owner/owner.ts";
import type { OwnerPort, SystemFailure } from "../../src/core/owner/port.ts";
import type { Task, TaskSpec } from "../../src/core/owner/task.ts";
import type { ActorId, LeaseId, LeaseRequestId, NodePrefix, ProcessId } from "../../src/protocol/ids.ts";
import type { DeathReason, Payload } from "../../src/protocol/messages.ts";

const W = "bbbbbb000001" as ProcessId;
const OTHER = "cccccc000001" as ProcessId;
const A = "aaaaaa800000-9-a" as ActorId;
const value: Payload = { kind: "inline", bytes: new Uint8Array(0), refs: undefined };
const gone: DeathReason = { cause: "unreachable", message: "nobody answers" };
const shape = { resources: {}, strategy: { kind: "default" }, name: "f", priority: 0 } as const;

/** An owner whose ways open when the test says so, and what it asked of the world. */
class World {
  readonly pushed: string[] = [];
  readonly failures: SystemFailure[] = [];
  readonly requests: LeaseRequestId[] = [];
  readonly returned: LeaseId[] = [];
  opens = 0;
  late = true;
  readonly owner: Owner;

  constructor() {
    const { pushed, failures, requests, returned } = this;
    const open = (): boolean => {
      this.opens++;
      return !this.late;
    };
    const port: Partial<OwnerPort> = {
      openLease: open,
      openActor: open,
      push: (to, task) => void pushed.push(`${task.spec.callable.name} to ${to.worker!.processId}`),
      takeBack: () => "unknown",
      requestLease: (id) => void requests.push(id),
      returnLease: (lease) => void returned.push(lease.id),
      failure: (_task, failure) => {
        failures.push(failure);
        return { kind: "error", bytes: new Uint8Array(0), refs: undefined };
      },
    };
    const nothing = (): void => {};
    this.owner = new Owner(
      new Proxy(port, { get: (target, name) => target[name as keyof OwnerPort] ?? nothing }) as OwnerPort,
      "aaaaaa800000" as ProcessId,
      { available: true },
    );
  }

  spec(name: string, maxRetries = 0, ref?: ObjectRef): TaskSpec {
    const options = { numReturns: 1, maxRetries, retryExceptions: false, retryRule: false, streamBuffer: undefined, maxCalls: 0 };
    return {
      callable: { name, meanUs: undefined },
      args: value as TaskSpec["args"],
      refArgs: ref && [{ index: 0, ref }],
      holds: undefined,
      options: { ...options, concurrencyGroup: undefined },
    };
  }

  task(name: string, maxRetries = 0): Task {
    return this.owner.submit(this.spec(name, maxRetries), this.owner.queue("k", shape, 0));
  }

  grant(processId = W): Lease {
    const requestId = this.requests.shift()!;
    const leaseId = `lease of ${requestId}` as LeaseId;
    this.owner.granted({ requestId, leaseId, worker: { processId, pid: 1, socket: "" }, assigned: {}, gpuIds: [] });
    return this.owner.lease(leaseId)!;
  }

  actor(processId = W): ActorClient {
    const actor = this.owner.actor(A, true);
    this.owner.actorChanged(A, { kind: "alive", epoch: 0, address: { processId, pid: 1, socket: "" } });
    return actor;
  }
}

test("nothing is pushed before the way is there, and one lease that is being opened is not asked for again", () => {
  const world = new World();
  const task = world.task("f");
  const lease = world.grant();
  assert.deepEqual([world.pushed, world.requests.length, task.state], [[], 0, "queued"]);
  world.task("g");
  assert.equal(world.requests.length, 1);
  world.owner.now = 10_000;
  world.owner.tick();
  assert.deepEqual(world.returned, []);
  world.owner.opened(lease);
  assert.deepEqual(world.pushed, [`f to ${W}`]);
  world.owner.replied(lease, task.seq, 10, { kind: "returned", results: [value] });
  world.owner.refill(lease);
  assert.deepEqual(world.pushed, [`f to ${W}`, `g to ${W}`]);
  world.owner.opened(lease);
  world.owner.check();
});

test("a task that is cancelled, or whose lease is wanted back, before the way is there", () => {
  const world = new World();
  world.owner.cancel(world.task("f"), false, true);
  const lease = world.grant();
  world.owner.wanted(lease.id);
  assert.deepEqual(world.returned, [lease.id]);
  world.owner.opened(lease);
  assert.deepEqual(world.pushed, []);
  world.owner.check();
});

test("a worker that cannot be reached costs one task a retry, and the last of them fails it", () => {
  const world = new World();
  const task = world.task("f", 2);
  for (let i = 0; i < 3; i++) {
    assert.equal(world.requests.length, 1, `attempt ${i}`);
    const lease = world.grant();
    world.owner.unreachable(W, gone);
    assert.deepEqual(world.returned.at(-1), lease.id);
    world.owner.check();
  }
  assert.equal(task.state, "done");
  assert.deepEqual(world.failures, [{ kind: "worker-crashed", reason: gone, attempts: 3 }]);
  assert.equal(world.requests.length, 0);
});

test("where another worker serves the queue, one that cannot be reached costs nothing", () => {
  const world = new World();
  world.late = false;
  world.task("f");
  const busy = world.grant(OTHER);
  busy.held = true;
  const waits = world.task("g");
  world.late = true;
  world.grant();
  world.owner.unreachable(W, gone);
  assert.deepEqual([waits.state, world.failures, world.returned.length], ["queued", [], 1]);
  world.owner.check();
});

test("calls of an actor wait for the way; if none comes they fail, or are tried again", () => {
  const world = new World();
  const actor = world.actor();
  world.owner.submit(world.spec("f"), actor);
  const again = world.owner.submit(world.spec("g", 1), actor);
  const pending = new ObjectRef(undefined, undefined, 0);
  world.owner.submit(world.spec("h", 0, pending), actor);
  assert.deepEqual([world.pushed, world.opens], [[], 1]);
  world.owner.unreachable(W, gone);
  assert.deepEqual(world.failures, [{ kind: "actor-unavailable", reason: gone, outcome: "not-executed", actorId: A }]);
  assert.deepEqual([world.opens, again.state, again.attempt], [2, "queued", 1]);
  world.owner.opened(actor);
  assert.deepEqual(world.pushed, [`g to ${W}`]);
  world.owner.settle(pending, value);
  assert.deepEqual(world.pushed, [`g to ${W}`, `h to ${W}`]);
  world.owner.check();
});

test("with no call that could go out, an actor that cannot be reached is left alone until there is one", () => {
  const world = new World();
  const actor = world.actor();
  const pending = new ObjectRef(undefined, undefined, 0);
  world.owner.submit(world.spec("f", 0, pending), actor);
  world.owner.unreachable(W, gone);
  assert.deepEqual([world.opens, world.failures], [1, []]);
  world.late = false;
  world.owner.settle(pending, value);
  assert.deepEqual([world.opens, world.pushed], [2, [`f to ${W}`]]);
});

test("a way to an actor that breaks: what was under way fails with an unknown outcome, and the next call goes by another way", () => {
  const world = new World();
  world.late = false;
  const actor = world.actor();
  world.owner.submit(world.spec("f"), actor);
  const again = world.owner.submit(world.spec("g", 1), actor);
  world.owner.disconnected(W, gone);
  assert.deepEqual(world.failures, [{ kind: "actor-unavailable", reason: gone, outcome: "unknown", actorId: A }]);
  assert.deepEqual([world.opens, again.attempt], [2, 1]);
  assert.deepEqual(world.pushed, [`f to ${W}`, `g to ${W}`, `g to ${W}`]);
  world.owner.disconnected(OTHER, gone);
  assert.equal(world.opens, 2);
  world.owner.check();
});

test("a call that fails with its actor lets go on what waits behind one that needed it, by the next way and not by the broken one", () => {
  const world = new World();
  world.late = false;
  const actor = world.actor();
  const first = world.owner.submit(world.spec("first"), actor);
  const second = world.owner.submit(world.spec("second", 0, first.returns[0]), actor);
  const third = world.owner.submit(world.spec("third"), actor);
  world.owner.actorChanged(A, { kind: "restarting", epoch: 0, reason: gone });
  assert.deepEqual([first.state, second.state, third.state], ["done", "done", "queued"]);
  world.owner.actorChanged(A, { kind: "alive", epoch: 1, address: { processId: OTHER, pid: 1, socket: "" } });
  assert.deepEqual(world.pushed, [`first to ${W}`, `third to ${OTHER}`]);
  world.owner.actorChanged(A, { kind: "dead", epoch: 1, reason: gone, error: undefined, failure: undefined });
  assert.equal(third.state, "done");
  world.owner.check();
});

test("a node that is lost takes its workers' leases, those too that are being opened, and no others", () => {
  const world = new World();
  world.late = false;
  const lost = world.task("f");
  world.grant();
  const kept = world.task("g");
  world.grant(OTHER);
  world.late = true;
  const waits = world.task("h");
  world.grant("bbbbbb000002" as ProcessId);
  const reason: DeathReason = { cause: "node-died", message: "it is silent" };
  world.owner.nodeLost("bbbbbb" as NodePrefix, reason);
  assert.deepEqual([lost.state, kept.state, waits.state], ["done", "pushed", "queued"]);
  assert.deepEqual(world.failures, [{ kind: "worker-crashed", reason: { ...reason, processId: W }, attempts: 1 }]);
  world.owner.check();
});
