/** Actors keep state between calls: each is a process, calls from one caller run in the order in which they were made. */
import * as ray from "mobula";

class Counter {
  readonly name: string;
  #count = 0;
  constructor(name: string) {
    this.name = name;
  }
  increment() {
    this.#count++;
    return this.#count;
  }
  report() {
    return `${this.name} counted to ${this.#count}`;
  }
}

// An actor that waits for calls needs no processor of its own, so more of them than processors can live at once.
const RemoteCounter = ray.remote(Counter);
const counters = ["anna", "berta", "clara"].map((name) => RemoteCounter.remote(name));

// Nothing here waits: thirty calls are on their way before the first has run.
counters.forEach((counter, i) => {
  for (let n = 0; n < 5 * (i + 1); n++) counter.increment.remote();
});

for (const line of await ray.get(counters.map((counter) => counter.report.remote()))) console.log(line);

// A handle is a value: a task can take one and call the same actor.
const visit = ray.remote(async (counter: ray.ActorHandle<Counter>, times: number) => {
  for (let n = 0; n < times; n++) await ray.get(counter.increment.remote());
});
await ray.get([visit.remote(counters[0]!, 10), visit.remote(counters[0]!, 10)]);
console.log(await ray.get(counters[0]!.report.remote()));

await ray.shutdown();
