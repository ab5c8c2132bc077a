/** Submitted jobs between control and the node that runs them: every loss, repeat and end, without a process. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Jobs } from "../../src/core/control/jobs.ts";
import type { Submission } from "../../src/core/control/jobs.ts";
import { Submissions } from "../../src/core/control/submissions.ts";
import { SavedTables } from "../../src/core/control/tables.ts";
import type { TableName } from "../../src/core/control/tables.ts";
import type { JobId, NodeId } from "../../src/protocol/ids.ts";
import type { NodeView } from "../../src/protocol/cluster.ts";
import type { Body } from "../../src/protocol/messages.ts";

const submission = (more: Partial<Submission> = {}): Submission => ({ entrypoint: ["true"], shell: true, weight: 1, priority: 0, ...more });
const id = (name: string): JobId => name as JobId;
const ended = (jobId: string, status: "SUCCEEDED" | "FAILED" | "STOPPED" = "SUCCEEDED", message = "it has ended"): Body<"jobNews"> => ({
  jobId: id(jobId),
  news: { kind: "ended", status, message, exitCode: 0 },
});

class World {
  readonly kept = new Map<string, { table: TableName; key: string; value: Uint8Array }>();
  readonly orders: string[] = [];
  readonly endedDrivers: string[] = [];
  readonly submissions: Submissions;
  readonly jobs: Jobs;
  head: NodeId | undefined = "n1" as NodeId;
  now = 0;

  constructor(before?: World, limits: { runningMax?: number; waitingMax?: number } = {}) {
    this.jobs = new Jobs(
      (table, key) => {
        const value = this.jobs.saved(key as JobId);
        if (value === undefined) this.kept.delete(key);
        else this.kept.set(key, { table, key, value });
      },
      3,
      (job) => this.submissions.forgotten(job),
    );
    this.submissions = new Submissions(
      this.jobs,
      {
        order: (to, { jobId, order }) => void this.orders.push(`${to} ${order.kind} ${jobId}`),
        head: () => (this.head === undefined ? undefined : ({ nodeId: this.head } as NodeView)),
        endDriver: ({ jobId }) => void this.endedDrivers.push(jobId),
        event: () => {},
        clock: () => ++this.now,
      },
      limits,
    );
    if (before === undefined) return;
    this.jobs.restore(new SavedTables(before.kept.values()));
    for (const [key, entry] of before.kept) this.kept.set(key, entry);
  }

  status(name: string): string {
    const job = this.jobs.submittedJob(id(name));
    this.jobs.check();
    return job === undefined ? "gone" : `${job.status} ${job.nodeId ?? "nowhere"}`;
  }

  taken(): string[] {
    return this.orders.splice(0);
  }
}

test("a job is ordered to the head, runs when that says so, and is over once", () => {
  const world = new World();
  assert.equal(world.submissions.submit(id("a"), submission()), "taken");
  assert.equal(world.submissions.submit(id("a"), submission()), "taken");
  assert.deepEqual(world.taken(), ["n1 run a"]);
  assert.equal(world.status("a"), "PENDING n1");
  world.submissions.news("n2" as NodeId, ended("a"));
  assert.equal(world.status("a"), "PENDING n1");
  world.submissions.news("n1" as NodeId, { jobId: id("a"), news: { kind: "started" } });
  assert.equal(world.status("a"), "RUNNING n1");
  world.submissions.news("n1" as NodeId, ended("a"));
  world.submissions.news("n1" as NodeId, ended("a", "FAILED"));
  assert.equal(world.status("a"), "SUCCEEDED n1");
  assert.deepEqual(world.taken(), []);
});

test("without a head it waits and says so; a higher priority goes first, equals in their order, so many at a time", () => {
  const world = new World(undefined, { runningMax: 2, waitingMax: 3 });
  world.head = undefined;
  for (const [name, priority] of [
    ["a", 0],
    ["b", 5],
    ["c", 0],
    ["d", 5],
    ["e", -1],
  ] as const) {
    assert.equal(world.submissions.submit(id(name), submission({ priority })), "taken");
  }
  assert.equal(world.submissions.submit(id("f"), submission()), "full");
  assert.match(world.jobs.submittedJob(id("a"))!.message, /waits for the head/);
  world.head = "n1" as NodeId;
  world.submissions.rejoined("n1" as NodeId, []);
  assert.deepEqual(world.taken(), ["n1 run b", "n1 run d"]);
  assert.match(world.jobs.submittedJob(id("a"))!.message, /waits for its turn/);
  world.submissions.news("n1" as NodeId, ended("d"));
  assert.deepEqual(world.taken(), ["n1 run a"]);
  world.submissions.stop(id("c"));
  assert.equal(world.status("c"), "STOPPED nowhere");
  world.submissions.news("n1" as NodeId, ended("b"));
  assert.deepEqual(world.taken(), ["n1 run e"]);
});

test("a stop is ordered until the node has told the end, also by another control", () => {
  const first = new World();
  for (const name of ["a", "b"]) first.submissions.submit(id(name), submission());
  first.submissions.news("n1" as NodeId, { jobId: id("a"), news: { kind: "started" } });
  for (const name of ["a", "b", "x"]) assert.equal(first.submissions.stop(id(name)), name !== "x");
  const second = new World(first);
  second.submissions.rejoined("n1" as NodeId, [id("a")]);
  assert.deepEqual(second.taken(), ["n1 stop a"]);
  // What the node never heard of need not be started any more.
  assert.equal(second.status("b"), "STOPPED n1");
  second.submissions.news("n1" as NodeId, ended("a", "STOPPED"));
  assert.equal(second.status("a"), "STOPPED n1");
  assert.equal(second.submissions.stop(id("a")), true);
  assert.deepEqual(second.taken(), []);
});

test("a node that joins again: what it never heard is ordered again, what it lost has failed, the rest is stopped", () => {
  const first = new World();
  for (const name of ["heard", "unheard", "lost"]) first.submissions.submit(id(name), submission());
  for (const name of ["heard", "lost"]) first.submissions.news("n1" as NodeId, { jobId: id(name), news: { kind: "started" } });
  const second = new World(first);
  second.submissions.rejoined("n1" as NodeId, [id("heard"), id("foreign")]);
  assert.deepEqual(second.taken(), ["n1 run unheard", "n1 stop foreign"]);
  assert.equal(second.status("heard"), "RUNNING n1");
  assert.equal(second.status("lost"), "FAILED n1");
});

test("a node that is gone takes with it what ran; what was only ordered goes to the next head", () => {
  const world = new World();
  for (const name of ["ran", "ordered", "stopped"]) world.submissions.submit(id(name), submission());
  world.submissions.news("n1" as NodeId, { jobId: id("ran"), news: { kind: "started" } });
  world.submissions.stop(id("stopped"));
  assert.deepEqual(world.submissions.nodes(), ["n1"]);
  world.head = undefined;
  world.taken();
  world.submissions.nodeLost("n1" as NodeId, "it was not heard");
  assert.deepEqual([world.status("ran"), world.status("ordered"), world.status("stopped")], ["FAILED n1", "PENDING nowhere", "STOPPED n1"]);
  assert.match(world.jobs.submittedJob(id("ran"))!.message, /node that ran it is gone: it was not heard/);
  world.head = "n2" as NodeId;
  world.submissions.rejoined("n2" as NodeId, []);
  assert.deepEqual(world.taken(), ["n2 run ordered"]);
  // The old node is heard after all.
  world.submissions.news("n1" as NodeId, ended("ordered", "FAILED"));
  assert.equal(world.status("ordered"), "PENDING n2");
});

test("drivers end with the job that has started them; ended ones are forgotten with their logs, the oldest first or on request", () => {
  const world = new World();
  world.submissions.submit(id("a"), submission({ environment: "{}", envVars: { SECRET: "s" }, metadata: { m: "v" } }));
  const driver = { jobId: id("d"), driver: "p" as never, namespace: "", execArgv: [], envVars: {}, weight: 1, priority: 0 };
  world.jobs.driverJoined({ ...driver, submission: id("a") }, 1);
  world.jobs.driverJoined({ ...driver, jobId: id("other") }, 1);
  assert.equal(world.submissions.remove(id("a")), "not over");
  world.submissions.news("n1" as NodeId, ended("a"));
  assert.deepEqual(world.endedDrivers, ["d"]);
  const { envVars, environment, metadata } = world.jobs.submittedJob(id("a"))!.submission;
  assert.deepEqual([envVars, environment, metadata], [undefined, undefined, { m: "v" }]);
  world.taken();
  for (const name of ["b", "c", "e"]) {
    world.submissions.submit(id(name), submission());
    world.submissions.news("n1" as NodeId, ended(name));
  }
  assert.equal(world.status("a"), "gone");
  assert.deepEqual(
    world.taken().filter((order) => order.includes("forget")),
    ["n1 forget a"],
  );
  assert.equal(world.submissions.remove(id("c")), "removed");
  assert.equal(world.submissions.remove(id("c")), "not there");
  assert.deepEqual(world.taken(), ["n1 forget c"]);
  assert.deepEqual(
    [...world.jobs.submitted()].map(([name]) => name),
    ["e", "b"],
  );
});

test("ended jobs are bounded by what their submitters wrote too", () => {
  const jobs = new Jobs(() => {}, 100, undefined, 5_000);
  for (let i = 0; i < 10; i++) {
    jobs.submit(id(`j${i}`), submission({ entrypoint: ["x".repeat(2_000)] }), i);
    jobs.ended(id(`j${i}`), { status: "FAILED", message: "" }, i);
    jobs.check();
  }
  assert.deepEqual(
    [...jobs.submitted()].map(([name]) => name),
    ["j9", "j8"],
  );
});
