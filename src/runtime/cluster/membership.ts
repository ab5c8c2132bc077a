/**
 * A daemon's part in a cluster, from its start to its end: control if it is the head, its membership, the file by which programs and
 * commands of this machine find it, and what control and commands ask of it.
 */
import { rmSync } from "node:fs";
import { hostname } from "node:os";
import { InvalidOptionError } from "../../errors/index.ts";
import type { StoreService } from "../../memory/service.ts";
import type { JobId, ProcessId } from "../../protocol/ids.ts";
import type { Body, MessageName } from "../../protocol/messages.ts";
import { writeNodeFile } from "../client/nodes-here.ts";
import type { Children } from "../daemon/children.ts";
import { nodeSocketOf } from "../daemon/config.ts";
import type { ClusterConfig, DaemonConfig } from "../daemon/config.ts";
import type { ControlKeeper } from "../daemon/control-keeper.ts";
import type { OwnView } from "../daemon/control-link.ts";
import { machineId } from "../daemon/machine-id.ts";
import type { Machines } from "../daemon/machines.ts";
import { startOf } from "../environments/process-marks.ts";
import type { JobsHost } from "../jobs/runner.ts";
import type { Question } from "../network/index.ts";
import { Head } from "./head.ts";
import { Member } from "./member.ts";
import type { MemberHost } from "./member.ts";

/** The daemon, as far as a cluster concerns it. */
export interface DaemonSide extends Pick<MemberHost, "event" | "ask" | "readPackage" | "fetchPackage"> {
  readonly config: DaemonConfig;
  readonly machines: Machines;
  readonly children: Children;
  readonly store: StoreService;
  /** Drivers and workers that are connected. */
  processes(): ProcessId[];
  deliver(to: ProcessId, name: MessageName, body: never): boolean;
  /** For the entry points of jobs. */
  readonly environments: Pick<JobsHost, "prepare" | "release">;
  /** Of this job, if they are connected. */
  cutDrivers(jobId: JobId): void;
  /** Before the first message goes out or comes in. */
  opened(member: Member): void;
  end(why: string, exitCode: number): void;
}

const log = (line: string): void => void process.stderr.write(`mobula node: ${line}\n`);
const DRAIN_LOOK_MS = 50;

export class Membership {
  readonly #side: DaemonSide;
  readonly #cluster: ClusterConfig;
  #keeper: ControlKeeper | undefined;
  /** Where this node keeps a control. */
  #head: Head | undefined;
  #member: Member | undefined;
  /** Once it is written. */
  #file: string | undefined;
  /** Where control is or may be. */
  #control: readonly string[] = [];
  /** Where the control serves, or waits to, that this node keeps. */
  #keeps: string | undefined;
  #closed = false;

  /** Resolves when the node is a member. Rejects with why it cannot be. */
  static async join(cluster: ClusterConfig, side: DaemonSide): Promise<Membership> {
    const membership = new Membership(cluster, side);
    try {
      await membership.#open();
    } catch (error) {
      membership.close();
      throw error;
    }
    return membership;
  }

  private constructor(cluster: ClusterConfig, side: DaemonSide) {
    this.#cluster = cluster;
    this.#side = side;
  }

  /** What its file says is not so any more. */
  #changed(): void {
    if (this.#file !== undefined) this.#writeFile();
  }

  close(): void {
    this.#closed = true;
    this.#member?.close();
    this.#head?.close();
    this.#keeper?.stop();
    if (this.#file !== undefined) rmSync(this.#file, { force: true });
  }

  /** What ends with the daemon and takes a moment. */
  async end(ms: number): Promise<void> {
    await this.#head?.end(ms);
  }

  async #open(): Promise<void> {
    const { keeps, control: addresses } = this.#cluster;
    if (keeps !== undefined) this.#keeps = await this.#startControl(keeps);
    // Who leads comes first; what is kept here may only wait to.
    const control = this.#keeps === undefined ? addresses : [...addresses, this.#keeps];
    this.#control = control;
    this.#head = this.#makeHead();
    // A port that cannot be had is known before anything else is begun.
    if (this.#keeper?.leads === true) await this.#head?.lead();
    const member = (this.#member = await Member.open(this.#host({ ...this.#cluster, control })));
    this.#side.opened(member);
    await member.start();
    this.#writeFile();
  }

  /** For programs and commands of this machine; again when it would say something else. */
  #writeFile(): void {
    const { home, sessionDir, nodeId } = this.#side.config;
    const member = this.#member;
    if (home === undefined || member === undefined || this.#closed) return;
    this.#file = writeNodeFile(home, {
      nodeId,
      pid: process.pid,
      started: startOf(process.pid),
      socket: nodeSocketOf(sessionDir),
      sessionDir,
      clusterId: member.clusterId,
      tokenMark: member.tokenMark,
      control: this.#control,
      address: member.address,
      head: this.#keeper?.leads === true,
      ...(this.#keeps === undefined ? {} : { keeps: this.#keeps }),
      ...(this.#head?.url === undefined ? {} : { dashboardUrl: this.#head.url }),
    });
  }

  #makeHead(): Head | undefined {
    const { home, sessionDir, nodeId } = this.#side.config;
    const { keeps, dashboard } = this.#cluster;
    if (keeps === undefined || home === undefined) return undefined;
    return new Head({
      ...this.#side.environments,
      nodeId,
      home,
      sessionDir,
      keeps,
      dashboard,
      control: () => this.#control,
      leads: () => this.#keeper?.leads === true,
      fetchPackage: (hash) => this.#side.fetchPackage(hash),
      news: (body) => this.#member?.control.jobNews(body),
      serves: () => {
        this.#changed();
        this.#member?.control.statusChanged();
      },
      log,
    });
  }

  /** The control that is kept here leads now, or does not any more. */
  #leads(leads: boolean): void {
    this.#changed();
    if (leads) this.#head?.lead().catch((error: Error) => log(error.message));
  }

