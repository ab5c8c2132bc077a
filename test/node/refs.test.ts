/** The RefTable: holds, containment, fetches, lost processes; and random histories against a recount of our own. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { RefId } from "../../src/core/refs/record.ts";
import { RefTable } from "../../src/core/refs/refs.ts";
import type { ActorId, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
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
  readonly freed: ObjectId[] = [];
  readonly unheld: ActorId[] = [];
  readonly table = new RefTable({
    send: (to, name, body) => {
      if (name === "taskCancel") this.cancels.push({ to, body: body as Body<"taskCancel"> });
      else this.states.push({ to, body: body as Body<"objectState"> });
    },
    freeStored: (id) => void this.freed.push(id),
    actorUnheld: (id) => void this.unheld.push(id),
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
  h.table.add(id, B, 1);
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
  h.table.add(id, B, 1);
  assert.equal(h.table.size, 0);
});

test("a drop that overtakes its credit frees nothing and leaks nothing", () => {
  const h = new Harness();
  const id = object("1");
  h.table.escape(A, { id, payload: inline() });
  h.drop(B, id);
  assert.equal(h.table.holders(id)?.get(B), -1);
  h.drop(A, id);
  assert.equal(h.table.size, 1, "the credit is still under way");
  h.table.add(id, B, 1);
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
  h.table.add(id, B, 1);
  h.drop(B, id);
  assert.equal(h.table.size, 0);
  h.table.escape(A, { id, payload: inline() });
  assert.equal(h.table.holders(id)?.get(A), 1);
});

test("a chain of containers is freed to its end, stored bytes and actors included", () => {
  const h = new Harness();
  const depth = 20_000;
  const a = actor("1");
  h.table.declared(a, A);
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
  h.table.add(outer, B, 1);
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
  h.table.add(id, B, 1);
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
    h.table.add(id, B, 1);
    h.table.fetch(B, { id });
  }
  h.table.processLost(A);
  h.table.check();
  assert.deepEqual(h.told(B), ["inline", "OWNER_DIED"]);
  h.table.fetch(B, { id: pending });
  assert.deepEqual(h.told(B), ["OWNER_DIED"]);
  h.table.fetch(B, { id: object("never") });
  assert.deepEqual(h.told(B), ["OWNER_DIED"], "nothing of it can come any more");
  h.table.add(made, A, 1);
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

test("results of a failed call: the worker's credits are void, the owner's own hold is not", () => {
  const h = new Harness();
  const plain = object("plain");
  const known = object("known");
  h.table.escape(A, { id: known });
  h.table.add(known, B, 1);
  h.table.fetch(B, { id: known });
  for (const id of [plain, known]) h.table.sealed(id, A, 10, []);
  h.table.forget(A, { ids: [plain, known, object("unknown")] });
  h.table.check();
  assert.deepEqual(h.freed, [plain]);
  assert.equal(h.table.holders(known)?.get(A), 1);
  h.table.sealed(plain, A, 10, []);
  assert.equal(h.table.holders(plain)?.get(A), 1, "another run makes it again");
  h.table.forget(A, { ids: [plain] });
  h.table.escape(A, { id: plain, payload: inline() });
  assert.equal(h.table.holders(plain)?.get(A), 1, "and may do it inline");
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
    fc.constantFrom("escape", "settle", "seal", "add", "add", "add", "drop", "drop", "forget", "fetch", "cancel", "lost-bytes", "process"),
    fc.nat(2),
    fc.nat(9),
    fc.nat(9),
  ),
  { minLength: 1, maxLength: 150, size: "max" },
);
const processes = [A, B, C];
/** Ids 0 to 7 are objects of the three processes, 8 and 9 actors. Contents have larger numbers, so there are no cycles. */
const idOf = (n: number): RefId => (n < 8 ? object(`${n}`, processes[n % 3]!) : actor(`${n}`, processes[n % 3]!));

function apply(h: Harness, [kind, p, n, m]: Op): void {
  const process = processes[p]!;
  const id = idOf(n) as ObjectId;
  const isObject = n < 8;
  const contents = m > n ? [idOf(m)] : [];
  if (kind === "add") h.table.add(idOf(n), process, 1 + (m % 2));
  else if (kind === "drop") h.table.drop(process, { id: idOf(n), count: 1 + (m % 2) });
  else if (kind === "process") {
    if (m === 0) h.table.processLost(process);
  } else if (!isObject) h.table.declared(idOf(n) as ActorId, process);
  else if (kind === "escape") h.table.escape(processes[n % 3]!, { id, payload: m % 2 === 0 ? inline(...contents) : undefined });
  else if (kind === "settle") h.table.settle({ id, payload: inline(...contents) });
  else if (kind === "seal") h.table.sealed(id, process, 1, contents);
  else if (kind === "forget") h.table.forget(processes[n % 3]!, { ids: [id] });
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
      h.table.check();
      assert.equal(h.table.size, 0);
      assert.ok(h.freed.length <= seals, "nothing is freed that was not sealed");
    }),
    { numRuns: 1000, includeErrorInReport: true },
  );
});
