/**
 * Submitted jobs in virtual time: the real control with a store that takes a while, two nodes that keep a control in turns and run entry
 * points, and clients that submit, stop and remove. Controls end at any moment, with what they had not stored and not said; nodes die and
 * are stopped; supervisors die. What became of each job must be what happened to it. The rest of the simulator has no control of its own.
 */
import { ClusterControl } from "../src/core/control/cluster-control.ts";
import type { FromNode, ToNode } from "../src/core/control/cluster-control.ts";
import { isOver } from "../src/core/control/jobs.ts";
import type { SubmittedJob } from "../src/core/control/jobs.ts";
import type { Submissions } from "../src/core/control/submissions.ts";
import { SavedTables } from "../src/core/control/tables.ts";
import type { SavedEntry, TableName } from "../src/core/control/tables.ts";
import type { JobId, NodeId } from "../src/protocol/ids.ts";
import type { Body } from "../src/protocol/messages.ts";
import { Clock } from "./clock.ts";
import { Rng } from "./rng.ts";
import { EntryNode } from "./submitted-node.ts";
import { Trace } from "./trace.ts";

const MS = 1000;
/** Faults and clients until then; what is open after that has this long to end. */
const WORK_MS = 30_000;
const SETTLE_MS = 60_000;

interface Batch {
  readonly changes: ReadonlyMap<string, { readonly entry: SavedEntry; readonly gone: boolean }>;
  readonly heard: ReadonlyMap<NodeId, number>;
  readonly effects: readonly (() => void)[];
  stored: boolean;
}

/** What is known of a job beside control. */
export interface Known {
  acknowledged: boolean;
  stopAsked: boolean;
  removeAsked: boolean;
  /** As control said once it was over. */
  ended: string | undefined;
  /** Where its entry point began. */
  readonly began: NodeId[];
  /** What can have become of it. */
  readonly ends: Set<string>;
}

export class SubmittedJobs {
  readonly clock = new Clock();
  readonly trace = new Trace(true);
  readonly known = new Map<JobId, Known>();
  readonly rng: Rng;
  #control: ClusterControl | undefined;
  #nodes: EntryNode[] = [];
  readonly #gone = new Set<NodeId>();
  #leader = 0;
  #life = 0;
  #made = 0;
  #calm = false;
  readonly #store = new Map<string, SavedEntry>();
  readonly #stored = new Map<NodeId, number>();
  #dirty = new Map<string, [TableName, string]>();
  #hearing = new Map<NodeId, number>();
  #effects: (() => void)[] = [];
  #batches: Batch[] = [];
  readonly counts = { controls: 0, nodes: 0, ended: new Map<string, number>() };

  constructor(seed: string) {
    this.rng = new Rng(`submitted ${seed}`);
    for (let i = 0; i < 2; i++) this.#nodes.push(this.#makeNode());
    this.#begin();
    this.#every(1000, () => this.#tick());
    this.#every(this.rng.int(20, 400), () => this.#client());
    this.#every(this.rng.int(300, 6000), () => this.#fault());
  }

