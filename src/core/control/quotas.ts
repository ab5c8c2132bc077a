/**
 * The limits of jobs, divided over nodes. Each node may use what control has granted it, so no node asks before it runs something; with
 * its status it says what a job uses there and what waits for a larger share, and control divides anew.
 *
 * What a node may use at most (`bound`) is what it said, and every share that is on its way to it. A share grows only by what the limit
 * leaves beyond all bounds, so the limit holds whatever is late; it shrinks by itself where work ends. A node that dies leaves its part.
 * Nothing of this is stored: after a control that ended, nodes say what they have when they join, and nothing is granted before the
 * last of those that are waited for has.
 */
import type { JobId, NodeId } from "../../protocol/ids.ts";
import type { Body, JobUse, ResourceAmounts } from "../../protocol/messages.ts";
import { addTo, copyOf, equal, fits, isEmpty, subtractFrom, sumOf } from "../resources.ts";

export interface QuotasPort {
  share(to: NodeId, body: Body<"jobShare">): void;
}

/** Nodes that wait for what others use get their turns for so long. */
const TURN_MS = 1000;
const STORE = "objectStoreMemory";
type Amounts = Readonly<ResourceAmounts>;

interface Part {
  use: Omit<JobUse, "jobId" | "limits">;
  /** Shares that it has not said to have heard of, oldest first. */
  sent: { readonly number: number; readonly share: Amounts; readonly life: Amounts }[];
  /** The last that was sent; undefined: what the node goes by is of another control. */
  share: Amounts | undefined;
  life: Amounts;
  /** When it last came first; counts. */
  turn: number;
}

interface Quota {
  readonly limits: Amounts;
  readonly parts: Map<NodeId, Part>;
  turns: number;
  turnAt: number | undefined;
}

export class Quotas {
  readonly #port: QuotasPort;
  readonly #quotas = new Map<JobId, Quota>();
  /** Nodes of before, which have not said what they have. */
  readonly #awaited = new Set<NodeId>();
  #number = 0;

  constructor(port: QuotasPort) {
    this.#port = port;
  }

  /** Before the first event of a new control: nodes of before may have been granted anything. */
  awaits(nodes: Iterable<NodeId>): void {
    for (const node of nodes) this.#awaited.add(node);
  }

