/** Two jobs over many nodes: each node shares by weight, and so the cluster does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { JobId, LeaseId, LeaseRequestId, ProcessId } from "../../src/protocol/ids.ts";
import { driverId } from "../../src/protocol/ids.ts";
import type { Body, JobTerms } from "../../src/protocol/messages.ts";
import { shape } from "../node/node-harness.ts";
import { Cluster, nodeIdOf } from "./nodes.ts";

/** A driver of the first node that always has more tasks of some length, as src/core/owner asks for leases. */
class Hungry {
  readonly driver: ProcessId;
  readonly jobId: JobId;
  readonly leases = new Map<LeaseId, number>();
  cpuMs = 0;
  readonly #cluster: Cluster;
  readonly #name: string;
  readonly #taskMs: number;
  #waiting = 0;
  #requests = 0;

  constructor(cluster: Cluster, name: string, terms: Partial<JobTerms>, taskMs: number) {
    this.#cluster = cluster;
    this.#name = name;
    this.#taskMs = taskMs;
    this.driver = driverId(nodeIdOf(0), `00000${name}`);
    this.jobId = `job-${name}` as JobId;
    cluster.nodes[0]!.machine.driverJoined(this.driver, this.jobId, { weight: 1, priority: 0, ...terms });
  }

  ask(): void {
    const { router } = this.#cluster.nodes[0]!;
    while (this.#waiting < Math.min(16, this.leases.size + 2)) {
      this.#waiting++;
      const requestId = `${this.#name}${this.#requests++}` as LeaseRequestId;
      const what = shape({ CPU: 1 }, { envVars: { JOB: this.#name } });
      router.leaseRequest(this.driver, { requestId, jobId: this.jobId, shape: what, backlog: 9 }, this.#cluster.now);
    }
  }

  granted({ leaseId }: Body<"leaseGrant">): void {
    this.#waiting--;
    this.leases.set(leaseId, this.#cluster.now);
    this.ask();
  }

  wanted({ leaseId }: Body<"leaseWanted">): void {
    this.#cluster.later(this.#taskMs, () => {
      const since = this.leases.get(leaseId);
      if (since === undefined) return;
      this.leases.delete(leaseId);
      this.cpuMs += this.#cluster.now - since;
      this.#cluster.nodes[0]!.router.leaseReturn(this.driver, { leaseId, retire: false }, this.#cluster.now);
      this.ask();
    });
  }

  /** Of processors so far. */
  get had(): number {
    return this.cpuMs + [...this.leases.values()].reduce((sum, since) => sum + this.#cluster.now - since, 0);
  }
}

for (const [sizes, taskMs] of [
  [[1, 1], 1],
  [[2, 2, 2], 5],
  [[1, 1, 1, 1, 1], 20],
  [[4, 1, 2], 3],
] as const) {
  test(`weights of 3 and 1 over nodes with ${sizes.join(", ")} CPUs, tasks of ${taskMs} ms`, () => {
    const cluster = new Cluster(
      5,
      sizes.map((CPU) => ({ CPU })),
      1,
    );
    cluster.run(500);
    const jobs = [new Hungry(cluster, "a", { weight: 3 }, taskMs), new Hungry(cluster, "b", {}, taskMs)];
    cluster.heard = (to, name, body) => {
      const job = jobs.find(({ driver }) => driver === to);
      if (name === "leaseGrant") job?.granted(body);
      else if (name === "leaseWanted") job?.wanted(body);
    };
    jobs[0]!.ask();
    cluster.run(1500);
    jobs[1]!.ask();
    cluster.run(3000);
    const before = jobs.map(({ had }) => had);
    cluster.run(8000);
    const [a = 0, b = 0] = jobs.map(({ had }, i) => had - before[i]!);
    assert.ok(Math.abs(a / (a + b) - 0.75) < 0.1, `${(a / (a + b)).toFixed(2)} of the time is not three quarters`);
    assert.ok(a + b > 0.75 * 5000 * sizes.reduce((x, y) => x + y, 0), "and the processors are used");
  });
}
