/** Each party of a job is killed while it runs: no job stays RUNNING, no process of it stays, and what was not touched goes on. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { freeze, kill, leakChecked, waitUntil } from "../harness/index.ts";
import { Api } from "./api.ts";
import type { Job } from "./api.ts";

const api = new Api({ after });
leakChecked("at the end");

/** Sleeps in three processes: the shell, its child, and one that has left the group; `mark` is in the command line of all. */
const sleeper = (mark: string): string => `setsid sleep ${mark} & sleep ${mark} & echo ready; sleep ${mark}`;

function count(words: string): number {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8") === `${words.replaceAll(" ", "\0")}\0`;
    } catch {
      return false;
    }
  }).length;
}

async function started(mark: string): Promise<string> {
  const id = await api.submit({ entrypoint: sleeper(mark) });
  await waitUntil(async () => (await api.log(id)).includes("ready") && count(`sleep ${mark}`) === 3, "it runs", { timeoutMs: 30_000 });
  await api.until(id, "RUNNING");
  return id;
}

const traces = (id: string): string[] => readdirSync(path.join(api.folder, "jobs", id)).filter((name) => name !== "log");

test("the supervisor is killed: its jobs fail and say why, nothing of them stays, and the next job runs", async () => {
  const id = await started("71001");
  const [supervisor] = api.processes("jobs/supervisor-main");
  kill(supervisor!);
  const job = await api.until(id);
  assert.equal(job.status, "FAILED");
  assert.match(job.message, /supervised it is gone: it was killed by SIGKILL/);
  await waitUntil(() => count("sleep 71001") === 0, "its processes are gone");
  assert.deepEqual(traces(id), []);
  assert.equal((await api.run({ entrypoint: "echo next" })).log, "next\n");
});

test("control is killed while jobs wait, run and end: each is found as it was, and ends as it would have", async () => {
  const long = await api.submit({ entrypoint: "echo begins; while [ ! -e go ]; do sleep 0.05; done; echo ends; exit 4" });
  await waitUntil(async () => (await api.log(long)).includes("begins"), "it runs", { timeoutMs: 30_000 });
  const following = api.log(long, "?follow=1");
  const [control] = api.processes("control/main");
  kill(control!);
  // While it is away, and after that.
  const ids = await Promise.all([1, 2, 3].map((i) => api.submit({ entrypoint: `echo job ${i}` })));
  for (const [i, id] of ids.entries()) assert.equal((await api.log(id, "?follow=1")).trim(), `job ${i + 1}`);
  const [again] = await waitUntil(() => {
    const pids = api.processes("control/main");
    return pids.length === 1 && pids[0] !== control ? pids : undefined;
  }, "control is there again");
  kill(again!);
  // It ends while control is away: its node keeps that until somebody hears it.
  writeFileSync(path.join(api.folder, "jobs", long, "work", "go"), "");
  const job = await api.until(long);
  assert.deepEqual([job.status, job.exitCode], ["FAILED", 4]);
  assert.equal(await following, "begins\nends\n");
  for (const id of ids) assert.equal((await api.until(id)).status, "SUCCEEDED");
});

test("the dashboard is killed: it serves again at the same port, and no job notices", async () => {
  const id = await api.submit({ entrypoint: "sleep 1; echo done" });
  const [dashboard] = api.processes("dashboard/main");
  kill(dashboard!);
  let job: Job | undefined;
  await waitUntil(
    async () => {
      job = await api.job(id).catch(() => undefined);
      return job?.endedAt;
    },
    "it is served again, and the job has ended",
    { timeoutMs: 30_000, story: () => JSON.stringify(job) },
  );
  assert.equal(job!.status, "SUCCEEDED");
  assert.equal(await api.log(id), "done\n");
});

test("a job whose package was uploaded waits while its head is killed, and runs in it when that is started again", async () => {
  // Nobody takes the order.
  freeze(api.head.pid);
  const workingDir = await api.upload({ "said.txt": "from the package\n" });
  const id = await api.submit({ entrypoint: "cat said.txt", runtimeEnv: { workingDir } });
  assert.equal((await api.job(id)).status, "PENDING");
  kill(api.head.pid);
  await waitUntil(() => api.processes("control/main").length === 0, "control has ended with its daemon", { timeoutMs: 20_000 });
  api.start();
  assert.equal((await api.until(id)).status, "SUCCEEDED");
  assert.equal(await api.log(id), "from the package\n");
});

test("the head is killed and started again: what ran has failed, what waited runs, the rest is as it was, nothing stays", async () => {
  const before = await api.run({ entrypoint: "echo before; exit 2" });
  const id = await started("71002");
  kill(api.head.pid);
  await waitUntil(() => count("sleep 71002") <= 1, "the group has ended with its daemon", { timeoutMs: 20_000 });
  const { dashboardUrl } = api.head;
  api.start();
  assert.equal(api.head.dashboardUrl, dashboardUrl);
  const job = await api.until(id);
  assert.equal(job.status, "FAILED");
  assert.match(job.message, /the node that ran it is gone/);
  await waitUntil(() => count("sleep 71002") === 0, "what had left the group is gone too");
  await waitUntil(() => traces(id).length === 0, "its token is gone");
  assert.equal(await api.log(id), "ready\n");
  const { log, ...record } = before;
  assert.deepEqual(await api.job(before.jobId), record);
  assert.equal(await api.log(before.jobId), log);
  assert.equal((await api.run({ entrypoint: "echo after" })).log, "after\n");
});

test("the head is stopped: its jobs end with it, and are told as what they are", async () => {
  const id = await started("71003");
  const stopped = api.home.run(["stop"]);
  assert.equal(stopped.code, 0, stopped.stderr);
  await waitUntil(() => count("sleep 71003") === 0, "its processes are gone");
  assert.ok(!existsSync(path.join(api.folder, "jobs", id, "token")));
  api.start();
  const job = await api.until(id);
  assert.equal(job.status, "FAILED");
  assert.match(job.message, /has left the cluster/);
});
