/** The first five minutes: a function becomes a task, a class becomes an actor. */
import * as ray from "mobula";

await ray.init();

// A task. `.remote()` returns at once, with a reference to the result.
const square = ray.remote((x: number) => x * x);
const refs = [0, 1, 2, 3].map((x) => square.remote(x));
console.log(await ray.get(refs));

// An actor: an object that lives in a process of its own and is called from anywhere.
class Counter {
  #n = 0;
  increment(by = 1) {
    return (this.#n += by);
  }
  read() {
    return this.#n;
  }
}
const RemoteCounter = ray.remote(Counter);
const counter = RemoteCounter.remote();
for (let i = 0; i < 10; i++) counter.increment.remote();
console.log("counted to", await ray.get(counter.read.remote()));

// A reference can be an argument: the value goes from task to task without passing through here.
const sum = ray.remote((a: number, b: number) => a + b);
console.log("3² + 2² =", await ray.get(sum.remote(square.remote(3), square.remote(2))));

await ray.shutdown();
