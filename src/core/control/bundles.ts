/**
 * Which nodes the bundles of a placement group go to. Pure functions over what nodes have or have free; whether it is still so when
 * they are asked, the nodes say.
 */
import type { NodeId } from "../../protocol/ids.ts";
import type { ResourceAmounts } from "../../protocol/messages.ts";
import { addTo, copyOf, describeResources, fits, subtractFrom, sumOf } from "../resources.ts";

export type GroupStrategy = "PACK" | "SPREAD" | "STRICT_PACK" | "STRICT_SPREAD";

/** What a node can give; the amounts are used up in the course of a choice. */
export interface Room {
  readonly nodeId: NodeId;
  readonly free: ResourceAmounts;
}

/** A bundle that needs a place. */
export interface Wanted {
  readonly index: number;
  readonly resources: Readonly<ResourceAmounts>;
}

/** A node for each, in the order of `wanted`; undefined when there are not enough. `taken`: nodes that have other bundles of the group. */
export function chooseNodes(
  strategy: GroupStrategy,
  wanted: readonly Wanted[],
  rooms: readonly Room[],
  taken: readonly NodeId[],
): NodeId[] | undefined {
  const own = rooms.map(({ nodeId, free }) => ({ nodeId, free: copyOf(free) }));
  const places = new Map<number, NodeId>();
  const done = {
    PACK: () => pack(wanted, own, places),
    SPREAD: () => spread(wanted, own, taken, places),
    STRICT_PACK: () => strictPack(wanted, own, taken, places),
    STRICT_SPREAD: () => strictSpread(wanted, own, taken, places),
  }[strategy]();
  return done ? wanted.map(({ index }) => places.get(index)!) : undefined;
}

/** Why no set of these nodes can ever serve it, with nothing else on them; undefined when one can. */
export function neverBecause(
  strategy: GroupStrategy,
  bundles: readonly Readonly<ResourceAmounts>[],
  rooms: readonly Room[],
): string | undefined {
  if (bundles.length === 0) return "it has no bundle";
  if (strategy !== "STRICT_PACK" && strategy !== "STRICT_SPREAD") return undefined;
  const wanted = bundles.map((resources, index) => ({ index, resources }));
  if (chooseNodes(strategy, wanted, rooms, []) !== undefined) return undefined;
  const alone = bundles.find((each) => !rooms.some(({ free }) => fits(each, free)));
  const all = describeResources(sumOf(rooms.map(({ free }) => free)));
  if (alone !== undefined) return `a bundle asks for ${describeResources(alone)}, and no node has that; this cluster has ${all}`;
  if (strategy === "STRICT_PACK") {
    return `its bundles ask together for ${describeResources(sumOf(bundles))} on one node, and no node has that; this cluster has ${all}`;
  }
  const what = bundles.length > rooms.length ? "" : " that have what they ask for";
  return `STRICT_SPREAD asks for ${bundles.length} nodes${what}, this cluster has ${rooms.length}`;
}

function pack(wanted: readonly Wanted[], rooms: readonly Room[], places: Map<number, NodeId>): boolean {
  let rest = largestFirst(wanted);
  while (rest.length > 0) {
    let best: { room: Room; taken: Wanted[] } | undefined;
    for (const room of rooms) {
      const taken = fill(room, rest);
      if (taken.length > (best?.taken.length ?? 0)) best = { room, taken };
    }
    if (best === undefined) return false;
    for (const bundle of best.taken) put(bundle, best.room, places);
    rest = rest.filter(({ index }) => !places.has(index));
  }
  return true;
}

/** As many as fit there together. */
function fill({ free }: Room, wanted: readonly Wanted[]): Wanted[] {
  const left = copyOf(free);
  return wanted.filter(({ resources }) => {
    if (!fits(resources, left)) return false;
    subtractFrom(left, resources);
    return true;
  });
}

function spread(wanted: readonly Wanted[], rooms: readonly Room[], taken: readonly NodeId[], places: Map<number, NodeId>): boolean {
  const counts = new Map<NodeId, number>();
  for (const nodeId of taken) counts.set(nodeId, (counts.get(nodeId) ?? 0) + 1);
  for (const bundle of largestFirst(wanted)) {
    let best: Room | undefined;
    for (const room of rooms) {
      if (fits(bundle.resources, room.free) && (best === undefined || count(room) < count(best))) best = room;
    }
    if (best === undefined) return false;
    put(bundle, best, places);
    counts.set(best.nodeId, count(best) + 1);
  }
  return true;

  function count({ nodeId }: Room): number {
    return counts.get(nodeId) ?? 0;
  }
}

function strictPack(wanted: readonly Wanted[], rooms: readonly Room[], taken: readonly NodeId[], places: Map<number, NodeId>): boolean {
  const sum = sumOf(wanted.map(({ resources }) => resources));
  const room = rooms.find(({ nodeId, free }) => (taken.length === 0 || taken.includes(nodeId)) && fits(sum, free));
  if (room === undefined) return false;
  for (const bundle of wanted) put(bundle, room, places);
  return true;
}

/** A matching of bundles to different nodes, by augmenting paths: a greedy choice may miss the only one. */
function strictSpread(wanted: readonly Wanted[], rooms: readonly Room[], taken: readonly NodeId[], places: Map<number, NodeId>): boolean {
  const open = rooms.filter(({ nodeId }) => !taken.includes(nodeId));
  const holder = new Map<Room, Wanted>();
  const assign = (bundle: Wanted, seen: Set<Room>): boolean => {
    for (const room of open) {
      if (seen.has(room) || !fits(bundle.resources, room.free)) continue;
      seen.add(room);
      const before = holder.get(room);
      if (before !== undefined && !assign(before, seen)) continue;
      holder.set(room, bundle);
      return true;
    }
    return false;
  };
  for (const bundle of wanted) if (!assign(bundle, new Set())) return false;
  for (const [room, { index }] of holder) places.set(index, room.nodeId);
  return true;
}

function put({ index, resources }: Wanted, room: Room, places: Map<number, NodeId>): void {
  subtractFrom(room.free, resources);
  places.set(index, room.nodeId);
}

const largestFirst = (wanted: readonly Wanted[]): Wanted[] => [...wanted].sort((a, b) => sizeOf(b) - sizeOf(a) || a.index - b.index);

/** GPUs first: they are what is scarce. */
function sizeOf({ resources }: Wanted): number {
  const { GPU = 0, CPU = 0 } = resources;
  return GPU * 1000 + CPU;
}

/** What a node has in all, less what placement groups hold of it. */
export function roomWithout(nodeId: NodeId, total: Readonly<ResourceAmounts>, held: readonly Readonly<ResourceAmounts>[]): Room {
  const free = copyOf(total);
  const sum: ResourceAmounts = Object.create(null) as ResourceAmounts;
  for (const each of held) addTo(sum, each);
  subtractFrom(free, sum);
  return { nodeId, free };
}
