/** A process that is in the middle of writing an object, and stays there. Started, and killed, by a test. */
import { joinStore } from "./harness.ts";

const [sessionDir = "", size = "0"] = process.argv.slice(2);
const member = await joinStore(sessionDir);
// One of each: sealed and announced, in a slab, in a block of its own.
member.put(new Uint8Array(1000));
const small = member.client.create(member.nextId(), 1000);
small.write(0, new Uint8Array(500));
const large = member.client.create(member.nextId(), Number(size));
large.write(0, new Uint8Array(Number(size) / 2).fill(1));
new Uint8Array(large.view(0, Number(size))).fill(2, Number(size) / 2);
const stats = await member.stats();
process.stdout.write(`${JSON.stringify({ ...stats, processId: member.processId })}\n`);
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
