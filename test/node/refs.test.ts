/** The RefTable: holds, containment, fetches, lost processes; and random histories against a recount of our own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RefId } from "../../src/core/refs/record.ts";
import { creationRefs, creditedRefs } from "../../src/core/refs/creation.ts";
import { RefTable } from "../../src/core/refs/refs.ts";
import type { ActorId, ObjectId, ProcessId, WayId } from "../../src/protocol/ids.ts";
import type { Body, Payload } from "../../src/protocol/messages.ts";

const A = "aaaaaaaaaaaa" as ProcessId;
const B = "bbbbbbbbbbbb" as ProcessId;
const C = "cccccccccccc" as ProcessId;
const object = (name: string, owner = A): ObjectId => `${owner}-${name}-0` as ObjectId;
const actor = (name: string, owner = A): ActorId => `${owner}-${name}-a` as ActorId;
const inline = (...refs: RefId[]): Payload => ({ kind: "inline", bytes: new Uint8Array([1]), refs: refs.length > 0 ? refs : undefined });

class Harness {
  readonly states: { to: ProcessId; body: Body<"objectState"> }[] = [];
  readonly cancels: { to: ProcessId; body: Body<"taskCancel"> }[] = [];
  readonly asked: { to: ProcessId; body: Body<"refLost"> }[] = [];
  readonly freed: ObjectId[] = [];
  readonly unheld: ActorId[] = [];
  readonly table = new RefTable({
    send: (to, name, body) => {
      if (name === "taskCancel") this.cancels.push({ to, body: body as Body<"taskCancel"> });
      else if (name === "refLost") this.asked.push({ to, body: body as Body<"refLost"> });
      else this.states.push({ to, body: body as Body<"objectState"> });
    },
    freeStored: (id) => void this.freed.push(id),
    actorUnheld: (id) => void this.unheld.push(id),
    tell: assert.fail,
    relayCame: assert.fail,
  });

  /** What `to` was told since the last look: the kind of payload or the code of the failure. */
  told(to: ProcessId): string[] {
    const found = this.states.filter((each) => each.to === to);
    for (const each of found) this.states.splice(this.states.indexOf(each), 1);
    return found.map(({ body }) => body.failure?.code ?? body.payload!.kind);
  }

  drop(from: ProcessId, id: RefId, count = 1): void {
    this.table.drop(from, { id, count });
    this.table.check();
  }
}

test("an escaped object is fetched before and after it is settled, and freed by its last holder", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id });
  h.table.add(id, B);
  h.table.fetch(B, { id });
  assert.deepEqual(h.told(B), []);
  h.table.settle({ id, payload: inline() });
  assert.deepEqual(h.told(B), ["inline"]);
  h.table.fetch(B, { id });
  assert.deepEqual(h.told(B), ["inline"]);
  h.drop(A, id);
  assert.equal(h.table.size, 1);
  h.drop(B, id);
  assert.equal(h.table.size, 0);
  h.table.fetch(B, { id });
  assert.deepEqual(h.told(B), ["OBJECT_LOST"], "and does not hang");
});

test("a worker's word of a result settles it, before or after the owner's, once, and counts as the escape", () => {
  const h = new Harness();
  const id = object("1");
  const inner = object("2", B);
  // The owner computes: its escape is heard, and no more of it.
  h.table.escape(A, { id });
  h.table.add(id, C);
  h.table.fetch(C, { id });
  h.table.escape(B, { id: inner });
  h.table.add(inner, A);
  h.table.result({ id, payload: inline(inner) });
  assert.deepEqual(h.told(C), ["inline"]);
  h.table.result({ id, payload: inline() });
  h.table.settle({ id, payload: inline(inner) });
  h.drop(C, inner);
  h.drop(B, inner);
  // The owner dies: what was made stays for those who hold it.
  h.table.processLost(A);
  h.table.check();
  h.table.fetch(C, { id });
  assert.deepEqual(h.told(C), ["inline"]);
  h.drop(C, inner);
  h.drop(C, id);
  assert.equal(h.table.size, 0);

  const early = object("3");
  h.table.result({ id: early, payload: inline() });
  assert.equal(h.table.size, 0, "of a dead owner nothing is kept");
  const waiting = object("1", C);
  h.table.result({ id: waiting, payload: inline() });
  h.table.check();
  h.table.escape(C, { id: waiting });
  assert.equal(h.table.holders(waiting)?.get(C), 1, "its owner holds it once");
  h.drop(C, waiting);
  h.table.result({ id: waiting, payload: inline() });
  assert.equal(h.table.size, 0, "a late word does not bring it back");
});

