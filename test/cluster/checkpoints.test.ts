/**
 * Actors with `checkpoint` on a cluster of real nodes: whatever dies, each call that was answered is in their state once, in order. This
 * process is the driver, on the head; the actors are on two others, b and c.
 */
import assert from "node:assert/strict";
import fs from "node:fs";
import net from "node:net";
import { after, before, test } from "node:test";
import * as ray from "mobula";
import { collectGarbage, counts } from "mobula/state";
import { nodesHere } from "../../src/runtime/client/nodes-here.ts";
import { Home } from "../cli/home.ts";
import { freshFolder, leakChecked, waitUntil } from "../harness/index.ts";
import { rejectionOf } from "../rows/cluster.ts";

interface Started {
  readonly address: string;
  readonly nodeId: string;
  readonly pid: number;
}

const ends: (() => void)[] = [];
const home = new Home({ after: (end: () => void) => void ends.push(end) } as never);
let head: Started;
const others = new Map<string, Started>();

function addNode(name: string): Started {
  const resources = JSON.stringify({ spare: 10, [name]: 10 });
  const node = home.json<Started>("start", "--address", head.address, "--num-cpus", "1", "--resources", resources);
  others.set(name, node);
  return node;
}

before(async () => {
  head = home.json<Started>("start", "--head", "--port", "0", "--num-cpus", "1", "--resources", '{"head":10}');
  addNode("b");
  addNode("c");
  process.env["MOBULA_HOME"] = home.dir;
  await ray.init({ address: head.address });
});
after(async () => {
  await ray.shutdown();
  for (const end of ends) end();
});
leakChecked("at the end");

const OPTIONS = { numCpus: 0, maxRestarts: -1, maxTaskRetries: -1, resources: { spare: 1 } };

/** Every call adds a line; what it returns is the place of its line. */
class Ledger {
  readonly lines: string[] = [];
  readonly values: unknown[] = [];
  large: Float64Array;
  constructor(size: number) {
    this.large = new Float64Array(size);
  }
  write(line: string, value?: unknown): number {
    this.values.push(value);
    if (this.large.length > 0) this.large[this.lines.length] = this.lines.length + 1;
    return this.lines.push(line) - 1;
  }
  async writeSlowly(line: string, value?: unknown): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 3));
    return this.write(line, value);
  }
  async writeLate(line: string, ms: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, ms));
    return this.write(line);
  }
  async hold(file: string): Promise<string> {
    fs.writeFileSync(`${file}.begun`, "");
    while (!fs.existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10));
    return file;
  }
  /** Every connection from an owner breaks, and this process lives on. */
  cut(): number {
    const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
    const owners = handles.filter((each): each is net.Socket => each instanceof net.Socket && "server" in each && each.server !== null);
    setTimeout(() => owners.forEach((socket) => socket.destroy()), 30);
    return owners.length;
  }
  where(): { pid: number; node: string } {
    return { pid: process.pid, node: ray.getRuntimeContext().nodeId };
  }
  read(): { lines: string[]; large: number } {
    return { lines: this.lines, large: this.large.slice(0, this.lines.length).reduce((sum, x) => sum + x, 0) };
  }
  valueOf(place: number): unknown {
    return this.values[place];
  }
}
const RemoteLedger = ray.remote(Ledger, OPTIONS);

/** Writes lines while `disturb` does its worst, and sees that it was as if nothing had happened. */
async function isExact(ledger: ray.ActorHandle<Ledger>, count: number, disturb: (i: number) => void | Promise<void>): Promise<void> {
  const write = ray.remote(
    async (target: ray.ActorHandle<Ledger>, name: string, n: number): Promise<number[]> =>
      ray.get(Array.from({ length: n }, (_, i) => target.writeSlowly.remote(`${name} ${i}`, { inside: ray.put(i) }))),
    { numCpus: 0, resources: { head: 0.1 } },
  );
  const other = write.remote(ledger, "other", count);
  const own: ray.ObjectRef<number>[] = [];
  for (let i = 0; i < count; i++) {
    own.push(ledger.writeSlowly.remote(`own ${i}`, ray.put(new Uint8Array(i % 5 === 0 ? 200_000 : 10).fill(i))));
    await disturb(i);
  }
  const places = new Map<string, number>();
  for (const [i, ref] of own.entries()) places.set(`own ${i}`, await ray.get(ref, { timeoutMs: 60_000 }));
  for (const [i, place] of (await ray.get(other, { timeoutMs: 60_000 })).entries()) places.set(`other ${i}`, place);
  const { lines, large } = await ray.get(ledger.read.remote());
  assert.equal(lines.length, 2 * count, "no line is missing or there twice");
  for (const [line, place] of places) assert.equal(lines[place], line);
  for (const name of ["own", "other"]) {
    const mine = lines.filter((line) => line.startsWith(name));
    assert.deepEqual(
      mine,
      Array.from({ length: count }, (_, i) => `${name} ${i}`),
      "calls of one caller are in their order",
    );
  }
  if (large > 0) assert.equal(large, (lines.length * (lines.length + 1)) / 2);
  const value = (await ray.get(ledger.valueOf.remote(places.get("own 5")!))) as Uint8Array;
  assert.deepEqual([value.length, value[9]], [200_000, 5]);
  const inside = (await ray.get(ledger.valueOf.remote(places.get("other 3")!))) as { inside: ray.ObjectRef<number> };
  assert.equal(await ray.get(inside.inside), 3);
}

