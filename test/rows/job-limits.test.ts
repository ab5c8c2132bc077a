/** What `init({ job })` promises on one machine: the limit on processors. Shares and priorities between jobs: test/node/jobs.test.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ray from "mobula";
import { sharedCluster } from "./cluster.ts";

sharedCluster({ numCpus: 4, job: { weight: 2, priority: 1, maxCpus: 1 } });

test("a job uses no more processors at a time than it may, also where there are more, and nested tasks go on", async () => {
  const busy = ray.remote((ms: number) => {
    const from = Date.now();
    while (Date.now() - from < ms);
    return { from, to: Date.now() };
  });
  const spans = await ray.get(Array.from({ length: 6 }, () => busy.remote(30)));
  spans.sort((a, b) => a.from - b.from);
  for (const [i, { from }] of spans.slice(1).entries()) assert.ok(from >= spans[i]!.to, "one after the other");
  const outer = ray.remote(async (n: number) => {
    const inner = ray.remote((x: number) => x * 2);
    return await ray.get(inner.remote(n));
  });
  assert.equal(await ray.get(outer.remote(21)), 42);
});
