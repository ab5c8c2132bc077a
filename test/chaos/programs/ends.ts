/** A program with work under way that ends in the way that its argument names, or waits to be ended from outside. */
import path from "node:path";
import * as ray from "mobula";

const how = process.argv[2]!;

const spin = ray.remote(() => {
  for (;;);
});
const hold = ray.remote(async () => {
  await new Promise((resolve) => setTimeout(resolve, 600_000));
});
class Held {
  readonly array = new Float64Array(100_000);
  size(): number {
    return this.array.length;
  }
}
const RemoteHeld = ray.remote(Held);
const stored: unknown[] = [];

console.log("starting");
const cluster = await ray.init({ numCpus: 2, objectStoreMemory: 64 << 20 });
if (how === "busy") {
  const refs = [spin.remote(), spin.remote()];
  await ray.wait(refs, { timeoutMs: 1_000 });
} else {
  hold.remote();
  const held = RemoteHeld.remote();
  stored.push(held, await ray.get(held.size.remote()));
  // More than the store has, so that some lies on disk.
  for (let i = 0; i < 12; i++) stored.push(ray.put(new Uint8Array(8 << 20).fill(i)));
}
console.log(`ready in ${path.dirname(cluster.address)}`);
switch (how) {
  case "return":
    break;
  case "throw":
    throw new Error("the end");
  case "reject":
    void Promise.reject(new Error("the end"));
    break;
  case "exit":
    process.exit(3);
    break;
  case "put":
    for (;;) {
      stored.push(ray.put(new Uint8Array(1 << 20)));
      if (stored.length > 100) stored.splice(20, 60);
      await new Promise((resolve) => setImmediate(resolve));
    }
  default:
    setInterval(() => {}, 1000);
}
if (how === "return") await ray.shutdown();
