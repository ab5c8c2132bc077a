/**
 * A cluster with TLS over three hosts that share no /tmp, each with an address of its own: what a program does on it, and what becomes of
 * that when cables are pulled. Skipped where namespaces cannot be made.
 */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { clusterOver, Network, whyNoHosts } from "../../chaos/hosts.ts";
import type { Host, Started } from "../../chaos/hosts.ts";
import { leakChecked, waitUntil } from "../harness/index.ts";

const skip = whyNoHosts() ?? false;
const network = skip === false ? new Network(4) : undefined;
after(() => network?.end());
leakChecked("at the end");

let nodes: Started[] = [];
/** The last has no node of the cluster. */
const hosts = (): [Host, Host, Host, Host] => network!.hosts as [Host, Host, Host, Host];
const LIMIT = { skip, timeout: 120_000 };

interface Answers {
  readonly [name: string]: unknown;
}

/** What a program on the first host says: a line of JSON for each name. */
async function answers(code: string, meanwhile: (output: () => string) => Promise<void> = async () => {}): Promise<Answers> {
  const program = hosts()[0].program(
    `const say = (name, value) => console.log("@" + JSON.stringify([name, value]));
     const on = (i) => ({ resources: { ["host" + i]: 1 } });
     const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
     const { nodeId, name } = { nodeId: () => ray.getRuntimeContext().nodeId, name: (e) => [e.name, e.message] };
     ${code}
     await ray.shutdown();`,
    { MOBULA_ADDRESS: nodes[0]!.address },
  );
  await meanwhile(() => program.output());
  const { code: exit, stdout, stderr } = await program.ended;
  assert.equal(exit, 0, `${stdout}\n${stderr}`);
  const lines = stdout.split("\n").filter((line) => line.startsWith("@"));
  return Object.fromEntries(lines.map((line) => JSON.parse(line.slice(1)) as [string, unknown]));
}

test("the command makes a cluster over three hosts, and a program uses all of it", LIMIT, async () => {
  nodes = await clusterOver(hosts().slice(0, 3));
  const [head] = hosts();
  head.write(`${head.home}/app/data.txt`, "from the head");
  head.write(`${head.home}/app/module.mjs`, "export const answer = 42;");
  const said = await answers(`
    await ray.init({ runtimeEnv: { workingDir: process.cwd() + "/app" } });
    say("names", await ray.get([1, 2, 3].map((i) => ray.remote(async () => (await import("node:os")).hostname()).options(on(i)).remote())));
    class Counter { n = 0; add(k) { return (this.n += k); } where() { return nodeId(); } }
    const counter = ray.remote(Counter).options({ ...on(2), name: "counter" }).remote();
    await ray.get(ray.remote(async () => ray.get((await ray.getActor("counter")).add.remote(5))).options(on(3)).remote());
    say("actor", await ray.get([counter.add.remote(1), counter.where.remote()]));
    const group = ray.placementGroup([{ CPU: 1 }, { CPU: 1 }, { CPU: 1 }], { strategy: "STRICT_SPREAD" });
    await group.ready();
    const inGroup = (i) => ({ schedulingStrategy: ray.inPlacementGroup(group, { bundleIndex: i }), numCpus: 1 });
    say("group", (await ray.get([0, 1, 2].map((i) => ray.remote(() => nodeId()).options(inGroup(i)).remote()))).sort());
    await group.remove();
    const made = ray.remote(() => new Float64Array(6_250_000).map((_, i) => i)).options(on(2)).remote();
    const sum = ray.remote((xs) => xs.reduce((a, b) => a + b, 0));
    say("large", await ray.get([sum.options(on(3)).remote(made), sum.options(on(1)).remote(made)]));
    say("largest", (await ray.get(made)).at(-1));
    say("folder", await ray.get(ray.remote(async () => {
      const { readFileSync } = await import("node:fs");
      return [readFileSync("data.txt", "utf8"), (await import(process.cwd() + "/module.mjs")).answer];
    }).options(on(3)).remote()));
    `);
  const ids = nodes.map(({ nodeId }) => nodeId);
  const total = (6_250_000 * 6_249_999) / 2;
  assert.deepEqual(said, {
    names: hosts()
      .slice(0, 3)
      .map(({ name }) => name),
    actor: [6, ids[1]],
    group: [...ids].sort(),
    large: [total, total],
    largest: 6_249_999,
    folder: ["from the head", 42],
  });
});

