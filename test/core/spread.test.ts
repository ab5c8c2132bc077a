/** Tasks that are to be spread: equally many on each node, whatever its speed and whenever its worker comes. Virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LeasePump } from "../../src/core/owner/lease-pump.ts";
import type { Lease, ShapeQueue } from "../../src/core/owner/leases.ts";
import type { OwnerPort } from "../../src/core/owner/port.ts";
import { Task } from "../../src/core/owner/task.ts";
import type { TaskSpec } from "../../src/core/owner/task.ts";
import type { LeaseId, LeaseRequestId, ProcessId } from "../../src/protocol/ids.ts";

interface NodeOf {
  /** How long its worker takes to come, and to answer, in ms. */
  readonly startMs: number;
  readonly answerMs: (nth: number) => number;
}

const args = { kind: "inline", bytes: new Uint8Array(0), refs: undefined } as const;
const options = {
  numReturns: 1,
  maxRetries: 0,
  retryExceptions: false,
  retryRule: false,
  streamBuffer: undefined,
  maxCalls: 0,
  concurrencyGroup: undefined,
};

/** Runs so many tasks over nodes with one worker each. Gives how many each ran, and how long it took. */
function spread(nodes: readonly NodeOf[], tasks: number): { counts: number[]; ms: number; order: number[] } {
  let now = 0;
  const events: { at: number; run: () => void }[] = [];
  const later = (ms: number, run: () => void): void => void events.push({ at: now + ms, run });
  const counts = nodes.map(() => 0);
  const order: number[] = [];
  const free = nodes.map((_node, i) => i);
  let open = tasks;
  const nodeOf = new Map<Lease, number>();
  const request = (requestId: LeaseRequestId): void => {
    const i = free.shift();
    if (i === undefined) return;
    const over = free.length + 1;
    const worker = { processId: `${String(i).padStart(6, "0")}00000fw` as ProcessId, pid: 1, socket: "" };
    later(nodes[i]!.startMs, () => {
      pump.now = now;
      pump.granted({ requestId, leaseId: `l${i}` as LeaseId, worker, assigned: {}, gpuIds: [], over });
    });
  };
  const port: Partial<OwnerPort> = {
    requestLease: request,
    cancelLeaseRequest: () => {},
    openLease: (lease) => {
      nodeOf.set(lease, Number(lease.processId.slice(0, 6)));
      return true;
    },
    returnLease: (lease) => void free.push(nodeOf.get(lease)!),
    takeBack: () => "unknown",
    push: (to, task) => {
      const lease = to as Lease;
      const i = nodeOf.get(lease)!;
      order.push(i);
      later(nodes[i]!.answerMs(counts[i]!++), () => {
        pump.now = now;
        open--;
        pump.answered(lease, task.seq, 10);
        pump.refill(lease);
      });
    },
  };
  const pump = new LeasePump(port as OwnerPort, "p" as ProcessId, { available: false });
  const shape = { resources: {}, strategy: { kind: "spread" }, name: "f", priority: 0 } as const;
  const queue: ShapeQueue = pump.queue("k", shape, 0);
  const callable = { name: "f", meanUs: undefined };
  const spec: TaskSpec = { callable, args, refArgs: undefined, holds: undefined, options };
  for (let i = 0; i < tasks; i++) pump.enqueue(new Task("p" as ProcessId, i, spec, queue, () => {}));
  const tick = (): void => {
    pump.now = now;
    pump.tick();
    pump.check();
    later(5, tick);
  };
  tick();
  while (open > 0 && now < 1e6) {
    let next = events[0]!;
    for (const event of events) if (event.at < next.at) next = event;
    events.splice(events.indexOf(next), 1);
    now = Math.max(now, next.at);
    next.run();
  }
  assert.equal(open, 0, "all have run");
  return { counts, ms: now, order };
}

const within = (counts: readonly number[], part: number): void => {
  const mean = counts.reduce((a, b) => a + b, 0) / counts.length;
  for (const count of counts) assert.ok(Math.abs(count - mean) <= part * mean, `${counts.join(" ")}: ${count} of ${mean}`);
};

test("nodes that start late and answer at different speeds get equally many", () => {
  const speeds = [0.02, 0.3, 0.5, 0.1, 1, 0.4, 0.2];
  const nodes = speeds.map((speed, i) => ({ startMs: i * 150, answerMs: () => speed }));
  within(spread(nodes, 7000).counts, 0.05);
});

test("the first tasks go round exactly", () => {
  const nodes = [5, 80, 20].map((startMs) => ({ startMs, answerMs: () => 0.1 }));
  const { order } = spread(nodes, 9);
  for (const round of [order.slice(0, 3), order.slice(3, 6), order.slice(6)]) assert.deepEqual([...round].sort(), [0, 1, 2]);
});

test("a node that hangs is not waited for, and catches up as far as it can", () => {
  const slow = (nth: number): number => (nth === 100 ? 3000 : 0.1);
  const nodes = [slow, () => 0.3, () => 0.3].map((answerMs) => ({ startMs: 10, answerMs }));
  const { counts, ms } = spread(nodes, 30_000);
  assert.ok(ms < 4500, `the others went on: ${ms} ms`);
  assert.ok(counts[0]! > 100);
});

test("a node that never comes is waited for once, and then no more; not all stand still for it", () => {
  const nodes = [1, 1, 1e9].map((startMs) => ({ startMs, answerMs: () => 0.1 }));
  const { counts, ms } = spread(nodes, 2000);
  within(counts.slice(0, 2), 0.05);
  assert.ok(ms < 11_000, `${ms} ms`);
  assert.ok(spread(nodes, 6).ms < 2000, "a few are done before");
});
