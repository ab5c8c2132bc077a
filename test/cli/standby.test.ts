/** A cluster whose state is in a real Redis: Redis is killed and started again, then the head's machine is gone and a standby leads. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { createHash } from "node:crypto";
import path from "node:path";
import { test } from "node:test";
import { JobClient } from "../../src/client/index.ts";
import { nodesHere } from "../../src/runtime/client/nodes-here.ts";
import { ask, parseAddress, readTokenFile, tokenCredential } from "../../src/runtime/network/index.ts";
import { tarGzip } from "../environments/archives.ts";
import { freeze, kill, leakChecked, waitUntil } from "../harness/index.ts";
import { noRedis, RedisServer } from "../stores/redis-server.ts";
import { Home } from "./home.ts";

leakChecked("at the end");

interface Started {
  readonly address: string;
  readonly nodeId: string;
  readonly pid: number;
  readonly tokenFile: string;
}
interface Status {
  readonly control: { readonly pid: number; readonly address: string; readonly role: string; readonly standbys: readonly string[] };
  readonly dashboardUrl: string | null;
  readonly nodes: readonly { readonly nodeId: string; readonly alive: boolean; readonly head: boolean }[];
}

/** What control at an address says, or undefined: asked from here, as starting a command takes its time. */
async function statusAt(address: string, tokenFile: string): Promise<Status | undefined> {
  const self = { role: "client" as const, id: "test", incarnation: 1 };
  const credentials = tokenCredential(readTokenFile(tokenFile));
  return (await ask({ ...parseAddress(address), self, credentials }, { kind: "status" }).catch(() => undefined)) as Status | undefined;
}

// What is looked at runs on the third node: the machine of the head takes what is on it along.

/** Makes detached actors one after another, and prints the name of each once it has answered. */
const makeActors = (count: number): string => `
  class Kept { n = 0; add(k) { return (this.n += k); } }
  const options = { namespace: "n", lifetime: "detached", numCpus: 0, resources: { c: 0.001 } };
  const group = ray.placementGroup([{ CPU: 1, c: 0.1 }], { name: "kept", lifetime: "detached" });
  await group.ready();
  console.log("group");
  for (let i = 0; i < ${count}; i++) {
    const actor = ray.remote(Kept).options({ ...options, name: "kept-" + i }).remote();
    await ray.get(actor.add.remote(i));
    console.log("kept-" + i);
  }
  await ray.shutdown();
`;

const checkActors = `
  const names = process.env.NAMES.split(" ");
  const found = await Promise.all(names.map(async (name) => ray.get((await ray.getActor(name, { namespace: "n" })).add.remote(0))));
  console.log(found.join(" "), (await ray.getPlacementGroup("kept")) !== undefined);
  process.exit();
`;

/** Tasks and calls of an actor, a line each time; it ends when its stdin does. */
const work = `
  process.stdin.on("end", () => (process.exitCode ??= 0, over = true)).resume();
  let over = false;
  class Counter { n = 0; add() { return ++this.n; } }
  const resources = { c: 0.001 };
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  const counter = ray.remote(Counter).options({ numCpus: 0, resources }).remote();
  const step = ray.remote(async (x) => { await pause(10); return x + 1; }).options({ resources });
  let x = 0;
  let calls = 0;
  while (!over) {
    [x, calls] = await ray.get([step.remote(x), counter.add.remote()]);
    console.log("step", x, calls);
  }
  const late = ray.remote(Counter).options({ numCpus: 0, resources }).remote();
  console.log("late", await ray.get(late.add.remote()));
  const at = Date.now();
  await ray.shutdown();
  console.log("shutdown", Date.now() - at);
`;