  /** A node joins, for the first time or with what it had. */
  joined(node: NodeId, uses: readonly JobUse[], now: number): void {
    this.#awaited.delete(node);
    const jobs = new Set(uses.map(({ jobId }) => jobId));
    for (const [id, { parts }] of this.#quotas) if (!jobs.has(id)) parts.delete(node);
    this.reported(node, uses, now);
    if (this.#awaited.size === 0) for (const id of this.#quotas.keys()) this.#divide(id, now);
  }

  /** What jobs with limits use on a node. */
  reported(node: NodeId, uses: readonly JobUse[], now: number): void {
    for (const { jobId, limits, ...use } of uses) {
      let quota = this.#quotas.get(jobId);
      if (quota === undefined) this.#quotas.set(jobId, (quota = { limits, parts: new Map(), turns: 0, turnAt: undefined }));
      const part = quota.parts.get(node);
      if (part === undefined) quota.parts.set(node, { use, sent: [], share: undefined, life: {}, turn: 0 });
      else {
        if (isSame(part.use, use)) continue;
        part.use = use;
        part.sent = part.sent.filter(({ number }) => number > use.seen);
      }
      this.#divide(jobId, now);
    }
  }

  nodeLost(node: NodeId, now: number): void {
    this.#awaited.delete(node);
    for (const [id, quota] of this.#quotas) {
      quota.parts.delete(node);
      this.#divide(id, now);
    }
  }

  jobEnded(id: JobId): void {
    this.#quotas.delete(id);
  }

  nextDeadline(): number | undefined {
    let at: number | undefined;
    for (const { turnAt } of this.#quotas.values()) if (turnAt !== undefined && turnAt < (at ?? Infinity)) at = turnAt;
    return at;
  }

  tick(now: number): void {
    for (const [id, quota] of this.#quotas) {
      if (quota.turnAt === undefined || now < quota.turnAt) continue;
      quota.turnAt = undefined;
      // Who came first comes last now.
      const first = inTurn(quota).find(([, part]) => !isEmpty(wantOf(part)));
      if (first !== undefined) first[1].turn = ++quota.turns;
      this.#divide(id, now);
    }
  }

  /** The most that a node may use now, or once it hears what is on its way. */
  bound(id: JobId, node: NodeId): ResourceAmounts {
    const quota = this.#quotas.get(id);
    const part = quota?.parts.get(node);
    return quota === undefined || part === undefined ? {} : boundOf(quota, part);
  }

  check(): void {
    for (const [id, quota] of this.#quotas) {
      // What nodes were granted by an earlier control, or before a limit was known, may be more; then nothing is added.
      const bounds = sumOf([...quota.parts.values()].map((part) => boundOf(quota, part)));
      const said = sumOf([...quota.parts.values()].map(({ use }) => use.granted));
      for (const name in quota.limits) {
        if ((bounds[name] ?? 0) > Math.max(quota.limits[name]!, said[name] ?? 0)) {
          throw new Error(`nodes may use ${bounds[name]} of ${name} for job ${id}, whose limit is ${quota.limits[name]}`);
        }
      }
    }
  }

  #divide(id: JobId, now: number): void {
    const quota = this.#quotas.get(id);
    if (quota === undefined || this.#awaited.size > 0) return;
    const { limits, parts } = quota;
    const wants = [...parts.values()].map(wantOf).filter((want) => !isEmpty(want));
    const bounds = new Map([...parts].map(([node, part]) => [node, boundOf(quota, part)]));
    // As long as there is enough, nobody loses what it does not use.
    const generous = new Map([...bounds].map(([node, bound]) => [node, most(bound, wantOf(parts.get(node)!))]));
    const targets = fits(sumOf(generous.values()), limits) ? generous : targetsOf(quota);
    const scarce = wants.length > 1 && !fits(sumOf(wants), limits);
    quota.turnAt = scarce ? (quota.turnAt ?? now + TURN_MS) : undefined;
    const left = copyOf(limits);
    for (const bound of bounds.values()) subtractFrom(left, bound);
    const life = only(limits, sumOf([...parts.values()].map(({ use }) => use.life)));
    for (const [node, part] of parts) this.#send(id, node, part, limits, targets.get(node)!, bounds.get(node)!, left, life);
  }

  /** A node's share: what it is to have, as far as others have left it. */
  #send(id: JobId, node: NodeId, part: Part, limits: Amounts, target: Amounts, bound: Amounts, left: ResourceAmounts, life: Amounts): void {
    const share: ResourceAmounts = Object.create(null);
    for (const name in limits) {
      const wanted = target[name] ?? 0;
      const has = bound[name] ?? 0;
      const more = Math.max(0, Math.min(wanted - has, left[name] ?? 0));
      const amount = wanted > has ? has + more : wanted;
      if (more > 0) left[name] = left[name]! - more;
      if (amount > 0) share[name] = amount;
    }
    if (part.share !== undefined && equal(share, part.share) && equal(life, part.life)) return;
    part.share = share;
    part.life = life;
    const number = ++this.#number;
    part.sent.push({ number, share, life });
    this.#port.share(node, { jobId: id, number, share: { ...share }, life: { ...life } });
  }
}

function isSame(a: Part["use"], b: Part["use"]): boolean {
  const names = ["granted", "used", "life", "wanted", "next"] as const;
  return a.seen === b.seen && names.every((name) => equal(a[name], b[name]));
}

const wantOf = ({ use }: Part): ResourceAmounts => sumOf([use.used, use.wanted]);

function boundOf({ limits }: Quota, { use, sent }: Part): ResourceAmounts {
  let bound: ResourceAmounts = only(limits, use.granted);
  for (const { share } of sent) bound = most(bound, share);
  return bound;
}

/** The larger of both, amount by amount. */
function most(a: Amounts, b: Amounts): ResourceAmounts {
  const larger = copyOf(a);
  for (const name in b) larger[name] = Math.max(larger[name] ?? 0, b[name]!);
  return larger;
}

function only(limits: Amounts, amounts: Amounts): ResourceAmounts {
  const part: ResourceAmounts = Object.create(null);
  for (const name in limits) if ((amounts[name] ?? 0) > 0) part[name] = amounts[name]!;
  return part;
}

const inTurn = ({ parts }: Quota): [NodeId, Part][] => [...parts].sort(([, a], [, b]) => a.turn - b.turn);

/**
 * There is not enough for all: what cannot be taken away, then for each node in turn as much as its next request needs, or has, until
 * nothing fits any more. Requests are whole or not there, so a part of one is given to nobody.
 */
function targetsOf(quota: Quota): Map<NodeId, ResourceAmounts> {
  const { limits } = quota;
  const targets = new Map<NodeId, ResourceAmounts>();
  const left = copyOf(limits);
  const give = (node: NodeId, amounts: Amounts): void => {
    const target = targets.get(node) ?? (Object.create(null) as ResourceAmounts);
    addTo(target, amounts);
    targets.set(node, target);
    subtractFrom(left, amounts);
  };
  // What actors and objects have is theirs.
  for (const [node, { use }] of quota.parts) give(node, most(use.life, only({ [STORE]: 1 }, use.used)));
  // Objects are no part of what tasks need: each has its rounds.
  for (const kind of [true, false]) {
    const part = (amounts: Amounts): ResourceAmounts => {
      const { [STORE]: store = 0, ...others } = amounts;
      return kind ? others : { [STORE]: store };
    };
    let open = inTurn(quota);
    while (open.length > 0) {
      const before = open;
      open = before.filter(([node, { use }]) => {
        const chunk = chunkOf(part(limits), part(use.next), part(use.used), rest(part(sumOf([use.used, use.wanted])), targets.get(node)!));
        if (isEmpty(chunk) || !fits(chunk, left)) return false;
        give(node, chunk);
        return true;
      });
    }
  }
  return targets;
}

/** What is wanted beyond that. */
function rest(wanted: Amounts, target: Amounts): ResourceAmounts {
  const more: ResourceAmounts = Object.create(null);
  for (const name in wanted) more[name] = Math.max(0, wanted[name]! - (target[name] ?? 0));
  return more;
}

/** How much a node gets at a time: its next request, or, where nothing waits, a whole unit of what it uses. */
function chunkOf(limits: Amounts, next: Amounts, used: Amounts, missing: Amounts): ResourceAmounts {
  const chunk: ResourceAmounts = Object.create(null);
  for (const name in limits) {
    if ((missing[name] ?? 0) <= 0) continue;
    const size = next[name] ?? Math.min(used[name] ?? 0, name === "CPU" ? 10_000 : Infinity);
    if (size > 0) chunk[name] = Math.min(size, missing[name]!);
  }
  return chunk;
}
