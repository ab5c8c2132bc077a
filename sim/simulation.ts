/**
 * One simulation: a node, its drivers and their work, in a phase with faults and then one without, in which everything must end
 * within a bound of virtual time and everything taken must be given back.
 */
import { configOf } from "./config.ts";
import type { SimConfig } from "./config.ts";
import { SimDriver } from "./driver.ts";
import { scheduleFaults } from "./faults.ts";
import { SimNode } from "./node.ts";
import type { Plant } from "./plant.ts";
import { WORKLOADS } from "./workloads/index.ts";
import { Broken, World } from "./world.ts";

/** After the faults, everything that was begun ends within this virtual time. */
const HEALED_MS = 120_000;
/** Then collectors run, leases go back, processes end. */
const SETTLE_MS = 4000;
const STEPS_MAX = 3_000_000;

export interface Result {
  readonly config: SimConfig;
  readonly hash: string;
  readonly steps: number;
  readonly virtualMs: number;
  readonly starts: number;
  readonly failures: ReadonlyMap<string, number>;
  /** What broke, and the story of whom it concerns. */
  readonly broken: { readonly error: Error; readonly story: readonly string[] } | undefined;
}

export function simulate(seed: string, options: { readonly plant?: Plant; readonly stories?: boolean } = {}): Result {
  const config = configOf(seed);
  const world = new World(config, options.plant, options.stories ?? false);
  let broken: Result["broken"];
  try {
    new Simulation(world).run();
  } catch (error) {
    const about = error instanceof Broken ? error.about : idsIn((error as Error).message);
    broken = { error: error as Error, story: world.trace.story(about, 80) };
    world.trace.text((error as Error).message);
  }
  const { history, clock, trace } = world;
  const { starts, failures } = history;
  return { config, hash: trace.hash, steps: clock.steps, virtualMs: clock.ms, starts, failures, broken };
}

/** Ids that a machine's complaint names. */
const idsIn = (message: string): string[] => message.match(/[0-9a-d]{12}(-[0-9a-z]+)*/g) ?? [];

class Simulation {
  readonly #world: World;
  readonly #node: SimNode;
  readonly #drivers: SimDriver[] = [];

  constructor(world: World) {
    this.#world = world;
    this.#node = new SimNode(world);
    world.isHeld = (id) => this.#node.refs.holders(id) !== undefined;
  }

  run(): void {
    const { config, rng, clock, network } = this.#world;
    for (let i = 0; i < config.drivers; i++) this.#drivers.push(new SimDriver(this.#world, this.#node, i));
    const starts = rng.fork("starts");
    for (const [i, { driver, name, size }] of config.work.entries()) {
      const own = rng.fork(`work ${i}`);
      clock.after(starts.int(0, 100_000), () =>
        this.#drivers[driver]!.start(`${name} ${i}`, (context) => WORKLOADS[name]!(context, size, own)),
      );
    }
    const faults = scheduleFaults(this.#world, this.#node, this.#drivers);
    this.#until(config.safetyMs, () => false);
    faults.stop();
    network.calm = true;
    this.#node.calm = true;
    this.#until(clock.ms + HEALED_MS, () => this.#alive.every((driver) => driver.running.length === 0));
    const late = this.#alive.flatMap((driver) => driver.running);
    if (late.length > 0) throw new Broken(`these wait for ever: ${late.join(", ")}`, this.#pendingTasks());
    this.#settle();
    this.#checkEnd();
  }

  get #alive(): SimDriver[] {
    return this.#drivers.filter(({ process }) => process.alive);
  }

  #until(ms: number, done: () => boolean): void {
    const { clock } = this.#world;
    while (!done() && clock.step(ms * 1000)) {
      if (clock.steps > STEPS_MAX) throw new Broken(`${STEPS_MAX} events and no end`);
    }
    if (!done()) clock.now = Math.max(clock.now, ms * 1000);
  }

