/** An owner and workers of another node, over TCP: with TLS and without, and everything that may go wrong on the way. */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { inspect } from "node:util";
import { get, remote } from "../../src/api/index.ts";
import "../../src/index.ts";
import { ActorUnavailableError, NodeDiedError, WorkerCrashedError } from "../../src/errors/index.ts";
import { prefixOf } from "../../src/protocol/ids.ts";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { Across } from "./across.ts";
import type { Cable } from "./across.ts";

const LIMIT = { timeout: 120_000 };

const twice = remote((x: number) => 2 * x);

/** Leaves a mark that it has begun; the first time it then stays, or ends its process. */
const stays = remote(async (folder: string, ends: boolean) => {
  const { existsSync: exists, writeFileSync } = await import("node:fs");
  const mark = `${folder}/begun`;
  if (exists(mark)) return "again";
  writeFileSync(mark, "");
  if (ends) process.kill(process.pid, "SIGKILL");
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  return "never";
});

class Counter {
  #n = 0;
  add(): number {
    return ++this.#n;
  }
  async stay(folder: string): Promise<void> {
    const { existsSync: exists, writeFileSync } = await import("node:fs");
    this.#n++;
    writeFileSync(`${folder}/begun`, "");
    while (!exists(`${folder}/end`)) await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** For work on a worker that nobody has reached yet. */
let fresh = 0;
const anew = (): { runtimeEnv: { envVars: Record<string, string> } } => ({ runtimeEnv: { envVars: { FRESH: String(fresh++) } } });

const begun = (folder: string): Promise<unknown> => waitUntil(() => existsSync(join(folder, "begun")), "it runs");

/** The next worker that is reached is reached through a cable. */
function cabled(pair: Across): { cable?: Cable } {
  const found: { cable?: Cable } = {};
  pair.changeReach = (reach) => {
    found.cable ??= pair.cable(reach);
    return { ...reach, port: found.cable.port };
  };
  return found;
}

async function works(): Promise<void> {
  const numbers = Array.from({ length: 300 }, (_, i) => i);
  const doubled = numbers.map((i) => 2 * i);
  assert.deepEqual(await get(numbers.map((i) => twice.remote(i))), doubled);
  assert.equal(await get(twice.remote(twice.remote(4))), 16);
  const big = await get(remote((size: number) => new Uint8Array(size).fill(7)).remote(60_000));
  assert.equal(big.every((each) => each === 7) && big.length, 60_000);
  const counter = remote(Counter).remote();
  const counted = numbers.map((i) => i + 1);
  assert.deepEqual(await get(numbers.map(() => counter.add.remote())), counted);
}

async function wrongTicket(pair: Across): Promise<void> {
  const ticket = "a".repeat(43);
  pair.changeReach = (reach) => ({ ...reach, ticket });
  const returns = pair.saidOf("leaseReturn").length;
  const failed = get(twice.options({ ...anew(), maxRetries: 0 }).remote(1));
  await assert.rejects(failed, (error: Error) => {
    assert.ok(error instanceof WorkerCrashedError, inspect(error));
    assert.match(error.message, /was not executed.*could not be reached/s);
    assert.ok(![ticket, ...pair.reaches.map((reach) => reach.ticket)].some((each) => inspect(error, { depth: 9 }).includes(each)));
    return true;
  });
  await waitUntil(() => pair.saidOf("leaseReturn").length > returns, "the lease is given back");
}

async function killed(_pair: Across, t: TestContext): Promise<void> {
  await assert.rejects(get(stays.options({ ...anew(), maxRetries: 0 }).remote(freshFolder(t), true)), WorkerCrashedError);
  assert.equal(await get(stays.options({ ...anew(), maxRetries: 1 }).remote(freshFolder(t), true)), "again");
}

async function garbage(pair: Across): Promise<void> {
  await get(twice.options(anew()).remote(1));
  const { port } = pair.reaches.at(-1)!;
  const said = ["GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x05hello", "\0".repeat(100_000), "mobula", ""];
  const sockets = said.map((text) => {
    const socket = connect(port, "127.0.0.1", () => void socket.write(text));
    return socket.on("error", () => {}).resume();
  });
  await waitUntil(() => sockets.slice(0, 3).every((socket) => socket.destroyed), "what is no handshake is cut off");
  assert.equal(await get(twice.remote(3)), 6);
  sockets.forEach((socket) => socket.destroy());
}

async function cutUnderTask(pair: Across, t: TestContext): Promise<void> {
  const found = cabled(pair);
  const folder = freshFolder(t);
  const result = get(stays.options({ ...anew(), maxRetries: 1 }).remote(folder, false));
  await begun(folder);
  pair.changeReach = (reach) => reach;
  found.cable!.cut();
  assert.equal(await result, "again");
}

async function cutUnderActor(pair: Across, t: TestContext): Promise<void> {
  const found = cabled(pair);
  const folder = freshFolder(t);
  const counter = remote(Counter).options(anew()).remote();
  const lost = get(counter.stay.remote(folder));
  lost.catch(() => {});
  await begun(folder);
  found.cable!.cut();
  await assert.rejects(lost, (error: Error) => {
    assert.ok(error instanceof ActorUnavailableError, inspect(error));
    assert.equal(error.outcome, "unknown");
    assert.match(error.message, /cannot be reached/);
    return true;
  });
  writeFileSync(join(folder, "end"), "");
  // The same actor, by another connection.
  assert.equal(await get(counter.add.remote()), 2);
  assert.equal(found.cable!.connections, 2);
}

async function halfOpen(pair: Across): Promise<void> {
  const found = cabled(pair);
  const change = pair.changeReach;
  pair.changeReach = (reach) => {
    const moved = change(reach);
    found.cable!.dead = true;
    return moved;
  };
  const since = performance.now();
  const failed = get(twice.options({ ...anew(), maxRetries: 0 }).remote(1));
  await assert.rejects(failed, (error: Error) => {
    assert.ok(error instanceof WorkerCrashedError, inspect(error));
    assert.match(error.message, /could not be reached.*did not answer the handshake/s);
    return true;
  });
  assert.ok(performance.now() - since < 30_000);
}

async function slowCable(pair: Across): Promise<void> {
  const found = cabled(pair);
  const change = pair.changeReach;
  pair.changeReach = (reach) => {
    const moved = change(reach);
    // Nobody is there at first.
    found.cable!.close();
    setTimeout(() => found.cable!.listen(), 300);
    return moved;
  };
  assert.equal(await get(twice.options({ ...anew(), maxRetries: 0 }).remote(1)), 2);
}

async function stored(pair: Across): Promise<void> {
  const ref = remote(() => new Uint8Array(2_000_000)).remote();
  await waitUntil(() => pair.saidOf("objectSettle").length > 0, "the home of a stored result is told who has it");
  const [{ id, payload, by }] = pair.saidOf("objectSettle") as [never, ...never[]];
  assert.deepEqual(payload, { kind: "stored", id, size: (payload as { size: number }).size });
  assert.equal(prefixOf(by), prefixOf(pair.there.nodeId));
  void ref;
}

async function nodeLost(pair: Across, t: TestContext): Promise<void> {
  const found = cabled(pair);
  const folder = freshFolder(t);
  const result = get(stays.options({ ...anew(), maxRetries: 0 }).remote(folder, false));
  await begun(folder);
  assert.equal(found.cable!.open, 1);
  pair.tell("nodeLost", { prefix: prefixOf(pair.there.nodeId), reason: { cause: "node-died", message: "it is silent" } });
  await assert.rejects(result, NodeDiedError);
  await waitUntil(() => found.cable!.open === 0, "the way to its worker is closed");
}

const cases = { works, garbage, killed, wrongTicket, stored, slowCable, cutUnderTask, cutUnderActor, halfOpen, nodeLost };

for (const how of ["without TLS", "with TLS"]) {
  test(`${how}: an owner and workers of another node, and what may go wrong between them`, LIMIT, async (t) => {
    const tls = how === "with TLS";
    const pair = await Across.start(tls);
    t.after(() => pair.end());
    const names = tls ? (["works", "garbage", "killed", "wrongTicket"] as const) : (Object.keys(cases) as (keyof typeof cases)[]);
    for (const name of names) {
      await t.test(name, async (part) => {
        pair.changeReach = (reach) => reach;
        await cases[name](pair, part);
        assert.ok(pair.reaches.every((reach) => reach.tls === tls));
      });
    }
  });
}
