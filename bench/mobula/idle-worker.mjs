// Prints how much memory a worker holds that has run one task and waits for the next, in MB (resident).
import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import * as ray from "mobula";

await ray.init({ numCpus: 2 });
const pid = await ray.get(ray.remote(() => process.pid).remote());
await setTimeout(1000);
console.log(Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "latin1"))[1]) / 1000);
await ray.shutdown();
