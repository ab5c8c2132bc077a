/**
 * The machines of a node together, as the daemon wires them: random histories of actors, their handles and their workers.
 * In the end, when all processes are gone, nothing is held and nothing is taken.
 */
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import fc from "fast-check";
import type { ActorId, FunctionId, JobId, NodeId, ObjectId, ProcessId } from "../../src/protocol/ids.ts";
import type { Body, MessageName } from "../../src/protocol/messages.ts";
import { Machines } from "../../src/runtime/daemon/machines.ts";
import { LineReader } from "../../src/runtime/daemon/output.ts";
import { amounts, shape } from "./node-harness.ts";

const JOB = "job1" as JobId;
const DRIVERS = ["dddddddddd01", "dddddddddd02"] as ProcessId[];
const NONE = new Uint8Array();

class World {
  readonly starting: ProcessId[] = [];
  readonly alive: ProcessId[] = [];
  readonly doomed = new Set<ProcessId>();
  /** Incarnations that workers were told to start. */
  readonly starts: { worker: ProcessId; actorId: ActorId; epoch: number }[] = [];
  readonly stored = new Set<ObjectId>();
  actors: ActorId[] = [];
  readonly machines = new Machines(
    { nodeId: "aaaaaa000000" as NodeId, total: amounts({ CPU: 2 }), labels: {}, workers: 2 },
    {
      send: (to, name, body) => this.#sent(to, name, body),
      spawnWorker: (id) => void this.starting.push(id),
      killWorker: (id) => void this.doomed.add(id),
      prepareEnvironment: () => assert.fail("no environment is asked for"),
      releaseEnvironment: () => {},
      freeStored: (id) => assert.ok(this.stored.delete(id), `${id} is freed once`),
      keepHere: () => assert.fail("there is no other node"),
    },
  );

  constructor() {
    this.run(({ node }) => node.prestart([], this.machines.now()));
    DRIVERS.forEach((id, i) =>
      this.run(({ node, ownControl }) => {
        node.driverJoined(id, `${JOB}${i}` as JobId);
        ownControl!.driverJoined(id, `${JOB}${i}` as JobId);
      }),
    );
  }

  run(event: (machines: Machines) => void): void {
    this.machines.run(() => event(this.machines));
    this.machines.check();
  }

  hello(id: ProcessId): void {
    this.starting.splice(this.starting.indexOf(id), 1);
    this.alive.push(id);
    this.run(({ node }) => node.workerJoined({ processId: id, pid: 1, socket: "s" }, this.machines.now()));
  }

  /** As the daemon does when a process is gone. */
  lose(id: ProcessId): void {
    for (const list of [this.starting, this.alive]) if (list.includes(id)) list.splice(list.indexOf(id), 1);
    this.doomed.delete(id);
    const reason = { cause: "signal" as const, message: "lost" };
    this.run(({ node, control, refs, now }) => {
      const at = now();
      control.workerLost(id, reason, at);
      node.workerLost(id, reason, at);
      node.ownerLost(id, at);
      refs.processLost(id);
      const job = control.processLost(id);
      if (job !== undefined) node.jobEnded(job, at);
    });
  }

  #sent(to: ProcessId, name: MessageName, body: object): void {
    if (name === "exitRequest") this.doomed.add(to);
    if (name !== "actorStart") return;
    const { actorId, epoch } = body as Body<"actorStart">;
    this.starts.push({ worker: to, actorId, epoch });
  }
}

const pick = <T>(list: readonly T[], n: number): T | undefined => list[n % Math.max(1, list.length)];

