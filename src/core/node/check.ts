/** The invariants of the node machine: what must hold after every event. */
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { equal, isEmpty, sumOf } from "../resources.ts";
import { actorWantId } from "./admission.ts";
import { isLimited, ledgersFor, resumeDemand } from "./dispatch.ts";
import type { JobAccount } from "./jobs.ts";
import type { Allocation, Ledger } from "./ledger.ts";
import { TOMBSTONES_MAX } from "./state.ts";
import type { NodeState } from "./state.ts";

export function checkNode(s: NodeState, now: number): void {
  s.queue.check();
  s.pool.check();
  s.environments.check(s.pool, s.queue);
  s.jobs.check();
  checkLeases(s);
  checkResources(s);
  checkNothingWaitsThatCouldRun(s, now);
  if (s.tombstones.size > TOMBSTONES_MAX) throw new Error(`${s.tombstones.size} tombstones are kept`);
}

function checkLeases(s: NodeState): void {
  for (const lease of s.leases.values()) {
    if (s.byRequest.get(lease.requestId) !== lease) throw new Error(`lease ${lease.id} is not found by its request`);
    if (!lease.worker.leases.has(lease)) throw new Error(`lease ${lease.id} is not on its worker`);
    if (s.pool.get(lease.worker.id) !== lease.worker) throw new Error(`lease ${lease.id} is on a worker that is gone`);
    if ((lease.state === "active") !== (lease.cpu !== undefined))
      throw new Error(`lease ${lease.id} is ${lease.state} and its CPUs are not so`);
    if ((lease.state === "active") !== s.active.has(lease)) throw new Error(`lease ${lease.id} is ${lease.state} and listed otherwise`);
    if ((lease.state === "resuming") !== s.resuming.has(lease)) throw new Error(`lease ${lease.id} is ${lease.state} and queued otherwise`);
  }
  for (const lease of s.orphans.keys()) {
    if (!s.leases.has(lease.id) || lease.state !== "active") throw new Error(`lease ${lease.id} is ${lease.state}, or over, and orphaned`);
  }
  for (const lease of [...s.active, ...s.wanted]) {
    if (!s.leases.has(lease.id)) throw new Error(`lease ${lease.id} is over and still listed`);
  }
  if (s.byRequest.size !== s.leases.size) throw new Error("requests and leases differ in number");
  for (const lease of s.resuming) if (!s.leases.has(lease.id)) throw new Error(`lease ${lease.id} is over and waits to go on`);
  for (const worker of s.pool.workers) {
    const states = [...worker.leases].map(({ state }) => state);
    const awake = states.filter((state) => state !== "suspended").length;
    if (worker.awake !== awake || worker.active?.state !== states.find((state) => state === "active"))
      throw new Error(`worker ${worker.id} counts its leases otherwise than they are: ${states.join(", ")}`);
    for (const lease of worker.leases)
      if (!s.leases.has(lease.id)) throw new Error(`worker ${worker.id} keeps lease ${lease.id}, which is over`);
    const hold = worker.actor;
    if (hold !== undefined && s.actors.get(actorWantId(hold.actorId, hold.epoch)) !== hold)
      throw new Error(`worker ${worker.id} keeps an actor that is not known`);
  }
}

function checkResources(s: NodeState): void {
  const held = new Map<Ledger, Allocation[]>([[s.ledger, []]]);
  for (const group of s.groups.values()) {
    if (s.groupsOver.has(group.id) !== (group.state === "removed" || group.state === "failed")) {
      throw new Error(`placement group ${group.id} is ${group.state}, and is${s.groupsOver.has(group.id) ? "" : " not"} listed as over`);
    }
    held.get(s.ledger)!.push(...group.reserved);
    for (const ledger of group.ledgers) held.set(ledger, []);
    const reserves = group.state === "ready" || group.state === "removing";
    if (reserves !== group.reserved.length > 0)
      throw new Error(`placement group ${group.id} is ${group.state} and its reservation is not so`);
  }
  for (const part of s.prepared.values()) {
    held.get(s.ledger)!.push(...part.reserved);
    if ((part.state === "prepared") !== part.reserved.length > 0)
      throw new Error(`bundles of ${part.id} are ${part.state} and reserved otherwise`);
  }
  const hold = (ledger: Ledger, allocation: Allocation, who: string): void => {
    const list = held.get(ledger);
    if (list === undefined) throw new Error(`${who} holds resources of a placement group that is gone`);
    list.push(allocation);
  };
  for (const lease of s.leases.values()) {
    hold(lease.ledger, lease.kept, `lease ${lease.id}`);
    if (lease.cpu !== undefined) hold(lease.ledger, lease.cpu, `lease ${lease.id}`);
  }
  for (const worker of s.pool.workers) {
    if (worker.actor !== undefined) hold(worker.actor.ledger, worker.actor.allocation, `actor ${worker.actor.actorId}`);
  }
  for (const [ledger, allocations] of held) ledger.check(allocations, ledger === s.ledger ? "this node" : "a bundle");
  checkJobs(s, held.get(s.ledger)!);
}

function checkJobs(s: NodeState, allocations: readonly Allocation[]): void {
  const used = new Map<JobAccount, ResourceAmounts>();
  for (const { account, amounts } of allocations) {
    if (account === undefined) throw new Error("something of this node is held for no job");
    const known = s.jobs.find(account.jobId) === account;
    if (!known && !isEmpty(amounts)) throw new Error(`job ${account.jobId} has something here and is not known`);
    used.set(account, sumOf([used.get(account) ?? {}, amounts]));
  }
  for (const account of s.jobs.all) {
    const { objectStoreMemory: _store, ...counted } = account.used;
    if (!equal(used.get(account) ?? {}, counted)) {
      throw new Error(`job ${account.jobId} has ${JSON.stringify(used.get(account))} of this node, ${JSON.stringify(counted)} counted`);
    }
  }
}

function checkNothingWaitsThatCouldRun(s: NodeState, now: number): void {
  for (const lease of s.resuming) {
    if (
      lease.worker.active === undefined &&
      lease.ledger.fits(resumeDemand(lease)) &&
      lease.kept.account?.fits(resumeDemand(lease)) !== false
    ) {
      throw new Error(`lease ${lease.id} waits to go on and could`);
    }
  }
  // While a process starts or soon may, or a class gathers, resources are kept for someone.
  if (s.pool.starting() > 0 || s.pool.asks(now) || s.pool.holdsBack) return;
  // What is over by now, such as a time of gathering, is seen to by the tick that is due.
  if ((s.alarm.at ?? Infinity) <= now) return;
  for (const waiting of s.queue.classes) if (waiting.gatherUntil > now) return;
  if (s.resuming.size > 0) return;
  for (const waiting of s.queue.classes) {
    const want = waiting.head;
    if (want.kind === "group" || isLimited(want)) continue;
    if (!ledgersFor(s, want).some(({ ledger }) => ledger.fits(want.demand))) continue;
    if (s.pool.takeIdle(want.env, want.kind === "actor") !== undefined) throw new Error(`${want.what} waits, fits, and a worker is idle`);
    if (s.pool.taskWorkers < s.pool.softCap && !s.pool.paused(want.env, now) && s.environments.isMade(want.env))
      throw new Error(`${want.what} waits, fits, and no process is started for it`);
  }
}
