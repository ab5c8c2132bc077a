/** The journals of actors that save their state: what is kept, for how long, and who is told what. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Journals, restoredRefs } from "../../src/core/journals.ts";
import type { ActorId, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body } from "../../src/protocol/messages.ts";

const OWNER = "aaaaaaaaaaaa" as ProcessId;
const [FIRST, SECOND] = ["eeeeee000001", "eeeeee000002"] as [ProcessId, ProcessId];
const ID = `${OWNER}-1-a` as ActorId;
const inline = (...refs: string[]) => ({ kind: "inline" as const, bytes: new Uint8Array([1]), refs: refs as ObjectId[] });
const stored = (id: string) => ({ kind: "stored" as const, id: id as ObjectId, size: 1 });

class Harness {
  readonly held = new Map<string, number>();
  readonly said: string[] = [];
  readonly copies: ObjectId[] = [];
  readonly answers: { to: ProcessId; counter: number }[] = [];
  readonly journals = new Journals({
    send: (to, name, body) => {
      if (name === "actorAnswer") this.answers.push({ to, counter: (body as Body<"actorAnswer">).counter });
      else this.said.push(`${name} to ${to}`);
    },
    hold: (ids) => ids.forEach((id) => this.held.set(id, (this.held.get(id) ?? 0) + 1)),
    release: (ids) => ids.forEach((id) => this.held.set(id, (this.held.get(id) ?? 0) - 1)),
    copy: (_actor, id) => void this.copies.push(id),
  });

  log(worker: ProcessId, epoch: number, counter: number): void {
    const payloads = [{ index: 0, payload: stored(`object${counter}`) }];
    const call = { owner: OWNER, counter, attempt: 0, method: "add", args: inline(`arg${counter}`), payloads };
    const answer = { kind: "returned" as const, results: [inline(`result${counter}`)] };
    this.journals.log(worker, { actorId: ID, epoch, to: { actorId: ID, seq: counter }, call, answer });
    this.journals.check();
  }

  save(worker: ProcessId, epoch: number, state: Body<"actorCheckpoint">["state"]): void {
    this.journals.checkpoint(worker, { actorId: ID, epoch, state });
    this.journals.check();
  }

  saved(epoch: number, worker: ProcessId) {
    const restore = this.journals.begin(ID, epoch, worker);
    if (restore === undefined) throw new Error("nothing was saved");
    return restore;
  }

  get holds(): string[] {
    return [...this.held].flatMap(([id, count]) => (count === 0 ? [] : [`${id} ${count}`])).sort();
  }
}

test("a call is logged, then its owner has the answer, with what is in it", () => {
  const h = new Harness();
  assert.equal(h.journals.begin(ID, 1, FIRST), undefined);
  h.save(FIRST, 1, inline("s0"));
  h.log(FIRST, 1, 1);
  assert.deepEqual(h.answers, [{ to: OWNER, counter: 1 }]);
  assert.deepEqual(h.holds, ["arg1 1", "object1 1", "s0 1"]);
});

test("a checkpoint takes the place of the one before and of the calls since", () => {
  const h = new Harness();
  h.journals.begin(ID, 1, FIRST);
  h.save(FIRST, 1, stored("s0"));
  h.log(FIRST, 1, 1);
  h.log(FIRST, 1, 2);
  h.save(FIRST, 1, inline("s2"));
  assert.deepEqual(h.holds, ["s2 1"]);
  assert.deepEqual(h.saved(2, SECOND).calls, []);
});

test("the next incarnation is given the state and the calls since, in their order, and what an earlier one says then is not taken", () => {
  const h = new Harness();
  h.journals.begin(ID, 1, FIRST);
  h.save(FIRST, 1, inline("s0"));
  for (const counter of [3, 1, 2]) h.log(FIRST, 1, counter);
  const restore = h.saved(2, SECOND);
  assert.deepEqual(restore.state, inline("s0"));
  assert.deepEqual(
    restore.calls.map(({ counter }) => counter),
    [3, 1, 2],
  );
  assert.deepEqual(restoredRefs(restore), ["s0", "arg3", "arg1", "arg2"], "what is stored it only reads");
  h.log(FIRST, 1, 4);
  h.log(SECOND, 1, 4);
  h.save(FIRST, 1, inline("s4"));
  assert.equal(h.answers.length, 3);
  assert.deepEqual(h.journals.begin(ID, 3, FIRST), restore);
});

test("an actor that dies before its first checkpoint starts as if it never had, and of one that is over nothing is kept", () => {
  const h = new Harness();
  h.journals.begin(ID, 1, FIRST);
  assert.equal(h.journals.begin(ID, 2, SECOND), undefined);
  h.save(SECOND, 2, inline("s0"));
  h.log(SECOND, 2, 1);
  h.journals.over(ID);
  h.journals.over(ID);
  assert.deepEqual([h.holds, h.journals.size], [[], 0]);
  h.log(SECOND, 2, 2);
  h.save(SECOND, 2, inline("s1"));
  assert.deepEqual([h.holds, h.journals.size, h.answers.length], [[], 0, 1], "what comes later is not taken");
});

test("what is kept are bytes of its own, not the message that brought them", () => {
  const h = new Harness();
  h.journals.begin(ID, 1, FIRST);
  const bytes = new Uint8Array([1, 2, 3]);
  h.save(FIRST, 1, { kind: "inline", bytes, refs: undefined });
  bytes.fill(0);
  assert.deepEqual(h.saved(2, SECOND).state, { kind: "inline", bytes: new Uint8Array([1, 2, 3]), refs: undefined });
});
