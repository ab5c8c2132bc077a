/** `mobula submit`, `mobula job` and `mobula/client` on one head: what users type, what they read, and with what it ends. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { JobClient, JobError } from "mobula/client";
import type { Job } from "mobula/client";
import { UsageError } from "../../src/cli/command.ts";
import { commands } from "../../src/cli/commands/index.ts";
import { jobClient } from "../../src/cli/jobs.ts";
import { Output } from "../../src/cli/output.ts";
import { parse } from "../../src/cli/parse.ts";
import { commandLine } from "../../src/cli/shell-words.ts";
import type { Ran } from "../cli/home.ts";
import { freshFolder, leakChecked, runProgram, waitUntil } from "../harness/index.ts";
import { readText } from "../house/sources.ts";
import { freePort } from "../stores/redis-server.ts";
import { Api, sha256 } from "./api.ts";

const api = new Api({ after });
leakChecked("at the end");

const client = new JobClient({ address: api.head.dashboardUrl, token: api.token });

async function mobula(words: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ran> {
  const running = api.home.command(words, env);
  running.end();
  return { code: await running.ended, stdout: running.stdout, stderr: running.stderr };
}
const json = async <T>(...words: string[]): Promise<T> => {
  const own = words.includes("--") ? words.indexOf("--") : words.length;
  const { code, stdout, stderr } = await mobula(words.toSpliced(own, 0, "--json"));
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as T;
};

async function callHere(words: readonly string[]): Promise<number> {
  const parsed = parse(words, commands);
  return await parsed.command.run({ options: parsed.options as never, arguments: parsed.arguments, output: new Output(true) });
}

test("submit waits, prints what the job prints, and exits as it does", async () => {
  const [good, bad, killed] = await Promise.all([
    mobula(["submit", "--name", "greeting", "--", "echo", "two words", "$HOME"]),
    mobula(["job", "submit", "--", "echo out; echo err >&2; exit 3"]),
    mobula(["submit", "--", "kill -9 $$"]),
  ]);
  assert.deepEqual([good.code, good.stdout], [0, "two words $HOME\n"], good.stderr);
  assert.equal(good.stderr, "", "what is for people is for a terminal");
  assert.deepEqual([bad.code, bad.stdout], [3, "out\nerr\n"]);
  assert.match(bad.stderr, /^mobula: job (job-\w+) failed: it ended with exit code 3\. What it has printed: mobula job logs \1\n$/);
  assert.equal(killed.code, 1);
  assert.match(killed.stderr, /failed: .*SIGKILL/);
});

test("with --json stdout is the result alone", async () => {
  const { code, stdout, stderr } = await mobula(["submit", "--json", "--weight", "2", "--priority", "-1", "--", "echo said; exit 4"]);
  assert.equal(code, 4);
  assert.equal(stderr, "said\n");
  const job = JSON.parse(stdout) as Job;
  assert.deepEqual([job.status, job.exitCode, job.weight, job.priority, job.entrypoint], ["FAILED", 4, 2, -1, "echo said; exit 4"]);
  const limits = ["--max-cpus", "1.5", "--max-memory", "1000000", "--max-store", "2000000", "--name", "limits"];
  const submitted = await json<{ jobId: string; status: string }>("submit", "--no-wait", ...limits, "--", "true");
  assert.deepEqual(Object.keys(submitted), ["jobId", "status"]);
  const limited = await client.wait(submitted.jobId);
  assert.deepEqual([limited.maxCpus, limited.maxMemory, limited.maxStore, limited.name], [1.5, 1e6, 2e6, "limits"]);
});

test("a job's life by commands: submitted, listed, looked at, followed and stopped", async () => {
  const { code, stdout } = await mobula(["submit", "--no-wait", "--", "echo begun; sleep 600"]);
  assert.equal(code, 0);
  const id = stdout.trim();
  assert.match(id, /^job-\w+$/);
  const following = api.home.command(["job", "logs", "-f", id]);
  await waitUntil(() => following.stdout === "begun\n", "its output is followed", { timeoutMs: 30_000 });
  const { status, startedAt, endedAt, exitCode, entrypoint } = await json<Job>("job", "status", id);
  assert.deepEqual([status, endedAt, exitCode, entrypoint], ["RUNNING", null, null, "echo begun; sleep 600"]);
  assert.ok(startedAt !== null);
  const [first] = await json<Job[]>("job", "list", "--limit", "1");
  assert.equal(first?.jobId, id);
  const [list, shown] = await Promise.all([mobula(["job", "list"]), mobula(["job", "status", id])]);
  assert.match(list.stdout, new RegExp(`^JOB .*COMMAND\\n${id}  RUNNING .*  echo begun; sleep 600\\n`));
  assert.match(shown.stdout, /^status +RUNNING$/m);
  const stopped = await json<Job>("job", "stop", id);
  assert.equal(stopped.status, "STOPPED");
  assert.equal(await following.ended, 0);
  assert.deepEqual(await json("job", "logs", id), { jobId: id, logs: "begun\n" });
  assert.equal((await json<Job>("job", "stop", id)).status, "STOPPED", "one that has ended stays as it is");
});

test("who waits for a job that is stopped exits with 1; Ctrl-C leaves the job running and says how to go on", async () => {
  const waiting = ["one", "two"].map((name) => api.home.command(["submit", "--name", name, "--", "echo up; sleep 600"]));
  const ids = await Promise.all(
    waiting.map(async (each, i) => {
      await waitUntil(() => each.stdout === "up\n", "it runs", { timeoutMs: 30_000, story: () => each.stderr });
      return (await client.list()).find(({ name }) => name === ["one", "two"][i])!.jobId;
    }),
  );
  const [stopped, left] = waiting;
  left!.kill("SIGINT");
  assert.equal(await left!.ended, 130);
  const said = new RegExp(`^mobula: job ${ids[1]} goes on\\. .*job logs --follow ${ids[1]}; its end: mobula job stop ${ids[1]}\n$`);
  assert.match(left!.stderr, said);
  assert.equal((await client.status(ids[1]!)).status, "RUNNING");
  await Promise.all(ids.map((id) => client.stop(id)));
  assert.equal(await stopped!.ended, 1);
  assert.match(stopped!.stderr, /^mobula: job \S+ was stopped\. What it has printed: mobula job logs \S+\n$/);
});

test("words after -- are the words that the command gets, whatever is in them", () => {
  const words = [
    "printf",
    "%s\\n",
    "a b",
    "",
    "it's",
    '"',
    "$HOME `id` $(id)",
    "*",
    "~",
    "A=B",
    "new\nline",
    "!x",
    "back\\slash",
    "ünïcode",
  ];
  const printed = execFileSync("sh", ["-c", commandLine(words)], { encoding: "utf8" });
  assert.equal(
    printed,
    words
      .slice(2)
      .map((word) => `${word}\n`)
      .join(""),
  );
  assert.equal(commandLine(["node main.mjs | sort"]), "node main.mjs | sort");
  assert.equal(commandLine(["A=B", "true"]), "'A=B' true");
});

const PROGRAM = `
  import * as ray from "mobula";
  import { readdirSync } from "node:fs";
  import { answer } from "./lib/answer.mjs";
  const f = ray.remote(() => [answer, process.env.LEVEL]);
  console.log(JSON.stringify([await ray.get(f.remote()), process.env.OTHER, readdirSync(".").sort()]));
  await ray.shutdown();
`;
const FILES: Readonly<Record<string, string>> = {
  "main.mjs": PROGRAM,
  "lib/answer.mjs": "export const answer = 42;",
  "data/large.bin": "x".repeat(1000),
  ".git/config": "secret",
  "node_modules/left/index.js": "",
  "keep.log": "",
  "drop.log": "",
};

test("a working directory is there, and at its tasks, without what is excluded: as a folder, a zip and a tar.gz", async (t) => {
  const folder = freshFolder(t);
  for (const [name, content] of Object.entries(FILES)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), content);
  }
  // The cluster's own folder is in it: its token stays where it is.
  const home = path.join(folder, "home");
  fs.cpSync(api.folder, home, { recursive: true, filter: (name) => !name.includes("/jobs") && !name.includes("/environments") });
  execFileSync("tar", ["czf", path.join(folder, "job.tgz"), "-C", folder, "main.mjs", "lib"]);
  const environment = JSON.stringify({ excludes: ["*.log", "!keep.log"], envVars: { LEVEL: "1", OTHER: "o" } });
  const options = ["--runtime-env-json", environment, "--env", "LEVEL=2"];
  const job = (...words: string[]): Promise<Ran> => mobula(["submit", ...words, "--", "node main.mjs"]);
  const [asFolder, asArchive] = await Promise.all([
    job("--dir", home, "--working-dir", folder, "--exclude", "/data", "--exclude", "*.tgz", ...options),
    job("--working-dir", path.join(folder, "job.tgz"), "--env", "LEVEL=3"),
  ]);
  assert.equal(asFolder.code, 0, asFolder.stderr);
  assert.deepEqual(JSON.parse(asFolder.stdout), [[42, "2"], "o", ["keep.log", "lib", "main.mjs"]]);
  assert.equal(asArchive.code, 0, asArchive.stderr);
  assert.deepEqual(JSON.parse(asArchive.stdout), [[42, "3"], null, ["lib", "main.mjs"]]);
});

test("the cluster is found by its URL, by control's address, and by the folder", async () => {
  for (const address of [api.head.dashboardUrl, api.head.address, undefined]) {
    const found = await jobClient({ dir: api.folder, ...(address === undefined ? {} : { address }) });
    assert.equal((await found.cluster()).control.address, api.head.address);
  }
  const { code, stderr } = await mobula(["job", "list", "--dir", api.folder], {
    MOBULA_HOME: "/nowhere",
    MOBULA_ADDRESS: api.head.dashboardUrl,
  });
  assert.equal(code, 0, stderr);
});

test("what is wrong with a call is one line that says what to do, with exit code 2, and what could not be done with 1", async (t) => {
  const folder = freshFolder(t);
  const large = path.join(folder, "large");
  fs.mkdirSync(large);
  fs.writeFileSync(path.join(large, "hole"), "");
  fs.truncateSync(path.join(large, "hole"), 501 * 2 ** 20);
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const cases: readonly (readonly [words: string[], code: number, stderr: RegExp])[] = [
    [["submit"], 2, /submit takes -- CMD\.\.\., and none was given/],
    [["submit", "--", " "], 2, /an empty one was given/],
    [["submit", "stray", "--", "true"], 2, /takes its command after --, and "stray" stands before it/],
    [["submit", "--prioritty", "1", "--", "true"], 2, /no option --prioritty\. Did you mean --priority\?/],
    [["submit", "--weight", "heavy", "--", "true"], 2, /--weight must be a number/],
    [["submit", "--weight", "0", "--", "true"], 2, /--weight must be more than 0/],
    [["submit", "--max-cpus", "-1", "--", "true"], 2, /--max-cpus must be a number/],
    [["submit", "--env", "NAME", "--", "true"], 2, /--env must be NAME=VALUE, and is "NAME"/],
    [["submit", "--runtime-env-json", "{", "--", "true"], 2, /--runtime-env-json must be a JSON object/],
    [["submit", "--runtime-env-json", '{"npmm":[]}', "--", "true"], 2, /npmm.*npm/],
    [["submit", "--exclude", "x", "--", "true"], 2, /excludes.*workingDir/],
    [["submit", "--working-dir", path.join(folder, "none"), "--", "true"], 1, /none cannot be used\. There is no such file or folder/],
    [["submit", "--working-dir", large, "--", "true"], 1, /500 MiB/],
    [["submit", "--runtime-env-json", '{"npm":"lock"}', "--", "true"], 1, /needs a workingDir/],
    [["job"], 2, /a command is missing/],
    [["job", "stat", "x"], 2, /Did you mean: mobula job status\?/],
    [["job", "status"], 2, /job status takes ID, and none was given/],
    [["job", "status", "job-none"], 1, /there is no job job-none\. See: mobula job list/],
    [["job", "logs", "-f", "job-none"], 1, /there is no job job-none/],
    [["job", "stop", "job-none"], 1, /there is no job job-none/],
    [["job", "list", "--limit", "0"], 2, /--limit must be a number/],
    [["job", "list", "--address", nobody], 1, new RegExp(`${nobody} cannot be reached\\. .*ECONNREFUSED`)],
  ];
  // In this process, as starting one for each would take a minute.
  process.env["MOBULA_HOME"] = api.folder;
  t.after(() => delete process.env["MOBULA_HOME"]);
  for (const [words, code, message] of cases) {
    const failed = await callHere(words).then(
      () => assert.fail(`${words.join(" ")} was taken`),
      (error: Error) => error,
    );
    assert.match(failed.message, message);
    assert.equal(failed instanceof UsageError ? 2 : 1, code, words.join(" "));
  }
  const foreign = await mobula(["job", "list"], { MOBULA_TOKEN: "guessed", MOBULA_ADDRESS: api.head.dashboardUrl });
  assert.deepEqual([foreign.code, foreign.stdout], [1, ""]);
  assert.match(foreign.stderr, /^mobula: [^\n]*token[^\n]*\n$/);
});

test("submit says when not all that the job has printed could be kept", async () => {
  const { code, stdout, stderr } = await mobula(["submit", "--", 'touch "$MOBULA_HOME/jobs/$MOBULA_JOB_ID/log"; echo lost']);
  assert.equal(code, 0, "it has done what it was to do");
  assert.equal(stdout, "");
  assert.match(stderr, /^mobula: job job-\w+ has printed more than this\. Its log in \S+ is not whole: EEXIST.*\n$/);
});

test("the client: packages, lists, ends, and what the server refuses", async () => {
  const bytes = new TextEncoder().encode("no archive");
  const file = fs.readFileSync(path.join(api.folder, "cluster.json"));
  await assert.rejects(client.upload(bytes), (error) => error instanceof JobError && error.status === 422);
  assert.ok(file.byteLength > 0);
  const archive = execFileSync("tar", ["cz", "-C", api.folder, "cluster.json"]);
  const uploaded = await client.upload(archive);
  assert.deepEqual(uploaded, { sha256: sha256(archive), size: archive.byteLength });
  assert.deepEqual(await client.upload(new Blob([new Uint8Array(archive)])), uploaded);
  const { jobId } = await client.submit({ entrypoint: ["ls"], runtimeEnv: { workingDir: uploaded.sha256 }, metadata: { team: "a" } });
  const job = await client.wait(jobId);
  assert.deepEqual(job, await api.job(jobId));
  assert.deepEqual((await api.job(jobId)).metadata, { team: "a" });
  assert.equal(await client.logs(jobId), "cluster.json\n");
  assert.ok((await client.list()).some((each) => each.jobId === jobId));
  assert.equal((await client.delete(jobId)).jobId, jobId);
  await assert.rejects(client.status(jobId), (error) => error instanceof JobError && error.reason === "NOT_FOUND" && error.jobId === jobId);
  const refused = (field: string) => (error: unknown) =>
    error instanceof JobError && error.status === 422 && error.reason === "INVALID_BODY" && error.field === field;
  await assert.rejects(client.submit({ entrypoint: "x", weight: -1 }), refused("weight"));
  await assert.rejects(client.submit({ entrypoint: "x", runtimeEnv: { workingDir: "0".repeat(64) } }), refused("runtimeEnv.workingDir"));
  await assert.rejects(client.submit({ entrypoint: "x".repeat(2 ** 20) }), (error) => error instanceof JobError && error.status === 413);
  for (const [token, status] of [
    ["guessed", 403],
    [undefined, 401],
  ] as const) {
    const stranger = new JobClient({ address: api.head.dashboardUrl, ...(token === undefined ? {} : { token }) });
    await assert.rejects(stranger.list(), (error) => error instanceof JobError && error.status === status);
  }
  const { nodes, control } = await client.cluster();
  assert.deepEqual([nodes.length, nodes[0]?.nodeId, control.address], [1, api.head.nodeId, api.head.address]);
});

test("the examples in the comments of the client print what they say", async (t) => {
  const source = readText("src/client/job-client.ts");
  const examples = [...source.matchAll(/^ *\* @example\n *\* ```ts\n([^]*?)^ *\* ```$/gm)].map(([, body]) =>
    body!.replaceAll(/^ *\* ?/gm, ""),
  );
  assert.equal(examples.length, 1);
  for (const example of examples) {
    const file = path.join(freshFolder(t), "example.mjs");
    const own = example
      .replaceAll("http://127.0.0.1:8265", api.head.dashboardUrl)
      .replaceAll('"token"', JSON.stringify(api.head.tokenFile));
    assert.notEqual(own, example);
    fs.writeFileSync(file, own);
    const { code, stdout, stderr } = await runProgram(undefined, file, { timeoutMs: 60_000 });
    assert.equal(code, 0, stderr);
    const said = [...example.matchAll(/console\.log\(.*\); \/\/ (.*)$|console\.log\(.*\)\); \/\/ (.*)$/gm)].map(([, a, b]) => a ?? b);
    assert.deepEqual(stdout.trim().split("\n"), said);
  }
});
