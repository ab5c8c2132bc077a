/** The option `checkpoint` of actors: what became of their state and of every call when their worker is killed, whenever that is. */
import assert from "node:assert/strict";
import fs from "node:fs";
import { test } from "node:test";
import * as ray from "mobula";
import { collectGarbage, counts, objectStore } from "mobula/state";
import { freshFolder, waitUntil } from "../harness/index.ts";
import { rejectionOf, sharedCluster } from "./cluster.ts";

sharedCluster({ numCpus: 2 });

const FOR_EVER = { numCpus: 0, maxRestarts: -1, maxTaskRetries: -1 };
const notes = (folder: string, name: string): number =>
  fs.existsSync(`${folder}/${name}`) ? fs.readFileSync(`${folder}/${name}`).length : 0;

/** Every call adds a line; what it returns is the place of its line. */
class Ledger {
  readonly folder: string;
  readonly lines: string[] = [];
  readonly values: unknown[] = [];
  readonly places = new Map<string, number>();
  sums = new Float64Array(2);
  constructor(folder: string) {
    this.folder = folder;
    this.note("made");
  }
  note(name: string): void {
    fs.appendFileSync(`${this.folder}/${name}`, "x");
  }
  write(line: string, value?: unknown): number {
    this.note("runs");
    this.values.push(value);
    this.places.set(line, this.lines.length);
    this.sums[0]! += 1;
    return this.lines.push(line) - 1;
  }
  async writeSlowly(line: string, value?: unknown): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, 2));
    return this.write(line, value);
  }
  /** Its node has the call when its process dies; which it does once, not when the call is run again. */
  writeAndDieLater(line: string): number {
    if (!fs.existsSync(`${this.folder}/${line}`)) setImmediate(() => setImmediate(() => process.kill(process.pid, "SIGKILL")));
    fs.writeFileSync(`${this.folder}/${line}`, "");
    return this.write(line);
  }
  writeAndDie(line: string): number {
    this.write(line);
    process.kill(process.pid, "SIGKILL");
    for (;;);
  }
  refuse(line: string): never {
    throw new RangeError(String(this.write(line)));
  }
  *each(): Generator<string> {
    yield* this.lines;
  }
  read(): { lines: string[]; places: Map<string, number>; sum: number } {
    return { lines: this.lines, places: this.places, sum: this.sums[0]! };
  }
  valueOf(place: number): { value: unknown } {
    return { value: this.values[place] };
  }
  openSocket(): void {
    this.values.push(process.stdout);
  }
  pid(): number {
    return process.pid;
  }
}
const RemoteLedger = ray.remote(Ledger, FOR_EVER);

const pidOf = (handle: ray.ActorHandle<Ledger>): Promise<number | undefined> => ray.get(handle.pid.remote()).catch(() => undefined);

async function restarted(handle: ray.ActorHandle<Ledger>, before: number | undefined): Promise<void> {
  await waitUntil(async () => ![before, undefined].includes(await pidOf(handle)), "it is back, in another process");
}

/** Every line that somebody was told a place of is there, each once. */
async function checkLines(handle: ray.ActorHandle<Ledger>, told: ReadonlyMap<string, number>): Promise<string[]> {
  const { lines, places, sum } = await ray.get(handle.read.remote());
  assert.equal(new Set(lines).size, lines.length, "no line is there twice");
  assert.deepEqual(places, new Map(lines.map((line, place) => [line, place])));
  assert.equal(sum, lines.length);
  for (const [line, place] of told) assert.equal(lines[place], line);
  return lines;
}

