/**
 * Placement groups over nodes. Control chooses the nodes; each reserves its part (prepare), and only when all have, all are told that
 * it is so (commit): a group has all of its bundles or none. Until then nothing runs in it.
 *
 * A group that fits into what is free is tried at once. One that does not waits its turn to be patient: its bundles then wait in the
 * queues of their nodes like other requests, so that a stream of tasks does not starve it. Only one group at a time is patient, or two
 * could hold a half each for ever.
 *
 * When a node dies its bundles are placed anew; what runs in the others goes on.
 */
import type { JobId, NodeId, PlacementGroupId, ProcessId } from "../../protocol/ids.ts";
import type { GroupView, ReservedBundle } from "../../protocol/cluster.ts";
import type { Body, Failure, JobTerms, ResourceAmounts } from "../../protocol/messages.ts";
import type { Choice } from "../cluster/policy.ts";
import type { ClusterView } from "../cluster/view.ts";
import { beyondLimits, groupLabel } from "../node/groups.ts";
import { DEFAULT_TERMS } from "../node/jobs.ts";
import type { GroupQuestion } from "../node/node.ts";
import { describeResources, fits, sumOf } from "../resources.ts";
import { chooseNodes, neverBecause, roomWithout } from "./bundles.ts";
import type { Room, Wanted } from "./bundles.ts";
import { Remembered } from "./remembered.ts";
import { saved } from "./tables.ts";
import type { Keep, RecordOf, SavedTables } from "./tables.ts";
import type { Unplaced } from "./unplaced.ts";

export interface GroupsPort {
  prepare(to: NodeId, body: Body<"groupPrepare">): void;
  commit(to: NodeId, body: Body<"groupCommit">): void;
  cancel(to: NodeId, body: Body<"groupCancel">): void;
  remove(to: NodeId, body: Body<"groupRemove">): void;
  /** To all nodes. */
  changed(groups: GroupView[]): void;
  answer(to: ProcessId, body: Body<"answer">): void;
  /** What a job was given, where that is not the usual. */
  termsOf(jobId: JobId): JobTerms | undefined;
}

/** Nodes that were asked for what is free answer at once. */
const PROMPT_MS = 2000;
/** A patient group waits so long for these nodes, then another has its turn. */
const PATIENT_MS = 5000;
const RETRY_MS = 100;
const OVER_MAX = 10_000;
/** Bundles in a message to people. */
const SHOWN_MAX = 4;

/** Bundles that are being reserved. */
interface Try {
  readonly patient: boolean;
  readonly places: ReadonlyMap<NodeId, readonly Wanted[]>;
  readonly ready: Set<NodeId>;
  readonly until: number;
}

interface Group {
  readonly id: PlacementGroupId;
  readonly of: Omit<RecordOf<"group">, "state" | "nodes" | "failure" | "attempt" | "over">;
  state: RecordOf<"group">["state"];
  /** By bundle. */
  nodes: (NodeId | undefined)[];
  failure: Failure | undefined;
  /** Counts tries. */
  attempt: number;
  trying: Try | undefined;
  waiting: { readonly from: ProcessId; readonly call: number }[];
  /** Counts the actors that were sent to a node for any bundle. */
  readonly sent: Map<NodeId, number>;
}

export class Groups {
  readonly #port: GroupsPort;
  readonly #view: ClusterView;
  readonly #keep: Keep;
  readonly #groups = new Map<PlacementGroupId, Group>();
  readonly #names = new Map<string, PlacementGroupId>();
  /** Those that lack bundles, in their turn. */
  readonly #queue = new Set<Group>();
  readonly #over: Remembered<PlacementGroupId>;
  #retryAt: number | undefined;

