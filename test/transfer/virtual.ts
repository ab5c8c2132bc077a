/**
 * Nodes of the transfer machines in virtual time: bytes are counts, a piece takes a while on its way, connections break and nodes
 * die when the test says so. Everything is checked after every event.
 */
import assert from "node:assert/strict";
import { PullMachine } from "../../src/core/transfer/pulls.ts";
import { ServeMachine } from "../../src/core/transfer/serves.ts";
import type { Holding, PullLimits, ServeLimits } from "../../src/core/transfer/types.ts";
import type { NodeId, ObjectId } from "../../src/protocol/ids.ts";

export const PIECE = 2 ** 20;
const LATENCY_MS = 1;
const PIECE_MS = 2;

/** Numbers in [0, 1), the same for the same seed. */
export function chanceOf(seed: number): () => number {
  let x = (seed * 2654435761) >>> 0 || 1;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}

interface Attempt {
  readonly attempt: number;
  readonly from: VirtualNode;
  readonly to: VirtualNode;
  readonly serve: number;
  readonly id: ObjectId;
  at: number;
  started: boolean;
  running: boolean;
  over: boolean;
}

export class VirtualWorld {
  readonly chance: () => number;
  readonly nodes: VirtualNode[] = [];
  readonly homes = new Map<ObjectId, { size: number; nodes: Set<NodeId>; failure?: string }>();
  now = 0;
  /** Connections that break, as a share of the pieces. */
  breaks = 0;
  /** The home answers so late. */
  homeMs = LATENCY_MS;
  #events: { at: number; number: number; act: () => void }[] = [];
  #number = 0;

  constructor(seed = 1) {
    this.chance = chanceOf(seed);
  }

  node(pullLimits: Partial<PullLimits> = {}, serveLimits: Partial<ServeLimits> = {}, space = Infinity): VirtualNode {
    const id = `${(this.nodes.length + 1).toString(16).padStart(6, "0")}000000` as NodeId;
    const node = new VirtualNode(this, id, { ...pullLimits }, { ...serveLimits }, space);
    this.nodes.push(node);
    return node;
  }

  later(ms: number, act: () => void): void {
    this.#events.push({ at: this.now + ms, number: ++this.#number, act });
  }

  byId(id: NodeId): VirtualNode | undefined {
    return this.nodes.find((node) => node.id === id && !node.dead);
  }

  put(node: VirtualNode, id: string, size: number): ObjectId {
    node.whole.set(id as ObjectId, size);
    this.homes.set(id as ObjectId, { size, nodes: new Set([node.id]) });
    return id as ObjectId;
  }

  /** Everything that happens until then, timers included. */
  run(until: number): void {
    for (;;) {
      this.#events.sort((a, b) => a.at - b.at || a.number - b.number);
      const event = this.#events[0];
      const due = Math.min(...this.nodes.filter((node) => !node.dead).map((node) => node.pulls.nextDeadline() ?? Infinity));
      const at = Math.min(event?.at ?? Infinity, due);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      if (event !== undefined && event.at <= due) {
        this.#events.shift();
        event.act();
      } else for (const node of this.nodes) if (!node.dead) node.pulls.tick(this.now);
      for (const node of this.nodes) node.check();
    }
    this.now = until;
  }
}

export class VirtualNode {
  readonly id: NodeId;
  readonly pulls: PullMachine;
  readonly serves: ServeMachine;
  readonly whole = new Map<ObjectId, number>();
  readonly lost = new Map<ObjectId, string>();
  /** Objects in the order in which they came. */
  readonly came: ObjectId[] = [];
  /** Bytes that were sent from here. */
  sent = 0;
  dead = false;
  /** It takes requests and never answers. */
  silent = false;
  free: number;
  /** Objects that were asked for, once a time. */
  fetches = 0;
  readonly #world: VirtualWorld;
  readonly #attempts = new Map<number, Attempt>();
  readonly #serving = new Map<number, Attempt>();
  readonly #space = new Map<number, number>();
  readonly #waiting: { pull: number; size: number }[] = [];
  #number = 0;

