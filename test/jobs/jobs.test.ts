/** Jobs over HTTP, on one head: what a job is given, how it ends, its log, its limits, and what becomes of what it has started. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { zip } from "../environments/archives.ts";
import { Api, sha256 } from "./api.ts";
import type { Job } from "./api.ts";

const api = new Api({ after });
leakChecked("at the end");

/** A process of the machine that has these words in its command line. */
function lives(words: string): boolean {
  return readdirSync("/proc").some((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").includes(words);
    } catch {
      return false;
    }
  });
}

test("a command line of the shell: its status, exit code and times, its streams in one log in order, and nothing else left", async () => {
  const before = Date.now();
  const job = await api.run({
    entrypoint: "echo one; echo two >&2; echo three > /dev/stderr; echo four; exit 3",
    name: "fails",
    metadata: { team: "a" },
    priority: 2,
    weight: 3,
    maxCpus: 1.5,
  });
  assert.equal(job.log, "one\ntwo\nthree\nfour\n");
  assert.equal(job.status, "FAILED");
  assert.equal(job.exitCode, 3);
  assert.match(job.message, /exit code 3\nIts last lines:\none\ntwo\nthree\nfour$/);
  assert.ok(before <= job.submittedAt && job.submittedAt <= job.startedAt! && job.startedAt! <= job.endedAt! && job.endedAt! <= Date.now());
  const { name, metadata, priority, weight, maxCpus, maxMemory } = job;
  assert.deepEqual(
    { name, metadata, priority, weight, maxCpus, maxMemory },
    { name: "fails", metadata: { team: "a" }, priority: 2, weight: 3, maxCpus: 1.5, maxMemory: null },
  );
  assert.deepEqual(readdirSync(path.join(api.folder, "jobs", job.jobId)), ["log"]);
  const { value } = await api.call<Job[]>("GET", "/api/jobs?limit=1");
  assert.deepEqual(
    value.map(({ jobId }) => jobId),
    [job.jobId],
  );
});

test("words are run without a shell; what cannot be run says why", async () => {
  const words = await api.run({ entrypoint: ["printf", "%s|%s", "a b", "$HOME"] });
  assert.deepEqual([words.status, words.exitCode, words.log], ["SUCCEEDED", 0, "a b|$HOME"]);
  const missing = await api.run({ entrypoint: ["no-such-command"] });
  assert.deepEqual([missing.status, missing.exitCode], ["FAILED", 127]);
  assert.match(missing.message, /not found/);
  const killed = await api.run({ entrypoint: ["sh", "-c", "kill -9 $$"] });
  assert.deepEqual([killed.status, killed.exitCode], ["FAILED", null]);
  assert.match(killed.message, /SIGKILL/);
});

test("the working directory, variables, and the package itself are there, in the driver and in its tasks; so is a zip", async () => {
  const program = `
    import { existsSync, statSync } from "node:fs";
    import { basename } from "node:path";
    import * as ray from "mobula";
    import { twice } from "./lib/twice.mjs";
    const f = ray.remote((x) => [twice(x), process.env.COLOUR, basename(process.cwd()), process.env.MOBULA_TOKEN_FILE ?? "no token"]);
    console.log(JSON.stringify(await ray.get(f.remote(21))));
    console.log(JSON.stringify([process.env.COLOUR, (statSync(process.env.MOBULA_TOKEN_FILE).mode & 0o777).toString(8)]));
    await ray.shutdown();`;
  const files = { "main.mjs": program, "lib/twice.mjs": "export const twice = (x) => 2 * x;" };
  const expected = '[42,"red","work","no token"]\n["red","600"]\n';
  const hash = await api.upload(files);
  const job = await api.run({ entrypoint: "node main.mjs", runtimeEnv: { workingDir: hash, envVars: { COLOUR: "red" } } });
  assert.equal(job.log, expected, job.message);
  assert.deepEqual([job.status, job.exitCode], ["SUCCEEDED", 0]);
  const zipped = zip(Object.entries(files).map(([name, content]) => ({ path: name, content })));
  const { status } = await api.call("PUT", `/api/packages/${sha256(zipped)}`, { body: zipped });
  assert.equal(status, 201);
  const again = await api.run({
    entrypoint: ["node", "main.mjs"],
    runtimeEnv: { workingDir: sha256(zipped), envVars: { COLOUR: "red" } },
  });
  assert.equal(again.log, expected, again.message);
});

