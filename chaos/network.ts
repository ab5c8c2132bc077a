/**
 * A program over three hosts whose cables are pulled, or carry one way only, at random and for less time than a death takes: every step
 * is right and done once, and no node is lost. `count` is the number of faults.
 */
import { setTimeout as pause } from "node:timers/promises";
import { clusterOver, Network, whyNoHosts } from "./hosts.ts";
import { Random } from "./random.ts";
import type { Figures, RunOptions } from "./report.ts";

/** A node is dead after five seconds of silence, and a way that was cut is found again up to two seconds late. */
const FAULT_MS = 2_000;

const PROGRAM = `
  const { existsSync } = await import("node:fs");
  const on = (i, more = { maxRetries: 0 }) => ({ resources: { ["host" + i]: 1 }, ...more });
  class Counter { n = 0; add() { return ++this.n; } }
  const counters = [2, 3].map((i) => ray.remote(Counter).options(on(i, { maxTaskRetries: 0 })).remote());
  const kept = on(2, { maxRestarts: 1, maxTaskRetries: -1, checkpoint: { everyCalls: 5 } });
  counters.push(ray.remote(Counter).options(kept).remote());
  const step = ray.remote((x) => x + 1);
  const large = ray.remote((i) => new Uint8Array(300_000).fill(i));
  const first = ray.remote((bytes) => bytes[7]);
  let [x, n, longestMs] = [0, 0, 0];
  for (; !existsSync("over"); n++) {
    const since = performance.now();
    const next = step.options(on(3)).remote(step.options(on(2)).remote(x));
    const made = large.options(on(2 + (n % 2))).remote(n % 250);
    const read = first.options(on(3 - (n % 2))).remote(made);
    const [a, d, ...counts] = await ray.get([next, read, ...counters.map((each) => each.add.remote())]);
    if (a !== x + 2 || d !== n % 250 || counts.some((c) => c !== n + 1)) throw new Error(JSON.stringify([a, d, counts, x, n]));
    x = a;
    longestMs = Math.max(longestMs, performance.now() - since);
    if (n === 0) console.log("running");
  }
  const alive = (await ray.nodes()).filter((node) => node.alive).length;
  console.log("@" + JSON.stringify({ steps: n, alive, longestMs: Math.round(longestMs) }));
  await ray.shutdown();`;

export async function network({ count, seed }: RunOptions): Promise<Figures> {
  const why = whyNoHosts();
  if (why !== undefined) return { failures: [], figures: { skipped: why } };
  const random = new Random(seed);
  const cables = new Network(3);
  try {
    const [started] = await clusterOver(cables.hosts);
    const [head] = cables.hosts as [(typeof cables.hosts)[0]];
    const program = head.program(PROGRAM, { MOBULA_ADDRESS: started!.address }, Infinity);
    const ran: { end?: Awaited<typeof program.ended> } = {};
    void program.ended.then((end) => (ran.end = end));
    while (!program.output().includes("running") && ran.end === undefined) await pause(50);
    for (let i = 0; i < count && ran.end === undefined; i++) {
      const host = random.pick(cables.hosts.slice(1));
      const other = random.pick(cables.hosts.filter((each) => each !== host));
      const pulled = random.chance(0.5);
      const [from, to] = random.chance(0.5) ? [host, other] : [other, host];
      if (pulled) host.plug(false);
      else from.deafen(to, true);
      await pause(random.int(50, FAULT_MS));
      if (pulled) host.plug(true);
      else from.deafen(to, false);
      await pause(random.int(1_000, 2_000));
    }
    head.write(`${head.home}/over`, "");
    const { code, stdout, stderr } = await program.ended;
    const line = stdout.split("\n").find((each) => each.startsWith("@"));
    if (code !== 0 || line === undefined) return { failures: [`the program ended with ${code}: ${stdout}${stderr}`], figures: {} };
    const figures = JSON.parse(line.slice(1)) as { steps: number; alive: number; longestMs: number };
    return { failures: figures.alive === 3 ? [] : [`${figures.alive} of 3 nodes live`], figures: { faults: count, ...figures } };
  } finally {
    cables.end();
  }
}