test("a cluster with its state in Redis", { skip: noRedis }, async (t) => {
  const redis = await RedisServer.start(t);
  const [one, two, three] = [new Home(t), new Home(t), new Home(t)];
  const head = one.json<Started>("start", "--head", "--redis", redis.url(), "--port", "0", "--num-cpus", "1");
  const { tokenFile } = head;
  const env = { MOBULA_TOKEN_FILE: tokenFile };
  const started = (home: Home, ...words: string[]): Started => {
    const { code, stdout, stderr } = home.run(["start", ...words, "--json"], env);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Started;
  };
  const standby = started(two, "--standby", "--redis", redis.url());
  const node = started(three, "--address", head.address, "--num-cpus", "2", "--resources", '{"c":1}');
  const known = await waitUntil(
    async () => {
      const status = await statusAt(head.address, tokenFile);
      return status?.control.standbys[0] === standby.address ? status : undefined;
    },
    "the leader, which was started at port 0, knows of the standby",
    { timeoutMs: 20_000 },
  );
  assert.deepEqual([known.control.role, known.control.address], ["leader", head.address]);
  assert.deepEqual(
    known.nodes.map(({ nodeId, head: isHead }) => [nodeId, isHead]).sort(),
    [
      [head.nodeId, true],
      [standby.nodeId, false],
      [node.nodeId, false],
    ].sort(),
  );

  await t.test("what is wrong with a call is one line", () => {
    const { dir } = new Home(t);
    for (const [words, code, wanted] of [
      [["--standby"], 2, /^mobula: start --standby needs --redis URL/],
      [["--standby", "--head"], 2, /^mobula: start takes either --head or --address HOST:PORT/],
      [["--standby", "--redis", "nonsense"], 1, /^mobula: The URL of Redis cannot be used/],
      [
        ["--standby", "--redis", "redis://127.0.0.1:1"],
        1,
        /^mobula: The control store at redis:\/\/127.0.0.1:1 cannot be read\. .*Start Redis/,
      ],
      [["--address", head.address, "--redis", redis.url()], 2, /^mobula: start --address takes no --redis/],
    ] as const) {
      const ran = three.run(["start", "--dir", dir, ...words], env);
      assert.deepEqual([ran.code, ran.stdout], [code, ""], `${words.join(" ")}: ${ran.stderr}`);
      assert.match(ran.stderr, wanted);
      assert.equal(ran.stderr.split("\n").length, 2);
    }
    const foreign = three.run(["start", "--dir", dir, "--standby", "--redis", redis.url()], { MOBULA_TOKEN: "another-token" });
    assert.equal(foreign.code, 1);
    assert.match(foreign.stderr, /^mobula: no cluster of the token in .* keeps its state in that Redis\. Start its head first/);
  });

  const names: string[] = [];
  /** All that had been acknowledged is there, as it was. */
  const check = async (): Promise<void> => {
    assert.equal(names.length, 8);
    const { stdout, stderr } = await three.program(checkActors, head.address, { ...env, NAMES: names.join(" ") });
    assert.equal(stdout, `${names.map((_, i) => i).join(" ")} true\n`, stderr);
  };

  await t.test("Redis is killed and started again while actors are made: they are made, and control goes on", async () => {
    const making = three.start(makeActors(8), head.address, env);
    for (const seen of [2, 5]) {
      await waitUntil(() => making.stdout.split("\n").length > seen, `${seen} lines`, { timeoutMs: 40_000, story: () => making.stderr });
      await redis.kill();
      await redis.start();
    }
    assert.equal(await making.ended, 0, making.stderr);
    names.push(...making.stdout.split("\n").filter((line) => line.startsWith("kept-")));
    assert.equal((await statusAt(head.address, tokenFile))?.control.pid, known.control.pid, "the same control");
  });

  assert.equal(one.run(["submit", "--", "true"]).code, 0);
  const token = readFileSync(tokenFile, "utf8").trim();
  const before = new JobClient({ address: known.dashboardUrl!, token });
  const upload = async (text: string): Promise<string> => {
    const bytes = tarGzip([{ path: "said.txt", content: text }]);
    const hash = createHash("sha256").update(bytes).digest("hex");
    await before.upload(bytes, { sha256: hash });
    return hash;
  };
  await t.test("the leader's machine is killed: the standby leads, and what runs does not notice", async (t) => {
    const leader = (await statusAt(head.address, tokenFile))!;
    const working = three.start(work, head.address, env);
    const steps = (): number => working.stdout.split("\n").length - 1;
    await waitUntil(() => steps() > 5, "it works", { timeoutMs: 30_000, story: () => working.stderr });
    // One job runs with a package, so the standby has that too; two wait for a daemon that takes nothing, one of them with a new package.
    const workingDir = await upload("known");
    const running = await before.submit({ entrypoint: "sleep 1000", runtimeEnv: { workingDir } });
    await waitUntil(() => existsSync(path.join(two.dir, "packages", workingDir)), "the standby has the package", { timeoutMs: 30_000 });
    await waitUntil(async () => (await before.status(running.jobId)).status === "RUNNING", "it runs", { timeoutMs: 30_000 });
    freeze(head.pid);
    const waits = await before.submit({ entrypoint: "cat said.txt", runtimeEnv: { workingDir } });
    const lacks = await before.submit({ entrypoint: "cat said.txt", runtimeEnv: { workingDir: await upload("new") } });
    const at = performance.now();
    const stepsBefore = steps();
    const { sessionDir } = nodesHere(one.dir)[0]!;
    kill(head.pid);
    kill(leader.control.pid);
    const status = await waitUntil(() => statusAt(standby.address, tokenFile), "the standby leads", { timeoutMs: 20_000 });
    const tookMs = performance.now() - at;
    const meanwhile = steps() - stepsBefore;
    t.diagnostic(`it led after ${tookMs.toFixed(0)} ms; ${meanwhile} steps meanwhile`);
    // 2 s of them are the lease. The rest is generous: machines that run tests are busy.
    assert.ok(tookMs < 5000, `${tookMs} ms`);
    assert.ok(meanwhile >= 5, `${meanwhile} steps while nobody led`);
    assert.deepEqual([status.control.role, status.control.address], ["leader", standby.address]);
    working.end();
    assert.equal(await working.ended, 0, working.stderr);
    const lines = working.stdout.trim().split("\n");
    const shutdownMs = Number(/^shutdown (\d+)$/.exec(lines.pop() ?? "")?.[1]);
    t.diagnostic(`shutdown took ${shutdownMs} ms`);
    assert.ok(shutdownMs < 10_000, `shutdown took ${shutdownMs} ms`);
    assert.equal(lines.pop(), "late 1", "an actor that was made when the standby led");
    assert.deepEqual(
      lines,
      lines.map((_, i) => `step ${i + 1} ${i + 1}`),
    );
    assert.doesNotMatch(working.stderr, /lost|died|warning/i);
    // Commands find the new leader from the old address, and the folder.
    for (const words of [[], ["--address", head.address]]) {
      const shown = JSON.parse(three.run(["status", "--json", ...words], env).stdout) as Status;
      assert.equal(shown.control.address, standby.address);
      assert.equal(shown.nodes.find((each) => each.head)?.nodeId, standby.nodeId);
    }
    // A job that is submitted while nobody leads yet, or just after, waits for the new head's HTTP API.
    const submitted = three.command(["submit", "--address", head.address, "--", "echo from a job"], env);
    const late = one.command(["start", "--head", "--redis", redis.url()], env);
    await check();
    assert.equal(await late.ended, 1);
    assert.equal(await submitted.ended, 0, submitted.stderr);
    assert.equal(submitted.stdout, "from a job\n");
    // The HTTP API is the new head's, and knows the jobs of before.
    const { dashboardUrl, nodes } = (await statusAt(standby.address, tokenFile))!;
    assert.equal(nodes.find(({ nodeId }) => nodeId === head.nodeId)?.alive, false, "nobody listens there: it is not waited for");
    const client = new JobClient({ address: dashboardUrl!, token });
    const { jobId } = await client.submit({ entrypoint: "echo over HTTP" });
    assert.equal((await client.wait(jobId)).status, "SUCCEEDED");
    assert.equal(await client.logs(jobId), "over HTTP\n");
    assert.equal((await client.wait(waits.jobId)).status, "SUCCEEDED");
    assert.equal(await client.logs(waits.jobId), "known");
    assert.match((await client.wait(lacks.jobId)).message, /Package .* is not to be had.* Upload it and submit the job again/s);
    assert.match((await client.wait(running.jobId)).message, /the node that ran it is gone: .*nothing listens at 127\.0\.0\.1:\d+$/);
    const jobs = await client.list();
    assert.deepEqual(
      jobs.map(({ entrypoint, status }) => [entrypoint, status]),
      [
        ["echo over HTTP", "SUCCEEDED"],
        ["echo from a job", "SUCCEEDED"],
        ["cat said.txt", "FAILED"],
        ["cat said.txt", "SUCCEEDED"],
        ["sleep 1000", "FAILED"],
        ["true", "SUCCEEDED"],
      ],
    );
    assert.equal(jobs.at(-1)!.nodeId, head.nodeId);
    assert.match(late.stderr, /is in use by control at .*mobula start --standby --redis URL\n$/);
    assert.equal(one.run(["start", "--standby", "--redis", redis.url(), "--json"], env).code, 0);
    await waitUntil(() => !existsSync(sessionDir), "what the killed daemon left is cleared up by the next", { timeoutMs: 20_000 });
  });
});