test("a job that is stopped ends with all that it has started, in whatever group; its driver's actors end too", async () => {
  const hash = await api.upload({
    "main.mjs": `
    import { spawn } from "node:child_process";
    import * as ray from "mobula";
    class Sitter { here() { return process.pid; } }
    const sitter = ray.remote(Sitter).options({ name: "sitter", lifetime: "detached", namespace: "jobs" }).remote();
    await ray.get(sitter.here.remote());
    spawn("sleep", ["98765"], { detached: true, stdio: "ignore" });
    process.on("SIGTERM", () => setTimeout(() => { console.log("tidied up"); process.exit(0); }, 200));
    console.log("ready");
    setInterval(() => {}, 1000);`,
  });
  const id = await api.submit({ entrypoint: "node main.mjs", runtimeEnv: { workingDir: hash } });
  await waitUntil(async () => (await api.log(id)).includes("ready"), "it runs", { timeoutMs: 30_000, story: () => JSON.stringify(id) });
  assert.ok(lives("sleep 98765"));
  const running = await api.job(id);
  assert.deepEqual([running.status, running.exitCode, running.endedAt], ["RUNNING", null, null]);
  const removal = await api.call("DELETE", `/api/jobs/${id}`);
  assert.deepEqual([removal.status, removal.value.error.code], [409, "NOT_ENDED"]);
  const stopped = await api.call<Job>("POST", `/api/jobs/${id}/stop`);
  assert.deepEqual([stopped.status, stopped.value.status], [200, "STOPPED"]);
  assert.match(await api.log(id), /tidied up/);
  assert.ok(!lives("sleep 98765"));
  const again = await api.call<Job>("POST", `/api/jobs/${id}/stop`);
  assert.deepEqual(again.value, stopped.value);
  const removed = await api.call<Job>("DELETE", `/api/jobs/${id}`);
  assert.equal(removed.status, 200);
  assert.equal((await api.call("GET", `/api/jobs/${id}`)).status, 404);
  await waitUntil(() => !existsSync(path.join(api.folder, "jobs", id)), "its log is gone");
});

test("a log is followed from any place until the job has ended, by many", async () => {
  const id = await api.submit({ entrypoint: "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done" });
  const logs = await Promise.all([1, 2, 3].map(() => api.log(id, "?follow=1")));
  for (const log of logs) assert.equal(log, "1\n2\n3\n4\n5\n6\n");
  assert.equal((await api.job(id)).status, "SUCCEEDED");
  assert.equal(await api.log(id, "?offset=4"), "3\n4\n5\n6\n");
  assert.equal(await api.log(id, "?follow=true&offset=12"), "");
});

test("an environment that cannot be made is the job's failure, with the reason; what is not uploaded is refused at once", async () => {
  const job = await api.run({ entrypoint: "true", runtimeEnv: { workingDir: await api.upload({ "a.txt": "a" }), npm: "lock" } });
  assert.equal(job.status, "FAILED");
  assert.match(job.message, /package\.json/);
  const { status, value } = await api.call("POST", "/api/jobs", {
    body: { entrypoint: "true", runtimeEnv: { workingDir: "0".repeat(64) } },
  });
  assert.deepEqual([status, value.error.field], [422, "runtimeEnv.workingDir"]);
});

test("the token of a job looks at that job and stops it, while it runs, and does nothing else", async () => {
  const id = await api.submit({ entrypoint: 'cat "$MOBULA_TOKEN_FILE"; exec sleep 1000' });
  const token = await waitUntil(async () => /job\.\S+/.exec(await api.log(id))?.[0], "the token is there");
  assert.notEqual(token, api.token);
  const other = await api.submit({ entrypoint: "true" });
  const status = async (...[method, route]: [string, string]): Promise<number> => (await api.call(method, route, { token })).status;
  assert.equal(await status("GET", `/api/jobs/${id}`), 200);
  assert.equal(await status("GET", "/api/cluster"), 200);
  assert.equal((await api.fetch("GET", `/api/jobs/${id}/logs`, { token })).status, 200);
  for (const [method, route] of [
    ["GET", `/api/jobs/${other}`],
    ["GET", `/api/jobs/${other}/logs`],
    ["POST", `/api/jobs/${other}/stop`],
    ["GET", "/api/jobs"],
    ["POST", "/api/jobs"],
    ["DELETE", `/api/jobs/${id}`],
    ["PUT", `/api/packages/${"0".repeat(64)}`],
    ["GET", "/nowhere"],
  ] as const)
    assert.equal(await status(method, route), 403, `${method} ${route}`);
  const asked = api.home.run(["status", "--json", "--address", api.head.address], { MOBULA_TOKEN: token });
  assert.equal(asked.code, 0, asked.stderr);
  assert.equal(api.home.run(["drain", api.head.nodeId, "--address", api.head.address], { MOBULA_TOKEN: token }).code, 1);
  assert.equal(await status("POST", `/api/jobs/${id}/stop`), 200);
  assert.equal(await status("GET", `/api/jobs/${id}`), 403);
  assert.equal(api.home.run(["status", "--address", api.head.address], { MOBULA_TOKEN: token }).code, 1);
});

test("/api/cluster is what mobula status prints", async () => {
  const { value } = await api.call<Record<string, unknown>>("GET", "/api/cluster");
  const printed = api.home.json<Record<string, unknown>>("status");
  assert.deepEqual(Object.keys(value), Object.keys(printed));
  assert.deepEqual([value["control"], value["dashboardUrl"]], [printed["control"], api.head.dashboardUrl]);
});
