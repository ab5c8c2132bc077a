/** Control: the life of actors, their names, restarts and ends, with a port that writes down what it asked for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Control } from "../../src/core/control/control.ts";
import type { ActorRequest } from "../../src/core/node/admission.ts";
import type { ActorId, FunctionId, JobId, ProcessId } from "../../src/protocol/ids.ts";
import type { ActorOptions, ActorStatus, Body, DeathReason, MessageName } from "../../src/protocol/messages.ts";
import { amounts, shape } from "./node-harness.ts";

const A = "aaaaaaaaaaaa" as ProcessId;
const B = "bbbbbbbbbbbb" as ProcessId;
const JOB = "job1" as JobId;
const SIGKILL: DeathReason = { cause: "signal", message: "it was killed by signal SIGKILL", signal: "SIGKILL" };

class Harness {
  now = 10_000;
  readonly sent: { to: ProcessId; name: MessageName; body: object }[] = [];
  readonly places: ActorRequest[] = [];
  readonly unplaced: { actorId: ActorId; epoch: number; end: { kill: DeathReason } | { gently: string } }[] = [];
  readonly over: ActorId[] = [];
  readonly given: string[] = [];
  readonly aliases: string[] = [];
  #workers = 0;
  #calls = 0;
  readonly control = new Control({
    send: (to, name, body) => void this.sent.push({ to, name, body }),
    place: (request) => void this.places.push(request),
    unplace: (actorId, epoch, end) => void this.unplaced.push({ actorId, epoch, end }),
    over: (id) => void this.over.push(id),
    give: (id, _given, to, name, body) => {
      this.given.push(`${id} to ${to}`);
      this.sent.push({ to, name, body });
    },
    alias: (id, _given, alias) => void this.aliases.push(`${alias} is ${id}`),
  });

  declare(name: string, options: Partial<ActorOptions> = {}, from = A): ActorId {
    const actorId = `${from}-${name}-a` as ActorId;
    this.control.declare(from, {
      actorId,
      jobId: JOB,
      className: "Counter",
      shape: shape({}),
      options: {
        namespace: "n",
        detached: false,
        getIfExists: false,
        maxRestarts: 0,
        maxConcurrency: 1,
        resources: {},
        placementResources: amounts({ CPU: 1 }),
        ...options,
      },
    });
    this.control.check();
    return actorId;
  }

  create(actorId: ActorId, more: Partial<Body<"actorCreate">> = {}, from = A): void {
    const empty = new Uint8Array();
    this.control.create(from, { actorId, functionId: "f" as FunctionId, definition: empty, args: empty, argPayloads: [], ...more });
    this.control.check();
  }

  /** The latest placement asked for is made, on a new worker. */
  place(): ProcessId {
    const { actorId, epoch } = this.places.at(-1)!;
    const processId = `eeeeee${(this.#workers++).toString(16).padStart(6, "0")}` as ProcessId;
    this.control.placed(actorId, epoch, { worker: { processId, pid: 1, socket: "s" }, assigned: {}, gpuIds: [] });
    this.control.check();
    return processId;
  }

  start(actorId: ActorId): ProcessId {
    const worker = this.place();
    this.control.started(worker, { actorId, epoch: this.places.at(-1)!.epoch }, this.now);
    this.control.check();
    return worker;
  }

  alive(name: string, options: Partial<ActorOptions> = {}): { id: ActorId; worker: ProcessId } {
    const id = this.declare(name, options);
    this.create(id);
    return { id, worker: this.start(id) };
  }

  /** Whether it has been answered. */
  kill(actorId: ActorId, noRestart: boolean, epoch?: number): boolean {
    this.control.kill(A, this.#calls, { kind: "actorKill", actorId, noRestart, ...(epoch === undefined ? {} : { epoch }) });
    return this.answered(this.#calls++);
  }

  answered(call = this.#calls - 1): boolean {
    return this.sent.some(({ name, body }) => name === "answer" && (body as Body<"answer">).call === call);
  }

  lose(worker: ProcessId, reason = SIGKILL): void {
    this.control.workerLost(worker, reason, this.now);
    this.control.check();
  }

  /** States told to a process since the last look. */
  states(to = A): ActorStatus[] {
    const found = this.sent.filter((each) => each.to === to && each.name === "actorState");
    for (const each of found) this.sent.splice(this.sent.indexOf(each), 1);
    return found.map(({ body }) => (body as Body<"actorState">).status);
  }

  kinds(to = A): string[] {
    return this.states(to).map(({ kind, epoch }) => `${kind} ${epoch}`);
  }

  dead(to = A): Extract<ActorStatus, { kind: "dead" }> {
    const last = this.states(to).at(-1);
    assert.equal(last?.kind, "dead");
    return last as Extract<ActorStatus, { kind: "dead" }>;
  }
}

test("declared, created, placed, started: its watchers hear that it is alive", () => {
  const h = new Harness();
  const id = h.declare("1");
  h.create(id);
  h.control.watch(B, { actorId: id });
  assert.deepEqual(h.kinds(B), ["pending 1"]);
  const worker = h.place();
  const start = h.sent.find((each) => each.name === "actorStart");
  assert.equal(start?.to, worker);
  h.control.started(worker, { actorId: id, epoch: 1 }, h.now);
  assert.deepEqual([h.kinds(A), h.kinds(B)], [["alive 1"], ["alive 1"]]);
  h.control.started(worker, { actorId: id, epoch: 1 }, h.now);
  h.create(id);
  h.declare("1");
  assert.deepEqual([h.kinds(A), h.places.length], [[], 1], "repeats change nothing");
});

test("a crash restarts it while its budget lasts, and callers hear why", () => {
  const h = new Harness();
  const { id, worker } = h.alive("1", { maxRestarts: 1 });
  h.now += 5000;
  h.states();
  h.lose(worker);
  assert.ok(h.sent.some((each) => each.to === A && each.name === "processLost"));
  assert.deepEqual(h.kinds(), ["restarting 2"]);
  const again = h.start(id);
  assert.deepEqual(h.kinds(), ["alive 2"]);
  h.now += 5000;
  h.lose(again);
  assert.deepEqual(h.dead().reason, SIGKILL);
  assert.equal(h.places.length, 2);
});

test("what an old incarnation says is refused", () => {
  const h = new Harness();
  const { id, worker } = h.alive("1", { maxRestarts: -1 });
  h.lose(worker);
  const next = h.place();
  h.states();
  h.control.started(worker, { actorId: id, epoch: 1 }, h.now);
  h.control.started(next, { actorId: id, epoch: 1 }, h.now);
  h.control.startFailed(worker, { actorId: id, epoch: 1, error: new Uint8Array() });
  h.control.exit(worker, { actorId: id });
  h.lose(worker);
  h.control.unplaced(id, 1, { code: "X", message: "x" }, undefined);
  assert.deepEqual(h.kinds(), []);
  h.control.placed(id, 1, { worker: { processId: B, pid: 1, socket: "" }, assigned: {}, gpuIds: [] });
  assert.equal(h.unplaced.at(-1)?.epoch, 1, "a place for the old one is given back");
});

test("a crash loop pauses longer and longer, and a good run ends that", () => {
  const h = new Harness();
  const { id, ...first } = h.alive("1", { maxRestarts: -1 });
  let { worker } = first;
  const pauses: number[] = [];
  for (let i = 0; i < 9; i++) {
    h.lose(worker);
    const at = h.control.nextDeadline();
    pauses.push(at === undefined ? 0 : at - h.now);
    if (at !== undefined) {
      h.now = at - 1;
      h.control.tick(h.now);
      assert.equal(h.control.actors()[0]!.phase, "pausing");
      h.now = at;
      h.control.tick(h.now);
    }
    worker = h.start(id);
  }
  assert.deepEqual(pauses, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  h.now += 2000;
  h.lose(worker);
  assert.equal(h.control.nextDeadline(), undefined);
});

test("a constructor that throws ends it with that error, whatever its restarts", () => {
  const h = new Harness();
  const id = h.declare("1", { maxRestarts: -1 });
  h.create(id);
  const worker = h.place();
  h.control.startFailed(worker, { actorId: id, epoch: 1, error: new Uint8Array([7]) });
  assert.deepEqual(h.dead().error, new Uint8Array([7]));
  assert.deepEqual(Object.keys(h.unplaced[0]!.end), ["gently"]);
  h.lose(worker);
  assert.equal(h.places.length, 1);
});

test("kill: for good, or as a crash", () => {
  const h = new Harness();
  const { id, worker } = h.alive("1", { maxRestarts: 1 });
  assert.equal(h.kill(id, false), false);
  assert.deepEqual(h.kinds(), ["alive 1"]);
  h.lose(worker, { cause: "killed", message: "it was ended by kill()" });
  assert.ok(h.answered(), "once it is over, behind the news of that");
  assert.equal(h.sent.at(-1)!.name, "answer");
  h.start(id);
  // Asked again by a node that did not get the answer.
  assert.ok(h.kill(id, false, 1));
  assert.deepEqual(h.kinds(), ["restarting 2", "alive 2"]);
  assert.ok(h.kill(id, true));
  assert.equal(h.dead().reason.cause, "killed");
  assert.deepEqual(
    h.unplaced.map(({ epoch, end }) => `${epoch} ${Object.keys(end)[0]}`),
    ["1 kill", "2 kill"],
  );
  h.kill(id, true);
  assert.equal(h.unplaced.length, 2);
});

test("kill while it waits for a place takes its request back", () => {
  const h = new Harness();
  const id = h.declare("1");
  h.create(id);
  h.kill(id, true);
  h.control.check();
  assert.equal(h.unplaced[0]?.actorId, id);
  h.place();
  assert.equal(h.dead().kind, "dead");
  assert.ok(!h.sent.some((each) => each.name === "actorStart"));
});

test("exitActor ends it for good, also with restarts left", () => {
  const h = new Harness();
  const { id, worker } = h.alive("1", { maxRestarts: -1 });
  h.control.exit(worker, { actorId: id });
  h.lose(worker);
  assert.match(h.dead().reason.message, /exitActor/);
  assert.equal(h.places.length, 1);
});

test("a name belongs to one actor at a time", () => {
  const h = new Harness();
  const { id } = h.alive("1", { name: "x" });
  const second = h.declare("2", { name: "x" }, B);
  assert.equal(h.dead(B).failure?.code, "ACTOR_NAME_TAKEN");
  h.create(second, {}, B);
  assert.equal(h.places.length, 1);
  h.declare("3", { name: "x", namespace: "other" });
  h.control.byName(B, 1, "x", "n");
  const answer = h.sent.at(-1)!.body as Body<"answer">;
  assert.equal((JSON.parse(answer.body!) as { actorId: string }).actorId, id);
  assert.deepEqual(h.given, [`${id} to ${B}`]);
  h.kill(id, true);
  h.control.byName(B, 2, "x", "n");
  assert.equal((h.sent.at(-1)!.body as Body<"answer">).failure?.code, "ACTOR_NOT_FOUND");
  h.alive("4", { name: "x" });
});

test("getIfExists: the new id means the old actor, and holds it", () => {
  const h = new Harness();
  const { id, worker } = h.alive("1", { name: "x", maxRestarts: 1 });
  const alias = h.declare("2", { name: "x", getIfExists: true }, B);
  const told = h.sent.find((each) => each.to === B)!.body as Body<"actorState">;
  assert.deepEqual([told.actorId, told.actualId, told.status.kind], [alias, id, "alive"]);
  assert.deepEqual(h.aliases, [`${alias} is ${id}`]);
  h.lose(worker);
  assert.deepEqual(h.kinds(B).at(-1), "restarting 2");
  h.control.unheld(id, 0);
  assert.notEqual(h.control.actors()[0]!.phase, "dead", "its home had not heard of the alias when it said so");
  h.control.unheld(alias, 0);
  h.control.check();
  assert.notEqual(h.control.actors()[0]!.phase, "dead", "the alias went, not the actor");
  h.start(id);
  assert.deepEqual(h.kinds(B), []);
  const first = h.declare("3", { name: "y", getIfExists: true }, B);
  h.create(first, {}, B);
  assert.equal(h.places.at(-1)!.actorId, first, "without such an actor it is a new one");
});

test("it ends when no handle is left, unless it is detached", () => {
  const h = new Harness();
  const { id } = h.alive("1");
  h.control.unheld(id, 0);
  assert.match(h.dead().reason.message, /no handle/);
  const detached = h.declare("2", { detached: true, name: "d" });
  h.over.length = 0;
  h.kill(detached, true);
  assert.deepEqual(h.over, [detached], "its home, which holds it, is told");
});

test("its home is told once it does not start again, and of one that will not start what it was to be made from is not needed", () => {
  const h = new Harness();
  const { id, worker } = h.alive("1", { maxRestarts: 1 });
  h.lose(worker);
  assert.deepEqual(h.over, []);
  h.lose(h.start(id));
  assert.deepEqual(h.over, [id]);
  const { id: named } = h.alive("2", { name: "x" });
  const alias = h.declare("3", { name: "x", getIfExists: true }, B);
  h.create(alias, {}, B);
  assert.deepEqual(h.over, [id, alias], `not ${named}`);
});

test("its maker's end before its arguments came is its own, after that not", () => {
  const h = new Harness();
  const early = h.declare("1");
  const late = h.declare("2");
  h.create(late);
  h.control.watch(B, { actorId: early });
  h.states(B);
  assert.equal(h.control.processLost(A), undefined);
  h.control.check();
  assert.equal(h.dead(B).failure?.code, "OWNER_DIED");
  h.start(late);
  assert.deepEqual(
    h.control.actors().map(({ phase }) => phase),
    ["dead", "alive"],
  );
});

test("a job's end is that of its actors, but for the detached", () => {
  const h = new Harness();
  h.control.driverJoined(A, JOB);
  h.alive("1");
  h.declare("2");
  h.alive("3", { detached: true, name: "d" });
  assert.equal(h.control.processLost(A), JOB);
  h.control.check();
  assert.deepEqual(
    h.control.actors().map(({ phase }) => phase),
    ["dead", "dead", "alive"],
  );
});

test("an actor that cannot be placed, or is not known, is dead with the reason", () => {
  const h = new Harness();
  const id = h.declare("1");
  h.create(id);
  h.control.unplaced(id, 1, { code: "PLACEMENT", message: "its placement group was removed" }, undefined);
  assert.equal(h.dead().failure?.code, "PLACEMENT");
  const abandoned = h.declare("2");
  h.control.abandon(A, { actorId: abandoned, error: new Uint8Array([1]) });
  assert.deepEqual(h.dead().error, new Uint8Array([1]));
  h.control.watch(B, { actorId: "nobody-a" as ActorId });
  assert.equal(h.dead(B).failure?.code, "ACTOR_NOT_FOUND");
  h.control.watch(B, { actorId: id });
  assert.equal(h.dead(B).failure?.code, "PLACEMENT", "the dead are remembered");
});

test("an actor whose state cannot be saved is over, with the error", () => {
  const h = new Harness();
  const id = h.declare("failed", { maxRestarts: 5, checkpoint: { everyCalls: 1, everyMs: 0 } });
  h.create(id);
  const worker = h.start(id);
  h.control.startFailed(worker, { actorId: id, epoch: 2, error: new Uint8Array([9]) });
  assert.equal(h.control.actors()[0]!.phase, "alive", "another incarnation's word is not its own");
  h.control.startFailed(worker, { actorId: id, epoch: 1, error: new Uint8Array([9]) });
  h.control.check();
  assert.equal(h.control.actors()[0]!.phase, "dead");
  assert.equal(h.unplaced.length, 1);
});