  run(): void {
    while (this.clock.step(WORK_MS * MS));
    this.#calm = true;
    for (const node of this.#nodes) node.resume();
    while (this.clock.step((WORK_MS + SETTLE_MS) * MS));
    this.#judge();
  }

  // ── control ──────────────────────────────────────────────────────────────────────────────────

  #begin(): void {
    const life = ++this.#life;
    this.counts.controls++;
    const control = (this.#control = new ClusterControl(
      {
        send: (to, name, body) => void this.#effects.push(() => this.#toNode(life, to, name, body)),
        fence: (id) => void this.#effects.push(() => void this.#gone.add(id)),
        probe: (id) => {
          if (!this.#nodes.some((node) => node.id === id && node.alive)) this.#say(life, () => control.absent(id, "gone", this.clock.ms));
        },
        keep: (table, key) => void this.#dirty.set(`${table} ${key}`, [table, key]),
        keptBy: this.#nodes[this.#leader]!.id,
        chance: () => this.rng.float(),
        clock: () => Math.floor(this.clock.ms),
      },
      life,
    ));
    this.#event("control begins", () => control.restore(new SavedTables(this.#store.values()), this.clock.ms));
    for (const node of this.#nodes) node.controlBegan(life);
  }

  /** What was not stored is lost, or stored without a word of it; what was not said is not said. */
  #end(): void {
    this.#control = undefined;
    this.#life++;
    const reached = this.rng.int(0, this.#batches.length);
    for (const batch of this.#batches.slice(0, reached)) this.#apply(batch);
    this.#batches = [];
    this.#dirty = new Map();
    this.#hearing = new Map();
    this.#effects = [];
    this.trace.tell(this.clock.now, () => "control has ended");
    this.clock.after(this.rng.int(50, 3000) * MS, () => {
      // Where the store is shared, another node's may lead next.
      if (!this.#nodes[this.#leader]!.alive || this.rng.chance(0.4)) this.#leader = 1 - this.#leader;
      if (this.#nodes[this.#leader]!.alive) this.#begin();
      else this.#end();
    });
  }

  /** Something happens to control: its changes are one write, its effects follow that. */
  #event(what: string, event: () => void): void {
    this.trace.text(what);
    this.trace.tell(this.clock.now, () => what);
    event();
    const control = this.#control!;
    control.check();
    this.#watch(control);
    const changes = new Map<string, { entry: SavedEntry; gone: boolean }>();
    for (const [name, [table, key]] of this.#dirty) {
      const value = control.saved(table, key);
      changes.set(name, { entry: { table, key, value: value ?? new Uint8Array() }, gone: value === undefined });
    }
    const batch: Batch = { changes, heard: this.#hearing, effects: this.#effects, stored: false };
    this.#dirty = new Map();
    this.#hearing = new Map();
    this.#effects = [];
    this.#batches.push(batch);
    const life = this.#life;
    this.clock.after(this.rng.tailed(2, 300, 30) * MS, () => {
      batch.stored = true;
      while (life === this.#life && this.#batches[0]?.stored === true) {
        const next = this.#batches.shift()!;
        this.#apply(next);
        for (const effect of next.effects) effect();
      }
    });
  }

  #apply({ changes, heard }: Batch): void {
    for (const [name, { entry, gone }] of changes) {
      if (gone) this.#store.delete(name);
      else this.#store.set(name, entry);
    }
    for (const [node, next] of heard) this.#stored.set(node, next);
  }

  #say(life: number, event: () => void): void {
    this.clock.after(this.rng.int(1, 3) * MS, () => {
      if (life === this.#life && this.#control !== undefined) this.#event("control is told", event);
    });
  }

  #tick(): void {
    if (this.#control !== undefined) this.#event("tick", () => this.#control!.tick(this.clock.ms));
    for (const node of this.#nodes) node.beat();
  }

  // ── nodes ────────────────────────────────────────────────────────────────────────────────────

  #makeNode(): EntryNode {
    this.counts.nodes++;
    const id = `${(++this.#made).toString(16).padStart(6, "0")}000000` as NodeId;
    return new EntryNode(id, this.clock, this.rng, {
      hears: () => this.#control !== undefined,
      stored: () => this.#stored.get(id) ?? 0,
      refused: () => this.#gone.has(id),
      tell: (what) => this.trace.tell(this.clock.now, () => `${id} ${what}`),
      deliver: (name, body, number) => this.#fromNode(id, name, body, number),
      began: (job) => this.#began(id, job),
      mayEnd: (job, how) => void this.known.get(job)?.ends.add(how),
      replaced: (node) => {
        const at = this.#nodes.indexOf(node);
        this.#nodes[at] = this.#makeNode();
        if (this.#control !== undefined) this.#nodes[at].controlBegan(this.#life);
        if (at === this.#leader && this.#control !== undefined) this.#end();
      },
    });
  }

  #fromNode(from: NodeId, name: FromNode, body: Body<FromNode>, number: number): void {
    this.#event(`control hears ${from} ${number} ${name} ${JSON.stringify(name === "jobNews" ? body : "")}`, () => {
      const life = this.#life;
      const node = this.#nodes.find(({ id }) => id === from);
      this.#effects.push(() => life === this.#life && node?.acknowledged(number + 1));
      if (number < (this.#stored.get(from) ?? 0)) return;
      this.#hearing.set(from, number + 1);
      this.#control!.receive(from, name, body, this.clock.ms);
    });
  }

  #toNode(life: number, to: NodeId, name: ToNode, body: Body<ToNode>): void {
    const node = this.#nodes.find(({ id }) => id === to);
    // What is on its way when control ends still arrives, or does not.
    node?.way(() => {
      if (life === this.#life || this.rng.chance(0.5)) node.receive(name, body);
    });
  }

  #began(on: NodeId, job: JobId): void {
    const known = this.known.get(job)!;
    this.trace.text(`${job} begins on ${on}`);
    for (const before of known.began) {
      if (before === on) throw new Error(`${job} begins twice on ${on}`);
      const lives = this.#nodes.some(({ id, alive }) => id === before && alive) && !this.#gone.has(before);
      if (lives) throw new Error(`${job} begins on ${on}, and ${before}, where it began, is not given up`);
    }
    known.began.push(on);
  }

  // ── clients, faults ──────────────────────────────────────────────────────────────────────────

  #every(meanMs: number, run: () => void): void {
    const again = (): void => {
      run();
      this.clock.after(this.rng.int(1, 2 * meanMs) * MS, again);
    };
    this.clock.after(meanMs * MS, again);
  }

  #client(): void {
    if (this.#calm) return;
    const ids = [...this.known.keys()];
    const choice = this.rng.float();
    if (choice < 0.55 || ids.length === 0) return this.#submit(`job-${(ids.length + 1).toString(16).padStart(8, "0")}` as JobId);
    const id = this.rng.pick(ids);
    const known = this.known.get(id)!;
    if (choice < 0.85) {
      known.stopAsked = true;
      this.#ask((submissions) => void submissions.stop(id));
    } else if (known.ended !== undefined) {
      known.removeAsked = true;
      this.#ask((submissions) => void submissions.remove(id));
    }
  }

  #submit(id: JobId): void {
    const known = { acknowledged: false, stopAsked: false, removeAsked: false, ended: undefined, began: [], ends: new Set<string>() };
    this.known.set(id, known);
    const priority = this.rng.int(0, 1);
    const submission = { entrypoint: ["true"], shell: true, weight: 1, priority };
    this.#ask(
      (submissions) => void submissions.submit(id, submission),
      () => (this.known.get(id)!.acknowledged = true),
    );
  }

