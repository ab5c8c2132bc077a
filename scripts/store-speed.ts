/** Prints how fast the object store is on this machine; asserts nothing. Run: node --import tsx scripts/store-speed.ts */
import { Daemon, MIB, backends, collected, pattern } from "../test/store/harness.ts";
import type { Member } from "../test/store/harness.ts";
import type { ObjectId } from "../src/protocol/ids.ts";

const median = (times: number[]): number => times.sort((x, y) => x - y)[Math.floor(times.length / 2)] ?? NaN;
const print = (what: string, value: number, unit: string) => console.log(`  ${what.padEnd(58)}${value.toFixed(2).padStart(10)} ${unit}`);

async function timed(count: number, run: (i: number) => unknown): Promise<number[]> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await run(i);
    times.push(performance.now() - start);
  }
  return times;
}

async function small(member: Member): Promise<void> {
  const bytes = pattern(1000, 1);
  const ids: ObjectId[] = [];
  const start = performance.now();
  for (let i = 0; i < 20_000; i++) ids.push(member.put(bytes));
  print("create, write and seal 1,000 bytes", ((performance.now() - start) / 20_000) * 1000, "us");
  await member.stats();
  print("read 1,000 bytes, one after another", median(await timed(2000, (i) => member.client.read(ids[i]!))) * 1000, "us");
  member.free(...ids);
  await member.stats();
}

async function middle(member: Member): Promise<void> {
  const id = member.put(pattern(MIB, 2));
  await member.stats();
  print("read 1 MiB", median(await timed(500, () => member.client.read(id))) * 1000, "us");
  let sum = 0;
  const touch = async () => {
    const { bytes } = await member.client.read(id);
    for (let at = 0; at < bytes.length; at += 4096) sum += bytes[at]!;
  };
  print("read 1 MiB and touch every page", median(await timed(500, touch)) * 1000, "us");
  const source = new Uint8Array(MIB).fill(sum);
  print("  for comparison: copy 1 MiB to fresh memory", median(await timed(500, () => new Uint8Array(MIB).set(source))) * 1000, "us");
  const ask = () => member.client.create(member.nextId(), 2 * MIB).abort();
  print("create that has to ask (2 MiB, then aborted)", median(await timed(500, ask)) * 1000, "us");
  member.free(id);
  await collected(async () => (await member.stats()).used === 0);
}

async function large(member: Member): Promise<void> {
  const bytes = new Uint8Array(800 * MIB).fill(3);
  const rate = (ms: number) => 800 / 1024 / (ms / 1000);
  for (const what of ["fresh", "warm", "warm"]) {
    const start = performance.now();
    const id = member.put(bytes);
    print(`put 800 MiB on ${what} memory`, rate(performance.now() - start), "GiB/s");
    await member.stats();
    member.free(id);
    await member.stats();
  }
  const other = new Uint8Array(800 * MIB).fill(1);
  print("  for comparison: plain copy of 800 MiB", rate(median(await timed(3, () => other.set(bytes)))), "GiB/s");
}

for (const backend of backends) {
  const daemon = await Daemon.start({ backend, capacityBytes: 2048 * MIB });
  try {
    console.log(`${backend}:`);
    const member = await daemon.join();
    await small(member);
    await middle(member);
    await large(member);
  } finally {
    await daemon.stop();
  }
}
