/**
 * `npm run cost`: what one tiny call costs each process, in microseconds of processor time, and the driver in bytes, system calls and
 * promises. Processor time is the kernel's own count, so it holds on a busy machine, where the time on the clock does not.
 *
 *   npm run cost                  every case
 *   npm run cost -- batch sync    these
 *
 * Not a comparison: the benchmarks are that.
 */
import fs from "node:fs";
import { Socket } from "node:net";
import { promiseHooks } from "node:v8";
import * as ray from "mobula";

const ROUNDS = 5;
const ROUND_MS = 300;
const WARM_MS = 2_000;
const BATCH = 1_000;

interface Case {
  readonly calls: number;
  readonly run: () => Promise<unknown>;
}

class Target {
  value(): number {
    return 0;
  }
  async later(): Promise<number> {
    return 0;
  }
}

const tiny = ray.remote(() => 0);
const echo = ray.remote((x: number) => x);
const next = ray.remote((x: number) => x + 1);

function batch(call: (i: number) => ray.ObjectRef<unknown>): Case {
  return { calls: BATCH, run: () => ray.get(Array.from({ length: BATCH }, (_, i) => call(i))) };
}

function oneByOne(call: () => ray.ObjectRef<unknown>): Case {
  const run = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) await ray.get(call());
  };
  return { calls: 100, run };
}

async function chain(): Promise<void> {
  let ref = next.remote(0);
  for (let i = 1; i < BATCH; i++) ref = next.remote(ref);
  await ray.get(ref);
}

async function waits(): Promise<void> {
  let left = Array.from({ length: BATCH }, () => tiny.remote());
  while (left.length > 0) [, left] = await ray.wait(left);
}

function cases(): Record<string, Case> {
  const one = ray.remote(Target, { numCpus: 0 }).remote();
  const crowd = ray.remote(Target, { numCpus: 0, maxConcurrency: 1000 }).remote();
  return {
    batch: batch(() => tiny.remote()),
    arguments: batch((i) => echo.remote(i * 1000)),
    sync: oneByOne(() => tiny.remote()),
    actor: batch(() => one.value.remote()),
    "actor-sync": oneByOne(() => one.value.remote()),
    "actor-async": batch(() => crowd.later.remote()),
    chain: { calls: BATCH, run: chain },
    wait: { calls: BATCH, run: waits },
  };
}

/** Processor time of a process so far, microseconds. */
function cpuOf(pid: number): number {
  let sum = 0;
  for (const task of fs.readdirSync(`/proc/${pid}/task`)) {
    sum += Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, "utf8").split(" ")[0]) / 1000;
  }
  return sum;
}

function childrenOf(pid: number): number[] {
  const lists = fs.readdirSync(`/proc/${pid}/task`).map((task) => fs.readFileSync(`/proc/${pid}/task/${task}/children`, "utf8"));
  return lists.flatMap((list) => list.split(" ").filter(Boolean).map(Number));
}

const count = { writes: 0, written: 0, reads: 0, read: 0, promises: 0 };

/** Counts what passes through the sockets of this process. Only while a case runs; it costs a little itself. */
function counted(): () => void {
  const { write, emit } = Socket.prototype;
  Socket.prototype.write = function (this: Socket, ...args: [Buffer]) {
    count.writes++;
    count.written += args[0].length;
    return write.apply(this, args);
  } as typeof write;
  Socket.prototype.emit = function (this: Socket, ...args: [string, Buffer]) {
    if (args[0] === "data") count.reads++;
    if (args[0] === "data") count.read += args[1].length;
    return Reflect.apply(emit, this, args);
  } as typeof emit;
  const stop = promiseHooks.onInit(() => count.promises++) as () => void;
  return () => {
    stop();
    Socket.prototype.write = write;
    Socket.prototype.emit = emit;
  };
}

async function during(ms: number, each: Case): Promise<number> {
  const end = performance.now() + ms;
  let calls = 0;
  for (; performance.now() < end; calls += each.calls) await each.run();
  return calls;
}

const median = (list: number[]): string =>
  list
    .toSorted((a, b) => a - b)
    [list.length >> 1]!.toFixed(2)
    .padStart(8);

async function measure(name: string, each: Case, daemon: number): Promise<void> {
  await during(WARM_MS, each);
  const rows: Record<string, number[]> = { clock: [], driver: [], workers: [], daemon: [] };
  const snapshot = (): Record<string, number> => ({
    clock: performance.now() * 1000,
    driver: cpuOf(process.pid),
    workers: [...childrenOf(daemon), first!].reduce((sum, pid) => sum + cpuOf(pid), 0),
    daemon: cpuOf(daemon),
  });
  for (let i = 0; i < ROUNDS; i++) {
    const before = snapshot();
    const calls = await during(ROUND_MS, each);
    const after = snapshot();
    for (const [key, list] of Object.entries(rows)) list.push((after[key]! - before[key]!) / calls);
  }
  Object.assign(count, { writes: 0, written: 0, reads: 0, read: 0, promises: 0 });
  const stop = counted();
  const calls = await during(ROUND_MS, each);
  stop();
  const per = (n: number): string => (n / calls).toFixed(n / calls < 10 ? 3 : 1).padStart(8);
  const times = Object.values(rows).map(median).join("");
  console.log(name.padEnd(12) + times + [count.writes, count.reads, count.written, count.read, count.promises].map(per).join(""));
}

await ray.init({ numCpus: 2, logToDriver: false });
const known = cases();
const chosen = process.argv.slice(2);
for (const name of chosen) if (!(name in known)) throw new Error(`no case ${name}: ${Object.keys(known).join(", ")}`);
// The first worker is started before its daemon.
const [first, daemon] = childrenOf(process.pid);
console.log(
  "microseconds a call, on the clock and of processor time; writes, reads, bytes out, bytes in and promises of the driver a call",
);
console.log(`${"".padEnd(12)}   clock  driver workers  daemon  writes   reads     out      in promises`);
for (const [name, each] of Object.entries(known)) if (chosen.length === 0 || chosen.includes(name)) await measure(name, each, daemon!);
await ray.shutdown();