test("checkpoint: killed at any time, with several callers and refs as arguments, it is as if nothing had happened", async (t) => {
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 7 } }).remote(freshFolder(t));
  const write = ray.remote(
    async (target: ray.ActorHandle<Ledger>, name: string, count: number): Promise<[string, number][]> => {
      const refs = Array.from({ length: count }, (_, i) => target.writeSlowly.remote(`${name} ${i}`, { inside: ray.put(`${name} ${i}`) }));
      const places = await ray.get(refs);
      return places.map((place, i) => [`${name} ${i}`, place]);
    },
    { numCpus: 0 },
  );
  const others = [write.remote(ledger, "a", 80), write.remote(ledger, "b", 80)];
  const large = ray.put(new Float64Array(50_000).fill(7));
  const own: [string, ray.ObjectRef<number>][] = [];
  for (let i = 0; i < 80; i++) {
    own.push([`own ${i}`, ledger.writeSlowly.remote(`own ${i}`, i % 10 === 0 ? large : i)]);
    if (i % 30 === 20) {
      await ray.get(own[i - 15]![1]);
      await ray.kill(ledger, { noRestart: false });
    }
  }
  const told = new Map<string, number>();
  for (const [line, ref] of own) told.set(line, await ray.get(ref));
  for (const places of await ray.get(others)) for (const [line, place] of places) told.set(line, place);
  const lines = await checkLines(ledger, told);
  assert.equal(lines.length, 240);
  for (const name of ["a", "b", "own"]) {
    const mine = lines.filter((line) => line.startsWith(`${name} `));
    assert.deepEqual(
      mine,
      Array.from({ length: 80 }, (_, i) => `${name} ${i}`),
      "calls of one caller are in their order",
    );
  }
  // What came as an argument is there, also what its maker has let go of.
  const inside = (await ray.get(ledger.valueOf.remote(told.get("a 17")!))).value as { inside: ray.ObjectRef<string> };
  assert.equal(await ray.get(inside.inside), "a 17");
  const array = (await ray.get(ledger.valueOf.remote(told.get("own 10")!))).value as Float64Array;
  assert.deepEqual([array.length, array[49_999]], [50_000, 7]);
});

test("checkpoint: a call that has ended is told its result though its actor died before it could say so", async (t) => {
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 100 }, maxTaskRetries: 0 }).remote(freshFolder(t));
  const before = await pidOf(ledger);
  assert.equal(await ray.get(ledger.write.remote("first")), 0);
  assert.equal(await ray.get(ledger.writeAndDieLater.remote("second")), 1);
  await restarted(ledger, before);
  const refused = (await rejectionOf(ray.get(ledger.refuse.remote("third")))) as ray.TaskError;
  assert.equal((refused.cause as Error).message, "2");
  await checkLines(
    ledger,
    new Map([
      ["second", 1],
      ["third", 2],
    ]),
  );
});

test("checkpoint: a call that had not ended has left nothing behind, and says that it failed", async (t) => {
  const ledger = RemoteLedger.options({ checkpoint: true, maxTaskRetries: 0 }).remote(freshFolder(t));
  const first = ledger.write.remote("first");
  await ray.wait([first]);
  const failed = await rejectionOf(ray.get(ledger.writeAndDie.remote("lost")));
  assert.ok(failed instanceof ray.ActorUnavailableError, String(failed));
  assert.equal(failed.outcome, "unknown");
  assert.equal(await ray.get(first), 0);
  assert.deepEqual(await checkLines(ledger, new Map()), ["first"]);
});

test("checkpoint: everyCalls 1 runs nothing again, and the constructor is never run again", async (t) => {
  const [once, rarely] = [freshFolder(t), freshFolder(t)];
  const saving = RemoteLedger.options({ checkpoint: { everyCalls: 1 } }).remote(once);
  const replaying = RemoteLedger.options({ checkpoint: { everyCalls: 1000 } }).remote(rarely);
  for (const [ledger, folder, runs] of [
    [saving, once, 6],
    [replaying, rarely, 11],
  ] as const) {
    await ray.get(Array.from({ length: 5 }, (_, i) => ledger.write.remote(`line ${i}`)));
    const before = await pidOf(ledger);
    await ray.kill(ledger, { noRestart: false });
    await restarted(ledger, before);
    assert.equal(await ray.get(ledger.write.remote("last")), 5);
    assert.equal(notes(folder, "runs"), runs);
    assert.equal(notes(folder, "made"), 1);
  }
});