  /** Asked again until it is answered. */
  #ask(question: (submissions: Submissions) => void, answered: () => void = () => {}): void {
    let done = false;
    const life = this.#life;
    const control = this.#control;
    if (control !== undefined) {
      this.#event("a question", () => {
        control.submitted(question, this.clock.ms);
        this.#effects.push(() => {
          done = life === this.#life;
          if (done) answered();
        });
      });
    }
    this.clock.after(this.rng.int(500, 1500) * MS, () => (done ? undefined : this.#ask(question, answered)));
  }

  #fault(): void {
    if (this.#calm) return;
    const node = this.rng.pick(this.#nodes);
    const choice = this.rng.float();
    if (choice < 0.5 && this.#control !== undefined) this.#end();
    else if (choice < 0.65) node.die();
    else if (choice < 0.8) node.pause(this.rng.int(100, 8000));
    else node.supervisorDies();
  }

  // ── what must be so ──────────────────────────────────────────────────────────────────────────

  /** An end that was told stays. */
  #watch(control: ClusterControl): void {
    for (const [id, job] of control.jobs.submitted()) {
      const known = this.known.get(id)!;
      if (known.ended !== undefined && known.ended !== job.status) throw new Error(`${id} was ${known.ended}, and is ${job.status}`);
      if (!isOver(job.status)) continue;
      this.#effects.push(() => (known.ended ??= job.status));
    }
  }

  #judge(): void {
    const control = this.#control;
    if (control === undefined) throw new Error("there is no control in the end");
    for (const [id, known] of this.known) {
      const job = control.jobs.submittedJob(id);
      if (job === undefined) {
        if (known.acknowledged && !known.removeAsked) throw new Error(`${id} was acknowledged, and is not known`);
        continue;
      }
      this.#judgeJob(id, known, job);
    }
    for (const node of this.#nodes) if (node.running > 0) throw new Error(`${node.running} jobs run on ${node.id} in the end`);
  }

  #judgeJob(id: JobId, { stopAsked, ends }: Known, { status, message, nodeId }: SubmittedJob): void {
    this.counts.ended.set(status, (this.counts.ended.get(status) ?? 0) + 1);
    if (!isOver(status)) throw new Error(`${id} is ${status} in the end, at ${nodeId}: ${message}`);
    if (status === "STOPPED" && !stopAsked) throw new Error(`${id} is STOPPED, and nobody asked for that`);
    if (status === "SUCCEEDED" && !ends.has(status)) throw new Error(`${id} is SUCCEEDED, and it has not: ${message}`);
    // Of a node that was given up nobody knows what has become of it.
    const lost = nodeId !== undefined && this.#gone.has(nodeId);
    if (status === "FAILED" && !ends.has(status) && !lost) throw new Error(`${id} is FAILED, and nothing has: ${message}`);
  }
}