/** Of all nodes. */
const references = async (): Promise<number> => (await counts()).reduce((sum, each) => sum + each.references, 0);
const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
const where = (ledger: ray.ActorHandle<Ledger>): Promise<{ pid: number; node: string }> => ray.get(ledger.where.remote());

test("on another node than its driver it is killed again and again, and it is as if nothing had happened", async () => {
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 7 } }).remote(0);
  assert.notEqual((await where(ledger)).node, head.nodeId);
  await isExact(ledger, 60, async (i) => {
    if (i % 20 === 10) process.kill((await where(ledger)).pid, "SIGKILL");
  });
});

test("a state that lies in the object store is where its log is, and restarts go on from it", async () => {
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 5 } }).remote(300_000);
  await isExact(ledger, 40, async (i) => {
    if (i % 15 === 7) process.kill((await where(ledger)).pid, "SIGKILL");
  });
});

test("a call under way when it is killed has left nothing behind, what was answered stays, and nothing of the dead is kept", async (t) => {
  const before = await references();
  {
    const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 100 }, maxRestarts: 1, maxTaskRetries: 0 }).remote(0);
    const folder = freshFolder(t);
    assert.equal(await ray.get(ledger.write.remote("first", ray.put(new Uint8Array(200_000)))), 0);
    const { pid } = await where(ledger);
    const held = ledger.hold.remote(`${folder}/held`);
    await waitUntil(() => fs.existsSync(`${folder}/held.begun`), "the call is under way");
    process.kill(pid, "SIGKILL");
    const failed = await rejectionOf(ray.get(held));
    assert.ok(failed instanceof ray.ActorUnavailableError, String(failed));
    assert.equal(failed.outcome, "unknown");
    assert.equal(await ray.get(ledger.write.remote("second")), 1);
    process.kill((await where(ledger)).pid, "SIGKILL");
    const dead = await rejectionOf(ray.get(ledger.read.remote()));
    assert.ok(dead instanceof ray.ActorDiedError || dead instanceof ray.ActorUnavailableError, String(dead));
    await waitUntil(async () => (await rejectionOf(ray.get(ledger.read.remote()))) instanceof ray.ActorDiedError, "it is dead");
  }
  await waitUntil(
    async () => {
      await collectGarbage();
      return (await references()) <= before;
    },
    "its checkpoints and its log are gone",
    { timeoutMs: 15_000 },
  );
});

test("its owners' connections break while it lives: what it has begun is not run again, and nothing is lost", async () => {
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 7 } }).remote(0);
  const { pid } = await where(ledger);
  await ray.get(ledger.cut.remote());
  // It runs for longer than its owner waits for news of a broken connection.
  const late = ledger.writeLate.remote("late", 3000);
  const more = Array.from({ length: 20 }, (_, i) => ledger.write.remote(`line ${i}`));
  assert.deepEqual(
    await ray.get([late, ...more]),
    Array.from({ length: 21 }, (_, i) => i),
  );
  assert.equal((await ray.get(ledger.read.remote())).lines.length, 21);
  assert.equal((await where(ledger)).pid, pid, "it was not started again");
});

test("control is killed, and then its worker: it goes on when control is back", async () => {
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 7 } }).remote(0);
  await isExact(ledger, 60, async (i) => {
    if (i !== 30) return;
    const { pid } = await where(ledger);
    process.kill(home.json<{ control: { pid: number } }>("status").control.pid, "SIGKILL");
    process.kill(pid, "SIGKILL");
  });
});

test("its whole node is killed: it goes on elsewhere, with the log; without the node that has its log a detached one is over", async () => {
  const on = (name: string) => ({ resources: { spare: 1, [name]: 1 } });
  const soft = (nodeId: string) => ({ schedulingStrategy: ray.nodeAffinity(nodeId, { soft: true }) });
  const { nodeId, pid } = others.get("b")!;
  const { sessionDir } = nodesHere(home.dir).find((node) => node.nodeId === nodeId)!;
  const ledgers = [0, 300_000].map((size) => RemoteLedger.options({ checkpoint: { everyCalls: 9 }, ...soft(nodeId) }).remote(size));
  for (const ledger of ledgers) assert.equal((await where(ledger)).node, nodeId);
  const options = { ...OPTIONS, ...on("c"), checkpoint: true, lifetime: "detached", name: "without a home" } as const;
  const make = ray.remote(async () => ray.get(ray.remote(Ledger).options(options).remote(0).write.remote("x")), { numCpus: 0, ...on("b") });
  assert.equal(await ray.get(make.remote()), 0);
  const homeless = await ray.getActor<typeof Ledger>("without a home");
  assert.equal(await ray.get(homeless.write.remote("y")), 1);
  let killed = false;
  const exact = ledgers.map((ledger) =>
    isExact(ledger, 50, async (i) => {
      await tick();
      if (i === 25 && !killed) killed = process.kill(pid, "SIGKILL");
    }),
  );
  await Promise.all(exact);
  for (const ledger of ledgers) assert.notEqual((await where(ledger)).node, nodeId);
  const over = await rejectionOf(ray.get(homeless.write.remote("z")));
  assert.ok(over instanceof ray.ActorDiedError, String(over));
  assert.match(over.message, /the checkpoints and the log of actor Ledger/);
  // It clears away what the killed one has left.
  addNode("d");
  await waitUntil(() => !fs.existsSync(sessionDir), "what the killed one has left is gone");
});
