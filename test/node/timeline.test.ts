/** The timeline: what workers gather and their daemon keeps is right, and takes little memory however much comes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { taskId } from "../../src/protocol/ids.ts";
import type { ProcessId, TaskId } from "../../src/protocol/ids.ts";
import type { Body } from "../../src/protocol/messages.ts";
import { Timeline } from "../../src/runtime/daemon/timeline.ts";
import { Spans } from "../../src/runtime/worker/spans.ts";

const KEPT = 100_000;
const BATCH = 2_000;
const worker = "aaaaaa000001" as ProcessId;
const owner = "aaaaaaf00001" as ProcessId;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

function inUse(): number {
  collect();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** A worker's spans that go to a timeline at once when they are sent. */
function spansInto(timeline: Timeline): Spans {
  return new Spans({ send: (name: string, body: unknown) => timeline.add(worker, body as Body<"events">) } as never, "task");
}

function run(spans: Spans, from: number, to: number, send: () => void): void {
  for (let i = from; i < to; i++) {
    const startedAt = i - performance.timeOrigin;
    spans.add({ name: `work ${i % 7}`, taskId: taskId(owner, i), startedAt }, i);
    if (i % BATCH === BATCH - 1) send();
  }
}

test("a hundred thousand spans of a timeline take a few MB, no more come after, and they are the newest in order", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const before = inUse();
  const timeline = new Timeline();
  const spans = spansInto(timeline);
  const send = (): void => t.mock.timers.tick(500);
  run(spans, 0, KEPT, send);
  const full = inUse() - before;
  assert.ok(full < 6e6, `${full} bytes`);
  run(spans, KEPT, 3 * KEPT, send);
  const later = inUse() - before;
  assert.ok(later < full + 1e6, `${full} bytes, later ${later}`);
  const events = timeline.events("node");
  assert.equal(events.length, KEPT);
  const first = 2 * KEPT;
  for (const [i, { ts, dur, name, args }] of events.entries()) {
    assert.equal(dur, first + i);
    assert.ok(Math.abs(ts - dur * 1000) < 1, `${ts} at ${i}`);
    assert.equal(name, `work ${dur % 7}`);
    assert.equal(args.taskId, taskId(owner, dur));
  }
  const { cat, ph, pid, tid } = events[0]!;
  assert.deepEqual({ cat, ph, pid, tid }, { cat: "task", ph: "X", pid: "node", tid: worker });
});

test("more spans between two sendings than fit are left out, long names are cut, and ids of any form are kept", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const timeline = new Timeline();
  const spans = spansInto(timeline);
  for (let i = 0; i < BATCH + 10; i++) spans.add({ name: "n", taskId: taskId(owner, i), startedAt: 0 }, 1);
  t.mock.timers.tick(500);
  assert.equal(timeline.events("node").length, BATCH);
  const odd = ["no-1x-more", "aaaaaaf00001-0z", "aaaaaaf00001-", ""] as TaskId[];
  for (const id of odd) spans.add({ name: "n".repeat(1000), taskId: id, startedAt: 0 }, 1);
  t.mock.timers.tick(500);
  const last = timeline.events("node").slice(-odd.length);
  assert.deepEqual(
    last.map(({ args }) => args.taskId),
    odd,
  );
  assert.ok(last.every(({ name }) => name === "n".repeat(256)));
});

test("a message of spans that makes no sense harms nothing", () => {
  const timeline = new Timeline();
  const numbers = new Float64Array([7, Number.NaN, 1, 2, 3, -1, 0.5, Number.NaN, 0, 0, 1, 1]);
  timeline.add(worker, { category: "task", words: ["a"], spans: new Uint8Array(numbers.buffer).subarray(0, 93) });
  assert.deepEqual(
    timeline.events("node").map(({ name, args }) => [name, args.taskId]),
    [
      ["", taskId("" as ProcessId, 1)],
      ["", ""],
    ],
  );
});
