/** Its daemon is killed while everything is under way: it says how each wait ended, and starts anew. */
import { readdirSync, readFileSync } from "node:fs";
import * as ray from "mobula";

const hold = ray.remote(async () => {
  await new Promise((resolve) => setTimeout(resolve, 600_000));
});
class Slow {
  here(): void {}
  async hold(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 600_000));
  }
  *items(): Generator<number> {
    for (let i = 0; ; i++) yield i;
  }
}

await ray.init({ numCpus: 2 });
const slow = ray.remote(Slow).remote();
const endless = ray.remote(Slow).remote();
const stored = ray.put(new Uint8Array(1 << 20));
const items = endless.items.remote();
await items.next();
// Once both actors are placed: tasks that never end may take every CPU.
await ray.get(slow.here.remote());
const refs = [hold.remote(), slow.hold.remote(), hold.options({ numCpus: 2 }).remote()];
const waits: Record<string, Promise<unknown>> = {
  task: ray.get(refs[0]!),
  actor: ray.get(refs[1]!),
  queued: ray.get(refs[2]!),
  wait: ray.wait(refs, { numReturns: 3 }).then(([ready]) => Promise.reject(new Error(`${ready.length} are ready`))),
  stream: (async () => {
    for await (const item of items) await ray.get(item);
  })(),
};
for (const wait of Object.values(waits)) wait.catch(() => {});

for (const name of readdirSync("/proc").filter((each) => /^\d+$/.test(each))) {
  let stat = "";
  let command = "";
  try {
    stat = readFileSync(`/proc/${name}/stat`, "latin1");
    command = readFileSync(`/proc/${name}/cmdline`, "latin1");
  } catch {
    continue; // It ended meanwhile.
  }
  const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  if (parent === process.pid && /daemon\/main/.test(command)) process.kill(Number(name), "SIGKILL");
}
const killedAt = performance.now();
const later: Record<string, () => Promise<unknown>> = {
  "later call": () => ray.get(slow.hold.remote()),
  "later get": () => ray.get(stored),
  "later question": () => ray.availableResources(),
};
const say = async (name: string, wait: Promise<unknown>): Promise<void> => {
  const [end] = await Promise.allSettled([wait]);
  const { reason } = end as PromiseRejectedResult;
  console.log(`${name}: ${end.status === "rejected" ? `${(reason as Error).name}: ${(reason as Error).message}` : "ended well"}`);
};
for (const [name, wait] of Object.entries(waits)) await say(name, wait);
for (const [name, wait] of Object.entries(later)) await say(name, (async () => wait())());
console.log(`all ended within ${Math.round(performance.now() - killedAt)} ms`);
await ray.shutdown();
await ray.init({ numCpus: 1 });
console.log(`anew: ${await ray.get(ray.remote(() => 42).remote())}`);
await ray.shutdown();
