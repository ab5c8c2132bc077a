// A whole program, cold: prints how many ms pass from init() to the first result.
import * as ray from "mobula";

const startedAt = performance.now();
await ray.init({ numCpus: 2 });
const result = await ray.get(ray.remote(() => "ok").remote());
const elapsed = performance.now() - startedAt;
if (result !== "ok") throw new Error("the first result is not ok");
console.log(elapsed);
await ray.shutdown();