  #settle(): void {
    const { clock } = this.#world;
    // A collection may make more collectable: containers first, then what they contain.
    for (let round = 0; round < 6; round++) {
      for (const { client } of this.#alive) client.process.post(() => client.collectNow());
      for (const process of this.#node.children) {
        const worker = this.#world.workers.get(process.id);
        if (worker) process.post(() => worker.client.collectNow());
      }
      this.#until(clock.ms + SETTLE_MS, () => false);
    }
  }

  #pendingTasks(): string[] {
    const clients = [...this.#alive.map(({ client }) => client), ...[...this.#world.workers.values()].map(({ client }) => client)];
    return clients.filter(({ process }) => process.alive).flatMap(({ live }) => [...live].map((task) => task.id));
  }

  #checkEnd(): void {
    const { node, control, refs, journals, store } = this.#node;
    const { config } = this.#world;
    const fail = (message: string, about: readonly string[] = []): never => {
      throw new Broken(`at the end ${message}`, about);
    };
    const pending = this.#pendingTasks();
    if (pending.length > 0) fail(`${pending.length} tasks are not over: ${pending.slice(0, 5).join(", ")}`, pending.slice(0, 5));
    const leases = node.leases();
    if (leases.length > 0)
      fail(
        `there are leases: ${JSON.stringify(leases)}`,
        leases.map(({ leaseId }) => leaseId),
      );
    if (node.waiting > 0) fail(`${node.waiting} requests wait`);
    if (JSON.stringify(node.free) !== JSON.stringify(node.total)) {
      fail(`free are ${JSON.stringify(node.free)} of ${JSON.stringify(node.total)}`);
    }
    const living = control.actors().filter(({ phase }) => phase !== "dead");
    if (living.length > 0)
      fail(
        `actors live: ${JSON.stringify(living)}`,
        living.map(({ id }) => id),
      );
    const workers = node.workers();
    if (workers.length > config.workers || this.#node.children.length > config.workers) {
      fail(
        `${workers.length} workers are kept, ${this.#node.children.length} processes run, ${config.workers} are wanted`,
        workers.map(({ processId }) => processId),
      );
    }
    this.#checkClients(fail);
    if (journals.size > 0) fail(`${journals.size} journals are kept`);
    if (refs.size > 0) fail(`${refs.size} refs are held: ${this.#heldRefs()}`, [...this.#heldIds()]);
    if (store.ids.length > 0) fail(`${store.ids.length} objects are stored: ${store.ids.join(", ")}`, store.ids);
  }

  #checkClients(fail: (message: string, about?: readonly string[]) => never): void {
    const clients = [...this.#alive.map(({ client }) => client), ...[...this.#world.workers.values()].map(({ client }) => client)];
    for (const { process, owner, blocks, unanswered, id } of clients) {
      if (!process.alive) continue;
      if (owner.open !== 0) fail(`${owner.open} tasks of ${id} are open`, [id]);
      if (unanswered > 0) fail(`${id} waits for ${unanswered} answers`, [id]);
      if (blocks.free !== blocks.count) fail(`${blocks.count - blocks.free} claim blocks of ${id} are not given back`, [id]);
    }
    for (const { calls, process, id } of this.#world.workers.values()) {
      const running = [...calls].filter(({ channel }) => !channel.link.closed);
      if (process.alive && running.length > 0) fail(`${running.length} calls run on ${id}`, [id]);
    }
  }

  /** Who holds what is held: seen from the clients, since the table lists nothing. */
  #heldIds(): Set<string> {
    const ids = new Set<string>();
    for (const { client } of this.#alive) for (const id of client.held.ids) ids.add(id);
    for (const { client, process } of this.#world.workers.values()) if (process.alive) for (const id of client.held.ids) ids.add(id);
    for (const id of this.#world.history.escaped) if (this.#node.refs.holders(id)) ids.add(id);
    return ids;
  }

  #heldRefs(): string {
    return [...this.#heldIds()].map((id) => `${id} by ${JSON.stringify([...(this.#node.refs.holders(id as never) ?? [])])}`).join(", ");
  }
}
