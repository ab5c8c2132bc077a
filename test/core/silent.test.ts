/** An owner whose workers do not begin what they are given: stopped ones, slow ones, and ones that run something long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SILENT_MS, STALL_MS } from "../../src/core/owner/leases.ts";
import type { Lease } from "../../src/core/owner/leases.ts";
import { Owner } from "../../src/core/owner/owner.ts";
import type { Grant, OwnerPort } from "../../src/core/owner/port.ts";
import type { Task, TaskSpec } from "../../src/core/owner/task.ts";
import type { LeaseId, LeaseRequestId, ProcessId } from "../../src/protocol/ids.ts";
import type { Payload } from "../../src/protocol/messages.ts";

const value: Payload = { kind: "inline", bytes: new Uint8Array(0), refs: undefined };
const shape = { resources: {}, strategy: { kind: "default" }, name: "f", priority: 0 } as const;
const options = {
  numReturns: 1,
  maxRetries: 0,
  retryExceptions: false,
  retryRule: false,
  streamBuffer: undefined,
  maxCalls: 0,
  concurrencyGroup: undefined,
};

/** An owner, and workers that have begun what `begun` says. */
class World {
  readonly owner: Owner;
  readonly begun = new Set<Task>();
  readonly requests: LeaseRequestId[] = [];
  readonly pushed: { lease: Lease; task: Task }[] = [];
  readonly returned: { lease: Lease; retire: boolean }[] = [];
  now = 0;
  #workers = 0;

  constructor() {
    const port: Partial<OwnerPort> = {
      requestLease: (id) => void this.requests.push(id),
      openLease: () => true,
      push: (lease, task) => void this.pushed.push({ lease: lease as Lease, task }),
      takeBack: (_lease, task) => (this.begun.has(task) ? "claimed" : "taken"),
      returnLease: (lease, retire) => void this.returned.push({ lease, retire }),
    };
    const rest = { get: (_: unknown, name: string) => port[name as keyof OwnerPort] ?? (() => value) };
    this.owner = new Owner(new Proxy({}, rest) as OwnerPort, "p" as ProcessId, { available: true });
  }

  submit(): Task {
    const spec: TaskSpec = {
      callable: { name: "f", meanUs: 100 },
      args: value as TaskSpec["args"],
      refArgs: undefined,
      holds: undefined,
      options,
    };
    return this.owner.submit(spec, this.owner.queue("k", shape, 0));
  }

  /** Grants a request, on the worker of this number or a new one. */
  grant(worker = this.#workers++): void {
    const grant = {
      requestId: this.requests.shift()!,
      leaseId: `l${worker}-${this.pushed.length}` as LeaseId,
      worker: { processId: `w${worker}` as ProcessId, pid: 1, socket: "" },
      assigned: {},
      gpuIds: [],
    } satisfies Grant;
    this.owner.granted(grant);
  }

  pass(ms: number): void {
    const end = this.now + ms;
    while (this.now < end) {
      this.now = Math.min(end, this.now + (this.owner.dueIn() ?? ms));
      this.owner.now = this.now;
      this.owner.tick();
    }
    this.owner.check();
  }
}

test("a task alone that its worker does not begin goes to another after some seconds, and that worker is not used again", () => {
  const world = new World();
  world.submit();
  world.grant();
  world.pass(SILENT_MS - 100);
  assert.equal(world.pushed.length, 1);
  world.pass(200);
  assert.deepEqual(
    world.returned.map(({ lease, retire }) => [lease.processId, retire]),
    [["w0", true]],
  );
  world.grant();
  assert.deepEqual(
    world.pushed.map(({ lease }) => lease.processId),
    ["w0", "w1"],
  );
});

test("a task that has begun is left where it is, however long it runs, and nothing watches it", () => {
  const world = new World();
  const task = world.submit();
  world.grant();
  world.begun.add(task);
  world.pass(20 * SILENT_MS);
  assert.deepEqual(world.returned, []);
  assert.equal(world.owner.dueIn(), undefined);
});

test("tasks that go to a worker again and again and are not begun end that too", () => {
  const world = new World();
  for (let i = 0; i < 50; i++) world.submit();
  // The node has no other worker.
  for (let i = 0; i < 2000 && !world.returned.some(({ retire }) => retire); i++) {
    while (world.requests.length > 0) world.grant(0);
    world.pass(4 * STALL_MS);
  }
  assert.ok(world.returned.some(({ retire }) => retire));
  assert.ok(world.now <= 2 * SILENT_MS, `after ${world.now} ms`);
});

test("where one worker after the other is slow they are given longer, until one has answered", () => {
  const world = new World();
  world.submit();
  const waited: number[] = [];
  for (let i = 0; i < 7; i++) {
    world.grant();
    const since = world.now;
    while (world.returned.length === i) world.pass(100);
    waited.push(Math.round((world.now - since) / SILENT_MS));
  }
  assert.deepEqual(waited, [1, 2, 4, 8, 16, 16, 16]);
  world.grant();
  const { lease } = world.pushed.at(-1)!;
  world.owner.replied(lease, lease.channel.list()[0]!.seq, 100, { kind: "returned", results: [value] });
  const before = world.returned.length;
  world.pass(300);
  assert.equal(world.returned.length, before + 1);
  world.submit();
  world.grant();
  world.pass(SILENT_MS + 100);
  assert.equal(world.returned.at(-1)!.retire, true);
});
