/** A node of the simulation of submitted jobs: it does with orders what src/runtime/jobs does, and keeps what control has not stored. */
import type { FromNode, ToNode } from "../src/core/control/cluster-control.ts";
import type { JobId, NodeId } from "../src/protocol/ids.ts";
import type { NodeView } from "../src/protocol/cluster.ts";
import type { Body } from "../src/protocol/messages.ts";
import type { Clock } from "./clock.ts";
import type { Rng } from "./rng.ts";

const MS = 1000;

export interface EntryWorld {
  /** There is a control. */
  hears(): boolean;
  /** The number of the next message of this node whose effect is not stored. */
  stored(): number;
  /** It was given up. */
  refused(): boolean;
  /** For the story. */
  tell(what: string): void;
  deliver(name: FromNode, body: Body<FromNode>, number: number): void;
  began(job: JobId): void;
  /** It is true to say of the job from now on. */
  mayEnd(job: JobId, how: "SUCCEEDED" | "FAILED"): void;
  /** It is gone; another takes its place. */
  replaced(node: EntryNode): void;
}

interface Entry {
  runs: boolean;
  stopping: boolean;
}

type End = "SUCCEEDED" | "FAILED" | "STOPPED";

export class EntryNode {
  readonly id: NodeId;
  alive = true;
  readonly #clock: Clock;
  readonly #rng: Rng;
  readonly #world: EntryWorld;
  readonly #jobs = new Map<JobId, Entry>();
  readonly #done = new Set<JobId>();
  /** Not acknowledged. */
  #kept: { readonly number: number; readonly name: FromNode; readonly body: Body<FromNode> }[] = [];
  #next = 0;
  /** Of the kept ones: how many are on their way to this control. */
  #sent = 0;
  #life = 0;
  /** It has found this control. */
  #found = false;
  #paused = false;
  #wayFree = 0;
  #hearsFree = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(id: NodeId, clock: Clock, rng: Rng, world: EntryWorld) {
    this.id = id;
    this.#clock = clock;
    this.#rng = rng;
    this.#world = world;
  }

  get running(): number {
    return this.alive ? this.#jobs.size : 0;
  }

  /** Everything that is kept goes again, and behind it what this node is. */
  controlBegan(epoch: number): void {
    const life = ++this.#life;
    this.#found = false;
    this.#clock.after(this.#rng.int(5, 500) * MS, () => {
      this.#doing(() => {
        if (life !== this.#life || !this.#world.hears()) return;
        this.#found = true;
        if (this.#world.refused()) return this.die();
        this.#sent = 0;
        const view = this.#view();
        const entries = [...this.#jobs.keys()];
        this.#world.tell(`joins by ${this.#next}: keeps ${this.#kept.map(({ number }) => number).join(" ")}, has ${entries.join(" ")}`);
        const to = this.#next === 0 ? undefined : epoch;
        this.#say("nodeJoin", { view, to, jobs: [], processes: [], actors: [], watches: [], bundles: [], entries, uses: [] });
      });
    });
  }

  beat(): void {
    if (!this.alive || this.#paused) return;
    if (this.#world.refused()) return this.die();
    this.#say("nodeStatus", { free: {}, queued: {}, pending: [], uses: [] });
  }

  acknowledged(next: number): void {
    const before = this.#kept.length;
    this.#kept = this.#kept.filter(({ number }) => number >= next);
    this.#sent = Math.max(0, this.#sent - (before - this.#kept.length));
  }

  /** In order. */
  way(arrives: () => void): void {
    this.#wayFree = Math.max(this.#wayFree, this.#clock.now + this.#rng.int(1, 4) * MS);
    this.#clock.after(this.#wayFree - this.#clock.now, () => this.#doing(arrives));
  }

  receive(name: ToNode, body: Body<ToNode>): void {
    if (name !== "jobOrder" || !this.alive) return;
    const { jobId, order } = body as Body<"jobOrder">;
    this.#world.tell(`is ordered to ${order.kind} ${jobId}`);
    if (order.kind === "run") this.#run(jobId);
    else if (order.kind === "stop") this.#stop(jobId);
    else if (this.#jobs.has(jobId)) throw new Error(`${jobId} is forgotten while it runs on ${this.id}`);
  }

  // ── faults ───────────────────────────────────────────────────────────────────────────────────

  die(): void {
    if (!this.alive) return;
    this.alive = false;
    for (const job of this.#jobs.keys()) this.#world.mayEnd(job, "FAILED");
    // What it had told and nobody has heard is lost with it.
    for (const { name, body } of this.#kept) if (name === "jobNews") this.#world.mayEnd((body as Body<"jobNews">).jobId, "FAILED");
    this.#clock.after(this.#rng.int(100, 4000) * MS, () => this.#world.replaced(this));
  }

  pause(ms: number): void {
    this.#paused = true;
    this.#clock.after(ms * MS, () => this.resume());
  }

  resume(): void {
    this.#paused = false;
    for (const run of this.#waiting.splice(0)) run();
  }

  supervisorDies(): void {
    for (const [job, { runs }] of [...this.#jobs]) {
      if (!runs) continue;
      this.#world.mayEnd(job, "FAILED");
      this.#ended(job, "FAILED");
    }
  }

  // ── jobs ─────────────────────────────────────────────────────────────────────────────────────

  #run(job: JobId): void {
    if (this.#jobs.has(job) || this.#done.has(job)) return;
    const entry: Entry = { runs: false, stopping: false };
    this.#jobs.set(job, entry);
    this.#later(job, entry, this.#rng.tailed(20, 2000, 10), () => {
      if (this.#rng.chance(0.05)) {
        this.#world.mayEnd(job, "FAILED");
        return this.#ended(job, "FAILED");
      }
      entry.runs = true;
      this.#world.began(job);
      this.#news(job, { kind: "started" });
      const how = this.#rng.chance(0.7) ? "SUCCEEDED" : "FAILED";
      this.#later(job, entry, this.#rng.tailed(300, 6000, 5), () => {
        this.#world.mayEnd(job, how);
        this.#ended(job, entry.stopping ? "STOPPED" : how);
      });
    });
  }

  #stop(job: JobId): void {
    const entry = this.#jobs.get(job);
    if (entry === undefined) return;
    entry.stopping = true;
    if (!entry.runs) return this.#ended(job, "STOPPED");
    this.#later(job, entry, this.#rng.int(1, 500), () => this.#ended(job, "STOPPED"));
  }

  #ended(job: JobId, status: End): void {
    if (!this.#jobs.delete(job)) return;
    this.#done.add(job);
    this.#news(job, { kind: "ended", status, message: `it is ${status}` });
  }

  #news(jobId: JobId, news: Body<"jobNews">["news"]): void {
    this.#world.tell(`says ${this.#next}: ${jobId} ${JSON.stringify(news)}`);
    this.#say("jobNews", { jobId, news });
  }

  /** Unless the job has ended meanwhile. */
  #later(job: JobId, entry: Entry, ms: number, run: () => void): void {
    this.#clock.after(ms * MS, () => {
      this.#doing(() => {
        if (this.alive && this.#jobs.get(job) === entry) run();
      });
    });
  }

  /** A node that is stopped does it when it goes on. */
  #doing(run: () => void): void {
    if (this.#paused) this.#waiting.push(run);
    else if (this.alive) run();
  }

  // ── the link ─────────────────────────────────────────────────────────────────────────────────

  #say<N extends FromNode>(name: N, body: Body<N>): void {
    this.#kept.push({ number: this.#next++, name, body });
    this.#flush();
  }

  #flush(): void {
    const life = this.#life;
    if (!this.#found || !this.#world.hears()) return;
    for (; this.#sent < this.#kept.length; this.#sent++) {
      const { number, name, body } = this.#kept[this.#sent]!;
      this.#hearsFree = Math.max(this.#hearsFree, this.#clock.now + this.#rng.int(1, 4) * MS);
      this.#clock.after(this.#hearsFree - this.#clock.now, () => {
        if (life === this.#life && this.alive && this.#world.hears()) this.#world.deliver(name, body, number);
      });
    }
  }

  #view(): NodeView {
    const where = { host: "h", port: 1, hostname: "h", pid: 1, socket: "s", machine: "m", head: false };
    return { nodeId: this.id, ...where, state: "alive", labels: {}, total: {}, free: {}, queued: {}, pending: [], version: 0 };
  }
}