  constructor(view: ClusterView, port: GroupsPort, keep: Keep) {
    this.#view = view;
    this.#port = port;
    this.#keep = keep;
    this.#over = new Remembered<PlacementGroupId>(OVER_MAX, (id) => {
      this.#groups.delete(id);
      keep("group", id);
    });
  }

  /** As nodes are told of them. */
  get views(): GroupView[] {
    return [...this.#groups.values()].filter(({ state }) => !isOver(state)).map(viewOf);
  }

  get all(): { id: PlacementGroupId; name: string | undefined; strategy: string; state: string; nodes: (NodeId | undefined)[] }[] {
    return [...this.#groups.values()].map(({ id, of, state, nodes }) => ({
      id,
      name: of.name,
      strategy: of.strategy,
      state,
      nodes: [...nodes],
    }));
  }

  /** All that have bundles. */
  nodes(): Set<NodeId> {
    return new Set([...this.#groups.values()].flatMap(({ nodes }) => nodes.filter((node) => node !== undefined)));
  }

  isNamed(name: string): boolean {
    return this.#names.has(name);
  }

  // ── from processes ───────────────────────────────────────────────────────────────────────────

  ask(from: ProcessId, call: number, question: GroupQuestion, now: number): void {
    switch (question.kind) {
      case "groupCreate":
        return this.#create(from, call, question, now);
      case "groupReady": {
        const group = this.#groups.get(question.groupId);
        if (group === undefined) return this.#fail(from, call, `placement group ${question.groupId} is not known: it was removed`);
        if (group.state === "pending") group.waiting.push({ from, call });
        else this.#answer(from, call, group);
        return;
      }
      case "groupRemove":
        this.#remove(this.#groups.get(question.groupId), "it was removed", now);
        return this.#port.answer(from, { call, body: "{}" });
      case "groupByName": {
        const group = this.#groups.get(this.#names.get(question.name)!);
        if (group === undefined) return this.#fail(from, call, `there is no placement group named ${JSON.stringify(question.name)}`);
        return this.#answer(from, call, group);
      }
      default:
        question satisfies never;
    }
  }

  processLost(process: ProcessId): void {
    for (const group of this.#groups.values()) group.waiting = group.waiting.filter(({ from }) => from !== process);
  }

  jobEnded(jobId: JobId, now: number): void {
    for (const group of [...this.#groups.values()]) {
      if (group.of.jobId === jobId && !group.of.detached) this.#remove(group, `job ${jobId}, which made it, has ended`, now);
    }
  }

  // ── from nodes ───────────────────────────────────────────────────────────────────────────────

  prepared(from: NodeId, { groupId, attempt, ok }: Body<"groupPrepared">, now: number): void {
    const group = this.#groups.get(groupId);
    const trying = group?.attempt === attempt ? group.trying : undefined;
    if (group === undefined || trying?.places.has(from) !== true) {
      if (ok) this.#port.cancel(from, { groupId, attempt });
      return;
    }
    if (!ok) return this.#abort(group, now);
    trying.ready.add(from);
    if (trying.ready.size === trying.places.size) this.#commit(group, trying);
  }

  /** A node has joined again with these bundles, after control was away. */
  rejoined(node: NodeId, bundles: readonly ReservedBundle[], now: number): void {
    const there = new Set<string>();
    /** Of several tries of a bundle the last one is that which was made: of earlier ones the node could not be told the end. */
    const last = new Map<string, number>();
    for (const { groupId, attempt, index, ready } of bundles) {
      const key = `${groupId} ${index}`;
      last.set(key, Math.max(last.get(key) ?? 0, ready ? Infinity : attempt));
    }
    const told = new Set<string>();
    for (const { groupId, attempt, index, ready } of bundles) {
      const group = this.#groups.get(groupId);
      if (group === undefined || isOver(group.state)) {
        this.#port.remove(node, { groupId, message: `placement group ${groupId} was removed` });
        continue;
      }
      const key = `${groupId} ${index}`;
      const kept = group.nodes[index] === node && (ready || last.get(key) === attempt);
      if (kept) there.add(key);
      // A try is one part of the node's, with all its bundles.
      if (ready || told.has(`${groupId} ${attempt}`)) continue;
      told.add(`${groupId} ${attempt}`);
      if (kept) this.#port.commit(node, { groupId, attempt });
      else this.#port.cancel(node, { groupId, attempt });
    }
    this.#lose((group, index) => group.nodes[index] === node && !there.has(`${group.id} ${index}`), now);
  }

  nodeLost(node: NodeId, now: number): void {
    for (const group of this.#queue) if (group.trying?.places.has(node) === true) this.#abort(group, now);
    this.#lose((group, index) => group.nodes[index] === node, now);
  }

  // ── time, and news of nodes ──────────────────────────────────────────────────────────────────

  nextDeadline(): number | undefined {
    let at = this.#retryAt;
    for (const { trying } of this.#queue) if (trying !== undefined && trying.until < (at ?? Infinity)) at = trying.until;
    return at;
  }

  tick(now: number): void {
    for (const group of [...this.#queue]) if (group.trying !== undefined && now >= group.trying.until) this.#abort(group, now);
    if (this.#retryAt !== undefined && now >= this.#retryAt) this.look(now);
  }

  /** What could be reserved now is tried. */
  look(now: number): void {
    this.#retryAt = undefined;
    let patient = [...this.#queue].some(({ trying }) => trying?.patient === true);
    for (const group of this.#inTurn()) if (group.trying === undefined) this.#try(group, false, now);
    for (const group of this.#inTurn()) {
      if (patient) break;
      if (group.trying === undefined) patient = this.#try(group, true, now);
    }
    if ([...this.#queue].some(({ trying }) => trying === undefined)) this.#retryAt = now + RETRY_MS;
  }

  /** Where an actor goes that is to run in a bundle, or in any of them. */
  nodeFor(id: PlacementGroupId, bundleIndex: number, demand: Readonly<ResourceAmounts>): Choice {
    const group = this.#groups.get(id);
    const never = (message: string): Choice => ({ kind: "never", failure: placementFailure(message) });
    if (group === undefined) return never(`placement group ${id} is not there: it was removed`);
    if (group.failure !== undefined) return never(group.failure.message);
    const { bundles } = group.of;
    if (bundleIndex >= bundles.length) return never(`${label(group)} has ${bundles.length} bundles, not ${bundleIndex + 1}`);
    const fitting = bundles.flatMap((bundle, index) => ((bundleIndex < 0 || index === bundleIndex) && fits(demand, bundle) ? [index] : []));
    const nodes = fitting.map((index) => group.nodes[index]).filter((node) => node !== undefined);
    if (nodes.length === 0) return { kind: "nowhere" };
    // Which bundles are full is known to their nodes: one after the other is asked.
    const share = (node: NodeId): number => (group.sent.get(node) ?? 0) / nodes.filter((each) => each === node).length;
    const nodeId = nodes.reduce((a, b) => (share(b) < share(a) ? b : a));
    group.sent.set(nodeId, (group.sent.get(nodeId) ?? 0) + 1);
    return { kind: "go", nodeId };
  }

  // ── what is kept ─────────────────────────────────────────────────────────────────────────────

  saved(id: PlacementGroupId): Uint8Array | undefined {
    const group = this.#groups.get(id);
    if (group === undefined) return undefined;
    const { of, state, nodes, failure, attempt } = group;
    return saved("group", { ...of, state, nodes: nodes.map((node) => node ?? ""), failure, attempt, over: this.#over.numberOf(id) ?? 0 });
  }

  restore(tables: SavedTables): void {
    const over: [PlacementGroupId, number][] = [];
    for (const [key, { state, nodes, failure, attempt, over: number, ...of }] of tables.read("group")) {
      const id = key as PlacementGroupId;
      const named = nodes.map((node) => (node === "" ? undefined : (node as NodeId)));
      const group: Group = { id, of, state, nodes: named, failure, attempt, trying: undefined, waiting: [], sent: new Map() };
      this.#groups.set(id, group);
      if (isOver(state)) over.push([id, number]);
      else if (of.name !== undefined) this.#names.set(of.name, id);
      if (lacks(group)) this.#queue.add(group);
    }
    this.#over.restore(over);
    if (this.#queue.size > 0) this.#retryAt = 0;
  }

  check(): void {
    for (const group of this.#groups.values()) {
      const { id, state, nodes, of, trying } = group;
      if (nodes.length !== of.bundles.length)
        throw new Error(`placement group ${id} has ${nodes.length} places for ${of.bundles.length} bundles`);
      if (state === "ready" && nodes.includes(undefined)) throw new Error(`placement group ${id} is ready and lacks a bundle`);
      if (lacks(group) !== this.#queue.has(group)) throw new Error(`placement group ${id} is ${state} and queued otherwise`);
      if (isOver(state) !== this.#over.has(id)) throw new Error(`placement group ${id} is ${state} and listed otherwise`);
      if (trying !== undefined && !this.#queue.has(group)) throw new Error(`placement group ${id} is ${state} and tried`);
    }
    for (const group of this.#queue)
      if (this.#groups.get(group.id) !== group) throw new Error(`placement group ${group.id} is queued and not known`);
    const patient = [...this.#queue].filter(({ trying }) => trying?.patient === true);
    if (patient.length > 1) throw new Error(`${patient.length} placement groups are patient at a time`);
  }

  // ── inside ───────────────────────────────────────────────────────────────────────────────────

  #create(from: ProcessId, call: number, q: Extract<GroupQuestion, { kind: "groupCreate" }>, now: number): void {
    const known = this.#groups.get(q.groupId);
    if (known !== undefined) return this.#answer(from, call, known);
    if (q.name !== undefined && this.#names.has(q.name)) {
      return this.#fail(from, call, `the name of ${groupLabel({ id: q.groupId, name: q.name })} is taken`);
    }
    const { kind: _kind, groupId: id, ...of } = q;
    const group: Group = {
      id,
      of,
      state: "pending",
      nodes: q.bundles.map(() => undefined),
      failure: undefined,
      attempt: 0,
      trying: undefined,
      waiting: [],
      sent: new Map(),
    };
    this.#groups.set(id, group);
    const rooms = this.#rooms(([, total]) => total);
    const terms = this.#port.termsOf(of.jobId) ?? DEFAULT_TERMS;
    const why = neverBecause(q.strategy, q.bundles, rooms) ?? beyondLimits(terms, q.bundles);
    if (why !== undefined) {
      group.failure = placementFailure(`${label(group)}: no set of nodes can ever serve it: ${why}`);
      this.#end(group, "failed");
    } else {
      if (q.name !== undefined) this.#names.set(q.name, id);
      this.#queue.add(group);
      this.#changed(group);
      this.look(now);
    }
    this.#answer(from, call, group);
  }

  /** Those for which there are not enough nodes, were nothing else on them. */
  *placeless(): Generator<Unplaced> {
    for (const group of this.#queue) {
      if (group.trying !== undefined) continue;
      const { bundles, strategy, jobId } = group.of;
      const wanted = bundles.map((resources, index) => ({ index, resources }));
      const rooms = this.#rooms(([, total]) => total);
      if (chooseNodes(strategy, wanted, rooms, []) !== undefined) continue;
      const what = `${label(group)} waits: its bundles ask for ${bundles.slice(0, SHOWN_MAX).map(describeResources).join(", ")}`;
      const all = describeResources(sumOf(rooms.map(({ free }) => free)));
      const why = `the nodes of this cluster do not have that: together ${all}`;
      yield { key: group.id, jobId, message: `${what}, and ${why}. It will wait for more nodes; remove it, or ask for less.` };
    }
  }

  /** Those that lack bundles, of the jobs with the highest priority first. */
  #inTurn(): Group[] {
    const priority = ({ of }: Group): number => this.#port.termsOf(of.jobId)?.priority ?? 0;
    return [...this.#queue].sort((a, b) => priority(b) - priority(a));
  }

  /** Whether nodes were asked. */
  #try(group: Group, patient: boolean, now: number): boolean {
    const wanted = group.of.bundles.flatMap((resources, index) => (group.nodes[index] === undefined ? [{ index, resources }] : []));
    const taken = group.nodes.filter((node) => node !== undefined);
    const rooms = patient ? this.#rooms(([id, total]) => roomWithout(id, total, this.#heldOn(id)).free) : this.#rooms(([, , free]) => free);
    const chosen = chooseNodes(group.of.strategy, wanted, rooms, taken);
    if (chosen === undefined) return false;
    const places = new Map<NodeId, Wanted[]>();
    for (const [i, nodeId] of chosen.entries()) {
      const there = places.get(nodeId);
      if (there) there.push(wanted[i]!);
      else places.set(nodeId, [wanted[i]!]);
      this.#view.charge(nodeId, wanted[i]!.resources);
    }
    group.attempt++;
    group.trying = { patient, places, ready: new Set(), until: now + (patient ? PATIENT_MS : PROMPT_MS) };
    this.#keep("group", group.id);
    const { jobId, name, bundles } = group.of;
    for (const [nodeId, there] of places) {
      const parts = there.map(({ index, resources }) => ({ index, resources: { ...resources } }));
      this.#port.prepare(nodeId, {
        groupId: group.id,
        jobId,
        terms: this.#port.termsOf(jobId),
        name,
        attempt: group.attempt,
        count: bundles.length,
        bundles: parts,
        patient,
      });
    }
    return true;
  }

  #commit(group: Group, { places }: Try): void {
    group.trying = undefined;
    for (const [nodeId, bundles] of places) for (const { index } of bundles) group.nodes[index] = nodeId;
    group.state = "ready";
    this.#queue.delete(group);
    for (const nodeId of places.keys()) this.#port.commit(nodeId, { groupId: group.id, attempt: group.attempt });
    this.#changed(group);
    this.#answerWaiting(group);
  }

  /** These nodes will not do: all give back what they have, and others have their turn. */
  #abort(group: Group, now: number): void {
    const { trying, id: groupId, attempt } = group;
    group.trying = undefined;
    for (const nodeId of trying?.places.keys() ?? []) this.#port.cancel(nodeId, { groupId, attempt });
    if (trying?.patient === true && this.#queue.delete(group)) this.#queue.add(group);
    this.#retryAt ??= now + RETRY_MS;
  }

  #lose(isLost: (group: Group, index: number) => boolean, now: number): void {
    for (const group of this.#groups.values()) {
      if (isOver(group.state) || !group.nodes.some((_node, index) => isLost(group, index))) continue;
      if (group.trying !== undefined) this.#abort(group, now);
      group.nodes = group.nodes.map((node, index) => (isLost(group, index) ? undefined : node));
      group.state = "rescheduling";
      this.#queue.add(group);
      this.#changed(group);
      this.#retryAt ??= now;
    }
  }

  #remove(group: Group | undefined, why: string, now: number): void {
    if (group === undefined || isOver(group.state)) return;
    const { id: groupId, nodes } = group;
    if (group.trying !== undefined) this.#abort(group, now);
    const message = `${label(group)} was removed`;
    group.failure = placementFailure(why === "it was removed" ? message : `${message}: ${why}`);
    for (const nodeId of new Set(nodes)) if (nodeId !== undefined) this.#port.remove(nodeId, { groupId, message });
    this.#end(group, "removed");
  }

  #end(group: Group, state: "removed" | "failed"): void {
    group.state = state;
    group.nodes = group.nodes.map(() => undefined);
    this.#queue.delete(group);
    if (group.of.name !== undefined && this.#names.get(group.of.name) === group.id) this.#names.delete(group.of.name);
    this.#over.add(group.id);
    this.#changed(group);
    this.#answerWaiting(group);
  }

  #changed(group: Group): void {
    this.#keep("group", group.id);
    this.#port.changed([viewOf(group)]);
  }

  #rooms(free: (node: [id: NodeId, total: ResourceAmounts, free: ResourceAmounts]) => ResourceAmounts): Room[] {
    const alive = [...this.#view.nodes].filter(({ view }) => view.state === "alive");
    return alive.map((node) => ({ nodeId: node.view.nodeId, free: free([node.view.nodeId, node.view.total, this.#view.freeOf(node)]) }));
  }

  /** What groups have of a node, or are getting. */
  #heldOn(node: NodeId): ResourceAmounts[] {
    const held: ResourceAmounts[] = [];
    for (const { nodes, of, trying } of this.#groups.values()) {
      for (const [index, nodeId] of nodes.entries()) if (nodeId === node) held.push(of.bundles[index]!);
      for (const { resources } of trying?.places.get(node) ?? []) held.push({ ...resources });
    }
    return held;
  }

  #answerWaiting(group: Group): void {
    for (const { from, call } of group.waiting.splice(0)) this.#answer(from, call, group);
  }

  #answer(from: ProcessId, call: number, { id: groupId, of, state, failure, nodes }: Group): void {
    if (failure !== undefined) return this.#port.answer(from, { call, failure });
    const { name, strategy, bundles, detached } = of;
    this.#port.answer(from, { call, body: JSON.stringify({ groupId, state, name, strategy, bundles, detached, nodes }) });
  }

  #fail(from: ProcessId, call: number, message: string): void {
    this.#port.answer(from, { call, failure: placementFailure(message) });
  }
}

const placementFailure = (message: string): Failure => ({ code: "PLACEMENT", message });
const label = ({ id, of }: Group): string => groupLabel({ id, name: of.name });
const isOver = (state: Group["state"]): boolean => state === "removed" || state === "failed";
const lacks = ({ state }: Group): boolean => state === "pending" || state === "rescheduling";

function viewOf({ id: groupId, of, state, nodes, failure }: Group): GroupView {
  return { groupId, name: of.name, state, nodes: nodes.map((node) => node ?? ""), message: failure?.message };
}