  async #startControl(config: NonNullable<ClusterConfig["keeps"]>): Promise<string> {
    const { ControlKeeper } = await import("../daemon/control-keeper.ts");
    const { nodeId } = this.#side.config;
    this.#keeper = new ControlKeeper({ ...config, keptBy: nodeId }, { log, leads: (leads) => this.#leads(leads) });
    return await this.#keeper.start();
  }

  #host(config: ClusterConfig): MemberHost {
    const { machines, children, store, event, ask, readPackage, fetchPackage, deliver, processes, end } = this.#side;
    const { node, refs } = machines;
    const { nodeId } = this.#side.config;
    return {
      nodeId,
      config,
      node,
      refs,
      store,
      event,
      ask,
      readPackage,
      fetchPackage,
      now: () => machines.now(),
      deliver,
      lives: (id) => processes().includes(id) || children.get(id)?.process.exited === false,
      self: () => this.#view(),
      living: () => ({
        processes: processes(),
        actors: node.livingActors(),
        bundles: node.reservedBundles(),
        entries: this.#head?.jobs.entries ?? [],
        journals: machines.journals.ids,
        uses: node.jobUses(),
      }),
      status: () => ({
        free: { ...node.free },
        queued: node.queued(),
        pending: node.pending(),
        uses: node.jobUses(),
        dashboardUrl: this.#keeper?.leads === true ? this.#head?.url : undefined,
      }),
      control: {
        place: (request) => node.placeActor(request, machines.now()),
        unplace: (id, epoch, why) => node.unplaceActor(id, epoch, why, machines.now()),
        jobEnded: (jobId) => this.#jobEnded(jobId),
        jobOrder: (body) => this.#jobOrder(body),
        drain: (timeoutMs) => void this.#drain(timeoutMs),
        controlAt: (addresses) => {
          this.#control = addresses;
          this.#head?.controlAt(addresses);
          this.#changed();
        },
      },
      answer: (question) => this.#answer(question),
      nodeLost: (prefix, reason) => {
        for (const id of processes()) deliver(id, "nodeLost", { prefix, reason } as never);
        machines.journals.nodeLost(prefix);
      },
      logged: (from, name, body) => machines.logged(from, name, body),
      news: (body) => machines.news(body),
      answered: (to, body) => machines.answered(to, body),
      processGone: (id) => machines.journals.processGone(id),
      actorOver: (id) => {
        refs.actorOver(id);
        machines.journals.over(id);
      },
      lost: (error) => end(error.message, 1),
      log,
    };
  }

  #view(): Omit<OwnView, "host" | "port"> {
    const { config, machines } = this.#side;
    const { node } = machines;
    return {
      nodeId: config.nodeId,
      hostname: hostname(),
      pid: process.pid,
      socket: nodeSocketOf(config.sessionDir),
      machine: machineId(),
      head: this.#keeper?.leads === true,
      labels: { ...config.labels },
      total: { ...node.total },
      free: { ...node.free },
      queued: node.queued(),
      pending: node.pending(),
    };
  }

  /** Its workers are of no use to another job. */
  #jobEnded(jobId: JobId): void {
    const { machines, children } = this.#side;
    const { node } = machines;
    // One that was started by a submitted job may be there still: it ends with that.
    this.#side.cutDrivers(jobId);
    node.jobEnded(jobId, machines.now());
    // An actor's end is control's to say: it may be detached.
    const actors = new Set(node.livingActors().map(({ worker }) => worker.processId));
    for (const id of children.ofJob(jobId)) {
      if (!actors.has(id)) node.killWorker(id, { cause: "killed", message: `job ${jobId} has ended` }, machines.now());
    }
  }

  #jobOrder(body: Body<"jobOrder">): void {
    if (this.#head !== undefined) return this.#head.jobs.order(body);
    const message = "it was ordered to a node that runs no entry points of jobs: that is the head's to do";
    if (body.order.kind === "run") this.#member?.control.jobNews({ jobId: body.jobId, news: { kind: "ended", status: "FAILED", message } });
  }

  /** What runs here is finished, or given so long; then this node leaves. */
  async #drain(timeoutMs: number): Promise<void> {
    const until = performance.now() + timeoutMs;
    const { node } = this.#side.machines;
    while (performance.now() < until && node.leases().length > 0) await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
    this.#side.end("it was drained", 0);
  }

  /** What a command asks this node. */
  #answer(question: Question): Promise<unknown> {
    const { machines, children, config } = this.#side;
    if (question.kind !== "workers") {
      return Promise.reject(
        new InvalidOptionError(`A node answers no question ${question.kind}.`, { option: "kind", value: question.kind }),
      );
    }
    return Promise.resolve(
      machines.node.workers().map(({ processId, state, leases, actorId }) => {
        const child = children.get(processId);
        return { workerId: processId, nodeId: config.nodeId, pid: child?.process.pid, state, leases, actorId, title: child?.title };
      }),
    );
  }
}
