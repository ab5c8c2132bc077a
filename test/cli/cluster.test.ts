/** Clusters as users make them: by the command, with several nodes on this machine, programs on them, and deaths. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, statSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { leakChecked, waitUntil } from "../harness/index.ts";
import { Home } from "./home.ts";

leakChecked("at the end");

interface Started {
  readonly address: string;
  readonly nodeId: string;
  readonly pid: number;
  readonly tokenFile: string;
}
interface Status {
  readonly control: { readonly pid: number; readonly address: string };
  readonly nodes: readonly { readonly nodeId: string; readonly alive: boolean; readonly head: boolean }[];
  readonly resources: { readonly total: Record<string, number> };
}

const two = (t: Parameters<Parameters<typeof test>[0] & object>[0]) => {
  const home = new Home(t);
  const head = home.json<Started>("start", "--head", "--port", "0", "--num-cpus", "2", "--resources", '{"a":1}');
  const other = home.json<Started>("start", "--address", head.address, "--num-cpus", "2", "--resources", '{"b":1}');
  return { home, head, other };
};

test("two nodes: tasks, actors, refs and errors cross them, a program sees the whole, and nothing of it stays", async (t) => {
  const { home, head, other } = two(t);
  assert.equal(statSync(head.tokenFile).mode & 0o777, 0o600);
  const { code, stdout, stderr } = await home.program(
    `
    const on = (name) => ({ resources: { [name]: 0.01 } });
    const say = (name, value) => console.log(name + ": " + JSON.stringify(value));
    const where = ray.remote(() => ray.getRuntimeContext().nodeId);
    say("nodes", await ray.get([where.options(on("a")).remote(), where.options(on("b")).remote()]));
    say("cpus", (await ray.clusterResources()).CPU);
    const folder = ray.remote(() => process.cwd());
    say("folders", await ray.get([folder.options(on("a")).remote(), folder.options(on("b")).remote()]));
    class Counter { n = 0; add(k) { return (this.n += k); } }
    const counter = ray.remote(Counter).options({ ...on("b"), name: "counter" }).remote();
    counter.add.remote(2);
    say("actor", await ray.get((await ray.getActor("counter")).add.remote(3)));
    const found = await ray.getActor("counter");
    await ray.kill(found);
    say("killed", await ray.get(found.add.remote(1)).catch((error) => error.name));
    const inside = ray.remote(async ({ ref }) => (await ray.get(ref)).x);
    say("ref inside", await ray.get(inside.options(on("b")).remote({ ref: ray.put({ x: 7 }) })));
    const box = await ray.get(ray.remote(() => ({ ref: ray.put([1, 2]) })).options(on("b")).remote());
    say("ref back", await ray.get(box.ref));
    const nested = ray.remote(async (x) => await ray.get(ray.remote((y) => y * 2).options({ resources: { a: 0.01 } }).remote(x)));
    say("nested", await ray.get(nested.options(on("b")).remote(21)));
    const one = ray.remote((x) => x + 1);
    const many = Array.from({ length: 300 }, (_, i) => one.options(on(i % 2 ? "a" : "b")).remote(i));
    const large = ray.remote(() => new Uint8Array(2 ** 21)).options(on("b")).remote();
    await ray.wait([large]);
    const near = ray.remote((bytes) => bytes.length && ray.getRuntimeContext().nodeId, { numCpus: 0 });
    say("near", await ray.get(near.remote(large)));
    say("sum", await ray.get(ray.remote((...xs) => xs.reduce((a, b) => a + b, 0)).options(on("b")).remote(...many)));
    const gen = ray.remote(function* (n) { for (let i = 0; i < n; i++) yield i; });
    const items = [];
    for await (const ref of gen.options(on("b")).remote(5)) items.push(await ray.get(ref));
    say("stream", items);
    const fails = (f) => ray.get(f.remote()).then(() => "no error", (error) => error.name + " " + (error.cause?.name ?? ""));
    say("throws", await fails(ray.remote(() => { throw new RangeError("boom"); }).options(on("b"))));
    say("dies", await fails(ray.remote(() => process.exit(3)).options({ ...on("b"), maxRetries: 0 })));
    const slow = ray.remote(async () => { await new Promise((resolve) => setTimeout(resolve, 60_000)); }).options(on("b")).remote();
    await new Promise((resolve) => setTimeout(resolve, 200));
    await ray.cancel(slow);
    say("cancelled", await ray.get(slow).catch((error) => error.name));
    await ray.get(ray.remote(() => console.log("printed there")).options(on("b")).remote());
    await ray.shutdown();
    `,
    head.address,
  );
  assert.equal(code, 0, stderr);
  const said = new Map(
    stdout
      .split("\n")
      .map((line) => /^([a-z ]+): (.*)$/.exec(line)?.slice(1) as [string, string] | undefined)
      .filter((pair) => pair !== undefined),
  );
  const expected: Record<string, unknown> = {
    nodes: [head.nodeId, other.nodeId],
    cpus: 4,
    // As on one machine: relative paths mean the same.
    folders: [process.cwd(), process.cwd()],
    near: other.nodeId,
    actor: 5,
    killed: "ActorDiedError",
    "ref inside": 7,
    "ref back": [1, 2],
    nested: 42,
    sum: 45_150,
    stream: [0, 1, 2, 3, 4],
    throws: "TaskError RangeError",
    dies: "WorkerCrashedError ",
    cancelled: "TaskCancelledError",
  };
  for (const [name, value] of Object.entries(expected)) assert.deepEqual(JSON.parse(said.get(name) ?? "null"), value, name);
  assert.match(stdout, /pid=\d+\).*printed there/);
  await waitUntil(() => home.json<unknown[]>("list", "workers").length === 0, "the job's workers have ended", { timeoutMs: 10_000 });
});

test("a program on a machine without a node brings one of its own, without processors, that ends with it", async (t) => {
  const { home, head } = two(t);
  const elsewhere = new Home(t);
  const { code, stdout, stderr } = await elsewhere.program(
    `
    const where = ray.remote(() => ray.getRuntimeContext().nodeId);
    const alive = (await ray.nodes()).filter((node) => node.alive);
    console.log((await ray.get(where.remote())) !== ray.getRuntimeContext().nodeId, alive.length);
    `,
    head.address,
    { MOBULA_TOKEN_FILE: head.tokenFile },
  );
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "true 3\n");
  await waitUntil(() => home.json<Status>("status").nodes.filter(({ alive }) => alive).length === 2, "it has left", { timeoutMs: 10_000 });
});

test("beside a node of its cluster a program has no node of its own to give resources to, and its token must be right", async (t) => {
  const home = new Home(t);
  const { address, tokenFile } = home.json<Started>("start", "--head", "--port", "0", "--num-cpus", "1");
  const program = `
    const nothing = { numCpus: 0, numGpus: 0, resources: {} };
    const rows = [{ numCpus: 2 }, { numGpus: 1 }, { resources: { a: 1 } }, { objectStoreMemory: 2 ** 26 }, { token: "wrong" }, nothing];
    const said = [];
    for (const options of [...rows, { token: process.argv[2] }]) {
      const failed = await ray.init(options).then(() => undefined, (error) => error);
      said.push(failed && [failed.name, failed.reason ?? failed.option, failed.message]);
      await ray.shutdown();
    }
    console.log(JSON.stringify(said));
  `.replace("process.argv[2]", JSON.stringify(readFileSync(tokenFile, "utf8").trim()));
  const { code, stdout, stderr } = await home.program(program, address);
  assert.equal(code, 0, stderr);
  const said = JSON.parse(stdout) as ([string, string, string] | null)[];
  const refused = ["numCpus", "numGpus", "resources", "objectStoreMemory"].map((option) => ["InvalidOptionError", option]);
  const names = said.map((each) => each && each.slice(0, 2));
  assert.deepEqual(names, [...refused, ["ConnectionError", "token"], null, null]);
  assert.match(said[0]![2], /Leave numCpus out; or start another node with it.*address: "local"/);
  assert.match(said[4]![2], /token in init\(\{ token \}\) is not that of this cluster/);
  for (const env of [
    { MOBULA_TOKEN: "x".repeat(43) },
    { MOBULA_TOKEN: `job.job-1.${"x".repeat(43)}` },
    { MOBULA_TOKEN_FILE: `${home.dir}/no` },
  ]) {
    const wrong = await home.program("await ray.init();", address, env);
    assert.equal(wrong.code, 1);
    assert.match(wrong.stderr, /not that of this cluster|that of job job-1|no such file/);
  }
});

test("control is killed while a program works: the program does not notice, and control is there again", async (t) => {
  const { home, head } = two(t);
  const before = home.json<Status>("status");
  const running = home.program(
    `
    const step = ray.remote(async (x) => { await new Promise((resolve) => setTimeout(resolve, 20)); return x + 1; });
    class Counter { n = 0; add() { return ++this.n; } }
    const counter = ray.remote(Counter).options({ resources: { b: 0.01 } }).remote();
    let x = 0;
    for (let i = 0; i < 100; i++) [x] = await ray.get([step.remote(x), counter.add.remote()]);
    console.log(x, await ray.get(counter.add.remote()));
    const late = ray.remote(Counter).remote();
    console.log(await ray.get(late.add.remote()));
    `,
    head.address,
  );
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  process.kill(before.control.pid, "SIGKILL");
  const { code, stdout, stderr } = await running;
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "100 101\n1\n");
  const after = home.json<Status>("status");
  assert.notEqual(after.control.pid, before.control.pid);
  assert.equal(after.control.address, before.control.address);
  assert.equal(after.nodes.filter(({ alive }) => alive).length, 2);
  process.kill(after.control.pid, "SIGKILL");
  home.json("start", "--address", head.address, "--num-cpus", "0");
});

test("a node is killed: its tasks run elsewhere, its actors are over or start again, and it is listed as dead", async (t) => {
  const { home, head, other } = two(t);
  const running = home.program(
    `
    const { pid } = { pid: ${other.pid} };
    class Counter { n = 0; add() { return ++this.n; } node() { return ray.getRuntimeContext().nodeId; } }
    const away = { schedulingStrategy: ray.nodeAffinity("${other.nodeId}", { soft: true }) };
    const restarts = ray.remote(Counter).options({ ...away, maxRestarts: 1, maxTaskRetries: -1 }).remote();
    const dies = ray.remote(Counter).options(away).remote();
    const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
    const hold = ray.remote(async () => { await pause(1_500); return ray.getRuntimeContext().nodeId; });
    console.log(await ray.get([restarts.node.remote(), dies.node.remote()]));
    const kept = ray.remote(() => new Uint8Array(2_000_000).fill(9)).options({ ...away, maxRetries: 0 }).remote();
    await ray.get(ray.remote((bytes) => bytes[5]).options({ resources: { a: 0.01 } }).remote(kept));
    const task = hold.options(away).remote();
    await new Promise((resolve) => setTimeout(resolve, 500));
    process.kill(pid, "SIGKILL");
    console.log(await ray.get(task, { timeoutMs: 30_000 }));
    console.log(await ray.get(restarts.node.remote(), { timeoutMs: 30_000 }));
    console.log(await ray.get(dies.add.remote(), { timeoutMs: 30_000 }).catch((error) => error.name));
    console.log((await ray.get(kept, { timeoutMs: 30_000 }))[5]);
    `,
    head.address,
  );
  const { code, stdout, stderr } = await running;
  assert.equal(code, 0, stderr);
  assert.equal(stdout, `[ '${other.nodeId}', '${other.nodeId}' ]\n${head.nodeId}\n${head.nodeId}\nActorDiedError\n9\n`);
  const { nodes } = home.json<Status>("status");
  assert.deepEqual(
    nodes.map(({ nodeId, alive }) => [nodeId, alive]),
    [
      [head.nodeId, true],
      [other.nodeId, false],
    ],
  );
});

test("the head is killed and started again in its folder: it goes on with its token and port", (t) => {
  const home = new Home(t);
  // A port that no other test picks in the moment when it is free.
  const first = home.json<Started>("start", "--head", "--port", "0", "--dashboard-port", "0", "--num-cpus", "1");
  const second = home.run(["start", "--head"]);
  assert.equal(second.code, 1);
  assert.match(second.stderr, /^mobula: a head of .* runs already: process \d+, .*mobula stop.*\n$/);
  process.kill(first.pid, "SIGKILL");
  const again = home.json<Started>("start", "--head", "--num-cpus", "1");
  assert.equal(again.address, first.address);
  assert.notEqual(again.nodeId, first.nodeId);
  const token = readFileSync(again.tokenFile, "utf8").trim();
  const elsewhere = new Home(t);
  const joined = elsewhere.run(["start", "--address", again.address, "--num-cpus", "1", "--json"], { MOBULA_TOKEN: token });
  assert.equal(joined.code, 0, joined.stderr);
  assert.deepEqual(readdirSync(elsewhere.dir).sort(), ["logs", "nodes"], "a token of the environment is kept in no file");
  const node = home.json<Started>("start", "--address", again.address, "--num-cpus", "1");
  assert.deepEqual(home.json<{ nodeId: string }>("drain", node.nodeId).nodeId, node.nodeId);
  assert.equal(home.run(["stop"]).code, 0);
  assert.equal(home.run(["health-check"]).code, 1);
  assert.ok(statSync(path.join(home.dir, "control")).isDirectory());
});