test("a program on a host without a node brings one of its own: it says what it needs for that, and leaves nothing", LIMIT, async () => {
  const [head, , , guest] = hosts();
  const env = { MOBULA_ADDRESS: nodes[0]!.address };
  const code = `
    const where = ray.remote(async () => (await import("node:os")).hostname());
    class Counter { n = 0; add(k) { return (this.n += k); } }
    const counter = ray.remote(Counter).options({ resources: { host3: 1 } }).remote();
    const made = ray.remote(() => new Uint8Array(1_000_000).fill(7)).options({ resources: { host2: 1 } }).remote();
    const own = ray.put(new Uint8Array(1_000_000).fill(8));
    const first = ray.remote((bytes) => bytes[5]).options({ resources: { host3: 1 } });
    console.log(JSON.stringify([await ray.get(counter.add.remote(4)), (await ray.get(made))[3], await ray.get(first.remote(own))]));
    console.log((await ray.nodes()).filter((node) => node.alive).length);
    await ray.shutdown();`;
  const refused = await guest.program(code, env).ended;
  assert.match(refused.stderr, /it is not said how they reach this one\. Set MOBULA_HOST to/);
  const without = await guest.program(code, { ...env, MOBULA_HOST: guest.address }).ended;
  assert.match(without.stderr, /there are no certificates for this one\. Make them by mobula ca create/);
  const folder = `${head.home}/.mobula`;
  for (const name of ["token", "tls/ca.pem", "tls/ca-key.pem"]) guest.write(`${folder}/${name}`, head.read(`${folder}/${name}`));
  await guest.json("ca", "create", "--host", guest.address);
  const { code: exit, stdout, stderr } = await guest.program(code, { ...env, MOBULA_HOST: guest.address }).ended;
  assert.equal(exit, 0, stderr);
  assert.equal(stdout, "[4,7,8]\n4\n");
  const alive = async (): Promise<number> =>
    (await head.json<{ nodes: { alive: boolean }[] }>("status")).nodes.filter((node) => node.alive).length;
  for (const until = Date.now() + 20_000; (await alive()) !== 3;) assert.ok(Date.now() < until, "its node has left");
});

/** Steps that cross all hosts one after the other, and an actor that counts them: whatever was lost or came twice shows. */
const STEPS = `
  class Counter { n = 0; add() { return ++this.n; } }
  const counter = ray.remote(Counter).options({ ...on(3), maxTaskRetries: 0 }).remote();
  const step = ray.remote(async (x) => { await pause(5); return x + 1; }).options({ maxRetries: 0 });
  const [second, third] = [step.options({ ...on(2), maxRetries: 0 }), step.options({ ...on(3), maxRetries: 0 })];
  const large = ray.remote((i) => new Uint8Array(300_000).fill(i)).options(on(2));
  let x = 0;
  let calls = 0;
  await ray.get(third.remote(second.remote(0)));
  say("running", true);
  const { existsSync } = await import("node:fs");
  for (; !existsSync("over") || calls < 20; calls++) {
    const next = third.remote(second.remote(x));
    const bytes = ray.remote((b) => b[7]).options(on(3)).remote(large.remote(calls % 250));
    const [a, b, c] = await ray.get([next, counter.add.remote(), bytes]);
    if (a !== x + 2 || b !== calls + 1 || c !== calls % 250) throw new Error(JSON.stringify([a, b, c, x, calls]));
    x = a;
  }
  say("alive", (await ray.nodes()).filter((node) => node.alive).length);
  say("calls", calls);`;

