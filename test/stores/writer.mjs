/**
 * A process that writes to a control store until it is killed, and says on stdout which numbers were acknowledged. Write `i`
 * sets `last` and `k<i mod 97>` to `i` at once, so that what is found later can be checked (kills.ts). It is plain
 * JavaScript over dist/, because it is started many times.
 *
 *   node writer.mjs '{"kind":"durable","folder":"..."}' FIRST
 */
import fs from "node:fs";
import { createControlStore } from "../../dist/runtime/stores/index.js";

const store = createControlStore(JSON.parse(process.argv[2]));
store.onLost = (error) => {
  console.error(error.message);
  process.exit(3);
};
await store.open({ waitMs: 10_000, holder: `writer ${process.pid}` });
fs.writeSync(1, "ready\n");
let next = Number(process.argv[3]);
const KEYS = 97;

/** Several callers at once, so that commits hold more than one write. */
async function caller() {
  for (;;) {
    const i = next++;
    const padding = "x".repeat((i * 37) % 600);
    await store.write([
      { table: "n", key: "last", value: Buffer.from(`${i}`) },
      { table: "n", key: `k${i % KEYS}`, value: Buffer.from(`${i} ${padding}`) },
    ]);
    fs.writeSync(1, `${i}\n`);
  }
}
await Promise.all(Array.from({ length: 8 }, caller));