test("a cancel goes to the process that made the object, also when nothing is known of it here, and to no dead one", () => {
  const h = new Harness();
  const body = { id: object("1", A), force: false, recursive: true };
  h.table.cancel(body);
  assert.deepEqual(h.cancels, [{ to: A, body }]);
  h.table.processLost(A);
  h.table.cancel(body);
  assert.equal(h.cancels.length, 1);
});

test("a repeated escape counts once, also after the object was freed", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id, payload: inline() });
  h.table.escape(A, { id, payload: inline() });
  assert.equal(h.table.holders(id)?.get(A), 1);
  h.drop(A, id);
  h.table.escape(A, { id, payload: inline() });
  h.table.settle({ id, payload: inline() });
  h.drop(B, id);
  h.table.add(id, B);
  assert.equal(h.table.size, 0);
});

test("a drop of what is not held, or of more than that, is nothing", () => {
  const h = new Harness();
  const id = object("1");
  h.drop(B, id);
  assert.equal(h.table.size, 0);
  h.table.escape(A, { id, payload: inline() });
  h.drop(B, id);
  h.table.add(id, B);
  h.drop(B, id, 5);
  assert.equal(h.table.holders(id)?.has(B), false);
  assert.equal(h.table.size, 1);
  h.drop(A, id);
  assert.equal(h.table.size, 0);
});

test("news of an object that comes before its record makes the record", () => {
  const h = new Harness();
  const inner = object("inner", B);
  const outer = object("outer", A);
  h.table.escape(A, { id: outer, payload: inline(inner) });
  h.table.fetch(C, { id: inner });
  h.table.check();
  h.table.escape(B, { id: inner, payload: inline() });
  assert.deepEqual(h.told(C), ["inline"]);
  h.drop(B, inner);
  assert.equal(h.table.size, 2, "its container holds it");
  h.drop(A, outer);
  assert.equal(h.table.size, 0);
});

test("credited and dropped before its escape was read: the escape still makes it known", () => {
  const h = new Harness();
  const id = object("1");
  h.table.add(id, B);
  h.drop(B, id);
  assert.equal(h.table.size, 0);
  h.table.escape(A, { id, payload: inline() });
  assert.equal(h.table.holders(id)?.get(A), 1);
});

test("what an actor was made from is held until it is over, and a detached one by its node", () => {
  const h = new Harness();
  const [a, detached] = [actor("1"), actor("2")];
  const [stored, inner, nested] = [object("7"), object("8"), object("9")];
  h.table.declared(a, A, false);
  h.table.declared(detached, A, true);
  for (const id of [stored, inner, nested]) h.table.escape(A, { id, payload: inline() });
  const argPayloads = [
    { index: 0, payload: { kind: "stored" as const, id: stored, size: 1 } },
    { index: 1, payload: inline(inner) },
  ];
  assert.deepEqual(creditedRefs({ argRefs: [nested], argPayloads }), [nested, inner], "what is in the store is only read");
  h.table.created(a, creationRefs({ argRefs: [nested], argPayloads }));
  for (const id of [stored, inner, nested, detached]) h.drop(A, id);
  assert.equal(h.table.size, 5);
  h.table.actorOver(a);
  assert.equal(h.table.size, 2);
  h.drop(A, a);
  assert.deepEqual(h.unheld, [a]);
  h.table.actorOver(detached);
  assert.equal(h.table.size, 0);
});

test("an alias holds what it means, and that it was given to somebody is counted", () => {
  const h = new Harness();
  const [a, alias] = [actor("1"), actor("2")];
  h.table.declared(a, A, false);
  h.table.declared(alias, B, true);
  h.table.created(alias, [object("1")]);
  h.table.alias(alias, a, 1);
  h.table.created(alias, [object("2")]);
  h.drop(A, a);
  assert.equal(h.table.size, 2, "nothing that the alias was to be made from is held");
  h.table.give(a, 2, C);
  h.drop(B, alias);
  assert.deepEqual(h.unheld, [alias]);
  h.drop(C, a);
  assert.deepEqual(h.unheld, [alias, a]);
});

