/** The runner of jobs on a node, by itself: what it does with orders that come again. */
import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import type { JobId } from "../../src/protocol/ids.ts";
import type { Body } from "../../src/protocol/messages.ts";
import { JobRunner } from "../../src/runtime/jobs/runner.ts";
import { tokenIn } from "../control/process.ts";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";

leakChecked();

test("a job that is ordered again, while it runs or after it has ended, runs once", async (t) => {
  const news: Body<"jobNews">[] = [];
  const runner = new JobRunner({
    home: path.join(freshFolder(t), "home"),
    tokenFile: tokenIn(t).file,
    address: () => "127.0.0.1:1",
    prepare: () => Promise.reject(new Error("no job here has an environment")),
    release: () => {},
    news: (body) => void news.push(body),
    log: () => {},
  });
  t.after(() => runner.close(10_000));
  const jobId = "job-00000001" as JobId;
  const submission = { entrypoint: ["true"], shell: true, weight: 1, priority: 0 };
  const order = (): void => runner.order({ jobId, order: { kind: "run", submission } });
  const ends = (): number => news.filter((each) => each.news.kind === "ended").length;
  order();
  order();
  await waitUntil(() => ends() === 1, "it has ended", { timeoutMs: 60_000, story: () => JSON.stringify(news) });
  order();
  assert.deepEqual(runner.entries, []);
  const next = "job-00000002" as JobId;
  runner.order({ jobId: next, order: { kind: "run", submission } });
  await waitUntil(() => ends() === 2, "the next has ended", { timeoutMs: 60_000, story: () => JSON.stringify(news) });
  assert.deepEqual(
    news.map((each) => [each.jobId, each.news.kind]),
    [
      [jobId, "started"],
      [jobId, "ended"],
      [next, "started"],
      [next, "ended"],
    ],
  );
  await runner.close(10_000);
});