  constructor(world: VirtualWorld, id: NodeId, pullLimits: Partial<PullLimits>, serveLimits: Partial<ServeLimits>, space: number) {
    this.#world = world;
    this.id = id;
    this.free = space;
    this.pulls = new PullMachine(
      id,
      {
        locate: (object) => world.later(world.homeMs, () => this.#located(object)),
        allocate: (pull, _, size) => {
          this.#waiting.push({ pull, size });
          world.later(0, () => this.#allocate());
        },
        release: (pull) => this.#release(pull),
        fetch: (attempt, _, node, object, from, insist) => this.#fetch(attempt, node, object, from, insist),
        cancel: (number) => {
          const attempt = this.#attempts.get(number);
          if (attempt !== undefined) attempt.to.#end(attempt);
        },
        restart: () => assert.fail("all bytes are of one run"),
        seal: (pull, object) => this.#seal(pull, object),
        notFound: (object, reason) => void this.lost.set(object, reason),
        chance: world.chance,
      },
      pullLimits,
    );
    this.serves = new ServeMachine(
      {
        start: (serve) => {
          const attempt = this.#serving.get(serve)!;
          attempt.started = true;
          world.later(
            LATENCY_MS,
            () => !attempt.over && attempt.from.pulls.began(attempt.attempt, this.#sizeOf(attempt.id), "one", world.now),
          );
          this.#stream(attempt);
        },
        redirect: (serve, nodes) => this.#answer(serve, (attempt) => attempt.from.pulls.redirected(attempt.attempt, nodes, world.now)),
        refuse: (serve, reason) => this.#answer(serve, (attempt) => attempt.from.pulls.failed(attempt.attempt, reason, world.now)),
      },
      serveLimits,
    );
  }

  want(id: ObjectId, wanter = "store", priority: "get" | "wait" | "args" = "get"): void {
    if (!this.whole.has(id)) this.pulls.want(id, wanter, priority);
  }

  has(id: ObjectId): boolean {
    return this.whole.has(id);
  }

  /** Its machine is switched off; those whose connections broke see it at once, control tells everyone later. */
  die(): void {
    this.dead = true;
    for (const home of this.#world.homes.values()) home.nodes.delete(this.id);
    for (const attempt of [...this.#serving.values(), ...this.#attempts.values()]) this.#break(attempt, "the connection broke");
    this.#world.later(50, () => {
      for (const node of this.#world.nodes) if (!node.dead) node.pulls.nodeLost(this.id, this.#world.now);
    });
  }

  check(): void {
    if (this.dead) return;
    this.pulls.check();
    this.serves.check();
  }

  #located(id: ObjectId): void {
    const home = this.#world.homes.get(id);
    if (home === undefined || this.dead) return;
    this.pulls.located(id, home.size, [...home.nodes], home.failure, this.#world.now);
  }

  #allocate(): void {
    while (this.#waiting.length > 0 && this.#waiting[0]!.size <= this.free) {
      const { pull, size } = this.#waiting.shift()!;
      this.free -= size;
      this.#space.set(pull, size);
      this.pulls.granted(pull, this.#world.now);
    }
  }

  #release(pull: number): void {
    const at = this.#waiting.findIndex((waiting) => waiting.pull === pull);
    if (at >= 0) this.#waiting.splice(at, 1);
    this.free += this.#space.get(pull) ?? 0;
    this.#space.delete(pull);
    this.#world.later(0, () => this.#allocate());
    for (const attempt of this.#serving.values()) if (!this.whole.has(attempt.id)) this.serves.pullEnded(attempt.id, false);
  }

  #seal(pull: number, id: ObjectId): void {
    this.whole.set(id, this.#space.get(pull)!);
    this.came.push(id);
    this.#world.homes.get(id)!.nodes.add(this.id);
    this.serves.pullEnded(id, true);
  }

  #sizeOf(id: ObjectId): number {
    return this.whole.get(id) ?? this.pulls.holding(id)!.size;
  }

  #holding(id: ObjectId): Holding | undefined {
    const size = this.whole.get(id);
    return size === undefined ? this.pulls.holding(id) : { whole: true, size, received: size };
  }

  #fetch(number: number, node: NodeId, id: ObjectId, from: number, insist: boolean): void {
    this.fetches++;
    const to = this.#world.byId(node);
    if (to === undefined) {
      this.#world.later(LATENCY_MS, () => this.pulls.failed(number, "nobody answered", this.#world.now));
      return;
    }
    const attempt: Attempt = {
      attempt: number,
      from: this,
      to,
      serve: ++to.#number,
      id,
      at: from,
      started: false,
      running: false,
      over: false,
    };
    this.#attempts.set(number, attempt);
    this.#world.later(LATENCY_MS, () => {
      if (attempt.over || to.silent) return;
      to.#serving.set(attempt.serve, attempt);
      to.serves.request(attempt.serve, this.id, id, from, insist, to.#holding(id));
    });
  }

  #answer(serve: number, act: (attempt: Attempt) => void): void {
    const attempt = this.#serving.get(serve);
    if (attempt === undefined) return;
    this.#end(attempt);
    this.#world.later(LATENCY_MS, () => act(attempt));
  }

  #end(attempt: Attempt): void {
    attempt.over = true;
    attempt.from.#attempts.delete(attempt.attempt);
    this.#serving.delete(attempt.serve);
    this.serves.closed(attempt.serve);
  }

  #break(attempt: Attempt, reason: string): void {
    if (attempt.over) return;
    attempt.to.#end(attempt);
    const { from } = attempt;
    this.#world.later(0, () => !from.dead && from.pulls.failed(attempt.attempt, reason, this.#world.now));
  }

  #stream(attempt: Attempt): void {
    if (attempt.running || attempt.over || !attempt.started) return;
    const size = this.#sizeOf(attempt.id);
    const available = this.#holding(attempt.id)!.received;
    if (attempt.at >= available) return;
    attempt.running = true;
    this.#world.later(PIECE_MS, () => {
      if (attempt.over) return;
      attempt.running = false;
      const { from } = attempt;
      if (this.#world.chance() < this.#world.breaks) return this.#break(attempt, "the connection broke");
      const upTo = Math.min(size, available, attempt.at + PIECE);
      this.sent += upTo - attempt.at;
      attempt.at = upTo;
      if (upTo === size) this.#end(attempt);
      from.pulls.advanced(attempt.attempt, upTo, this.#world.now);
      from.serves.received(attempt.id, upTo);
      for (const other of from.#serving.values()) if (other.id === attempt.id) from.#stream(other);
      this.#stream(attempt);
    });
  }
}