class Private {
  #n: number;
  readonly #folder: string;
  constructor(folder: string, n = 0) {
    this.#folder = folder;
    this.#n = n;
  }
  static [ray.serialize](from: Private): [string, number] {
    fs.appendFileSync(`${from.#folder}/saved`, "x");
    return [from.#folder, from.#n];
  }
  static [ray.deserialize]([folder, n]: [string, number]): Private {
    return new Private(folder, n);
  }
  add(): number {
    fs.appendFileSync(`${this.#folder}/runs`, "x");
    return ++this.#n;
  }
}

test("checkpoint: a class with #private fields saves what its hooks say; everyMs saves after a time, while nobody calls", async (t) => {
  const folder = freshFolder(t);
  const actor = ray.remote(Private, { ...FOR_EVER, checkpoint: { everyMs: 20 } }).remote(folder);
  assert.equal(await ray.get(actor.add.remote()), 1);
  await waitUntil(() => notes(folder, "saved") >= 2, "its state is saved, after its constructor and after its call");
  await ray.kill(actor, { noRestart: false });
  assert.equal(await ray.get(actor.add.remote()), 2);
  assert.equal(notes(folder, "runs"), 2);
});

test("checkpoint: with its restarts used up the actor is dead, what it had answered is told, and nothing of it is kept", async (t) => {
  const before = (await counts())[0]!.references;
  const stored = (await objectStore())[0]!.objects;
  const ledger = RemoteLedger.options({ checkpoint: true, maxRestarts: 1, maxTaskRetries: 0 }).remote(freshFolder(t));
  await ray.get(ledger.writeSlowly.remote("large", ray.put(new Uint8Array(1_000_000))));
  const pid = await pidOf(ledger);
  await ray.kill(ledger, { noRestart: false });
  await restarted(ledger, pid);
  assert.equal(await ray.get(ledger.writeAndDieLater.remote("last")), 1);
  await waitUntil(async () => (await pidOf(ledger)) === undefined, "it is dead");
  assert.ok((await rejectionOf(ray.get(ledger.pid.remote()))) instanceof ray.ActorDiedError);
  await waitUntil(async () => {
    await collectGarbage();
    const [now] = await counts();
    return now!.references <= before + 1 && (await objectStore())[0]!.objects <= stored;
  }, "its checkpoints and its log are gone");
});

test("checkpoint: found by name and by getIfExists, it is the same for all who call it", async (t) => {
  const options = { checkpoint: { everyCalls: 3 }, name: "the ledger", getIfExists: true };
  const folder = freshFolder(t);
  const made = RemoteLedger.options(options).remote(folder);
  const again = RemoteLedger.options({ ...options, checkpoint: false }).remote(folder);
  const told = new Map<string, number>();
  const found = await ray.getActor<typeof Ledger>("the ledger");
  for (let i = 0; i < 12; i++) {
    for (const [name, handle] of Object.entries({ made, again, found }))
      told.set(`${name} ${i}`, await ray.get(handle.write.remote(`${name} ${i}`)));
    if (i % 5 === 2) await ray.kill(again, { noRestart: false });
  }
  assert.equal((await checkLines(made, told)).length, 36);
  await ray.kill(made);
});

test("checkpoint: what cannot be saved or taken back is refused, or ends the actor with the path to it", async (t) => {
  class Hidden {
    #n = 0;
    add(): number {
      return ++this.#n;
    }
  }
  assert.throws(() => ray.remote(Hidden, { maxRestarts: 1, checkpoint: true }).remote(), /#private.*serialize/);
  const ledger = RemoteLedger.options({ checkpoint: { everyCalls: 1 } }).remote(freshFolder(t));
  const stream = ledger.each.remote();
  await assert.rejects(stream[Symbol.asyncIterator]().next(), /generator.*checkpoint/);
  await ray.get(ledger.openSocket.remote());
  const died = await rejectionOf(ray.get(ledger.pid.remote()));
  assert.ok(died instanceof ray.ActorDiedError, String(died));
  assert.match(String((died.cause as Error).message), /values\[0\]/);
});
