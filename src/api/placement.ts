/**
 * Placement groups: resources that are reserved together.
 */
import type { PlacementGroupId } from "../protocol/ids.ts";
import type { PlacementStrategy } from "../runtime/engine.ts";
import { groupSettings, naturalAmounts, timeoutArgument } from "./options.ts";
import { text } from "./option-checks.ts";
import type { PlacementGroupOptions } from "./option-types.ts";
import { engine, engineOf } from "./session.ts";

/**
 * A placement group. Plain data with methods: it may be passed to tasks. Made by `placementGroup`.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const group = ray.placementGroup([{ CPU: 0.5 }, { CPU: 0.5 }], { strategy: "PACK" });
 * console.log(await group.wait(30_000)); // true
 * await group.remove();
 * await ray.shutdown();
 * ```
 */
export class PlacementGroup {
  readonly id: string;
  /** What each bundle reserves, by resource name. */
  readonly bundles: readonly Readonly<Record<string, number>>[];
  readonly strategy: PlacementStrategy;

  /** @internal Groups are made by `placementGroup`. */
  constructor(id: string, bundles: readonly Readonly<Record<string, number>>[], strategy: PlacementStrategy) {
    this.id = id;
    this.bundles = bundles;
    this.strategy = strategy;
  }

  /** Resolves to the group when all bundles are reserved. Rejects with PlacementError when that can never be, or it was removed. */
  async ready(): Promise<this> {
    await engineOf("PlacementGroup.ready()").groupReady(this.id as PlacementGroupId);
    return this;
  }

  /** Whether all bundles are reserved within `timeoutMs`. Rejects as `ready` does. */
  async wait(timeoutMs: number): Promise<boolean> {
    const limit = timeoutArgument(timeoutMs);
    const ready = engineOf("PlacementGroup.wait()")
      .groupReady(this.id as PlacementGroupId)
      .then(() => true);
    if (limit === undefined) return ready;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, limit, false);
    });
    try {
      return await Promise.race([ready, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives the resources back, and ends what runs in them. Idempotent. */
  async remove(): Promise<void> {
    await engineOf("PlacementGroup.remove()").groupRemove(this.id as PlacementGroupId);
  }
}

/**
 * Reserves bundles of resources, all or none: `PACK` on few nodes, `SPREAD` over many, the `STRICT_` ones refuse anything else. Given at
 * once; `ready()` resolves when it is placed. Run work in it with `schedulingStrategy: inPlacementGroup(group)`. It ends with the program
 * unless it is `"detached"`.
 *
 * Throws InvalidOptionError for wrong bundles or options.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const group = await ray.placementGroup([{ CPU: 1 }]).ready();
 * console.log(group.bundles); // [ { CPU: 1 } ]
 * await group.remove();
 * await ray.shutdown();
 * ```
 */
export function placementGroup(bundles: readonly Readonly<Record<string, number>>[], options?: PlacementGroupOptions): PlacementGroup {
  const spec = groupSettings(bundles, options);
  return new PlacementGroup(engine().createGroup(spec), spec.bundles.map(naturalAmounts), spec.strategy);
}

/**
 * The placement group of this name. Rejects with PlacementError when there is none.
 *
 * @example
 * ```ts
 * import * as ray from "mobula";
 *
 * const group = await ray.placementGroup([{ CPU: 1 }], { name: "workers" }).ready();
 * console.log((await ray.getPlacementGroup("workers")).id === group.id); // true
 * await group.remove();
 * await ray.shutdown();
 * ```
 */
export async function getPlacementGroup(name: string): Promise<PlacementGroup> {
  const record = await engine().groupByName(text("name", name));
  return new PlacementGroup(record.groupId, record.bundles.map(naturalAmounts), record.strategy);
}