const running = (output: () => string): Promise<unknown> =>
  waitUntil(() => output().includes('"running"'), "it runs", { timeoutMs: 60_000, story: output });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

test(
  "cables that are pulled for two seconds, and one that carries one way only: nothing is lost, nothing is done twice",
  LIMIT,
  async () => {
    const [head, second, third] = hosts();
    const said = await answers(STEPS, async (output) => {
      await running(output);
      // The cut is as long as it is: a death would be seen after five seconds.
      second.plug(false);
      await pause(2_000);
      second.plug(true);
      third.deafen(head, true);
      await pause(2_000);
      third.deafen(head, false);
      await pause(300);
      head.write(`${head.home}/over`, "");
    });
    assert.equal(said["alive"], 3);
    assert.ok(Number(said["calls"]) > 10, JSON.stringify(said));
  },
);

test("a host that is gone for good: its tasks run elsewhere, and errors say which node died, of what, and what to do", LIMIT, async () => {
  const [, , third] = hosts();
  const [, , gone] = nodes.map(({ nodeId }) => nodeId);
  const said = await answers(
    `
    class Counter { n = 0; add() { return ++this.n; } where() { return nodeId(); } }
    const there = { schedulingStrategy: ray.nodeAffinity("${gone}", { soft: true }) };
    const dies = ray.remote(Counter).options(there).remote();
    const restarts = ray.remote(Counter).options({ ...there, maxRestarts: 1, maxTaskRetries: -1 }).remote();
    const hold = ray.remote(async () => { await pause(1_000); return nodeId(); }).options({ ...there, maxRetries: 3 });
    const mine = ray.remote(() => new Uint8Array(2_000_000).fill(9)).options({ ...there });
    say("there", await ray.get([dies.where.remote(), restarts.where.remote()]));
    const [[bytes]] = await ray.wait([mine.remote()]);
    say("hold", await ray.get(hold.remote()));
    const held = hold.remote();
    const hard = ray.remote(async () => { await pause(60_000); })
      .options({ schedulingStrategy: ray.nodeAffinity("${gone}", { soft: false }), maxRetries: 0 }).remote();
    await pause(300);
    say("running", true);
    const since = Date.now();
    say("elsewhere", await ray.get(held, { timeoutMs: 40_000 }));
    say("seconds", (Date.now() - since) / 1000);
    say("restarted", await ray.get(restarts.where.remote(), { timeoutMs: 40_000 }));
    say("died", await ray.get(dies.add.remote(), { timeoutMs: 40_000 }).catch(name));
    say("hard", await ray.get(hard, { timeoutMs: 40_000 }).catch(name));
    say("bytes", (await ray.get(bytes, { timeoutMs: 40_000 }))[5]);
    `,
    async (output) => {
      await running(output);
      third.plug(false);
    },
  );
  assert.deepEqual(said["there"], [gone, gone]);
  assert.notEqual(said["elsewhere"], gone);
  assert.notEqual(said["restarted"], gone);
  assert.ok(Number(said["seconds"]) < 20, `seen after ${String(said["seconds"])} s`);
  const [died, diedWhy] = said["died"] as [string, string];
  const [hard, hardWhy] = said["hard"] as [string, string];
  assert.equal(died, "ActorDiedError");
  assert.equal(hard, "NodeDiedError");
  for (const why of [diedWhy, hardWhy]) assert.match(why, new RegExp(`node ${gone} has not been heard for`, "i"));
  assert.equal(said["bytes"], 9);
  third.plug(true);
  const log = `${third.home}/.mobula/logs/node-${gone}.log`;
  await waitUntil(
    () => /not part of its cluster any more\. Control has given it up: it was not heard/.test(third.read(log)),
    "it ends when it hears of it",
    {
      timeoutMs: 20_000,
      story: () => third.read(log),
    },
  );
});