test("what control says again of an actor that was given changes nothing, and what it could not say counts", () => {
  const h = new Harness();
  const a = actor("1");
  h.table.declared(a, A, false);
  assert.equal(h.table.give(a, 1, B), true);
  assert.equal(h.table.give(a, 1, B), false);
  h.drop(B, a);
  h.drop(A, a);
  assert.deepEqual(h.unheld, [a]);
  h.table.givenInAll(a, 1);
  assert.equal(h.unheld.length, 1);
  // Another control knows of a giving that nobody heard of.
  h.table.givenInAll(a, 2);
  assert.deepEqual(h.unheld, [a, a]);
  h.table.alias(actor("2"), a, 2);
  assert.equal(h.table.size, 0);
});

test("a chain of containers is freed to its end, stored bytes and actors included", () => {
  const h = new Harness();
  const depth = 20_000;
  const a = actor("1");
  h.table.declared(a, A, false);
  h.table.sealed(object("0"), A, 10, [a]);
  h.drop(A, a);
  for (let i = 1; i < depth; i++) {
    h.table.sealed(object(`${i}`), A, 10, [object(`${i - 1}`)]);
    h.table.drop(A, { id: object(`${i - 1}`), count: 1 });
  }
  assert.equal(h.table.size, depth + 1);
  assert.deepEqual(h.unheld, []);
  h.drop(A, object(`${depth - 1}`));
  assert.equal(h.table.size, 0);
  assert.equal(h.freed.length, depth);
  assert.deepEqual(h.unheld, [a]);
});

test("refs inside an answer are credited to the receiver", () => {
  const h = new Harness();
  const inner = object("inner");
  const outer = object("outer");
  h.table.escape(A, { id: inner, payload: inline() });
  h.table.escape(A, { id: outer, payload: inline(inner) });
  h.table.add(outer, B);
  h.table.fetch(B, { id: outer });
  h.drop(B, outer);
  h.drop(A, outer);
  h.drop(A, inner);
  assert.equal(h.table.holders(inner)?.get(B), 1);
  h.drop(B, inner);
  assert.equal(h.table.size, 0);
});

test("an answer that the owner calls stored waits for the seal", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id });
  h.table.add(id, B);
  h.table.fetch(B, { id });
  h.table.settle({ id, payload: { kind: "stored", id, size: 10 } });
  assert.deepEqual(h.told(B), []);
  h.table.sealed(id, A, 10, []);
  assert.deepEqual(h.told(B), ["stored"]);
  h.drop(A, id, 2);
  h.drop(B, id);
  assert.deepEqual(h.freed, [id]);
});

test("a lost process: its holds go, what only it could make fails, what it had made stays", () => {
  const h = new Harness();
  const pending = object("pending");
  const made = object("made");
  for (const id of [pending, made]) {
    h.table.escape(A, { id, payload: id === made ? inline() : undefined });
    h.table.add(id, B);
    h.table.fetch(B, { id });
  }
  h.table.processLost(A);
  h.table.check();
  assert.deepEqual(h.told(B), ["inline", "OWNER_DIED"]);
  h.table.fetch(B, { id: pending });
  assert.deepEqual(h.told(B), ["OWNER_DIED"]);
  h.table.fetch(B, { id: object("never") });
  assert.deepEqual(h.told(B), ["OWNER_DIED"], "nothing of it can come any more");
  h.table.add(made, A);
  h.table.escape(A, { id: object("late") });
  assert.equal(h.table.holders(made)?.has(A), false, "who is gone is credited nothing");
});

test("a fetch is given up, and a lost process waits for nothing", () => {
  const h = new Harness();
  const id = object("1");
  h.table.fetch(B, { id });
  h.table.fetchCancel(B, { id });
  h.table.fetchCancel(B, { id });
  assert.equal(h.table.size, 0);
  h.table.fetch(B, { id });
  h.table.processLost(B);
  h.table.check();
  assert.equal(h.table.size, 0);
});

