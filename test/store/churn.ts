/** A process that puts, reads and frees at random, and checks what it reads. Started by a test, several at a time. */
import assert from "node:assert/strict";
import { joinStore, pattern, random } from "./harness.ts";
import type { ObjectId } from "../../src/protocol/ids.ts";

const [sessionDir = "", seed = "1", steps = "1000", largest = "100000"] = process.argv.slice(2);
const member = await joinStore(sessionDir);
const next = random(Number(seed));
const content = pattern(Number(largest), Number(seed));
const alive: { id: ObjectId; from: number; size: number }[] = [];

const free = (index: number) => {
  member.free(alive[index]!.id);
  alive[index] = alive.at(-1)!;
  alive.pop();
};

for (let step = 0; step < Number(steps); step++) {
  const what = next();
  if (alive.length < 5 || (what < 0.5 && alive.length < 200)) {
    // Mostly small, some large.
    const size = Math.floor(Number(largest) * next() ** 6);
    const from = Math.floor(next() * (Number(largest) - size));
    const object = what < 0.25 ? member.client.create(member.nextId(), size) : await member.client.createAsync(member.nextId(), size);
    if (next() < 0.1) object.abort();
    else {
      object.write(0, content.subarray(from, from + size));
      object.seal(member.processId, []);
      alive.push({ id: object.id, from, size });
    }
  } else if (what < 0.7) {
    const { id, from, size } = alive[Math.floor(next() * alive.length)]!;
    const { bytes } = await member.client.read(id);
    assert.ok(Buffer.compare(bytes, content.subarray(from, from + size)) === 0, `${id} reads as it was written`);
    bytes.fill(0);
  } else free(Math.floor(next() * alive.length));
}
while (alive.length > 0) free(0);
await member.stats();
// As a worker that dies would: nothing is said about slabs and pins.
process.exit(0);
