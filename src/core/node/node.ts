/**
 * The node machine: leases, the worker pool and placement groups of one machine. It says who may run where; it sees no
 * task. Events come as method calls, with the time; what it does goes out through its port. Each event ends with a
 * pass of dispatch.ts, so that nothing waits that could run.
 */
import { prefixOf } from "../../protocol/ids.ts";
import type { ActorId, JobId, LeaseId, LeaseRequestId, NodePrefix, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { ReservedBundle } from "../../protocol/cluster.ts";
import type { Body, DeathReason, Failure, JobTerms, JobUse, ResourceAmounts } from "../../protocol/messages.ts";
import { actorWant, actorWantId, leaseWant, refusal } from "./admission.ts";
import { JobAccounts } from "./jobs.ts";
import type { JobAccount } from "./jobs.ts";
import type { ActorRequest } from "./admission.ts";
import { Alarm } from "./alarm.ts";
import { EnvironmentTable, partsOfEnvKey } from "./environments.ts";
import { checkNode } from "./check.ts";
import { dispatch, isLimited, resumeDemand } from "./dispatch.ts";
import { cancelBundles, commitBundles, prepareBundles, refuseGroup, removeBundles, reservedBundles } from "./bundles.ts";
import { become } from "./lease-states.ts";
import { awaitGroup, createGroup, findGroup, refuse, releaseGroup, removeGroup, removeGroupsOf } from "./groups.ts";
import { Ledger } from "./ledger.ts";
import { endOrphans, orphan } from "./orphans.ts";
import { WorkerPool } from "./pool.ts";
import { RequestQueue } from "./queue.ts";
import { copyOf, excessOf, fits, isEmpty, subtractFrom } from "../resources.ts";
import { GONE_MAX, remember, TOMBSTONES_MAX } from "./state.ts";
import type { ActorHold, ActorPlacement, Lease, NodeConfig, NodePort, NodeState, Want, Worker } from "./state.ts";
import { pendingOf, warn, watch } from "./warnings.ts";

type Question = Body<"ask">["question"];
export type GroupQuestion = Extract<Question, { kind: `group${string}` }>;

export class NodeMachine {
  readonly #s: NodeState;

  constructor(config: NodeConfig, port: NodePort) {
    const alarm = new Alarm();
    const jobs = new JobAccounts(config.total, config.limitsDivided === true);
    this.#s = {
      config,
      port,
      alarm,
      ledger: new Ledger(config.total),
      jobs,
      queue: new RequestQueue(jobs),
      pool: new WorkerPool(config, port, alarm, (process) => this.#owns(process)),
      leases: new Map(),
      active: new Set(),
      wanted: new Set(),
      byRequest: new Map(),
      tombstones: new Map(),
      resuming: new Set(),
      orphans: new Map(),
      environments: new EnvironmentTable(port),
      actors: new Map(),
      groups: new Map(),
      groupsOver: new Set(),
      prepared: new Map(),
      groupNames: new Map(),
      owners: new Set(),
      gone: new Map(),
      drivers: new Map(),
      warned: new Map(),
      leaseCount: 0,
    };
  }

  // ── processes ────────────────────────────────────────────────────────────────────────────────

  /** Processes that the daemon started before it was ready, and as many more as make up the pool, or `most`. */
  prestart(started: readonly ProcessId[], now: number, most: number = this.#s.config.workers): void {
    for (const id of started) this.#s.pool.adopt(id, now);
    while (this.#s.pool.taskWorkers < most) this.#s.pool.start("{}", now);
  }

  driverJoined(id: ProcessId, jobId: JobId, terms?: JobTerms): void {
    const { owners, drivers, jobs } = this.#s;
    owners.add(id);
    drivers.set(id, jobId);
    jobs.of(jobId).members++;
    jobs.known(jobId, terms);
  }

  /** False for a process that was not started here or is gone already. */
  workerJoined(body: Body<"workerHello">, now: number): boolean {
    const { processId, pid, socket, reach } = body;
    if (!this.#s.pool.registered(processId, { processId, pid, socket, reach }, now)) return false;
    this.#s.owners.add(body.processId);
    dispatch(this.#s, now);
    return true;
  }

  /** It says itself that it ends: nothing new comes to it. */
  workerExiting(id: ProcessId, now: number): void {
    const worker = this.#s.pool.get(id);
    if (worker === undefined || worker.state === "ending") return;
    worker.state = "ending";
    // It ends when its last lease and words are out; a loop that hangs then is killed by whoever cancels.
    worker.deadline = now + 60_000;
    this.#s.alarm.set(worker.deadline);
  }

  workerOwns(id: ProcessId, { open }: Body<"workerOwns">, now: number): void {
    const worker = this.#s.pool.get(id);
    if (worker !== undefined) worker.owns = open;
    dispatch(this.#s, now);
  }

  /** Whether an actor may have it, as of now. */
  spareAnswer(id: ProcessId, { spare }: Body<"spareAnswer">, now: number): void {
    const worker = this.#s.pool.get(id);
    if (worker?.spare !== "asked") return;
    worker.spare = spare ? "yes" : "unknown";
    // It says when that is over.
    if (!spare) worker.owns = true;
    this.#s.pool.idle(worker, now);
    dispatch(this.#s, now);
    if (worker.spare === "yes") worker.spare = "unknown";
  }

  /** It was asked to end if it was idle, and is not. */
  exitDeclined(id: ProcessId, now: number): void {
    const worker = this.#s.pool.get(id);
    if (worker !== undefined) this.#s.pool.declined(worker, now);
    dispatch(this.#s, now);
  }

  /** A worker process is gone, and everything it sent has been handled. Its part as an owner: `ownerLost`. */
  workerLost(id: ProcessId, reason: DeathReason, now: number): void {
    const worker = this.#s.pool.get(id);
    if (worker === undefined) return;
    const owners = new Set([...worker.leases].map((lease) => lease.owner));
    this.#s.jobs.advance(now);
    for (const lease of [...worker.leases]) this.#release(lease, now);
    if (worker.actor !== undefined) this.#dropActor(worker, worker.actor);
    if (this.#s.pool.lost(worker, reason, now)) this.#refuseEnvironment(worker.env, reason);
    for (const owner of owners) if (this.#s.owners.has(owner)) this.#s.port.send(owner, "processLost", { processId: id, reason });
    dispatch(this.#s, now);
  }

  /** An owner is gone: nobody takes the results of its tasks. Workers on which they run on are ended, after a while. */
  ownerLost(id: ProcessId, now: number): void {
    const s = this.#s;
    remember(s.gone, id, true, GONE_MAX);
    if (!s.owners.delete(id)) return;
    const job = s.drivers.get(id);
    if (s.drivers.delete(id)) s.jobs.left(s.jobs.of(job!));
    for (const want of [...s.queue.wants]) {
      // Actors and groups belong to their job, not to who asked for them.
      if (want.owner !== id || want.lease === undefined) continue;
      remember(s.tombstones, want.lease.requestId, "over", TOMBSTONES_MAX);
      s.queue.remove(want.id);
    }
    for (const group of s.groups.values()) group.waiting = group.waiting.filter((call) => call.from !== id);
    for (const lease of [...s.leases.values()]) {
      if (lease.owner !== id) continue;
      if (lease.state === "active") orphan(s, lease, now);
      else this.#endLease(lease, now);
    }
    dispatch(s, now);
  }

  /** A node is gone with all its processes. */
  ownersLost(node: NodePrefix, now: number): void {
    for (const id of [...this.#s.owners]) if (prefixOf(id) === node) this.ownerLost(id, now);
  }

  jobEnded(jobId: JobId, now: number): void {
    const s = this.#s;
    for (const lease of s.leases.values()) {
      if (lease.account.jobId === jobId && !s.orphans.has(lease))
        s.pool.kill(lease.worker, { cause: "killed", message: `job ${jobId} has ended` });
    }
    removeGroupsOf(s, jobId);
    s.jobs.ended(jobId);
    dispatch(s, now);
  }

  // ── jobs ─────────────────────────────────────────────────────────────────────────────────────

  /** Work of a job comes here for which it was given these. */
  jobKnown(jobId: JobId, terms: JobTerms | undefined): void {
    this.#s.jobs.known(jobId, terms);
  }

  /** What it was given, for whoever gets work of it from here; undefined for the usual. */
  termsOf(jobId: JobId): JobTerms | undefined {
    return this.#s.jobs.termsOf(jobId);
  }

  /** Control has divided a job's limits anew. */
  jobShare({ jobId, number, share, life }: Body<"jobShare">, now: number): void {
    this.#s.jobs.shared(jobId, number, share, life);
    dispatch(this.#s, now);
  }

  /** Another control counts its shares anew. */
  controlChanged(): void {
    this.#s.jobs.renumber();
  }

  /** For control, of jobs with limits. */
  jobUses(): JobUse[] {
    const { jobs, queue, ledger, resuming } = this.#s;
    const waits = function* (account: JobAccount): Generator<ResourceAmounts> {
      for (const lease of resuming) if (lease.kept.account === account) yield resumeDemand(lease);
      for (const want of queue.wants) if (want.account === account && want.strategy.kind !== "group") yield want.demand;
    };
    const room = (account: JobAccount): ResourceAmounts => {
      const all = excessOf(ledger.total, ledger.life);
      subtractFrom(all, excessOf(account.used, account.life));
      return all;
    };
    return jobs.uses(waits, room);
  }

  /** What a job has, for the store, which charges it. */
  accountOf(jobId: JobId): JobAccount | undefined {
    return this.#s.jobs.find(jobId);
  }

  /** Of a driver of this node. */
  jobOf(driver: ProcessId): JobId | undefined {
    return this.#s.drivers.get(driver);
  }

  /** Whether its job's limits can never let it run. */
  isBeyondLimits({ jobId, shape }: Body<"leaseRequest">): boolean {
    return this.#s.jobs.find(jobId)?.couldEver(shape.resources) === false;
  }

  /** Ends the worker, if the lease is still on it and is the asker's. Without a lease: if the asker has work on it. */
  killProcess(from: ProcessId, body: Body<"killProcess">, now: number): void {
    const worker = this.#s.pool.get(body.processId);
    if (worker === undefined) return;
    const own = [...worker.leases].some((lease) => lease.owner === from && (body.leaseId === undefined || lease.id === body.leaseId));
    // Who calls an actor has no lease on it.
    if (!own && (body.leaseId !== undefined || worker.actor === undefined)) return;
    this.#s.pool.kill(worker, { cause: "killed", message: body.message });
    dispatch(this.#s, now);
  }

  /** Ends a worker for a reason of the node's own, such as its memory. */
  killWorker(id: ProcessId, reason: DeathReason, now: number): void {
    const worker = this.#s.pool.get(id);
    if (worker !== undefined) this.#s.pool.kill(worker, reason);
    dispatch(this.#s, now);
  }

  // ── environments ─────────────────────────────────────────────────────────────────────────────

  /** An environment that was asked for is there. */
  environmentMade(environment: string, now: number): void {
    this.#s.environments.made(environment);
    dispatch(this.#s, now);
  }

  /** It could not be made: whoever waits for it is told why, and who wants it later makes it be tried again. */
  environmentFailed(environment: string, failure: Failure, reason: DeathReason | undefined, now: number): void {
    const s = this.#s;
    s.environments.failed(environment);
    for (const want of [...s.queue.wants]) {
      if (partsOfEnvKey(want.env).environment === environment) refuse(s, want.id, failure, reason);
    }
    dispatch(s, now);
  }

  // ── leases ───────────────────────────────────────────────────────────────────────────────────

  leaseRequest(from: ProcessId, body: Body<"leaseRequest">, now: number): void {
    const s = this.#s;
    if (!s.owners.has(from)) return;
    const lease = s.byRequest.get(body.requestId);
    if (lease !== undefined) return s.port.send(from, "leaseGrant", lease.grant);
    const over = s.tombstones.get(body.requestId);
    if (over !== undefined) return over === "over" ? undefined : s.port.send(from, "leaseReject", over);
    const want = leaseWant(s, from, body, now);
    if (s.queue.get(want.id) !== undefined) return;
    this.#enqueue(want, now);
  }

  /** A request that was granted meanwhile stays granted: the owner finds the lease unneeded and returns it. */
  leaseCancel(from: ProcessId, body: Body<"leaseCancel">, now: number): void {
    const s = this.#s;
    if (s.byRequest.has(body.requestId) || s.tombstones.has(body.requestId)) return;
    const want = s.queue.get(`lease ${body.requestId}`);
    if (want !== undefined && want.owner !== from) return;
    s.queue.remove(`lease ${body.requestId}`);
    remember(s.tombstones, body.requestId, "over", TOMBSTONES_MAX);
    dispatch(s, now);
  }

  leaseReturn(from: ProcessId, body: Body<"leaseReturn">, now: number): void {
    const lease = this.#s.leases.get(body.leaseId);
    if (lease === undefined || lease.owner !== from) return;
    if (body.retire) lease.worker.retire = true;
    this.#endLease(lease, now);
    dispatch(this.#s, now);
  }

  /** Nothing of an orphaned lease runs any more. */
  leaseOver(from: ProcessId, body: Body<"leaseOver">, now: number): void {
    const lease = this.#s.leases.get(body.leaseId);
    if (lease === undefined || lease.worker.id !== from || !this.#s.orphans.has(lease)) return;
    this.#endLease(lease, now);
    dispatch(this.#s, now);
  }

  taskBlocked(from: ProcessId, body: Body<"taskBlocked">, now: number): void {
    const lease = this.#s.leases.get(body.leaseId);
    if (lease === undefined || lease.worker.id !== from || body.turn <= lease.turn) return;
    // Nobody will let it go on.
    if (this.#s.orphans.has(lease)) return this.leaseOver(from, body, now);
    lease.turn = body.turn;
    become(this.#s, lease, "suspended");
    this.#s.jobs.advance(now);
    if (lease.cpu !== undefined) lease.ledger.give(lease.cpu);
    lease.cpu = undefined;
    dispatch(this.#s, now);
  }

  taskUnblocked(from: ProcessId, body: Body<"taskUnblocked">, now: number): void {
    const lease = this.#s.leases.get(body.leaseId);
    if (lease === undefined || lease.worker.id !== from || body.turn !== lease.turn) return;
    if (lease.state === "active") return this.#s.port.send(from, "taskResumed", { leaseId: lease.id, turn: lease.turn });
    if (lease.state === "suspended") {
      lease.resumingSince = now;
      become(this.#s, lease, "resuming");
    }
    dispatch(this.#s, now);
  }

  // ── requests that come from and go to other nodes ────────────────────────────────────────────

  /** A process of another node may ask here. */
  ownerKnown(id: ProcessId): void {
    if (!this.#s.gone.has(id)) this.#s.owners.add(id);
  }

  /** Lease requests that wait, oldest first within their kind. */
  *waitingLeases(): Iterable<{ owner: ProcessId; body: Body<"leaseRequest">; since: number; mayWander: boolean }> {
    const free = copyOf(this.#s.ledger.free);
    for (const want of [...this.#s.queue.wants]) {
      const { owner, account, lease, since } = want;
      // What fits has its place here, and only waits for its worker.
      if (want.strategy.kind !== "group" && fits(want.demand, free)) {
        subtractFrom(free, want.demand);
        continue;
      }
      // What its job's limits keep back is not served elsewhere sooner: shares come to where requests are.
      if (lease === undefined || isLimited(want)) continue;
      // Who would have its turn here before long, or gathers what it needs, stays.
      const mayWander = !isEmpty(account.used) && this.#s.queue.mayLeave(want);
      yield { owner, body: { ...lease, jobId: account.jobId, backlog: 1 }, since, mayWander };
    }
  }

  /** Requests of a process that wait here. */
  waitingOf(owner: ProcessId): number {
    return this.#s.queue.waitingOf(owner);
  }

  /** The sum of what waits. */
  queued(): ResourceAmounts {
    return { ...this.#s.queue.demand };
  }

  /** Takes a waiting request away, for another node. False if it does not wait any more. */
  withdrawLease(requestId: LeaseRequestId, now: number): boolean {
    const withdrawn = this.#s.queue.remove(`lease ${requestId}`) !== undefined;
    if (withdrawn) dispatch(this.#s, now);
    return withdrawn;
  }

  // ── actors, for control ──────────────────────────────────────────────────────────────────────

  placeActor(request: ActorRequest, now: number): void {
    if (this.#s.actors.has(actorWantId(request.actorId, request.epoch))) return;
    this.#s.jobs.known(request.jobId, request.terms);
    const want = actorWant(this.#s, request, now);
    if (this.#s.queue.get(want.id) === undefined) this.#enqueue(want, now);
  }

  /** The incarnation is not wanted any more: its request goes, or its worker ends, at once with a `kill` reason. */
  unplaceActor(actorId: ActorId, epoch: number, end: { kill: DeathReason } | { gently: string }, now: number): void {
    const s = this.#s;
    const wantId = actorWantId(actorId, epoch);
    s.queue.remove(wantId);
    const hold = s.actors.get(wantId);
    if (hold !== undefined) {
      if ("kill" in end) s.pool.kill(hold.worker, end.kill);
      else s.pool.end(hold.worker, end.gently, now);
    }
    dispatch(s, now);
  }

  /** Whether this is the process of that actor. */
  runsActor(worker: ProcessId, actorId: ActorId): boolean {
    return this.#s.pool.get(worker)?.actor?.actorId === actorId;
  }

  /** Actors that have a worker here. */
  livingActors(): ({ actorId: ActorId; epoch: number } & ActorPlacement)[] {
    return [...this.#s.actors.values()].map(({ actorId, epoch, worker, allocation }) => ({
      actorId,
      epoch,
      worker: worker.address!,
      assigned: { ...allocation.amounts },
      gpuIds: allocation.gpus.map(({ index }) => index),
    }));
  }

  // ── placement groups ─────────────────────────────────────────────────────────────────────────

  askGroup(from: ProcessId, call: number, question: GroupQuestion, now: number): void {
    const s = this.#s;
    s.jobs.advance(now);
    switch (question.kind) {
      case "groupCreate":
        createGroup(s, from, call, question, now);
        break;
      case "groupReady":
        awaitGroup(s, from, call, question.groupId);
        break;
      case "groupRemove":
        removeGroup(s, question.groupId);
        s.port.send(from, "answer", { call, body: "{}" });
        break;
      case "groupByName":
        findGroup(s, from, call, question.name);
        break;
      default:
        question satisfies never;
    }
    const want = question.kind === "groupCreate" ? s.queue.get(question.groupId) : undefined;
    if (want !== undefined) watch(s, want);
    dispatch(s, now);
  }

  /** Control spreads groups over nodes: this one's part of them. */
  groupMessage<N extends "groupPrepare" | "groupCommit" | "groupCancel" | "groupRemove">(name: N, body: Body<N>, now: number): void {
    this.#s.jobs.advance(now);
    if (name === "groupPrepare") prepareBundles(this.#s, body as Body<"groupPrepare">, now);
    else if (name === "groupCommit") commitBundles(this.#s, body as Body<"groupCommit">);
    else if (name === "groupCancel") cancelBundles(this.#s, body as Body<"groupCancel">);
    else removeBundles(this.#s, body as Body<"groupRemove">);
    dispatch(this.#s, now);
  }

  /** A group is over: what waits for it here is refused. */
  groupGone(id: PlacementGroupId, message: string, now: number): void {
    refuseGroup(this.#s, id, message);
    dispatch(this.#s, now);
  }

  /** Whether a bundle of the group, or this one, is here. */
  hasBundle(id: PlacementGroupId, bundleIndex: number): boolean {
    const group = this.#s.groups.get(id);
    return group?.state === "ready" && (bundleIndex < 0 ? group.indices.length > 0 : group.indices.includes(bundleIndex));
  }

  reservedBundles(): ReservedBundle[] {
    return reservedBundles(this.#s);
  }

  // ── time and questions ───────────────────────────────────────────────────────────────────────

  /** When `tick` is due next, on the clock of `now`; undefined when nothing is. */
  nextDeadline(): number | undefined {
    return this.#s.alarm.at;
  }

  tick(now: number): void {
    this.#s.alarm.clear();
    this.#s.pool.tick(now);
    endOrphans(this.#s, now);
    dispatch(this.#s, now);
    warn(this.#s, now);
    for (const waiting of this.#s.queue.classes) if (waiting.gatherUntil > now) this.#s.alarm.set(waiting.gatherUntil);
  }

  get total(): Readonly<ResourceAmounts> {
    return this.#s.ledger.total;
  }

  get free(): Readonly<ResourceAmounts> {
    return this.#s.ledger.free;
  }

  /** What waits, by kind, and why. */
  pending(): ReturnType<typeof pendingOf> {
    return pendingOf(this.#s);
  }

  /** Requests that wait for resources or a worker. */
  get waiting(): number {
    return this.#s.queue.size;
  }

  /** Leases, newest first, with their workers: for whoever must choose what to end. */
  leases(): { leaseId: LeaseId; processId: ProcessId; owner: ProcessId; state: Lease["state"]; grantedAt: number }[] {
    return [...this.#s.leases.values()].reverse().map(({ id, worker, owner, state, grantedAt }) => ({
      leaseId: id,
      processId: worker.id,
      owner,
      state,
      grantedAt,
    }));
  }

  workers(): { processId: ProcessId; state: Worker["state"]; leases: number; actorId: ActorId | undefined }[] {
    return [...this.#s.pool.workers].map(({ id, state, leases, actor }) => ({
      processId: id,
      state,
      leases: leases.size,
      actorId: actor?.actorId,
    }));
  }

  /** Throws if anything here contradicts itself. */
  check(now: number): void {
    checkNode(this.#s, now);
  }

  #owns(process: ProcessId): boolean {
    for (const lease of this.#s.leases.values()) if (lease.owner === process) return true;
    for (const want of this.#s.queue.wants) if (want.owner === process && want.lease !== undefined) return true;
    return false;
  }

  #enqueue(want: Want, now: number): void {
    const s = this.#s;
    const failure = refusal(s, want);
    s.jobs.advance(now);
    s.queue.add(want);
    if (failure !== undefined) refuse(s, want.id, failure);
    else {
      dispatch(s, now);
      if (s.queue.get(want.id) !== undefined) watch(s, want);
    }
  }

  #endLease(lease: Lease, now: number): void {
    this.#release(lease, now);
    if (lease.worker.leases.size === 0) this.#s.pool.idle(lease.worker, now);
  }

  #release(lease: Lease, now: number): void {
    const s = this.#s;
    s.leases.delete(lease.id);
    become(s, lease, "over");
    s.byRequest.delete(lease.requestId);
    remember(s.tombstones, lease.requestId, "over", TOMBSTONES_MAX);
    s.orphans.delete(lease);
    s.jobs.advance(now);
    lease.ledger.give(lease.kept);
    if (lease.cpu !== undefined) lease.ledger.give(lease.cpu);
    s.jobs.left(lease.account);
    if (lease.group !== undefined) releaseGroup(s, lease.group);
  }

  #dropActor(worker: Worker, hold: ActorHold): void {
    worker.actor = undefined;
    this.#s.actors.delete(actorWantId(hold.actorId, hold.epoch));
    hold.ledger.give(hold.allocation);
    if (hold.group !== undefined) releaseGroup(this.#s, hold.group);
  }

  /** No worker of this environment comes up: whoever waits for one is told why. */
  #refuseEnvironment(env: string, reason: DeathReason): void {
    const failure = { code: "WORKER_CRASHED", message: `no worker process could be started: ${reason.message}` };
    for (const want of [...this.#s.queue.wants]) if (want.env === env) refuse(this.#s, want.id, failure, reason);
  }
}