const WAY = `${A}-0` as WayId;
/** A has opened the way to B. */
const sent = (h: Harness, from: ProcessId, to: ProcessId, ...ids: RefId[]): void => {
  h.table.sent(from, { way: WAY, opener: from === A, to, ids });
  h.table.check();
};
const came = (h: Harness, from: ProcessId, to: ProcessId, count: number, over = false): void => {
  h.table.came(from, { way: WAY, opener: from === A, to, count, over });
  h.table.check();
};

test("what is under way is held until it has come, and then by who keeps it", () => {
  const h = new Harness();
  const [kept, left] = [object("kept"), object("left")];
  for (const id of [kept, left]) h.table.escape(A, { id, payload: inline() });
  sent(h, A, B, kept, left);
  sent(h, A, B, left, left);
  h.drop(A, kept);
  h.drop(A, left);
  assert.equal(h.table.size, 2);
  h.table.add(kept, B);
  came(h, B, A, 1);
  assert.equal(h.table.size, 2, "the second parcel holds what the first let go of");
  came(h, B, A, 2);
  assert.equal(h.table.size, 1);
  h.drop(B, kept);
  assert.equal(h.table.size, 0);
});

test("a parcel whose coming is told before its sending is not held", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id, payload: inline() });
  came(h, B, A, 1);
  sent(h, A, B, id);
  h.drop(A, id);
  assert.equal(h.table.size, 0);
});

test("a worker that dies between saying and sending leaves nothing held: its reader says what has come, at the end of the way", () => {
  const h = new Harness();
  const [came1, lost, stored] = [object("1", B), object("2", B), object("3")];
  for (const id of [came1, lost]) h.table.escape(B, { id, payload: inline() });
  h.table.sealed(stored, B, 10, []);
  sent(h, B, A, came1);
  sent(h, B, A, lost, stored);
  h.table.processLost(B);
  h.table.check();
  assert.equal(h.table.size, 3, "it may still be read");
  assert.deepEqual(h.asked, [{ to: A, body: { way: WAY, opener: true, from: B } }]);
  h.table.add(came1, A);
  came(h, A, B, 1, true);
  assert.equal(h.table.size, 1);
  assert.deepEqual(h.freed, [stored]);
  came(h, A, B, 1, true);
  h.drop(A, came1);
  assert.equal(h.table.size, 0);
});

test("a receiver that dies, and a way that both have ended, hold nothing", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id, payload: inline() });
  sent(h, A, B, id);
  came(h, B, A, 0, true);
  sent(h, A, B, id);
  came(h, A, B, 0, true);
  sent(h, A, C, id);
  h.table.processLost(C);
  sent(h, A, C, id);
  h.drop(A, id);
  assert.equal(h.table.size, 0);
});

test("a way from a process to itself has two ends", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id, payload: inline() });
  h.table.sent(A, { way: WAY, opener: true, to: A, ids: [id] });
  h.table.sent(A, { way: WAY, opener: false, to: A, ids: [id] });
  h.table.came(A, { way: WAY, opener: false, to: A, count: 1, over: false });
  h.drop(A, id);
  assert.equal(h.table.size, 1);
  h.table.processLost(A);
  h.table.check();
  assert.equal(h.table.size, 0);
});

test("lost bytes fail those who ask, until they are sealed again", () => {
  const h = new Harness();
  const inner = object("inner");
  const id = object("1");
  h.table.sealed(inner, A, 1, []);
  h.table.sealed(id, A, 10, [inner]);
  h.drop(A, inner);
  h.table.objectLost(id, "its spill file is damaged");
  h.table.check();
  assert.deepEqual(h.freed, [inner]);
  h.table.fetch(B, { id });
  assert.deepEqual(h.told(B), ["OBJECT_LOST"]);
  h.table.sealed(id, A, 10, []);
  h.table.fetch(B, { id });
  assert.deepEqual(h.told(B), ["stored"]);
  h.drop(A, id, 2);
  assert.deepEqual(h.freed, [inner, id]);
});