const acts: ((w: World, a: number, b: number) => void)[] = [
  (w, a, b) => {
    const driver = a % DRIVERS.length;
    const actorId = `${DRIVERS[driver]!}-${w.actors.length}-a` as ActorId;
    const arg = `${DRIVERS[driver]!}-${w.actors.length}-p` as ObjectId;
    w.actors.push(actorId);
    const name = b % 3 === 0 ? `name${b % 2}` : undefined;
    w.run(({ refs, control }) => {
      refs.declared(actorId, DRIVERS[driver]!, false);
      control.declare(DRIVERS[driver]!, {
        actorId,
        jobId: `${JOB}${driver}` as JobId,
        className: "A",
        shape: shape({}),
        options: {
          name,
          namespace: "n",
          detached: b % 7 === 0,
          getIfExists: b % 2 === 0,
          maxRestarts: (b % 4) - 1,
          maxConcurrency: 1,
          resources: amounts(b % 5 === 0 ? { CPU: 1 } : {}),
          placementResources: amounts({ CPU: 1 }),
        },
      });
      w.stored.add(arg);
      refs.sealed(arg, DRIVERS[driver]!, 1, []);
      const argPayloads = [{ index: 0, payload: { kind: "stored" as const, id: arg, size: 1 } }];
      if (b % 6 !== 0)
        control.create(DRIVERS[driver]!, { actorId, functionId: "f" as FunctionId, definition: NONE, args: NONE, argPayloads });
      refs.drop(DRIVERS[driver]!, { id: arg, count: 1 });
    });
  },
  (w, a) => {
    const id = pick(w.starting, a);
    if (id !== undefined) w.hello(id);
  },
  (w, a) => {
    const start = pick(w.starts, a);
    if (start) w.run(({ control, now }) => control.started(start.worker, { actorId: start.actorId, epoch: start.epoch }, now()));
  },
  (w, a) => {
    const start = pick(w.starts, a);
    if (start) w.run(({ control }) => control.startFailed(start.worker, { actorId: start.actorId, epoch: start.epoch, error: NONE }));
  },
  (w, a) => {
    const start = pick(w.starts, a);
    if (start) w.run(({ control }) => control.exit(start.worker, { actorId: start.actorId }));
  },
  (w, a, b) => {
    const id = pick(w.actors, a);
    if (id !== undefined) w.run(({ control }) => control.kill(DRIVERS[0]!, 0, { kind: "actorKill", actorId: id, noRestart: b % 2 === 0 }));
  },
  // A handle is passed on, or let go of.
  (w, a, b) => {
    const id = pick(w.actors, a);
    const holder = pick([...DRIVERS, ...w.alive], b);
    if (id === undefined) return;
    w.run(({ refs }) => (b % 3 === 0 ? refs.add(id, holder!) : refs.drop(holder!, { id, count: 1 })));
  },
  (w, a, b) => {
    const id = pick(w.actors, a);
    if (id !== undefined) w.run(({ control }) => control.watch(pick(DRIVERS, b)!, { actorId: id }));
  },
  (w, a) => w.run(({ control }) => control.byName(pick(DRIVERS, a)!, 1, `name${a % 2}`, "n")),
  (w, a) => {
    const id = pick([...w.doomed], a);
    if (id !== undefined) w.lose(id);
  },
  (w, a) => {
    const id = pick(w.alive, a);
    if (id !== undefined) w.lose(id);
  },
  (w, a, b) => {
    if (b % 10 === 0) w.lose(pick(DRIVERS, a)!);
  },
  (w) =>
    w.run(({ node, ownControl, now }) => {
      node.tick(now() + 10_000);
      ownControl!.tick(now() + 10_000);
    }),
];
const weights = [6, 6, 6, 1, 1, 2, 4, 2, 1, 4, 2, 1, 3];
const kinds = fc.oneof(...weights.map((weight, kind) => ({ weight, arbitrary: fc.constant(kind) })));
const ops = fc.array(fc.tuple(kinds, fc.nat(1000), fc.nat(1000)), { minLength: 1, maxLength: 120, size: "max" });

test("after any history of actors, when all processes are gone nothing is held and nothing is taken", () => {
  let alive = 0;
  fc.assert(
    fc.property(ops, (list) => {
      const w = new World();
      for (const [kind, a, b] of list) acts[kind]!(w, a, b);
      alive += w.machines.ownControl!.actors().filter(({ phase }) => phase === "alive").length;
      for (const id of w.actors) w.run(({ control }) => control.kill(DRIVERS[0]!, 0, { kind: "actorKill", actorId: id, noRestart: true }));
      for (const driver of DRIVERS) w.lose(driver);
      for (let i = 0; i < 20; i++) for (const id of [...w.doomed, ...w.starting, ...w.alive]) w.lose(id);
      assert.equal(w.machines.refs.size, 0);
      assert.equal(w.stored.size, 0);
      assert.deepEqual({ ...w.machines.node.free }, { CPU: 20_000 });
      assert.ok(w.machines.ownControl!.actors().every(({ phase }) => phase === "dead"));
    }),
    { numRuns: 300, includeErrorInReport: true },
  );
  assert.ok(alive > 100, `${alive} actors were alive at some end`);
});

test("lines come out the same however their bytes are cut", async () => {
  const text = fc.array(fc.constantFrom("a", "é", "🙂", "\n", "\r\n", "long ".repeat(3)), { maxLength: 40 }).map((parts) => parts.join(""));
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(7), { maxLength: 60 }), async (all, cuts) => {
      const stream = new PassThrough();
      const lines: string[] = [];
      const reader = new LineReader(stream, (found) => lines.push(...found));
      const bytes = Buffer.from(all);
      let at = 0;
      for (const cut of cuts) stream.write(bytes.subarray(at, (at += cut)));
      stream.end(bytes.subarray(at));
      await new Promise((resolve) => stream.on("end", resolve));
      reader.end();
      const expected = all.split("\n").map((line) => (line.endsWith("\r") ? line.slice(0, -1) : line));
      if (all.endsWith("\n") || all === "") expected.pop();
      assert.deepEqual(lines, expected);
    }),
    { numRuns: 200, includeErrorInReport: true },
  );
});
