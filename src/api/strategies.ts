/**
 * Scheduling strategies as users write them. Plain data, so that they cross processes; options.ts checks them.
 */
import { checkNames, refuse } from "./option-checks.ts";
import type { PlacementGroup } from "./placement.ts";

/** On the node with this id. */
export interface NodeAffinity {
  readonly kind: "affinity";
  readonly nodeId: string;
  /** true: elsewhere if that node is gone or can never hold it. */
  readonly soft: boolean;
}

/** On nodes with these labels. */
export interface NodeLabels {
  readonly kind: "labels";
  readonly hard: Readonly<Record<string, string>>;
  readonly soft: Readonly<Record<string, string>>;
}

/** In the reserved resources of a placement group. */
export interface InPlacementGroup {
  readonly kind: "group";
  readonly groupId: string;
  /** -1: any bundle. */
  readonly bundleIndex: number;
  readonly captureChildTasks: boolean;
}

export type SchedulingStrategy = "DEFAULT" | "SPREAD" | NodeAffinity | NodeLabels | InPlacementGroup;

/**
 * Runs on the node with this id; `soft` lets it run elsewhere when that node is gone. A hard one fails with PlacementError then.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const [node] = await ray.nodes();
 * const where = ray.remote(() => ray.getRuntimeContext().nodeId, {
 *   schedulingStrategy: ray.nodeAffinity(node?.nodeId ?? "", { soft: true }),
 * });
 * console.log((await ray.get(where.remote())) === node?.nodeId); // true
 * await ray.shutdown();
 * ```
 */
export function nodeAffinity(nodeId: string, options: { readonly soft?: boolean } = {}): NodeAffinity {
  checkNames("nodeAffinity", options, ["soft"]);
  return { kind: "affinity", nodeId, soft: options.soft ?? false };
}

/**
 * Runs on nodes whose labels fit `hard`, and among those rather where they fit `soft`. Values as in `labelSelector`:
 * `value`, `!value`, `in(a,b)`, `!in(a,b)`. Throws InvalidOptionError when neither is given.
 *
 * @example
 * ```ts
 * import { nodeLabels } from "mobula";
 *
 * console.log(nodeLabels({ hard: { zone: "in(a,b)" } }).kind); // labels
 * ```
 */
export function nodeLabels(labels: {
  readonly hard?: Readonly<Record<string, string>>;
  readonly soft?: Readonly<Record<string, string>>;
}): NodeLabels {
  const { hard, soft } = checkNames("nodeLabels", labels, ["hard", "soft"]);
  if (hard === undefined && soft === undefined) refuse("nodeLabels", labels, 'labels of nodes, such as { hard: { zone: "a" } }');
  return { kind: "labels", hard: labels.hard ?? {}, soft: labels.soft ?? {} };
}

/**
 * Runs in the resources that a placement group has reserved: in the bundle `bundleIndex`, or in any (-1, the default).
 * `captureChildTasks` makes tasks that it submits run in the group too.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const group = ray.placementGroup([{ CPU: 1 }]);
 * await group.ready();
 * const inside = ray.remote(() => 1, { schedulingStrategy: ray.inPlacementGroup(group, { bundleIndex: 0 }) });
 * console.log(await ray.get(inside.remote())); // 1
 * await group.remove();
 * await ray.shutdown();
 * ```
 */
export function inPlacementGroup(
  group: PlacementGroup,
  options: { readonly bundleIndex?: number; readonly captureChildTasks?: boolean } = {},
): InPlacementGroup {
  checkNames("inPlacementGroup", options, ["bundleIndex", "captureChildTasks"]);
  return {
    kind: "group",
    groupId: group.id,
    bundleIndex: options.bundleIndex ?? -1,
    captureChildTasks: options.captureChildTasks ?? false,
  };
}