type Op = readonly [kind: string, process: number, id: number, other: number];
const ops = fc.array(
  fc.tuple(
    fc.constantFrom(
      "escape",
      "settle",
      "seal",
      "add",
      "add",
      "add",
      "drop",
      "drop",
      "sent",
      "sent",
      "came",
      "fetch",
      "cancel",
      "lost-bytes",
      "process",
    ),
    fc.nat(2),
    fc.nat(9),
    fc.nat(9),
  ),
  { minLength: 1, maxLength: 150, size: "max" },
);
const processes = [A, B, C];
/** Ids 0 to 7 are objects of the three processes, 8 and 9 actors. Contents have larger numbers, so there are no cycles. */
const idOf = (n: number): RefId => (n < 8 ? object(`${n}`, processes[n % 3]!) : actor(`${n}`, processes[n % 3]!));

/** The way between the process of that number and another, the same from both sides. */
function wayBetween(p: number, m: number): { way: WayId; opener: boolean; to: ProcessId } {
  const other = (p + 1 + (m % 2)) % 3;
  const [opener, reader] = [Math.min(p, other), Math.max(p, other)];
  return { way: `${processes[opener]}-${reader}` as WayId, opener: p === opener, to: processes[other]! };
}

function apply(h: Harness, [kind, p, n, m]: Op): void {
  const process = processes[p]!;
  const id = idOf(n) as ObjectId;
  const isObject = n < 8;
  const contents = m > n ? [idOf(m)] : [];
  if (kind === "add") h.table.add(idOf(n), process);
  else if (kind === "drop") h.table.drop(process, { id: idOf(n), count: 1 + (m % 2) });
  else if (kind === "process") {
    if (m === 0) h.table.processLost(process);
  } else if (!isObject) h.table.declared(idOf(n) as ActorId, process, m === 1);
  else if (kind === "escape") h.table.escape(processes[n % 3]!, { id, payload: m % 2 === 0 ? inline(...contents) : undefined });
  else if (kind === "settle") h.table.settle({ id, payload: inline(...contents) });
  else if (kind === "seal") h.table.sealed(id, process, 1, contents);
  else if (kind === "sent") h.table.sent(process, { ...wayBetween(p, m), ids: [id, ...contents] });
  else if (kind === "came") h.table.came(process, { ...wayBetween(p, m), count: n, over: m > 6 });
  else if (kind === "fetch") h.table.fetch(process, { id });
  else if (kind === "cancel") h.table.fetchCancel(process, { id });
  else h.table.objectLost(id, "test");
}

test("after any history the counts are exact, and when all processes are gone the table is empty", () => {
  fc.assert(
    fc.property(ops, (list) => {
      const h = new Harness();
      let seals = 0;
      for (const op of list) {
        if (op[0] === "seal" && op[2] < 8) seals++;
        apply(h, op);
        h.table.check();
      }
      for (const process of processes) h.table.processLost(process);
      for (let n = 8; n < 12; n++) h.table.actorOver(idOf(n) as ActorId);
      h.table.check();
      assert.equal(h.table.size, 0);
      assert.ok(h.freed.length <= seals, "nothing is freed that was not sealed");
    }),
    { numRuns: 1000, includeErrorInReport: true },
  );
});

test("an actor that only one process holds is said to be alone with it, and is not while a parcel or a container has it", () => {
  const alone: string[] = [];
  const table = new RefTable({
    send: () => {},
    freeStored: () => {},
    actorUnheld: (id) => void alone.push(`${id} unheld`),
    actorAlone: (id, holder) => void alone.push(`${id} with ${holder}`),
    tell: assert.fail,
    relayCame: assert.fail,
  });
  const id = actor("self");
  table.declared(id, A, false);
  table.add(id, B);
  alone.length = 0;
  assert.equal(table.aloneWith(id, B), undefined);
  table.drop(A, { id, count: 1 });
  assert.deepEqual([alone.splice(0), table.aloneWith(id, B), table.aloneWith(id, A)], [[`${id} with ${B}`], 0, undefined]);
  table.sent(B, { way: "w" as never, opener: true, to: A, ids: [id] });
  assert.equal(table.aloneWith(id, B), undefined, "it is under way");
  table.came(A, { way: "w" as never, opener: false, to: B, count: 1, over: false });
  assert.deepEqual([alone.splice(0), table.aloneWith(id, B)], [[`${id} with ${B}`], 0]);
  table.drop(B, { id, count: 1 });
  assert.deepEqual(alone, [`${id} unheld`]);
});
