/** Ask five, take the first two answers, call the others off. */
import * as ray from "mobula";

/** Mirrors 1 and 3 answer; the others are stuck until somebody tells them to stop. */
async function fetchFrom(mirror: number): Promise<string> {
  if (mirror === 1 || mirror === 3) return `mirror ${mirror} answered`;
  const { signal } = ray.getRuntimeContext();
  await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
  return "never";
}

// A task that mostly waits asks for a fraction of a processor, so that all five run at once.
const ask = ray.remote(fetchFrom, { numCpus: 0.1 });
const asked = [0, 1, 2, 3, 4].map((mirror) => ask.remote(mirror));

const [ready, pending] = await ray.wait(asked, { numReturns: 2 });
for (const answer of await ray.get(ready)) console.log(answer);

await Promise.all(pending.map((ref) => ray.cancel(ref)));
const ends = await Promise.allSettled(pending.map((ref) => ray.get(ref)));
for (const end of ends) console.log("called off:", end.status === "rejected" ? (end.reason as Error).name : "no, it answered");

// A wait that can take too long says how long it may.
const stuck = ask.remote(0);
const [none, still] = await ray.wait([stuck], { timeoutMs: 50 });
console.log(`after 50 ms: ${none.length} ready, ${still.length} pending`);
await ray.cancel(stuck);

await ray.shutdown();
