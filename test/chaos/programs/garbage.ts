/** Writes bytes to the sockets of its own cluster that mean nothing there, and sees that work goes on. */
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import * as ray from "mobula";

const cluster = await ray.init({ numCpus: 2 });
class Counter {
  #n = 0;
  next(): number {
    return ++this.#n;
  }
}
const counter = ray.remote(Counter).remote();
const square = ray.remote((x: number) => x * x);
await ray.get([counter.next.remote(), square.remote(1)]);

const header = (length: number, code: number): Buffer => {
  const bytes = Buffer.alloc(5);
  bytes.writeUInt32LE(length, 0);
  bytes[4] = code;
  return bytes;
};
const GARBAGE: readonly Buffer[] = [
  randomBytes(100),
  Buffer.concat([header(1 << 29, 129), randomBytes(99)]), // The start of a push that would be long.
  randomBytes(100_000),
  Buffer.alloc(64),
  Buffer.from("GET / HTTP/1.1\r\n\r\n"),
  header(0xffff_ffff, 1),
  header(0xffff_ffff, 128),
  Buffer.concat([header(10, 1), randomBytes(9)]),
  Buffer.concat([header(10, 100), randomBytes(9)]),
  Buffer.concat([header(10, 128), randomBytes(9)]),
  Buffer.concat([header(1, 10)]),
  Buffer.concat([header(1, 250)]),
];

/** Resolves when the other side has closed the connection. */
function closed(path: string, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => socket.write(bytes));
    const timer = setTimeout(() => reject(new Error(`${path} did not close after ${bytes.subarray(0, 20).toString("hex")}`)), 60_000);
    socket.on("error", () => {}); // A reset is a close too.
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

const folder = dirname(cluster.address);
const sockets = readdirSync(folder).filter((name) => name.endsWith(".sock"));
let count = 0;
for (const name of sockets) {
  for (const bytes of GARBAGE) {
    await closed(`${folder}/${name}`, bytes);
    count++;
    const ends = await ray.get([counter.next.remote(), square.remote(7)], { timeoutMs: 60_000 });
    if (ends[0] !== count + 1 || ends[1] !== 49) throw new Error(`after ${count} connections: ${ends.join()}`);
  }
}
console.log(`all ${count} connections were closed, and all goes on`);
await ray.shutdown();
